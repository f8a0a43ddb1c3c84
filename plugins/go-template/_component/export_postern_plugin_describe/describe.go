// Package export_postern_plugin_describe says what this plugin is. The name of the package is the bindings' choice.
package export_postern_plugin_describe

import "wit_component/postern_plugin_describe"

// Describe answers the host's first question.
func Describe() postern_plugin_describe.Descriptor {
	return postern_plugin_describe.Descriptor{
		Name:         "go-template",
		Version:      "0.1.0",
		Serves:       []string{"go"},
		ConfigSchema: `{"type":"object"}`,
		Summary:      "Go text/template with sprig and functions for certificates and keys",
	}
}
