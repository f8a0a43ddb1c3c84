//! What a Plugin's status says of the steps on the way to serving. Pure: steps and their results in, conditions out.

use jiff::Timestamp;
use postern_api::plugin::{AskStatus, RevisionStatus};
use postern_api::{Condition, names::reason};

use crate::failure::{Code, Failure, Stage, one_line};
use crate::grant;
use crate::plugin::{Ask, Digest, Revision};
use crate::store::StoreId;

/// A step on the way to serving, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The source names a digest, and its bytes were fetched.
    Resolved,
    /// The component was compiled, linked, and has described itself.
    Compiled,
    /// Grants answer what it asks for.
    Granted,
    /// The stores that it will serve go together with it.
    Probed,
    /// A revision serves.
    Active,
}

impl Step {
    /// All, in order.
    pub const ALL: [Self; 5] = [
        Self::Resolved,
        Self::Compiled,
        Self::Granted,
        Self::Probed,
        Self::Active,
    ];

    /// The condition's type.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolved => "Resolved",
            Self::Compiled => "Compiled",
            Self::Granted => "Granted",
            Self::Probed => "Probed",
            Self::Active => "Active",
        }
    }
}

/// Why a step is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Which step.
    pub step: Step,
    /// One word of a closed set.
    pub reason: &'static str,
    /// What went wrong.
    pub failure: Failure,
}

impl Stop {
    /// A step that failed.
    #[must_use]
    pub const fn failed(step: Step, failure: Failure) -> Self {
        Self {
            step,
            reason: reason::FAILED,
            failure,
        }
    }

    /// It waits for a grant; the text holds the manifest to apply.
    #[must_use]
    pub fn awaiting_grant(plugin: &str, asks: &[Ask], awaited: &[Ask]) -> Self {
        let list: Vec<String> = awaited
            .iter()
            .map(|a| format!("{} {}", a.kind, a.what).trim().to_owned())
            .collect();
        let text = format!(
            "it asks for {}, which no PluginGrant allows; if that is right, apply:\n{}",
            list.join(", "),
            grant::suggestion(plugin, asks)
        );
        Self {
            step: Step::Granted,
            reason: reason::AWAITING_GRANT,
            // The manifest keeps its lines, so that it can be applied as it stands.
            failure: Failure {
                public: text,
                ..Failure::new(Stage::Check, Code::EgressDenied, "")
            },
        }
    }

    /// Another Plugin has one of its keys; `why` says what that one has before it.
    #[must_use]
    pub fn key_taken(other: &str, key: &str, why: &str) -> Self {
        let text = format!(
            "Plugin {other} {why} and serves \"{key}\"; delete one of the two, or let them serve different keys"
        );
        Self {
            step: Step::Resolved,
            reason: reason::KEY_TAKEN,
            failure: Failure::new(Stage::Check, Code::InvalidSpec, text),
        }
    }

    /// A store that can be used now could not be used through this revision.
    #[must_use]
    pub fn store_rejected(store: &StoreId, revision: &Revision, failure: Failure) -> Self {
        let Revision { descriptor, .. } = revision;
        Self {
            step: Step::Probed,
            reason: reason::STORE_REJECTED,
            failure: Failure {
                public: format!(
                    "{store}, which can be used now, does not go together with {} {}: {}",
                    descriptor.name, descriptor.version, failure.public
                ),
                ..failure
            },
        }
    }
}

/// How the step `Active` stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serving {
    /// Whether a revision serves.
    pub is: bool,
    /// One word of a closed set.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// The longest message of a condition here: a grant's manifest must fit in whole.
const MESSAGE: usize = 4000;

/// The five conditions: all steps before `stop` are done, those after it wait, and `serving` stands by itself.
#[must_use]
pub fn conditions(
    old: Option<&[Condition]>,
    stop: Option<&Stop>,
    serving: &Serving,
    generation: i64,
    now: Timestamp,
) -> Vec<Condition> {
    let said = |step: Step| -> (&'static str, &'static str, String) {
        match stop {
            _ if step == Step::Active => (
                if serving.is { "True" } else { "False" },
                serving.reason,
                serving.message.clone(),
            ),
            Some(stop) if stop.step == step => ("False", stop.reason, stop.failure.to_string()),
            Some(stop) if stop.step < step => (
                "Unknown",
                reason::WAITING,
                format!("waits for {}", stop.step.as_str()),
            ),
            Some(_) | None => ("True", reason::DONE, String::new()),
        }
    };
    let make = |step: Step| {
        let (status, reason, message) = said(step);
        let before = old.into_iter().flatten().find(|c| c.type_ == step.as_str());
        let since = before
            .filter(|c| c.status == status)
            .and_then(|c| c.last_transition_time.clone());
        Condition {
            type_: step.as_str().to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(limited(&message)),
            last_transition_time: since.or_else(|| Some(seconds(now))),
            observed_generation: Some(generation),
        }
    };
    Step::ALL.into_iter().map(make).collect()
}

/// The lines of a manifest are kept; everything else is short anyway.
fn limited(message: &str) -> String {
    let mut end = message.len().min(MESSAGE);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message[..end].to_owned()
}

/// RFC 3339 to the second, as conditions have it.
#[must_use]
pub fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A revision as the status shows it.
#[must_use]
pub fn revision_status(revision: &Revision, manifest: Option<&Digest>) -> RevisionStatus {
    RevisionStatus {
        digest: revision.digest.as_str().to_owned(),
        manifest_digest: manifest.map(|d| d.as_str().to_owned()),
        version: Some(revision.descriptor.version.clone()),
        asks: revision.descriptor.asks.iter().map(ask_status).collect(),
    }
}

fn ask_status(ask: &Ask) -> AskStatus {
    AskStatus {
        kind: one_line(&ask.kind, 64),
        what: one_line(&ask.what, 253),
        why: one_line(&ask.why, 200),
    }
}

#[cfg(test)]
mod tests {
    use crate::failure::{Code, Stage};

    use super::*;

    const SERVING: Serving = Serving {
        is: true,
        reason: reason::LAST_GOOD,
        message: String::new(),
    };

    #[test]
    fn steps_before_the_stop_are_done_and_those_after_it_wait() {
        let failure = Failure::new(Stage::Check, Code::PluginInvalid, "no");
        let stop = Stop::failed(Step::Granted, failure);
        let now = Timestamp::from_second(1).unwrap();
        let said: Vec<_> = conditions(None, Some(&stop), &SERVING, 3, now)
            .into_iter()
            .map(|c| (c.type_, c.status))
            .collect();
        let expected = [
            ("Resolved", "True"),
            ("Compiled", "True"),
            ("Granted", "False"),
            ("Probed", "Unknown"),
            ("Active", "True"),
        ];
        assert_eq!(said, expected.map(|(t, s)| (t.to_owned(), s.to_owned())));
    }

    #[test]
    fn a_condition_that_stays_keeps_its_time() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let first = conditions(None, None, &SERVING, 1, at(1));
        let second = conditions(Some(&first), None, &SERVING, 1, at(60));
        assert_eq!(first, second);
    }
}
