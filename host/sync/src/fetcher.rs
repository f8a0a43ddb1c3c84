//! Lets all who wait for an object share one read of it, without ever handing an old value to someone who has just
//! changed something.
//!
//! One fetcher belongs to one identity. An outcome serves a sync only if its fetch began after the moment that made the
//! sync due. Outcomes are kept while a sync that was due before their fetch began is still under way, within bounds of
//! age and size, and zeroed when they are dropped. Nothing is kept between syncs. The fetcher knows neither plugins nor
//! sessions; a [`Reader`] does.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postern_core::failure::{Code, Failure, Stage};
use postern_core::plugin::{Answer, Answering, Outcome, Part, Pick, Request};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::absence::Memory;
use crate::doors::Pending;
use crate::stats::Counters;

/// Longest time that an outcome waits for a sync: longer than a sync of a busy controller waits for its turn.
const KEEP_FOR: Duration = Duration::from_secs(30);
/// Most bytes of values that one identity keeps.
const KEEP_BYTES: usize = 8 << 20;
/// How often kept outcomes are looked through when nothing else happens.
const SWEEP: Duration = Duration::from_millis(250);
/// A pause where the backend does not say how long.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause that a backend can impose.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Asks the backend; one outcome a request, in order.
pub(crate) trait Reader: Send + Sync + 'static {
    fn read<'a>(&'a self, requests: &'a [Request]) -> Answering<'a, Vec<Outcome>>;
}

/// One object, whatever is picked from it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Object {
    pub(crate) key: String,
    pub(crate) version: Option<String>,
    pub(crate) metadata: bool,
}

/// Bounds of one fetcher.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Objects that one call takes; 0 for any number.
    pub(crate) batch_size: usize,
    /// Calls at once.
    pub(crate) in_flight: usize,
    /// How long the first of a burst waits for the others.
    pub(crate) linger: Duration,
}

/// When a wish arose, and when it is of no more use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) due: Instant,
    pub(crate) deadline: Instant,
}

/// What came of one fetch of one object.
struct Fetched {
    began: Instant,
    picks: Vec<Pick>,
    answer: Result<Vec<Part>, Failure>,
}

/// How far a request has come.
#[derive(Clone)]
enum Phase {
    Queued,
    Asked,
    Done(Arc<Fetched>),
}

struct Queued {
    picks: Vec<Pick>,
    phase: watch::Sender<Phase>,
}

struct Flight {
    number: u64,
    began: Instant,
    picks: Vec<Pick>,
    phase: watch::Receiver<Phase>,
}

#[derive(Default)]
struct State {
    order: VecDeque<Object>,
    queued: HashMap<Object, Queued>,
    flights: HashMap<Object, Vec<Flight>>,
    kept: HashMap<Object, Vec<Arc<Fetched>>>,
    kept_bytes: usize,
    running: usize,
    next_number: u64,
    dispatch_planned: bool,
    sweeping: bool,
}

/// A request on its way, with those who wait for it.
struct Launched {
    object: Object,
    number: u64,
    picks: Vec<Pick>,
    phase: watch::Sender<Phase>,
}

/// Shares reads among all syncs of one identity.
pub(crate) struct Fetcher {
    state: Mutex<State>,
    paused: watch::Sender<Option<Instant>>,
    bounds: Bounds,
    pending: Arc<dyn Pending>,
    counters: Arc<Counters>,
    /// Which objects had values; fed by every fetch.
    pub(crate) memory: Memory,
}

