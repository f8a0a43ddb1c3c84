//! Who waits for what: requests that are queued, under way, or answered and kept for those who were due before.
//!
//! One kind of request (`K`), of which different things can be wanted (`W`) and which is answered at once (`A`). Nothing
//! here waits or calls; [`super::Fetcher`] does.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use postern_core::failure::Failure;
use tokio::sync::watch;
use tokio::time::Instant;

/// Longest time that an outcome waits for a sync: longer than a sync of a busy controller waits for its turn.
const KEEP_FOR: Duration = Duration::from_secs(30);
/// Something whose size can be told.
pub(super) trait Weigh {
    fn weight(&self) -> usize;
}

/// What came of one fetch.
pub(super) struct Fetched<W, A> {
    pub(super) began: Instant,
    pub(super) wants: Vec<W>,
    pub(super) answer: Result<A, Failure>,
}

impl<W: PartialEq, A: Weigh> Fetched<W, A> {
    fn serves(&self, want: &W, due: Instant) -> bool {
        self.began > due && self.began.elapsed() < KEEP_FOR && self.wants.contains(want)
    }

    fn weight(&self) -> usize {
        self.answer.as_ref().map(Weigh::weight).unwrap_or_default()
    }
}

/// How far a request has come.
pub(super) enum Phase<W, A> {
    Queued,
    Asked,
    Done(Arc<Fetched<W, A>>),
}

impl<W, A> Clone for Phase<W, A> {
    fn clone(&self) -> Self {
        match self {
            Self::Queued => Self::Queued,
            Self::Asked => Self::Asked,
            Self::Done(fetched) => Self::Done(fetched.clone()),
        }
    }
}

struct Queued<W, A> {
    wants: Vec<W>,
    phase: watch::Sender<Phase<W, A>>,
}

struct Flight<W, A> {
    number: u64,
    began: Instant,
    wants: Vec<W>,
    phase: watch::Receiver<Phase<W, A>>,
}

/// A request on its way, with those who wait for it.
pub(super) struct Launched<K, W, A> {
    pub(super) key: K,
    number: u64,
    pub(super) wants: Vec<W>,
    phase: watch::Sender<Phase<W, A>>,
}

/// All requests of one kind.
pub(super) struct Board<K, W, A> {
    order: VecDeque<K>,
    queued: HashMap<K, Queued<W, A>>,
    flights: HashMap<K, Vec<Flight<W, A>>>,
    kept: HashMap<K, Vec<Arc<Fetched<W, A>>>>,
    kept_bytes: usize,
    most_bytes: usize,
    next_number: u64,
}

impl<K, W, A> Board<K, W, A> {
    /// A board that keeps at most so many bytes of answers.
    pub(super) fn new(most_bytes: usize) -> Self {
        Self {
            order: VecDeque::new(),
            queued: HashMap::new(),
            flights: HashMap::new(),
            kept: HashMap::new(),
            kept_bytes: 0,
            most_bytes,
            next_number: 0,
        }
    }
}

impl<K, W, A> Board<K, W, A>
where
    K: Clone + Eq + Hash,
    W: Clone + PartialEq,
    A: Weigh,
{
    /// Joins a kept outcome, a fetch under way or a queued request, or queues a new one; whether it joined.
    pub(super) fn enter(
        &mut self,
        key: &K,
        want: &W,
        due: Instant,
    ) -> (watch::Receiver<Phase<W, A>>, bool) {
        let mut kept = self.kept.get(key).into_iter().flatten();
        if let Some(fetched) = kept.find(|f| f.serves(want, due)) {
            let done = Phase::Done(fetched.clone());
            return (watch::Sender::new(done).subscribe(), true);
        }
        let mut flights = self.flights.get(key).into_iter().flatten();
        if let Some(flight) = flights.find(|f| f.began > due && f.wants.contains(want)) {
            return (flight.phase.clone(), true);
        }
        if let Some(queued) = self.queued.get_mut(key) {
            if !queued.wants.contains(want) {
                queued.wants.push(want.clone());
            }
            return (queued.phase.subscribe(), true);
        }
        let phase = watch::Sender::new(Phase::Queued);
        let wait = phase.subscribe();
        self.order.push_back(key.clone());
        let wants = vec![want.clone()];
        self.queued.insert(key.clone(), Queued { wants, phase });
        (wait, false)
    }

    pub(super) fn is_queued(&self) -> bool {
        !self.order.is_empty()
    }

    /// Takes up to so many requests that somebody still waits for.
    pub(super) fn take(&mut self, most: usize, began: Instant) -> Vec<Launched<K, W, A>> {
        let mut batch = Vec::new();
        while batch.len() < most {
            let Some(key) = self.order.pop_front() else {
                break;
            };
            let Some(Queued { wants, phase }) = self.queued.remove(&key) else {
                continue;
            };
            if phase.receiver_count() == 0 {
                continue;
            }
            let number = self.next_number;
            self.next_number += 1;
            phase.send_replace(Phase::Asked);
            let flight = Flight {
                number,
                began,
                wants: wants.clone(),
                phase: phase.subscribe(),
            };
            self.flights.entry(key.clone()).or_default().push(flight);
            batch.push(Launched {
                key,
                number,
                wants,
                phase,
            });
        }
        batch
    }

    /// A request has been answered: tells those who wait, and keeps the answer if it is wanted for others.
    pub(super) fn land(
        &mut self,
        launched: Launched<K, W, A>,
        answer: Result<A, Failure>,
        began: Instant,
        keep: bool,
    ) {
        if let Some(flights) = self.flights.get_mut(&launched.key) {
            flights.retain(|flight| flight.number != launched.number);
            if flights.is_empty() {
                self.flights.remove(&launched.key);
            }
        }
        let fetched = Arc::new(Fetched {
            began,
            wants: launched.wants,
            answer,
        });
        if keep {
            self.keep(launched.key, fetched.clone());
        }
        launched.phase.send_replace(Phase::Done(fetched));
    }

    fn keep(&mut self, key: K, fetched: Arc<Fetched<W, A>>) {
        if fetched.weight() > self.most_bytes {
            return;
        }
        let all = self.kept.entry(key).or_default();
        let before: usize = all.iter().map(|f| f.weight()).sum();
        // A newer outcome of the same things serves whomever the older one would.
        all.retain(|old| {
            old.began > fetched.began || old.wants.iter().any(|want| !fetched.wants.contains(want))
        });
        all.push(fetched);
        let after: usize = all.iter().map(|f| f.weight()).sum();
        self.kept_bytes = self.kept_bytes + after - before;
        while self.kept_bytes > self.most_bytes {
            let oldest = self.kept.values().flatten().map(|f| f.began).min();
            self.retain(|f| Some(f.began) != oldest);
        }
    }

    /// Bytes of answers that are kept.
    pub(super) fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    /// Drops what nobody can want any more.
    pub(super) fn sweep(&mut self, oldest_due: Option<Instant>) {
        if !self.kept.is_empty() {
            self.retain(|f| {
                oldest_due.is_some_and(|due| due < f.began) && f.began.elapsed() < KEEP_FOR
            });
        }
    }

    fn retain(&mut self, wanted: impl Fn(&Fetched<W, A>) -> bool) {
        self.kept.retain(|_, all| {
            all.retain(|fetched| wanted(fetched));
            !all.is_empty()
        });
        self.kept_bytes = self.kept.values().flatten().map(|f| f.weight()).sum();
    }
}
