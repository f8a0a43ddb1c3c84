package postern

// Engine renders templates. It has no host: what it renders can depend on nothing but the job, the time (time.Now) and
// chance (crypto/rand). Its New answers a postern.Engine, and postern.toml says `world = "template-engine"`.
type Engine interface {
	// Describe is pure and quick.
	Describe() Descriptor
	// Render answers one list a job, one result a template, in order. Options: `missingkey`, `left`, `right`, and
	// `parse` (`yaml`, `yaml-strings`, `yaml-or-text`), which answers the rendered YAML as JSON; a template's own win
	// over these. A failure is CodeInvalidRequest for a template that does not
	// parse, CodeInternal for one that failed while it ran; its message names template, line and column, and never data.
	Render(jobs []Job, options Options) [][]Rendered
	// Check answers problems of the templates by themselves, without data.
	Check(templates []Template, options Options) []TemplateProblem
}

// Template is one template and the name of what it makes.
type Template struct {
	// Name is whose value it becomes; used in messages.
	Name string
	// Source is its text, in the engine's language.
	Source string
	// Options override those of the call.
	Options Options
}

// Datum is a value at a path of names: ["remoteRef", "key"] is `.remoteRef.key`.
type Datum struct {
	Path  []string
	Value Secret
}

// Job is templates over one set of data.
type Job struct {
	Templates []Template
	Data      []Datum
}

// Rendered is what came of one template: Err, else Value.
type Rendered struct {
	Value Secret
	Err   error
}

// TemplateProblem is something wrong with a template.
type TemplateProblem struct {
	// Name of the template.
	Name string
	// Line and Column count from 1; 0 where not known.
	Line, Column uint32
	// Message says what is wrong, without the template's text.
	Message string
	// Options: none is defined yet.
	Options Options
}
