package glue

import (
	"crypto/rand"
	"log/slog"
	"time"

	witTypes "go.bytecodealliance.org/pkg/wit/types"
	"postern.dev/sdk/go"
	"wit_component/postern_plugin_files"
	"wit_component/postern_plugin_http"
	"wit_component/postern_plugin_log"
	"wit_component/postern_plugin_templating"
	"wit_component/postern_plugin_types"
)

// Host is the doors of the contract.
type Host struct{}

var _ postern.Host = Host{}

// Send implements [postern.Host].
func (Host) Send(request postern.HTTPRequest) (*postern.HTTPResponse, error) {
	return response(postern_plugin_http.Send(out(request)))
}

// SendAll implements [postern.Host].
func (Host) SendAll(requests []postern.HTTPRequest) []postern.HTTPResult {
	list := make([]postern_plugin_http.Request, len(requests))
	for i, request := range requests {
		list[i] = out(request)
	}
	results := make([]postern.HTTPResult, len(requests))
	for i, result := range postern_plugin_http.SendAll(list) {
		results[i].Response, results[i].Err = response(result)
	}
	return results
}

// ReadFile implements [postern.Host].
func (Host) ReadFile(root, path string) ([]byte, error) {
	return value(postern_plugin_files.Read(root, path))
}

// ListDir implements [postern.Host].
func (Host) ListDir(root, path string) ([]string, error) {
	return value(postern_plugin_files.ListDir(root, path))
}

// Render implements [postern.Host].
func (Host) Render(jobs []postern.Job, options postern.Options) [][]postern.Rendered {
	list := make([]postern_plugin_templating.Job, len(jobs))
	for i, job := range jobs {
		for _, t := range job.Templates {
			list[i].Templates = append(list[i].Templates, postern_plugin_types.Template{
				Name: t.Name, Source: t.Source, Options: PairsOf(t.Options),
			})
		}
		for _, d := range job.Data {
			list[i].Data = append(list[i].Data, postern_plugin_types.Datum{Path: d.Path, Value: d.Value})
		}
	}
	answers := postern_plugin_templating.Render(list, PairsOf(options))
	rendered := make([][]postern.Rendered, len(answers))
	for i, answer := range answers {
		rendered[i] = make([]postern.Rendered, len(answer))
		for j, result := range answer {
			rendered[i][j].Value, rendered[i][j].Err = value(result)
		}
	}
	return rendered
}

// Logger implements [postern.Host].
func (Host) Logger() *slog.Logger {
	return slog.New(postern.NewLogHandler(func(level, message string, fields []postern.Field) {
		postern_plugin_log.Log(level, message, pairs(fields))
	}))
}

// Now implements [postern.Host].
func (Host) Now() time.Time { return time.Now() }

// Random implements [postern.Host].
func (Host) Random(p []byte) { _, _ = rand.Read(p) }

func out(request postern.HTTPRequest) postern_plugin_http.Request {
	return postern_plugin_http.Request{
		Method: request.Method, Url: request.URL, Headers: pairs(request.Header), Body: Bytes(request.Body),
		Options: PairsOf(request.Options),
	}
}

func response(result witTypes.Result[postern_plugin_http.Response, postern_plugin_types.Failure]) (*postern.HTTPResponse, error) {
	answer, err := value(result)
	if err != nil {
		return nil, err
	}
	header := make(postern.Header, len(answer.Headers))
	for i, line := range answer.Headers {
		header[i] = postern.Field{Name: line.F0, Value: line.F1}
	}
	return &postern.HTTPResponse{
		Status: int(answer.Status), Header: header, Body: answer.Body, Options: OptionsOf(answer.Options),
	}, nil
}

func value[T any](result witTypes.Result[T, postern_plugin_types.Failure]) (T, error) {
	if result.IsErr() {
		var zero T
		return zero, Error(result.Err())
	}
	return result.Ok(), nil
}

func pairs(fields []postern.Field) Pairs {
	list := make(Pairs, len(fields))
	for i, field := range fields {
		list[i] = witTypes.Tuple2[string, string]{F0: field.Name, F1: field.Value}
	}
	return list
}
