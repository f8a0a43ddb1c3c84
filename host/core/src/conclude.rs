//! Step 6 of a sync: what is said of it, and when the next one is due.
//!
//! Success and failure leave through here, so none lacks a condition, an event or a next time. The target has been
//! written before, so that a write that was refused gets its condition too.

use std::time::Duration;

use jiff::{Timestamp, ToSpan as _};
use postern_api::external_secret::{Binding, DeletionPolicy, ExternalSecretStatus, RefreshPolicy};
use postern_api::names::reason;
use postern_api::{Condition, ExternalSecret, SecretStoreStatus};

use crate::absence::Missing;
use crate::failure::{Code, Failure, Retry, Stage, one_line};
use crate::generic::Kind;
use crate::offer::{Offer, Upkeep};
use crate::plan::{self, Observed, Position};
use crate::schedule;
use crate::shape::Omitted;

/// What became of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It was made.
    Created,
    /// It was changed.
    Updated,
    /// It was right.
    Unchanged,
    /// It was deleted, because the backend has nothing for it.
    Deleted,
    /// It is not there, and shall not be: the backend has nothing for it.
    Gone,
    /// What was read is empty; it was left as it is.
    Retained,
    /// It is not there, and is not ours to make.
    Missing,
    /// By policy it is never written.
    Skipped,
}

impl Written {
    /// Whether it is known to exist as it shall be.
    const fn is_bound(self) -> bool {
        match self {
            Self::Created | Self::Updated | Self::Unchanged => true,
            Self::Deleted | Self::Gone | Self::Retained | Self::Missing | Self::Skipped => false,
        }
    }
}

/// An event to post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventText {
    /// Warning rather than Normal.
    pub warning: bool,
    /// One word of a closed set.
    pub reason: &'static str,
    /// One line.
    pub message: String,
}

/// When to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// At that time.
    At(Timestamp),
    /// With backoff, and not before that long.
    Backoff {
        /// What the backend asked for.
        after: Option<Duration>,
    },
    /// When something changes.
    OnChange,
}

/// What follows from a sync.
#[derive(Clone, Debug, PartialEq)]
pub struct Conclusion {
    /// The whole status; equal to the old one where nothing changed.
    pub status: ExternalSecretStatus,
    /// Events, only where something changed.
    pub events: Vec<EventText>,
    /// When to look again.
    pub next: Next,
}

/// A failure that only somebody's change at the backend mends is tried again after this long, or after the interval
/// where that is shorter: the one who grants a missing right does not want to wait for an hour.
const RETRY_AT_MOST: Duration = Duration::from_secs(300);

/// What is said of a target that was deleted; the peer's text.
const DELETED: &str = "secret deleted due to DeletionPolicy=Delete";
/// How the texts on a target begin that was kept because what was read is empty; likewise.
pub(crate) const RETAINED: &str = "secret retained";
/// What is said where the Secret that keys go into is not there; likewise.
const MISSING: &str = "secret will not be created due to CreationPolicy=Merge";
/// The same of a target that is no Secret.
const RESOURCE_MISSING: &str = "resource will not be created due to CreationPolicy=Merge";
/// What is said of a Secret that has another name by now; likewise.
const LEFT_OVER: &str = "secret deleted because it was orphaned";

/// Concludes a sync that began at `observed.now`.
#[must_use]
pub fn conclude(observed: &Observed, result: Result<Written, &Failure>) -> Conclusion {
    match result {
        Ok(written) => success(observed, written),
        Err(failure) => failed(observed, failure),
    }
}

