package postern

import (
	"log/slog"
	"time"
)

// Host is all that a provider has of the world. In a component it leads to Postern, in a test to posterntest.Host.
type Host interface {
	// Send makes one exchange. A status of 400 or more is a response, not an error (see [HTTPResponse.Err]). An error is
	// passed on as it is: its message names what opens the door. No redirect is followed.
	Send(request HTTPRequest) (*HTTPResponse, error)
	// SendAll makes many exchanges at once, as parallel as the store's limits allow. One result a request, in order.
	SendAll(requests []HTTPRequest) []HTTPResult
	// ReadFile reads a file of at most 1 MiB in a directory that a grant names.
	ReadFile(root, path string) ([]byte, error)
	// ListDir lists such a directory, sorted; names of directories end in a slash.
	ListDir(root, path string) ([]string, error)
	// Render renders templates with the template engine.
	Render(jobs []Job, options Options) [][]Rendered
	// Logger writes to the operator's log, which cuts a line at 1 KiB and eight fields. The host takes out credentials; what
	// a backend answered it does not know: never log that.
	Logger() *slog.Logger
	// Now is the time. In a component time.Now is the same.
	Now() time.Time
	// Random fills p with random bytes, fit for keys. In a component crypto/rand.Read is the same.
	Random(p []byte)
}
