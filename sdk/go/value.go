package postern

import (
	"encoding/json"
	"strconv"
	"strings"
)

// PickJSON takes a pick from an object whose properties and members are those of a JSON document: without a property the
// bytes as they are, with one what [Property] finds, and as members those of the JSON object that is there. A text is
// taken as it is, everything else as its JSON text. The failures name what, such as "the key DB of demo/dev".
func PickJSON(object []byte, pick Pick, what string) (Part, error) {
	if pick.Property != "" {
		found, ok := find(object, pick.Property)
		if !ok {
			return Part{}, Absent("%s has no property %q", what, pick.Property)
		}
		object, what = found, what+", property "+strconv.Quote(pick.Property)
	}
	if !pick.Members {
		if pick.Property != "" {
			object = text(object)
		}
		return Part{Value: object}, nil
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(object, &members) != nil || members == nil {
		// A JSON document may stand in a text, as backends that know texts only hold it.
		if json.Unmarshal(text(object), &members) != nil || members == nil {
			return Part{}, InvalidRequest("%s is no JSON object, so it has no members to extract", what)
		}
	}
	part := Part{Members: make(map[string]Secret, len(members))}
	for name, raw := range members {
		part.Members[name] = text(raw)
	}
	return part, nil
}

// Property is the value at a dotted path into a JSON document (`users.0.name`; `\.` is a dot in a name), and whether it is
// there. A text is answered as it is, everything else as its JSON text.
func Property(document []byte, path string) (Secret, bool) {
	raw, ok := find(document, path)
	if !ok {
		return nil, false
	}
	return text(raw), true
}

func find(raw json.RawMessage, path string) (json.RawMessage, bool) {
	if !json.Valid(raw) {
		return nil, false
	}
	for _, name := range split(path) {
		var members map[string]json.RawMessage
		var items []json.RawMessage
		if json.Unmarshal(raw, &members) == nil && members != nil {
			next, ok := members[name]
			if !ok {
				return nil, false
			}
			raw = next
			continue
		}
		index, err := strconv.Atoi(name)
		if err != nil || json.Unmarshal(raw, &items) != nil || index < 0 || index >= len(items) {
			return nil, false
		}
		raw = items[index]
	}
	return raw, true
}

func split(path string) []string {
	var names []string
	var name strings.Builder
	escaped := false
	for _, r := range path {
		switch {
		case escaped:
			name.WriteRune(r)
			escaped = false
		case r == '\\':
			escaped = true
		case r == '.':
			names = append(names, name.String())
			name.Reset()
		default:
			name.WriteRune(r)
		}
	}
	return append(names, name.String())
}

// text is a JSON string without its quotes, and anything else as it is.
func text(raw []byte) []byte {
	var plain string
	if len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &plain) == nil {
		return []byte(plain)
	}
	return raw
}
