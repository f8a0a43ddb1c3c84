//! What is taken from an answer: a JSONPath, and values as the External Secrets Operator writes them. Numbers are Go's
//! `float64` there, and so they are here.

use std::collections::BTreeMap;

use postern_sdk::{Failure, value};
use serde_json::{Map, Value};
use serde_json_path::JsonPath;

/// The bytes of a value: the whole body, or what the path leads to.
///
/// # Errors
/// Why there are none; the answer is never quoted.
pub fn value(body: &[u8], path: &str) -> Result<Vec<u8>, Failure> {
    if path.is_empty() {
        return Ok(body.to_vec());
    }
    text(&at(&parsed(body)?, path)?)
}

/// The members of an object, which may also stand as JSON in a string.
///
/// # Errors
/// As for [`value`].
pub fn members(body: &[u8], path: &str) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let whole = parsed(body)?;
    let found = if path.is_empty() {
        whole
    } else {
        at(&whole, path)?
    };
    let found = match found {
        Value::String(text) => parsed(text.as_bytes())?,
        other => other,
    };
    let Value::Object(map) = found else {
        return Err(Failure::invalid_request(format!(
            "{} is no JSON object, so it has no members",
            place(path)
        )));
    };
    Ok(map
        .iter()
        .map(|(name, value)| (name.clone(), member(value)))
        .collect())
}

fn place(path: &str) -> String {
    if path.is_empty() {
        "the answer".to_owned()
    } else {
        format!("what {path:?} finds in the answer")
    }
}

fn parsed(body: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(body)
        .map_err(|_| Failure::invalid_request("the answer, or a text in it, is no JSON"))
}

/// A path that can lead to one place only gives what stands there; any other gives a list.
fn at(whole: &Value, path: &str) -> Result<Value, Failure> {
    let parsed = JsonPath::parse(path).map_err(|error| {
        Failure::invalid_config(format!(
            "result.jsonPath {path:?} is no JSONPath: {}",
            error.message()
        ))
    })?;
    let mut found: Vec<Value> = parsed.query(whole).all().into_iter().cloned().collect();
    if leads_to_many(path) {
        return Ok(Value::Array(found));
    }
    found
        .pop()
        .ok_or_else(|| Failure::not_found(format!("{path:?} finds nothing in the answer")))
}

/// Wildcards, descents, filters, slices and unions, outside quotes.
fn leads_to_many(path: &str) -> bool {
    let mut quote = None;
    let mut bracketed = false;
    let mut before = ' ';
    for c in path.chars() {
        match (quote, c) {
            (Some(open), c) if c == open && before != '\\' => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '*' | '?') => return true,
            (None, '.') if before == '.' => return true,
            (None, ',' | ':') if bracketed => return true,
            (None, '[') => bracketed = true,
            (None, ']') => bracketed = false,
            (None, _) => {}
        }
        before = if before == '\\' && c == '\\' { ' ' } else { c };
    }
    false
}

/// A number has no decimals here: 1.5 is `2`.
fn text(found: &Value) -> Result<Vec<u8>, Failure> {
    Ok(match found {
        Value::String(text) => text.clone().into_bytes(),
        Value::Null => Vec::new(),
        Value::Bool(is) => is.to_string().into_bytes(),
        Value::Number(number) => format!("{:.0}", float(number)).into_bytes(),
        Value::Array(items) => match items.first() {
            Some(first) => return text(first),
            None => {
                return Err(Failure::not_found(
                    "result.jsonPath finds an empty list in the answer",
                ));
            }
        },
        Value::Object(_) => value::marshal(&as_go(found)).into_bytes(),
    })
}

/// A number has its decimals here, and never an exponent.
fn member(found: &Value) -> Vec<u8> {
    match found {
        Value::Number(number) => float(number).to_string().into_bytes(),
        other => value::to_bytes(&as_go(other)),
    }
}

fn float(number: &serde_json::Number) -> f64 {
    number.as_f64().unwrap_or_default()
}

