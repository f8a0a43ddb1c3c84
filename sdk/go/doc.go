// Package postern is what a Postern plugin written in Go imports: plain types, the interfaces that a plugin implements,
// and the host's doors.
//
// A plugin is a package (the root of its module) with one function:
//
//	func New() postern.Provider
//
// or, for a template engine, one that answers a [postern.Engine]. `postern plugin build` makes a component of it. All of
// a plugin is ordinary Go that `go test` tests; package posterntest has a host for such tests.
//
// Every call runs in a fresh instance, so what a plugin keeps in a variable is gone after the call, and what New made is
// the same for all calls: it runs once, when the component is built. So does a package's init. A secret, a time or a
// random number that is drawn there is part of the component and the same everywhere.
//
// The host retries, waits and caches; a plugin does one thing once and reports a [Failure].
//
// What a component has of Go's standard library: all that only computes, time.Now and crypto/rand. There is no network
// but [Host.Send], no files but [Host.ReadFile], no environment, and a sleep ends at once. math/rand and math/rand/v2
// repeat themselves in every call unless they are seeded from crypto/rand.
package postern
