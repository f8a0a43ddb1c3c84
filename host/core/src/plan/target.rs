//! What is said of the target before any value is known: its name, whose it is, what becomes of it.

use std::collections::BTreeSet;

use kube_core::ResourceExt as _;
use postern_api::external_secret::{CreationPolicy, TargetTemplate, TemplateFrom};
use postern_api::{ExternalSecret, names};

use super::{Observed, TargetMeta, TemplateObject, interval, invalid, last_refresh};
use crate::absence;
use crate::conclude::RETAINED;
use crate::failure::{Code, Failure, Stage};
use crate::generic::{self, Kind};
use crate::schedule;

/// A target that has been written and is not seen now may have lost its label: it counts as one that exists.
pub(super) fn absence_rule(observed: &Observed) -> absence::Rule {
    let object = &observed.object;
    let target = object.spec.target.as_ref();
    absence::Rule {
        policy: target.and_then(|t| t.deletion_policy).unwrap_or_default(),
        interval: interval(object)
            .ok()
            .filter(|i| !i.is_zero())
            .unwrap_or(schedule::DEFAULT_INTERVAL),
        at_stake: observed.target.is_some()
            || (last_refresh(object).is_some() && !was_deleted(object)),
    }
}

/// Whether the last thing said of the object is that its target was deleted because the backend has nothing for it.
fn was_deleted(object: &ExternalSecret) -> bool {
    was(object, names::reason::SECRET_DELETED) || was(object, names::reason::RESOURCE_DELETED)
}

/// Whether the last thing said of the object is that a StoreAccess does not allow what it reads.
pub(super) fn was_denied(observed: &Observed) -> bool {
    was(&observed.object, names::reason::STORE_ACCESS_DENIED)
}

fn was(object: &ExternalSecret, reason: &str) -> bool {
    let conditions = object.status.as_ref().and_then(|s| s.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|c| c.type_ == "Ready" && c.reason.as_deref() == Some(reason))
}

/// Whether the target needs no repair. What is done under Orphan and None is not looked at between refreshes; a Secret
/// that Merge waits for is nobody's to make.
pub(super) fn is_in_order(object: &ExternalSecret, target: Option<&TargetMeta>) -> bool {
    let creation = creation(object);
    match (creation, target) {
        (CreationPolicy::Orphan | CreationPolicy::None, _) => true,
        (_, Some(target)) => target.is_valid(),
        (CreationPolicy::Merge, None)
            if was(object, names::reason::SECRET_MISSING)
                || was(object, names::reason::RESOURCE_MISSING) =>
        {
            true
        }
        (_, None) => was_deleted(object) || was_retained(object),
    }
}

/// Whether the last sync had nothing to make a target of, and so made none.
fn was_retained(object: &ExternalSecret) -> bool {
    let conditions = object.status.as_ref().and_then(|s| s.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| {
        let message = condition.message.as_deref().unwrap_or_default();
        condition.type_ == "Ready" && message.starts_with(RETAINED)
    })
}

pub(super) fn creation(object: &ExternalSecret) -> CreationPolicy {
    let target = object.spec.target.as_ref();
    target.and_then(|t| t.creation_policy).unwrap_or_default()
}

pub(super) fn is_immutable(object: &ExternalSecret) -> bool {
    let target = object.spec.target.as_ref();
    target.and_then(|t| t.immutable).unwrap_or_default()
}

/// The target of the last sync, where it was another. The status remembers it, also across a restart.
pub(super) fn left_over(object: &ExternalSecret, target_name: &str) -> Option<String> {
    if Kind::of(object).is_some() {
        return None;
    }
    let last = &object.status.as_ref()?.binding.as_ref()?.name;
    let other = !last.is_empty() && last != target_name;
    (other && creation(object) == CreationPolicy::Owner).then(|| last.clone())
}

fn template(object: &ExternalSecret) -> Option<&TargetTemplate> {
    object.spec.target.as_ref()?.template.as_ref()
}

