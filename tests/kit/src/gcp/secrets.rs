//! Secrets with their versions, and what is answered about them.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::words::{Target, crc32c, rfc3339};
use super::{SecretManager, error};
use crate::http_server::{Asked, Reply};

/// The most bytes of a value.
const PAYLOAD: usize = 64 << 10;

/// Location and id.
type Place<'a> = (Option<&'a str>, &'a str);

#[derive(Debug)]
pub struct Secrets {
    all: BTreeMap<(Option<String>, String), Secret>,
    /// Entries of a page at most.
    pub page: usize,
    edits: u64,
}

impl Default for Secrets {
    fn default() -> Self {
        Self {
            all: BTreeMap::new(),
            page: 25_000,
            edits: 0,
        }
    }
}

#[derive(Debug)]
struct Secret {
    made: i128,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    etag: u64,
    versions: Vec<Version>,
}

#[derive(Debug)]
struct Version {
    made: i128,
    state: String,
    etag: u64,
    data: Vec<u8>,
}

impl Secrets {
    pub fn put(&mut self, place: Place<'_>, data: &[u8], now: i128) -> u64 {
        self.make(place, &json!({}), now);
        self.add(place, data, now)
    }

    fn make(&mut self, (location, id): Place<'_>, body: &Value, now: i128) {
        self.edits += 1;
        let secret = Secret {
            made: now,
            labels: strings(&body["labels"]),
            annotations: strings(&body["annotations"]),
            etag: self.edits,
            versions: Vec::new(),
        };
        let key = (location.map(str::to_owned), id.to_owned());
        self.all.entry(key).or_insert(secret);
    }

    fn add(&mut self, place: Place<'_>, data: &[u8], now: i128) -> u64 {
        self.edits += 1;
        let etag = self.edits;
        let Some(secret) = self.secret(place) else {
            return 0;
        };
        secret.versions.push(Version {
            made: now,
            state: "ENABLED".to_owned(),
            etag,
            data: data.to_vec(),
        });
        secret.versions.len() as u64
    }

    fn secret(&mut self, (location, id): Place<'_>) -> Option<&mut Secret> {
        self.all
            .get_mut(&(location.map(str::to_owned), id.to_owned()))
    }

    pub fn label(&mut self, id: &str, name: &str, value: &str) {
        self.edits += 1;
        let etag = self.edits;
        if let Some(secret) = self.secret((None, id)) {
            secret.etag = etag;
            secret.labels.insert(name.to_owned(), value.to_owned());
        }
    }

    pub fn annotate(&mut self, id: &str, name: &str, value: &str) {
        self.edits += 1;
        let etag = self.edits;
        if let Some(secret) = self.secret((None, id)) {
            secret.etag = etag;
            secret.annotations.insert(name.to_owned(), value.to_owned());
        }
    }

    pub fn set_state(&mut self, place: Place<'_>, number: u64, state: &str) {
        self.edits += 1;
        let etag = self.edits;
        let version = self
            .secret(place)
            .and_then(|s| s.versions.get_mut(number as usize - 1));
        if let Some(version) = version {
            version.state = state.to_owned();
            version.etag = etag;
            if state == "DESTROYED" {
                version.data.clear();
            }
        }
    }

    pub fn remove(&mut self, (location, id): Place<'_>) {
        self.all
            .remove(&(location.map(str::to_owned), id.to_owned()));
    }

    pub fn age(&mut self, by: Duration) {
        let by = by.as_nanos() as i128;
        for secret in self.all.values_mut() {
            secret.made -= by;
            secret
                .versions
                .iter_mut()
                .for_each(|version| version.made -= by);
        }
    }

