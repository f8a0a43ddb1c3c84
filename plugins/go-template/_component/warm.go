package main

import (
	"runtime/debug"

	"postern.internal/go-template/engine"
)

// The collector reads the wall clock, which the host counts as a draw of entropy: a render with a collection in it could
// not be told from one that depends on the time. An instance serves one call, so collecting early gains nothing either;
// the limit is half of the memory that a template engine gets.
func init() {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(64 << 20)
}

// warm runs once, when the component is built: what it touches is ready in every instance. It must draw nothing that
// has to differ between instances, for its results would be the same in all of them.
//
//go:wasmexport wizer-initialize
func warm() {
	templates := []engine.Template{{Name: "warm", Source: `{{ $c := .c | fromJson }}{{ .a | lower | quote }}{{ .a | b64enc | b64dec }}` +
		`{{ range $i, $h := $c.l }}{{ if $i }},{{ end }}{{ $h | upper }}{{ end }}{{ sha256sum .a }}{{ toYaml $c }}`}}
	data := []engine.Datum{
		{Path: []string{"a"}, Value: []byte("x")},
		{Path: []string{"c"}, Value: []byte(`{"l":["p","q"]}`)},
	}
	for _, result := range engine.Render(templates, data, engine.Settings{}) {
		if result.Err != nil {
			panic(result.Err)
		}
	}
}
