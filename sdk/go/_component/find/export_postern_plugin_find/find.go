// Package export_postern_plugin_find exports `find`. The name of the package is the bindings' choice.
package export_postern_plugin_find

import (
	witTypes "go.bytecodealliance.org/pkg/wit/types"
	"postern.dev/sdk/go"
	"wit_component/glue"
	"wit_component/guest"
	contract "wit_component/postern_plugin_find"
)

// ListPage answers one page of hits.
func ListPage(c contract.Context, q contract.Query, after witTypes.Option[string]) witTypes.Result[contract.Page, contract.Failure] {
	query := postern.Query{
		Path: glue.Or(q.Path), Tags: glue.OptionsOf(q.Tags), Name: glue.Or(q.Name), Options: glue.OptionsOf(q.Options),
	}
	// The warm-up has looked that it is there.
	page, err := guest.Plugin.(postern.Finder).ListPage(glue.Context(c), glue.Host{}, query, glue.Or(after))
	found := make([]contract.Found, len(page.Found))
	for i, f := range page.Found {
		found[i] = contract.Found{
			Key: f.Key, Name: glue.Some(f.Name), Version: glue.Some(f.Version), Value: glue.Bytes(f.Value),
			Tag: glue.Some(f.Tag), Options: glue.PairsOf(f.Options),
		}
	}
	return glue.Result(contract.Page{
		Found: found, Next: glue.Some(page.Next), NamesApplied: page.NamesApplied, Options: glue.PairsOf(page.Options),
	}, err)
}