impl Fetcher {
    pub(crate) fn new(
        bounds: Bounds,
        pending: Arc<dyn Pending>,
        counters: Arc<Counters>,
    ) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            paused: watch::Sender::new(None),
            bounds,
            pending,
            counters,
            memory: Memory::default(),
        })
    }

    /// Reads parts of objects, in order.
    ///
    /// Guarantees: each answer comes from a fetch that began after `span.due`; a caller that is dropped harms no other.
    pub(crate) async fn fetch(
        self: &Arc<Self>,
        reader: &Arc<dyn Reader>,
        wanted: Vec<(Object, Pick)>,
        span: Span,
    ) -> Vec<Result<Part, Failure>> {
        let waits: Vec<_> = {
            let mut state = self.lock();
            let waits = wanted
                .into_iter()
                .map(|(object, pick)| (self.enter(&mut state, &object, &pick, span.due), pick))
                .collect();
            self.plan_dispatch(&mut state, reader);
            waits
        };
        let answers = waits
            .into_iter()
            .map(|(phase, pick)| self.wait(phase, pick, span.deadline));
        futures::future::join_all(answers).await
    }

    /// Ends when nothing is queued or under way.
    pub(crate) async fn idle(&self) {
        loop {
            {
                let state = self.lock();
                if state.running == 0 && state.order.is_empty() {
                    return;
                }
            }
            tokio::time::sleep(SWEEP).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No invariant spans a panic: every change under the lock is complete before anything that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins a kept outcome, a fetch under way or a queued request, or queues a new one.
    fn enter(
        &self,
        state: &mut State,
        object: &Object,
        pick: &Pick,
        due: Instant,
    ) -> watch::Receiver<Phase> {
        if let Some(fetched) = state
            .kept
            .get(object)
            .and_then(|all| all.iter().find(|f| f.serves(pick, due)))
        {
            Counters::add(&self.counters.coalesced, 1);
            return watch::Sender::new(Phase::Done(fetched.clone())).subscribe();
        }
        let flights = state.flights.get(object);
        if let Some(flight) =
            flights.and_then(|all| all.iter().find(|f| f.began > due && f.picks.contains(pick)))
        {
            Counters::add(&self.counters.coalesced, 1);
            return flight.phase.clone();
        }
        if let Some(queued) = state.queued.get_mut(object) {
            Counters::add(&self.counters.coalesced, 1);
            if !queued.picks.contains(pick) {
                queued.picks.push(pick.clone());
            }
            return queued.phase.subscribe();
        }
        let phase = watch::Sender::new(Phase::Queued);
        let wait = phase.subscribe();
        state.order.push_back(object.clone());
        state.queued.insert(
            object.clone(),
            Queued {
                picks: vec![pick.clone()],
                phase,
            },
        );
        wait
    }

    async fn wait(
        &self,
        mut phase: watch::Receiver<Phase>,
        pick: Pick,
        deadline: Instant,
    ) -> Result<Part, Failure> {
        let mut paused = self.paused.subscribe();
        loop {
            let now = phase.borrow_and_update().clone();
            let queued = match now {
                Phase::Done(fetched) => return fetched.part(&pick),
                Phase::Asked => false,
                Phase::Queued => true,
            };
            let pause = *paused.borrow_and_update();
            if let Some(until) = pause.filter(|until| queued && *until > deadline) {
                return Err(rate_limited(
                    until.saturating_duration_since(Instant::now()),
                ));
            }
            tokio::select! {
                changed = phase.changed() => {
                    if changed.is_err() {
                        return Err(given_up());
                    }
                }
                _ = paused.changed(), if queued => {}
                () = tokio::time::sleep_until(deadline) => return Err(too_late(queued)),
            }
        }
    }

    /// Sees to it that what is queued will be asked: after the linger, or after the pause.
    fn plan_dispatch(self: &Arc<Self>, state: &mut State, reader: &Arc<dyn Reader>) {
        if state.dispatch_planned
            || state.order.is_empty()
            || state.running >= self.bounds.in_flight
        {
            return;
        }
        state.dispatch_planned = true;
        let at = self
            .pause()
            .unwrap_or_else(|| Instant::now() + self.bounds.linger);
        let (fetcher, reader) = (self.clone(), reader.clone());
        tokio::spawn(async move {
            tokio::time::sleep_until(at).await;
            fetcher.lock().dispatch_planned = false;
            fetcher.dispatch(&reader);
        });
    }

    /// Starts as many calls as the bounds allow.
    fn dispatch(self: &Arc<Self>, reader: &Arc<dyn Reader>) {
        let mut state = self.lock();
        if self.pause().is_some() {
            self.plan_dispatch(&mut state, reader);
            return;
        }
        while state.running < self.bounds.in_flight {
            let began = Instant::now();
            let batch = self.take_batch(&mut state, began);
            if batch.is_empty() {
                return;
            }
            state.running += 1;
            tokio::spawn(self.clone().call(reader.clone(), batch, began));
        }
    }

    fn take_batch(&self, state: &mut State, began: Instant) -> Vec<Launched> {
        let most = if self.bounds.batch_size == 0 {
            usize::MAX
        } else {
            self.bounds.batch_size
        };
        let mut batch = Vec::new();
        while batch.len() < most {
            let Some(object) = state.order.pop_front() else {
                break;
            };
            let Some(Queued { picks, phase }) = state.queued.remove(&object) else {
                continue;
            };
            if phase.receiver_count() == 0 {
                continue;
            }
            let number = state.next_number;
            state.next_number += 1;
            phase.send_replace(Phase::Asked);
            let flight = Flight {
                number,
                began,
                picks: picks.clone(),
                phase: phase.subscribe(),
            };
            state
                .flights
                .entry(object.clone())
                .or_default()
                .push(flight);
            batch.push(Launched {
                object,
                number,
                picks,
                phase,
            });
        }
        batch
    }

    async fn call(self: Arc<Self>, reader: Arc<dyn Reader>, batch: Vec<Launched>, began: Instant) {
        let requests: Vec<Request> = batch.iter().map(Launched::request).collect();
        Counters::add(&self.counters.batches, 1);
        Counters::add(&self.counters.reads, requests.len());
        // In a task of its own, so that a panic on the way ends this call and nothing else.
        let task = {
            let reader = reader.clone();
            tokio::spawn(async move { reader.read(&requests).await })
        };
        let outcomes = task.await.unwrap_or_else(|_| Err(given_up()));
        self.settle(batch, outcomes, began);
        self.dispatch(&reader);
    }

    fn settle(
        self: &Arc<Self>,
        batch: Vec<Launched>,
        outcomes: Result<Vec<Outcome>, Failure>,
        began: Instant,
    ) {
        let answers = answers(batch.len(), outcomes);
        let failed = answers.iter().filter(|a| a.is_err()).count();
        Counters::add(&self.counters.failures, failed);
        self.pause_if_asked(&answers);
        let keep = self.pending.oldest_due().is_some_and(|due| due < began);
        let mut state = self.lock();
        state.running -= 1;
        for (launched, answer) in batch.into_iter().zip(answers) {
            state.land(&launched);
            self.memory
                .saw(&launched.object, &launched.picks, &answer, began);
            let fetched = Arc::new(Fetched {
                began,
                picks: launched.picks,
                answer,
            });
            if keep {
                state.keep(launched.object, fetched.clone());
            }
            launched.phase.send_replace(Phase::Done(fetched));
        }
        self.plan_sweep(&mut state);
    }

    fn pause_if_asked(&self, answers: &[Result<Vec<Part>, Failure>]) {
        let pause = answers
            .iter()
            .filter_map(|answer| answer.as_ref().err())
            .filter(|failure| failure.code == Code::RateLimited)
            .map(|failure| failure.retry_after.unwrap_or(PAUSE).min(LONGEST_PAUSE))
            .max();
        if let Some(pause) = pause {
            let until = Instant::now() + pause;
            self.paused
                .send_modify(|old| *old = (*old).max(Some(until)));
        }
    }

    fn pause(&self) -> Option<Instant> {
        self.paused.borrow().filter(|until| *until > Instant::now())
    }

    /// Sees to it that kept outcomes are dropped when nobody can want them any more.
    fn plan_sweep(self: &Arc<Self>, state: &mut State) {
        if state.sweeping || state.kept.is_empty() {
            return;
        }
        state.sweeping = true;
        let fetcher = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                let Some(fetcher) = fetcher.upgrade() else {
                    return;
                };
                let oldest_due = fetcher.pending.oldest_due();
                let mut state = fetcher.lock();
                state.sweep(oldest_due);
                if state.kept.is_empty() {
                    state.sweeping = false;
                    return;
                }
            }
        });
    }
}

