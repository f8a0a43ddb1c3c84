// Package export_postern_plugin_describe exports `describe`. The name of the package is the bindings' choice.
package export_postern_plugin_describe

import (
	"wit_component/glue"
	"wit_component/guest"
	"wit_component/postern_plugin_describe"
)

// Describe answers the host's first question.
func Describe() postern_plugin_describe.Descriptor {
	d := guest.Plugin.Describe()
	asks := make([]postern_plugin_describe.Ask, len(d.Asks))
	for i, a := range d.Asks {
		asks[i] = postern_plugin_describe.Ask{Kind: a.Kind, What: a.What, Why: a.Why, Options: glue.PairsOf(a.Options)}
	}
	return postern_plugin_describe.Descriptor{
		Name: d.Name, Version: d.Version, Serves: d.Serves, ConfigSchema: d.ConfigSchema, Asks: asks,
		BatchSize: d.BatchSize, Summary: d.Summary, Options: glue.PairsOf(d.Options),
	}
}
