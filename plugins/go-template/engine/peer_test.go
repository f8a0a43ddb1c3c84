package engine

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// peerCase is a template and what external-secrets 2.9 (its engine v2, built from commit cc5bfbc22) made of it.
type peerCase struct {
	Template string
	Left     string
	Right    string
	Parse    Parse
	// Data names values of data.yaml.
	Data []string
	peerOutcome
	// Here is what this engine makes of it where that is not the same.
	Here *struct {
		peerOutcome
		Because string
	}
}

type peerOutcome struct {
	Want   string
	Base64 []byte
	Error  string
}

func (o peerOutcome) same(r Result) bool {
	if r.Err != nil {
		return o.Error == r.Err.Error()
	}
	return o.Error == "" && o.Want+string(o.Base64) == string(r.Value)
}

func TestMain(m *testing.M) {
	// As in a component and in the image of external-secrets.
	time.Local = time.UTC
	os.Exit(m.Run())
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func peerData(t *testing.T) map[string][]byte {
	t.Helper()
	var file struct {
		Data   map[string]string
		Base64 map[string]string
	}
	readYAML(t, "testdata/peer/data.yaml", &file)
	values := map[string][]byte{}
	for name, value := range file.Data {
		values[name] = []byte(value)
	}
	for name, value := range file.Base64 {
		decoded, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		values[name] = decoded
	}
	return values
}

func TestMakesWhatExternalSecretsMakes(t *testing.T) {
	values := peerData(t)
	files, err := filepath.Glob("testdata/peer/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, file := range files {
		if filepath.Base(file) == "data.yaml" {
			continue
		}
		var cases []peerCase
		readYAML(t, file, &cases)
		total += len(cases)
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			for _, c := range cases {
				c.run(t, values)
			}
		})
	}
	if total < 700 {
		t.Errorf("only %d cases were found", total)
	}
}

func (c peerCase) run(t *testing.T, values map[string][]byte) {
	t.Helper()
	var data []Datum
	for _, name := range c.Data {
		value, known := values[name]
		if !known {
			t.Fatalf("%s: data.yaml has no %s", c.Template, name)
		}
		data = append(data, Datum{[]string{name}, value})
	}
	settings := Settings{Left: c.Left, Right: c.Right, Parse: c.Parse}
	got := Render([]Template{{"key", c.Template}}, data, settings)[0]
	want := c.peerOutcome
	if c.Here != nil {
		want = c.Here.peerOutcome
	}
	if !want.same(got) {
		t.Errorf("%s\ngot  %q, %v\nwant %q, %s", c.Template, got.Value, got.Err, want.Want+string(want.Base64), want.Error)
	}
}

func TestHasExactlyTheFunctionsOfExternalSecrets(t *testing.T) {
	text, err := os.ReadFile("testdata/functions.txt")
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for name := range functions() {
		have = append(have, name)
	}
	slices.Sort(have)
	if want := strings.Fields(string(text)); !slices.Equal(have, want) {
		t.Errorf("have %v\nwant %v", have, want)
	}
}

func TestEveryFunctionIsInACase(t *testing.T) {
	files, err := filepath.Glob("testdata/peer/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	words := map[string]bool{}
	for _, file := range files {
		if filepath.Base(file) == "data.yaml" {
			continue
		}
		var cases []peerCase
		readYAML(t, file, &cases)
		for _, c := range cases {
			for _, word := range strings.FieldsFunc(c.Template, func(r rune) bool {
				return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
			}) {
				words[word] = true
			}
		}
	}
	for name := range functions() {
		if !words[name] {
			t.Errorf("no case has %s", name)
		}
	}
}