fn success(observed: &Observed, written: Written) -> Conclusion {
    let object = &observed.object;
    let mut status = object.status.clone().unwrap_or_default();
    let (reason, message) = match written {
        Written::Deleted | Written::Gone => (reason::SECRET_DELETED, DELETED),
        Written::Created | Written::Updated | Written::Unchanged | Written::Skipped => {
            (reason::SECRET_SYNCED, "secret synced")
        }
        Written::Retained => (reason::SECRET_SYNCED, retained(object)),
        Written::Missing => (reason::SECRET_MISSING, MISSING),
    };
    let manifest = manifest(observed);
    let reason = reason_for(manifest.as_ref(), reason);
    let message = match (&manifest, written) {
        (Some(_), Written::Missing) => RESOURCE_MISSING,
        _ => message,
    };
    let ready = ready(observed, true, reason, message);
    status.conditions = Some(merged(status.conditions.take(), ready));
    status.refresh_time = Some(seconds(observed.now));
    status.synced_resource_version = Some(plan::current_version(object));
    if written.is_bound() && manifest.is_none() {
        status.binding = Some(Binding {
            name: plan::target_name(object),
        });
    }
    let event = |reason, message: &str| {
        let done = |kind: &Kind| format!("{reason} {kind} {}", plan::target_name(object));
        vec![EventText {
            warning: false,
            reason,
            message: manifest.as_ref().map_or_else(|| message.to_owned(), done),
        }]
    };
    Conclusion {
        status,
        events: match written {
            Written::Created => event(reason::CREATED, "secret created"),
            Written::Updated => event(reason::UPDATED, "secret updated"),
            Written::Deleted => event(reason::DELETED, DELETED),
            Written::Unchanged
            | Written::Gone
            | Written::Retained
            | Written::Missing
            | Written::Skipped => Vec::new(),
        },
        next: next_after_success(observed),
    }
}

/// The kind of a target that is served and is no Secret.
fn manifest(observed: &Observed) -> Option<Kind> {
    Kind::of(&observed.object).filter(|_| observed.settings.generic_targets)
}

/// The peer has words of its own for targets that are no Secrets.
fn reason_for(manifest: Option<&Kind>, reason: &'static str) -> &'static str {
    match (manifest, reason) {
        (None, reason) => reason,
        (Some(_), reason::SECRET_SYNCED) => reason::RESOURCE_SYNCED,
        (Some(_), reason::SECRET_SYNCED_ERROR) => reason::RESOURCE_SYNCED_ERROR,
        (Some(_), reason::SECRET_DELETED) => reason::RESOURCE_DELETED,
        (Some(_), reason::SECRET_MISSING) => reason::RESOURCE_MISSING,
        (Some(_), reason) => reason,
    }
}

/// The event about a Secret that was deleted because the target has another name by now.
#[must_use]
pub fn left_over_event() -> EventText {
    EventText {
        warning: false,
        reason: reason::DELETED,
        message: LEFT_OVER.to_owned(),
    }
}

fn retained(object: &ExternalSecret) -> &'static str {
    let target = object.spec.target.as_ref();
    match target.and_then(|t| t.deletion_policy).unwrap_or_default() {
        DeletionPolicy::Retain => "secret retained due to DeletionPolicy=Retain",
        DeletionPolicy::Delete | DeletionPolicy::Merge => {
            "secret retained: what was read is empty, and no object is said not to exist"
        }
    }
}

/// Events about entries that were passed over because their objects do not exist, where that changed the target or the
/// ExternalSecret was changed; a refresh that finds the same once more is no news.
#[must_use]
pub fn missing_events(
    observed: &Observed,
    written: Written,
    missing: &[Missing],
) -> Vec<EventText> {
    let changed = matches!(
        written,
        Written::Created | Written::Updated | Written::Deleted
    );
    let status = observed.object.status.as_ref();
    let seen = status.and_then(|s| s.synced_resource_version.as_ref());
    if !changed && seen == Some(&plan::current_version(&observed.object)) {
        return Vec::new();
    }
    let event = |missing: &Missing| {
        // The peer speaks of dataFrom for an entry of data too; the same words are kept for whoever filters by them.
        let place = match missing.position {
            Position::Data(index) => format!("dataFrom[{index}] (key={})", missing.key),
            Position::Extract(index) | Position::Find(index) => format!("dataFrom[{index}]"),
        };
        let text = format!("secret does not exist at provider using spec.{place}");
        EventText {
            warning: false,
            reason: reason::MISSING_PROVIDER_SECRET,
            message: one_line(&text, 1000),
        }
    };
    missing.iter().map(event).collect()
}

/// Says in the Ready condition what optional entries did without; nothing where they lacked nothing.
pub fn say_omitted(conclusion: &mut Conclusion, omitted: Omitted) {
    let count = |n: usize, what: &str| (n > 0).then(|| format!("{what}: {n}"));
    let said = [
        count(omitted.left_out, "optional entries left out"),
        count(omitted.defaulted, "entries with their default"),
    ];
    let said: Vec<String> = said.into_iter().flatten().collect();
    let conditions = conclusion.status.conditions.iter_mut().flatten();
    for condition in conditions.filter(|c| c.type_ == "Ready" && c.status == "True") {
        if let Some(message) = condition.message.as_mut().filter(|_| !said.is_empty()) {
            *message = format!("{message}; {}", said.join(", "));
        }
    }
}