    pub fn reply(&mut self, asked: &Asked, target: &Target, now: i128) -> Reply {
        let location = target.location.as_deref();
        let parent = match location {
            Some(location) => format!("projects/{}/locations/{location}", SecretManager::NUMBER),
            None => format!("projects/{}", SecretManager::NUMBER),
        };
        if target.verb == "secrets.list" {
            return self.list(target, &parent);
        }
        let id = target
            .secret
            .clone()
            .or_else(|| target.query.get("secretId").cloned());
        let id = id.unwrap_or_default();
        let place = (location, id.as_str());
        let name = format!("{parent}/secrets/{id}");
        if target.verb == "secrets.create" {
            if self.secret(place).is_some() {
                return error(
                    409,
                    "ALREADY_EXISTS",
                    &format!("Secret [{name}] already exists."),
                );
            }
            self.make(place, &asked.json(), now);
        }
        let page = self.page;
        let Some(secret) = self.secret(place) else {
            let tail = if target.version.is_some() {
                " or has no versions"
            } else {
                ""
            };
            return error(
                404,
                "NOT_FOUND",
                &format!("Secret [{name}] not found{tail}."),
            );
        };
        match target.verb.as_str() {
            "secrets.get" | "secrets.create" => Reply::json(200, &secret.json(&name)),
            "secrets.delete" => {
                self.remove(place);
                Reply::json(200, &json!({}))
            }
            "versions.list" => secret.list(&name, target, page),
            "versions.add" => self.added(place, &name, &asked.json(), now),
            verb => {
                let number = secret.number(target.version.as_deref().unwrap_or_default());
                let verb = verb.trim_start_matches("versions.").to_owned();
                self.of_version(
                    place,
                    &name,
                    &verb,
                    number.ok_or_else(|| target.version.clone().unwrap_or_default()),
                )
            }
        }
    }

    fn added(&mut self, place: Place<'_>, name: &str, body: &Value, now: i128) -> Reply {
        let data = body
            .pointer("/payload/data")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let Ok(data) = STANDARD.decode(data) else {
            return error(
                400,
                "INVALID_ARGUMENT",
                "Invalid value at 'payload.data' (TYPE_BYTES), Base64 decoding failed.",
            );
        };
        if data.len() > PAYLOAD {
            return error(400, "INVALID_ARGUMENT", "The Payload is too large.");
        }
        let sum = body
            .pointer("/payload/dataCrc32c")
            .map(|sum| sum.as_str().unwrap_or_default().to_owned());
        if sum.is_some_and(|sum| sum != crc32c(&data).to_string()) {
            return error(400, "INVALID_ARGUMENT", "Data CRC32C does not match.");
        }
        let number = self.add(place, &data, now);
        let secret = self.secret(place);
        let version =
            secret.and_then(|s| Some(s.versions.get(number as usize - 1)?.json(name, number)));
        Reply::json(200, &version.unwrap_or_default())
    }

    fn of_version(
        &mut self,
        place: Place<'_>,
        name: &str,
        verb: &str,
        number: Result<u64, String>,
    ) -> Reply {
        let missing = |version: &str| {
            error(
                404,
                "NOT_FOUND",
                &format!("Secret Version [{name}/versions/{version}] not found."),
            )
        };
        let number = match number {
            Ok(number) => number,
            Err(version) if version == "latest" => {
                return error(
                    404,
                    "NOT_FOUND",
                    &format!("Secret [{name}] not found or has no versions."),
                );
            }
            Err(version) => return missing(&version),
        };
        match verb {
            "disable" => self.set_state(place, number, "DISABLED"),
            "enable" => self.set_state(place, number, "ENABLED"),
            "destroy" => self.set_state(place, number, "DESTROYED"),
            _ => {}
        }
        let Some(version) = self
            .secret(place)
            .and_then(|s| s.versions.get(number as usize - 1))
        else {
            return missing(&number.to_string());
        };
        if verb != "access" {
            return Reply::json(200, &version.json(name, number));
        }
        if version.state != "ENABLED" {
            let state = &version.state;
            let text = format!("Secret Version [{name}/versions/{number}] is in {state} state.");
            return error(400, "FAILED_PRECONDITION", &text);
        }
        let payload = json!({"data": STANDARD.encode(&version.data), "dataCrc32c": crc32c(&version.data).to_string()});
        Reply::json(
            200,
            &json!({"name": format!("{name}/versions/{number}"), "payload": payload}),
        )
    }

