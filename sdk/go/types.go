package postern

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Options are further settings by name; a name that the receiver does not know is ignored.
type Options map[string]string

// Secret is bytes that must not be seen: whatever prints, logs or marshals it writes `<redacted>`. string(s) and []byte(s)
// reveal it.
type Secret []byte

const redacted = "<redacted>"

// Format implements [fmt.Formatter]: every verb prints the same.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue implements [slog.LogValuer].
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements [encoding.TextMarshaler].
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Credential is a reference in the store's config that the host has resolved.
type Credential struct {
	// Pointer is the JSON Pointer of the field in the config.
	Pointer string
	// Value is the bytes, untouched.
	Value Secret
	// Attributes go with it, such as the annotations of a service account (`annotation:NAME`).
	Attributes Options
}

// Context is on whose behalf a call is made.
type Context struct {
	// Config is the provider's part of the store, valid against the schema. See [Config].
	Config json.RawMessage
	// Credentials are resolved references: for Open and Probe, and for Read and ListPage of a provider without a login.
	Credentials []Credential
	// Session is what Open returned, for a provider that has a login; else nil.
	Session Secret
	// Namespace is the one that asks; set only where Examine said PerNamespace.
	Namespace string
	// TimeLeft counts from the start of the call; the host ends the call then.
	TimeLeft time.Duration
	// Options: `provider-key` is the key under spec.provider by which the store names this plugin.
	Options Options
}

// Credential is the resolved reference at a JSON Pointer of the config, and whether there is one.
func (c *Context) Credential(pointer string) (Secret, bool) {
	for _, credential := range c.Credentials {
		if credential.Pointer == pointer {
			return credential.Value, true
		}
	}
	return nil, false
}

// Descriptor is what a plugin says of itself.
type Descriptor struct {
	// Name has up to 64 plain characters; it is shown in every message about the plugin.
	Name string
	// Version is the plugin's own, not the contract's.
	Version string
	// Serves are keys under spec.provider; of a template engine, names for template.engine.
	Serves []string
	// ConfigSchema is a JSON Schema 2020-12 of the config; `x-postern-ref` marks references and their kind.
	ConfigSchema string
	// Asks is what the plugin wants to be allowed.
	Asks []Ask
	// BatchSize is how many objects one Read takes at most; 0 for any number.
	BatchSize uint32
	// Summary is one line for people.
	Summary string
	// Options: none is defined yet.
	Options Options
}

// Ask is something that a plugin wants to be allowed.
type Ask struct {
	// Kind is `host`, `files`, `ambient-identity`, `api-server` or `metadata-address`.
	Kind string
	// What of that kind, such as `*.amazonaws.com:443`.
	What string
	// Why is one line for the administrator.
	Why string
	// Options: none is defined yet.
	Options Options
}

// Problem is something wrong with a config.
type Problem struct {
	// Pointer is the JSON Pointer of the field; empty for the whole.
	Pointer string
	// Message says what is wrong and what would be right, without the field's value where that may be secret.
	Message string
	// Options: none is defined yet.
	Options Options
}

// Needs is what a config needs.
type Needs struct {
	// PerNamespace says that what a read answers depends on the namespace that asks.
	PerNamespace bool
	// References that this config uses; others are not resolved.
	References []Reference
	// Endpoints it will talk to; others are closed.
	Endpoints []Endpoint
	// Options: none is defined yet.
	Options Options
}

// Reference is a field of the config that the host resolves.
type Reference struct {
	// Pointer is the JSON Pointer of the reference in the config.
	Pointer string
	// DefaultKey is the key to take where the reference names none.
	DefaultKey string
	// Audiences, for a service account: whom its token is for.
	Audiences []string
	// ExpiresIn, for a service account: how long its token shall live; 0 for the host's choice.
	ExpiresIn time.Duration
	// Options has no other than DefaultKey yet.
	Options Options
}

