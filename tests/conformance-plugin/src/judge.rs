//! Holds what came against what must come. Pure; no text here quotes a value.

use std::collections::BTreeMap;

use postern_core::egress::Origin;
use postern_core::failure::{Code, Failure};
use postern_core::grant;
use postern_core::plugin::{Answer, Descriptor, Endpoint, Outcome, Part, Pick, Request};
use postern_core::secret::SecretValue;
use serde_json::Value;

use crate::fixture::{Body, PickCase, Situation};

/// A request and what must come of it.
#[derive(Clone, Debug)]
pub struct Ask {
    pub request: Request,
    pub expect: Expect,
}

/// What must come of a request.
#[derive(Clone, Debug)]
pub enum Expect {
    /// One a pick.
    Parts(Vec<Want>),
    /// A failure with one of these codes.
    Failure(&'static [Code]),
    /// What `known` stands for still holds.
    Unchanged,
}

/// What must come of a pick.
#[derive(Clone, Debug)]
pub enum Want {
    Bytes(Vec<u8>),
    Members(BTreeMap<String, Vec<u8>>),
}

/// A situation whose values must come.
pub fn values(name: &str, situation: &Situation) -> Result<Ask, String> {
    let picks = situation.cases();
    let wants = picks
        .iter()
        .map(|case| want(name, case))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Ask {
        request: request(situation, &picks),
        expect: Expect::Parts(wants),
    })
}

/// A situation that must fail.
pub fn failure(situation: &Situation, codes: &'static [Code]) -> Ask {
    Ask {
        request: request(situation, &situation.cases()),
        expect: Expect::Failure(codes),
    }
}

fn request(situation: &Situation, picks: &[PickCase]) -> Request {
    Request {
        key: situation.key.clone(),
        version: situation.version.clone(),
        metadata: situation.metadata,
        picks: picks
            .iter()
            .map(|case| Pick {
                property: case.property.clone(),
                members: case.members.is_some(),
            })
            .collect(),
        known: None,
    }
}

fn want(name: &str, case: &PickCase) -> Result<Want, String> {
    let bytes = |body: &Body| {
        body.bytes()
            .ok_or_else(|| format!("the fixture's situation {name} has base64 that is none"))
    };
    match (&case.value, &case.members) {
        (Some(value), None) => Ok(Want::Bytes(bytes(value)?)),
        (None, Some(members)) => {
            let members = members
                .iter()
                .map(|(member, body)| Ok((member.clone(), bytes(body)?)));
            Ok(Want::Members(members.collect::<Result<_, String>>()?))
        }
        _ => Err(format!(
            "the fixture's situation {name} needs `value` or `members`, one of them, for each pick"
        )),
    }
}

/// Holds one outcome against what must come.
pub fn outcome(outcome: &Outcome, expect: &Expect) -> Result<(), String> {
    if outcome.tag.as_ref().is_some_and(|tag| tag.len() > 1024) {
        return Err("the tag is longer than 1 KiB".to_owned());
    }
    match (expect, &outcome.answer) {
        (Expect::Parts(wants), Answer::Parts(parts)) => {
            if wants.len() != parts.len() {
                return Err(format!(
                    "{} picks were answered with {} parts",
                    wants.len(),
                    parts.len()
                ));
            }
            let mut pairs = wants.iter().zip(parts).enumerate();
            pairs.try_for_each(|(i, (want, got))| {
                part(want, got).map_err(|why| match wants.len() {
                    1 => why,
                    _ => format!("pick {}: {why}", i + 1),
                })
            })
        }
        (Expect::Unchanged, Answer::Unchanged) => Ok(()),
        (Expect::Failure(codes), Answer::Failed(failure)) => code(failure, codes),
        (Expect::Failure(codes), Answer::Parts(parts)) => match failed(parts) {
            Some(failure) => code(failure, codes),
            None => Err(format!("a value came where {} must", names(codes))),
        },
        (Expect::Parts(_), Answer::Unchanged) => {
            Err("`unchanged` came where a value must".to_owned())
        }
        (Expect::Unchanged, Answer::Parts(_)) => {
            Err("an answer came where `unchanged` must".to_owned())
        }
        (Expect::Failure(codes), Answer::Unchanged) => {
            Err(format!("`unchanged` came where {} must", names(codes)))
        }
        (Expect::Parts(_) | Expect::Unchanged, Answer::Failed(failure)) => Err(said(failure)),
    }
}

