//! Requests as a vault wants them, and what an answer means that is no success. Pure; nothing here sends.

use postern_sdk::{Failure, HttpRequest, HttpResponse};
use serde::{Deserialize, Deserializer};

use crate::config::Config;

/// The version of the vault's API; every cloud has it since 2023.
pub const API_VERSION: &str = "7.4";

/// How long the vault's own words may be in a log, and a name that it gives in a message.
const DETAIL_LIMIT: usize = 300;

/// A `GET` of a path of the vault, with a token if there is one.
#[must_use]
pub fn get(config: &Config, path: &str, query: &str, token: Option<&str>) -> HttpRequest {
    let mut headers = vec![("accept".to_owned(), "application/json".to_owned())];
    if let Some(token) = token {
        headers.push(("authorization".to_owned(), format!("Bearer {token}")));
    }
    HttpRequest {
        method: "GET".to_owned(),
        url: format!("{}{path}?{query}", config.vault.url),
        headers,
        body: None,
        options: Vec::new(),
    }
}

/// What was tried.
#[derive(Clone, Copy, Debug)]
pub struct Tried<'a> {
    /// What is asked for, such as `secret "db"`.
    pub what: &'a str,
    /// The vault's origin.
    pub vault: &'a str,
    /// The permission of an access policy.
    pub permission: &'a str,
    /// The action of a role.
    pub action: &'a str,
}

/// The body of an error.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    #[serde(deserialize_with = "or_default")]
    error: Fault,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Fault {
    #[serde(deserialize_with = "or_default")]
    code: String,
    #[serde(deserialize_with = "or_default")]
    message: String,
    innererror: Option<Inner>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Inner {
    #[serde(deserialize_with = "or_default")]
    code: String,
    innererror: Option<Box<Inner>>,
}

impl Fault {
    fn of(response: &HttpResponse) -> Self {
        let body: Body = serde_json::from_slice(&response.body).unwrap_or_default();
        body.error
    }

    /// The code that stands deepest is the most exact one.
    fn reason(&self) -> &str {
        let mut at = self.innererror.as_ref();
        let mut reason = "";
        while let Some(inner) = at {
            if !inner.code.is_empty() {
                reason = &inner.code;
            }
            at = inner.innererror.as_deref();
        }
        reason
    }
}

/// What a status that is no success means.
#[must_use]
pub fn failure(response: &HttpResponse, tried: Tried<'_>, token: &str) -> Failure {
    let fault = Fault::of(response);
    let what = tried.what;
    let failure = match response.status {
        401 => unauthenticated(&fault, tried),
        403 => denied(&fault, tried),
        404 => missing(&fault, what),
        429 => Failure::rate_limited(
            format!(
                "the vault {} is asked too much, and refused the {what}",
                tried.vault
            ),
            response.retry_after_ms(),
        ),
        300..=399 => Failure::unavailable(format!(
            "the answer for the {what} leads to another address, which is not followed: check vaultUrl"
        )),
        400..=499 => Failure::invalid_request(format!(
            "the vault refused the {what} with status {}{}",
            response.status,
            in_brackets(&fault.code)
        )),
        status => Failure::unavailable(format!(
            "the vault {} answered for the {what} with status {status}",
            tried.vault
        )),
    };
    with_words(failure, response, &fault.message, &[token])
}

/// A token that is alive but is none for this vault is not healed by another one of the same kind.
fn unauthenticated(fault: &Fault, tried: Tried<'_>) -> Failure {
    let vault = tried.vault;
    match akv(&fault.message) {
        Some("AKV10022") => Failure::denied(format!(
            "the vault {vault} does not take tokens of this cloud (AKV10022): check environmentType and customCloudConfig"
        )),
        Some("AKV10032") => Failure::denied(format!(
            "the vault {vault} does not take tokens of this directory (AKV10032): log in to the tenant that the vault belongs to"
        )),
        code => Failure::unauthenticated(format!(
            "the vault {vault} did not accept the token for the {}{}",
            tried.what,
            in_brackets(code.unwrap_or_default())
        )),
    }
}

fn denied(fault: &Fault, tried: Tried<'_>) -> Failure {
    let Tried {
        what,
        vault,
        permission,
        action,
    } = tried;
    let reason = fault.reason();
    Failure::denied(match reason {
        "ForbiddenByFirewall" => format!(
            "the firewall of the vault {vault} is closed to this address: open it to the cluster's, or use a private endpoint"
        ),
        "ForbiddenByConnection" => format!(
            "the vault {vault} takes no connections from public networks: use a private endpoint"
        ),
        "SecretDisabled" | "KeyDisabled" | "CertificateDisabled" => {
            format!("the {what} is disabled: enable it, or take it out of the manifest")
        }
        "SecretNotYetValid" | "SecretExpired" | "KeyNotYetValid" | "KeyExpired" => {
            format!("the {what} may not be read at this time ({reason})")
        }
        _ => match (
            quoted(&fault.message, "Action: '"),
            quoted(&fault.message, "Resource: '"),
        ) {
            (Some(action), resource) => format!(
                "no role lets the identity read the {what}: it needs the action {action} on {}",
                resource.unwrap_or_else(|| vault.to_owned())
            ),
            (None, _) if fault.message.contains("permission on key vault") => format!(
                "the access policy of the vault {vault} does not give the identity the permission {permission} for the {what}"
            ),
            (None, _) if fault.code.is_empty() => format!(
                "something before the vault {vault} refused the {what}: the answer is not that of a key vault"
            ),
            (None, _) => format!(
                "the vault {vault} refused the {what}{}: the identity needs the action {action}, or the permission {permission}",
                in_brackets(reason)
            ),
        },
    })
}

/// Only the vault's own words make an object absent: the page of a proxy says nothing about it.
fn missing(fault: &Fault, what: &str) -> Failure {
    match fault.code.as_str() {
        "SecretNotFound" | "KeyNotFound" | "CertificateNotFound" => {
            Failure::absent(format!("there is no {what}"))
        }
        code => Failure::not_found(format!(
            "cannot find the {what}{}: the answer is not that of a key vault; check vaultUrl",
            in_brackets(code)
        )),
    }
}

/// Reads the body of a success.
///
/// # Errors
/// What the status means, or `unavailable` where the body is not that of a vault.
pub fn body<T: serde::de::DeserializeOwned>(
    response: &HttpResponse,
    tried: Tried<'_>,
    token: &str,
) -> Result<T, Failure> {
    if !(200..=299).contains(&response.status) {
        return Err(failure(response, tried, token));
    }
    serde_json::from_slice(&response.body).map_err(|_| strange(tried.what))
}

/// A member that is null is one that is not there.
///
/// # Errors
/// Where it is of another kind.
pub fn or_default<'de, D, T>(member: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(member).map(Option::unwrap_or_default)
}

