// Package glue translates between the plugin contract and the SDK, and decides nothing.
package glue

import (
	"math"
	"slices"
	"strings"
	"time"

	witTypes "go.bytecodealliance.org/pkg/wit/types"
	"postern.dev/sdk/go"
	"wit_component/postern_plugin_types"
)

// Pairs is a list of pairs of texts.
type Pairs = []witTypes.Tuple2[string, string]

// PairsOf is options in a stable order.
func PairsOf(options map[string]string) Pairs {
	pairs := make(Pairs, 0, len(options))
	for name, value := range options {
		pairs = append(pairs, witTypes.Tuple2[string, string]{F0: name, F1: value})
	}
	slices.SortFunc(pairs, func(a, b witTypes.Tuple2[string, string]) int { return strings.Compare(a.F0, b.F0) })
	return pairs
}

// OptionsOf is pairs as options; of two with one name the last holds.
func OptionsOf(pairs Pairs) postern.Options {
	options := make(postern.Options, len(pairs))
	for _, pair := range pairs {
		options[pair.F0] = pair.F1
	}
	return options
}

// Some is none of a zero value.
func Some[T comparable](value T) witTypes.Option[T] {
	var zero T
	if value == zero {
		return witTypes.None[T]()
	}
	return witTypes.Some(value)
}

// Bytes is none of nil.
func Bytes(value []byte) witTypes.Option[[]byte] {
	if value == nil {
		return witTypes.None[[]byte]()
	}
	return witTypes.Some(value)
}

// Or is the zero value of none.
func Or[T any](option witTypes.Option[T]) T {
	if option.IsSome() {
		return option.Some()
	}
	var zero T
	return zero
}

// Millis is none of zero, and rounds up: a wait must not become shorter.
func Millis(d time.Duration) witTypes.Option[uint64] {
	if d <= 0 {
		return witTypes.None[uint64]()
	}
	return witTypes.Some(uint64((d + time.Millisecond - 1) / time.Millisecond))
}

// Duration is the time of milliseconds, as much as Go can hold.
func Duration(ms uint64) time.Duration {
	const most = math.MaxInt64 / uint64(time.Millisecond)
	return time.Duration(min(ms, most)) * time.Millisecond
}

// Failure is an error as the contract has it.
func Failure(err error) postern_plugin_types.Failure {
	f := postern.AsFailure(err)
	return postern_plugin_types.Failure{
		Code: string(f.Code), Message: strings.ToValidUTF8(f.Message, "?"),
		RetryAfterMs: Millis(f.RetryAfter), Detail: PairsOf(f.Detail),
	}
}

// Error is the contract's failure as an error.
func Error(f postern_plugin_types.Failure) error {
	return &postern.Failure{
		Code: postern.Code(f.Code), Message: f.Message,
		RetryAfter: Duration(Or(f.RetryAfterMs)), Detail: OptionsOf(f.Detail),
	}
}

// Result is a value or an error.
func Result[T any](value T, err error) witTypes.Result[T, postern_plugin_types.Failure] {
	if err != nil {
		return witTypes.Err[T](Failure(err))
	}
	return witTypes.Ok[T, postern_plugin_types.Failure](value)
}

// Done is success or an error.
func Done(err error) witTypes.Result[witTypes.Unit, postern_plugin_types.Failure] {
	return Result(witTypes.Unit{}, err)
}
