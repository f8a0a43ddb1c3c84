// Package posterntest has what a plugin's own tests need: a host over Go's standard library. It is for `go test` only.
package posterntest

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"postern.dev/sdk/go"
)

// Host implements [postern.Host]. Its zero value has a network and nothing else.
type Host struct {
	// Client makes the exchanges; nil for one that follows no redirect, as Postern does not.
	Client *http.Client
	// Files by `root/path`.
	Files map[string][]byte
	// Clock is the time; nil for the real one.
	Clock func() time.Time
	// Logs is where log lines go, as slog's text; nil for nowhere.
	Logs io.Writer
	// Engine renders templates; nil for none.
	Engine postern.Engine
}

var _ postern.Host = (*Host)(nil)

// Context makes a context of a config and its credentials by JSON Pointer.
func Context(config string, credentials map[string]string) *postern.Context {
	ctx := &postern.Context{Config: json.RawMessage(config), TimeLeft: 30 * time.Second, Options: postern.Options{}}
	for pointer, value := range credentials {
		ctx.Credentials = append(ctx.Credentials, postern.Credential{Pointer: pointer, Value: postern.Secret(value)})
	}
	return ctx
}

// Send implements [postern.Host].
func (h *Host) Send(request postern.HTTPRequest) (*postern.HTTPResponse, error) {
	out, err := http.NewRequest(request.Method, request.URL, bytes.NewReader(request.Body))
	if err != nil {
		return nil, postern.InvalidRequest("the request is none: its URL or method does not parse")
	}
	for _, field := range request.Header {
		out.Header.Add(field.Name, field.Value)
	}
	in, err := h.client().Do(out)
	if err != nil {
		return nil, postern.Unavailable("cannot reach %s", out.URL.Host)
	}
	defer func() { _ = in.Body.Close() }()
	body, err := io.ReadAll(in.Body)
	if err != nil {
		return nil, postern.Unavailable("the answer of %s broke off", out.URL.Host)
	}
	response := &postern.HTTPResponse{Status: in.StatusCode, Body: body}
	for name, values := range in.Header {
		for _, value := range values {
			response.Header = append(response.Header, postern.Field{Name: strings.ToLower(name), Value: value})
		}
	}
	return response, nil
}

// SendAll implements [postern.Host], one after the other.
func (h *Host) SendAll(requests []postern.HTTPRequest) []postern.HTTPResult {
	results := make([]postern.HTTPResult, len(requests))
	for i, request := range requests {
		results[i].Response, results[i].Err = h.Send(request)
	}
	return results
}

// ReadFile implements [postern.Host].
func (h *Host) ReadFile(root, name string) ([]byte, error) {
	content, ok := h.Files[path.Join(root, name)]
	if !ok {
		return nil, postern.NotFound("there is no file %s in %s", name, root)
	}
	return content, nil
}

// ListDir implements [postern.Host].
func (h *Host) ListDir(root, name string) ([]string, error) {
	prefix := path.Join(root, name) + "/"
	var names []string
	for file := range h.Files {
		if rest, ok := strings.CutPrefix(file, prefix); ok {
			first, _, folder := strings.Cut(rest, "/")
			if folder {
				first += "/"
			}
			names = append(names, first)
		}
	}
	if names == nil {
		return nil, postern.NotFound("there is no directory %s in %s", name, root)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Render implements [postern.Host].
func (h *Host) Render(jobs []postern.Job, options postern.Options) [][]postern.Rendered {
	if h.Engine != nil {
		return h.Engine.Render(jobs, options)
	}
	answers := make([][]postern.Rendered, len(jobs))
	for i, job := range jobs {
		for range job.Templates {
			answers[i] = append(answers[i], postern.Rendered{Err: postern.Unsupported("this test has no template engine")})
		}
	}
	return answers
}

// Logger implements [postern.Host]. Lines go through the same handler as in a component.
func (h *Host) Logger() *slog.Logger {
	return slog.New(postern.NewLogHandler(func(level, message string, fields []postern.Field) {
		if h.Logs == nil {
			return
		}
		line := level + " " + message
		for _, field := range fields {
			line += " " + field.Name + "=" + field.Value
		}
		_, _ = fmt.Fprintln(h.Logs, line)
	}))
}

// Now implements [postern.Host].
func (h *Host) Now() time.Time {
	if h.Clock != nil {
		return h.Clock()
	}
	return time.Now()
}

// Random implements [postern.Host].
func (h *Host) Random(p []byte) { _, _ = rand.Read(p) }

func (h *Host) client() *http.Client {
	if h.Client != nil {
		return h.Client
	}
	return &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}