/// An answer that says it is a success and is none.
#[must_use]
pub fn strange(what: &str) -> Failure {
    Failure::unavailable(format!(
        "the answer for the {what} is not that of a key vault"
    ))
}

/// Adds the backend's words for logs, without anything that was sent as a secret, and the number of the request.
#[must_use]
pub fn with_words(
    failure: Failure,
    response: &HttpResponse,
    words: &str,
    sent: &[&str],
) -> Failure {
    let mut text = words.to_owned();
    for secret in sent.iter().filter(|s| !s.is_empty()) {
        text = text.replace(secret, "<redacted>");
    }
    let text = plain(&text);
    let mut failure = failure.with_detail("status", response.status.to_string());
    if let Some(id) = response.header("x-ms-request-id") {
        failure = failure.with_detail("request-id", plain(id));
    }
    if text.is_empty() {
        failure
    } else {
        failure.with_detail("server-said", text)
    }
}

/// One line of bounded length.
fn plain(text: &str) -> String {
    let line: Vec<&str> = text.split_whitespace().collect();
    line.join(" ").chars().take(DETAIL_LIMIT).collect()
}

/// A code of the backend, if it looks like one.
#[must_use]
pub fn in_brackets(code: &str) -> String {
    let is_code = !code.is_empty() && code.len() <= 60 && code.chars().all(is_of_code);
    if is_code {
        format!(" ({code})")
    } else {
        String::new()
    }
}

fn is_of_code(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// What stands in quotes behind a mark, if it looks like the path of an action or a resource.
fn quoted(text: &str, mark: &str) -> Option<String> {
    let (name, _) = text.split_once(mark)?.1.split_once('\'')?;
    let of_path = |c: char| c.is_ascii_alphanumeric() || "/.-_*".contains(c);
    let fits = !name.is_empty() && name.len() <= DETAIL_LIMIT && name.chars().all(of_path);
    fits.then(|| name.to_owned())
}

/// The number that the vault gives to what is wrong with a token.
fn akv(message: &str) -> Option<&str> {
    let at = message.find("AKV")?;
    let code = message.get(at..at + 8)?;
    code.bytes()
        .skip(3)
        .all(|b| b.is_ascii_digit())
        .then_some(code)
}

/// What the vault says to who asks without a token: where one logs in, and whom a token must be for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Challenge {
    /// The address of the directory, with the tenant as its first segment.
    pub authorization: Option<String>,
    /// Whom a token must be for.
    pub resource: Option<String>,
}

impl Challenge {
    /// Reads the header of an answer.
    #[must_use]
    pub fn of(response: &HttpResponse) -> Self {
        let header = response.header("www-authenticate").unwrap_or_default();
        let parameter = |name: &str| {
            let (_, rest) = header.split_once(&format!("{name}=\""))?;
            Some(rest.split_once('"')?.0.trim_end_matches('/').to_owned())
        };
        Self {
            authorization: parameter("authorization"),
            resource: parameter("resource"),
        }
    }
}
