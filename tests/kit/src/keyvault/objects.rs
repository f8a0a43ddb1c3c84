//! What a vault holds: objects by collection and name, each with its versions.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::now;

/// Attributes that a version is given, in seconds since 1970.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attributes {
    /// When it was made; now unless given.
    pub created: Option<u64>,
    /// When it ends.
    pub expires: Option<u64>,
    /// When it begins.
    pub not_before: Option<u64>,
}

#[derive(Debug, Default)]
pub(super) struct Objects {
    all: BTreeMap<(String, String), Object>,
    made: u64,
}

#[derive(Debug, Default)]
struct Object {
    versions: Vec<Version>,
    deleted: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Version {
    pub id: String,
    /// The members that make up the value.
    pub body: Value,
    pub tags: BTreeMap<String, String>,
    pub enabled: bool,
    created: u64,
    updated: u64,
    expires: Option<u64>,
    not_before: Option<u64>,
}

impl Objects {
    pub fn put(
        &mut self,
        (collection, name): (&str, &str),
        body: Value,
        tags: BTreeMap<String, String>,
        attributes: Attributes,
    ) -> String {
        self.made += 1;
        let seed = format!("{collection}/{name}/{}", self.made);
        let id = hex::encode(&Sha256::digest(seed)[..16]);
        let created = attributes.created.unwrap_or_else(now);
        let object = self.entry(collection, name);
        object.deleted = false;
        object.versions.push(Version {
            id: id.clone(),
            body,
            tags,
            enabled: true,
            created,
            updated: created,
            expires: attributes.expires,
            not_before: attributes.not_before,
        });
        id
    }

    pub fn put_certificate(&mut self, name: &str, der: &[u8], secret: &str, content_type: &str) {
        let attributes = Attributes::default();
        let certificate = json!({"cer": STANDARD.encode(der)});
        self.put(
            ("certificates", name),
            certificate,
            BTreeMap::new(),
            attributes,
        );
        let secret = json!({"value": secret, "contentType": content_type, "managed": true});
        self.put(("secrets", name), secret, BTreeMap::new(), attributes);
    }

    pub fn enable(&mut self, collection: &str, name: &str, enabled: bool) {
        if let Some(version) = self.entry(collection, name).versions.last_mut() {
            version.enabled = enabled;
            version.updated = now();
        }
    }

    pub fn delete(&mut self, collection: &str, name: &str) {
        self.entry(collection, name).deleted = true;
    }

    /// A version of an object that is not deleted; the newest unless one is named.
    pub fn get(&self, collection: &str, name: &str, version: Option<&str>) -> Option<&Version> {
        let object = self.all.get(&(collection.to_owned(), name.to_owned()))?;
        if object.deleted {
            return None;
        }
        match version {
            None => object.versions.last(),
            Some(id) => object.versions.iter().find(|v| v.id == id),
        }
    }

    /// What a PATCH changes.
    pub fn patch(&mut self, collection: &str, name: &str, version: &str, change: &Value) -> bool {
        let object = self.entry(collection, name);
        let Some(version) = object.versions.iter_mut().find(|v| v.id == version) else {
            return false;
        };
        if let Some(enabled) = change["attributes"]["enabled"].as_bool() {
            version.enabled = enabled;
        }
        if let Some(tags) = change["tags"].as_object() {
            version.tags = texts(tags);
        }
        version.updated = now();
        true
    }

    pub fn deleted(&self, collection: &str, name: &str) -> bool {
        let object = self.all.get(&(collection.to_owned(), name.to_owned()));
        object.is_some_and(|o| o.deleted)
    }

    /// Objects of a collection by name, each as its newest version.
    pub fn list(&self, collection: &str) -> Vec<(&str, &Version)> {
        let of = self
            .all
            .iter()
            .filter(|((c, _), o)| c == collection && !o.deleted);
        of.filter_map(|((_, name), object)| Some((name.as_str(), object.versions.last()?)))
            .collect()
    }

    pub fn versions(&self, collection: &str, name: &str) -> Vec<&Version> {
        let object = self.all.get(&(collection.to_owned(), name.to_owned()));
        object.map_or_else(Vec::new, |o| o.versions.iter().collect())
    }

    fn entry(&mut self, collection: &str, name: &str) -> &mut Object {
        let key = (collection.to_owned(), name.to_owned());
        self.all.entry(key).or_default()
    }
}

impl Version {
    /// Attributes and tags, as every answer has them.
    pub fn properties(&self) -> Map<String, Value> {
        let mut attributes = json!({
            "enabled": self.enabled, "created": self.created, "updated": self.updated,
            "recoveryLevel": "Recoverable+Purgeable", "recoverableDays": 90,
        });
        if let Some(expires) = self.expires {
            attributes["exp"] = expires.into();
        }
        if let Some(not_before) = self.not_before {
            attributes["nbf"] = not_before.into();
        }
        let mut properties = Map::new();
        properties.insert("attributes".to_owned(), attributes);
        if !self.tags.is_empty() {
            properties.insert("tags".to_owned(), json!(self.tags));
        }
        for name in ["contentType", "managed"] {
            if let Some(value) = self.body.get(name) {
                properties.insert(name.to_owned(), value.clone());
            }
        }
        properties
    }

    /// The whole answer to a GET, without what names the object.
    pub fn bundle(&self) -> Map<String, Value> {
        let mut bundle = self.properties();
        if let Some(body) = self.body.as_object() {
            bundle.extend(body.clone());
        }
        bundle
    }
}

pub(super) fn texts(members: &Map<String, Value>) -> BTreeMap<String, String> {
    let text = |(n, v): (&String, &Value)| Some((n.clone(), v.as_str()?.to_owned()));
    members.iter().filter_map(text).collect()
}
