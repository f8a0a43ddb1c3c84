//! What Go prints and parses, where it is visible in the cluster: durations, and the hash of objects.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use sha3::{Digest as _, Sha3_224};

use crate::secret::SecretValue;

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a duration such as 15m, 1h30m or 90s")]
pub struct DurationError(String);

/// Reads a duration as Go writes it (`time.ParseDuration`); a negative one reads as zero, which means the same here.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let wrong = || DurationError(crate::failure::one_line(text, 40));
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut seconds = 0f64;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(wrong)?;
        let (number, after) = rest.split_at(digits);
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let unit_end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let scale = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        seconds += number * scale;
        rest = after;
    }
    if negative {
        return Ok(Duration::ZERO);
    }
    // Go's durations end at about 292 years.
    if seconds > 9.2e9 {
        Err(wrong())
    } else {
        Ok(Duration::from_secs_f64(seconds))
    }
}

/// The hash of a Secret's data: SHA3-224 over what Go's `%+v` prints of a map of byte slices.
#[must_use]
pub fn data_hash<'a>(data: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> String {
    let sorted: BTreeMap<&str, &[u8]> = data.into_iter().collect();
    let mut hash = Sha3_224::new();
    hash.update(b"map[");
    let mut line = String::new();
    for (index, (key, value)) in sorted.iter().enumerate() {
        line.clear();
        if index > 0 {
            line.push(' ');
        }
        line.push_str(key);
        line.push_str(":[");
        for (position, byte) in value.iter().enumerate() {
            let space = if position > 0 { " " } else { "" };
            let _ = write!(line, "{space}{byte}");
        }
        line.push(']');
        hash.update(line.as_bytes());
    }
    zeroize::Zeroize::zeroize(&mut line);
    hash.update(b"]");
    hex::encode(hash.finalize())
}

/// The hash of a piece of an object: SHA3-224 over what Go's `%+v` prints of it.
#[must_use]
pub fn object_hash(value: &serde_json::Value) -> String {
    let mut text = String::new();
    print(value, &mut text);
    let hash = string_hash(&text);
    zeroize::Zeroize::zeroize(&mut text);
    hash
}

fn print(value: &serde_json::Value, out: &mut String) {
    use serde_json::Value;
    match value {
        Value::Null => out.push_str("<nil>"),
        Value::Bool(is) => out.push_str(if *is { "true" } else { "false" }),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) => out.push_str(&float_text(float)),
            None => {
                let _ = write!(out, "{number}");
            }
        },
        Value::String(text) => out.push_str(text),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(' ');
                }
                print(item, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            let sorted: BTreeMap<_, _> = fields.iter().collect();
            out.push_str("map[");
            for (at, (key, value)) in sorted.into_iter().enumerate() {
                if at > 0 {
                    out.push(' ');
                }
                out.push_str(key);
                out.push(':');
                print(value, out);
            }
            out.push(']');
        }
    }
}

/// A number as `%v` prints it: the shortest text, with an exponent below 1e-4 and from 1e21 on.
fn float_text(float: f64) -> String {
    let size = float.abs();
    if size == 0.0 || (1e-4..1e21).contains(&size) {
        return float.to_string();
    }
    let text = format!("{float:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => text,
    }
}

/// The hash of a map of values that are still wrapped.
#[must_use]
pub fn secret_data_hash(data: &BTreeMap<String, SecretValue>) -> String {
    data_hash(data.iter().map(|(k, v)| (k.as_str(), v.expose())))
}

/// The hash of a string, as the owner label has it.
#[must_use]
pub fn string_hash(text: &str) -> String {
    hex::encode(Sha3_224::digest(text.as_bytes()))
}

/// `status.syncedResourceVersion`: the generation and the hash of annotations and labels, so that a change of either
/// counts as a change.
#[must_use]
pub fn synced_resource_version(
    generation: i64,
    annotations: &BTreeMap<String, String>,
    labels: &BTreeMap<String, String>,
) -> String {
    let text = format!(
        "{{annotations:{} labels:{}}}",
        go_map(annotations),
        go_map(labels)
    );
    format!("{generation}-{}", string_hash(&text))
}

fn go_map(map: &BTreeMap<String, String>) -> String {
    let inner: Vec<String> = map.iter().map(|(k, v)| format!("{k}:{v}")).collect();
    format!("map[{}]", inner.join(" "))
}

/// The field manager of an ExternalSecret; the API takes 128 characters, the peer cuts at 63.
#[must_use]
pub fn field_manager(name: &str) -> String {
    let manager = format!("{}{name}", postern_api::names::FIELD_MANAGER_PREFIX);
    if manager.len() <= 63 {
        return manager;
    }
    format!(
        "{}sha3/{}",
        postern_api::names::FIELD_MANAGER_PREFIX,
        string_hash(name)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations_as_go_does() {
        let table = [
            ("1h0m0s", 3600.0),
            ("15m", 900.0),
            ("1.5h", 5400.0),
            ("250ms", 0.25),
            ("0", 0.0),
            ("-1h", 0.0),
            ("1h30m", 5400.0),
        ];
        for (text, seconds) in table {
            assert_eq!(
                parse_duration(text).unwrap(),
                Duration::from_secs_f64(seconds),
                "{text}"
            );
        }
        for text in ["", "1", "h", "1d", "one hour", "1h 5m", "999999999999h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hashes_equal_the_golden_values_of_the_peer() {
        let two = [("foo", b"value1".as_slice()), ("bar", b"value2".as_slice())];
        assert_eq!(
            data_hash(two),
            "1bed8bcbcb4547ffe19a19cd47d9078e84aa6598266d86b99f992d64"
        );
        assert_eq!(
            data_hash([("foo", b"bar".as_slice())]),
            "f2a604b87eb0cf673761e8cfea850f901fe73a3d1b2f338802107f36"
        );
        assert_eq!(
            data_hash([]),
            "74a974446e359fb3e6baff9bd0058950e6edd0f040888d9989b0a11b"
        );
        assert_eq!(
            string_hash("hello there"),
            "f78681ec611ebaeea0689bff6c7812a83ff98a7faba986d9af76c999"
        );
        assert_eq!(
            string_hash("default/my-es"),
            "b8464376b5fe3535e690594280bfe59b60be2603cb6cbb6d6c8bcbb4"
        );
        let none = BTreeMap::new();
        assert_eq!(
            synced_resource_version(1, &none, &none),
            "1-f47fe3c0b255b6dd8047cdffa772587bb829efe7a1cb70febeda2eb2"
        );
    }

    #[test]
    fn an_object_is_hashed_as_go_prints_it() {
        let printed = |value: serde_json::Value| {
            let mut text = String::new();
            print(&value, &mut text);
            text
        };
        let value = serde_json::json!({"b": [1, "x y", null, true], "a": {"f": 1.5, "big": 1e21, "small": 0.00001}, "": {}});
        assert_eq!(
            printed(value),
            "map[:map[] a:map[big:1e+21 f:1.5 small:1e-05] b:[1 x y <nil> true]]"
        );
        assert_eq!(object_hash(&serde_json::json!({})), string_hash("map[]"));
    }

    #[test]
    fn a_long_field_manager_becomes_a_hash() {
        assert_eq!(
            field_manager("my-es"),
            "externalsecrets.external-secrets.io/my-es"
        );
        let long = field_manager(&"x".repeat(40));
        assert!(
            long.starts_with("externalsecrets.external-secrets.io/sha3/"),
            "{long}"
        );
        assert_eq!(
            long.len(),
            "externalsecrets.external-secrets.io/sha3/".len() + 56
        );
    }
}
