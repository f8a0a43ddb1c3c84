//! A Secret and what users take from it: the dialect of properties, and JSON as the External Secrets Operator writes it
//! into target Secrets, byte for byte.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postern_sdk::{Failure, Part, Pick, value};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// What is read of a Secret.
#[derive(Default, Deserialize)]
pub struct Secret {
    /// Its metadata.
    pub metadata: Metadata,
    /// Its values.
    #[serde(default, deserialize_with = "values")]
    pub data: BTreeMap<String, Vec<u8>>,
}

/// What is read of its metadata.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// Its name.
    pub name: String,
    /// Changes when it is made anew.
    pub uid: String,
    /// Changes with each write.
    pub resource_version: String,
    /// Absent is not the same as empty: it is written as `null`.
    pub labels: Option<BTreeMap<String, String>>,
    /// As for labels.
    pub annotations: Option<BTreeMap<String, String>>,
}

fn values<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, Vec<u8>>, D::Error> {
    let encoded: Option<BTreeMap<String, String>> = Option::deserialize(from)?;
    let decode = |(key, text): (String, String)| {
        let bytes = STANDARD.decode(text).map_err(serde::de::Error::custom)?;
        Ok((key, bytes))
    };
    encoded
        .unwrap_or_default()
        .into_iter()
        .map(decode)
        .collect()
}

impl Secret {
    /// Changes with each write, also where a restored store counts anew.
    #[must_use]
    pub fn tag(&self) -> Option<String> {
        let Metadata {
            uid,
            resource_version,
            ..
        } = &self.metadata;
        (!resource_version.is_empty()).then(|| format!("{uid}@{resource_version}"))
    }

    /// All values as one JSON object of strings.
    #[must_use]
    pub fn json(&self) -> Vec<u8> {
        object(self.data.iter().map(|(k, v)| (k.as_str(), v.as_slice())))
    }

    /// What a pick takes.
    ///
    /// # Errors
    /// `not-found` for a property that is not there, `invalid-request` for one without members.
    pub fn take(&self, metadata: bool, pick: &Pick) -> Result<Part, Failure> {
        let property = pick.property.as_deref().filter(|p| !p.is_empty());
        match (pick.members, property) {
            (true, property) => self.members(metadata, property).map(Part::Members),
            (false, None) if metadata => Ok(Part::Value(self.all_metadata())),
            (false, None) => Ok(Part::Value(self.json())),
            (false, Some(property)) if metadata => self.metadatum(property).map(Part::Value),
            (false, Some(property)) => self.datum(property).map(Part::Value),
        }
    }