    fn list(&self, target: &Target, parent: &str) -> Reply {
        let filter = target.query.get("filter").map_or("", String::as_str);
        let mut found: Vec<(&str, &Secret)> = Vec::new();
        for ((location, id), secret) in &self.all {
            if location.as_deref() != target.location.as_deref() {
                continue;
            }
            match secret.fits(id, filter) {
                Some(true) => found.push((id, secret)),
                Some(false) => {}
                None => return error(400, "INVALID_ARGUMENT", "The filter cannot be read."),
            }
        }
        found.sort_by_key(|(_, secret)| std::cmp::Reverse(secret.made));
        let all: Vec<Value> = found
            .iter()
            .map(|(id, secret)| secret.json(&format!("{parent}/secrets/{id}")))
            .collect();
        paged("secrets", all, target, self.page)
    }
}

impl Secret {
    fn json(&self, name: &str) -> Value {
        let mut json = json!({"name": name, "replication": {"automatic": {}}, "createTime": rfc3339(self.made),
            "etag": format!("\"{:x}\"", self.etag)});
        for (field, map) in [("labels", &self.labels), ("annotations", &self.annotations)] {
            if !map.is_empty() {
                json[field] = json!(map);
            }
        }
        json
    }

    /// Whether all words of a filter are true; none for a word that nobody knows.
    fn fits(&self, id: &str, filter: &str) -> Option<bool> {
        let mut fits = true;
        for word in filter.split_whitespace().filter(|word| *word != "AND") {
            fits &= if let Some(text) = word.strip_prefix("name:") {
                id.contains(text)
            } else {
                let (label, value) = word.strip_prefix("labels.")?.split_once('=')?;
                self.labels.get(label).is_some_and(|has| has == value)
            };
        }
        Some(fits)
    }

    fn number(&self, version: &str) -> Option<u64> {
        let last = self.versions.len() as u64;
        let number = if version == "latest" {
            last
        } else {
            version.parse().ok()?
        };
        (1..=last).contains(&number).then_some(number)
    }

    fn list(&self, name: &str, target: &Target, page: usize) -> Reply {
        let filter = target.query.get("filter").map(String::as_str);
        let state = match filter.map(|f| f.strip_prefix("state:")) {
            None => None,
            Some(Some(state)) => Some(state),
            Some(None) => return error(400, "INVALID_ARGUMENT", "The filter cannot be read."),
        };
        let numbered = (1..).zip(&self.versions);
        let fits = numbered.filter(|(_, version)| state.is_none_or(|s| version.state == s));
        let mut all: Vec<Value> = fits
            .map(|(number, version)| version.json(name, number))
            .collect();
        all.reverse();
        paged("versions", all, target, page)
    }
}

impl Version {
    fn json(&self, name: &str, number: u64) -> Value {
        json!({"name": format!("{name}/versions/{number}"), "createTime": rfc3339(self.made), "state": self.state,
            "replicationStatus": {"automatic": {}}, "etag": format!("\"{:x}\"", self.etag)})
    }
}

fn paged(kind: &str, all: Vec<Value>, target: &Target, most: usize) -> Reply {
    let asked: usize = target
        .query
        .get("pageSize")
        .and_then(|s| s.parse().ok())
        .unwrap_or(0);
    let size = if asked == 0 {
        25.min(most)
    } else {
        asked.min(most)
    };
    let from: usize = match target
        .query
        .get("pageToken")
        .filter(|token| !token.is_empty())
    {
        None => 0,
        Some(token) => match token
            .strip_prefix("from=")
            .and_then(|from| from.parse().ok())
        {
            Some(from) => from,
            None => return error(400, "INVALID_ARGUMENT", "The page token cannot be read."),
        },
    };
    let mut answer = Map::new();
    answer.insert("totalSize".to_owned(), json!(all.len()));
    if from + size < all.len() {
        answer.insert(
            "nextPageToken".to_owned(),
            json!(format!("from={}", from + size)),
        );
    }
    let page: Vec<Value> = all.into_iter().skip(from).take(size).collect();
    if !page.is_empty() {
        answer.insert(kind.to_owned(), json!(page));
    }
    Reply::json(200, &Value::Object(answer))
}

fn strings(value: &Value) -> BTreeMap<String, String> {
    serde_json::from_value(value.clone()).unwrap_or_default()
}
