package doppler

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"postern.dev/sdk/go"
	"postern.dev/sdk/go/posterntest"
)

const secrets = `{"DB":"{\"user\":\"u\",\"port\":5432,\"deep\":{\"x\":[1]}}","PLAIN":"hunter2","EMPTY":""}`

// server answers every request with the handler, and says what was asked.
type server struct {
	*httptest.Server
	asked []*http.Request
}

func start(t *testing.T, handler http.HandlerFunc) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked = append(s.asked, r)
		handler(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func holding(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("etag", `W/"1"`)
	if r.Header.Get("If-None-Match") == `W/"1"` {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = fmt.Fprint(w, secrets)
}

func (s *server) context(more string) *postern.Context {
	return posterntest.Context(fmt.Sprintf(`{"auth":{"secretRef":{"dopplerToken":{"name":"t"}}},"baseUrl":%q%s}`, s.URL, more),
		map[string]string{tokenPointer: "dp.st.token\n"})
}

func (s *server) read(t *testing.T, requests ...postern.Request) []postern.Outcome {
	t.Helper()
	outcomes := New().Read(s.context(""), &posterntest.Host{}, requests)
	if len(outcomes) != len(requests) {
		t.Fatalf("got %d outcomes", len(outcomes))
	}
	return outcomes
}

func whole(key string) postern.Request {
	return postern.Request{Key: key, Picks: []postern.Pick{{}}}
}

func code(err error) postern.Code {
	if err == nil {
		return ""
	}
	return postern.AsFailure(err).Code
}

func TestReadsAWholeBatchWithOneRequest(t *testing.T) {
	s := start(t, holding)
	got := s.read(t, whole("PLAIN"), whole("EMPTY"), whole("MISSING"),
		postern.Request{Key: "DB", Picks: []postern.Pick{
			{Property: "port"}, {Property: "deep.x.0"}, {Property: "none"}, {Members: true}, {Property: "deep", Members: true},
		}},
		postern.Request{Key: "PLAIN", Picks: []postern.Pick{{Members: true}, {Property: "a"}}})
	if len(s.asked) != 1 {
		t.Errorf("%d requests", len(s.asked))
	}
	if string(got[0].Parts[0].Value) != "hunter2" || got[0].Tag != `W/"1"` || len(got[1].Parts[0].Value) != 0 || got[1].Err != nil {
		t.Errorf("got %+v", got[:2])
	}
	if code(got[2].Err) != postern.CodeAbsent {
		t.Errorf("missing: got %v", got[2].Err)
	}
	parts := got[3].Parts
	if string(parts[0].Value) != "5432" || string(parts[1].Value) != "1" || code(parts[2].Err) != postern.CodeAbsent {
		t.Errorf("got %+v", parts)
	}
	want := map[string]postern.Secret{"user": postern.Secret("u"), "port": postern.Secret("5432"), "deep": postern.Secret(`{"x":[1]}`)}
	if !reflect.DeepEqual(parts[3].Members, want) || string(parts[4].Members["x"]) != "[1]" {
		t.Errorf("got other members")
	}
	if code(got[4].Parts[0].Err) != postern.CodeInvalidRequest || code(got[4].Parts[1].Err) != postern.CodeAbsent {
		t.Errorf("got %+v", got[4].Parts)
	}
}

func TestAsksAsTheApiIsDocumented(t *testing.T) {
	s := start(t, holding)
	ctx := s.context(`,"project":"a b&c","config":"dev","nameTransformer":"lower-snake"`)
	New().Read(ctx, &posterntest.Host{}, []postern.Request{whole("PLAIN")})
	r := s.asked[0]
	want := "/v3/configs/config/secrets/download?format=json&project=a%20b%26c&config=dev&name_transformer=lower-snake"
	if r.Method != "GET" || r.RequestURI != want || r.Header.Get("Accept") != "application/json" ||
		r.Header.Get("Authorization") != "Bearer dp.st.token" || r.Header.Get("If-None-Match") != "" {
		t.Errorf("asked %s %s %v", r.Method, r.RequestURI, r.Header)
	}
}

func TestSendsNothingForAnEmptyBatch(t *testing.T) {
	s := start(t, holding)
	if got := s.read(t); len(got) != 0 || len(s.asked) != 0 {
		t.Errorf("got %v, %d requests", got, len(s.asked))
	}
}

func TestOffersATagOnlyWhereAllKnowIt(t *testing.T) {
	s := start(t, holding)
	a, b := whole("PLAIN"), whole("DB")
	a.Known, b.Known = `W/"1"`, `W/"1"`
	for _, outcome := range s.read(t, a, b) {
		if !outcome.Unchanged || outcome.Tag != `W/"1"` {
			t.Errorf("got %+v", outcome)
		}
	}
	for _, outcome := range s.read(t, a, whole("DB")) {
		if outcome.Unchanged || outcome.Err != nil {
			t.Errorf("got %+v", outcome)
		}
	}
}

func TestMapsEveryRefusalAndRepeatsNothingOfIt(t *testing.T) {
	for status, want := range map[int]postern.Code{
		401: postern.CodeUnauthenticated, 403: postern.CodeDenied, 404: postern.CodeNotFound, 429: postern.CodeRateLimited,
		502: postern.CodeUnavailable, 304: postern.CodeInternal, 400: postern.CodeInternal,
	} {
		s := start(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("retry-after", "7")
			w.WriteHeader(status)
			if status != 304 {
				_, _ = fmt.Fprint(w, "sentinel")
			}
		})
		err := s.read(t, whole("PLAIN"))[0].Err
		if code(err) != want || strings.Contains(err.Error(), "sentinel") || strings.Contains(err.Error(), "dp.st") {
			t.Errorf("status %d: got %v", status, err)
			continue
		}
		if limited := postern.AsFailure(err).RetryAfter == 7*time.Second; limited != (status == 429) {
			t.Errorf("status %d: retry after %v", status, postern.AsFailure(err).RetryAfter)
		}
		if probed := New().Probe(s.context(""), &posterntest.Host{}); code(probed) != want {
			t.Errorf("probe, status %d: got %v", status, probed)
		}
	}
}

func TestRefusesABodyThatIsNoObjectOfTexts(t *testing.T) {
	for _, body := range []string{"", "null", "[]", `{"a":1}`, "<html>sentinel"} {
		s := start(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, body) })
		if err := s.read(t, whole("a"))[0].Err; code(err) != postern.CodeInternal || strings.Contains(err.Error(), "sentinel") {
			t.Errorf("%q: got %v", body, err)
		}
	}
}

