//! When the word of a backend that an object does not exist is believed.
//!
//! Counts in, verdict out. Who counted, and when the second fetch is made, is `postern-sync`'s; what is deleted, the
//! target's. Only [`Code::Absent`] is an absence: every other failure leaves the target as it is.

use std::time::Duration;

use postern_api::external_secret::{CreationPolicy, DeletionPolicy};

use crate::failure::{Code, Failure, Stage};
use crate::generic;
use crate::plan::{Entry, Position, SyncPlan, WhenAbsent};
use crate::plugin::{Digest, Part};
use crate::shape::{Data, EntryFate, Omitted};
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
    /// What becomes of the target.
    pub target: Fate,
    /// The entries whose objects do not exist.
    pub missing: Vec<Missing>,
    /// What optional entries did without.
    pub omitted: Omitted,
    /// What became of each entry, in the plan's order.
    pub fates: Vec<EntryFate>,
}

/// What becomes of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It shall be this.
    Written(Desired),
    /// It is no Secret, and shall be this.
    Manifested(Box<generic::Desired>),
    /// It shall not be.
    Deleted,
    /// It stays as it is: there is nothing to make it of, and the deletion policy does not empty it.
    Retained,
}

impl Fate {
    /// What the target shall be, where it is to be written.
    #[must_use]
    pub fn desired(self) -> Option<Desired> {
        match self {
            Self::Written(desired) => Some(desired),
            Self::Manifested(_) | Self::Deleted | Self::Retained => None,
        }
    }
}

/// Whether a target stays as it is, because there is nothing to make it of. Only policy Merge empties it; under Delete it
/// goes where every object is gone, which [`is_gone`] says, and else it is not blanked either.
#[must_use]
pub fn is_retained(plan: &SyncPlan, data: &Data) -> bool {
    data.is_empty() && plan.absence.policy != DeletionPolicy::Merge
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
    /// This revision of the plugin has once had a value of the object.
    pub known: bool,
    /// It has once served the whole ExternalSecret, so that nothing of its target came from an object that is not known.
    pub served: bool,
    /// It has had a value since the store's config or credential was changed: it asks at a place where something is.
    pub works: bool,
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
    /// This revision of the plugin has never had a value of it, or none of anything since the store was changed.
    FirstPass,
    /// Too many objects are gone at once.
    Mass(Share),
    /// It was held back before, and its time has not come.
    Still,
}

impl Evidence {
    /// Whether this is a first look, which says nothing: no value has been had of the object, or none at all as whom is
    /// asked now.
    const fn is_first_look(&self) -> bool {
        !(self.works && (self.known || self.served))
    }
}