impl State {
    /// Takes a request off the list of those under way.
    fn land(&mut self, launched: &Launched) {
        if let Some(flights) = self.flights.get_mut(&launched.object) {
            flights.retain(|flight| flight.number != launched.number);
            if flights.is_empty() {
                self.flights.remove(&launched.object);
            }
        }
    }

    fn keep(&mut self, object: Object, fetched: Arc<Fetched>) {
        let size = fetched.size();
        if size > KEEP_BYTES {
            return;
        }
        let all = self.kept.entry(object).or_default();
        let before: usize = all.iter().map(|f| f.size()).sum();
        // A newer outcome with the same picks serves whomever the older one would.
        all.retain(|old| {
            old.began > fetched.began || old.picks.iter().any(|pick| !fetched.picks.contains(pick))
        });
        all.push(fetched);
        let after: usize = all.iter().map(|f| f.size()).sum();
        self.kept_bytes = self.kept_bytes + after - before;
        while self.kept_bytes > KEEP_BYTES {
            let oldest = self.kept.values().flatten().map(|f| f.began).min();
            self.retain(|f| Some(f.began) != oldest);
        }
    }

    fn sweep(&mut self, oldest_due: Option<Instant>) {
        if !self.kept.is_empty() {
            self.retain(|f| {
                oldest_due.is_some_and(|due| due < f.began) && f.began.elapsed() < KEEP_FOR
            });
        }
    }

