// Package export_postern_plugin_check exports `check`. The name of the package is the bindings' choice.
package export_postern_plugin_check

import (
	"encoding/json"
	"time"

	witTypes "go.bytecodealliance.org/pkg/wit/types"
	"postern.dev/sdk/go"
	"wit_component/glue"
	"wit_component/guest"
	contract "wit_component/postern_plugin_check"
)

// Examine answers a config's needs or its problems.
func Examine(config string, credentials []contract.Credential, options glue.Pairs) witTypes.Result[contract.Needs, []contract.Problem] {
	needs, problems := guest.Plugin.Examine(json.RawMessage(config), glue.Credentials(credentials), glue.OptionsOf(options))
	if len(problems) == 0 {
		return witTypes.Ok[contract.Needs, []contract.Problem](translate(needs))
	}
	list := make([]contract.Problem, len(problems))
	for i, p := range problems {
		list[i] = contract.Problem{Pointer: p.Pointer, Message: p.Message, Options: glue.PairsOf(p.Options)}
	}
	return witTypes.Err[contract.Needs](list)
}

// Probe says whether a store can be used.
func Probe(c contract.Context) witTypes.Result[witTypes.Unit, contract.Failure] {
	return glue.Done(guest.Plugin.Probe(glue.Context(c), glue.Host{}))
}

func translate(needs postern.Needs) contract.Needs {
	translated := contract.Needs{PerNamespace: needs.PerNamespace, Options: glue.PairsOf(needs.Options)}
	for _, r := range needs.References {
		options := withDefault(r.Options, r.DefaultKey)
		translated.References = append(translated.References, contract.Reference{
			Pointer: r.Pointer, Audiences: r.Audiences, ExpiresInS: glue.Some(uint32(r.ExpiresIn / time.Second)),
			Options: glue.PairsOf(options),
		})
	}
	for _, e := range needs.Endpoints {
		translated.Endpoints = append(translated.Endpoints, contract.Endpoint{
			Origin: e.Origin, Ca: material(e.CA), ClientCertificate: material(e.ClientCertificate),
			ClientKey: material(e.ClientKey), ServerName: glue.Some(e.ServerName), Options: glue.PairsOf(e.Options),
		})
	}
	return translated
}

func withDefault(options postern.Options, key string) postern.Options {
	if key == "" {
		return options
	}
	all := postern.Options{"default-key": key}
	for name, value := range options {
		all[name] = value
	}
	return all
}

func material(m *postern.Material) witTypes.Option[contract.Material] {
	switch {
	case m == nil:
		return witTypes.None[contract.Material]()
	case m.PEM != nil:
		return witTypes.Some(contract.MakeMaterialPem(m.PEM))
	default:
		return witTypes.Some(contract.MakeMaterialPointer(m.Pointer))
	}
}
