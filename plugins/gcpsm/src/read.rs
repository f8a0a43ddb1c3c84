//! Reads of a batch, in rounds: in each, whatever every object needs next goes out at once. What an object needs next is
//! decided by [`next`], which sends nothing.
//!
//! An object whose tag was offered is asked about first: `versions.get` moves no value and is not billed. It takes a
//! permission that readers of values do not have by themselves, and a quota of its own, so where it is refused or throttled
//! the value is read as if no tag had been offered.

use postern_plugin_shared::{property, time};
use postern_sdk::{Answer, Failure, Host, HttpRequest, HttpResponse, Outcome, Request, each};
use serde::Deserialize;

use crate::payload::{Accessed, Secret};
use crate::raw::Selection;
use crate::server::{Server, is_version};
use crate::tag::{self, Tag, Version};
use crate::wire::{Tried, body, failure, is_closed_version};

const ACCESSOR: &str = "roles/secretmanager.secretAccessor";
const VIEWER: &str = "roles/secretmanager.viewer";

/// One object on its way.
struct Object<'a> {
    request: &'a Request,
    secret: String,
    /// The tag that was offered, if it is one of ours.
    known: Option<Tag>,
    /// Whether versions may be asked about, as far as is known.
    askable: bool,
    step: Step,
}

/// What an object needs next.
enum Step {
    /// To know whether its version is still the one that is known.
    Ask(Tag),
    /// The value of this version.
    Access { version: String, chosen: bool },
    /// The versions that can be read: the latest cannot.
    Choose,
    /// Labels and annotations.
    Metadata,
    /// Nothing.
    Done(Outcome),
}

/// One outcome a request, in order.
pub fn get_batch(host: &dyn Host, server: &Server, requests: &[Request]) -> Vec<Outcome> {
    let mut objects: Vec<Object<'_>> = requests.iter().map(|r| Object::of(server, r)).collect();
    loop {
        let wanted: Vec<(usize, HttpRequest)> = objects
            .iter()
            .enumerate()
            .filter_map(|(at, object)| Some((at, object.wants(server)?)))
            .collect();
        if wanted.is_empty() {
            break;
        }
        let requests: Vec<HttpRequest> =
            wanted.iter().map(|(_, request)| request.clone()).collect();
        let mut answers = host.send_all(&requests).into_iter();
        for (at, _) in wanted {
            let fewer = || {
                Err(Failure::internal(
                    "the host gave fewer answers than requests",
                ))
            };
            let answer = answers.next().unwrap_or_else(fewer);
            if let Some(object) = objects.get_mut(at) {
                object.step = answer.map_or_else(
                    |failure| Step::Done(Outcome::failed(failure)),
                    |response| next(server, object, &response),
                );
            }
        }
    }
    objects.into_iter().map(Object::outcome).collect()
}

impl<'a> Object<'a> {
    fn of(server: &Server, request: &'a Request) -> Self {
        let known = request.known.as_deref().and_then(Tag::parse);
        let version = request.version.as_deref().filter(|v| !v.is_empty());
        let secret = server
            .secret(&request.key)
            .and_then(|secret| match version {
                Some(version) if !is_version(version) => Err(Failure::invalid_request(format!(
                    "{version:?} is neither the number of a version nor an alias"
                ))),
                _ => Ok(secret),
            });
        let askable = known.as_ref().is_none_or(|tag| tag.askable);
        let (secret, step) = match secret {
            Err(failure) => (String::new(), Step::Done(Outcome::failed(failure))),
            Ok(secret) if request.metadata => (secret, Step::Metadata),
            Ok(secret) => {
                let step = match &known {
                    Some(tag) if tag.askable => Step::Ask(tag.clone()),
                    _ => access(version.unwrap_or("latest"), false),
                };
                (secret, step)
            }
        };
        Self {
            request,
            secret,
            known,
            askable,
            step,
        }
    }

    /// The version that is asked for.
    fn version(&self) -> &str {
        self.request
            .version
            .as_deref()
            .filter(|v| !v.is_empty())
            .unwrap_or("latest")
    }

    /// Whether another version may be read in place of one that is closed.
    fn may_choose(&self, server: &Server) -> bool {
        let any = self.request.version.as_deref().is_none_or(str::is_empty);
        any && server.selection == Selection::LatestOrFetch
    }

    fn resource(&self, version: &str) -> String {
        format!("{}/versions/{version}", self.secret)
    }

    fn wants(&self, server: &Server) -> Option<HttpRequest> {
        Some(match &self.step {
            Step::Ask(_) => server.about(&self.resource(self.version())),
            Step::Access { version, .. } => server.access(&self.resource(version)),
            Step::Choose => server.enabled_versions(&self.secret),
            Step::Metadata => server.about(&self.secret),
            Step::Done(_) => return None,
        })
    }

    fn unchanged(&self) -> Step {
        Step::Done(Outcome {
            answer: Answer::Unchanged,
            tag: self.request.known.clone(),
            options: Vec::new(),
        })
    }

