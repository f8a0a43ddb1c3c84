//! Lets all who wait for an object share one read of it, without ever handing an old value to someone who has just
//! changed something.
//!
//! One fetcher belongs to one identity. An outcome serves a sync only if its fetch began after the moment that made the
//! sync due. Outcomes are kept while a sync that was due before their fetch began is still under way, within bounds of
//! age and size, and zeroed when they are dropped. Nothing is kept between syncs. The fetcher knows neither plugins nor
//! sessions; a [`Reader`] does.

mod board;
mod listing;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postern_core::failure::{Code, Failure, Stage};
use postern_core::plugin::{Answer, Answering, Outcome, Part, Pick, Query, Request};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::absence::Memory;
use crate::doors::Pending;
use crate::stats::Counters;

use board::{Board, Fetched, Launched, Phase, Weigh};
pub(crate) use listing::Listing;

/// Most bytes that one identity keeps: of values, and of lists.
const KEEP_BYTES: usize = 7 << 20;
const KEEP_LIST_BYTES: usize = 1 << 20;
/// How often kept outcomes are looked through when nothing else happens.
const SWEEP: Duration = Duration::from_millis(250);
/// A pause where the backend does not say how long.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause that a backend can impose.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Asks the backend; one outcome a request, in order.
pub(crate) trait Reader: Send + Sync + 'static {
    fn read<'a>(&'a self, requests: &'a [Request]) -> Answering<'a, Vec<Outcome>>;

    /// All pages of a search.
    fn list<'a>(&'a self, query: &'a Query) -> Answering<'a, Listing>;
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

struct State {
    objects: Board<Object, Pick, Vec<Part>>,
    /// Searches; what is wanted of one is always the whole.
    lists: Board<Query, (), Arc<Listing>>,
    /// Calls under way, of both kinds.
    running: usize,
    dispatch_planned: bool,
    sweeping: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            objects: Board::new(KEEP_BYTES),
            lists: Board::new(KEEP_LIST_BYTES),
            running: 0,
            dispatch_planned: false,
            sweeping: false,
        }
    }
}

impl State {
    fn is_queued(&self) -> bool {
        self.objects.is_queued() || self.lists.is_queued()
    }