    fn retain(&mut self, wanted: impl Fn(&Fetched) -> bool) {
        self.kept.retain(|_, all| {
            all.retain(|fetched| wanted(fetched));
            !all.is_empty()
        });
        self.kept_bytes = self.kept.values().flatten().map(|f| f.size()).sum();
    }
}

impl Fetched {
    fn serves(&self, pick: &Pick, due: Instant) -> bool {
        self.began > due && self.began.elapsed() < KEEP_FOR && self.picks.contains(pick)
    }

    fn part(&self, pick: &Pick) -> Result<Part, Failure> {
        let parts = self.answer.as_ref().map_err(Clone::clone)?;
        let part = self
            .picks
            .iter()
            .position(|p| p == pick)
            .and_then(|at| parts.get(at));
        match part {
            Some(Part::Failed(failure)) => Err(failure.clone()),
            Some(part) => Ok(part.clone()),
            None => Err(given_up()),
        }
    }

    fn size(&self) -> usize {
        let parts = self.answer.as_deref().unwrap_or_default();
        parts.iter().map(size).sum()
    }
}

impl Launched {
    fn request(&self) -> Request {
        Request {
            key: self.object.key.clone(),
            version: self.object.version.clone(),
            metadata: self.object.metadata,
            picks: self.picks.clone(),
            known: None,
        }
    }
}

fn size(part: &Part) -> usize {
    match part {
        Part::Value(value) => value.len(),
        Part::Members(members) => members
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum(),
        Part::Failed(_) => 0,
    }
}

/// One answer a request, also where the whole call failed.
fn answers(
    requests: usize,
    outcomes: Result<Vec<Outcome>, Failure>,
) -> Vec<Result<Vec<Part>, Failure>> {
    match outcomes {
        Err(failure) => vec![Err(failure); requests],
        Ok(outcomes) => {
            let mut answers: Vec<_> = outcomes
                .into_iter()
                .map(|outcome| match outcome.answer {
                    Answer::Parts(parts) => Ok(parts),
                    Answer::Failed(failure) => Err(failure),
                    Answer::Unchanged => Err(Failure::new(
                        Stage::Fetch,
                        Code::ContractBroken,
                        "the plugin answered \"unchanged\" to a request that offered no tag",
                    )),
                })
                .collect();
            answers.resize_with(requests, || Err(given_up()));
            answers
        }
    }
}

fn given_up() -> Failure {
    Failure::new(
        Stage::Fetch,
        Code::Internal,
        "a read ended without an answer; it will be tried again",
    )
}

fn rate_limited(wait: Duration) -> Failure {
    let seconds = wait.as_secs().max(1);
    Failure::new(
        Stage::Fetch,
        Code::RateLimited,
        format!("the backend asked to be left alone for another {seconds} s"),
    )
    .with_retry_after(Some(wait))
}

fn too_late(queued: bool) -> Failure {
    let text = if queued {
        "other reads of this store took so long that this one did not get its turn in time"
    } else {
        "the backend did not answer in time"
    };
    Failure::new(Stage::Fetch, Code::Timeout, text)
}

#[cfg(test)]
mod tests;