/// Decides. Once held back, an absence is believed when it has lasted for an interval.
#[must_use]
pub fn judge(evidence: &Evidence, interval: Duration) -> Verdict {
    match evidence.held {
        Some(held) if lasted(held, interval) => Verdict::Believe,
        Some(_) => Verdict::Hold(match mass(evidence) {
            Some(share) => Why::Mass(share),
            None if evidence.is_first_look() => Why::FirstPass,
            None => Why::Still,
        }),
        None => match mass(evidence) {
            Some(share) => Verdict::Hold(Why::Mass(share)),
            None if evidence.is_first_look() => Verdict::Hold(Why::FirstPass),
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
                "key \"{key}\" of {store} is said not to exist, and has not been seen since this plugin began to ask with this config and credential"
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

/// How an answer stands to an absence.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It takes nothing from the target.
    Fine,
    /// The target may lose what came from it.
    Absent,
    /// The sync fails for it.
    Failed,
}

/// A search that finds nothing is an absence where nothing less would let the target go: its objects may have been there.
fn standing(plan: &SyncPlan, at: usize, answer: &Result<Part, Failure>) -> Standing {
    let (Some(read), Some(entry)) = (plan.reads.get(at), plan.entries.get(at)) else {
        return Standing::Failed;
    };
    match answer {
        Err(failure) | Ok(Part::Failed(failure)) => {
            let taken = entry.when_absent.takes(failure.code, answer.is_ok());
            match failure.code {
                Code::Absent if taken || plan.absence.forgives() => Standing::Absent,
                _ if taken => Standing::Fine,
                _ => Standing::Failed,
            }
        }
        Ok(Part::Members(found)) if found.is_empty() && read.is_search() => {
            if plan.absence.forgives() {
                Standing::Absent
            } else {
                Standing::Fine
            }
        }
        Ok(Part::Members(_) | Part::Value(_)) => Standing::Fine,
    }
}

/// The positions whose objects do not exist, where that is passed over: by the deletion policy, or because the entry is
/// optional. None where another answer fails the sync: then no absence matters.
#[must_use]
pub fn absences<'a>(
    plan: &SyncPlan,
    answers: impl IntoIterator<Item = (usize, &'a Result<Part, Failure>)>,
) -> Vec<usize> {
    let mut absent = Vec::new();
    for (at, answer) in answers {
        match standing(plan, at, answer) {
            Standing::Fine => {}
            Standing::Absent => absent.push(at),
            Standing::Failed => return Vec::new(),
        }
    }
    absent
}

/// The entries at these positions, without searches that found nothing and entries that are optional: those are no news.
#[must_use]
pub fn missing(
    plan: &SyncPlan,
    positions: &[usize],
    answers: &[Result<Part, Failure>],
) -> Vec<Missing> {
    let entry = |at: &usize| {
        let entry = plan.entries.get(*at)?;
        let failed = matches!(answers.get(*at)?, Err(_) | Ok(Part::Failed(_)));
        (failed && entry.when_absent == WhenAbsent::Fail).then_some(Missing {
            position: entry.position,
            key: plan.reads.get(*at)?.key().to_owned(),
        })
    };
    positions.iter().filter_map(entry).collect()
}

/// Whether the target shall not be: by policy, and because nothing of all that it is made of exists. Errors: only what is
/// wholly ours can be deleted.
pub fn is_gone(plan: &SyncPlan, absent: &[usize]) -> Result<bool, Failure> {
    let has_default = |entry: &Entry| matches!(entry.when_absent, WhenAbsent::Default(_));
    let gone = plan.absence.policy == DeletionPolicy::Delete
        && !plan.reads.is_empty()
        && absent.len() == plan.reads.len()
        && !plan.entries.iter().any(has_default);
    if gone && plan.creation != CreationPolicy::Owner {
        let text = format!(
            "could not delete secret \"{}\": the backend has nothing for it, and deletionPolicy Delete needs creationPolicy Owner",
            plan.target_name
        );
        return Err(Failure::new(Stage::Commit, Code::TargetOwned, text));
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {

    use postern_api::external_secret::StoreKind;

    use super::*;
    use crate::plan::{Object, Read, Wanted};
    use crate::plugin::{Pick, Query};
    use crate::store::StoreId;

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
                served: false,
                works: true,
                held,
                all,
                sample,
            };
            let verdict = judge(&evidence, Duration::from_secs(3600));
            assert_eq!(verdict == Verdict::Believe, believed, "{name}: {verdict:?}");
        }
    }

    #[test]
    fn a_first_look_is_believed_only_of_one_who_has_had_values_and_served_the_whole() {
        let believed = |works, known, served| {
            let evidence = Evidence {
                known,
                served,
                works,
                held: None,
                all: share(1, 10),
                sample: share(1, 10),
            };
            judge(&evidence, Duration::from_secs(3600)) == Verdict::Believe
        };
        assert!(believed(true, true, false) && believed(true, false, true));
        assert!(!believed(true, false, false));
        assert!(!believed(false, true, true));
    }

    #[test]
    fn an_annotation_accepts_everything_or_one_revision() {
        let (this, other) = (Digest::of(b"this"), Digest::of(b"other"));
        assert!(accepts(Some("true"), &this));
        assert!(accepts(Some(this.as_str()), &this));
        assert!(!accepts(Some(other.as_str()), &this));
        assert!(!accepts(Some(""), &this) && !accepts(None, &this));
    }

    fn plan(policy: DeletionPolicy, entries: Vec<Entry>) -> SyncPlan {
        let store = StoreId::from_ref(StoreKind::SecretStore, "s", "team");
        let read = |entry: &Entry| Read {
            store: store.clone(),
            within: None,
            wanted: match entry.position {
                Position::Find(_) => Wanted::Search(Query::default()),
                _ => Wanted::Object(Object {
                    key: "db".into(),
                    version: None,
                    metadata: false,
                    pick: Pick {
                        property: None,
                        members: false,
                    },
                }),
            },
        };
        SyncPlan {
            reads: entries.iter().map(read).collect(),
            entries,
            absence: Rule {
                policy,
                ..Rule::default()
            },
            ..SyncPlan::plain("team", "es", "target")
        }
    }

    fn of(plan: &SyncPlan, answers: &[Result<Part, Failure>]) -> Vec<usize> {
        absences(plan, answers.iter().enumerate())
    }

    fn failure(code: Code) -> Failure {
        Failure::new(Stage::Fetch, code, "x")
    }

    #[test]
    fn another_failure_beside_an_absence_leaves_no_absence() {
        let entries = (0..3).map(|n| Entry::plain(Position::Data(n), Some("k".into())));
        let plan = plan(DeletionPolicy::Delete, entries.collect());
        let failed = |code| Err(failure(code));
        let value = || Ok(Part::Value("v".into()));
        assert_eq!(of(&plan, &[value(), failed(Code::Absent)]), [1]);
        for code in Code::ALL.iter().filter(|code| **code != Code::Absent) {
            assert!(of(&plan, &[failed(*code), failed(Code::Absent), value()]).is_empty());
        }
        let part = Ok(Part::Failed(failure(Code::Denied)));
        assert!(of(&plan, &[part, failed(Code::Absent)]).is_empty());
    }

    #[test]
    fn under_retain_only_optional_entries_do_without() {
        let mut optional = Entry::plain(Position::Data(1), Some("k".into()));
        optional.when_absent = WhenAbsent::LeaveOut;
        let find = Entry::plain(Position::Find(0), None);
        let strict = Entry::plain(Position::Data(0), Some("k".into()));
        let plan = plan(DeletionPolicy::Retain, vec![strict, optional, find]);
        let value = || Ok(Part::Value("v".into()));
        let none = || Ok(Part::Members(Vec::new()));
        let absent = || Err(failure(Code::Absent));
        assert_eq!(of(&plan, &[value(), absent(), none()]), [1]);
        assert!(of(&plan, &[absent(), absent(), none()]).is_empty());
        let no_property = || Ok(Part::Failed(failure(Code::NotFound)));
        assert!(of(&plan, &[value(), no_property(), none()]).is_empty());
    }

    #[test]
    fn a_search_that_finds_nothing_is_an_absence_where_the_target_may_go() {
        let find = Entry::plain(Position::Find(0), None);
        let none = [Ok(Part::Members(Vec::new()))];
        let delete = plan(DeletionPolicy::Delete, vec![find]);
        assert_eq!(of(&delete, &none), [0]);
        assert_eq!(is_gone(&delete, &[0]), Ok(true));
        assert!(missing(&delete, &[0], &none).is_empty());
        assert_eq!(
            missing(&delete, &[0], &[Err(failure(Code::Absent))]).len(),
            1
        );
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