// Endpoint is a place that a config names, and how to speak TLS with it.
type Endpoint struct {
	// Origin is scheme, host and port, such as `https://vault.corp:8200`.
	Origin string
	// CA replaces the system's roots.
	CA *Material
	// ClientCertificate is the chain that the host presents.
	ClientCertificate *Material
	// ClientKey is its key.
	ClientKey *Material
	// ServerName is verified instead of the host's name, where it is set.
	ServerName string
	// Options: `ca-default-key`, `client-certificate-default-key`, `client-key-default-key`.
	Options Options
}

// Material is where TLS material comes from: one of the two.
type Material struct {
	// Pointer to a field of the config whose reference the host resolves.
	Pointer string
	// PEM is bytes that were found inside a credential.
	PEM Secret
}

// Request is one object, fetched once, whatever is picked from it.
type Request struct {
	// Key is the provider's name of the object.
	Key string
	// Version; empty for the current one.
	Version string
	// Metadata asks for labels, tags or annotations instead of the value.
	Metadata bool
	// Picks is what is taken from the object; at least one.
	Picks []Pick
	// Known is the tag that all who wait have seen last: where it still holds, [Unchanged] may be the answer.
	Known string
	// Options: none is defined yet.
	Options Options
}

// Pick is what is taken from an object.
type Pick struct {
	// Property is where in the object, in the provider's dialect; empty for the whole.
	Property string
	// Members asks for members by name instead of bytes.
	Members bool
}

// Part is what came of one pick: Err, else Members where they are not nil, else Value.
type Part struct {
	// Value is the bytes, where bytes were picked.
	Value Secret
	// Members by name, where members were picked.
	Members map[string]Secret
	// Err is why there is none; other parts of the object may be well.
	Err error
}

// Outcome is what came of one request: Err, else Unchanged, else one part a pick. See [Parts], [Unchanged] and [Failed].
type Outcome struct {
	// Parts, one a pick, in order.
	Parts []Part
	// Unchanged says that what Known stands for still holds.
	Unchanged bool
	// Err is why the object could not be read.
	Err error
	// Tag changes when the object does; empty where the backend has nothing of the kind.
	Tag string
	// Options: none is defined yet.
	Options Options
}

// Parts is the outcome of an object that was read.
func Parts(tag string, parts ...Part) Outcome { return Outcome{Parts: parts, Tag: tag} }

// Unchanged is the outcome of an object whose known tag still holds.
func Unchanged(tag string) Outcome { return Outcome{Unchanged: true, Tag: tag} }

// Failed is the outcome of an object that could not be read.
func Failed(err error) Outcome { return Outcome{Err: err} }

// Each applies take to each pick. A pick that fails is no other's failure.
func Each(picks []Pick, take func(Pick) (Part, error)) []Part {
	parts := make([]Part, len(picks))
	for i, pick := range picks {
		part, err := take(pick)
		if err != nil {
			part = Part{Err: err}
		}
		parts[i] = part
	}
	return parts
}

// Session is what a login yields. The host keeps it.
type Session struct {
	// Token is opaque to the host; at most 1 MiB.
	Token Secret
	// ExpiresIn is its life; 0 where it does not end. The host renews at two thirds of it.
	ExpiresIn time.Duration
	// Options: none is defined yet.
	Options Options
}

// Query is what is looked for.
type Query struct {
	// Path is where to look, in the provider's dialect; may be empty.
	Path string
	// Tags that an object must have, all of them.
	Tags map[string]string
	// Name is the name expression (RE2), for a backend that can narrow its list by it; may be empty.
	Name string
	// Options: none is defined yet.
	Options Options
}

// Found is one hit.
type Found struct {
	// Key to read it by.
	Key string
	// Name that it gets; empty where that is the key.
	Name string
	// Version to read; may be empty.
	Version string
	// Value, where the list brings it along; else nil.
	Value Secret
	// Tag of that value; may be empty.
	Tag string
	// Options: none is defined yet.
	Options Options
}

// Page is a page of hits.
type Page struct {
	// Found has at most 10,000 hits.
	Found []Found
	// Next is given back as `after` for the next page; empty on the last.
	Next string
	// NamesApplied: the host must not apply the name expression.
	NamesApplied bool
	// Options: none is defined yet.
	Options Options
}
