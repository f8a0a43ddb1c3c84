// Package export_postern_plugin_login exports `login`. The name of the package is the bindings' choice.
package export_postern_plugin_login

import (
	witTypes "go.bytecodealliance.org/pkg/wit/types"
	"postern.dev/sdk/go"
	"wit_component/glue"
	"wit_component/guest"
	contract "wit_component/postern_plugin_login"
)

// Open logs in.
func Open(c contract.Context) witTypes.Result[contract.Session, contract.Failure] {
	return result(login().Open(glue.Context(c), glue.Host{}))
}

// Renew extends a session.
func Renew(c contract.Context) witTypes.Result[contract.Session, contract.Failure] {
	return result(login().Renew(glue.Context(c), glue.Host{}))
}

// Close ends a session.
func Close(c contract.Context) witTypes.Result[witTypes.Unit, contract.Failure] {
	return glue.Done(login().Close(glue.Context(c), glue.Host{}))
}

// login is there: the warm-up has looked.
func login() postern.Login { return guest.Plugin.(postern.Login) }

func result(s postern.Session, err error) witTypes.Result[contract.Session, contract.Failure] {
	return glue.Result(contract.Session{
		Token: s.Token, ExpiresInMs: glue.Millis(s.ExpiresIn), Options: glue.PairsOf(s.Options),
	}, err)
}