fn template_from(object: &ExternalSecret) -> impl Iterator<Item = &TemplateFrom> {
    let all = template(object).and_then(|t| t.template_from.as_ref());
    all.into_iter().flatten()
}

pub(super) fn template_sources(object: &ExternalSecret) -> BTreeSet<TemplateObject> {
    let names = |from: &TemplateFrom| {
        let map = from.config_map.as_ref();
        let secret = from.secret.as_ref();
        [
            map.map(|s| TemplateObject::ConfigMap(s.name.clone())),
            secret.map(|s| TemplateObject::Secret(s.name.clone())),
        ]
    };
    template_from(object).flat_map(names).flatten().collect()
}

/// The kind of the target; none for a Secret. Errors: it cannot be a target, or none but Secrets are served.
pub(super) fn manifest(observed: &Observed) -> Result<Option<Kind>, Failure> {
    let Some(kind) = Kind::of(&observed.object) else {
        return Ok(None);
    };
    if !observed.settings.generic_targets {
        let text = "invalid generic target: spec.target.manifest is switched off; whoever runs Postern can allow it with --unsafe-allow-generic-targets";
        return Err(Failure::new(Stage::Plan, Code::Unsupported, text));
    }
    kind.check()?;
    Ok(Some(kind))
}

/// Rendered texts of a Secret go to three places only.
pub(super) fn check_template(object: &ExternalSecret) -> Result<(), Failure> {
    if Kind::of(object).is_some() {
        return generic::check_template(template(object));
    }
    for (index, from) in template_from(object).enumerate() {
        goes_to(from).map_err(|to| {
            invalid(format!("spec.target.template.templateFrom[{index}].target \"{to}\" is not known; use Data, Labels or Annotations"))
        })?;
    }
    Ok(())
}

/// Where rendered texts go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goes {
    /// Among the values.
    Data,
    /// Among the labels.
    Labels,
    /// Among the annotations.
    Annotations,
}

/// Where the texts of an item go; the error is what stands there instead.
pub(crate) fn goes_to(from: &TemplateFrom) -> Result<Goes, &str> {
    let target = from.target.as_deref().unwrap_or_default();
    let is = |word: &str| target.eq_ignore_ascii_case(word);
    match target {
        "" => Ok(Goes::Data),
        _ if is("Data") => Ok(Goes::Data),
        _ if is("Labels") => Ok(Goes::Labels),
        _ if is("Annotations") => Ok(Goes::Annotations),
        other => Err(other),
    }
}

/// The name of the target.
#[must_use]
pub fn target_name(object: &ExternalSecret) -> String {
    let named = object
        .spec
        .target
        .as_ref()
        .and_then(|t| t.name.clone())
        .filter(|n| !n.is_empty());
    named.unwrap_or_else(|| object.name_any())
}

/// Object names are RFC 1123 subdomains of at most 253 characters.
pub(super) fn check_name(what: &str, name: &str) -> Result<(), Failure> {
    if name.len() > 253 {
        return Err(invalid(format!(
            "{what} has {} characters; a Secret's name has at most 253",
            name.len()
        )));
    }
    let label = |l: &str| {
        !l.is_empty()
            && l.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    if name.split('.').all(label) {
        Ok(())
    } else {
        Err(invalid(format!(
            "{what} \"{name}\" is not allowed; use lower case letters, digits, - and ."
        )))
    }
}

pub(super) fn check_key(what: &str, key: &str) -> Result<(), Failure> {
    if key.is_empty() || key.len() > 253 {
        return Err(invalid(format!(
            "{what} has {} characters; a key has 1 to 253",
            key.len()
        )));
    }
    if key
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
    {
        Ok(())
    } else {
        Err(invalid(format!(
            "{what} \"{key}\" is not allowed; use letters, digits, -, . and _"
        )))
    }
}
