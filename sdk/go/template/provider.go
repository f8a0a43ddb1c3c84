// Package template_provider reads values that a web server holds: GET {url}/{key}.
//
// It is where a provider of your own begins: replace the config, the request and what an answer means.
package template_provider

import (
	_ "embed"
	"encoding/json"
	"strings"

	"postern.dev/sdk/go"
)

// The host checks a store's config against this schema before anything here runs. `x-postern-ref` marks references: the
// host resolves them, so a plugin never sees the Kubernetes API.
//
//go:embed schema.json
var schema string

// tokenPointer is where the reference stands in the config, as a JSON Pointer.
const tokenPointer = "/auth/secretRef/token"

// config is the provider's part of a store, below spec.provider.templateProvider.
type config struct {
	URL  string `json:"url"`
	Auth struct {
		SecretRef struct {
			Token *struct{} `json:"token"`
		} `json:"secretRef"`
	} `json:"auth"`
}

type provider struct{}

// New is what `postern plugin build` looks for. It runs once, when the component is built: keep nothing in the provider
// that must differ between calls.
func New() postern.Provider { return provider{} }

// Describe says what this plugin is. Hosts in Asks are what an administrator is asked to allow.
func (provider) Describe() postern.Descriptor {
	return postern.Descriptor{
		Name:         "template-provider",
		Version:      "0.1.0",
		Serves:       []string{"templateProvider"},
		ConfigSchema: schema,
		Asks:         []postern.Ask{{Kind: "host", What: "*", Why: "the url of the store"}},
		BatchSize:    20,
		Summary:      "Values that a web server holds, one a path",
	}
}

// Examine judges a config: its problems, or the references and places that it needs. Without network.
func (provider) Examine(raw json.RawMessage, _ []postern.Credential, _ postern.Options) (postern.Needs, []postern.Problem) {
	c, problems := postern.ParseConfig[config](raw)
	if len(problems) > 0 {
		return postern.Needs{}, problems
	}
	origin, ok := postern.Origin(c.URL)
	if !ok {
		return postern.Needs{}, []postern.Problem{{
			Pointer: "/url", Message: "this has to be an http or https URL, such as https://secrets.example.com/app",
		}}
	}
	needs := postern.Needs{Endpoints: []postern.Endpoint{{Origin: origin}}}
	if c.Auth.SecretRef.Token != nil {
		needs.References = []postern.Reference{{Pointer: tokenPointer, DefaultKey: "token"}}
	}
	return needs, nil
}

// Probe says whether a store can be used: cheap, and without a key of a user.
func (provider) Probe(ctx *postern.Context, host postern.Host) error {
	c, err := postern.Config[config](ctx)
	if err != nil {
		return err
	}
	response, err := host.Send(request(ctx, c, ""))
	if err != nil {
		return err // The host's own words name what opens the door.
	}
	if response.Status == 404 {
		return nil // The server is there; it need not list what it has.
	}
	return response.Err("reach the store's url")
}

// Read answers one outcome a request, in order. All requests of the batch go out at once.
func (provider) Read(ctx *postern.Context, host postern.Host, requests []postern.Request) []postern.Outcome {
	outcomes := make([]postern.Outcome, len(requests))
	c, err := postern.Config[config](ctx)
	if err != nil {
		for i := range outcomes {
			outcomes[i] = postern.Failed(err)
		}
		return outcomes
	}
	var sent []postern.HTTPRequest
	var places []int // Of each sent request: which outcome it makes.
	for i, wanted := range requests {
		if err := refuse(wanted); err != nil {
			outcomes[i] = postern.Failed(err)
			continue
		}
		r := request(ctx, c, wanted.Key)
		if wanted.Known != "" {
			r = r.With("if-none-match", wanted.Known)
		}
		sent, places = append(sent, r), append(places, i)
	}
	for j, result := range host.SendAll(sent) {
		outcomes[places[j]] = outcome(requests[places[j]], result)
	}
	host.Logger().Debug("read", "objects", len(requests))
	return outcomes
}

// refuse says what this provider does not do, so that it is not done wrongly.
func refuse(wanted postern.Request) error {
	if wanted.Version != "" || wanted.Metadata {
		return postern.Unsupported("this provider has no versions and no metadata: remove them from the key %q", wanted.Key)
	}
	for segment := range strings.SplitSeq(wanted.Key, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return postern.InvalidRequest("the key %q is no path below the store's url", wanted.Key)
		}
	}
	return nil
}

func request(ctx *postern.Context, c config, key string) postern.HTTPRequest {
	r := postern.Get(strings.TrimRight(c.URL, "/") + "/" + postern.EscapePath(key))
	if token, ok := ctx.Credential(tokenPointer); ok {
		r = r.Bearer(token)
	}
	return r
}

// outcome says what an answer means. No message holds anything of the answer's body.
func outcome(wanted postern.Request, result postern.HTTPResult) postern.Outcome {
	if result.Err != nil {
		return postern.Failed(result.Err)
	}
	response := result.Response
	switch response.Status {
	case 304:
		return postern.Unchanged(wanted.Known)
	case 404:
		// Absent says: the object is gone, with authority. It is the only failure that may delete a Secret.
		return postern.Failed(postern.Absent("the server has no key %q", wanted.Key))
	}
	if err := response.Err("read the key " + wanted.Key); err != nil {
		return postern.Failed(err)
	}
	parts := postern.Each(wanted.Picks, func(pick postern.Pick) (postern.Part, error) {
		return postern.PickJSON(response.Body, pick, "the key "+wanted.Key)
	})
	return postern.Parts(response.Header.Get("etag"), parts...)
}