fn next_after_success(observed: &Observed) -> Next {
    let interval = plan::interval(&observed.object).unwrap_or(Duration::ZERO);
    let periodic =
        observed.object.spec.refresh_policy.unwrap_or_default() == RefreshPolicy::Periodic;
    if !periodic || interval.is_zero() {
        return Next::OnChange;
    }
    Next::At(schedule::next_due(
        floor(observed.now),
        interval,
        &plan::seed(&observed.object),
    ))
}

fn failed(observed: &Observed, failure: &Failure) -> Conclusion {
    let mut status = observed.object.status.clone().unwrap_or_default();
    let old = status.conditions.clone();
    let message = failure.to_string();
    let reason = match failure.code {
        Code::MassAbsence => reason::MASS_ABSENCE,
        Code::AccessDenied | Code::AccessInvalid => reason::STORE_ACCESS_DENIED,
        _ => reason_for(manifest(observed).as_ref(), reason::SECRET_SYNCED_ERROR),
    };
    let ready = ready(observed, false, reason, &message);
    let conditions = merged(status.conditions.take(), ready);
    let changed = old.as_ref() != Some(&conditions);
    status.conditions = Some(conditions);
    Conclusion {
        status,
        events: if changed {
            vec![EventText {
                warning: true,
                reason: match reason {
                    reason::STORE_ACCESS_DENIED => reason,
                    _ => reason::UPDATE_FAILED,
                },
                message: one_line(&message, 1000),
            }]
        } else {
            Vec::new()
        },
        next: next_after_failure(observed, failure),
    }
}

fn next_after_failure(observed: &Observed, failure: &Failure) -> Next {
    match failure.code.retry() {
        Retry::OnChange => Next::OnChange,
        Retry::Backoff => Next::Backoff {
            after: failure.retry_after,
        },
        Retry::AtInterval => {
            let interval = plan::interval(&observed.object)
                .ok()
                .filter(|i| !i.is_zero())
                .unwrap_or(RETRY_AT_MOST);
            let wait = interval.min(RETRY_AT_MOST).max(Duration::from_secs(1));
            Next::At(later(observed.now, wait))
        }
    }
}

fn later(now: Timestamp, wait: Duration) -> Timestamp {
    let ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
    now.checked_add(ms.milliseconds()).unwrap_or(Timestamp::MAX)
}

