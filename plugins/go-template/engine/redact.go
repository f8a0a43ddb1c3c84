package engine

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const redacted = "<redacted>"

// Shorter values say nothing by themselves, and replacing them would eat the words of the message.
const shortestSecret = 3

// redactor removes values from the messages of Go and of the libraries, which like to quote what they could not use.
// It keeps position, template text and function name, and takes away:
//   - every value of the data, and what is easily derived from one: trimmed, decoded from base64, a scalar of its JSON;
//   - everything in quotes in what a function said, since a value may have been derived in a way not listed above,
//     unless the template's own text has it in quotes.
//
// It does not see through other derivations that a function's error shows unquoted.
type redactor struct {
	replacer *strings.Replacer
}

func newRedactor(data []Datum) *redactor {
	secrets := map[string]bool{}
	for _, d := range data {
		addSecret(secrets, string(d.Value))
	}
	ordered := make([]string, 0, len(secrets))
	for s := range secrets {
		ordered = append(ordered, s)
	}
	// The longest first, or a value that contains another would be cut open and its rest shown.
	slices.SortFunc(ordered, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	pairs := make([]string, 0, 2*len(ordered))
	for _, s := range ordered {
		pairs = append(pairs, s, redacted)
	}
	return &redactor{strings.NewReplacer(pairs...)}
}

func addSecret(secrets map[string]bool, value string) {
	trimmed := strings.TrimSpace(value)
	addForms(secrets, value)
	addForms(secrets, trimmed)
	if decoded, err := base64.StdEncoding.DecodeString(trimmed); err == nil {
		addForms(secrets, string(decoded))
		addForms(secrets, strings.TrimSpace(string(decoded)))
	}
	if strings.HasPrefix(trimmed, "{") || strings.HasPrefix(trimmed, "[") {
		var document any
		decoder := json.NewDecoder(strings.NewReader(trimmed))
		decoder.UseNumber()
		if decoder.Decode(&document) == nil {
			addLeaves(secrets, document)
		}
	}
}

func addLeaves(secrets map[string]bool, node any) {
	switch node := node.(type) {
	case map[string]any:
		for _, child := range node {
			addLeaves(secrets, child)
		}
	case []any:
		for _, child := range node {
			addLeaves(secrets, child)
		}
	case string:
		addForms(secrets, node)
	case json.Number:
		addForms(secrets, node.String())
	}
}

// addForms adds a value as it is and as Go prints it in quotes.
func addForms(secrets map[string]bool, value string) {
	if len(value) < shortestSecret {
		return
	}
	secrets[value] = true
	quoted := strconv.Quote(value)
	secrets[quoted[1:len(quoted)-1]] = true
}

func (r *redactor) text(s string) string {
	return r.replacer.Replace(s)
}

func (r *redactor) parseError(err error) string {
	return r.text(err.Error())
}

var (
	calling = regexp.MustCompile(`(?s)^(.*?error calling [A-Za-z0-9_]+: )(.*)$`)
	// Quotes of Go's %q, of backquoted %#q, and of a single character.
	quotes = regexp.MustCompile("(?s)\"(?:[^\"\\\\]|\\\\.)*\"|`[^`]*`|'(?:[^'\\\\]|\\\\.){1,10}'")
)

// execError keeps `template: NAME:1:5: executing "NAME" at ` and the name of the function as they are.
func (r *redactor) execError(name, source string, err error) string {
	message := err.Error()
	position := regexp.MustCompile(`(?s)^template: ` + regexp.QuoteMeta(name) + `:\d+(?::\d+)?: executing "(?:[^"\\]|\\.)*" at `)
	head := position.FindString(message)
	rest := message[len(head):]
	call := calling.FindStringSubmatch(rest)
	if call == nil {
		return head + r.text(rest)
	}
	at, reason := call[1], call[2]
	function := at[strings.LastIndex(at, "error calling "):]
	if function != "error calling fail: " {
		// What `fail` says are the words of the author of the template.
		reason = unquoted(source, reason)
	}
	return head + r.text(strings.TrimSuffix(at, function)) + function + r.text(reason)
}

// unquoted takes quoted texts out of a reason, except for those that the template quotes too.
func unquoted(source, reason string) string {
	return quotes.ReplaceAllStringFunc(reason, func(quoted string) string {
		inner := quoted[1 : len(quoted)-1]
		if strings.Contains(source, `"`+inner+`"`) || strings.Contains(source, "`"+inner+"`") {
			return quoted
		}
		return redacted
	})
}
