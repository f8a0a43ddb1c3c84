package postern

import (
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Field is one line of a header.
type Field struct {
	// Name in any case when sent; in lower case when received.
	Name string
	// Value of it.
	Value string
}

// Header is the lines of a header, in order.
type Header []Field

// Get is the first value of a name, or empty.
func (h Header) Get(name string) string {
	for _, field := range h {
		if strings.EqualFold(field.Name, name) {
			return field.Value
		}
	}
	return ""
}

// HTTPRequest is what is sent.
type HTTPRequest struct {
	// Method also of the backend's own kind, such as LIST.
	Method string
	// URL is absolute, without a user part. Its origin must be one that Examine named.
	URL string
	// Header has at most 128 lines with 64 KiB.
	Header Header
	// Body; nil and empty are the same.
	Body []byte
	// Options: none is defined yet.
	Options Options
}

// Get is a GET request.
func Get(url string) HTTPRequest { return HTTPRequest{Method: "GET", URL: url} }

// With adds a line to the header.
func (r HTTPRequest) With(name, value string) HTTPRequest {
	r.Header = append(r.Header[:len(r.Header):len(r.Header)], Field{name, value})
	return r
}

// Bearer adds `authorization: Bearer TOKEN`. Space around the token is cut: a Secret often ends in a line break.
func (r HTTPRequest) Bearer(token Secret) HTTPRequest {
	return r.With("authorization", "Bearer "+strings.TrimSpace(string(token)))
}

// HTTPResponse is what came back.
type HTTPResponse struct {
	// Status of any class.
	Status int
	// Header with names in lower case.
	Header Header
	// Body, whole.
	Body []byte
	// Options: none is defined yet.
	Options Options
}

// HTTPResult is one of many exchanges: a response or an error.
type HTTPResult struct {
	Response *HTTPResponse
	Err      error
}

// RetryAfter is how long the backend asked us to wait, where it said so in seconds; else 0. A date would need a clock.
func (r *HTTPResponse) RetryAfter() time.Duration {
	const longest = 1 << 31
	seconds, err := strconv.ParseUint(strings.TrimSpace(r.Header.Get("retry-after")), 10, 64)
	if err != nil || seconds > longest {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// Err is what a status that is no success usually means; nil for 2xx. The sentence is `cannot DO: …`, so what was tried
// reads like "read the config dev". Nothing of the response's body gets into it.
func (r *HTTPResponse) Err(do string) error {
	found := r.failure(do)
	if found == nil {
		return nil
	}
	return found.With("status", strconv.Itoa(r.Status))
}

func (r *HTTPResponse) failure(do string) *Failure {
	switch {
	case r.Status >= 200 && r.Status < 300:
		return nil
	case r.Status == 401:
		return Unauthenticated("cannot %s: the backend does not accept the credentials; check or renew them", do)
	case r.Status == 403:
		return Denied("cannot %s: the backend refuses; give these credentials the right to it", do)
	case r.Status == 404:
		return NotFound("cannot %s: the backend knows no such thing; check the store's settings", do)
	case r.Status == 429:
		return RateLimited(r.RetryAfter(), "cannot %s yet: the backend asks to slow down", do)
	case r.Status >= 500:
		return Unavailable("cannot %s now: the backend answered status %d", do, r.Status)
	default:
		return Internal("cannot %s: the backend answered status %d, which this plugin does not expect", do, r.Status)
	}
}

// EscapePath percent-encodes a path; slashes stay.
func EscapePath(path string) string {
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		segments[i] = url.PathEscape(segment)
	}
	return strings.Join(segments, "/")
}

// Origin is `scheme://host[:port]` of an http or https URL that has nothing else than a path, and whether it is one.
func Origin(text string) (string, bool) {
	parsed, err := url.Parse(text)
	if err != nil || (parsed.Scheme != "http" && parsed.Scheme != "https") || parsed.Hostname() == "" ||
		parsed.User != nil || parsed.RawQuery != "" || parsed.ForceQuery || parsed.Fragment != "" {
		return "", false
	}
	return parsed.Scheme + "://" + parsed.Host, true
}
