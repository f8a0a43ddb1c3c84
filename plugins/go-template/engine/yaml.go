package engine

import (
	"strings"

	"sigs.k8s.io/yaml"
)

func toYAML(value any) string {
	text, err := yaml.Marshal(value)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(text), "\n")
}

// fromYAML answers a mistake as the value of `Error`, as templates of Helm and external-secrets expect.
func fromYAML(text string) map[string]any {
	document := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		return map[string]any{"Error": err.Error()}
	}
	return document
}

func yamlToJSON(name string, text []byte, redactor *redactor) ([]byte, error) {
	document, err := yaml.YAMLToJSON(text)
	if err != nil {
		reason := quotes.ReplaceAllString(err.Error(), redacted)
		return nil, invalid("unable to parse the rendered YAML at key %s: %s", name, redactor.text(reason))
	}
	return document, nil
}
