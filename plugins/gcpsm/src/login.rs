//! Credentials to an access token. A token is neither prolonged nor revoked: it lives an hour, and Google takes none of these
//! back; a new one is asked for in its place.

use postern_plugin_shared::google::{
    ACCESS_TOKEN, Cluster, EXCHANGE, JWT, Key, SCOPE, Token, acts_as, granted, json_post, post,
};
use postern_plugin_shared::{encode, time};
use postern_sdk::{Context, Credential, Failure, Host, HttpRequest, Session};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::{
    Auth, Config, EXTERNAL, FEDERATED, Federated, KEY, Source, WORKLOAD, Workload,
};
use crate::external::External;
use crate::key::{assertion, token_url};
use crate::metadata;
use crate::session::Kept;
use crate::wire::{Tried, body};

/// A difference of clocks that Google overlooks; beyond it an assertion is of tomorrow or of yesterday.
const SKEW_S: u64 = 60;

const BY_ASSERTION: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Opens a session.
///
/// # Errors
/// `unauthenticated` where Google refuses the credential, others as for any call.
pub fn open(host: &dyn Host, config: &Config, context: &Context) -> Result<Session, Failure> {
    let token = match &config.auth {
        Auth::Key => by_key(host, config, context.credential(KEY)?)?,
        Auth::Workload(workload) => {
            by_workload(host, config, workload, context.credential(WORKLOAD)?)?
        }
        Auth::Federated(federated) => by_federation(host, config, federated, context)?,
        Auth::Own => metadata::token(host, &config.places)?,
    };
    let project = match config.project {
        Some(_) => None,
        None => Some(metadata::fact(host, &config.places, metadata::PROJECT)?),
    };
    let Token { text, life_s } = token;
    Ok(Kept {
        token: text,
        project,
    }
    .session(life_s))
}

/// By an assertion that is signed with the key. Where Google finds it to be of another time, its own clock is believed once.
fn by_key(host: &dyn Host, config: &Config, credential: &Credential) -> Result<Token, Failure> {
    let wrong =
        |what: &str| Failure::invalid_config(format!("the key that {KEY} refers to {what}"));
    let key = Key::parse(&credential.value).map_err(wrong)?;
    let url = token_url(&key, &config.places).map_err(wrong)?.base;
    let now = host.now_ns() / 1_000_000_000;
    let ask = |now: u64| {
        let assertion = assertion(&key, now, || host.random_u64())?;
        let fields = [
            ("grant_type", BY_ASSERTION),
            ("assertion", assertion.as_str()),
        ];
        let response = host.send(&form(&url, &fields))?;
        Ok::<_, Failure>((response, assertion))
    };
    let (response, assertion) = ask(now)?;
    let theirs = response.header("date").and_then(time::http_date);
    match theirs {
        Some(theirs) if response.status == 400 && theirs.abs_diff(now) > SKEW_S => {
            let seconds = theirs.abs_diff(now).to_string();
            let fields = [("seconds".to_owned(), seconds)];
            host.log(
                "warn",
                "this node's clock and Google's differ: set the clock",
                &fields,
            );
            let (response, assertion) = ask(theirs)?;
            granted(&response, "the service account's key", &[&assertion])
        }
        _ => granted(&response, "the service account's key", &[&assertion]),
    }
}

/// By the cluster's identity pool; as the service account that the annotation names, else as the pool's own member.
fn by_workload(
    host: &dyn Host,
    config: &Config,
    workload: &Workload,
    credential: &Credential,
) -> Result<Token, Failure> {
    let known = |value: &Option<String>, name| match value {
        Some(value) => Ok(value.clone()),
        None => metadata::fact(host, &config.places, name),
    };
    let cluster = Cluster {
        project: workload.project.clone(),
        location: known(&workload.location, metadata::CLUSTER_LOCATION)?,
        name: known(&workload.name, metadata::CLUSTER_NAME)?,
    };
    let subject = text(credential)?;
    let response = host.send(&cluster.trade(&config.places.secure_token.base, subject))?;
    let token = granted(&response, "the ServiceAccount's token", &[subject])?;
    match acts_as(credential)? {
        None => Ok(token),
        Some(email) => impersonate(host, config, &token.text, &email),
    }
}

