//! Reads `fixture.yaml`: what an author says of a plugin, a scripted backend, and what must come of each situation.
//!
//! `${ORIGIN}`, `${SENTINEL}`, `${LARGE}` and `${LARGE64}` are replaced in every text before anything is read. Nothing here runs.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use serde::Deserialize;
use serde_json::Value;

use crate::Error;

/// Stands in answers of the backend and must turn up nowhere else.
pub const SENTINEL: &str = "conformance-sentinel-7d1c40e5";

/// Bytes of the largest value that the contract promises to carry.
pub const LARGE: usize = 1 << 20;

/// The file as a whole.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Fixture {
    /// The provider's part of a store.
    pub config: Value,
    /// The key by which a store names the provider; the first that it serves unless given.
    pub provider_key: Option<String>,
    /// JSON Pointer of a reference in the config to what it leads to.
    pub credentials: BTreeMap<String, String>,
    /// What the grant opens: a folder of the fixture, or files by path.
    pub directories: BTreeMap<String, Directory>,
    /// What the backend answers, in every situation.
    pub backend: Vec<Exchange>,
    /// What to ask for, by the name of the situation.
    pub situations: BTreeMap<String, Entry>,
    /// For a template engine: what it must render.
    pub templates: Vec<TemplateCase>,
    /// For a template engine: one that fails.
    pub failing: Option<TemplateCase>,
    /// For a template engine: one that never ends.
    pub endless: Option<TemplateCase>,
}

/// A granted directory.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Directory {
    /// A folder beside the fixture.
    Folder(String),
    /// Files that are made for the run.
    Files(BTreeMap<String, Body>),
}

/// A situation: what to ask, or why there is nothing of the kind.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Entry {
    /// Nothing of the kind, and why.
    Unsupported(Unsupported),
    /// What to ask.
    Ask(Box<Situation>),
}

/// Why a situation does not exist.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unsupported {
    /// The reason, which the report shows.
    pub unsupported: String,
}

/// A request and what must come of it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Situation {
    pub key: String,
    pub version: Option<String>,
    pub metadata: bool,
    pub property: Option<String>,
    /// The bytes that must come.
    pub value: Option<Body>,
    /// The members that must come.
    pub members: Option<BTreeMap<String, Body>>,
    /// Several picks of the object, in place of `property`, `value` and `members`.
    pub picks: Vec<PickCase>,
    /// How long the backend asks us to wait.
    pub retry_after_ms: Option<u64>,
    /// How long the call may take.
    pub deadline_ms: Option<u64>,
    /// Changes to the config (JSON Merge Patch).
    pub config: Option<Value>,
    /// In place of the fixture's.
    pub credentials: Option<BTreeMap<String, String>>,
    /// Exchanges that come before the fixture's.
    pub backend: Vec<Exchange>,
}

/// One pick and what must come of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PickCase {
    pub property: Option<String>,
    pub value: Option<Body>,
    pub members: Option<BTreeMap<String, Body>>,
}

/// Bytes, in the form that suits them.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Body {
    Text(String),
    Base64 { base64: String },
    Repeat { repeat: Repeat },
    Json { json: Value },
}

/// One byte many times.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    pub byte: u8,
    pub count: usize,
}

/// A request that the backend expects, and its answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    #[serde(default = "get")]
    pub method: String,
    /// Path and query, as on the wire.
    pub path: String,
    /// Headers that the request must have; null for one that it must not have.
    #[serde(default)]
    pub headers: BTreeMap<String, Option<String>>,
    /// Members that the JSON body must have.
    #[serde(default)]
    pub json: serde_json::Map<String, Value>,
    pub answer: Answer,
}

fn get() -> String {
    "GET".to_owned()
}

/// What the backend answers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    #[serde(default = "ok")]
    pub status: u16,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    #[serde(default)]
    pub body: Option<Body>,
    /// The request is taken and never answered.
    #[serde(default)]
    pub never: bool,
}

fn ok() -> u16 {
    200
}

/// A template and what must come of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateCase {
    pub name: String,
    pub source: String,
    /// Texts, nested by name.
    #[serde(default)]
    pub data: Value,
    #[serde(default)]
    pub expected: Option<Body>,
    /// Settings of the engine.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

