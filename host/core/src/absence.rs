//! When the word of a backend that an object does not exist is believed.
//!
//! Counts in, verdict out. Who counted, and when the second fetch is made, is `postern-sync`'s; what is deleted, the
//! target's. Only [`Code::Absent`] is an absence: every other failure leaves the target as it is.

use std::time::Duration;

use postern_api::external_secret::DeletionPolicy;

use crate::failure::{Code, Failure, Stage};
use crate::plan::{Position, SyncPlan};
use crate::plugin::{Digest, Part};
use crate::template::Desired;

/// Annotation that accepts absences which the brake holds back: `true`, or the digest of the plugin that says so.
pub const ANNOTATION_ACCEPT: &str = "postern.dev/accept-absence";

/// Fewer objects than this never count as many: who deletes three of four secrets usually means it.
const AT_LEAST: usize = 5;

/// How an ExternalSecret takes it that an object does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// What then becomes of the target.
    pub policy: DeletionPolicy,
    /// How long an absence that is held back has to last; the refresh interval.
    pub interval: Duration,
    /// A target exists that an absence would delete or take keys from.
    pub at_stake: bool,
}

impl Rule {
    /// Whether the target may lose something because an object does not exist.
    #[must_use]
    pub fn forgives(&self) -> bool {
        self.policy != DeletionPolicy::Retain
    }
}

/// What a sync comes to, before it is held against what exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Produced {
    /// What the target shall be; none where it shall not be.
    pub target: Option<Desired>,
    /// The entries whose objects do not exist.
    pub missing: Vec<Missing>,
}

/// An entry whose object does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Where it stands.
    pub position: Position,
    /// The provider's name of the object.
    pub key: String,
}

/// How many objects of one identity are known, and how many of them have turned absent in this pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Objects that once had a value.
    pub known: usize,
    /// Those of them that are now said not to exist.
    pub turned: usize,
}

impl Share {
    const fn is_mass(self) -> bool {
        self.turned >= AT_LEAST && self.turned * 2 > self.known
    }
}

/// What there is to know about one absence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// This identity (and so this revision of the plugin) has once had a value of the object.
    pub known: bool,
    /// For how long it has been held back.
    pub held: Option<Duration>,
    /// Among all objects of the identity.
    pub all: Share,
    /// Among those that were asked together with it.
    pub sample: Share,
}

/// Whether an absence is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is; the target may lose what came from it.
    Believe,
    /// It is not yet.
    Hold(Why),
}

/// Why an absence is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// This revision of the plugin has never had a value of it.
    FirstPass,
    /// Too many objects are gone at once.
    Mass(Share),
    /// It was held back before, and its time has not come.
    Still,
}

/// Decides. Once held back, an absence is believed when it has lasted for an interval.
#[must_use]
pub fn judge(evidence: &Evidence, interval: Duration) -> Verdict {
    match evidence.held {
        Some(held) if lasted(held, interval) => Verdict::Believe,
        Some(_) => Verdict::Hold(match mass(evidence) {
            Some(share) => Why::Mass(share),
            None if !evidence.known => Why::FirstPass,
            None => Why::Still,
        }),
        None => match mass(evidence) {
            Some(share) => Verdict::Hold(Why::Mass(share)),
            None if !evidence.known => Verdict::Hold(Why::FirstPass),
            None => Verdict::Believe,
        },
    }
}

fn mass(evidence: &Evidence) -> Option<Share> {
    [evidence.all, evidence.sample]
        .into_iter()
        .find(|share| share.is_mass())
}

/// A tenth of the interval is let off: the next sync is due an interval after the last one began, not after it ended.
fn lasted(held: Duration, interval: Duration) -> bool {
    held.saturating_add(interval / 10) >= interval
}

/// Whether an annotation accepts what this revision of a plugin says.
#[must_use]
pub fn accepts(annotation: Option<&str>, plugin: &Digest) -> bool {
    annotation.is_some_and(|text| text == "true" || text == plugin.as_str())
}

/// The failure that says that nothing was deleted, why, and how to have it done at once.
#[must_use]
pub fn held_back(why: Why, key: &str, store: &str, plugin: &Digest) -> Failure {
    let what = match why {
        Why::FirstPass => {
            format!(
                "key \"{key}\" of {store} is said not to exist, and has not been seen since this plugin began to ask"
            )
        }
        Why::Mass(share) => format!(
            "key \"{key}\" of {store} is said not to exist, and so are {} of {} objects that had values",
            share.turned, share.known
        ),
        Why::Still => {
            format!("key \"{key}\" of {store} is said not to exist since less than an interval")
        }
    };
    Failure::new(
        Stage::Fetch,
        Code::MassAbsence,
        format!(
            "{what}; nothing is deleted until it is still so after another refresh interval, or the ExternalSecret has the annotation {ANNOTATION_ACCEPT}={}",
            plugin.as_str()
        ),
    )
}

