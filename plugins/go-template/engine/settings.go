package engine

// Settings are the options of a call. The zero value is right for external-secrets: a missing key is an error, the
// delimiters are {{ and }}, and the rendered text is the value.
type Settings struct {
	// LaxMissingKey renders a missing key as Go's default does, instead of failing.
	LaxMissingKey bool
	Left, Right   string
	// ParseYAML answers the rendered YAML as JSON.
	ParseYAML bool
}

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
	switch format := options["parse"]; format {
	case "":
	case "yaml":
		settings.ParseYAML = true
	default:
		return Settings{}, invalid("option parse is %q, expected yaml", format)
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
