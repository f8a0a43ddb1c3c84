//! Reads of a batch: all requests go out at once. A dead token is told from a missing permission by the status.

use postern_sdk::{Answer, Failure, Host, HttpRequest, HttpResponse, Outcome, Request, each};

use crate::config::Config;
use crate::key::{Kind, Object};
use crate::object::Bundle;
use crate::wire::{API_VERSION, Tried, body, get};

/// One outcome a request, in order.
pub fn get_batch(
    host: &dyn Host,
    config: &Config,
    token: &str,
    requests: &[Request],
) -> Vec<Outcome> {
    let objects: Vec<Result<Object, Failure>> = requests
        .iter()
        .map(|r| Object::parse(&r.key, r.version.as_deref()))
        .collect();
    let query = format!("api-version={API_VERSION}");
    let to_send: Vec<HttpRequest> = objects
        .iter()
        .flatten()
        .map(|o| get(config, &o.path(), &query, Some(token)))
        .collect();
    let mut answers = host.send_all(&to_send).into_iter();
    let mut outcomes = Vec::with_capacity(requests.len());
    for (request, object) in requests.iter().zip(objects) {
        let outcome = object.and_then(|object| {
            let fewer = || {
                Err(Failure::internal(
                    "the host gave fewer answers than requests",
                ))
            };
            let response = answers.next().unwrap_or_else(fewer)?;
            outcome(config, token, request, &object, &response)
        });
        outcomes.push(outcome.unwrap_or_else(Outcome::failed));
    }
    outcomes
}

fn outcome(
    config: &Config,
    token: &str,
    request: &Request,
    object: &Object,
    response: &HttpResponse,
) -> Result<Outcome, Failure> {
    let what = what(object);
    let bundle: Bundle = body(response, tried(config, object.kind, &what), token)?;
    let key = &request.key;
    if request.metadata {
        // Two changes of tags within a second leave no trace that could be told: there is no tag.
        let metadata = bundle.metadata();
        let parts = each(&request.picks, |pick| metadata.take(object, key, pick));
        return Ok(Outcome::parts(parts, None));
    }
    let tag = bundle.tag(object.kind);
    let content = bundle.content(object, &what)?;
    if tag.is_some() && tag == request.known {
        return Ok(Outcome {
            answer: Answer::Unchanged,
            tag,
            options: Vec::new(),
        });
    }
    let parts = each(&request.picks, |pick| content.take(object, key, pick));
    Ok(Outcome::parts(parts, tag))
}

fn what(object: &Object) -> String {
    let (noun, name) = (object.kind.noun(), &object.name);
    match &object.version {
        Some(version) => format!("{noun} {name:?} in version {version:?}"),
        None => format!("{noun} {name:?}"),
    }
}

fn tried<'a>(config: &'a Config, kind: Kind, what: &'a str) -> Tried<'a> {
    let (permission, action) = match kind {
        Kind::Secret => (
            "secrets get",
            "Microsoft.KeyVault/vaults/secrets/getSecret/action",
        ),
        Kind::Certificate => (
            "certificates get",
            "Microsoft.KeyVault/vaults/certificates/read",
        ),
        Kind::Key => ("keys get", "Microsoft.KeyVault/vaults/keys/read"),
    };
    Tried {
        what,
        vault: &config.vault.url,
        permission,
        action,
    }
}