/// By the Security Token Service, for whom a provider of the pool vouches.
fn by_federation(
    host: &dyn Host,
    config: &Config,
    federated: &Federated,
    context: &Context,
) -> Result<Token, Failure> {
    let vouched = match &federated.source {
        Source::Account => {
            let credential = context.credential(FEDERATED)?;
            Vouched {
                subject: text(credential)?.to_owned(),
                kind: JWT.to_owned(),
                audience: None,
                email: acts_as(credential)?,
            }
        }
        Source::Described { token_endpoint } => {
            let described = &context.credential(EXTERNAL)?.value;
            let external = External::parse(described, token_endpoint.as_ref(), &config.places)
                .map_err(|what| {
                    Failure::invalid_config(format!("what {EXTERNAL} refers to {what}"))
                })?;
            Vouched {
                subject: supplied(host, &external)?,
                kind: external.subject_token_type,
                audience: external.audience,
                email: external.email,
            }
        }
    };
    let audience = federated.audience.clone().or(vouched.audience);
    let audience = audience.ok_or_else(|| {
        Failure::invalid_config(
            "neither the store nor the description of the external account names an audience",
        )
    })?;
    let fields = [
        ("grant_type", EXCHANGE),
        ("audience", &audience),
        ("scope", SCOPE),
        ("requested_token_type", ACCESS_TOKEN),
        ("subject_token", &vouched.subject),
        ("subject_token_type", &vouched.kind),
    ];
    let url = format!("{}/v1/token", config.places.sts.base);
    let response = host.send(&form(&url, &fields))?;
    let token = granted(&response, "the federated identity", &[&vouched.subject])?;
    match federated.email.clone().or(vouched.email) {
        None => Ok(token),
        Some(email) => impersonate(host, config, &token.text, &email),
    }
}

/// What is shown to the Security Token Service.
struct Vouched {
    subject: String,
    kind: String,
    audience: Option<String>,
    email: Option<String>,
}

/// The token that the URL of an external account gives.
fn supplied(host: &dyn Host, external: &External) -> Result<String, Failure> {
    let headers = external.headers.iter().map(|(n, v)| (n.clone(), v.clone()));
    let response = host.send(&HttpRequest {
        method: "GET".to_owned(),
        url: external.url.clone(),
        headers: headers.collect(),
        ..HttpRequest::default()
    })?;
    let wrong = |what: &str| Failure::unavailable(format!("the external token endpoint {what}"));
    if response.status != 200 {
        return Err(wrong(&format!("answered with status {}", response.status)));
    }
    let answer = match &external.field {
        None => std::str::from_utf8(&response.body)
            .ok()
            .map(|text| text.trim().to_owned()),
        Some(field) => serde_json::from_slice::<Value>(&response.body)
            .ok()
            .and_then(|body| body[field.as_str()].as_str().map(str::to_owned)),
    };
    answer
        .filter(|token| !token.is_empty())
        .ok_or_else(|| wrong("answered without a token"))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Generated {
    access_token: String,
    expire_time: String,
}

/// A token of a service account, for whoever may act as it.
fn impersonate(
    host: &dyn Host,
    config: &Config,
    token: &str,
    email: &str,
) -> Result<Token, Failure> {
    let resource = format!("projects/-/serviceAccounts/{email}");
    let url = format!(
        "{}/v1/{resource}:generateAccessToken",
        config.places.iam_credentials.base
    );
    let asked = json!({"scope": [SCOPE]});
    let response = host.send(&json_post(url, &asked, Some(token)))?;
    let tried = Tried {
        permission: "iam.serviceAccounts.getAccessToken",
        role: "roles/iam.workloadIdentityUser",
        resource: &resource,
    };
    let given: Generated = body(&response, tried, &[token])?;
    let now = response.header("date").and_then(time::http_date);
    let now = now.unwrap_or_else(|| host.now_ns() / 1_000_000_000);
    let life_s = time::rfc3339(&given.expire_time).map(|end| end.saturating_sub(now));
    Ok(Token {
        text: given.access_token,
        life_s,
    })
}

fn text(credential: &Credential) -> Result<&str, Failure> {
    std::str::from_utf8(&credential.value).map_err(|_| {
        Failure::invalid_config(format!("the token of {} is no text", credential.pointer))
    })
}

fn form(url: &str, fields: &[(&str, &str)]) -> HttpRequest {
    let pairs: Vec<String> = fields
        .iter()
        .map(|(n, v)| format!("{n}={}", encode(v)))
        .collect();
    let kind = "application/x-www-form-urlencoded";
    post(url.to_owned(), kind, pairs.join("&").into_bytes(), None)
}