impl Body {
    /// The bytes that it stands for; none if its base64 is none.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        Some(match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Base64 { base64 } => base64::engine::general_purpose::STANDARD
                .decode(base64)
                .ok()?,
            Self::Repeat { repeat } => vec![repeat.byte; repeat.count],
            Self::Json { json } => json.to_string().into_bytes(),
        })
    }
}

impl Situation {
    /// The picks, whichever way they are written.
    pub fn cases(&self) -> Vec<PickCase> {
        if !self.picks.is_empty() {
            return self.picks.clone();
        }
        vec![PickCase {
            property: self.property.clone(),
            value: self.value.clone(),
            members: self.members.clone(),
        }]
    }

    /// Whether it is asked with the fixture's own config, credentials and backend.
    pub fn is_plain(&self) -> bool {
        self.config.is_none()
            && self.credentials.is_none()
            && self.backend.is_empty()
            && self.deadline_ms.is_none()
    }
}

/// Reads the fixture of a folder.
pub fn read(folder: &Path, origin: &str) -> Result<Fixture, Error> {
    let path = folder.join("fixture.yaml");
    let text = std::fs::read_to_string(&path).map_err(|source| Error::Read {
        path: path.clone(),
        source,
    })?;
    parse(&text, origin).map_err(|why| Error::Fixture { path, why })
}

fn parse(text: &str, origin: &str) -> Result<Fixture, String> {
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    let mut value: Value = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| error.without_snippet().render())?;
    let large = "a".repeat(LARGE);
    let encoded = base64::engine::general_purpose::STANDARD.encode(&large);
    fill(
        &mut value,
        &[
            ("${ORIGIN}", origin),
            ("${SENTINEL}", SENTINEL),
            ("${LARGE}", &large),
            ("${LARGE64}", &encoded),
        ],
    );
    let fixture: Fixture = serde_json::from_value(value).map_err(|error| error.to_string())?;
    match fixture
        .situations
        .keys()
        .find(|name| !SITUATIONS.contains(&name.as_str()))
    {
        None => Ok(fixture),
        Some(name) => Err(format!(
            "{name:?} is no situation; there are {}",
            SITUATIONS.join(", ")
        )),
    }
}

/// All situations.
pub const SITUATIONS: [&str; 13] = [
    "present",
    "second",
    "several",
    "unchanged",
    "absent",
    "notFound",
    "denied",
    "throttled",
    "unavailable",
    "deadline",
    "large",
    "empty",
    "binary",
];

fn fill(value: &mut Value, names: &[(&str, &str)]) {
    match value {
        Value::String(text) => {
            for (name, meaning) in names {
                if text.contains(name) {
                    *text = text.replace(name, meaning);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, names)),
        Value::Object(members) => members.values_mut().for_each(|member| fill(member, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// JSON Merge Patch (RFC 7396).
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(members) = target else {
        return;
    };
    for (name, change) in patch {
        if change.is_null() {
            members.remove(name);
        } else {
            merge(members.entry(name.clone()).or_insert(Value::Null), change);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Body, Entry, LARGE, merge, parse};
    use serde_json::json;

    #[test]
    fn names_are_replaced_in_every_text() {
        let text = "config: {url: '${ORIGIN}/x'}\nsituations: {large: {key: a, value: '${LARGE}'}}";
        let fixture = parse(text, "http://127.0.0.1:1").unwrap();
        assert_eq!(fixture.config, json!({"url": "http://127.0.0.1:1/x"}));
        let Entry::Ask(large) = &fixture.situations["large"] else {
            panic!("a situation")
        };
        let bytes = large.value.as_ref().and_then(Body::bytes).unwrap();
        assert_eq!(bytes.len(), LARGE);
    }

    #[test]
    fn a_situation_that_is_none_is_named_with_those_that_are() {
        let error = parse("situations: {presnt: {key: a}}", "").unwrap_err();
        assert!(
            error.contains("presnt") && error.contains("present"),
            "{error}"
        );
    }

    #[test]
    fn a_patch_takes_away_what_it_names_null() {
        let mut config = json!({"a": {"b": 1, "c": 2}, "d": 3});
        merge(&mut config, &json!({"a": {"b": null, "e": 4}, "d": 5}));
        assert_eq!(config, json!({"a": {"c": 2, "e": 4}, "d": 5}));
    }
}