/// The failure that an outcome is, if it is one; of parts, the first, where none is a value.
pub fn failed(parts: &[Part]) -> Option<&Failure> {
    let mut first = None;
    for part in parts {
        let Part::Failed(failure) = part else {
            return None;
        };
        first = first.or(Some(failure));
    }
    first
}

/// Holds a failure's code against those that fit.
pub fn code(failure: &Failure, codes: &[Code]) -> Result<(), String> {
    if codes.contains(&failure.code) {
        return Ok(());
    }
    Err(format!(
        "{} came where {} must: {}",
        failure.code.label(),
        names(codes),
        failure.public
    ))
}

/// A failure where none should be.
pub fn said(failure: &Failure) -> String {
    format!("{}: {}", failure.code.label(), failure.public)
}

fn names(codes: &[Code]) -> String {
    let labels: Vec<&str> = codes.iter().map(|code| code.label()).collect();
    labels.join(" or ")
}

fn part(want: &Want, got: &Part) -> Result<(), String> {
    match (want, got) {
        (Want::Bytes(want), Part::Value(got)) => bytes(want, got),
        (Want::Members(want), Part::Members(got)) => {
            let names: Vec<&str> = got.iter().map(|(name, _)| name.as_str()).collect();
            let mut sorted = names.clone();
            sorted.sort_unstable();
            if want.keys().map(String::as_str).ne(sorted) {
                return Err(format!(
                    "the members differ: {} must come, {} came",
                    want.len(),
                    names.len()
                ));
            }
            got.iter().try_for_each(|(name, value)| {
                bytes(&want[name], value).map_err(|why| format!("member {name:?}: {why}"))
            })
        }
        (_, Part::Failed(failure)) => Err(said(failure)),
        (Want::Bytes(_), Part::Members(_)) => Err("members came where bytes must".to_owned()),
        (Want::Members(_), Part::Value(_)) => Err("bytes came where members must".to_owned()),
    }
}

/// Holds bytes against those that must come, and quotes neither.
pub fn bytes(want: &[u8], got: &SecretValue) -> Result<(), String> {
    let got = got.expose();
    if want == got {
        return Ok(());
    }
    Err(if want.len() == got.len() {
        format!("another value of the same {} bytes came", want.len())
    } else {
        format!("{} bytes came where {} must", got.len(), want.len())
    })
}

/// Kinds of references that the host can follow.
const REFERENCES: [&str; 5] = [
    "secret",
    "secret-key",
    "config-map-key",
    "ca-provider",
    "service-account",
];

/// Kinds of asks that a grant can open.
const ASKS: [&str; 6] = [
    "host",
    "files",
    "ambient-identity",
    "environment",
    "api-server",
    "metadata-address",
];

/// Two loads of a component that is pure give the same.
pub fn same(first: &Descriptor, second: &Descriptor) -> Result<(), String> {
    if first == second {
        Ok(())
    } else {
        Err(
            "two loads described it differently; `describe` must use neither time nor randomness"
                .to_owned(),
        )
    }
}

/// Every ask is of a kind that an administrator can grant, and says why.
pub fn asks(descriptor: &Descriptor) -> Result<(), String> {
    for ask in &descriptor.asks {
        if !ASKS.contains(&ask.kind.as_str()) {
            return Err(format!(
                "it asks for {:?}, which is none of {}",
                ask.kind,
                ASKS.join(", ")
            ));
        }
        if ask.why.trim().is_empty() {
            return Err(format!("it does not say why it asks for {:?}", ask.kind));
        }
    }
    Ok(())
}

/// Whether a reference leads to the host's own environment.
pub fn is_ambient(pointer: &str) -> bool {
    pointer.starts_with("env:") || pointer.starts_with("file:")
}

/// What is used of the environment is asked for by the same name, so that an administrator is told.
pub fn ambient_is_asked_for(descriptor: &Descriptor, pointer: &str) -> Result<(), String> {
    let kinds = ["ambient-identity", "environment"];
    let mut asks = descriptor.asks.iter();
    if asks.any(|ask| kinds.contains(&ask.kind.as_str()) && ask.what == pointer) {
        return Ok(());
    }
    Err(format!(
        "examine uses {pointer}, which no ask of {} names",
        kinds.join(" or ")
    ))
}