func TestKnowsNoVersionsAndNoMetadata(t *testing.T) {
	s := start(t, holding)
	version, metadata := whole("PLAIN"), whole("PLAIN")
	version.Version, metadata.Metadata = "1", true
	got := s.read(t, version, metadata, whole("PLAIN"))
	if code(got[0].Err) != postern.CodeUnsupported || code(got[1].Err) != postern.CodeUnsupported || got[2].Err != nil {
		t.Errorf("got %+v", got)
	}
}

func TestProbesWithTheTokensOwnName(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "{}") })
	if err := New().Probe(s.context(""), &posterntest.Host{}); err != nil || s.asked[0].RequestURI != "/v3/me" {
		t.Errorf("got %v", err)
	}
}

func TestExaminesTheConfig(t *testing.T) {
	for config, pointer := range map[string]string{
		`{"auth":{}}`: "", `{"baseUrl":"http://h:1"}`: "", `{"format":"json"}`: "",
		`{"baseUrl":"https://h/p"}`: "/baseUrl", `{"baseUrl":"https://h/"}`: "/baseUrl", `{"baseUrl":"ftp://h"}`: "/baseUrl",
		`{"baseUrl":"https://u@h"}`: "/baseUrl", `{"baseUrl":"https://h?q"}`: "/baseUrl", `{"format":"env"}`: "/format",
		`{"project":1}`: "/project",
	} {
		needs, problems := New().Examine([]byte(config), nil, nil)
		if pointer == "" {
			if len(problems) > 0 || len(needs.Endpoints) != 1 || needs.References[0].DefaultKey != "dopplerToken" {
				t.Errorf("%s: got %+v, %+v", config, needs, problems)
			}
		} else if len(problems) != 1 || problems[0].Pointer != pointer {
			t.Errorf("%s: got %+v", config, problems)
		}
	}
}

func TestLogsOneLineABatchAndNoValue(t *testing.T) {
	s := start(t, holding)
	var logs strings.Builder
	New().Read(s.context(""), &posterntest.Host{Logs: &logs}, []postern.Request{whole("PLAIN"), whole("DB")})
	if logs.String() != "debug read status=200 objects=2\n" {
		t.Errorf("got %q", logs.String())
	}
}
