//! The work queue: which key is due, in which order, and what is in flight. It does not do the work.
//!
//! [`Order`] is a plain state machine over moments that are handed in; [`Queue`] adds the lock, the clock and the wake-up.
//! A key that is touched while it runs runs once more afterwards, so no change is lost and no key runs twice at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// The first wait after a failure; the peer's, so that alerts on it stay right.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// The longest wait after a failure; the peer's.
const BACKOFF_LAST: Duration = Duration::from_secs(7 * 60);
/// 2^9 seconds are beyond the longest wait.
const BACKOFF_STEPS: u32 = 9;

/// What goes first when several keys are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// A store: others wait for it.
    Store,
    /// Somebody changed something and may be watching.
    Changed,
    /// Nothing but time has passed.
    Periodic,
}

/// What becomes of a key after its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing until it is touched.
    OnChange,
    /// Again after this long.
    After(Duration),
    /// It failed: again with backoff, and not before this long.
    Backoff(Option<Duration>),
}

/// A key to work on, and the moment that made it due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken<K> {
    pub(crate) key: K,
    pub(crate) due: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    due: Instant,
    class: Class,
    /// Place among those of its class that are due; none while its moment has not come.
    place: Option<u64>,
}

#[derive(Debug)]
struct Running {
    due: Instant,
    again: Option<(Class, Instant)>,
}

/// The state machine.
#[derive(Debug)]
struct Order<K> {
    waiting: HashMap<K, Waiting>,
    timers: BTreeSet<(Instant, K)>,
    ready: BTreeSet<(Class, u64, K)>,
    running: HashMap<K, Running>,
    /// Due moments of what is ready or running, by how many.
    owed: BTreeMap<Instant, usize>,
    failures: HashMap<K, u32>,
    places: u64,
}

impl<K: Clone + Eq + Hash + Ord> Order<K> {
    fn new() -> Self {
        Self {
            waiting: HashMap::new(),
            timers: BTreeSet::new(),
            ready: BTreeSet::new(),
            running: HashMap::new(),
            owed: BTreeMap::new(),
            failures: HashMap::new(),
            places: 0,
        }
    }

    /// Makes a key due at a moment. A moment that has passed is kept if it is the later one: what made it due last
    /// decides how fresh an answer has to be. Of moments to come the earlier one counts.
    fn add(&mut self, key: K, class: Class, due: Instant, now: Instant) {
        if let Some(running) = self.running.get_mut(&key) {
            running.again = Some(match running.again {
                None => (class, due),
                Some((old_class, old)) => (class.min(old_class), merged(old, due, now)),
            });
            return;
        }
        let (class, due) = match self.unwait(&key) {
            None => (class, due),
            Some(old) => (class.min(old.class), merged(old.due, due, now)),
        };
        self.timers.insert((due, key.clone()));
        self.waiting.insert(
            key,
            Waiting {
                due,
                class,
                place: None,
            },
        );
        self.promote(now);
    }

    fn unwait(&mut self, key: &K) -> Option<Waiting> {
        let old = self.waiting.remove(key)?;
        match old.place {
            None => {
                self.timers.remove(&(old.due, key.clone()));
            }
            Some(place) => {
                self.ready.remove(&(old.class, place, key.clone()));
                self.settle(old.due);
            }
        }
        Some(old)
    }

    /// Moves what has become due to those that wait for a worker.
    fn promote(&mut self, now: Instant) {
        while self.timers.first().is_some_and(|(due, _)| *due <= now) {
            let Some((due, key)) = self.timers.pop_first() else {
                return;
            };
            let Some(waiting) = self.waiting.get_mut(&key) else {
                continue;
            };
            self.places += 1;
            waiting.place = Some(self.places);
            self.ready.insert((waiting.class, self.places, key));
            *self.owed.entry(due).or_default() += 1;
        }
    }

    fn take(&mut self, now: Instant) -> Option<Taken<K>> {
        self.promote(now);
        let (_, _, key) = self.ready.pop_first()?;
        let due = self.waiting.remove(&key)?.due;
        self.running
            .insert(key.clone(), Running { due, again: None });
        Some(Taken { key, due })
    }

