// Package export_postern_plugin_render translates between the plugin contract and the engine, and decides nothing.
// The name of the package is the bindings' choice.
package export_postern_plugin_render

import (
	"errors"
	"wit_component/postern_plugin_render"
	"wit_component/postern_plugin_types"

	witTypes "go.bytecodealliance.org/pkg/wit/types"
	"postern.internal/go-template/engine"
)

type (
	options = []witTypes.Tuple2[string, string]
	result  = witTypes.Result[[]byte, postern_plugin_types.Failure]
)

// Render answers one list a job, one result a template, in order.
func Render(jobs []postern_plugin_render.Job, callOptions options) [][]result {
	answers := make([][]result, len(jobs))
	for i, job := range jobs {
		data := make([]engine.Datum, len(job.Data))
		for j, d := range job.Data {
			data[j] = engine.Datum{Path: d.Path, Value: d.Value}
		}
		answers[i] = renderJob(job.Templates, data, callOptions)
	}
	return answers
}

// Most templates of a job have the same settings; the engine is called once for all that have.
func renderJob(templates []postern_plugin_types.Template, data []engine.Datum, callOptions options) []result {
	results := make([]result, len(templates))
	members := map[engine.Settings][]int{}
	for i, t := range templates {
		settings, err := engine.ParseSettings(merged(callOptions, t.Options))
		if err != nil {
			results[i] = failed(err)
			continue
		}
		members[settings] = append(members[settings], i)
	}
	for settings, indexes := range members {
		group := make([]engine.Template, len(indexes))
		for j, i := range indexes {
			group[j] = engine.Template{Name: templates[i].Name, Source: templates[i].Source}
		}
		for j, rendered := range engine.Render(group, data, settings) {
			results[indexes[j]] = translate(rendered)
		}
	}
	return results
}

// Check answers the problems of all templates.
func Check(templates []postern_plugin_types.Template, callOptions options) []postern_plugin_render.Problem {
	answer := []postern_plugin_render.Problem{}
	for _, t := range templates {
		settings, err := engine.ParseSettings(merged(callOptions, t.Options))
		if err != nil {
			answer = append(answer, postern_plugin_render.Problem{Name: t.Name, Line: 1, Column: 1, Message: err.Error()})
			continue
		}
		for _, p := range engine.Check([]engine.Template{{Name: t.Name, Source: t.Source}}, settings) {
			answer = append(answer, postern_plugin_render.Problem{
				Name: p.Name, Line: uint32(p.Line), Column: uint32(p.Column), Message: p.Message,
			})
		}
	}
	return answer
}

func translate(r engine.Result) result {
	if r.Err != nil {
		return failed(r.Err)
	}
	return witTypes.Ok[[]byte, postern_plugin_types.Failure](r.Value)
}

func failed(err error) result {
	// An error that the engine did not word itself may hold a value.
	failure := &engine.Failure{Code: engine.Internal, Message: "the template engine failed"}
	errors.As(err, &failure)
	return witTypes.Err[[]byte](postern_plugin_types.Failure{
		Code: failure.Code, Message: failure.Message, RetryAfterMs: witTypes.None[uint64](),
	})
}

// merged lets a template's own options win over those of the call.
func merged(call, own options) map[string]string {
	all := map[string]string{}
	for _, list := range []options{call, own} {
		for _, o := range list {
			all[o.F0] = o.F1
		}
	}
	return all
}
