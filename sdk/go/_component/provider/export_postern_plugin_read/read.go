// Package export_postern_plugin_read exports `read`. The name of the package is the bindings' choice.
package export_postern_plugin_read

import (
	"maps"
	"slices"

	witTypes "go.bytecodealliance.org/pkg/wit/types"
	"postern.dev/sdk/go"
	"wit_component/glue"
	"wit_component/guest"
	contract "wit_component/postern_plugin_read"
)

// GetBatch answers one outcome a request, in order.
func GetBatch(c contract.Context, list []contract.Request) []contract.Outcome {
	requests := make([]postern.Request, len(list))
	for i, r := range list {
		requests[i] = postern.Request{
			Key: r.Key, Version: glue.Or(r.Version), Metadata: r.Metadata, Known: glue.Or(r.Known),
			Options: glue.OptionsOf(r.Options),
		}
		for _, p := range r.Picks {
			requests[i].Picks = append(requests[i].Picks, postern.Pick{Property: glue.Or(p.Property), Members: p.Members})
		}
	}
	outcomes := guest.Plugin.Read(glue.Context(c), glue.Host{}, requests)
	answers := make([]contract.Outcome, len(outcomes))
	for i, o := range outcomes {
		answers[i] = contract.Outcome{Answer: answer(o), Tag: glue.Some(o.Tag), Options: glue.PairsOf(o.Options)}
	}
	return answers
}

func answer(o postern.Outcome) contract.Answer {
	switch {
	case o.Err != nil:
		return contract.MakeAnswerFailed(glue.Failure(o.Err))
	case o.Unchanged:
		return contract.MakeAnswerUnchanged()
	}
	parts := make([]contract.Part, len(o.Parts))
	for i, p := range o.Parts {
		parts[i] = part(p)
	}
	return contract.MakeAnswerParts(parts)
}

func part(p postern.Part) contract.Part {
	switch {
	case p.Err != nil:
		return contract.MakePartFailed(glue.Failure(p.Err))
	case p.Members == nil:
		return contract.MakePartValue(p.Value)
	}
	members := make([]witTypes.Tuple2[string, []byte], 0, len(p.Members))
	for _, name := range slices.Sorted(maps.Keys(p.Members)) {
		members = append(members, witTypes.Tuple2[string, []byte]{F0: name, F1: p.Members[name]})
	}
	return contract.MakePartMembers(members)
}
