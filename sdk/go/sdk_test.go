package postern_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"postern.dev/sdk/go"
)

func TestShowsNoSecretHoweverItIsPrinted(t *testing.T) {
	secret := postern.Secret("hunter2")
	credential := postern.Credential{Pointer: "/a", Value: secret}
	marshalled, err := json.Marshal(credential)
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	slog.New(slog.NewTextHandler(&logged, nil)).Info("m", "secret", secret, "credential", credential)
	for _, text := range []string{
		fmt.Sprint(secret), fmt.Sprintf("%s %q %x %v %+v %#v", secret, secret, secret, secret, secret, secret),
		fmt.Sprintf("%+v %#v", credential, &credential), string(marshalled), logged.String(),
		fmt.Sprintf("%+v", postern.Part{Value: secret, Members: map[string]postern.Secret{"m": secret}}),
	} {
		if strings.Contains(text, "hunter2") || strings.Contains(text, "68756e74") || strings.Contains(text, "104 117") {
			t.Errorf("shows the secret: %s", text)
		}
	}
}

func TestTreatsAnErrorThatWrapsAFailureAsThatFailure(t *testing.T) {
	absent := postern.Absent("no key %q", "k")
	wrapped := fmt.Errorf("reading: %w", absent)
	if got := postern.AsFailure(wrapped); got != absent || got.Message != `no key "k"` {
		t.Errorf("got %v", got)
	}
	if !errors.Is(wrapped, &postern.Failure{Code: postern.CodeAbsent}) || errors.Is(wrapped, &postern.Failure{Code: postern.CodeDenied}) {
		t.Error("errors.Is does not compare the code")
	}
}

func TestTellsTheTypeOnlyOfAnErrorThatIsNoFailure(t *testing.T) {
	got := postern.AsFailure(fmt.Errorf("parsing %q", "hunter2"))
	if got.Code != postern.CodeInternal || strings.Contains(got.Message, "hunter2") || !strings.Contains(got.Message, "type *errors.") {
		t.Errorf("got %v", got)
	}
}

func TestNamesThePlaceAndNoValueOfAConfigOfAnotherKind(t *testing.T) {
	type config struct {
		Auth struct{ Port int }
	}
	_, problems := postern.ParseConfig[config](json.RawMessage(`{"Auth":{"Port":"hunter2"}}`))
	if len(problems) != 1 || problems[0].Pointer != "/Auth/Port" || strings.Contains(problems[0].Message, "hunter2") {
		t.Errorf("got %+v", problems)
	}
	_, err := postern.Config[config](&postern.Context{Config: json.RawMessage(`"hunter2"`)})
	if err == nil || strings.Contains(err.Error(), "hunter2") || postern.AsFailure(err).Code != postern.CodeInvalidConfig {
		t.Errorf("got %v", err)
	}
}

