//! Core's values as the guest gets them. Copies of secrets made here are zeroed by [`wipe`] when the call is over.

use postern_core::plugin::{Call, Credential, Query, RenderJob, Request};
use zeroize::Zeroize as _;

use super::engine::exports::postern::plugin::render;
use super::find::exports::postern::plugin::find;
use super::read;
use super::types;

pub fn credentials(credentials: &[Credential]) -> Vec<types::Credential> {
    let one = |c: &Credential| types::Credential {
        pointer: c.pointer.clone(),
        value: c.value.expose().to_vec(),
        attributes: c.attributes.clone(),
    };
    credentials.iter().map(one).collect()
}

pub fn context(call: &Call) -> types::Context {
    types::Context {
        config: call.config.to_string(),
        credentials: credentials(&call.credentials),
        session: call.session.as_ref().map(|s| s.expose().to_vec()),
        namespace: call.namespace.clone(),
        deadline_ms: u32::try_from(call.deadline.as_millis()).unwrap_or(u32::MAX),
        options: call.options.clone(),
    }
}

/// Zeroes what [`context`] copied.
pub fn wipe(context: &mut types::Context) {
    wipe_credentials(&mut context.credentials);
    if let Some(session) = &mut context.session {
        session.zeroize();
    }
}

pub fn wipe_credentials(credentials: &mut [types::Credential]) {
    for credential in credentials {
        credential.value.zeroize();
    }
}

pub fn request(request: &Request) -> read::Request {
    let pick = |p: &postern_core::plugin::Pick| read::Pick {
        property: p.property.clone(),
        members: p.members,
    };
    read::Request {
        key: request.key.clone(),
        version: request.version.clone(),
        metadata: request.metadata,
        picks: request.picks.iter().map(pick).collect(),
        known: request.known.clone(),
        options: Vec::new(),
    }
}

pub fn query(query: &Query) -> find::Query {
    find::Query {
        path: query.path.clone(),
        tags: query.tags.clone(),
        name: query.name.clone(),
        options: Vec::new(),
    }
}

pub fn job(job: &RenderJob) -> render::Job {
    let templates = job.templates.iter().map(|t| types::Template {
        name: t.name.clone(),
        source: t.source.clone(),
        options: t.options.clone(),
    });
    let data = job.data.iter().map(|d| types::Datum {
        path: d.path.clone(),
        value: d.value.expose().to_vec(),
    });
    render::Job {
        templates: templates.collect(),
        data: data.collect(),
    }
}

pub fn wipe_jobs(jobs: &mut [render::Job]) {
    for datum in jobs.iter_mut().flat_map(|j| &mut j.data) {
        datum.value.zeroize();
    }
}
