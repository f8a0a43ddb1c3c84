//! What a request is about, and how moments and check sums are written.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;

use crate::http_server::{Asked, parameters};

/// What a request is about.
#[derive(Debug, Default)]
pub struct Target {
    /// `secrets.get`, `versions.access`, …, as the permission has it; of other servers a word of its own.
    pub verb: String,
    /// Path without `/v1/` and the custom verb.
    pub resource: String,
    pub project: String,
    pub location: Option<String>,
    pub secret: Option<String>,
    pub version: Option<String>,
    pub query: BTreeMap<String, String>,
}

impl Target {
    pub fn parse(asked: &Asked) -> Self {
        let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
        let (resource, custom) = match path.strip_prefix("/v1/") {
            Some(rest) => rest.split_once(':').unwrap_or((rest, "")),
            None => (path, ""),
        };
        let mut target = Self {
            resource: resource.to_owned(),
            query: parameters(query),
            ..Self::default()
        };
        let mut parts: Vec<&str> = resource.split('/').collect();
        if parts.len() > 3 && parts[2] == "locations" {
            target.location = Some(parts[3].to_owned());
            parts.drain(2..4);
        }
        let owned = |at: usize| parts.get(at).map(|part| (*part).to_owned());
        target.project = owned(1).unwrap_or_default();
        target.secret = owned(3);
        target.version = owned(5);
        let named = match (asked.method.as_str(), custom) {
            (_, "addVersion") => "versions.add",
            (_, custom) if !custom.is_empty() => return target.with(&parts, custom),
            ("GET", _) if parts.len().is_multiple_of(2) => return target.with(&parts, "get"),
            ("GET", _) => return target.with(&parts, "list"),
            ("POST", _) => return target.with(&parts, "create"),
            ("PATCH", _) => return target.with(&parts, "update"),
            ("DELETE", _) => return target.with(&parts, "delete"),
            _ => "unknown",
        };
        target.verb = named.to_owned();
        target
    }

    fn with(self, parts: &[&str], verb: &str) -> Self {
        let kind = match parts {
            ["projects", _, "secrets"] | ["projects", _, "secrets", _] => "secrets",
            ["projects", _, "secrets", _, "versions"]
            | ["projects", _, "secrets", _, "versions", _] => "versions",
            _ => {
                let verb = parts
                    .last()
                    .map_or_else(String::new, |last| (*last).to_owned());
                return Self { verb, ..self };
            }
        };
        let verb = format!("{kind}.{verb}");
        Self { verb, ..self }
    }

    pub fn is_about_secrets(&self) -> bool {
        self.verb.starts_with("secrets.") || self.verb.starts_with("versions.")
    }
}

/// Now, in nanoseconds since 1970, by a clock that is so far ahead.
pub fn now(ahead: i64) -> i128 {
    Timestamp::now().as_nanosecond() + i128::from(ahead) * 1_000_000_000
}

pub fn rfc3339(at: i128) -> String {
    Timestamp::from_nanosecond(at)
        .unwrap_or_default()
        .to_string()
}

pub fn http_date(at: i128) -> String {
    let at = Timestamp::from_nanosecond(at).unwrap_or_default();
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// The check sum of Castagnoli, bit by bit.
pub fn crc32c(bytes: &[u8]) -> u32 {
    let step = |mut sum: u32, byte: &u8| {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            let carry = if sum & 1 == 1 { 0x82f6_3b78 } else { 0 };
            sum = (sum >> 1) ^ carry;
        }
        sum
    };
    !bytes.iter().fold(!0, step)
}