    fn finish(&mut self, key: &K, next: Next, seed: u64, now: Instant) {
        let Some(running) = self.running.remove(key) else {
            return;
        };
        self.settle(running.due);
        let failures = match next {
            Next::Backoff(_) => {
                let count = self.failures.entry(key.clone()).or_default();
                *count += 1;
                *count
            }
            Next::OnChange | Next::After(_) => {
                self.failures.remove(key);
                0
            }
        };
        let planned = match next {
            Next::OnChange => None,
            Next::After(wait) => Some((Class::Periodic, now + wait)),
            Next::Backoff(at_least) => Some((
                Class::Periodic,
                now + backoff(failures, seed).max(at_least.unwrap_or_default()),
            )),
        };
        for (class, due) in planned.into_iter().chain(running.again) {
            self.add(key.clone(), class, due, now);
        }
    }

    fn settle(&mut self, due: Instant) {
        if let Some(count) = self.owed.get_mut(&due) {
            *count -= 1;
            if *count == 0 {
                self.owed.remove(&due);
            }
        }
    }

    fn next_timer(&self) -> Option<Instant> {
        self.timers.first().map(|(due, _)| *due)
    }

    fn oldest_due(&self, now: Instant) -> Option<Instant> {
        let owed = self.owed.first_key_value().map(|(due, _)| *due);
        let late = self.next_timer().filter(|due| *due <= now);
        owed.into_iter().chain(late).min()
    }
}

fn merged(old: Instant, new: Instant, now: Instant) -> Instant {
    if old <= now && new <= now {
        old.max(new)
    } else {
        old.min(new)
    }
}

/// Doubles from one second to seven minutes, spread by up to a quarter either way so that what failed together does not
/// come back together. The spread follows from the key, so a test can tell it.
fn backoff(failures: u32, seed: u64) -> Duration {
    let exponent = failures.saturating_sub(1).min(BACKOFF_STEPS);
    let plain = BACKOFF_FIRST
        .saturating_mul(1 << exponent)
        .min(BACKOFF_LAST);
    spread(plain, 0.25, seed.wrapping_add(u64::from(failures)))
}

/// A duration moved by up to `part` of itself either way, the same for the same seed.
pub(crate) fn spread(plain: Duration, part: f64, seed: u64) -> Duration {
    // SplitMix64: seeds that differ in one bit land far apart.
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    let unit = f64::from(u32::try_from(mixed >> 32).unwrap_or_default()) / f64::from(u32::MAX);
    plain.mul_f64(1.0 + part * (2.0 * unit - 1.0))
}

/// The queue that many tasks share.
#[derive(Debug)]
pub(crate) struct Queue<K> {
    order: Mutex<Order<K>>,
    touched: Notify,
}

impl<K: Clone + Eq + Hash + Ord> Queue<K> {
    pub(crate) fn new() -> Self {
        Self {
            order: Mutex::new(Order::new()),
            touched: Notify::new(),
        }
    }

    /// Makes keys due now, all at the same moment, so that one answer can serve all of them.
    pub(crate) fn touch(&self, keys: impl IntoIterator<Item = (K, Class)>) {
        let now = Instant::now();
        {
            let mut order = self.lock();
            for (key, class) in keys {
                order.add(key, class, now, now);
            }
        }
        self.touched.notify_one();
    }

    /// Waits for the next key that is due. One caller at a time.
    pub(crate) async fn next(self: &Arc<Self>) -> (Taken<K>, Lease<K>) {
        loop {
            let timer = {
                let mut order = self.lock();
                if let Some(taken) = order.take(Instant::now()) {
                    let lease = Lease {
                        queue: Arc::clone(self),
                        key: Some(taken.key.clone()),
                    };
                    return (taken, lease);
                }
                order.next_timer()
            };
            match timer {
                None => self.touched.notified().await,
                Some(due) => {
                    let _ = tokio::time::timeout_at(due, self.touched.notified()).await;
                }
            }
        }
    }

    /// The earliest due moment of what is due or running, among the keys that count.
    pub(crate) fn oldest_due(&self) -> Option<Instant> {
        self.lock().oldest_due(Instant::now())
    }

    /// How many keys are due or running, and how long the oldest has been due.
    pub(crate) fn load(&self) -> (usize, Duration) {
        let now = Instant::now();
        let order = self.lock();
        let age = order.oldest_due(now).map(|due| now - due);
        (order.owed.values().sum(), age.unwrap_or_default())
    }

