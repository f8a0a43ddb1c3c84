//! The store's config, parsed once into a [`Config`] that cannot be wrong, and what it needs from the host.

use std::collections::BTreeMap;

use postern_plugin_shared::pem;
use postern_sdk::{
    Context, Endpoint, Failure, Material, Needs, Problem, Reference, parse_config,
    problems_as_failure,
};
use serde::Deserialize;

/// A checked config. Texts that may be templates are as the store has them.
#[derive(Debug, PartialEq, Eq)]
pub struct Config {
    /// Scheme and authority, which are no template.
    pub origin: String,
    /// The URL, a template behind its origin.
    pub url: String,
    /// The method.
    pub method: String,
    /// Names and templates of headers.
    pub headers: Vec<(String, String)>,
    /// The template of the body.
    pub body: Option<String>,
    /// The template of the path into the answer; empty for none.
    pub json_path: String,
    /// How long an exchange may take.
    pub timeout_ms: Option<u64>,
    /// The names by which templates see Secrets, in the order of the config.
    pub secrets: Vec<String>,
    /// Where the roots come from.
    ca: Option<Material>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    url: String,
    method: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
    timeout: Option<String>,
    #[serde(default)]
    result: RawResult,
    #[serde(default)]
    secrets: Vec<RawSecret>,
    auth: Option<serde::de::IgnoredAny>,
    ca_bundle: Option<String>,
    ca_provider: Option<serde::de::IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawResult {
    json_path: String,
}

#[derive(Deserialize)]
struct RawSecret {
    name: String,
}

impl Config {
    /// Reads a config.
    ///
    /// # Errors
    /// All problems found.
    pub fn parse(json: &str) -> Result<Self, Vec<Problem>> {
        let raw: Raw = parse_config(json)?;
        let mut problems = Vec::new();
        let mut wrong = |pointer: &str, text: &str| problems.push(Problem::new(pointer, text));
        let url = raw.url.trim().to_owned();
        let origin = origin(&url).unwrap_or_else(|text| {
            wrong("/url", text);
            String::new()
        });
        let timeout_ms = raw.timeout.as_deref().and_then(|text| {
            let parsed = duration_ms(text);
            if parsed.is_none() {
                wrong("/timeout", "is no duration such as 10s or 1m30s");
            }
            parsed.filter(|ms| *ms > 0)
        });
        if raw.auth.is_some() {
            wrong(
                "/auth/ntlm",
                "NTLM is not served: use a header with a token, or basic authentication as Authorization: \"Basic {{ … | b64enc }}\"",
            );
        }
        let ca = match raw.ca_bundle.filter(|b| !b.is_empty()) {
            None => raw
                .ca_provider
                .map(|_| Material::Pointer("/caProvider".to_owned())),
            Some(bundle) => match pem(&bundle) {
                Some(pem) => Some(Material::Pem(pem)),
                None => {
                    wrong("/caBundle", "is neither PEM nor base64 of PEM");
                    None
                }
            },
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            origin,
            url,
            method: raw
                .method
                .filter(|m| !m.is_empty())
                .unwrap_or_else(|| "GET".to_owned()),
            headers: raw.headers.into_iter().collect(),
            body: raw.body.filter(|b| !b.is_empty()),
            json_path: raw.result.json_path,
            timeout_ms,
            secrets: raw.secrets.into_iter().map(|s| s.name).collect(),
            ca,
        })
    }

    /// Reads the config of a call.
    ///
    /// # Errors
    /// `invalid-config` with all problems.
    pub fn of(context: &Context) -> Result<Self, Failure> {
        Self::parse(&context.config).map_err(|p| problems_as_failure(&p))
    }

    /// What this config needs.
    #[must_use]
    pub fn needs(&self) -> Needs {
        Needs {
            per_namespace: self.templates().any(tells_namespace),
            references: (0..self.secrets.len())
                .map(|i| Reference::at(secret_pointer(i)))
                .collect(),
            endpoints: vec![Endpoint {
                origin: self.origin.clone(),
                ca: self.ca.clone(),
                ..Endpoint::default()
            }],
            options: Vec::new(),
        }
    }

    /// All texts that may be templates.
    fn templates(&self) -> impl Iterator<Item = &str> {
        [self.url.as_str(), self.json_path.as_str()]
            .into_iter()
            .chain(self.body.as_deref())
            .chain(self.headers.iter().map(|(_, text)| text.as_str()))
    }
}

/// Where the reference to a Secret stands. The host resolves it to one credential a key, whose pointer has the key behind
/// this one.
#[must_use]
pub fn secret_pointer(index: usize) -> String {
    format!("/secrets/{index}/secretRef")
}

/// Whether a template may use the namespace that asks. Where this says no, the namespace is not even known, so a way to
/// it that is not seen here ends in `<no value>`, never in another namespace's answer.
fn tells_namespace(template: &str) -> bool {
    const OTHERS: [&str; 3] = [".key", ".version", ".property"];
    let whole = |rest: &str| !OTHERS.iter().any(|field| rest.starts_with(field));
    template.contains("{{")
        && (template.contains("namespace") || template.split("remoteRef").skip(1).any(whole))
}

/// Scheme and authority. They must be plain: the host opens what the store names, not what a template makes of a key.
fn origin(url: &str) -> Result<String, &'static str> {
    let (scheme, rest) = url
        .split_once("://")
        .ok_or("must begin with https:// or http://, and not with a template")?;
    let scheme = scheme.to_ascii_lowercase();
    if scheme != "https" && scheme != "http" {
        return Err("must begin with https:// or http://, and not with a template");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains("{{") {
        return Err(
            "must name its host and port as they are; only what follows them can be a template",
        );
    }
    if authority.contains('@') {
        return Err("must not contain a user name or a password; use the header Authorization");
    }
    if authority.is_empty() || authority.contains([' ', '\\']) {
        return Err("must name a host");
    }
    Ok(format!("{scheme}://{authority}"))
}

/// A duration as Go writes it, in milliseconds.
fn duration_ms(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut total = 0.0;
    while !rest.is_empty() && rest != "0" {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let (unit, factor) = [
            ("ms", 1.0),
            ("us", 1e-3),
            ("µs", 1e-3),
            ("ns", 1e-6),
            ("s", 1e3),
            ("m", 60e3),
            ("h", 3600e3),
        ]
        .into_iter()
        .find(|(unit, _)| rest.starts_with(unit))?;
        rest = &rest[unit.len()..];
        total += number * factor;
    }
    Some(total.ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        let table = [
            ("10s", Some(10_000)),
            ("1m30s", Some(90_000)),
            ("1.5h", Some(5_400_000)),
            ("250ms", Some(250)),
            ("1us", Some(1)),
            ("0", Some(0)),
            ("10", None),
            ("", None),
            ("s", None),
            ("1d", None),
        ];
        for (text, want) in table {
            assert_eq!(duration_ms(text), want, "{text}");
        }
    }

    #[test]
    fn a_template_that_may_use_the_namespace_is_seen() {
        for text in [
            "{{ .remoteRef.namespace }}",
            "{{ index .remoteRef \"namespace\" }}",
            "{{ with .remoteRef }}{{ .key }}{{ end }}",
            "{{ .remoteRef | toJson }}",
        ] {
            assert!(tells_namespace(text), "{text}");
        }
        for text in [
            "{{ .remoteRef.key }}/{{ .remoteRef.version }}/{{ .auth.token }}",
            "/namespace/x",
        ] {
            assert!(!tells_namespace(text), "{text}");
        }
    }
}
