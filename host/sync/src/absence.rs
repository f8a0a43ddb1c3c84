//! Remembers which objects of a store had a value and which are said not to exist, and has an absence that would cost a
//! target something confirmed by a second fetch.
//!
//! Kept are keyed hashes of all objects, the names of a small sample, whose targets are made of them, and times; never a
//! value. A memory outlives a change of the store's config or credential, not one of the plugin. Whether an absence is believed,
//! `postern_core::absence` decides.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postern_core::absence::{self, Evidence, Share, Verdict, Why};
use postern_core::failure::{Code, Failure, Stage};
use postern_core::plan::SyncPlan;
use postern_core::plugin::{Part, Pick};
use postern_core::store::StoreId;
use tokio::time::Instant;

use crate::doors::{Doors, ask_as, asked};
use crate::fetcher::{Object, Reader, Span};
use crate::identity::Identity;
use crate::trial::{Search, Want, want};

/// Objects that are remembered of one store; beyond it, an object counts as never seen, which only holds an absence back.
const MOST: usize = 1 << 16;
/// Objects that are asked together with an absent one, to see whether it is alone.
const SAMPLE: usize = 64;

/// What the last answer was.
#[derive(Clone, Copy, Debug)]
enum State {
    Present,
    Absent {
        /// It had a value before.
        known: bool,
        since: Instant,
        /// Since when a sync has been told to wait.
        held: Option<Instant>,
    },
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    state: State,
    /// When the fetch of the last answer began; an older one that arrives later changes nothing.
    began: Instant,
}

/// What is remembered: objects, searches as wholes, and who had a target made of them.
#[derive(Hash)]
enum Thing<'a> {
    Object(&'a Object),
    Search(&'a Search),
    Served { namespace: &'a str, name: &'a str },
}

#[derive(Default)]
struct Inner {
    seen: HashMap<u64, Seen>,
    sample: HashMap<u64, (Object, Pick)>,
    /// ExternalSecrets that were synced: all that their targets are made of has been seen.
    served: HashSet<u64>,
}

/// What one revision of a plugin has said of a store's objects, to whichever of its identities.
#[derive(Default)]
pub(crate) struct Records {
    keys: RandomState,
    inner: Mutex<Inner>,
}

/// What one identity knows of its objects.
#[derive(Default)]
pub(crate) struct Memory {
    records: Arc<Records>,
    /// It has had a value itself, or needs nobody for that. One that has not may ask at the wrong place.
    works: AtomicBool,
}

impl Memory {
    /// The memory of a new identity. What was held back is held back anew: it was another's word. `self_contained` is one
    /// whose plugin has no door to anywhere: what it knows stands in the store's config.
    pub(crate) fn of(records: Arc<Records>, self_contained: bool) -> Self {
        for seen in records.lock().seen.values_mut() {
            if let State::Absent { held, .. } = &mut seen.state {
                *held = None;
            }
        }
        Self {
            records,
            works: AtomicBool::new(self_contained),
        }
    }

    /// A sync of this ExternalSecret came to its end: what it reads has been seen, or was not there and is believed not to be.
    pub(crate) fn served(&self, namespace: &str, name: &str) {
        let hash = self.hash(&Thing::Served { namespace, name });
        let mut inner = self.lock();
        if inner.served.len() < MOST {
            inner.served.insert(hash);
        }
    }

    fn has_served(&self, plan: &SyncPlan) -> bool {
        let hash = self.hash(&Thing::Served {
            namespace: &plan.namespace,
            name: &plan.name,
        });
        let inner = self.lock();
        // One that forgets objects cannot tell which it has never seen.
        inner.seen.len() < MOST && inner.served.contains(&hash)
    }

    /// An object was fetched. A failure other than an absence says nothing of whether it exists.
    pub(crate) fn saw(
        &self,
        object: &Object,
        picks: &[Pick],
        answer: &Result<Vec<Part>, Failure>,
        began: Instant,
    ) {
        let with_value = position_of_value(answer);
        if with_value.is_none() && !is_absent(answer) {
            return;
        }
        self.works.fetch_or(with_value.is_some(), Ordering::SeqCst);
        let hash = self.hash(&Thing::Object(object));
        let mut inner = self.lock();
        if !inner.note(hash, with_value.is_some(), began) {
            return;
        }
        let pick = with_value.and_then(|at| picks.get(at));
        if let Some(pick) = pick.filter(|_| inner.sample.len() < SAMPLE) {
            let chosen = || (object.clone(), pick.clone());
            inner.sample.entry(hash).or_insert_with(chosen);
        }
    }

    /// A search was made, and found something or nothing.
    pub(crate) fn searched(&self, search: &Search, found: bool, began: Instant) {
        self.works.fetch_or(found, Ordering::SeqCst);
        let hash = self.hash(&Thing::Search(search));
        self.lock().note(hash, found, began);
    }

    /// What is known about an absence, as of now. `pass` is how far back an absence counts as of the same pass.
    fn evidence(&self, thing: &Thing<'_>, pass: Duration) -> Evidence {
        let inner = self.lock();
        let (known, held) = match inner.seen.get(&self.hash(thing)).map(|s| s.state) {
            None => (false, None),
            Some(State::Present) => (true, None),
            Some(State::Absent { known, held, .. }) => (known, held.map(|at| at.elapsed())),
        };
        Evidence {
            known,
            served: false,
            works: self.works.load(Ordering::SeqCst),
            held,
            all: share(inner.seen.values(), pass),
            sample: share(inner.sample.keys().filter_map(|h| inner.seen.get(h)), pass),
        }
    }

    /// A sync has been told to wait for this.
    fn hold(&self, thing: &Thing<'_>) {
        let hash = self.hash(thing);
        if let Some(Seen {
            state: State::Absent { held, .. },
            ..
        }) = self.lock().seen.get_mut(&hash)
        {
            held.get_or_insert_with(Instant::now);
        }
    }

    /// Objects that had values when last asked. Those that are absent leave the sample once they are of an older pass.
    fn sample(&self, pass: Duration) -> Vec<(Object, Pick)> {
        let mut inner = self.lock();
        let Inner { seen, sample, .. } = &mut *inner;
        sample.retain(|hash, _| seen.get(hash).is_some_and(|s| counts(s, pass)));
        let present = |hash: &u64| {
            seen.get(hash)
                .is_some_and(|s| matches!(s.state, State::Present))
        };
        sample
            .iter()
            .filter(|(hash, _)| present(hash))
            .map(|(_, chosen)| chosen.clone())
            .collect()
    }

    fn hash(&self, thing: &Thing<'_>) -> u64 {
        self.records.keys.hash_one(thing)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.records.lock()
    }
}

impl Records {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No invariant spans a panic: each change is one insertion.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Notes whether there was a value; false where that says nothing new, or nothing more is remembered.
    fn note(&mut self, hash: u64, value: bool, began: Instant) -> bool {
        let full = self.seen.len() >= MOST;
        let old = self.seen.get(&hash).copied();
        if old.is_some_and(|old| old.began > began) || (old.is_none() && full) {
            return false;
        }
        let state = match (value, old.map(|old| old.state)) {
            (true, _) => State::Present,
            (false, Some(absent @ State::Absent { .. })) => absent,
            (false, before) => State::Absent {
                known: before.is_some(),
                since: began,
                held: None,
            },
        };
        self.seen.insert(hash, Seen { state, began });
        true
    }
}

fn share<'a>(seen: impl Iterator<Item = &'a Seen>, pass: Duration) -> Share {
    let mut share = Share::default();
    for seen in seen.filter(|seen| counts(seen, pass)) {
        share.known += 1;
        share.turned += usize::from(matches!(seen.state, State::Absent { .. }));
    }
    share
}

