//! Counters of the doors, for metrics: no labels, no names of objects.

use std::sync::atomic::{AtomicU64, Ordering};

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

#[derive(Debug, Default)]
pub(crate) struct Counters {
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
