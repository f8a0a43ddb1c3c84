// Package engine renders Go templates over secret data.
//
// It is the real text/template with the real sprig and a few functions for certificates and keys. It knows nothing of
// WebAssembly: package export_postern_plugin_render translates between it and the plugin contract. It reads no file,
// no environment and no network, and keeps nothing from one call to the next.
package engine

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"text/template"
)

// Template is one text to render; Name is the key whose value it becomes.
type Template struct {
	Name   string
	Source string
}

// Datum is a value at a path of names: ["remoteRef", "key"] is .remoteRef.key.
type Datum struct {
	Path  []string
	Value []byte
}

// Result is a rendered value, or the reason why there is none.
type Result struct {
	Value []byte
	Err   error
}

// Problem is a mistake in a template that shows without data. Line and Column count from 1; Column counts bytes.
type Problem struct {
	Name    string
	Line    int
	Column  int
	Message string
}

// Failure codes of the plugin contract that this package uses.
const (
	InvalidRequest = "invalid-request"
	Internal       = "internal"
)

// Failure is an error whose message may be shown to anybody: values are redacted.
type Failure struct {
	Code    string
	Message string
}

func (f *Failure) Error() string { return f.Message }

func invalid(format string, args ...any) *Failure {
	return &Failure{Code: InvalidRequest, Message: fmt.Sprintf(format, args...)}
}

// Render renders every template by itself over the same data: templates share no definitions, and the failure of one
// is not another's. The results are in the order of the templates.
func Render(templates []Template, data []Datum, settings Settings) []Result {
	results := make([]Result, len(templates))
	dot, err := shape(data)
	if err != nil {
		for i := range results {
			results[i] = Result{Err: err}
		}
		return results
	}
	redactor := newRedactor(data)
	for i, t := range templates {
		value, err := renderOne(t, dot, settings, redactor)
		results[i] = Result{Value: value, Err: err}
	}
	return results
}

// Check parses every template and executes none.
func Check(templates []Template, settings Settings) []Problem {
	problems := []Problem{}
	for _, t := range templates {
		if _, err := parse(t, settings); err != nil {
			problems = append(problems, locate(t, settings, err))
		}
	}
	return problems
}

func renderOne(t Template, dot any, settings Settings, redactor *redactor) (value []byte, err error) {
	// text/template turns the panics of functions into errors; this is for all else, such as a bug in a library. The
	// panic's text may hold a value, hence it is dropped.
	defer func() {
		if recover() != nil {
			value, err = nil, &Failure{Internal, fmt.Sprintf("unable to execute template at key %s: the engine panicked", t.Name)}
		}
	}()
	parsed, err := parse(t, settings)
	if err != nil {
		return nil, invalid("unable to parse template at key %s: %s", t.Name, redactor.parseError(err))
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, dot); err != nil {
		message := fmt.Sprintf("unable to execute template at key %s: %s", t.Name, redactor.execError(t.Name, t.Source, err))
		return nil, &Failure{Internal, message}
	}
	value, err = settings.Parse.apply(out.Bytes())
	if err != nil {
		reason := redactor.text(unquoted(t.Source, err.Error()))
		return nil, &Failure{Internal, fmt.Sprintf("unable to execute template at key %s: %s", t.Name, reason)}
	}
	return value, nil
}

func parse(t Template, settings Settings) (*template.Template, error) {
	// Cloning the base keeps the function map, which is costly to build.
	clone, err := base.Clone()
	if err != nil {
		return nil, err
	}
	return clone.New(t.Name).Option(settings.missingKey()).Delims(settings.Left, settings.Right).Parse(t.Source)
}

// base has the functions and is never executed, so it can be cloned for ever.
var base = template.New("").Funcs(functions())

// shape builds the dot. If no path has more than one name it is a map[string]string, as templates written for
// external-secrets expect: there `index . "absent"` is the empty string.
func shape(data []Datum) (any, error) {
	flat := make(map[string]string, len(data))
	for _, d := range data {
		if len(d.Path) != 1 {
			return nest(data)
		}
		if _, taken := flat[d.Path[0]]; taken {
			return nil, invalid("two values for the path %q", d.Path[0])
		}
		flat[d.Path[0]] = string(d.Value)
	}
	return flat, nil
}

func nest(data []Datum) (any, error) {
	root := map[string]any{}
	for _, d := range data {
		if len(d.Path) == 0 {
			return nil, invalid("a value has an empty path")
		}
		at := root
		last := len(d.Path) - 1
		for i, name := range d.Path[:last] {
			if at[name] == nil {
				at[name] = map[string]any{}
			}
			next, ok := at[name].(map[string]any)
			if !ok {
				return nil, invalid("the path %q leads through a value", strings.Join(d.Path[:i+1], "."))
			}
			at = next
		}
		if _, taken := at[d.Path[last]]; taken {
			return nil, invalid("two values for the path %q", strings.Join(d.Path, "."))
		}
		at[d.Path[last]] = string(d.Value)
	}
	return root, nil
}

// namedToken finds what a parse error speaks of: the parser tells lines only, and the column is where that stands.
var namedToken = regexp.MustCompile(`^(?:function|undefined variable|unexpected|bad character|.*?) ?"((?:[^"\\]|\\.)+)"`)

func locate(t Template, settings Settings, err error) Problem {
	problem := Problem{Name: t.Name, Line: 1, Column: 1, Message: err.Error()}
	position := regexp.MustCompile(`(?s)^template: ` + regexp.QuoteMeta(t.Name) + `:(\d+): ?(?:\d+: )?(.*)$`)
	found := position.FindStringSubmatch(problem.Message)
	if found == nil {
		return problem
	}
	problem.Message = found[2]
	problem.Line, _ = strconv.Atoi(found[1])
	lines := strings.Split(t.Source, "\n")
	if problem.Line < 1 || problem.Line > len(lines) {
		return problem
	}
	line := lines[problem.Line-1]
	action := max(strings.Index(line, settings.left()), 0)
	problem.Column = action + 1
	if token := namedToken.FindStringSubmatch(problem.Message); token != nil {
		if at := strings.Index(line[action:], token[1]); at >= 0 {
			problem.Column = action + at + 1
		}
	}
	return problem
}
