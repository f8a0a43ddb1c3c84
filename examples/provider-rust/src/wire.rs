//! What Doppler is asked, and what its answers mean. Pure; nothing here sends, and no message quotes an answer.

use std::collections::BTreeMap;

use postern_sdk::{Failure, HttpRequest, HttpResponse, Part, Pick, each, value};

use crate::config::Config;

/// What a download came to.
pub enum Download {
    /// The tag that was sent still holds.
    Unchanged,
    /// All secrets of the config.
    Secrets {
        values: BTreeMap<String, String>,
        tag: Option<String>,
    },
}

/// Path and query of the download.
pub fn download_path(config: &Config) -> String {
    let mut path = "/v3/configs/config/secrets/download?format=json".to_owned();
    for (name, value) in [
        ("project", &config.project),
        ("config", &config.config),
        ("name_transformer", &config.name_transformer),
    ] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", encode(value)));
        }
    }
    path
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// A request with the token; with `known`, one that is answered by 304 while that tag holds.
pub fn request(config: &Config, token: &str, path: &str, known: Option<&str>) -> HttpRequest {
    let mut headers = vec![
        ("accept".to_owned(), "application/json".to_owned()),
        ("authorization".to_owned(), format!("Bearer {token}")),
    ];
    headers.extend(known.map(|tag| ("if-none-match".to_owned(), tag.to_owned())));
    HttpRequest {
        method: "GET".to_owned(),
        url: format!("{}{path}", config.base_url),
        headers,
        ..HttpRequest::default()
    }
}

/// Reads the answer of a download.
pub fn download(
    config: &Config,
    response: &HttpResponse,
    conditional: bool,
) -> Result<Download, Failure> {
    match response.status {
        200 => {
            let values = serde_json::from_slice(&response.body).map_err(|_| {
                let place = config.place();
                Failure::internal(format!(
                    "the answer for {place} is no JSON object of texts: check that baseUrl is Doppler's API"
                ))
            })?;
            let tag = response.header("etag").map(str::to_owned);
            Ok(Download::Secrets { values, tag })
        }
        304 if conditional => Ok(Download::Unchanged),
        _ => Err(failure(config, response)),
    }
}

/// What a status that is no success means.
pub fn failure(config: &Config, response: &HttpResponse) -> Failure {
    let place = config.place();
    match response.status {
        401 => Failure::unauthenticated(format!(
            "Doppler does not know the token for {place}: put a valid one into the Secret"
        )),
        403 => Failure::denied(format!(
            "the token has no access to {place}: grant it, or use another token"
        )),
        404 => Failure::not_found(format!(
            "Doppler does not find {place}: check project and config"
        )),
        429 => Failure::rate_limited(
            format!("Doppler asks to slow down at {place}"),
            response.retry_after_ms(),
        ),
        status @ 500..=599 => {
            Failure::unavailable(format!("Doppler answered {status} for {place}"))
        }
        status => Failure::internal(format!(
            "Doppler answered {status} for {place}, which this provider does not understand"
        )),
    }
}

/// One part a pick. A value is a text; what lies deeper is there if the text is JSON.
pub fn parts(text: &str, picks: &[Pick]) -> Vec<Part> {
    each(picks, |pick| {
        let property = pick.property.as_deref().filter(|p| !p.is_empty());
        let bytes = match property {
            None => text.as_bytes().to_vec(),
            Some(property) => at(text, property)?,
        };
        if !pick.members {
            return Ok(Part::Value(bytes));
        }
        value::raw_members(&bytes)
            .map(Part::Members)
            .ok_or_else(|| {
                Failure::invalid_request("the value is no JSON object, so it has no members")
            })
    })
}

fn at(text: &str, property: &str) -> Result<Vec<u8>, Failure> {
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() {
        return Err(Failure::invalid_request(format!(
            "the value is no JSON, so it has no property {property:?}"
        )));
    }
    value::path(text, property)
        .ok_or_else(|| Failure::absent(format!("the value has no property {property:?}")))
}
