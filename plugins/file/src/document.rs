//! Structured files as one JSON object. The kind is told by the extension, never guessed.

use postern_sdk::Failure;
use serde_json::{Map, Number, Value};

/// The members of a JSON or YAML file. Error texts name the file, never what is in it.
///
/// # Errors
/// `invalid-request` where the file is of another kind or cannot be read as what it says it is.
pub fn object(name: &str, bytes: &[u8]) -> Result<Map<String, Value>, Failure> {
    let refuse = |why: &str| Failure::invalid_request(format!("the file {name:?} {why}"));
    let extension = name
        .rsplit_once('.')
        .map(|(_, e)| e.to_ascii_lowercase())
        .unwrap_or_default();
    let parsed = match extension.as_str() {
        "json" => serde_json::from_slice(bytes).map_err(|_| refuse("is no valid JSON"))?,
        "yaml" | "yml" => {
            yaml(bytes).ok_or_else(|| refuse("is no YAML that can be written as JSON"))?
        }
        _ => {
            return Err(refuse(
                "has no members: only .json, .yaml and .yml files do",
            ));
        }
    };
    match parsed {
        Value::Object(map) => Ok(map),
        _ => Err(refuse("holds no object, so it has no members")),
    }
}

fn yaml(bytes: &[u8]) -> Option<Value> {
    let mut value: serde_yaml_ng::Value = serde_yaml_ng::from_slice(bytes).ok()?;
    value.apply_merge().ok()?;
    json(value)
}

/// JSON has no tags, no keys that are not text and no infinite numbers; scalar keys become their text.
fn json(value: serde_yaml_ng::Value) -> Option<Value> {
    use serde_yaml_ng::Value as Yaml;
    Some(match value {
        Yaml::Null => Value::Null,
        Yaml::Bool(b) => Value::Bool(b),
        Yaml::String(s) => Value::String(s),
        Yaml::Number(n) => Value::Number(number(&n)?),
        Yaml::Sequence(items) => Value::Array(items.into_iter().map(json).collect::<Option<_>>()?),
        Yaml::Mapping(map) => {
            let member = |(k, v)| Some((text(k)?, json(v)?));
            Value::Object(map.into_iter().map(member).collect::<Option<_>>()?)
        }
        Yaml::Tagged(tagged) => json(tagged.value)?,
    })
}

fn number(number: &serde_yaml_ng::Number) -> Option<Number> {
    if let Some(n) = number.as_u64() {
        return Some(n.into());
    }
    if let Some(n) = number.as_i64() {
        return Some(n.into());
    }
    number.as_f64().and_then(Number::from_f64)
}

fn text(key: serde_yaml_ng::Value) -> Option<String> {
    match json(key)? {
        Value::String(s) => Some(s),
        Value::Bool(b) => Some(b.to_string()),
        Value::Number(n) => Some(n.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
