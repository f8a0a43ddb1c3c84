package engine

import (
	"encoding/json"
	"fmt"
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

// apply makes of the rendered text what the host asked for.
func (p Parse) apply(text []byte) ([]byte, error) {
	switch p {
	case ParseYAML:
		document, err := yaml.YAMLToJSON(text)
		if err != nil {
			return nil, fmt.Errorf("could not unmarshal template YAML: %w", err)
		}
		return document, nil
	case ParseYAMLOrText:
		if document, err := yaml.YAMLToJSON(text); err == nil {
			return document, nil
		}
		return json.Marshal(string(text))
	case ParseYAMLStrings:
		// The type makes strings of scalars, which cannot be done as well afterwards: 1e6 is 1000000 in JSON.
		values := map[string]string{}
		if err := yaml.Unmarshal(text, &values); err != nil {
			return nil, fmt.Errorf("could not unmarshal template to 'map[string][]byte': %w", err)
		}
		return json.Marshal(values)
	default:
		return text, nil
	}
}
