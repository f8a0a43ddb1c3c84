//! What is taken from an object that the vault gave: its value, a property of it, its members, or its tags and attributes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postern_sdk::{Failure, Part, Pick, value};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

use crate::key::{Kind, Object};
use crate::wire::{or_default, strange};

/// An object as the vault gives it, of any kind.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Bundle {
    #[serde(deserialize_with = "or_default")]
    id: String,
    value: Option<String>,
    cer: Option<String>,
    key: Option<Map<String, Value>>,
    #[serde(deserialize_with = "or_default")]
    attributes: Attributes,
    #[serde(deserialize_with = "or_default")]
    tags: BTreeMap<String, Option<String>>,
}

/// Moments in seconds since 1970.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Attributes {
    created: Option<i64>,
    updated: Option<i64>,
    exp: Option<i64>,
    nbf: Option<i64>,
}

/// What the picks are taken from.
pub enum Content {
    /// A text.
    Text(String),
    /// Bytes that have no properties.
    Bytes(Vec<u8>),
    /// A JSON object that has properties but is not given out by members.
    Document(String),
}

impl Bundle {
    /// The version of what was read. A secret and a certificate never change within a version, so it tells whether they
    /// changed; a key's operations do change.
    #[must_use]
    pub fn tag(&self, kind: Kind) -> Option<String> {
        let version = self.id.rsplit('/').next().unwrap_or_default();
        let fits = !version.is_empty() && version.len() <= 64;
        (fits && kind != Kind::Key && self.id.matches('/').count() >= 5).then(|| version.to_owned())
    }

    /// The content of an object.
    ///
    /// # Errors
    /// `unavailable` where there is none: an object without its value is no empty value.
    pub fn content(self, object: &Object, what: &str) -> Result<Content, Failure> {
        let content = match object.kind {
            Kind::Secret => self.value.map(Content::Text),
            Kind::Certificate => {
                let bytes = self.cer.and_then(|cer| STANDARD.decode(cer).ok());
                bytes.filter(|b| !b.is_empty()).map(Content::Bytes)
            }
            Kind::Key => {
                let key = self.key.filter(|k| !k.is_empty());
                key.map(|k| Content::Document(value::marshal_map(&k)))
            }
        };
        content.ok_or_else(|| strange(what))
    }

    /// Tags and attributes by name.
    #[must_use]
    pub fn metadata(self) -> Metadata {
        let mut all = self.tags;
        let attributes = [
            ("attribute.expires", self.attributes.exp),
            ("attribute.created", self.attributes.created),
            ("attribute.updated", self.attributes.updated),
            ("attribute.notBefore", self.attributes.nbf),
        ];
        for (name, seconds) in attributes {
            if let Some(seconds) = seconds {
                all.insert(name.to_owned(), Some(rfc3339(seconds)));
            }
        }
        Metadata(all)
    }
}

impl Content {
    /// One pick.
    ///
    /// # Errors
    /// `not-found` for a property that is not there, `invalid-request` for members of what has none.
    pub fn take(&self, object: &Object, key: &str, pick: &Pick) -> Result<Part, Failure> {
        let property = pick.property.as_deref().filter(|p| !p.is_empty());
        if pick.members && object.kind != Kind::Secret {
            return Err(no_members(object));
        }
        let bytes = match (self, property) {
            (Self::Bytes(bytes), _) => bytes.clone(),
            (Self::Text(text) | Self::Document(text), None) => text.clone().into_bytes(),
            (Self::Text(text) | Self::Document(text), Some(property)) => {
                property_of(text, property).ok_or_else(|| missing(property, key))?
            }
        };
        if !pick.members {
            return Ok(Part::Value(bytes));
        }
        value::raw_members(&bytes)
            .map(Part::Members)
            .ok_or_else(|| {
                let of = property.map_or_else(String::new, |p| format!("the property {p:?} of "));
                Failure::invalid_request(format!(
                    "{of}the secret {key:?} is no JSON object, so it has no members"
                ))
            })
    }
}

/// Tags and attributes by name; a tag may be null.
pub struct Metadata(BTreeMap<String, Option<String>>);

impl Metadata {
    /// One pick.
    ///
    /// # Errors
    /// `not-found` for a tag that is not there.
    pub fn take(&self, object: &Object, key: &str, pick: &Pick) -> Result<Part, Failure> {
        let property = pick.property.as_deref().filter(|p| !p.is_empty());
        if pick.members && object.kind != Kind::Secret {
            return Err(no_members(object));
        }
        let value = property.map(|p| self.property(p)).transpose()?;
        Ok(match (pick.members, property, value) {
            (false, _, Some(bytes)) => Part::Value(bytes),
            (false, _, None) => Part::Value(self.document()),
            (true, Some(property), Some(bytes)) => {
                Part::Members(vec![(format!("{key}_{property}"), bytes)])
            }
            (true, _, _) => Part::Members(self.members(&object.name)),
        })
    }

    /// The tag of that name; else the tag before the first dot, and the property of it that follows.
    fn property(&self, property: &str) -> Result<Vec<u8>, Failure> {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        if let Some(value) = self.0.get(property) {
            return Ok(text(value).into_bytes());
        }
        let none = || Failure::not_found(format!("there is no tag {property:?}"));
        let (tag, rest) = property.split_once('.').ok_or_else(none)?;
        match self.0.get(tag) {
            Some(None) => Ok(Vec::new()),
            Some(Some(value)) => property_of(value, rest).ok_or_else(|| missing(rest, property)),
            None => Err(none()),
        }
    }

    fn document(&self) -> Vec<u8> {
        let given = self.0.iter().filter_map(|(name, value)| {
            let value = value.clone()?;
            Some((name.clone(), Value::String(value)))
        });
        value::marshal_map(&given.collect()).into_bytes()
    }

    /// `NAME_TAG`; a tag that is a JSON object of texts is one `NAME_TAG_MEMBER` for each of them.
    fn members(&self, name: &str) -> Vec<(String, Vec<u8>)> {
        let mut members = BTreeMap::new();
        for (tag, value) in &self.0 {
            let Some(value) = value else { continue };
            match serde_json::from_str::<BTreeMap<String, Option<String>>>(value) {
                Ok(texts) => members.extend(texts.into_iter().map(|(member, text)| {
                    let bytes = text.unwrap_or_default().into_bytes();
                    (format!("{name}_{tag}_{member}"), bytes)
                })),
                Err(_) => drop(members.insert(format!("{name}_{tag}"), value.clone().into_bytes())),
            }
        }
        members.into_iter().collect()
    }
}

/// A gjson path; else one whose dots are part of a name.
fn property_of(text: &str, property: &str) -> Option<Vec<u8>> {
    value::path(text, property).or_else(|| {
        let escaped = property.replace('.', "\\.");
        property
            .contains('.')
            .then(|| value::path(text, &escaped))
            .flatten()
    })
}

fn missing(property: &str, key: &str) -> Failure {
    Failure::not_found(format!("property {property:?} does not exist in {key:?}"))
}

fn no_members(object: &Object) -> Failure {
    Failure::invalid_request(format!(
        "a {} has no members: read it with data, not with dataFrom",
        object.kind.noun()
    ))
}

/// A moment in UTC. Days are counted from 1 March of year 0 in eras of 400 years, so that leap days come last.
fn rfc3339(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_moments_in_utc() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_493_938_410, "2017-05-04T22:53:30Z"),
            (4_102_444_800, "2100-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ];
        for (seconds, want) in cases {
            assert_eq!(rfc3339(seconds), want);
        }
    }
}
