//! Requests as Vault wants them and responses as it gives them: paths, headers, and what a status means.
//! Pure; nothing here sends.

use postern_sdk::{Failure, HttpRequest, HttpResponse};
use serde_json::Value;

use crate::config::{Config, KvVersion};

/// How long a backend's own words may be in a log.
const DETAIL_LIMIT: usize = 300;

/// A request below `/v1/`, with the headers of the config. An empty token is none.
#[must_use]
pub fn request(config: &Config, method: &str, path: &str, call: &Call<'_>) -> HttpRequest {
    let mut headers = config.headers.clone();
    headers.push(("X-Vault-Request".to_owned(), "true".to_owned()));
    if let Some(namespace) = call.namespace {
        headers.push(("X-Vault-Namespace".to_owned(), namespace.to_owned()));
    }
    if !call.token.is_empty() {
        headers.push(("X-Vault-Token".to_owned(), call.token.to_owned()));
    }
    let body = call.body.as_ref().map(|b| b.to_string().into_bytes());
    if body.is_some() {
        headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
    }
    let url = format!("{}/v1/{path}", config.base);
    HttpRequest {
        method: method.to_owned(),
        url,
        headers,
        body,
        options: Vec::new(),
    }
}

/// What goes along with a request.
#[derive(Default)]
pub struct Call<'a> {
    /// The token; empty for none.
    pub token: &'a str,
    /// The namespace.
    pub namespace: Option<&'a str>,
    /// The JSON body.
    pub body: Option<Value>,
}

/// The path of an object's value, percent-encoded.
///
/// # Errors
/// `invalid-request` for a key that steps out of its place.
pub fn data_path(config: &Config, key: &str) -> Result<String, Failure> {
    refuse_steps(key)?;
    let key = key.trim_start_matches('/');
    let v2 = config.version == KvVersion::V2;
    let path = match &config.path {
        Some(mount) => {
            let rest = key.strip_prefix(&format!("{mount}/")).unwrap_or(key);
            if v2 {
                format!(
                    "{mount}/data/{}",
                    rest.strip_prefix("data/").unwrap_or(rest)
                )
            } else {
                format!("{mount}/{rest}")
            }
        }
        None if !v2 || key.contains("/data/") => key.to_owned(),
        None => match key.split_once('/') {
            Some((first, rest)) => format!("{first}/data/{rest}"),
            None => format!("{key}/data"),
        },
    };
    Ok(encode(&path))
}

/// The path of an object's metadata (KV v2), percent-encoded. The mount is not stripped from the key:
/// existing manifests are written that way.
///
/// # Errors
/// `invalid-request` for a key that names no such path, or steps out of its place.
pub fn metadata_path(config: &Config, key: &str) -> Result<String, Failure> {
    refuse_steps(key)?;
    if config.version == KvVersion::V1 {
        return Err(Failure::invalid_request("the KV engine v1 has no metadata"));
    }
    let key = key.trim_start_matches('/');
    match &config.path {
        Some(mount) => Ok(encode(&format!("{mount}/metadata/{key}"))),
        None if key.contains("/data/") => Ok(encode(&key.replacen("/data/", "/metadata/", 1))),
        None => Err(Failure::invalid_request(
            "the store has no path, so the key must contain /data/ to find its metadata",
        )),
    }
}

/// `..` would lead out of the store's path, to whatever else the token may read.
///
/// # Errors
/// `invalid-request`.
pub fn refuse_steps(key: &str) -> Result<(), Failure> {
    if key.split('/').any(|s| s == "." || s == "..") || key.is_empty() {
        return Err(Failure::invalid_request(format!(
            "the key {key:?} is no path below the store's"
        )));
    }
    Ok(())
}