/// The positions of answers that say that their object does not exist. None where another answer failed for another
/// reason: then the sync fails, and no absence matters.
#[must_use]
pub fn absences(answers: &[Result<Part, Failure>]) -> Vec<usize> {
    let code = |answer: &Result<Part, Failure>| match answer {
        Err(failure) | Ok(Part::Failed(failure)) => Some(failure.code),
        Ok(_) => None,
    };
    let failed = || {
        answers
            .iter()
            .enumerate()
            .filter_map(|(at, a)| Some((at, code(a)?)))
    };
    if failed().any(|(_, code)| code != Code::Absent) {
        return Vec::new();
    }
    failed().map(|(at, _)| at).collect()
}

/// The entries at these positions.
#[must_use]
pub fn missing(plan: &SyncPlan, positions: &[usize]) -> Vec<Missing> {
    let entry = |at: &usize| {
        Some(Missing {
            position: plan.entries.get(*at)?.position,
            key: plan.reads.get(*at)?.key.clone(),
        })
    };
    positions.iter().filter_map(entry).collect()
}

/// Whether the target shall not be: by policy, and because nothing of all that it is made of exists.
#[must_use]
pub fn is_gone(plan: &SyncPlan, missing: &[Missing]) -> bool {
    plan.absence.policy == DeletionPolicy::Delete
        && !plan.reads.is_empty()
        && missing.len() == plan.reads.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(turned: usize, known: usize) -> Share {
        Share { known, turned }
    }

    #[test]
    fn a_single_absence_is_believed_and_many_or_unknown_ones_are_held_for_an_interval() {
        let minutes = |n: u64| Some(Duration::from_secs(n * 60));
        let table = [
            ("one of ten", true, None, share(1, 10), share(1, 10), true),
            (
                "three of four: fewer than five",
                true,
                None,
                share(3, 4),
                share(3, 4),
                true,
            ),
            ("four of four", true, None, share(4, 4), share(4, 4), true),
            ("five of five", true, None, share(5, 5), share(5, 5), false),
            (
                "five of ten is not more than half",
                true,
                None,
                share(5, 10),
                share(5, 10),
                true,
            ),
            ("six of ten", true, None, share(6, 10), share(6, 10), false),
            (
                "many of those that were asked",
                true,
                None,
                share(40, 5000),
                share(40, 64),
                false,
            ),
            ("never seen", false, None, share(0, 0), share(0, 0), false),
            (
                "never seen among many known",
                false,
                None,
                share(0, 10),
                share(0, 10),
                false,
            ),
            (
                "held too short",
                true,
                minutes(30),
                share(6, 10),
                share(6, 10),
                false,
            ),
            (
                "held too short, though the others are back",
                true,
                minutes(30),
                share(1, 10),
                share(1, 10),
                false,
            ),
            (
                "held for an interval",
                true,
                minutes(60),
                share(6, 10),
                share(6, 10),
                true,
            ),
            (
                "held for nearly an interval",
                true,
                minutes(55),
                share(6, 10),
                share(6, 10),
                true,
            ),
            (
                "never seen, for an interval",
                false,
                minutes(60),
                share(0, 0),
                share(0, 0),
                true,
            ),
        ];
        for (name, known, held, all, sample, believed) in table {
            let evidence = Evidence {
                known,
                held,
                all,
                sample,
            };
            let verdict = judge(&evidence, Duration::from_secs(3600));
            assert_eq!(verdict == Verdict::Believe, believed, "{name}: {verdict:?}");
        }
    }

    #[test]
    fn an_annotation_accepts_everything_or_one_revision() {
        let (this, other) = (Digest::of(b"this"), Digest::of(b"other"));
        assert!(accepts(Some("true"), &this));
        assert!(accepts(Some(this.as_str()), &this));
        assert!(!accepts(Some(other.as_str()), &this));
        assert!(!accepts(Some(""), &this) && !accepts(None, &this));
    }

    #[test]
    fn another_failure_beside_an_absence_leaves_no_absence() {
        let failed = |code| Err(Failure::new(Stage::Fetch, code, "x"));
        let value = || Ok(Part::Value("v".into()));
        assert_eq!(absences(&[value(), failed(Code::Absent)]), [1]);
        for code in Code::ALL.iter().filter(|code| **code != Code::Absent) {
            assert!(absences(&[failed(*code), failed(Code::Absent), value()]).is_empty());
        }
        let part = Ok(Part::Failed(Failure::new(Stage::Fetch, Code::Denied, "x")));
        assert!(absences(&[part, failed(Code::Absent)]).is_empty());
    }

    #[test]
    fn what_is_held_back_says_how_to_accept_it() {
        let digest = Digest::of(b"this");
        let failure = held_back(
            Why::Mass(share(6, 10)),
            "db",
            "SecretStore \"corp\"",
            &digest,
        );
        assert!(failure.public.contains("6 of 10"), "{failure}");
        assert!(
            failure
                .public
                .contains(&format!("{ANNOTATION_ACCEPT}={}", digest.as_str())),
            "{failure}"
        );
    }
}
