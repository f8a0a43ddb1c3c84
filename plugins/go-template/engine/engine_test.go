package engine

import (
	"encoding/base64"
	"reflect"
	"strings"
	"testing"
)

func flat(pairs ...string) []Datum {
	var data []Datum
	for i := 0; i < len(pairs); i += 2 {
		data = append(data, Datum{[]string{pairs[i]}, []byte(pairs[i+1])})
	}
	return data
}

func renderText(t *testing.T, source string, data []Datum, settings Settings) (string, error) {
	t.Helper()
	results := Render([]Template{{"key", source}}, data, settings)
	if len(results) != 1 {
		t.Fatalf("%d results for one template", len(results))
	}
	return string(results[0].Value), results[0].Err
}

func mustRender(t *testing.T, source string, data []Datum) string {
	t.Helper()
	text, err := renderText(t, source, data, Settings{})
	if err != nil {
		t.Fatalf("%s: %v", source, err)
	}
	return text
}

func TestRendersSamplesAsGoAndSprigDo(t *testing.T) {
	data := flat("user", "ann", "a-b", "dash", "json", `{"port":5432,"hosts":["p","q"]}`, "binary", "\xff\x00")
	samples := map[string]string{
		`{{ .user }}`:                                          "ann",
		`{{ .user | upper | quote }}`:                          `"ANN"`,
		`{{ .user | b64enc }}`:                                 "YW5u",
		`{{ "YW5u" | b64dec }}`:                                "ann",
		`{{ index . "a-b" }}`:                                  "dash",
		`{{ index . "absent" }}`:                               "",
		`{{ (.json | fromJson).port }}`:                        "5432",
		`{{ range (.json | fromJson).hosts }}[{{ . }}]{{end}}`: "[p][q]",
		`{{ .user | sha256sum | trunc 8 }}`:                    "49915e0d",
		`{{ .binary }}`:                                        "\xff\x00",
		`{{ dict "a" (list 1 2) | toYaml }}`:                   "a:\n- 1\n- 2",
		`{{ ("x: [1, two]" | fromYaml).x | join "," }}`:        "1,two",
		`{{ date_in_zone "15:04" (toDate "2006-01-02T15:04Z07:00" "2024-07-01T10:00Z") "Europe/Berlin" }}`: "12:00",
		`{{ "1.2.3" | semverCompare "^1.0.0" }}`:                                                           "true",
		`{{ define "t" }}<{{ . }}>{{ end }}{{ template "t" .user }}`:                                       "<ann>",
	}
	for source, want := range samples {
		if got := mustRender(t, source, data); got != want {
			t.Errorf("%s: got %q, want %q", source, got, want)
		}
	}
}

func TestReachesNestedValuesByPath(t *testing.T) {
	data := []Datum{
		{[]string{"remoteRef", "key"}, []byte("db")},
		{[]string{"remoteRef", "property"}, []byte("pw")},
		{[]string{"auth"}, []byte("token")},
	}
	if got := mustRender(t, `{{ .remoteRef.key }}/{{ .remoteRef.property }}?{{ .auth }}`, data); got != "db/pw?token" {
		t.Errorf("got %q", got)
	}
}

func TestRefusesDataThatContradictsItself(t *testing.T) {
	for _, data := range [][]Datum{
		{{[]string{"a"}, nil}, {[]string{"a", "b"}, nil}},
		{{[]string{"a", "b"}, nil}, {[]string{"a"}, nil}},
		{{[]string{"a"}, nil}, {[]string{"a"}, nil}},
		{{nil, nil}},
	} {
		_, err := renderText(t, "x", data, Settings{})
		if err == nil || err.(*Failure).Code != InvalidRequest {
			t.Errorf("%v: %v", data, err)
		}
	}
}