func TestMapsEveryStatusToItsFailure(t *testing.T) {
	for status, code := range map[int]postern.Code{
		401: postern.CodeUnauthenticated, 403: postern.CodeDenied, 404: postern.CodeNotFound, 429: postern.CodeRateLimited,
		500: postern.CodeUnavailable, 503: postern.CodeUnavailable, 302: postern.CodeInternal, 418: postern.CodeInternal,
	} {
		response := postern.HTTPResponse{Status: status, Body: []byte("hunter2"), Header: postern.Header{{Name: "retry-after", Value: "7"}}}
		got := postern.AsFailure(response.Err("read x"))
		if got.Code != code || strings.Contains(got.Error(), "hunter2") {
			t.Errorf("status %d: got %v", status, got)
		}
		if (status == 429) != (got.RetryAfter == 7*time.Second) {
			t.Errorf("status %d: retry after %v", status, got.RetryAfter)
		}
	}
	if err := (&postern.HTTPResponse{Status: 204}).Err("read x"); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestTakesWhatAPickAsksFor(t *testing.T) {
	object := []byte(`{"s":"text","n":1.50,"a":[{"x":"y"}],"d.t":"dot","o":{"p":"q","r":[1, 2],"z":null},"inner":"{\"k\":\"v\"}"}`)
	for _, c := range []struct {
		pick postern.Pick
		want postern.Part
		code postern.Code
	}{
		{pick: postern.Pick{}, want: postern.Part{Value: object}},
		{pick: postern.Pick{Property: "s"}, want: postern.Part{Value: postern.Secret("text")}},
		{pick: postern.Pick{Property: "n"}, want: postern.Part{Value: postern.Secret("1.50")}},
		{pick: postern.Pick{Property: "a.0.x"}, want: postern.Part{Value: postern.Secret("y")}},
		{pick: postern.Pick{Property: `d\.t`}, want: postern.Part{Value: postern.Secret("dot")}},
		{pick: postern.Pick{Property: "o.r"}, want: postern.Part{Value: postern.Secret("[1, 2]")}},
		{pick: postern.Pick{Property: "o", Members: true}, want: postern.Part{Members: map[string]postern.Secret{
			"p": postern.Secret("q"), "r": postern.Secret("[1, 2]"), "z": postern.Secret("null"),
		}}},
		{pick: postern.Pick{Property: "inner", Members: true}, want: postern.Part{Members: map[string]postern.Secret{"k": postern.Secret("v")}}},
		{pick: postern.Pick{Property: "missing"}, code: postern.CodeAbsent},
		{pick: postern.Pick{Property: "a.7"}, code: postern.CodeAbsent},
		{pick: postern.Pick{Property: "s", Members: true}, code: postern.CodeInvalidRequest},
	} {
		got, err := postern.PickJSON(object, c.pick, "the key k")
		if c.code != "" {
			if err == nil || postern.AsFailure(err).Code != c.code {
				t.Errorf("%+v: got %v, want %s", c.pick, err, c.code)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%+v: got %q, %v", c.pick, string(got.Value), err)
		}
	}
}

func TestAcceptsOriginsWithoutUserQueryOrFragment(t *testing.T) {
	for text, want := range map[string]string{
		"https://a.example": "https://a.example", "http://127.0.0.1:8/p/q": "http://127.0.0.1:8", "http://[::1]:8": "http://[::1]:8",
		"ftp://a": "", "https://u:p@a": "", "https://a?q": "", "https://a?": "", "https://a#f": "", "a.example": "", "https://": "",
	} {
		if got, ok := postern.Origin(text); got != want || ok != (want != "") {
			t.Errorf("%s: got %q, %v", text, got, ok)
		}
	}
}

func TestEscapesAPathButNotItsSlashes(t *testing.T) {
	if got := postern.EscapePath("a b/c?d/ü"); got != "a%20b/c%3Fd/%C3%BC" {
		t.Errorf("got %s", got)
	}
}

func TestAddsNoHeaderToTheRequestThatItWasMadeFrom(t *testing.T) {
	base := postern.Get("https://a").With("accept", "x")
	one, two := base.Bearer(postern.Secret("t\n")), base.With("b", "2")
	if len(base.Header) != 1 || one.Header.Get("Authorization") != "Bearer t" || two.Header.Get("b") != "2" || two.Header.Get("authorization") != "" {
		t.Errorf("got %v, %v, %v", base.Header, one.Header, two.Header)
	}
}

func TestFlattensGroupsIntoTheHostsFields(t *testing.T) {
	var lines []string
	log := slog.New(postern.NewLogHandler(func(level, message string, fields []postern.Field) {
		lines = append(lines, fmt.Sprint(level, " ", message, " ", fields))
	}))
	log.With("a", 1).WithGroup("g").Warn("m", "b", true, slog.Group("h", "c", postern.Secret("hunter2")))
	log.Debug("n")
	want := []string{"warn m [{a 1} {g.b true} {g.h.c <redacted>}]", "debug n []"}
	if !reflect.DeepEqual(lines, want) {
		t.Errorf("got %q", lines)
	}
}

func TestKeepsOnePicksFailureFromTheOthers(t *testing.T) {
	parts := postern.Each([]postern.Pick{{Property: "a"}, {Property: "b"}}, func(pick postern.Pick) (postern.Part, error) {
		if pick.Property == "a" {
			return postern.Part{}, postern.Absent("a")
		}
		return postern.Part{Value: postern.Secret("v")}, nil
	})
	if parts[0].Err == nil || parts[1].Err != nil || string(parts[1].Value) != "v" {
		t.Errorf("got %+v", parts)
	}
}
