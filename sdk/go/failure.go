package postern

import (
	"errors"
	"fmt"
	"time"
)

// Code says of which kind a failure is. Whether and when to try again is the host's decision, by code and RetryAfter.
type Code string

// The documented codes; the host treats any other as CodeInternal.
const (
	// CodeAbsent: the backend said with authority that this object does not exist. The only code that may lead to a
	// deletion.
	CodeAbsent Code = "absent"
	// CodeNotFound: anything else that is not there, such as a mount, a project or a route.
	CodeNotFound Code = "not-found"
	// CodeDenied: the backend knows us and refuses.
	CodeDenied Code = "denied"
	// CodeUnauthenticated: the backend does not, or no longer, know us. A new login may help.
	CodeUnauthenticated Code = "unauthenticated"
	// CodeInvalidConfig: the store's config cannot work.
	CodeInvalidConfig Code = "invalid-config"
	// CodeInvalidRequest: this request cannot work.
	CodeInvalidRequest Code = "invalid-request"
	// CodeConflict: somebody else wrote first.
	CodeConflict Code = "conflict"
	// CodeRateLimited: the backend asked to slow down.
	CodeRateLimited Code = "rate-limited"
	// CodeUnavailable: the backend cannot answer now.
	CodeUnavailable Code = "unavailable"
	// CodeTimeout: the backend did not answer in time.
	CodeTimeout Code = "timeout"
	// CodeUnsupported: this provider does not do that.
	CodeUnsupported Code = "unsupported"
	// CodeInternal: a fault of the plugin.
	CodeInternal Code = "internal"
)

// Failure is why something did not work, as an error. An error that wraps one is treated as that one; any other error is
// internal, and its text is shown to nobody, for it may hold a value.
type Failure struct {
	// Code is of which kind it is.
	Code Code
	// Message is one line for people of at most 400 bytes: what was tried, on what, and what to do. Never a secret value,
	// never a credential, never a backend's own words.
	Message string
	// RetryAfter is how long the backend asked us to wait; 0 where it did not.
	RetryAfter time.Duration
	// Detail is facts for logs, such as the backend's request id.
	Detail Options
}

// Error implements error.
func (f *Failure) Error() string { return string(f.Code) + ": " + f.Message }

// Is makes errors.Is(err, &Failure{Code: CodeAbsent}) true for every failure of that code.
func (f *Failure) Is(target error) bool {
	other, ok := target.(*Failure)
	return ok && other.Code == f.Code && other.Message == ""
}

// With adds a fact for logs.
func (f *Failure) With(name, value string) *Failure {
	if f.Detail == nil {
		f.Detail = Options{}
	}
	f.Detail[name] = value
	return f
}

// Absent is a failure of [CodeAbsent].
func Absent(format string, args ...any) *Failure { return failure(CodeAbsent, format, args) }

// NotFound is a failure of [CodeNotFound].
func NotFound(format string, args ...any) *Failure { return failure(CodeNotFound, format, args) }

// Denied is a failure of [CodeDenied].
func Denied(format string, args ...any) *Failure { return failure(CodeDenied, format, args) }

// Unauthenticated is a failure of [CodeUnauthenticated].
func Unauthenticated(format string, args ...any) *Failure {
	return failure(CodeUnauthenticated, format, args)
}

// InvalidConfig is a failure of [CodeInvalidConfig].
func InvalidConfig(format string, args ...any) *Failure {
	return failure(CodeInvalidConfig, format, args)
}

// InvalidRequest is a failure of [CodeInvalidRequest].
func InvalidRequest(format string, args ...any) *Failure {
	return failure(CodeInvalidRequest, format, args)
}

// Conflict is a failure of [CodeConflict].
func Conflict(format string, args ...any) *Failure { return failure(CodeConflict, format, args) }

// RateLimited is a failure of [CodeRateLimited]; after is how long the backend asked us to wait, 0 where it did not say.
func RateLimited(after time.Duration, format string, args ...any) *Failure {
	limited := failure(CodeRateLimited, format, args)
	limited.RetryAfter = after
	return limited
}

// Unavailable is a failure of [CodeUnavailable].
func Unavailable(format string, args ...any) *Failure { return failure(CodeUnavailable, format, args) }

// Timeout is a failure of [CodeTimeout].
func Timeout(format string, args ...any) *Failure { return failure(CodeTimeout, format, args) }

// Unsupported is a failure of [CodeUnsupported].
func Unsupported(format string, args ...any) *Failure { return failure(CodeUnsupported, format, args) }

// Internal is a failure of [CodeInternal].
func Internal(format string, args ...any) *Failure { return failure(CodeInternal, format, args) }

func failure(code Code, format string, args []any) *Failure {
	return &Failure{Code: code, Message: fmt.Sprintf(format, args...)}
}

// AsFailure is the failure in an error. Of an error without one it tells the type and nothing else: its text may hold a
// value.
func AsFailure(err error) *Failure {
	var found *Failure
	if errors.As(err, &found) {
		return found
	}
	return Internal("the plugin met an error of type %T; its author has to say what it means", err)
}
