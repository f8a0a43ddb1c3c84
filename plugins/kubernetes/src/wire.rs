//! Requests as the API server wants them and answers as it gives them: paths, and what a status means. Nothing here sends.

use postern_plugin_shared::encode;
use postern_sdk::{Context, Failure, HttpRequest, HttpResponse, problems_as_failure};
use serde::Deserialize;

use crate::config::{ACCOUNT, AUTH_REF, Auth, Config, Door, TOKEN, kubeconfig};
use crate::kubeconfig::bearer;

/// How long the server's own words may be in a log.
const DETAIL_LIMIT: usize = 300;

/// The server as a call sees it.
pub struct Server {
    base: String,
    authorization: Option<String>,
}

impl Server {
    /// The server of this call, with its credential.
    ///
    /// # Errors
    /// `invalid-config` for a credential that cannot be used.
    pub fn of(config: &Config, context: &Context) -> Result<Self, Failure> {
        match &config.door {
            Door::Kubeconfig => {
                let access = kubeconfig(context.credential(AUTH_REF)?)
                    .map_err(|p| problems_as_failure(&p))?;
                Ok(Self {
                    base: access.base,
                    authorization: access.authorization,
                })
            }
            Door::Named { base, auth, .. } => {
                let authorization = match auth {
                    Auth::Account => Some(token(context, ACCOUNT)?),
                    Auth::Token => Some(token(context, TOKEN)?),
                    Auth::Certificate => None,
                };
                let base = base.clone();
                Ok(Self {
                    base,
                    authorization,
                })
            }
        }
    }

    /// A request to a path that begins with a slash.
    #[must_use]
    pub fn request(&self, method: &str, path: &str, body: Option<Vec<u8>>) -> HttpRequest {
        let mut headers = vec![("accept".to_owned(), "application/json".to_owned())];
        if let Some(authorization) = &self.authorization {
            headers.push(("authorization".to_owned(), authorization.clone()));
        }
        if body.is_some() {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        HttpRequest {
            method: method.to_owned(),
            url: format!("{}{path}", self.base),
            headers,
            body,
            options: Vec::new(),
        }
    }
}

fn token(context: &Context, pointer: &str) -> Result<String, Failure> {
    let credential = context.credential(pointer)?;
    let text = std::str::from_utf8(&credential.value).map_err(|_| "has a token that is no text");
    text.and_then(bearer)
        .map(|token| format!("Bearer {token}"))
        .map_err(|what| Failure::invalid_config(format!("what {pointer} refers to {what}")))
}

/// The path of the Secrets of a namespace.
#[must_use]
pub fn secrets_path(namespace: &str) -> String {
    format!("/api/v1/namespaces/{}/secrets", encode(namespace))
}

/// The path of one Secret.
///
/// # Errors
/// `invalid-request` for what can be no name: it would lead to another path.
pub fn secret_path(namespace: &str, name: &str) -> Result<String, Failure> {
    if name.is_empty() || name == "." || name == ".." || name.contains('/') {
        return Err(Failure::invalid_request(format!(
            "the key {name:?} is not the name of a Secret"
        )));
    }
    Ok(format!("{}/{}", secrets_path(namespace), encode(name)))
}

/// What was tried, for messages.
#[derive(Clone, Copy)]
pub struct Tried<'a> {
    /// The verb of the permission.
    pub verb: &'a str,
    /// The resource of the permission.
    pub resource: &'a str,
    /// Where.
    pub namespace: &'a str,
    /// Which object, if one.
    pub name: Option<&'a str>,
}

impl Tried<'_> {
    fn what(&self) -> String {
        let Self {
            verb,
            resource,
            namespace,
            ..
        } = self;
        match self.name {
            Some(name) => format!("{verb} {resource} {name:?} in namespace {namespace:?}"),
            None => format!("{verb} {resource} in namespace {namespace:?}"),
        }
    }

    /// The permission is missing.
    #[must_use]
    pub fn denied(&self) -> Failure {
        let Self {
            verb,
            resource,
            namespace,
            ..
        } = self;
        Failure::denied(format!(
            "the store's user may not {}; allow it the verb \"{verb}\" on the resource \"{resource}\" in a Role of namespace \"{namespace}\"",
            self.what()
        ))
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    kind: String,
    message: String,
    reason: String,
    details: StatusDetails,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StatusDetails {
    kind: String,
    retry_after_seconds: u64,
}

/// What a status that is no success means.
#[must_use]
pub fn failure(response: &HttpResponse, tried: Tried<'_>) -> Failure {
    let status: Status = serde_json::from_slice(&response.body).unwrap_or_default();
    let is_api = status.kind == "Status";
    let (code, what) = (response.status, tried.what());
    let failure = match code {
        401 => Failure::unauthenticated(
            "the API server does not accept the store's credential: it is wrong or has expired",
        ),
        403 => tried.denied(),
        404 if is_api
            && status.reason == "NotFound"
            && status.details.kind == tried.resource
            && tried.name.is_some() =>
        {
            let name = tried.name.unwrap_or_default();
            Failure::absent(format!(
                "there is no Secret {name:?} in namespace {:?}",
                tried.namespace
            ))
        }
        404 => Failure::not_found(format!(
            "cannot {what}: the answer is not that of a Kubernetes API; check server.url"
        )),
        410 => Failure::unavailable(format!("the list ended while it was read: {what}")),
        429 => Failure::rate_limited(
            format!("the API server asks to slow down: {what}"),
            retry_after(response, &status),
        ),
        300..=399 => Failure::unavailable(format!(
            "the server redirects to another address: name that one in server.url ({what})"
        )),
        400..=499 => {
            Failure::invalid_request(format!("the API server refused with status {code}: {what}"))
        }
        _ => Failure {
            retry_after_ms: retry_after(response, &status),
            ..Failure::unavailable(format!("the server answered with status {code}: {what}"))
        },
    };
    let failure = failure.with_detail("status", code.to_string());
    let said: String = status.message.chars().take(DETAIL_LIMIT).collect();
    if said.is_empty() {
        failure
    } else {
        failure.with_detail("server-said", said)
    }
}

fn retry_after(response: &HttpResponse, status: &Status) -> Option<u64> {
    let said = status.details.retry_after_seconds;
    response
        .retry_after_ms()
        .or_else(|| (said > 0).then(|| said.saturating_mul(1000)))
}

/// The body of a success.
///
/// # Errors
/// `unavailable` where it is not what an API server answers.
pub fn body<'a, T: Deserialize<'a>>(
    response: &'a HttpResponse,
    tried: Tried<'_>,
) -> Result<T, Failure> {
    if !(200..=299).contains(&response.status) {
        return Err(failure(response, tried));
    }
    // Without serde's words: they may quote a value.
    serde_json::from_slice(&response.body).map_err(|_| {
        Failure::unavailable(format!(
            "cannot {}: the answer is not that of a Kubernetes API; check server.url",
            tried.what()
        ))
    })
}
