// Package export_postern_plugin_render exports `render`. The name of the package is the bindings' choice.
package export_postern_plugin_render

import (
	witTypes "go.bytecodealliance.org/pkg/wit/types"
	"postern.dev/sdk/go"
	"wit_component/glue"
	"wit_component/guest"
	contract "wit_component/postern_plugin_render"
	"wit_component/postern_plugin_types"
)

type result = witTypes.Result[[]byte, postern_plugin_types.Failure]

// Render answers one list a job, one result a template, in order.
func Render(list []contract.Job, options glue.Pairs) [][]result {
	jobs := make([]postern.Job, len(list))
	for i, job := range list {
		jobs[i].Templates = templates(job.Templates)
		for _, d := range job.Data {
			jobs[i].Data = append(jobs[i].Data, postern.Datum{Path: d.Path, Value: d.Value})
		}
	}
	rendered := guest.Plugin.Render(jobs, glue.OptionsOf(options))
	answers := make([][]result, len(rendered))
	for i, job := range rendered {
		answers[i] = make([]result, len(job))
		for j, r := range job {
			answers[i][j] = glue.Result([]byte(r.Value), r.Err)
		}
	}
	return answers
}

// Check answers the problems of all templates.
func Check(list []postern_plugin_types.Template, options glue.Pairs) []contract.Problem {
	problems := guest.Plugin.Check(templates(list), glue.OptionsOf(options))
	answers := make([]contract.Problem, len(problems))
	for i, p := range problems {
		answers[i] = contract.Problem{
			Name: p.Name, Line: p.Line, Column: p.Column, Message: p.Message, Options: glue.PairsOf(p.Options),
		}
	}
	return answers
}

func templates(list []postern_plugin_types.Template) []postern.Template {
	all := make([]postern.Template, len(list))
	for i, t := range list {
		all[i] = postern.Template{Name: t.Name, Source: t.Source, Options: glue.OptionsOf(t.Options)}
	}
	return all
}