/// Every mark of the schema is a kind of reference.
pub fn marks(schema: &Value) -> Result<(), String> {
    match schema {
        Value::Object(members) => {
            if let Some(mark) = members.get("x-postern-ref") {
                let known = mark.as_str().is_some_and(|kind| REFERENCES.contains(&kind));
                if !known {
                    return Err(format!(
                        "the schema marks a reference as {mark}, which is none of {}",
                        REFERENCES.join(", ")
                    ));
                }
            }
            members.values().try_for_each(marks)
        }
        Value::Array(items) => items.iter().try_for_each(marks),
        _ => Ok(()),
    }
}

/// Every endpoint is one that an ask covers.
pub fn endpoints(descriptor: &Descriptor, endpoints: &[Endpoint]) -> Result<Vec<Origin>, String> {
    let one = |endpoint: &Endpoint| {
        let origin = Origin::parse(&endpoint.origin)
            .map_err(|error| format!("an endpoint is no origin: {error}"))?;
        let asked = descriptor
            .asks
            .iter()
            .any(|ask| ask.kind == "host" && grant::matches(&ask.what, &origin));
        if asked {
            Ok(origin)
        } else {
            Err(format!("no ask of kind host covers the endpoint {origin}"))
        }
    };
    endpoints.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::{Expect, Want, asks, endpoints, marks, outcome, same};
    use postern_core::failure::{Code, Failure, Stage};
    use postern_core::plugin::{Answer, Ask, Descriptor, Endpoint, Outcome, Part};
    use serde_json::json;

    fn descriptor(kind: &str, what: &str, why: &str) -> Descriptor {
        Descriptor {
            name: "p".into(),
            version: "1".into(),
            serves: vec!["p".into()],
            config_schema: json!({}),
            asks: vec![Ask {
                kind: kind.into(),
                what: what.into(),
                why: why.into(),
            }],
            batch_size: 0,
            summary: String::new(),
            options: Vec::new(),
        }
    }

    #[test]
    fn a_descriptor_that_changes_is_noticed() {
        let first = descriptor("host", "*", "why");
        let mut second = first.clone();
        assert_eq!(same(&first, &second), Ok(()));
        second.version = "2".into();
        assert!(same(&first, &second).is_err());
    }

    #[test]
    fn an_ask_of_an_unknown_kind_or_without_a_reason_is_noticed() {
        assert_eq!(asks(&descriptor("host", "*", "why")), Ok(()));
        assert!(asks(&descriptor("hosts", "*", "why")).is_err());
        assert!(asks(&descriptor("host", "*", " ")).is_err());
    }

    #[test]
    fn a_mark_that_is_no_kind_is_noticed_wherever_it_stands() {
        assert_eq!(
            marks(&json!({"$defs": {"a": {"x-postern-ref": "secret-key"}}})),
            Ok(())
        );
        assert!(marks(&json!({"anyOf": [{"x-postern-ref": "secrets"}]})).is_err());
    }

    #[test]
    fn an_endpoint_that_no_ask_covers_is_noticed() {
        let endpoint = Endpoint {
            origin: "https://api.example.com".into(),
            ca: None,
            client_certificate: None,
            client_key: None,
            server_name: None,
        };
        let all = [endpoint];
        assert!(endpoints(&descriptor("host", "*.example.com", "w"), &all).is_ok());
        assert!(endpoints(&descriptor("host", "*.example.org", "w"), &all).is_err());
        assert!(endpoints(&descriptor("files", "*", "w"), &all).is_err());
    }

    #[test]
    fn a_value_is_held_byte_by_byte_and_never_quoted() {
        let came = |answer| Outcome { answer, tag: None };
        let want = Expect::Parts(vec![Want::Bytes(b"hunter2".to_vec())]);
        let good = came(Answer::Parts(vec![Part::Value("hunter2".into())]));
        assert_eq!(outcome(&good, &want), Ok(()));
        let other = came(Answer::Parts(vec![Part::Value("hunter3".into())]));
        let why = outcome(&other, &want).unwrap_err();
        assert!(!why.contains("hunter"), "{why}");
        let absent = Failure::new(Stage::Fetch, Code::Absent, "no such key");
        let gone = came(Answer::Failed(absent));
        assert!(outcome(&gone, &want).is_err());
        assert_eq!(outcome(&gone, &Expect::Failure(&[Code::Absent])), Ok(()));
        assert!(outcome(&gone, &Expect::Failure(&[Code::NotFound])).is_err());
    }
}