/// Whether it has a value, or had one until this pass.
fn counts(seen: &Seen, pass: Duration) -> bool {
    match seen.state {
        State::Present => true,
        State::Absent { known, since, .. } => known && since.elapsed() <= pass,
    }
}

fn position_of_value(answer: &Result<Vec<Part>, Failure>) -> Option<usize> {
    let parts = answer.as_deref().unwrap_or_default();
    parts
        .iter()
        .position(|part| !matches!(part, Part::Failed(_)))
}

fn is_absent(answer: &Result<Vec<Part>, Failure>) -> bool {
    match answer {
        Err(failure) => failure.code == Code::Absent,
        Ok(parts) => {
            let absent = |part: &Part| matches!(part, Part::Failed(f) if f.code == Code::Absent);
            !parts.is_empty() && parts.iter().all(absent)
        }
    }
}

/// Absences of one sync at one store.
struct Doubt<'a> {
    plan: &'a SyncPlan,
    identity: Arc<Identity>,
    reader: Arc<dyn Reader>,
    /// Positions among the plan's reads, and what is asked there.
    positions: Vec<usize>,
    wants: Vec<Want>,
}

impl Doubt<'_> {
    fn thing(&self, at: usize) -> Thing<'_> {
        match &self.wants[at] {
            Want::Object(object, _) => Thing::Object(object),
            Want::Search(search) => Thing::Search(search),
        }
    }

    /// An absence counts as of the same pass as another if they were seen within an interval, with some tolerance.
    fn pass(&self) -> Duration {
        let interval = self.plan.absence.interval;
        interval.saturating_add(interval / 10)
    }

    fn evidence(&self, n: usize) -> Evidence {
        let memory = &self.identity.fetcher.memory;
        Evidence {
            served: memory.has_served(self.plan),
            ..memory.evidence(&self.thing(n), self.pass())
        }
    }

    fn verdict(&self, n: usize) -> Verdict {
        absence::judge(&self.evidence(n), self.plan.absence.interval)
    }

    /// Whether no second fetch can help yet: something is held back already, and its time has not come.
    fn waits(&self) -> Option<Failure> {
        (0..self.positions.len()).find_map(|n| {
            self.evidence(n).held?;
            match self.verdict(n) {
                Verdict::Hold(why) => Some(self.held_back(why, n)),
                Verdict::Believe => None,
            }
        })
    }

    fn held_back(&self, why: Why, n: usize) -> Failure {
        let read = &self.plan.reads[self.positions[n]];
        let digest = &self.identity.plugin.digest;
        self.identity.fetcher.memory.hold(&self.thing(n));
        absence::held_back(why, read.key(), &read.store.to_string(), digest)
    }

    /// Fetches what is absent again, and beside it some objects that are known, so that a loss of many is seen as one.
    async fn ask_again(&self, wait: Duration) -> Vec<Result<Part, Failure>> {
        let now = Instant::now();
        let span = Span {
            due: now,
            deadline: now + wait,
        };
        let mut wants = self.wants.clone();
        let sample = self.identity.fetcher.memory.sample(self.pass());
        wants.extend(
            sample
                .into_iter()
                .map(|(object, pick)| Want::Object(object, pick)),
        );
        let mut answers = ask_as(&self.identity, &self.reader, wants, span).await;
        answers.truncate(self.positions.len());
        answers
    }

    /// Puts the second answers in the place of the first ones. Errors: an absence that is held back.
    async fn settle(&self, wait: Duration) -> Result<Vec<(usize, Result<Part, Failure>)>, Failure> {
        let annotation = self.plan.annotations.get(absence::ANNOTATION_ACCEPT);
        let digest = &self.identity.plugin.digest;
        let accepted = absence::accepts(annotation.map(String::as_str), digest);
        if !accepted && let Some(failure) = self.waits() {
            return Err(failure);
        }
        let answers = self.ask_again(wait).await;
        let still = absence::absences(self.plan, self.positions.iter().copied().zip(&answers));
        let mut held = None;
        let absent = |n: &usize| still.contains(&self.positions[*n]);
        for n in (0..self.positions.len())
            .filter(absent)
            .filter(|_| !accepted)
        {
            if let Verdict::Hold(why) = self.verdict(n) {
                held.get_or_insert(self.held_back(why, n));
            }
        }
        match held {
            Some(failure) => Err(failure),
            None => Ok(self.positions.iter().copied().zip(answers).collect()),
        }
    }
}