/// Times in a status have whole seconds.
fn floor(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

pub(crate) fn seconds(time: Timestamp) -> String {
    floor(time).to_string()
}

fn ready(observed: &Observed, is: bool, reason: &str, message: &str) -> Condition {
    condition(
        is,
        reason,
        message,
        observed.object.metadata.generation,
        observed.now,
    )
}

fn condition(
    is: bool,
    reason: &str,
    message: &str,
    generation: Option<i64>,
    now: Timestamp,
) -> Condition {
    Condition {
        type_: "Ready".to_owned(),
        status: if is { "True" } else { "False" }.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_transition_time: Some(seconds(now)),
        observed_generation: generation,
    }
}

/// Puts a condition in its place; the time of the last transition moves only with the status, and conditions of other
/// types stay.
fn merged(old: Option<Vec<Condition>>, mut new: Condition) -> Vec<Condition> {
    let mut conditions = old.unwrap_or_default();
    match conditions.iter_mut().find(|c| c.type_ == new.type_) {
        Some(place) => {
            if place.status == new.status && place.last_transition_time.is_some() {
                new.last_transition_time = place.last_transition_time.take();
            }
            *place = new;
        }
        None => conditions.push(new),
    }
    conditions
}

/// What is said of a store after it was checked: its status, and events where something changed.
#[must_use]
pub fn store_status(
    old: Option<&SecretStoreStatus>,
    generation: Option<i64>,
    result: Result<Offer, &Failure>,
    now: Timestamp,
) -> (SecretStoreStatus, Vec<EventText>) {
    let mut status = old.cloned().unwrap_or_default();
    let was = status.conditions.clone();
    // The peer's texts, and why.
    let (usable, reason, message) = match result {
        Ok(_) => (true, reason::VALID, "store validated".to_owned()),
        Err(failure) if is_unknown(failure) => {
            let text = format!("could not determine validation status: {failure}");
            (true, reason::VALIDATION_UNKNOWN, text)
        }
        Err(failure) => {
            let tried = if failure.stage == Stage::Probe {
                "unable to validate store"
            } else {
                "unable to create client"
            };
            let text = format!("{tried}: {failure}");
            (false, reason::INVALID_PROVIDER_CONFIG, text)
        }
    };
    if let Ok(offer) = result {
        status.capabilities = Some(offer.capability.as_str().to_owned());
    }
    let conditions = merged(
        status.conditions.take(),
        condition(usable, reason, &message, generation, now),
    );
    let changed = was.as_ref() != Some(&conditions);
    status.conditions = Some(conditions);
    let mut events = Vec::new();
    if changed {
        events.extend(result.ok().and_then(|offer| upkeep(offer.upkeep)));
        events.push(EventText {
            warning: result.is_err(),
            reason,
            message: one_line(&message, 1000),
        });
    }
    (status, events)
}

/// The event about a provider that nobody looks after, in the peer's words.
fn upkeep(upkeep: Upkeep) -> Option<EventText> {
    let (reason, message) = match upkeep {
        Upkeep::Maintained => return None,
        Upkeep::NotMaintained => (
            reason::STORE_UNMAINTAINED,
            "store isn't currently maintained. Please plan and prepare accordingly.",
        ),
        Upkeep::Deprecated => (
            reason::STORE_DEPRECATED,
            "store is deprecated and will be removed on the next minor release. Please plan and prepare accordingly.",
        ),
    };
    Some(EventText {
        warning: true,
        reason,
        message: message.to_owned(),
    })
}

/// Whether a failed check leaves open if the store can be used, because its provider cannot tell.
#[must_use]
pub fn is_unknown(failure: &Failure) -> bool {
    failure.stage == Stage::Probe && failure.code == Code::Unsupported
}

/// Whether a store's status says that it can be used; if not, why.
pub fn store_is_ready(status: Option<&SecretStoreStatus>) -> Result<(), String> {
    let ready = status
        .and_then(|s| s.conditions.as_ref())
        .and_then(|c| c.iter().find(|c| c.type_ == "Ready"));
    match ready {
        Some(condition) if condition.status == "True" => Ok(()),
        Some(condition) => Err(condition.message.clone().unwrap_or_default()),
        None => Err("it has not been checked yet".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offer::Capability;

    #[test]
    fn a_store_is_told_apart_by_what_was_tried() {
        let table = [
            (
                Stage::Check,
                Code::InvalidConfig,
                "False",
                "InvalidProviderConfig",
                "unable to create client: why",
            ),
            (
                Stage::Login,
                Code::Denied,
                "False",
                "InvalidProviderConfig",
                "unable to create client: why",
            ),
            (
                Stage::Probe,
                Code::Denied,
                "False",
                "InvalidProviderConfig",
                "unable to validate store: why",
            ),
            (
                Stage::Probe,
                Code::Unsupported,
                "True",
                "ValidationUnknown",
                "could not determine validation status: why",
            ),
        ];
        for (stage, code, status, reason, text) in table {
            let failure = Failure::new(stage, code, "why");
            let (said, events) = store_status(None, Some(1), Err(&failure), Timestamp::UNIX_EPOCH);
            let ready = &said.conditions.unwrap()[0];
            assert_eq!(
                (ready.status.as_str(), ready.reason.as_deref()),
                (status, Some(reason))
            );
            assert!(
                ready.message.as_ref().unwrap().starts_with(text),
                "{ready:?}"
            );
            assert_eq!((events[0].warning, said.capabilities), (true, None));
        }
        let offer = Offer::default();
        let (said, events) = store_status(None, Some(1), Ok(offer), Timestamp::UNIX_EPOCH);
        assert_eq!(
            (said.capabilities.as_deref(), events[0].warning),
            (Some("ReadOnly"), false)
        );
        assert_eq!(
            store_status(Some(&said), Some(1), Ok(offer), Timestamp::MAX),
            (said, vec![])
        );
    }

    #[test]
    fn a_store_says_what_its_plugin_says_of_its_provider() {
        let offer = Offer {
            capability: Capability::ReadWrite,
            upkeep: Upkeep::NotMaintained,
        };
        let (said, events) = store_status(None, Some(1), Ok(offer), Timestamp::UNIX_EPOCH);
        assert_eq!(said.capabilities.as_deref(), Some("ReadWrite"));
        let said: Vec<_> = events.iter().map(|e| (e.warning, e.reason)).collect();
        assert_eq!(said, [(true, "StoreUnmaintained"), (false, "Valid")]);
    }
}
