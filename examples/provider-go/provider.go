// Package doppler is a provider for Doppler, the same as those in Rust, Python and JavaScript beside it. This file is what
// the contract asks for; wire.go is what Doppler is asked and what its answers mean.
package doppler

import (
	_ "embed"
	"encoding/json"
	"strconv"

	"postern.dev/sdk/go"
)

const (
	defaultURL   = "https://api.doppler.com"
	tokenPointer = "/auth/secretRef/dopplerToken"
)

//go:embed schema.json
var schema string

// config is what lies below spec.provider.doppler. The token's reference is the host's matter.
type config struct {
	Project         string `json:"project"`
	Config          string `json:"config"`
	NameTransformer string `json:"nameTransformer"`
	Format          string `json:"format"`
	BaseURL         string `json:"baseUrl"`
}

type provider struct{}

// New answers the provider.
func New() postern.Provider { return provider{} }

// Describe implements [postern.Provider].
func (provider) Describe() postern.Descriptor {
	return postern.Descriptor{
		Name:         "doppler-go",
		Version:      "0.1.0",
		Serves:       []string{"doppler"},
		ConfigSchema: schema,
		Asks:         []postern.Ask{{Kind: "host", What: "*", Why: "the store's baseUrl, by default " + defaultURL}},
		// One download holds all secrets of a config, so one call may take any number.
		BatchSize: 0,
		Summary:   "secrets of a Doppler config",
	}
}

// Examine implements [postern.Provider].
func (provider) Examine(raw json.RawMessage, _ []postern.Credential, _ postern.Options) (postern.Needs, []postern.Problem) {
	c, problems := parse(raw)
	if len(problems) > 0 {
		return postern.Needs{}, problems
	}
	return postern.Needs{
		References: []postern.Reference{{Pointer: tokenPointer, DefaultKey: "dopplerToken"}},
		Endpoints:  []postern.Endpoint{{Origin: c.BaseURL}},
	}, nil
}

// Probe implements [postern.Provider].
func (provider) Probe(ctx *postern.Context, host postern.Host) error {
	_, _, err := exchange(ctx, host, "check the token", func(config) string { return "/v3/me" }, "")
	return err
}

// Read implements [postern.Provider]: one download for the whole batch.
func (provider) Read(ctx *postern.Context, host postern.Host, requests []postern.Request) []postern.Outcome {
	if len(requests) == 0 {
		return nil
	}
	loaded, err := download(ctx, host, known(requests))
	status := strconv.Itoa(loaded.status)
	if err != nil {
		status = string(postern.AsFailure(err).Code)
	}
	host.Logger().Debug("read", "status", status, "objects", len(requests))
	outcomes := make([]postern.Outcome, len(requests))
	for i, request := range requests {
		outcomes[i] = loaded.outcome(request, err)
	}
	return outcomes
}

func parse(raw json.RawMessage) (config, []postern.Problem) {
	c, problems := postern.ParseConfig[config](raw)
	if len(problems) > 0 {
		return c, problems
	}
	if c.BaseURL == "" {
		c.BaseURL = defaultURL
	}
	if origin, ok := postern.Origin(c.BaseURL); !ok || origin != c.BaseURL {
		problems = append(problems, postern.Problem{
			Pointer: "/baseUrl",
			Message: "this has to be http:// or https:// with a host and nothing behind it, such as " + defaultURL,
		})
	}
	if c.Format != "" && c.Format != "json" {
		problems = append(problems, postern.Problem{
			Pointer: "/format", Message: "this provider reads the format json only: remove the field",
		})
	}
	return c, problems
}

// known is the tag that all requests carry; one that does not know it needs the values.
func known(requests []postern.Request) string {
	for _, request := range requests {
		if request.Known != requests[0].Known {
			return ""
		}
	}
	return requests[0].Known
}
