package postern

import (
	"encoding/json"
	"errors"
	"strings"
)

// Provider reads values of one backend. A provider may also be a [Login] and a [Finder]; postern.toml says so too.
type Provider interface {
	// Describe is pure and quick.
	Describe() Descriptor
	// Examine judges what the schema cannot say of a config: its problems, or what it needs. It is pure, has no network, and
	// is called without credentials for the references, then with them for the endpoints. Options: `provider-key`.
	Examine(config json.RawMessage, credentials []Credential, options Options) (Needs, []Problem)
	// Probe says whether a store can be used. It may use the network; it is cheap.
	Probe(ctx *Context, host Host) error
	// Read answers one outcome a request, in order. One object's failure is no other's.
	Read(ctx *Context, host Host, requests []Request) []Outcome
}

// Login is optional: it turns credentials into a session, so that reading needs no credential.
type Login interface {
	// Open logs in. CodeUnauthenticated where the backend does not accept the credentials.
	Open(ctx *Context, host Host) (Session, error)
	// Renew extends the session in the context; it may yield another token. On a failure the host opens a new one.
	Renew(ctx *Context, host Host) (Session, error)
	// Close ends the session at the backend. A session that is not known there is ended.
	Close(ctx *Context, host Host) error
}

// Finder is optional: it searches the store.
type Finder interface {
	// ListPage answers one page; after is what the page before gave as Next.
	ListPage(ctx *Context, host Host, query Query, after string) (Page, error)
}

// Config reads the config of a call into a type of the provider's own.
func Config[T any](ctx *Context) (T, error) {
	config, problems := ParseConfig[T](ctx.Config)
	if len(problems) > 0 {
		return config, ProblemsError(problems)
	}
	return config, nil
}

// ParseConfig is [Config] for Examine. A problem tells the place only, for a value may be secret.
func ParseConfig[T any](config json.RawMessage) (T, []Problem) {
	var parsed T
	err := json.Unmarshal(config, &parsed)
	if err == nil {
		return parsed, nil
	}
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return parsed, []Problem{{
			Pointer: pointer(kind.Field),
			Message: "this field is of another kind than expected: it has to be a " + kind.Type.String(),
		}}
	}
	return parsed, []Problem{{Message: "the config is not what this plugin expects"}}
}

// ProblemsError is the problems of a config as one failure, for a call that met them without an Examine before it.
func ProblemsError(problems []Problem) *Failure {
	texts := make([]string, len(problems))
	for i, problem := range problems {
		texts[i] = problem.Pointer + ": " + problem.Message
	}
	return InvalidConfig("%s", strings.Join(texts, "; "))
}

// pointer is the JSON Pointer of a dotted path of Go's decoder.
func pointer(field string) string {
	if field == "" {
		return ""
	}
	return "/" + strings.ReplaceAll(field, ".", "/")
}
