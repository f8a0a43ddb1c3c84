package doppler

import (
	"encoding/json"
	"net/url"
	"strings"

	"postern.dev/sdk/go"
)

// loaded is a config as it was downloaded.
type loaded struct {
	secrets map[string]string
	tag     string
	status  int
	where   string
}

func download(ctx *postern.Context, host postern.Host, known string) (loaded, error) {
	response, c, err := exchange(ctx, host, "download the secrets", downloadPath, known)
	if err != nil {
		return loaded{}, err
	}
	got := loaded{tag: response.Header.Get("etag"), status: response.Status, where: c.place()}
	if response.Status == 304 {
		return got, nil
	}
	if json.Unmarshal(response.Body, &got.secrets) != nil || got.secrets == nil {
		return loaded{}, postern.Internal("cannot download %s: the answer is no JSON object of texts; check that baseUrl is Doppler's", c.place())
	}
	return got, nil
}

// exchange sends one GET; an answer is 2xx, or 304 where a tag was sent.
func exchange(ctx *postern.Context, host postern.Host, what string, path func(config) string, known string) (*postern.HTTPResponse, config, error) {
	c, problems := parse(ctx.Config)
	if len(problems) > 0 {
		return nil, c, postern.ProblemsError(problems)
	}
	token, ok := ctx.Credential(tokenPointer)
	if !ok {
		return nil, c, postern.InvalidConfig("no token was given for %s", tokenPointer)
	}
	request := postern.Get(c.BaseURL+path(c)).With("accept", "application/json").Bearer(token)
	if known != "" {
		request = request.With("if-none-match", known)
	}
	response, err := host.Send(request)
	if err != nil {
		return nil, c, err
	}
	if known != "" && response.Status == 304 {
		return response, c, nil
	}
	return response, c, response.Err(what + " of " + c.place())
}

// downloadPath has its parameters in a fixed order, so that a cache in between sees one URL.
func downloadPath(c config) string {
	path := "/v3/configs/config/secrets/download?format=json"
	for _, parameter := range []struct{ name, value string }{
		{"project", c.Project}, {"config", c.Config}, {"name_transformer", c.NameTransformer},
	} {
		if parameter.value != "" {
			path += "&" + parameter.name + "=" + strings.ReplaceAll(url.QueryEscape(parameter.value), "+", "%20")
		}
	}
	return path
}

// place names what is read, for messages.
func (c config) place() string {
	if c.Project == "" && c.Config == "" {
		return "the token's own config"
	}
	return "project " + or(c.Project, "of the token") + ", config " + or(c.Config, "of the token")
}

func or(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// outcome is what came of one object. All of a config stands or falls together; only a secret that is not in it fails
// alone.
func (l loaded) outcome(request postern.Request, err error) postern.Outcome {
	if request.Metadata || request.Version != "" {
		return postern.Failed(postern.Unsupported(
			"Doppler's download has neither versions nor metadata of %q: remove version and metadataPolicy", request.Key))
	}
	if err != nil {
		return postern.Failed(err)
	}
	if l.status == 304 {
		return postern.Unchanged(request.Known)
	}
	value, ok := l.secrets[request.Key]
	if !ok {
		return postern.Failed(postern.Absent("there is no secret %q in %s", request.Key, l.where))
	}
	return postern.Parts(l.tag, postern.Each(request.Picks, func(pick postern.Pick) (postern.Part, error) {
		return postern.PickJSON([]byte(value), pick, "the secret "+request.Key)
	})...)
}
