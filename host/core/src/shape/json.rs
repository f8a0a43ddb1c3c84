//! JSON inside values: read into a tree that is zeroed, and written as Go writes it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;
use zeroize::{Zeroize as _, Zeroizing};

use crate::secret::SecretValue;

/// A tree whose texts are zeroed when it is dropped.
#[derive(Default)]
pub(super) struct Tree(Value);

impl Drop for Tree {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(members) => members.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The members of a JSON object; none where the value is something else. JSON's null has no members.
pub(super) fn members(value: &SecretValue) -> Option<BTreeMap<String, Tree>> {
    match serde_json::from_slice::<Value>(value.expose()).ok()? {
        Value::Object(members) => Some(members.into_iter().map(|(k, v)| (k, Tree(v))).collect()),
        Value::Null => Some(BTreeMap::new()),
        other => {
            drop(Tree(other));
            None
        }
    }
}

/// A member as a value of its own: texts as they are, numbers without an exponent, null as nothing, the rest as JSON.
pub(super) fn to_value(tree: &Tree) -> SecretValue {
    match &tree.0 {
        Value::Null => SecretValue::default(),
        Value::String(text) => SecretValue::from(text.as_str()),
        Value::Number(number) => SecretValue::from(plain(number.as_f64().unwrap_or_default())),
        other => {
            let mut out = Zeroizing::new(String::new());
            write(other, Html::Escaped, &mut out);
            SecretValue::from(out.as_str())
        }
    }
}

/// All members as one JSON object. `<`, `>` and `&` stay in it as they are, other than in a nested member of its own.
pub(super) fn to_object(members: &BTreeMap<String, Tree>) -> SecretValue {
    let mut out = Zeroizing::new(String::new());
    let members = members.iter().map(|(k, tree)| (k, &tree.0));
    write_members(members, Html::Kept, &mut out);
    SecretValue::from(out.as_str())
}

/// What becomes of `<`, `>` and `&`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Html {
    /// As Go's `json.Marshal` does by itself.
    Escaped,
    /// As its encoder does that was told so.
    Kept,
}

/// Go's JSON: members by name, all numbers as `float64`.
fn write(value: &Value, html: Html, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(is) => out.push_str(if *is { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&float(number.as_f64().unwrap_or_default())),
        Value::String(text) => quote(text, html, out),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(item, html, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let sorted: BTreeMap<&String, &Value> = members.iter().collect();
            write_members(sorted.into_iter(), html, out);
        }
    }
}

fn write_members<'a>(
    members: impl Iterator<Item = (&'a String, &'a Value)>,
    html: Html,
    out: &mut String,
) {
    out.push('{');
    for (at, (name, value)) in members.enumerate() {
        if at > 0 {
            out.push(',');
        }
        quote(name, html, out);
        out.push(':');
        write(value, html, out);
    }
    out.push('}');
}

fn quote(text: &str, html: Html, out: &mut String) {
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
            '<' | '>' | '&' if html == Html::Kept => out.push(c),
            '<' | '>' | '&' | '\0'..='\u{1f}' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Shortest digits that read back as the same number, never with an exponent.
fn plain(number: f64) -> String {
    number.to_string()
}

/// The same, with an exponent where Go's encoder takes one.
fn float(number: f64) -> String {
    let size = number.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{number:e}");
        return match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => {
                format!("{digits}e+{exponent}")
            }
            _ => text,
        };
    }
    plain(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Golden outputs of Go 1.26: `json.Unmarshal` into a map, then an encoder that was told to keep HTML.
    #[test]
    fn json_is_written_as_go_writes_it() {
        let table = [
            (
                r#"{"b":1,"a":{"z":null,"y":[true,1.0]}}"#,
                r#"{"a":{"y":[true,1],"z":null},"b":1}"#,
            ),
            (
                r#"{"a":"<x>&\u2028\u0001\b\f/"}"#,
                r#"{"a":"<x>&\u2028\u0001\b\f/"}"#,
            ),
            (
                r#"{"a":1e21,"b":1e20,"c":1e-6,"d":1e-7,"e":-0.0}"#,
                r#"{"a":1e+21,"b":100000000000000000000,"c":0.000001,"d":1e-7,"e":-0}"#,
            ),
            (
                r#"{"a":12345678901234567890}"#,
                r#"{"a":12345678901234567000}"#,
            ),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
            ("null", "{}"),
        ];
        for (text, expected) in table {
            let members = members(&text.into()).unwrap();
            assert_eq!(to_object(&members), expected.into(), "{text}");
        }
    }

    #[test]
    fn a_member_becomes_a_value_as_the_peer_makes_it() {
        let text =
            r#"{"t":"a\nb","n":1e21,"f":1.50,"i":7,"b":false,"0":null,"l":["a",1],"o":{"<":1}}"#;
        let values: BTreeMap<_, _> = members(&text.into())
            .unwrap()
            .iter()
            .map(|(k, v)| {
                (
                    k.clone(),
                    String::from_utf8(to_value(v).expose().to_vec()).unwrap(),
                )
            })
            .collect();
        let expected = [
            ("0", ""),
            ("b", "false"),
            ("f", "1.5"),
            ("i", "7"),
            ("l", r#"["a",1]"#),
            ("n", "1000000000000000000000"),
            ("o", r#"{"\u003c":1}"#),
            ("t", "a\nb"),
        ];
        let expected = expected.map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(values, BTreeMap::from(expected));
        for text in ["[]", "1", "\"x\"", "{", ""] {
            assert!(members(&text.into()).is_none(), "{text}");
        }
    }
}