    fn lock(&self) -> MutexGuard<'_, Order<K>> {
        // The state is whole after every step that can panic (none is known), so a poisoned lock is still good.
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key in flight. Dropped without an answer (a panic), the key counts as failed and comes back with backoff.
#[derive(Debug)]
pub(crate) struct Lease<K: Clone + Eq + Hash + Ord> {
    queue: Arc<Queue<K>>,
    key: Option<K>,
}

impl<K: Clone + Eq + Hash + Ord> Lease<K> {
    /// Says what becomes of the key.
    pub(crate) fn finish(mut self, next: Next) {
        self.end(next);
    }

    fn end(&mut self, next: Next) {
        let Some(key) = self.key.take() else { return };
        let seed = seed_of(&key);
        self.queue.lock().finish(&key, next, seed, Instant::now());
        self.queue.touched.notify_one();
    }
}

impl<K: Clone + Eq + Hash + Ord> Drop for Lease<K> {
    fn drop(&mut self) {
        self.end(Next::Backoff(None));
    }
}

/// A number that is the same for the same key in every process.
pub(crate) fn seed_of<K: Hash>(key: &K) -> u64 {
    use std::hash::Hasher as _;
    // The keys of this hasher are fixed; it is used for spreading, not for tables that outsiders fill.
    #[expect(
        deprecated,
        reason = "std's only hasher whose result does not differ from process to process"
    )]
    let mut hasher = std::hash::SipHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn what_changed_goes_before_what_is_only_due() {
        let now = Instant::now();
        let mut order = Order::new();
        order.add("periodic", Class::Periodic, now, now);
        order.add("changed", Class::Changed, now, now);
        order.add("store", Class::Store, now, now);
        let taken: Vec<_> = std::iter::from_fn(|| order.take(now))
            .map(|t| t.key)
            .collect();
        assert_eq!(taken, ["store", "changed", "periodic"]);
    }

    #[test]
    fn a_key_waits_for_its_moment_and_a_change_brings_it_forward() {
        let now = Instant::now();
        let mut order = Order::new();
        order.add("a", Class::Periodic, at(now, 60), now);
        assert_eq!(order.take(at(now, 59)), None);
        order.add("a", Class::Changed, at(now, 5), at(now, 5));
        assert_eq!(
            order.take(at(now, 5)),
            Some(Taken {
                key: "a",
                due: at(now, 5)
            })
        );
        assert_eq!(order.take(at(now, 100)), None);
    }

    #[test]
    fn two_changes_are_one_run_that_is_due_since_the_later_one() {
        let now = Instant::now();
        let mut order = Order::new();
        order.add("a", Class::Changed, now, now);
        order.add("a", Class::Changed, at(now, 3), at(now, 3));
        assert_eq!(
            order.take(at(now, 4)),
            Some(Taken {
                key: "a",
                due: at(now, 3)
            })
        );
        assert_eq!(order.take(at(now, 4)), None);
    }

    #[test]
    fn a_change_during_a_run_makes_one_more_run() {
        let now = Instant::now();
        let mut order = Order::new();
        order.add("a", Class::Changed, now, now);
        order.take(now).unwrap();
        order.add("a", Class::Changed, at(now, 1), at(now, 1));
        order.add("a", Class::Changed, at(now, 2), at(now, 2));
        assert_eq!(order.take(at(now, 2)), None);
        order.finish(&"a", Next::After(Duration::from_secs(3600)), 0, at(now, 3));
        assert_eq!(
            order.take(at(now, 3)),
            Some(Taken {
                key: "a",
                due: at(now, 2)
            })
        );
        order.finish(&"a", Next::OnChange, 0, at(now, 4));
        assert_eq!(order.take(at(now, 9000)), None);
    }

    #[test]
    fn the_oldest_due_moment_is_that_of_what_is_due_or_running() {
        let now = Instant::now();
        let mut order = Order::new();
        order.add("running", Class::Changed, at(now, 1), at(now, 1));
        order.take(at(now, 1)).unwrap();
        order.add("ready", Class::Changed, at(now, 2), at(now, 2));
        order.add("later", Class::Periodic, at(now, 50), at(now, 2));
        assert_eq!(order.oldest_due(at(now, 3)), Some(at(now, 1)));
        order.finish(&"running", Next::OnChange, 0, at(now, 3));
        assert_eq!(order.oldest_due(at(now, 3)), Some(at(now, 2)));
        order.take(at(now, 3)).unwrap();
        order.finish(&"ready", Next::OnChange, 0, at(now, 3));
        assert_eq!(order.oldest_due(at(now, 3)), None);
        assert_eq!(order.oldest_due(at(now, 51)), Some(at(now, 50)));
    }

    #[test]
    fn backoff_grows_to_seven_minutes_and_starts_anew_after_a_success() {
        let now = Instant::now();
        let mut order = Order::new();
        let mut waits = Vec::new();
        order.add("a", Class::Changed, now, now);
        let mut clock = now;
        for _ in 0..12 {
            order.take(clock).unwrap();
            order.finish(&"a", Next::Backoff(None), 7, clock);
            let due = order.next_timer().unwrap();
            waits.push((due - clock).as_secs_f64());
            clock = due;
        }
        assert!(waits[0] >= 0.75 && waits[0] <= 1.25, "{waits:?}");
        assert!(waits[3] >= 6.0 && waits[3] <= 10.0, "{waits:?}");
        assert!(waits[11] >= 315.0 && waits[11] <= 525.0, "{waits:?}");
        order.take(clock).unwrap();
        order.finish(&"a", Next::After(Duration::ZERO), 7, clock);
        order.take(clock).unwrap();
        order.finish(&"a", Next::Backoff(None), 7, clock);
        assert!(order.next_timer().unwrap() - clock <= Duration::from_millis(1250));
    }

    #[test]
    fn a_backend_that_asks_for_more_time_gets_it() {
        let now = Instant::now();
        let mut order = Order::new();
        order.add("a", Class::Changed, now, now);
        order.take(now).unwrap();
        order.finish(&"a", Next::Backoff(Some(Duration::from_secs(90))), 7, now);
        assert_eq!(order.next_timer(), Some(at(now, 90)));
    }

    #[test]
    fn a_change_ends_the_wait_of_a_failed_key() {
        let now = Instant::now();
        let mut order = Order::new();
        order.add("a", Class::Changed, now, now);
        order.take(now).unwrap();
        order.finish(&"a", Next::Backoff(Some(Duration::from_secs(90))), 7, now);
        order.add("a", Class::Changed, at(now, 1), at(now, 1));
        assert_eq!(
            order.take(at(now, 1)),
            Some(Taken {
                key: "a",
                due: at(now, 1)
            })
        );
    }

    #[test]
    fn the_spread_is_the_same_for_the_same_key_and_stays_within_its_part() {
        let plain = Duration::from_secs(100);
        let spreads: Vec<_> = (0..200).map(|seed| spread(plain, 0.1, seed)).collect();
        assert!(
            spreads
                .iter()
                .all(|d| *d >= Duration::from_secs(90) && *d <= Duration::from_secs(110))
        );
        let distinct: BTreeSet<_> = spreads.iter().collect();
        assert!(distinct.len() > 190);
        assert_eq!(
            spread(plain, 0.1, seed_of(&"a")),
            spread(plain, 0.1, seed_of(&"a"))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_worker_wakes_when_time_comes_and_when_a_key_is_touched() {
        let queue = Arc::new(Queue::new());
        queue.touch([("a", Class::Changed)]);
        let (taken, lease) = queue.next().await;
        assert_eq!(taken.key, "a");
        lease.finish(Next::After(Duration::from_secs(60)));
        let before = Instant::now();
        let (_, lease) = queue.next().await;
        assert_eq!(Instant::now() - before, Duration::from_secs(60));
        lease.finish(Next::OnChange);
        let other = Arc::clone(&queue);
        let waiter = tokio::spawn(async move { other.next().await.0.key });
        tokio::time::sleep(Duration::from_secs(1)).await;
        queue.touch([("b", Class::Changed)]);
        assert_eq!(waiter.await.unwrap(), "b");
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_panics_comes_back_with_backoff() {
        let queue = Arc::new(Queue::new());
        queue.touch([("a", Class::Changed)]);
        let (_, lease) = queue.next().await;
        drop(lease);
        let before = Instant::now();
        let (taken, _lease) = queue.next().await;
        assert_eq!(taken.key, "a");
        assert!(Instant::now() - before >= Duration::from_millis(750));
    }
}