/// Numbers in the form in which Go marshals a `float64`.
fn as_go(found: &Value) -> Value {
    match found {
        Value::Number(number) => {
            let text = go_float(float(number));
            text.parse().map_or_else(|_| found.clone(), Value::Number)
        }
        Value::Array(items) => Value::Array(items.iter().map(as_go).collect()),
        Value::Object(map) => {
            let members: BTreeMap<&String, &Value> = map.iter().collect();
            let members = members.into_iter().map(|(k, v)| (k.clone(), as_go(v)));
            Value::Object(members.collect::<Map<String, Value>>())
        }
        Value::Null | Value::Bool(_) | Value::String(_) => found.clone(),
    }
}

/// The shortest decimal that is this number; with an exponent where it is very large or very small.
fn go_float(number: f64) -> String {
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
    number.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_at(body: &str, path: &str) -> Result<String, String> {
        value(body.as_bytes(), path)
            .map(|v| String::from_utf8(v).unwrap_or_default())
            .map_err(|f| f.code)
    }

    #[test]
    fn values_are_written_by_kind() {
        let body = r#"{"s":"x<y","n":1.5,"big":12345678901234567890,"t":true,"z":null,"l":["a","b"],"e":[],
            "o":{"b":1.50,"a":"<","c":1e21,"d":0.0000001},"deep":[{"k":"a","v":"1"},{"k":"b","v":"2"}]}"#;
        let table = [
            ("$.s", Ok("x<y")),
            ("$.n", Ok("2")),
            ("$.big", Ok("12345678901234567168")),
            ("$.t", Ok("true")),
            ("$.z", Ok("")),
            ("$.l", Ok("a")),
            ("$.l[1]", Ok("b")),
            ("$['l'][0]", Ok("a")),
            ("$.l[*]", Ok("a")),
            ("$.e", Err("not-found")),
            ("$.none", Err("not-found")),
            ("$.none[*]", Err("not-found")),
            ("$.o", Ok(r#"{"a":"\u003c","b":1.5,"c":1e+21,"d":1e-7}"#)),
            ("$.deep[?(@.k=='b')].v", Ok("2")),
            ("$..v", Ok("1")),
            ("s", Err("invalid-config")),
            ("$.s[", Err("invalid-config")),
        ];
        for (path, want) in table {
            let want = want.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(text_at(body, path), want, "{path}");
        }
        assert_eq!(text_at("no json", ""), Ok("no json".to_owned()));
        assert_eq!(text_at("no json", "$.a"), Err("invalid-request".to_owned()));
    }

    #[test]
    fn members_keep_their_decimals_and_may_stand_in_a_string() {
        let body =
            br#"{"r":"{\"a\":1.50,\"b\":[\"<\",1.0],\"c\":\"x\",\"d\":null,\"e\":1e22}","l":[1]}"#;
        let want = [
            ("a", "1.5"),
            ("b", r#"["\u003c",1]"#),
            ("c", "x"),
            ("d", ""),
            ("e", "10000000000000000000000"),
        ];
        let want: Vec<(String, Vec<u8>)> = want
            .map(|(k, v)| (k.to_owned(), v.as_bytes().to_vec()))
            .into();
        assert_eq!(members(body, "$.r"), Ok(want));
        assert_eq!(
            members(br#"{"a":true}"#, ""),
            Ok(vec![("a".to_owned(), b"true".to_vec())])
        );
        assert_eq!(
            members(body, "$.l").map_err(|f| f.code),
            Err("invalid-request".to_owned())
        );
    }

    #[test]
    fn a_path_leads_to_many_only_outside_quotes() {
        for path in ["$..a", "$.*", "$[0,1]", "$[1:]", "$.a[?(@.b)]"] {
            assert!(leads_to_many(path), "{path}");
        }
        for path in ["$.a.b[0]", "$['a.*b']", r#"$["a,b:c"]"#, r"$['it\'s *']"] {
            assert!(!leads_to_many(path), "{path}");
        }
    }
}
