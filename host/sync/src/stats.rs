//! Counters of the doors, for metrics: by store and by provider key at most, never by what is read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use postern_core::failure::{Code, Failure};
use postern_core::store::StoreId;

/// Counts as they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Objects asked of backends.
    pub reads: u64,
    /// Calls that carried them.
    pub batches: u64,
    /// Pages of searches asked of backends.
    pub lists: u64,
    /// Reads that were served by another's request.
    pub coalesced: u64,
    /// Sessions opened.
    pub logins: u64,
    /// Sessions extended.
    pub renewals: u64,
    /// Objects, logins and probes that failed.
    pub failures: u64,
}

/// What a provider is asked to do at its backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Task {
    /// Open a session.
    Login,
    /// End one.
    Close,
    /// Say whether a store can be used.
    Probe,
    /// Read an object.
    Read,
    /// One page of a search.
    Find,
}

/// How that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// With an answer.
    Found,
    /// The backend says that there is no such thing.
    Absent,
    /// Without an answer.
    Failed,
}

impl End {
    /// What a result means.
    #[must_use]
    pub const fn of<T>(result: &Result<T, Failure>) -> Self {
        match result {
            Ok(_) => Self::Found,
            Err(failure) => Self::of_failure(failure),
        }
    }

    pub(crate) const fn of_failure(failure: &Failure) -> Self {
        match failure.code {
            Code::Absent | Code::NotFound => Self::Absent,
            _ => Self::Failed,
        }
    }
}

/// Calls of backends, by the key under which stores name the provider.
pub type Calls = BTreeMap<(String, Task, End), u64>;
/// Entries and searches that syncs asked of stores.
pub type Fetches = BTreeMap<(StoreId, End), u64>;

#[derive(Debug, Default)]
pub(crate) struct Counters {
    calls: Mutex<Calls>,
    fetches: Mutex<Fetches>,
    pub(crate) reads: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) lists: AtomicU64,
    pub(crate) coalesced: AtomicU64,
    pub(crate) logins: AtomicU64,
    pub(crate) renewals: AtomicU64,
    pub(crate) failures: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, n: usize) {
        counter.fetch_add(n as u64, Ordering::Relaxed);
    }

    pub(crate) fn called(&self, provider: &str, task: Task, end: End) {
        let mut calls = lock(&self.calls);
        *calls.entry((provider.to_owned(), task, end)).or_default() += 1;
    }

    pub(crate) fn fetched(&self, store: &StoreId, ends: impl IntoIterator<Item = End>) {
        let mut fetches = lock(&self.fetches);
        for end in ends {
            *fetches.entry((store.clone(), end)).or_default() += 1;
        }
    }

    /// Forgets what was counted of a store that is gone.
    pub(crate) fn gone(&self, store: &StoreId) {
        lock(&self.fetches).retain(|(of, _), _| of != store);
    }

    pub(crate) fn calls(&self) -> Calls {
        lock(&self.calls).clone()
    }

    pub(crate) fn fetches(&self) -> Fetches {
        lock(&self.fetches).clone()
    }

    pub(crate) fn snapshot(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            reads: read(&self.reads),
            batches: read(&self.batches),
            lists: read(&self.lists),
            coalesced: read(&self.coalesced),
            logins: read(&self.logins),
            renewals: read(&self.renewals),
            failures: read(&self.failures),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A count is whole after every step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