    fn all_metadata(&self) -> Vec<u8> {
        let mut out = br#"{"annotations":"#.to_vec();
        out.extend(strings(self.metadata.annotations.as_ref()));
        out.extend(br#","labels":"#);
        out.extend(strings(self.metadata.labels.as_ref()));
        out.push(b'}');
        out
    }

    /// `labels`, `annotations`, or one of them by name. A name may have dots; where there is none such, what follows the
    /// first dot is a path into the value.
    fn metadatum(&self, property: &str) -> Result<Vec<u8>, Failure> {
        let (kind, rest) = property
            .split_once('.')
            .map_or((property, None), |(kind, rest)| (kind, Some(rest)));
        let all = match kind {
            "labels" => self.metadata.labels.as_ref(),
            "annotations" => self.metadata.annotations.as_ref(),
            _ => return Err(missing(property, "metadata")),
        };
        let Some(rest) = rest else {
            return Ok(strings(all));
        };
        let named = |name: &str| all.and_then(|all| all.get(name)).map(String::as_bytes);
        if let Some(value) = named(rest) {
            return Ok(value.to_vec());
        }
        let (name, path) = rest
            .split_once('.')
            .ok_or_else(|| missing(property, "metadata"))?;
        named(name)
            .and_then(|json| at_path(json, path))
            .ok_or_else(|| missing(property, "metadata"))
    }

    /// A key of the data; else what stands before the first dot is the key and what follows a path into its value.
    fn datum(&self, property: &str) -> Result<Vec<u8>, Failure> {
        if let Some(value) = self.data.get(property) {
            return Ok(value.clone());
        }
        property
            .split_once('.')
            .and_then(|(key, path)| at_path(self.data.get(key)?, path))
            .ok_or_else(|| missing(property, "data"))
    }

    /// Members of the whole are bytes as they stand; members of a property are the members of its JSON, written as JSON:
    /// a string keeps its quotes.
    fn members(
        &self,
        metadata: bool,
        property: Option<&str>,
    ) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let all: BTreeMap<String, Vec<u8>> = if metadata {
            [
                ("annotations", strings(self.metadata.annotations.as_ref())),
                ("labels", strings(self.metadata.labels.as_ref())),
            ]
            .map(|(name, json)| (name.to_owned(), json))
            .into()
        } else {
            self.data.clone()
        };
        let Some(property) = property else {
            return Ok(all.into_iter().collect());
        };
        let json = lookup(&all, property)
            .ok_or_else(|| missing(property, if metadata { "metadata" } else { "data" }))?;
        let object: Option<Map<String, Value>> = serde_json::from_slice(&json).ok();
        let object = object.ok_or_else(|| {
            Failure::invalid_request(format!(
                "the property {property:?} is no JSON object, so it has no members"
            ))
        })?;
        Ok(object
            .into_iter()
            .map(|(name, value)| (name, json_of(&value)))
            .collect())
    }
}

/// By exact name, else by a gjson path over the values in base64, as the peer has them there.
fn lookup(all: &BTreeMap<String, Vec<u8>>, property: &str) -> Option<Vec<u8>> {
    if let Some(value) = all.get(property) {
        return Some(value.clone());
    }
    let encoded: Map<String, Value> = all
        .iter()
        .map(|(name, value)| (name.clone(), Value::String(STANDARD.encode(value))))
        .collect();
    let found = value::path(&value::marshal_map(&encoded), property)?;
    STANDARD.decode(found).ok()
}

/// A gjson path into a value that is JSON.
fn at_path(json: &[u8], path: &str) -> Option<Vec<u8>> {
    serde_json::from_slice::<serde::de::IgnoredAny>(json).ok()?;
    value::path(std::str::from_utf8(json).ok()?, path)
}

fn missing(property: &str, place: &str) -> Failure {
    Failure::not_found(format!(
        "property {property} does not exist in {place} of secret"
    ))
}

fn strings(map: Option<&BTreeMap<String, String>>) -> Vec<u8> {
    match map {
        None => b"null".to_vec(),
        Some(map) => object(map.iter().map(|(k, v)| (k.as_str(), v.as_bytes()))),
    }
}

/// A JSON object of strings, in the order given.
fn object<'a>(entries: impl Iterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut out = String::from("{");
    for (i, (key, value)) in entries.enumerate() {
        if i > 0 {
            out.push(',');
        }
        string(key.as_bytes(), &mut out);
        out.push(':');
        string(value, &mut out);
    }
    out.push('}');
    out.into_bytes()
}

fn json_of(value: &Value) -> Vec<u8> {
    let mut out = String::new();
    write(value, &mut out);
    out.into_bytes()
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => string(text.as_bytes(), out),
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
        Value::Object(map) => {
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            out.push('{');
            for (i, (key, value)) in sorted.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                string(key.as_bytes(), out);
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
    }
}

/// A string as Go writes it without HTML escapes: each byte that is no UTF-8 becomes `\ufffd`.
fn string(bytes: &[u8], out: &mut String) {
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                '\0'..='\u{1f}' | '\u{2028}' | '\u{2029}' => {
                    out.push_str(&format!("\\u{:04x}", u32::from(c)));
                }
                _ => out.push(c),
            }
        }
        for _ in chunk.invalid() {
            out.push_str("\\ufffd");
        }
    }
    out.push('"');
}
