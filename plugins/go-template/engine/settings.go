package engine

// Settings are the options of a call. The zero value is right for external-secrets: a missing key is an error, the
// delimiters are {{ and }}, and the rendered text is the value.
type Settings struct {
	// LaxMissingKey renders a missing key as Go's default does, instead of failing.
	LaxMissingKey bool
	Left, Right   string
	Parse         Parse
}

// Parse says what is made of the rendered text; its values are those of the option `parse`.
type Parse string

// What can be made of the rendered text.
const (
	// ParseNothing answers the text.
	ParseNothing Parse = ""
	// ParseYAML answers any YAML as JSON.
	ParseYAML Parse = "yaml"
	// ParseYAMLOrText does so too, and answers a text that is no YAML as a JSON string.
	ParseYAMLOrText Parse = "yaml-or-text"
	// ParseYAMLStrings answers a map of scalars as a JSON object of strings.
	ParseYAMLStrings Parse = "yaml-strings"
)

// ParseSettings reads the options of the plugin contract. A name that it does not know is ignored, a value that it
// does not know is not.
func ParseSettings(options map[string]string) (Settings, error) {
	settings := Settings{Left: options["left"], Right: options["right"]}
	switch missing := options["missingkey"]; missing {
	case "", "error":
	case "default":
		settings.LaxMissingKey = true
	default:
		return Settings{}, invalid("option missingkey is %q, expected error or default", missing)
	}
	switch parse := Parse(options["parse"]); parse {
	case ParseNothing, ParseYAML, ParseYAMLOrText, ParseYAMLStrings:
		settings.Parse = parse
	default:
		return Settings{}, invalid("option parse is %q, expected yaml, yaml-or-text or yaml-strings", parse)
	}
	return settings, nil
}

func (s Settings) missingKey() string {
	if s.LaxMissingKey {
		return "missingkey=default"
	}
	return "missingkey=error"
}

func (s Settings) left() string {
	if s.Left == "" {
		return "{{"
	}
	return s.Left
}