func TestReportsParseErrorWithTheKey(t *testing.T) {
	_, err := renderText(t, `{{ nosuch .x }}`, flat("x", "y"), Settings{})
	want := `unable to parse template at key key: template: key:1: function "nosuch" not defined`
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

func TestMissingKeyIsAnErrorUnlessAllowed(t *testing.T) {
	_, err := renderText(t, `{{ .absent }}`, flat("x", "y"), Settings{})
	want := `unable to execute template at key key: template: key:1:3: executing "key" at <.absent>: map has no entry for key "absent"`
	if err == nil || err.Error() != want || err.(*Failure).Code != Internal {
		t.Errorf("got %v", err)
	}
	settings, err := ParseSettings(map[string]string{"missingkey": "default", "unknown": "ignored"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := renderText(t, `{{ .absent }}`, flat("x", "y"), settings); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestOneTemplatesFailureIsNotAnothers(t *testing.T) {
	results := Render([]Template{{"a", `{{ define "d" }}1{{ end }}ok`}, {"b", `{{ .absent }}`}, {"c", `{{ template "d" }}`}, {"d", `{{ .x }}`}},
		flat("x", "y"), Settings{})
	if results[0].Err != nil || results[1].Err == nil || results[2].Err == nil || results[3].Err != nil {
		t.Errorf("got %v", results)
	}
}

func TestHonoursDelimiters(t *testing.T) {
	settings, err := ParseSettings(map[string]string{"left": "[[", "right": "]]"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := renderText(t, `[[ .x ]]{{ .x }}`, flat("x", "y"), settings)
	if err != nil || got != "y{{ .x }}" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestRefusesOptionValuesItDoesNotKnow(t *testing.T) {
	for name, value := range map[string]string{"missingkey": "zero", "parse": "toml"} {
		if _, err := ParseSettings(map[string]string{name: value}); err == nil {
			t.Errorf("%s=%s was accepted", name, value)
		}
	}
}

func TestAnswersRenderedYAMLAsJSON(t *testing.T) {
	samples := []struct {
		parse        Parse
		source, want string
	}{
		{ParseYAML, "a: {{ .x }}\nb: [yes, 0x10, 9007199254740993, 1e6]", `{"a":true,"b":[true,16,9007199254740993,1000000]}`},
		{ParseYAML, "- {{ .x }}", `[true]`},
		{ParseYAML, "{{ .x }}", `true`},
		{ParseYAML, "", `null`},
		{ParseYAMLOrText, "a: {{ .x }}", `{"a":true}`},
		{ParseYAMLOrText, "a: b: {{ .x }}", `"a: b: y"`},
		{ParseYAMLStrings, "a: {{ .x }}\nb: 0x10\nc: 1e6\nd: 9007199254740993\ne: null\nf: ''\n1: one", `{"1":"one","a":"true","b":"16","c":"1e+06","d":"9007199254740993","e":"","f":""}`},
		{ParseYAMLStrings, `{"a": "{{ .x }}"}`, `{"a":"y"}`},
		{ParseYAMLStrings, "", `{}`},
	}
	for _, sample := range samples {
		got, err := renderText(t, sample.source, flat("x", "y"), Settings{Parse: sample.parse})
		if err != nil || got != sample.want {
			t.Errorf("%s of %q: got %s, %v", sample.parse, sample.source, got, err)
		}
	}
}

func TestFailsWhereRenderedYAMLIsNotWhatWasAskedFor(t *testing.T) {
	samples := []struct {
		parse         Parse
		source, value string
		says          string
	}{
		{ParseYAML, "a: {{ .x }}", "topsecret: 'oops", "could not unmarshal template YAML: "},
		{ParseYAMLStrings, "a: {{ .x }}", "topsecret: 'oops", "could not unmarshal template to 'map[string][]byte': "},
		{ParseYAMLStrings, "a: {{ .x }}", "[topsecret]", "could not unmarshal template to 'map[string][]byte': "},
		{ParseYAMLStrings, "{{ .x }}", "topsecret", "could not unmarshal template to 'map[string][]byte': "},
		{ParseYAMLStrings, "- {{ .x }}", "topsecret", "could not unmarshal template to 'map[string][]byte': "},
	}
	for _, sample := range samples {
		_, err := renderText(t, sample.source, flat("x", sample.value), Settings{Parse: sample.parse})
		if err == nil || strings.Contains(err.Error(), "topsecret") || err.(*Failure).Code != Internal ||
			!strings.HasPrefix(err.Error(), "unable to execute template at key key: "+sample.says) {
			t.Errorf("%s of %q: %v", sample.parse, sample.source, err)
		}
	}
}

func TestHasNoFunctionThatLooksAtTheMachine(t *testing.T) {
	for _, source := range []string{`{{ env "HOME" }}`, `{{ expandenv "$HOME" }}`, `{{ getHostByName "localhost" }}`} {
		if _, err := renderText(t, source, nil, Settings{}); err == nil || !strings.Contains(err.Error(), "not defined") {
			t.Errorf("%s: %v", source, err)
		}
	}
}

func TestDrawsDifferentRandomValues(t *testing.T) {
	for _, source := range []string{`{{ uuidv4 }}`, `{{ randAlphaNum 20 }}`, `{{ shuffle "abcdefghijklmnopqrstuvwxyz" }}`, `{{ randInt 0 1000000000 }}`} {
		if a, b := mustRender(t, source, nil), mustRender(t, source, nil); a == b {
			t.Errorf("%s repeats %q", source, a)
		}
	}
}

func TestErrorsNeverShowValues(t *testing.T) {
	const secret = "s3cr3t-Value\n\"x\""
	encoded := base64.StdEncoding.EncodeToString([]byte(secret))
	data := flat("p", secret, "e", encoded, "j", `{"inner":"deep-secret-1","n":123456}`, "twice", base64.StdEncoding.EncodeToString([]byte(encoded)))
	for source, keeps := range map[string]string{
		`{{ mustToDate "2006" .p }}`:                         "error calling mustToDate: ",
		`{{ mustToDate "2006" (.e | b64dec) }}`:              "error calling mustToDate: ",
		`{{ mustToDate "2006" (.twice | b64dec | b64dec) }}`: "error calling mustToDate: ",
		`{{ mustToDate "2006" (.j | fromJson).inner }}`:      "error calling mustToDate: ",
		`{{ mustRegexMatch (printf "(%s" .p) "x" }}`:         "error calling mustRegexMatch: ",
		`{{ fail .p }}`:              "error calling fail: <redacted>",
		`{{ fail (.e | b64dec) }}`:   "error calling fail: <redacted>",
		`{{ index .p "a" }}`:         "error calling index: ",
		`{{ fail "give a user" }}`:   "error calling fail: give a user",
		`{{ .p.q }}`:                 "can't evaluate field q in type string",
		`{{ template "x" }}{{ .p }}`: `template "x" not defined`,
		`{{ mustFromJson .p }}`:      "error calling mustFromJson: ",
		`{{ filterPEM "CERTIFICATE" (printf "-----BEGIN %s" .p) }}`: "error calling filterPEM: error filtering pem: found junk",
	} {
		_, err := renderText(t, source, data, Settings{})
		if err == nil {
			t.Errorf("%s: no error", source)
			continue
		}
		message := err.Error()
		if !strings.HasPrefix(message, "unable to execute template at key key: template: key:1:") || !strings.Contains(message, keeps) {
			t.Errorf("%s: %s", source, message)
		}
		for _, leak := range []string{"s3cr3t", "Value", "deep-secret", encoded, "123456"} {
			if strings.Contains(message, leak) {
				t.Errorf("%s leaks: %s", source, message)
			}
		}
	}
}

func TestRedactionKeepsPositionAndFunctionWhenAValueLooksLikeThem(t *testing.T) {
	_, err := renderText(t, `{{ fail "calling off" }}`, flat("a", "template", "b", "executing", "c", "calling", "d", "fail"), Settings{})
	want := `unable to execute template at key key: template: key:1:3: executing "key" at <<redacted> "<redacted> off">: error calling fail: <redacted> off`
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

func TestCheckTellsLineAndColumn(t *testing.T) {
	problems := Check([]Template{
		{"good", `{{ .x }}`},
		{"a:b", "first\n  {{ nosuch .x }}"},
		{"open", "x\n\n{{ if .x }}"},
		{"token", `ab {{ .x } }}`},
	}, Settings{})
	want := []Problem{
		{"a:b", 2, 6, `function "nosuch" not defined`},
		{"open", 3, 1, "unexpected EOF"},
		{"token", 1, 10, `unexpected "}" in operand`},
	}
	if !reflect.DeepEqual(problems, want) {
		t.Errorf("got %+v", problems)
	}
}