    fn keeps_any(&self) -> bool {
        self.objects.kept_bytes() + self.lists.kept_bytes() > 0
    }
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
        memory: Memory,
    ) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            paused: watch::Sender::new(None),
            bounds,
            pending,
            counters,
            memory,
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
                .map(|(object, pick)| {
                    let (phase, joined) = state.objects.enter(&object, &pick, span.due);
                    Counters::add(&self.counters.coalesced, usize::from(joined));
                    (phase, pick)
                })
                .collect();
            self.plan_dispatch(&mut state, reader);
            waits
        };
        let answers = waits.into_iter().map(|(phase, pick)| async move {
            let fetched = self.wait(phase, span.deadline).await?;
            part(&fetched, &pick)
        });
        futures::future::join_all(answers).await
    }

    /// Searches; guarantees as for [`Self::fetch`].
    pub(crate) async fn list(
        self: &Arc<Self>,
        reader: &Arc<dyn Reader>,
        query: &Query,
        span: Span,
    ) -> Result<Arc<Listing>, Failure> {
        let phase = {
            let mut state = self.lock();
            let (phase, joined) = state.lists.enter(query, &(), span.due);
            Counters::add(&self.counters.coalesced, usize::from(joined));
            self.plan_dispatch(&mut state, reader);
            phase
        };
        let fetched = self.wait(phase, span.deadline).await?;
        fetched.answer.clone()
    }

    /// Ends when nothing is queued or under way.
    pub(crate) async fn idle(&self) {
        loop {
            {
                let state = self.lock();
                if state.running == 0 && !state.is_queued() {
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

    async fn wait<W, A>(
        &self,
        mut phase: watch::Receiver<Phase<W, A>>,
        deadline: Instant,
    ) -> Result<Arc<Fetched<W, A>>, Failure> {
        let mut paused = self.paused.subscribe();
        loop {
            let now = phase.borrow_and_update().clone();
            let queued = match now {
                Phase::Done(fetched) => return Ok(fetched),
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
        if state.dispatch_planned || !state.is_queued() || state.running >= self.bounds.in_flight {
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
            // Searches first: what they find is read after them.
            if let Some(launched) = state.lists.take(1, began).pop() {
                state.running += 1;
                tokio::spawn(self.clone().call_list(reader.clone(), launched, began));
                continue;
            }
            let most = match self.bounds.batch_size {
                0 => usize::MAX,
                most => most,
            };
            let batch = state.objects.take(most, began);
            if batch.is_empty() {
                return;
            }
            state.running += 1;
            tokio::spawn(self.clone().call(reader.clone(), batch, began));
        }
    }

    async fn call(self: Arc<Self>, reader: Arc<dyn Reader>, batch: Vec<Objects>, began: Instant) {
        let requests: Vec<Request> = batch.iter().map(request).collect();
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
        batch: Vec<Objects>,
        outcomes: Result<Vec<Outcome>, Failure>,
        began: Instant,
    ) {
        let answers = answers(batch.len(), outcomes);
        let failed = answers.iter().filter(|a| a.is_err()).count();
        Counters::add(&self.counters.failures, failed);
        self.pause_if_asked(answers.iter().filter_map(|answer| answer.as_ref().err()));
        let keep = self.keeps(began);
        let mut state = self.lock();
        state.running -= 1;
        for (launched, answer) in batch.into_iter().zip(answers) {
            self.memory
                .saw(&launched.key, &launched.wants, &answer, began);
            state.objects.land(launched, answer, began, keep);
        }
        self.plan_sweep(&mut state);
    }

    async fn call_list(
        self: Arc<Self>,
        reader: Arc<dyn Reader>,
        launched: Launched<Query, (), Arc<Listing>>,
        began: Instant,
    ) {
        Counters::add(&self.counters.batches, 1);
        let task = {
            let (reader, query) = (reader.clone(), launched.key.clone());
            tokio::spawn(async move { reader.list(&query).await })
        };
        let answer = task.await.unwrap_or_else(|_| Err(given_up()));
        Counters::add(&self.counters.failures, usize::from(answer.is_err()));
        self.pause_if_asked(answer.as_ref().err());
        {
            let keep = self.keeps(began);
            let mut state = self.lock();
            state.running -= 1;
            state
                .lists
                .land(launched, answer.map(Arc::new), began, keep);
            self.plan_sweep(&mut state);
        }
        self.dispatch(&reader);
    }

    /// Whether a sync that was due before is still under way.
    fn keeps(&self, began: Instant) -> bool {
        self.pending.oldest_due().is_some_and(|due| due < began)
    }

    fn pause_if_asked<'a>(&self, failures: impl IntoIterator<Item = &'a Failure>) {
        let pause = failures
            .into_iter()
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
        if state.sweeping || !state.keeps_any() {
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
                state.objects.sweep(oldest_due);
                state.lists.sweep(oldest_due);
                if !state.keeps_any() {
                    state.sweeping = false;
                    return;
                }
            }
        });
    }
}

type Objects = Launched<Object, Pick, Vec<Part>>;

fn request(launched: &Objects) -> Request {
    Request {
        key: launched.key.key.clone(),
        version: launched.key.version.clone(),
        metadata: launched.key.metadata,
        picks: launched.wants.clone(),
        known: None,
    }
}

/// What was picked. A failure of this part alone stays one: it says that the object itself could be read.
fn part(fetched: &Fetched<Pick, Vec<Part>>, pick: &Pick) -> Result<Part, Failure> {
    let parts = fetched.answer.as_ref().map_err(Clone::clone)?;
    let at = fetched.wants.iter().position(|want| want == pick);
    at.and_then(|at| parts.get(at))
        .cloned()
        .ok_or_else(given_up)
}

impl Weigh for Vec<Part> {
    fn weight(&self) -> usize {
        let weight = |part: &Part| match part {
            Part::Value(value) => value.len(),
            Part::Members(members) => members
                .iter()
                .map(|(name, value)| name.len() + value.len())
                .sum(),
            Part::Failed(_) => 0,
        };
        self.iter().map(weight).sum()
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
