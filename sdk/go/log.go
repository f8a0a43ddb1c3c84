package postern

import (
	"context"
	"log/slog"
	"slices"
)

// WriteLog is the host's log: a level (`error`, `warn`, `info`, `debug`), a message and its fields, in order.
type WriteLog func(level, message string, fields []Field)

// NewLogHandler makes a handler for package slog of the host's log. A group's name goes before its fields, with a dot. The
// record's time is not written: the host has its own.
func NewLogHandler(write WriteLog) slog.Handler { return &logHandler{write: write} }

type logHandler struct {
	write  WriteLog
	prefix string
	fields []Field
}

func (h *logHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h *logHandler) Handle(_ context.Context, record slog.Record) error {
	fields := slices.Clone(h.fields)
	record.Attrs(func(attr slog.Attr) bool {
		fields = appendAttr(fields, h.prefix, attr)
		return true
	})
	h.write(levelName(record.Level), record.Message, fields)
	return nil
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	more := *h
	more.fields = slices.Clone(h.fields)
	for _, attr := range attrs {
		more.fields = appendAttr(more.fields, h.prefix, attr)
	}
	return &more
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	more := *h
	more.prefix += name + "."
	return &more
}

func appendAttr(fields []Field, prefix string, attr slog.Attr) []Field {
	value := attr.Value.Resolve()
	if value.Kind() != slog.KindGroup {
		if attr.Key == "" {
			return fields
		}
		return append(fields, Field{prefix + attr.Key, value.String()})
	}
	if attr.Key != "" {
		prefix += attr.Key + "."
	}
	for _, inner := range value.Group() {
		fields = appendAttr(fields, prefix, inner)
	}
	return fields
}

func levelName(level slog.Level) string {
	switch {
	case level >= slog.LevelError:
		return "error"
	case level >= slog.LevelWarn:
		return "warn"
	case level >= slog.LevelInfo:
		return "info"
	default:
		return "debug"
	}
}
