//! Rewriting: keys are renamed, or the members of values put together. A step that is a template only says what is to be
//! rendered; see [`super::Pending`].
//!
//! Keys are gone through in order of their names; where two become one, the later one's value is kept.

use std::collections::BTreeMap;

use postern_api::external_secret::{ConflictPolicy, MergeStrategy, PriorityPolicy, RewriteMerge};

use super::{Data, json};
use crate::failure::{Code, Failure, Stage};
use crate::plugin::{Datum, RenderJob, Rendered, Template};
use crate::re2::Pattern;
use crate::secret::SecretValue;

/// One step, read once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rewrite {
    /// Every match in a key is replaced.
    Regexp {
        /// What is looked for.
        source: Pattern,
        /// What takes its place, with groups as `$1` or `${name}`.
        target: String,
    },
    /// A template over `.value` makes the key.
    Transform {
        /// The template.
        template: String,
    },
    /// The members of all values are put together.
    Merge(RewriteMerge),
}

pub(super) fn regexp(source: &Pattern, target: &str, keys: Data) -> Data {
    keys.into_iter()
        .map(|(key, value)| (source.replace_all(&key, target), value))
        .collect()
}

/// One job a key, in order of the keys.
pub(super) fn jobs(template: &str, keys: &Data) -> Vec<RenderJob> {
    let job = |key: &String| RenderJob {
        templates: vec![Template {
            name: "transform".to_owned(),
            source: template.to_owned(),
            // The peer's rewrites print `<no value>` where its targets fail.
            options: vec![("missingkey".to_owned(), "default".to_owned())],
        }],
        data: vec![Datum {
            path: vec!["value".to_owned()],
            value: SecretValue::from(key.as_str()),
        }],
    };
    keys.keys().map(job).collect()
}

/// Puts the rendered keys in the place of the old ones.
pub(super) fn transformed(keys: Data, rendered: Vec<Rendered>) -> Result<Data, Failure> {
    let mut out = Data::new();
    for ((old, value), texts) in keys.into_iter().zip(rendered) {
        let text = texts
            .into_iter()
            .next()
            .unwrap_or_else(|| {
                let what = "the template engine answered no text where it was asked for one";
                Err(Failure::new(Stage::Render, Code::ContractBroken, what))
            })
            .map_err(|failure| template_failure(&old, failure))?;
        let key = String::from_utf8(text.expose().to_vec()).map_err(|_| {
            let what = format!("key \"{old}\" becomes bytes that are not UTF-8");
            Failure::new(Stage::Shape, Code::TemplateFailed, what)
        })?;
        out.insert(key, value);
    }
    Ok(out)
}

/// Limits and traps keep their code; what the engine says of a template becomes the manifest's.
fn template_failure(key: &str, mut failure: Failure) -> Failure {
    if failure.code == Code::InvalidRequest {
        let parse = failure.public.starts_with("unable to parse");
        failure.code = if parse {
            Code::TemplateInvalid
        } else {
            Code::TemplateFailed
        };
    }
    failure.context(format!("could not transform key \"{key}\""))
}

/// Puts the members of all values together.
pub(super) fn merge(rule: &RewriteMerge, keys: Data) -> Result<Data, Failure> {
    let mut merged: BTreeMap<String, json::Tree> = BTreeMap::new();
    let mut conflicts = Vec::new();
    for key in order(rule, &keys)? {
        let members = keys.get(&key).and_then(json::members).ok_or_else(|| {
            let what = format!("merge: the value of key \"{key}\" is no JSON object");
            Failure::new(Stage::Shape, Code::Undecodable, what)
        })?;
        for (name, tree) in members {
            if merged.insert(name.clone(), tree).is_some() && !conflicts.contains(&name) {
                conflicts.push(name);
            }
        }
    }
    if rule.conflict_policy.unwrap_or_default() == ConflictPolicy::Error && !conflicts.is_empty() {
        conflicts.sort();
        return Err(Failure::new(
            Stage::Shape,
            Code::InvalidRequest,
            format!(
                "merge: more than one value has the members {}; let rewrite tell them apart, or set conflictPolicy Ignore",
                conflicts.join(", ")
            ),
        ));
    }
    Ok(match rule.strategy.unwrap_or_default() {
        MergeStrategy::Extract => merged
            .iter()
            .map(|(name, tree)| (name.clone(), json::to_value(tree)))
            .collect(),
        MergeStrategy::JSON => {
            let mut keys = keys;
            let into = rule.into.clone().unwrap_or_default();
            keys.insert(into, json::to_object(&merged));
            keys
        }
    })
}

/// The keys in order of their names, and behind them those that a priority names, in its order.
fn order(rule: &RewriteMerge, keys: &Data) -> Result<Vec<String>, Failure> {
    let strict = rule.priority_policy.unwrap_or_default() == PriorityPolicy::Strict;
    let mut order: Vec<String> = keys.keys().cloned().collect();
    for name in rule.priority.iter().flatten() {
        match order.iter().position(|key| key == name) {
            Some(at) => {
                let key = order.remove(at);
                order.push(key);
            }
            None if strict => {
                return Err(Failure::new(
                    Stage::Shape,
                    Code::InvalidRequest,
                    format!(
                        "merge: priority names key \"{name}\", which is not there; correct it, or set priorityPolicy IgnoreNotFound"
                    ),
                ));
            }
            None => {}
        }
    }
    Ok(order)
}
