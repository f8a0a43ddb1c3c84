//! What the controller tells whoever measures it: reports as things happen, and readings when they are asked for.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use postern_api::Condition;
use postern_core::conclude::Written;
use postern_core::failure::Code;
use postern_core::store::StoreId;
use postern_sync::{Calls, Doors, Fetches, Stats};

use crate::context::Context;
use crate::queue::Queue;
use crate::world::{Key, ObjectKey};

/// Told of what happens.
pub type OnReport = Arc<dyn Fn(Report<'_>) + Send + Sync>;

/// An object that is reported on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject<'a> {
    /// Its kind.
    pub kind: &'static str,
    /// Its namespace; empty for an object of the cluster.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub enum Report<'a> {
    /// A sync of an ExternalSecret came to a result.
    Synced {
        /// Which one.
        subject: Subject<'a>,
        /// What was done, or why not.
        result: Result<Written, Code>,
    },
    /// An object was looked at, also where nothing was to be done.
    Looked {
        /// Which one.
        subject: Subject<'a>,
        /// Its labels, of an ExternalSecret.
        labels: Option<&'a BTreeMap<String, String>>,
        /// What its condition Ready says now.
        ready: Option<bool>,
        /// When it was last synced.
        refreshed: Option<Timestamp>,
        /// How long the look took.
        took: Duration,
    },
    /// An object is gone.
    Gone {
        /// Which one.
        subject: Subject<'a>,
    },
}

/// What can be read of a controller that runs; clones read the same. Nothing before it runs.
#[derive(Clone, Default)]
pub struct Readings(Arc<OnceLock<(Arc<Queue<Key>>, Doors)>>);

impl std::fmt::Debug for Readings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readings").finish_non_exhaustive()
    }
}

/// Readings at one moment.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Objects that are due or under way.
    pub queued: usize,
    /// How long the oldest of them has been due.
    pub oldest: Duration,
    /// Counts of the doors.
    pub stats: Stats,
    /// Calls of backends.
    pub calls: Calls,
    /// What syncs asked of stores.
    pub fetches: Fetches,
}

impl Readings {
    /// What is so now; none before the controller runs.
    #[must_use]
    pub fn now(&self) -> Option<Reading> {
        let (queue, doors) = self.0.get()?;
        let (queued, oldest) = queue.load();
        Some(Reading {
            queued,
            oldest,
            stats: doors.stats(),
            calls: doors.calls(),
            fetches: doors.fetches(),
        })
    }

    pub(crate) fn of(&self, queue: &Arc<Queue<Key>>, doors: &Doors) {
        // A second controller with the same options would be read as the first; there is none.
        let _ = self.0.set((Arc::clone(queue), doors.clone()));
    }
}

impl ObjectKey {
    fn subject(&self) -> Subject<'_> {
        Subject {
            kind: "ExternalSecret",
            namespace: &self.namespace,
            name: &self.name,
        }
    }
}

/// A sync came to a result.
pub(crate) fn synced(ctx: &Context, key: &ObjectKey, result: Result<Written, Code>) {
    if let Some(report) = &ctx.on_report {
        let subject = key.subject();
        report(Report::Synced { subject, result });
    }
}

/// An ExternalSecret was looked at, or is gone.
pub(crate) fn external_secret(ctx: &Context, key: &ObjectKey, took: Duration) {
    let Some(report) = &ctx.on_report else { return };
    let subject = key.subject();
    let object = ctx.world.lock().external_secret(key);
    let Some(object) = object else {
        return report(Report::Gone { subject });
    };
    let status = object.status.as_ref();
    let refreshed = status.and_then(|status| status.refresh_time.as_ref());
    report(Report::Looked {
        subject,
        labels: object.metadata.labels.as_ref(),
        ready: ready(status.and_then(|status| status.conditions.as_deref())),
        refreshed: refreshed.and_then(|time| time.parse().ok()),
        took,
    });
}

/// A store was checked, or is gone.
pub(crate) fn store(ctx: &Context, id: &StoreId, took: Duration) {
    let entry = ctx.world.lock().store(id);
    if entry.is_none() {
        ctx.doors.stop_counting(id);
    }
    let Some(report) = &ctx.on_report else { return };
    let subject = Subject {
        kind: id.kind.as_str(),
        namespace: &id.namespace,
        name: &id.name,
    };
    let Some(entry) = entry else {
        return report(Report::Gone { subject });
    };
    let status = entry.status.as_ref();
    report(Report::Looked {
        subject,
        labels: None,
        ready: ready(status.and_then(|status| status.conditions.as_deref())),
        refreshed: None,
        took,
    });
}

fn ready(conditions: Option<&[Condition]>) -> Option<bool> {
    let ready = conditions?.iter().find(|c| c.type_ == "Ready")?;
    match ready.status.as_str() {
        "True" => Some(true),
        "False" => Some(false),
        _ => None,
    }
}