/// Percent-encodes all but what is plain in a path.
#[must_use]
pub fn encode(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z'
            | b'a'..=b'z'
            | b'0'..=b'9'
            | b'-'
            | b'.'
            | b'_'
            | b'~'
            | b'/'
            | b'$'
            | b'&'
            | b'+'
            | b','
            | b':'
            | b'='
            | b'@' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// [`encode`] for one segment, where a slash is no separator.
#[must_use]
pub fn encode_segment(segment: &str) -> String {
    encode(segment).replace('/', "%2F")
}

/// What a status that is no success means for the read of one object. A 403 says only `denied` here:
/// the caller finds out whether the token is dead.
#[must_use]
pub fn read_failure(response: &HttpResponse, what: &str, sent: &[&str]) -> Failure {
    match response.status {
        404 => missing(response, what),
        403 => with_errors(
            Failure::denied(format!("the token may not read {what}")),
            response,
            sent,
        ),
        _ => status_failure(response, what, sent),
    }
}

/// What a status that is no success means anywhere.
#[must_use]
pub fn status_failure(response: &HttpResponse, what: &str, sent: &[&str]) -> Failure {
    let status = response.status;
    let failure = match status {
        429 => Failure::rate_limited(
            format!("the server asks to slow down at {what}"),
            response.retry_after_ms(),
        ),
        412 => Failure::unavailable(format!("this node has not caught up yet for {what}")),
        472 | 473 => {
            Failure::unavailable(format!("the node is a standby and does not serve {what}"))
        }
        503 if errors(response).iter().any(|e| e.contains("sealed")) => {
            Failure::unavailable("the server is sealed: unseal it")
        }
        300..=399 => Failure::unavailable(format!(
            "the server redirects {what} to another address: name the active node's, or the load balancer's"
        )),
        400..=499 => {
            Failure::invalid_request(format!("the server refused {what} with status {status}"))
        }
        _ => Failure::unavailable(format!("the server answered {what} with status {status}")),
    };
    with_errors(failure, response, sent)
}

/// Only Vault's own words make an object absent: an answer of a proxy, of a route that is not mounted or
/// of a path that a v2 engine does not have says nothing about the object.
fn missing(response: &HttpResponse, what: &str) -> Failure {
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let empty = |name: &str| {
        body.get(name)
            .is_none_or(|v| v.is_null() || v.as_array().is_some_and(Vec::is_empty))
    };
    let says_so = body.get("errors").is_some_and(Value::is_array) || body.get("data").is_some();
    if body.is_object() && says_so && empty("errors") && empty("warnings") {
        return Failure::absent(format!("there is no secret at {what}"));
    }
    let known = errors(response)
        .iter()
        .any(|e| e.contains("no handler for route"));
    let hint = if known {
        "nothing is mounted there"
    } else {
        "the answer is not that of a KV engine"
    };
    with_errors(
        Failure::not_found(format!("cannot find {what}: {hint}")),
        response,
        &[],
    )
}

fn errors(response: &HttpResponse) -> Vec<String> {
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let texts = body
        .get("errors")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    texts
        .iter()
        .filter_map(|t| t.as_str().map(str::to_owned))
        .collect()
}

/// Adds the server's words for logs, without anything we sent as a secret.
fn with_errors(failure: Failure, response: &HttpResponse, sent: &[&str]) -> Failure {
    let mut text = errors(response).join("; ");
    for secret in sent.iter().filter(|s| !s.is_empty()) {
        text = text.replace(secret, "<redacted>");
    }
    let text: String = text
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(DETAIL_LIMIT)
        .collect();
    let failure = failure.with_detail("status", response.status.to_string());
    if text.is_empty() {
        failure
    } else {
        failure.with_detail("server-said", text)
    }
}

/// The body of a success.
///
/// # Errors
/// `unavailable` where it is no JSON object, as from a proxy's page.
pub fn body(response: &HttpResponse, what: &str) -> Result<Value, Failure> {
    let body: Option<Value> = serde_json::from_slice(&response.body).ok();
    body.filter(Value::is_object).ok_or_else(|| {
        Failure::unavailable(format!(
            "the answer to {what} is no JSON object, so not Vault's"
        ))
    })
}
