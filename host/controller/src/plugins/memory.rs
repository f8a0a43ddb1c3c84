//! What this process knows of each Plugin beyond its objects: what serves, what was fetched, what was switched back.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use postern_core::grant::Permits;
use postern_core::plugin::{Digest, Revision};
use postern_core::rollout::{Claim, Overrides, SwitchedBack, Wanted};
use postern_sync::plugins::Fetched;
use std::sync::Arc;
use tokio::time::Instant;

use super::Entry;

/// The revision that serves.
#[derive(Clone)]
pub(crate) struct Active {
    pub(crate) revision: Arc<Revision>,
    pub(crate) manifest: Option<Digest>,
    pub(crate) since: Instant,
    /// Calls that had gone well before it served.
    pub(crate) successes: u64,
    /// It is the last good one itself.
    pub(crate) good: bool,
    pub(crate) limits: Overrides,
}

/// What is known of one Plugin.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    uid: String,
    generation: i64,
    pub(crate) active: Option<Active>,
    /// What served before the one on trial.
    pub(crate) previous: Option<Active>,
    /// The revision that has come as far as being compiled.
    pub(crate) candidate: Option<Arc<Revision>>,
    /// What the source said last.
    pub(crate) fetched: Fetched,
    /// Switched back by this process, with the reason.
    refused: BTreeMap<Digest, String>,
    switched: Vec<SwitchedBack>,
}

impl Memory {
    /// Takes note of switches back that happened since the last look.
    pub(crate) fn switched_back(&mut self) -> Vec<SwitchedBack> {
        let switched = std::mem::take(&mut self.switched);
        for back in &switched {
            self.refused
                .insert(back.digest.clone(), back.failure.public.clone());
            if self
                .active
                .as_ref()
                .is_some_and(|a| a.revision.digest == back.digest)
            {
                // None where a bundled plugin took over.
                self.active = self
                    .previous
                    .take()
                    .filter(|p| p.revision.digest == back.to);
            }
        }
        switched
    }

    /// An administrator's word comes before all: what is refused by hand serves no more.
    pub(crate) fn drop_refused(&mut self, by_hand: &BTreeSet<String>) {
        if self
            .active
            .as_ref()
            .is_some_and(|a| by_hand.contains(a.revision.digest.as_str()))
        {
            // One that was itself on trial does not come back so: the status says which one is good.
            let previous = self.previous.take().filter(|p| p.good);
            self.active = previous.filter(|p| !by_hand.contains(p.revision.digest.as_str()));
        }
    }

    pub(crate) fn refusal(&self, digest: &Digest) -> Option<String> {
        self.refused.get(digest).cloned()
    }

    /// Whether this digest serves already, with these limits.
    pub(crate) fn serves(&self, digest: &Digest, wanted: &Wanted) -> bool {
        let active = self.active.as_ref();
        active.is_some_and(|a| a.revision.digest == *digest && a.limits == wanted.limits)
    }
}

/// The memories of all Plugins.
#[derive(Default)]
pub(crate) struct Memories {
    all: Mutex<HashMap<String, Memory>>,
    claims: Mutex<HashMap<String, Claimed>>,
}

/// What was claimed last, to tell whether it changed.
#[derive(Clone, PartialEq)]
struct Claimed {
    is_engine: bool,
    keys: BTreeSet<String>,
    serving: Option<(Digest, Permits)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each guarded value is one map, whole at any time.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memories {
    /// The memory of a Plugin; what was refused is tried again where the spec has changed.
    pub(crate) fn take(&self, name: &str, entry: &Entry) -> Memory {
        let mut memory = match lock(&self.all).get_mut(name) {
            Some(kept) => {
                let switched = std::mem::take(&mut kept.switched);
                Memory {
                    switched,
                    ..kept.clone()
                }
            }
            None => Memory::default(),
        };
        if memory.uid != entry.uid {
            memory = Memory {
                uid: entry.uid.clone(),
                ..Memory::default()
            };
        }
        if memory.generation != entry.generation {
            if memory.generation != 0 {
                memory.refused.clear();
            }
            memory.fetched.named = None;
            memory.generation = entry.generation;
        }
        memory
    }

    pub(crate) fn put(&self, name: &str, memory: Memory) {
        let mut all = lock(&self.all);
        // What was told while the memory was out.
        let late = all
            .get_mut(name)
            .map(|old| std::mem::take(&mut old.switched));
        let mut memory = memory;
        memory.switched = late.unwrap_or_default();
        all.insert(name.to_owned(), memory);
    }

    /// A revision was switched back within a call.
    pub(crate) fn note(&self, back: SwitchedBack) {
        let mut all = lock(&self.all);
        all.entry(back.plugin.clone())
            .or_default()
            .switched
            .push(back);
    }

    /// Whether this claim differs from the one before.
    pub(crate) fn claimed(&self, name: &str, claim: &Claim) -> bool {
        let now = Claimed {
            is_engine: claim.is_engine,
            keys: claim.keys.clone(),
            serving: claim
                .serving
                .as_ref()
                .ok()
                .map(|r| (r.digest.clone(), r.permits.clone())),
        };
        lock(&self.claims).insert(name.to_owned(), now.clone()) != Some(now)
    }

    /// A Plugin is gone; what it had claimed.
    pub(crate) fn forget(&self, name: &str) -> Option<(bool, BTreeSet<String>)> {
        lock(&self.all).remove(name);
        lock(&self.claims)
            .remove(name)
            .map(|c| (c.is_engine, c.keys))
    }

    /// Digests whose compiled code is worth keeping, with those of a memory that is out.
    pub(crate) fn digests(&self, out: &Memory) -> BTreeSet<Digest> {
        let all = lock(&self.all);
        let memories = all.values().chain([out]);
        let of = |memory: &Memory| {
            let served = [&memory.active, &memory.previous]
                .into_iter()
                .flatten()
                .map(|a| a.revision.digest.clone());
            let candidate = memory.candidate.iter().map(|r| r.digest.clone());
            served.chain(candidate).collect::<Vec<_>>()
        };
        memories.flat_map(of).collect()
    }
}
