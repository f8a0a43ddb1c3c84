//! The credentials that the platform hands out over HTTP: to a container (pod identity among them), or to an instance.

use postern_plugin_shared::Address;
use postern_plugin_shared::time::rfc3339;
use postern_sdk::{Failure, Host, HttpRequest, HttpResponse};
use serde::Deserialize;

use crate::config;
use crate::environment::{self as env, Environment};
use crate::keys::Keys;

/// Where containers of ECS ask, if their variable is a path.
const CONTAINER: &str = "http://169.254.170.2";
/// Where instances ask.
const INSTANCE: &str = "http://169.254.169.254";

/// Who is not on an instance waits for nothing longer: the address answers at once or never.
const PATIENCE_MS: &str = "2000";

/// Where Postern's credentials are handed out.
pub enum Place {
    /// To a container, at this URL.
    Container(Address, String),
    /// To the instance.
    Instance(Address),
}

impl Place {
    /// The place that the environment speaks of; none where its credentials come from elsewhere.
    #[must_use]
    pub fn of(environment: Environment<'_>) -> Option<Self> {
        let elsewhere = environment.has(env::KEY_ID) || environment.has(env::WEB_IDENTITY);
        if elsewhere {
            return None;
        }
        let container = |url: &str| {
            let (address, path) = split(url)?;
            Some(Self::Container(address, path))
        };
        if let Some(path) = environment.get(env::CONTAINER_RELATIVE) {
            return container(&format!("{CONTAINER}{path}"));
        }
        if let Some(url) = environment.get(env::CONTAINER_FULL) {
            return container(url);
        }
        if environment
            .get(env::METADATA_OFF)
            .is_some_and(|off| off.eq_ignore_ascii_case("true"))
        {
            return None;
        }
        let at = environment.get(env::METADATA_AT).unwrap_or(INSTANCE);
        config::endpoint(at.trim_end_matches('/'))
            .ok()
            .map(Self::Instance)
    }

    /// Its address.
    #[must_use]
    pub fn origin(self) -> Address {
        match self {
            Self::Container(address, _) | Self::Instance(address) => address,
        }
    }

    /// The credentials that are handed out there.
    ///
    /// # Errors
    /// Why there are none.
    pub fn keys(&self, host: &dyn Host, environment: Environment<'_>) -> Result<Keys, Failure> {
        match self {
            Self::Container(address, path) => {
                let mut headers = Vec::new();
                let token = if environment.has(env::CONTAINER_TOKEN_FILE) {
                    Some(environment.need(env::CONTAINER_TOKEN_FILE)?)
                } else {
                    environment.get(env::CONTAINER_TOKEN)
                };
                headers.extend(token.map(|t| ("authorization", t)));
                let url = format!("{}{path}", address.origin);
                let what = "the credentials of the container";
                keys(&ask(host, "GET", &url, &headers, what)?, what)
            }
            Self::Instance(address) => instance(host, &address.origin),
        }
    }
}

/// The second version of the protocol, which no request that was talked into asking can speak.
fn instance(host: &dyn Host, origin: &str) -> Result<Keys, Failure> {
    let what = "the credentials of the instance";
    let url = format!("{origin}/latest/api/token");
    let life = [("x-aws-ec2-metadata-token-ttl-seconds", "300")];
    let token = text(&ask(host, "PUT", &url, &life, what)?, what)?;
    let with_token = [("x-aws-ec2-metadata-token", token.as_str())];
    let roles = format!("{origin}/latest/meta-data/iam/security-credentials/");
    let names = text(&ask(host, "GET", &roles, &with_token, what)?, what)?;
    let name = names.lines().next().unwrap_or_default().trim();
    if name.is_empty() || name.contains(['/', '?', '#', ' ']) {
        return Err(Failure::invalid_config(
            "the instance has no role: attach an instance profile, or give the store a credential",
        ));
    }
    keys(
        &ask(host, "GET", &format!("{roles}{name}"), &with_token, what)?,
        what,
    )
}

fn ask(
    host: &dyn Host,
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    what: &str,
) -> Result<HttpResponse, Failure> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let response = host.send(&HttpRequest {
        method: method.to_owned(),
        url: url.to_owned(),
        headers: headers.iter().map(owned).collect(),
        body: None,
        options: vec![("timeout-ms".to_owned(), PATIENCE_MS.to_owned())],
    })?;
    match response.status {
        200..=299 => Ok(response),
        404 => Err(Failure::invalid_config(format!(
            "{what} are not there: give Postern's pod or instance a role, or the store a credential"
        ))),
        400..=499 => Err(Failure::unauthenticated(format!(
            "{what} were refused with status {}",
            response.status
        ))),
        status => Err(Failure::unavailable(format!(
            "asking for {what} was answered with status {status}"
        ))),
    }
}

fn text(response: &HttpResponse, what: &str) -> Result<String, Failure> {
    String::from_utf8(response.body.clone())
        .map(|text| text.trim().to_owned())
        .map_err(|_| Failure::unavailable(format!("{what} are no text")))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: Option<String>,
}

fn keys(response: &HttpResponse, what: &str) -> Result<Keys, Failure> {
    let answer: Answer = serde_json::from_slice(&response.body)
        .map_err(|_| Failure::unavailable(format!("the answer about {what} holds none")))?;
    Ok(Keys {
        id: answer.access_key_id,
        secret: answer.secret_access_key,
        token: answer.token.filter(|t| !t.is_empty()),
        expires: answer.expiration.as_deref().and_then(rfc3339),
    })
}

/// Origin and path of a URL.
fn split(url: &str) -> Option<(Address, String)> {
    let after = url.find("://")? + 3;
    let at = url
        .get(after..)?
        .find('/')
        .map_or(url.len(), |at| after + at);
    let (origin, path) = url.split_at(at);
    Some((config::endpoint(origin).ok()?, path.to_owned()))
}