impl Doors {
    /// Has the absences among the answers confirmed, where they would cost the target something.
    ///
    /// Guarantees: an absence that is left among the answers was said by two fetches, the second of which began after the
    /// first had ended, and is believed. Errors: [`Code::MassAbsence`] where one is held back.
    pub(crate) async fn confirm(
        &self,
        plan: &SyncPlan,
        answers: &mut [Result<Part, Failure>],
    ) -> Result<(), Failure> {
        let absent = absence::absences(plan, answers.iter().enumerate());
        if absent.is_empty() || !plan.absence.at_stake {
            return Ok(());
        }
        let mut by_store: BTreeMap<&StoreId, Vec<usize>> = BTreeMap::new();
        for at in absent {
            by_store.entry(&plan.reads[at].store).or_default().push(at);
        }
        for (id, positions) in by_store {
            // Without its store nothing was read; an absence that cannot be confirmed must not stay.
            let store = plan.stores.get(id).ok_or_else(|| {
                Failure::new(
                    Stage::Fetch,
                    Code::Internal,
                    "a read names a store that its plan does not have",
                )
            })?;
            let (reader, identity) =
                asked(&self.preparer, store, &plan.namespace, Instant::now()).await?;
            let doubt = Doubt {
                plan,
                reader,
                identity,
                wants: positions.iter().map(|at| want(&plan.reads[*at])).collect(),
                positions,
            };
            for (at, answer) in doubt.settle(self.preparer.settings.wait_deadline).await? {
                answers[at] = answer;
            }
        }
        Ok(())
    }

    /// Notes that a sync of this plan came to its end. While a plugin is on trial another revision may have answered for it.
    pub(crate) async fn note_served(&self, plan: &SyncPlan, due: Instant) {
        for store in plan.stores.values() {
            let asked = asked(&self.preparer, store, &plan.namespace, due).await;
            if let Ok((_, identity)) = asked
                && identity.plugin.fallback.is_none()
            {
                let memory = &identity.fetcher.memory;
                memory.served(&plan.namespace, &plan.name);
            }
        }
    }
}
