//! Requests as Google's APIs want them and responses as they give them: headers, and what a status means. Pure.

use postern_plugin_shared::google::{SCOPE, is_plain, with_words};
use postern_sdk::{Failure, HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::Value;

/// A GET with a token.
#[must_use]
pub fn get(url: String, token: &str) -> HttpRequest {
    HttpRequest {
        method: "GET".to_owned(),
        url,
        headers: vec![
            ("accept".to_owned(), "application/json".to_owned()),
            ("authorization".to_owned(), format!("Bearer {token}")),
        ],
        ..HttpRequest::default()
    }
}

/// What was tried, for messages.
#[derive(Clone, Copy)]
pub struct Tried<'a> {
    /// The permission that it takes.
    pub permission: &'a str,
    /// A role that has it, for whoever lacks it.
    pub role: &'a str,
    /// The resource, without the API's origin.
    pub resource: &'a str,
}

/// The error that every Google API answers with.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    error: Said,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    message: String,
    status: String,
    details: Vec<Value>,
}

impl Said {
    fn of(response: &HttpResponse) -> Self {
        let body: Body = serde_json::from_slice(&response.body).unwrap_or_default();
        body.error
    }

    /// A member of the detail that says why (`google.rpc.ErrorInfo`).
    fn info(&self, pointer: &str) -> Option<&str> {
        let of = |detail: &&Value| {
            detail["@type"]
                .as_str()
                .is_some_and(|t| t.ends_with("google.rpc.ErrorInfo"))
        };
        self.details.iter().find(of)?.pointer(pointer)?.as_str()
    }

    /// When to come again (`google.rpc.RetryInfo`), in milliseconds.
    fn retry_delay_ms(&self) -> Option<u64> {
        let delay = self.details.iter().find_map(|d| d["retryDelay"].as_str())?;
        let (whole, fraction) = delay
            .strip_suffix('s')?
            .split_once('.')
            .unwrap_or((delay.strip_suffix('s')?, ""));
        let whole: u64 = whole.parse().ok()?;
        let millis: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
        whole.checked_mul(1000)?.checked_add(millis)
    }

    /// The permission that is missing, in the backend's own word where it has one.
    fn permission(&self) -> Option<&str> {
        let named = self.info("/metadata/permission").or_else(|| {
            let (_, rest) = self.message.split_once("ermission '")?;
            rest.split_once('\'').map(|(permission, _)| permission)
        });
        named.filter(|p| p.len() <= 80 && is_plain(p, "."))
    }
}

/// What a status that is no success means.
#[must_use]
pub fn failure(response: &HttpResponse, tried: Tried<'_>, sent: &[&str]) -> Failure {
    let said = Said::of(response);
    let (status, resource) = (response.status, tried.resource);
    let failure = match status {
        401 => Failure::unauthenticated(format!(
            "Google does not accept the token for {resource}: it has expired or was revoked"
        )),
        403 => denied(&said, tried),
        404 => missing(&said, tried),
        429 => Failure::rate_limited(
            format!("Google asks to slow down at {resource}: a quota of the project is used up"),
            response.retry_after_ms().or_else(|| said.retry_delay_ms()),
        ),
        300..=399 => Failure::unavailable(format!(
            "the server redirects {resource}, as a proxy does and no Google API: check the network and endpoints"
        )),
        400..=499 => Failure::invalid_request(format!(
            "Google refused {resource} with status {status} {}",
            word(&said.status)
        )),
        _ => Failure {
            retry_after_ms: response.retry_after_ms().or_else(|| said.retry_delay_ms()),
            ..Failure::unavailable(format!("Google answered {resource} with status {status}"))
        },
    };
    with_words(failure, status, &said.message, sent)
}

/// A status in upper case, as Google writes it; anything else is left out.
fn word(status: &str) -> &str {
    if is_plain(status, "_") && status.len() <= 40 {
        status
    } else {
        ""
    }
}

fn denied(said: &Said, tried: Tried<'_>) -> Failure {
    let resource = tried.resource;
    match said.info("/reason") {
        Some("SERVICE_DISABLED") => Failure::denied(format!(
            "the Secret Manager API is not enabled for {resource}: enable secretmanager.googleapis.com in the project"
        )),
        Some("BILLING_DISABLED") => Failure::denied(format!(
            "the project of {resource} has no billing: enable it"
        )),
        Some("ACCESS_TOKEN_SCOPE_INSUFFICIENT") => Failure::denied(format!(
            "the token for {resource} lacks the scope {SCOPE}: give it to the node pool or the identity"
        )),
        Some("SECURITY_POLICY_VIOLATED") => Failure::denied(format!(
            "VPC Service Controls refuse {resource}: allow it in the perimeter"
        )),
        _ => {
            let permission = said.permission().unwrap_or(tried.permission);
            Failure::denied(format!(
                "Permission {permission} denied on resource {resource} (or it may not exist): grant a role that has it, such as {}",
                tried.role
            ))
        }
    }
}

/// Only Google's own words about this very secret make it absent: a proxy, an API that is not there and a project that is
/// unknown say nothing of it.
fn missing(said: &Said, tried: Tried<'_>) -> Failure {
    let resource = tried.resource;
    let secret = resource.split_once("/secrets/").map(|(_, rest)| {
        let id = rest.split(['/', ':']).next().unwrap_or(rest);
        [format!("/secrets/{id}]"), format!("/secrets/{id}/")]
    });
    let about_it = secret.is_some_and(|names| names.iter().any(|n| said.message.contains(n)));
    if said.status == "NOT_FOUND" && about_it {
        return Failure::absent(format!("there is no {resource}"));
    }
    Failure::not_found(format!(
        "cannot find {resource}, and the answer does not say that the secret is missing: check project, location and endpoints"
    ))
}

/// Whether a version is there and cannot be read.
#[must_use]
pub fn is_closed_version(response: &HttpResponse) -> bool {
    let said = Said::of(response);
    let closed = ["DISABLED state", "DESTROYED state"];
    response.status == 400
        && said.status == "FAILED_PRECONDITION"
        && closed.iter().any(|state| said.message.contains(state))
}

/// The body of a success.
///
/// # Errors
/// What the status means, and `unavailable` where the answer is not what the API gives.
pub fn body<'a, T: Deserialize<'a>>(
    response: &'a HttpResponse,
    tried: Tried<'_>,
    sent: &[&str],
) -> Result<T, Failure> {
    if !(200..=299).contains(&response.status) {
        return Err(failure(response, tried, sent));
    }
    // Without serde's words: they may quote a value.
    serde_json::from_slice(&response.body).map_err(|_| {
        Failure::unavailable(format!(
            "the answer for {} is not that of a Google API: check the network and endpoints",
            tried.resource
        ))
    })
}