    fn outcome(self) -> Outcome {
        match self.step {
            Step::Done(outcome) => outcome,
            _ => Outcome::failed(Failure::internal("a read ended before its answer")),
        }
    }
}

fn access(version: &str, chosen: bool) -> Step {
    Step::Access {
        version: version.to_owned(),
        chosen,
    }
}

/// What an object needs after this answer.
fn next(server: &Server, object: &mut Object<'_>, response: &HttpResponse) -> Step {
    let result = match &object.step {
        Step::Ask(tag) => {
            let tag = tag.clone();
            return asked(server, object, &tag, response);
        }
        Step::Access { chosen: false, .. }
            if object.may_choose(server) && is_closed_version(response) =>
        {
            return Step::Choose;
        }
        Step::Access { version, .. } => accessed(server, object, version, response),
        Step::Choose => return chosen(server, object, response),
        Step::Metadata => metadata(server, object, response),
        Step::Done(outcome) => Ok(outcome.clone()),
    };
    Step::Done(result.unwrap_or_else(Outcome::failed))
}

/// Only a clear yes makes an object unchanged; whatever is wrong with the object is told by the reading that follows.
fn asked(server: &Server, object: &mut Object<'_>, tag: &Tag, response: &HttpResponse) -> Step {
    let tried = Tried {
        permission: "secretmanager.versions.get",
        role: VIEWER,
        resource: &object.resource(object.version()),
    };
    match response.status {
        401 => return Step::Done(Outcome::failed(failure(response, tried, &[&server.token]))),
        403 => object.askable = false,
        _ => {}
    }
    match body::<Version>(response, tried, &[]) {
        Ok(version) if tag.is_of(&version) => object.unchanged(),
        Ok(version) if !version.is_enabled() && object.may_choose(server) => Step::Choose,
        Ok(_) | Err(_) => access(object.version(), false),
    }
}

fn accessed(
    server: &Server,
    object: &Object<'_>,
    version: &str,
    response: &HttpResponse,
) -> Result<Outcome, Failure> {
    let resource = object.resource(version);
    if is_closed_version(response) {
        let what = if object.request.version.is_none() {
            ", or set secretVersionSelectionPolicy: LatestOrFetch"
        } else {
            ""
        };
        return Err(Failure::not_found(format!(
            "{resource} is disabled or destroyed: enable it or add a version{what}"
        )));
    }
    let tried = Tried {
        permission: "secretmanager.versions.access",
        role: ACCESSOR,
        resource: &resource,
    };
    let accessed: Accessed = body(response, tried, &[&server.token])?;
    let bytes = accessed.bytes(&resource)?;
    let what = format!("secret {:?}", object.request.key);
    let parts = each(&object.request.picks, |pick| {
        property::take(&bytes, pick, &what)
    });
    let read_at = response.header("date").and_then(time::http_date);
    let tag = tag::number(&accessed.name)
        .zip(read_at)
        .map(|(number, read_at)| Tag {
            number: number.to_owned(),
            read_at,
            askable: object.askable,
        });
    Ok(Outcome::parts(parts, tag.map(|tag| tag.to_string())))
}

#[derive(Deserialize)]
struct Versions {
    #[serde(default)]
    versions: Vec<Version>,
}

/// The newest of the versions that can be read.
fn chosen(server: &Server, object: &Object<'_>, response: &HttpResponse) -> Step {
    let tried = Tried {
        permission: "secretmanager.versions.list",
        role: VIEWER,
        resource: &object.secret,
    };
    let versions = match body::<Versions>(response, tried, &[&server.token]) {
        Ok(list) => list.versions,
        Err(failure) => return Step::Done(Outcome::failed(failure)),
    };
    let newest = versions
        .iter()
        .filter(|v| v.is_enabled())
        .filter_map(|v| {
            Some((
                time::rfc3339(&v.create_time)?,
                v.number()?.parse::<u64>().ok()?,
                v,
            ))
        })
        .max_by_key(|(made, number, _)| (*made, *number));
    let Some((_, number, newest)) = newest else {
        let secret = &object.secret;
        let text = format!("no version of {secret} can be read: enable one, or add one");
        return Step::Done(Outcome::failed(Failure::not_found(text)));
    };
    match &object.known {
        Some(tag) if tag.is_of(newest) => object.unchanged(),
        _ => access(&number.to_string(), true),
    }
}

fn metadata(
    server: &Server,
    object: &Object<'_>,
    response: &HttpResponse,
) -> Result<Outcome, Failure> {
    let tried = Tried {
        permission: "secretmanager.secrets.get",
        role: VIEWER,
        resource: &object.secret,
    };
    let secret: Secret = body(response, tried, &[&server.token])?;
    let tag = Some(secret.etag.clone()).filter(|etag| !etag.is_empty());
    if tag.is_some() && tag == object.request.known {
        return Ok(Outcome {
            answer: Answer::Unchanged,
            tag,
            options: Vec::new(),
        });
    }
    let what = format!("secret {:?}", object.request.key);
    Ok(Outcome::parts(
        each(&object.request.picks, |pick| secret.take(pick, &what)),
        tag,
    ))
}
