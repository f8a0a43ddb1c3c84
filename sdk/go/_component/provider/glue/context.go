package glue

import (
	"encoding/json"

	"postern.dev/sdk/go"
	"wit_component/postern_plugin_types"
)

// Context is the contract's context as the SDK has it.
func Context(c postern_plugin_types.Context) *postern.Context {
	return &postern.Context{
		Config: json.RawMessage(c.Config), Credentials: Credentials(c.Credentials), Session: Or(c.Session),
		Namespace: Or(c.Namespace), TimeLeft: Duration(uint64(c.DeadlineMs)), Options: OptionsOf(c.Options),
	}
}

// Credentials are resolved references.
func Credentials(list []postern_plugin_types.Credential) []postern.Credential {
	credentials := make([]postern.Credential, len(list))
	for i, c := range list {
		credentials[i] = postern.Credential{Pointer: c.Pointer, Value: c.Value, Attributes: OptionsOf(c.Attributes)}
	}
	return credentials
}
