package template_provider

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"postern.dev/sdk/go"
	"postern.dev/sdk/go/posterntest"
)

// read asks for one key of a server.
func read(t *testing.T, handler http.HandlerFunc, request postern.Request) postern.Outcome {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	ctx := posterntest.Context(fmt.Sprintf(`{"url":%q,"auth":{"secretRef":{"token":{"name":"s"}}}}`, server.URL+"/app"),
		map[string]string{tokenPointer: "hunter2"})
	if request.Picks == nil {
		request.Picks = []postern.Pick{{}}
	}
	outcomes := New().Read(ctx, &posterntest.Host{}, []postern.Request{request})
	if len(outcomes) != 1 {
		t.Fatalf("got %d outcomes", len(outcomes))
	}
	return outcomes[0]
}

func TestReadsAValueWithItsTagAndToken(t *testing.T) {
	got := read(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.EscapedPath() != "/app/a%20b/c" || r.Header.Get("Authorization") != "Bearer hunter2" {
			t.Errorf("got %s %v", r.URL, r.Header)
		}
		w.Header().Set("etag", `"1"`)
		_, _ = fmt.Fprint(w, `{"user":"u"}`)
	}, postern.Request{Key: "a b/c", Picks: []postern.Pick{{}, {Property: "user"}, {Members: true}, {Property: "no"}}})
	if got.Err != nil || got.Tag != `"1"` || string(got.Parts[0].Value) != `{"user":"u"}` || string(got.Parts[1].Value) != "u" ||
		string(got.Parts[2].Members["user"]) != "u" || postern.AsFailure(got.Parts[3].Err).Code != postern.CodeAbsent {
		t.Errorf("got %+v", got)
	}
}

func TestSaysUnchangedWhereTheServerDoes(t *testing.T) {
	got := read(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") == `"1"` {
			w.WriteHeader(http.StatusNotModified)
		}
	}, postern.Request{Key: "a", Known: `"1"`})
	if !got.Unchanged {
		t.Errorf("got %+v", got)
	}
}

func TestTellsAbsentFromOtherFailuresAndRepeatsNoBody(t *testing.T) {
	for status, code := range map[int]postern.Code{
		404: postern.CodeAbsent, 401: postern.CodeUnauthenticated, 403: postern.CodeDenied, 429: postern.CodeRateLimited,
		500: postern.CodeUnavailable,
	} {
		got := read(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = fmt.Fprint(w, "sentinel")
		}, postern.Request{Key: "a"})
		if got.Err == nil || postern.AsFailure(got.Err).Code != code || strings.Contains(got.Err.Error(), "sentinel") {
			t.Errorf("status %d: got %v", status, got.Err)
		}
	}
}

func TestSendsNothingForAKeyThatStepsOutOfItsPlace(t *testing.T) {
	for _, request := range []postern.Request{{Key: "../etc"}, {Key: "a//b"}, {Key: ""}, {Key: "a", Version: "1"}, {Key: "a", Metadata: true}} {
		got := read(t, func(http.ResponseWriter, *http.Request) { t.Errorf("%+v was sent", request) }, request)
		if got.Err == nil {
			t.Errorf("%+v: no failure", request)
		}
	}
}

func TestExamineNamesWhatAConfigNeeds(t *testing.T) {
	needs, problems := New().Examine([]byte(`{"url":"http://h:1/p","auth":{"secretRef":{"token":{"name":"s"}}}}`), nil, nil)
	if len(problems) > 0 || needs.Endpoints[0].Origin != "http://h:1" || needs.References[0].Pointer != tokenPointer {
		t.Errorf("got %+v, %+v", needs, problems)
	}
	if _, problems := New().Examine([]byte(`{"url":"ftp://h"}`), nil, nil); len(problems) != 1 || problems[0].Pointer != "/url" {
		t.Errorf("got %+v", problems)
	}
}
