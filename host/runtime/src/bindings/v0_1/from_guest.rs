//! What a guest answered as core's values: shapes only. Whether the answer keeps the contract is judged in `check`.

use std::time::Duration;

use postern_core::failure::{Code, Failure};
use postern_core::plugin::{self as core, Material};
use postern_core::secret::SecretValue;

use super::find::exports::postern::plugin::find;
use super::login::exports::postern::plugin::login;
use super::{check, describe, read, types};
use crate::fault::Reader;

/// A guest's failure as ours. Its text is the plugin's: cut, made one line, and cleared of every value of this call.
pub fn failure(failure: types::Failure, reader: &Reader) -> Failure {
    let cleaner = &reader.cleaner;
    let code = reader.code(&failure.code, &failure.message);
    let message = cleaner.clean(&failure.message);
    let public = match code {
        Code::ContractBroken => format!(
            "the plugin answered with the unknown code \"{}\": {message}",
            cleaner.clean(&failure.code)
        ),
        _ => message,
    };
    let detail: Vec<String> = failure
        .detail
        .iter()
        .map(|(k, v)| format!("{k}={}", cleaner.clean(v)))
        .collect();
    let ours = Failure::new(reader.stage, code, public)
        .with_retry_after(failure.retry_after_ms.map(Duration::from_millis));
    if detail.is_empty() {
        ours
    } else {
        ours.with_detail(detail.join(" "))
    }
}

/// A descriptor, its schema not yet read.
pub fn descriptor(d: describe::Descriptor) -> (core::Descriptor, String) {
    let asks = d.asks.into_iter().map(|a| core::Ask {
        kind: a.kind,
        what: a.what,
        why: a.why,
    });
    let ours = core::Descriptor {
        name: d.name,
        version: d.version,
        serves: d.serves,
        config_schema: serde_json::Value::Null,
        asks: asks.collect(),
        batch_size: d.batch_size,
        summary: d.summary,
        options: d.options,
    };
    (ours, d.config_schema)
}

/// TLS material that an endpoint points at is a reference too: the host resolves it like the others.
pub fn needs(needs: check::Needs) -> core::Needs {
    let mut references: Vec<core::Reference> = needs
        .references
        .into_iter()
        .map(|r| core::Reference {
            pointer: r.pointer,
            audiences: r.audiences,
            expires_in_s: r.expires_in_s,
            default_key: option(&r.options, "default-key"),
        })
        .collect();
    for reference in needs.endpoints.iter().flat_map(tls_references) {
        if references
            .iter()
            .all(|known| known.pointer != reference.pointer)
        {
            references.push(reference);
        }
    }
    core::Needs {
        per_namespace: needs.per_namespace,
        references,
        endpoints: needs.endpoints.into_iter().map(endpoint).collect(),
    }
}

fn option(options: &[(String, String)], name: &str) -> Option<String> {
    options
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.clone())
}

fn tls_references(e: &check::Endpoint) -> Vec<core::Reference> {
    let materials = [
        (&e.ca, "ca-default-key"),
        (&e.client_certificate, "client-certificate-default-key"),
        (&e.client_key, "client-key-default-key"),
    ];
    materials
        .into_iter()
        .filter_map(|(material, default_key)| match material {
            Some(check::Material::Pointer(pointer)) => Some(core::Reference {
                pointer: pointer.clone(),
                audiences: Vec::new(),
                expires_in_s: None,
                default_key: option(&e.options, default_key),
            }),
            Some(check::Material::Pem(_)) | None => None,
        })
        .collect()
}

fn endpoint(e: check::Endpoint) -> core::Endpoint {
    core::Endpoint {
        origin: e.origin,
        ca: e.ca.map(material),
        client_certificate: e.client_certificate.map(material),
        client_key: e.client_key.map(material),
        server_name: e.server_name,
    }
}

fn material(m: check::Material) -> Material {
    match m {
        check::Material::Pointer(pointer) => Material::Pointer(pointer),
        check::Material::Pem(pem) => Material::Pem(SecretValue::new(pem)),
    }
}

pub fn problem(p: check::Problem, reader: &Reader) -> core::Problem {
    let cleaner = &reader.cleaner;
    core::Problem {
        pointer: cleaner.clean(&p.pointer),
        message: cleaner.clean(&p.message),
    }
}

pub fn session(s: login::Session) -> core::Session {
    core::Session {
        token: SecretValue::new(s.token),
        expires_in: s.expires_in_ms.map(Duration::from_millis),
    }
}

pub fn outcome(outcome: read::Outcome, reader: &Reader) -> core::Outcome {
    let answer = match outcome.answer {
        read::Answer::Parts(parts) => {
            core::Answer::Parts(parts.into_iter().map(|p| part(p, reader)).collect())
        }
        read::Answer::Unchanged => core::Answer::Unchanged,
        read::Answer::Failed(f) => core::Answer::Failed(failure(f, reader)),
    };
    core::Outcome {
        answer,
        tag: outcome.tag,
    }
}

fn part(part: read::Part, reader: &Reader) -> core::Part {
    match part {
        read::Part::Value(value) => core::Part::Value(SecretValue::new(value)),
        read::Part::Members(members) => core::Part::Members(
            members
                .into_iter()
                .map(|(name, value)| (name, SecretValue::new(value)))
                .collect(),
        ),
        read::Part::Failed(f) => core::Part::Failed(failure(f, reader)),
    }
}

pub fn page(page: find::Page) -> core::Page {
    let found = page.found.into_iter().map(|f| core::Found {
        key: f.key,
        name: f.name,
        version: f.version,
        value: f.value.map(SecretValue::new),
    });
    let convert_names = option(&page.options, "convert-names");
    core::Page {
        found: found.collect(),
        next: page.next,
        names_applied: page.names_applied,
        convert_names: convert_names.as_deref() == Some("true"),
    }
}

pub fn rendered(results: Vec<Result<Vec<u8>, types::Failure>>, reader: &Reader) -> core::Rendered {
    let one = |result: Result<Vec<u8>, types::Failure>| match result {
        Ok(bytes) => Ok(SecretValue::new(bytes)),
        Err(f) => Err(template_failure(f, reader)),
    };
    results.into_iter().map(one).collect()
}

/// A template engine says `invalid-request` (or `invalid-config`) of a template that does not parse, and anything else of one that failed.
fn template_failure(f: types::Failure, reader: &Reader) -> Failure {
    let code = if matches!(f.code.as_str(), "invalid-request" | "invalid-config") {
        Code::TemplateInvalid
    } else {
        Code::TemplateFailed
    };
    Failure::new(reader.stage, code, reader.cleaner.clean(&f.message))
}

/// The same of a template engine, whose generated type is another.
pub fn engine_descriptor(
    d: super::engine::exports::postern::plugin::describe::Descriptor,
) -> (core::Descriptor, String) {
    let asks = d.asks.into_iter().map(|a| describe::Ask {
        kind: a.kind,
        what: a.what,
        why: a.why,
        options: a.options,
    });
    descriptor(describe::Descriptor {
        name: d.name,
        version: d.version,
        serves: d.serves,
        config_schema: d.config_schema,
        asks: asks.collect(),
        batch_size: d.batch_size,
        summary: d.summary,
        options: d.options,
    })
}
