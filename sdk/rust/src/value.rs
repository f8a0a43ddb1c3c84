//! How JSON values become bytes, by the rules that users of the External Secrets Operator see in their
//! data: Go's JSON text, numbers as their literals, properties by exact name or by gjson path.
//!
//! One limit: serde_json writes the exponent of `1e5` as `1e+5`, the form in which Go's own servers send it.

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A value as bytes: a string unquoted, a number as its literal, null as nothing, the rest as Go's JSON.
#[must_use]
pub fn to_bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::Null => Vec::new(),
        Value::String(s) => s.clone().into_bytes(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            marshal(value).into_bytes()
        }
    }
}

/// JSON text as Go's `json.Marshal` writes it: sorted keys, and `<`, `>`, `&`, U+2028 and U+2029 escaped.
#[must_use]
pub fn marshal(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

/// [`marshal`] of an object.
#[must_use]
pub fn marshal_map(map: &Map<String, Value>) -> String {
    let mut out = String::new();
    write_map(map, &mut out);
    out
}

/// Members as bytes by [`to_bytes`]: nested values are written anew.
#[must_use]
pub fn members(map: &Map<String, Value>) -> Vec<(String, Vec<u8>)> {
    map.iter().map(|(k, v)| (k.clone(), to_bytes(v))).collect()
}

/// Members of a JSON object in text form: string members unquoted, null as nothing, every other member its raw text.
/// None if the text is no JSON object.
#[must_use]
pub fn raw_members(json: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let map: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(json).ok()?;
    // Go reads null into a string without an error, and leaves the string empty.
    let member =
        |(k, raw): (String, Box<RawValue>)| match serde_json::from_str::<Option<String>>(raw.get())
        {
            Ok(text) => (k, text.unwrap_or_default().into_bytes()),
            Err(_) => (k, raw.get().as_bytes().to_vec()),
        };
    Some(map.into_iter().map(member).collect())
}

/// A property by its exact name.
#[must_use]
pub fn exact(map: &Map<String, Value>, property: &str) -> Option<Vec<u8>> {
    map.get(property).map(to_bytes)
}

/// A property by its exact name, else by gjson path.
#[cfg(feature = "gjson")]
#[must_use]
pub fn exact_or_path(map: &Map<String, Value>, property: &str) -> Option<Vec<u8>> {
    exact(map, property).or_else(|| path(&marshal_map(map), property))
}

/// The result of a gjson path over valid JSON text, as gjson's `String()` writes it. None where nothing is there.
#[cfg(feature = "gjson")]
#[must_use]
pub fn path(json: &str, path: &str) -> Option<Vec<u8>> {
    let found = gjson::get(json, path);
    if !found.exists() {
        return None;
    }
    let text = match found.kind() {
        gjson::Kind::Null => String::new(),
        gjson::Kind::Number => number_text(found.json()),
        gjson::Kind::False | gjson::Kind::True | gjson::Kind::String => found.str().to_owned(),
        gjson::Kind::Array | gjson::Kind::Object => found.json().to_owned(),
    };
    Some(text.into_bytes())
}

/// gjson keeps the literal of an integer and writes others as the shortest decimal without an exponent.
#[cfg(feature = "gjson")]
fn number_text(literal: &str) -> String {
    let digits = literal.strip_prefix('-').unwrap_or(literal);
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return literal.to_owned();
    }
    literal
        .parse::<f64>()
        .map_or_else(|_| literal.to_owned(), |n| n.to_string())
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => out.push_str(&n.to_string()),
        Value::String(s) => write_string(s, out),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => write_map(map, out),
    }
}

/// The map is sorted by bytes, as Go's is, as long as serde_json's `preserve_order` is off; sorting again
/// makes that independent of what another crate switches on.
fn write_map(map: &Map<String, Value>, out: &mut String) {
    let sorted: BTreeMap<&String, &Value> = map.iter().collect();
    out.push('{');
    for (i, (key, value)) in sorted.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_string(key, out);
        out.push(':');
        write(value, out);
    }
    out.push('}');
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(json: &str) -> Map<String, Value> {
        serde_json::from_str(json).unwrap()
    }

    fn text(bytes: Option<Vec<u8>>) -> Option<String> {
        bytes.map(|b| String::from_utf8(b).unwrap())
    }

    #[test]
    fn marshals_as_go_does() {
        let data = map(r#"{"b":{"z":1,"a":"<&>"},"a":"\u2028\u0001\b\"","é":"ß/"}"#);
        assert_eq!(
            marshal_map(&data),
            r#"{"a":"\u2028\u0001\b\"","b":{"a":"\u003c\u0026\u003e","z":1},"é":"ß/"}"#
        );
    }

    #[test]
    fn keeps_numbers_as_their_literals() {
        for literal in [
            "9007199254740993",
            "1.50",
            "1e+21",
            "-0",
            "0.1e-7",
            "123456789012345678901234567890",
        ] {
            let data = map(&format!(r#"{{"n":{literal}}}"#));
            assert_eq!(marshal_map(&data), format!(r#"{{"n":{literal}}}"#));
            assert_eq!(text(exact(&data, "n")).as_deref(), Some(literal));
        }
    }

    #[test]
    fn turns_values_into_bytes_by_kind() {
        let data = map(r#"{"s":"x\ny","t":true,"n":null,"l":["a","<"],"o":{}}"#);
        let got: Vec<_> = members(&data)
            .into_iter()
            .map(|(k, v)| (k, String::from_utf8(v).unwrap()))
            .collect();
        let want = [
            ("l", r#"["a","\u003c"]"#),
            ("n", ""),
            ("o", "{}"),
            ("s", "x\ny"),
            ("t", "true"),
        ];
        assert_eq!(got, want.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn prefers_an_exact_name_to_a_path() {
        let data =
            map(r#"{"a.b":"exact","a":{"b":"path","c":[{"k":"x","v":"1"},{"k":"y","v":"2"}]}}"#);
        assert_eq!(text(exact_or_path(&data, "a.b")).as_deref(), Some("exact"));
        assert_eq!(text(exact_or_path(&data, "a.c.0.v")).as_deref(), Some("1"));
        assert_eq!(text(exact_or_path(&data, "a.c.#")).as_deref(), Some("2"));
        assert_eq!(
            text(exact_or_path(&data, r#"a.c.#(k=="y").v"#)).as_deref(),
            Some("2")
        );
        assert_eq!(
            text(exact_or_path(&data, r"a\.b")).as_deref(),
            Some("exact")
        );
        assert_eq!(
            text(exact_or_path(&data, "a.c.1")).as_deref(),
            Some(r#"{"k":"y","v":"2"}"#)
        );
        assert_eq!(exact_or_path(&data, "a.x"), None);
    }

    #[test]
    fn writes_path_results_as_gjson_does() {
        let json = r#"{"a":{"i":9007199254740993,"f":1.50,"e":1e3,"n":null,"t":true}}"#;
        let results = ["a.i", "a.f", "a.e", "a.n", "a.t"].map(|p| text(path(json, p)).unwrap());
        assert_eq!(results, ["9007199254740993", "1.5", "1000", "", "true"]);
    }

    #[test]
    fn keeps_raw_text_of_members_that_are_no_strings() {
        let got = raw_members(br#"{"b": { "x" : 1.0 }, "a": "q\"", "n": null}"#).unwrap();
        let want = [("a", "q\""), ("b", "{ \"x\" : 1.0 }"), ("n", "")];
        assert_eq!(
            got,
            want.map(|(k, v)| (k.to_owned(), v.as_bytes().to_vec()))
        );
        assert_eq!(raw_members(b"[1]"), None);
    }
}
