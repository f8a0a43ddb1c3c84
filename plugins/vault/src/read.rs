//! Reads of a batch: all requests go out at once; one look-up of the token tells refused objects from a
//! dead token.

use postern_sdk::{
    Answer, Failure, Host, HttpRequest, HttpResponse, Outcome, Part, Pick, Request, each, value,
};
use serde_json::{Map, Value};

use crate::config::{Config, KvVersion};
use crate::login::lookup;
use crate::wire::{Call, body, data_path, encode, metadata_path, read_failure, request};

/// One outcome a request, in order.
pub fn get_batch(
    host: &dyn Host,
    config: &Config,
    token: &str,
    requests: &[Request],
) -> Vec<Outcome> {
    let built: Vec<Result<HttpRequest, Failure>> =
        requests.iter().map(|r| build(config, token, r)).collect();
    let to_send: Vec<HttpRequest> = built
        .iter()
        .filter_map(|b| b.as_ref().ok().cloned())
        .collect();
    let mut answers = host.send_all(&to_send).into_iter();
    let mut outcomes = Vec::with_capacity(requests.len());
    for (request, built) in requests.iter().zip(built) {
        let answer = built.and_then(|_| {
            answers.next().unwrap_or_else(|| {
                Err(Failure::internal(
                    "the host gave fewer answers than requests",
                ))
            })
        });
        outcomes.push(answer.map_or_else(Outcome::failed, |response| {
            outcome(config, token, request, &response)
        }));
    }
    tell_dead_token(host, config, token, &mut outcomes);
    outcomes
}

/// A refusal has two meanings; one look-up decides for the whole batch. Without a token no new login can help.
fn tell_dead_token(host: &dyn Host, config: &Config, token: &str, outcomes: &mut [Outcome]) {
    let refused = |o: &Outcome| matches!(&o.answer, Answer::Failed(f) if refused_by_server(f));
    if token.is_empty() || !outcomes.iter().any(refused) {
        return;
    }
    let Err(failure) = lookup(host, config, token) else {
        return;
    };
    // A server that cannot say whether the token lives has not refused it for good.
    for outcome in outcomes.iter_mut().filter(|o| refused(o)) {
        outcome.answer = Answer::Failed(failure.clone());
    }
}

/// The host's own `denied` (an address that is not granted) has no status and is left alone.
#[must_use]
pub fn refused_by_server(failure: &Failure) -> bool {
    failure.code == "denied"
        && failure
            .detail
            .iter()
            .any(|(n, v)| n == "status" && v == "403")
}

fn build(config: &Config, token: &str, object: &Request) -> Result<HttpRequest, Failure> {
    let path = if object.metadata {
        metadata_path(config, &object.key)?
    } else {
        data_path(config, &object.key)?
    };
    let path = match &object.version {
        Some(version) if !object.metadata => format!("{path}?version={}", encode_query(version)),
        _ => path,
    };
    let call = Call {
        token,
        namespace: config.namespace.as_deref(),
        body: None,
    };
    Ok(request(config, "GET", &path, &call))
}

fn encode_query(text: &str) -> String {
    encode(text).replace('&', "%26").replace('+', "%2B")
}

/// What came of one object.
fn outcome(config: &Config, token: &str, request: &Request, response: &HttpResponse) -> Outcome {
    match object(config, token, request, response) {
        Err(failure) => Outcome::failed(failure),
        Ok((_, tag)) if tag.is_some() && tag == request.known => Outcome {
            answer: Answer::Unchanged,
            tag,
            options: Vec::new(),
        },
        Ok((data, tag)) => Outcome::parts(each(&request.picks, |p| take(config, &data, p)), tag),
    }
}

/// The object's members and its tag.
fn object(
    config: &Config,
    token: &str,
    request: &Request,
    response: &HttpResponse,
) -> Result<(Map<String, Value>, Option<String>), Failure> {
    let what = format!("{:?}", request.key);
    if !(200..=299).contains(&response.status) {
        return Err(read_failure(response, &what, &[token]));
    }
    let mut body = body(response, &what)?;
    let data = body["data"].take();
    if request.metadata {
        return metadata(&data)
            .map(|m| (m, None))
            .ok_or_else(|| not_kv(&what));
    }
    match (config.version, data) {
        (_, Value::Null) => Err(Failure::absent(format!("there is no secret at {what}"))),
        (KvVersion::V1, Value::Object(members)) => Ok((members, None)),
        (KvVersion::V2, Value::Object(mut versioned)) => match versioned.remove("data") {
            Some(Value::Object(members)) => Ok((members, versioned.get("metadata").and_then(tag))),
            Some(Value::Null) => Err(Failure::absent(format!("the version of {what} is deleted"))),
            _ => Err(not_kv(&what)),
        },
        _ => Err(not_kv(&what)),
    }
}

fn not_kv(what: &str) -> Failure {
    Failure::not_found(format!(
        "the answer for {what} is not that of the configured KV version: check path and version"
    ))
}

/// The version alone is no tag: a secret that was wholly deleted and written anew begins at 1 again.
fn tag(metadata: &Value) -> Option<String> {
    let version = metadata["version"].as_u64()?;
    let created = metadata["created_time"].as_str()?;
    Some(format!("{version}@{created}"))
}

/// Facts of the secret as strings, overlaid by its custom metadata.
fn metadata(data: &Value) -> Option<Map<String, Value>> {
    let data = data.as_object()?;
    let mut out = Map::new();
    for name in ["created_time", "current_version", "delete_version_after"] {
        if let Some(fact) = data.get(name) {
            let text = String::from_utf8(value::to_bytes(fact)).unwrap_or_default();
            out.insert(name.to_owned(), Value::String(text));
        }
    }
    if let Some(custom) = data.get("custom_metadata").and_then(Value::as_object) {
        out.extend(custom.clone());
    }
    Some(out)
}

fn take(config: &Config, data: &Map<String, Value>, pick: &Pick) -> Result<Part, Failure> {
    let Some(property) = pick.property.as_deref().filter(|p| !p.is_empty()) else {
        return Ok(if pick.members {
            Part::Members(value::members(data))
        } else {
            Part::Value(value::marshal_map(data).into_bytes())
        });
    };
    let found = if config.property_paths {
        value::exact_or_path(data, property)
    } else {
        value::exact(data, property)
    };
    let bytes = found.ok_or_else(|| {
        Failure::not_found(format!("cannot find secret data for key: {property:?}"))
    })?;
    if !pick.members {
        return Ok(Part::Value(bytes));
    }
    let object: Option<Map<String, Value>> = serde_json::from_slice(&bytes).ok();
    object
        .map(|m| Part::Members(value::members(&m)))
        .ok_or_else(|| {
            Failure::invalid_request(format!(
                "the property {property:?} is no JSON object, so it has no members"
            ))
        })
}
