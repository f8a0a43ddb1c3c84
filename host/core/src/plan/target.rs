//! What is said of the target before any value is known: its name, whose it is, what becomes of it.

use kube_core::ResourceExt as _;
use postern_api::external_secret::{CreationPolicy, DeletionPolicy};
use postern_api::{ExternalSecret, names};

use super::{Observed, interval, invalid, last_refresh};
use crate::absence;
use crate::failure::Failure;
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
pub(super) fn was_deleted(object: &ExternalSecret) -> bool {
    let conditions = object.status.as_ref().and_then(|s| s.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|c| c.type_ == "Ready" && c.reason.as_deref() == Some(names::reason::SECRET_DELETED))
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

/// Only what is wholly ours can be deleted, and only what we write can lose keys.
pub(super) fn check_policies(object: &ExternalSecret) -> Result<(), Failure> {
    let target = object.spec.target.clone().unwrap_or_default();
    let creation = target.creation_policy.unwrap_or_default();
    let text = match target.deletion_policy.unwrap_or_default() {
        DeletionPolicy::Delete if creation != CreationPolicy::Owner => {
            "deletionPolicy Delete needs creationPolicy Owner: another's Secret is not ours to delete"
        }
        DeletionPolicy::Merge if creation == CreationPolicy::None => {
            "deletionPolicy Merge does not go with creationPolicy None: nothing is written that could lose a key"
        }
        _ => return Ok(()),
    };
    Err(invalid(format!("spec.target: {text}")))
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
