//! What is known of the cluster, kept current by the watches, and who has to be looked at when it changes.
//!
//! [`State`] is plain data with plain methods: an object goes in, the keys that it touches come out. It holds no Secret
//! body, only metadata and hashes. [`World`] adds the lock. Each kind of object has a file of its own.

mod access;
mod cluster;
mod external_secrets;
mod namespaces;
mod stores;
mod targets;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use postern_api::ExternalSecret;
use postern_core::access::{Access, AccessId};
use postern_core::fan_out::Namespace;
use postern_core::generic::Kind;
use postern_core::plan::{self, TargetMeta};
use postern_core::store::StoreId;

pub(crate) use self::access::id as access_id;
pub(crate) use self::cluster::{ClusterEntry, FanOut};
pub(crate) use self::stores::{Outlook, SeenStore, Standing, StoreEntry};

use self::external_secrets::SecretEntry;
use self::targets::Known;
use crate::plugins;
use crate::queue::Class;

/// Names a namespaced object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ObjectKey {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl ObjectKey {
    pub(crate) fn of(meta: &ObjectMeta) -> Self {
        Self {
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
        }
    }
}

/// Names a target.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TargetKey {
    /// None for a Secret.
    pub(crate) kind: Option<Arc<Kind>>,
    pub(crate) object: ObjectKey,
}

impl TargetKey {
    pub(crate) const fn secret(object: ObjectKey) -> Self {
        Self { kind: None, object }
    }

    /// The target of an ExternalSecret.
    pub(crate) fn of(object: &ExternalSecret) -> Self {
        Self {
            kind: Kind::of(object).map(Arc::new),
            object: ObjectKey {
                namespace: object.metadata.namespace.clone().unwrap_or_default(),
                name: plan::target_name(object),
            },
        }
    }
}

/// What a worker takes from the queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    /// A store to check.
    Store(StoreId),
    /// An ExternalSecret to sync.
    ExternalSecret(ObjectKey),
    /// A ClusterExternalSecret to fan out, by name.
    ClusterExternalSecret(String),
    /// A namespace on which the peer left something, by name.
    Namespace(String),
    /// A Plugin to look at, by name.
    Plugin(String),
}

/// Keys that a change touches.
pub(crate) type Touched = Vec<(Key, Class)>;

/// All that is known.
#[derive(Debug, Default)]
pub(crate) struct State {
    secrets: HashMap<ObjectKey, SecretEntry>,
    by_store: HashMap<StoreId, BTreeSet<ObjectKey>>,
    by_target: HashMap<TargetKey, BTreeSet<ObjectKey>>,
    stores: HashMap<StoreId, StoreEntry>,
    namespaces: BTreeMap<String, Namespace>,
    clusters: BTreeMap<String, ClusterEntry>,
    /// ExternalSecrets by the UID of the ClusterExternalSecret that made them.
    children: HashMap<String, BTreeSet<ObjectKey>>,
    /// What restricts stores; few, and looked through.
    access: BTreeMap<AccessId, Arc<Access>>,
    /// Targets of ExternalSecrets that are gone, with their UIDs, until somebody has looked after them.
    bereft: HashMap<ObjectKey, (ObjectKey, String)>,
    targets: HashMap<TargetKey, TargetMeta>,
    known: HashMap<TargetKey, Known>,
    /// Plugins and their grants.
    pub(crate) plugins: plugins::Known,
}

fn remove_from<K: std::hash::Hash + Eq + Clone>(
    index: &mut HashMap<K, BTreeSet<ObjectKey>>,
    at: &K,
    key: &ObjectKey,
) {
    if let Some(set) = index.get_mut(at) {
        set.remove(key);
        if set.is_empty() {
            index.remove(at);
        }
    }
}

fn same_but_status(old: &ObjectMeta, new: &ObjectMeta) -> bool {
    old.uid == new.uid
        && old.generation == new.generation
        && old.labels == new.labels
        && old.annotations == new.annotations
        && old.finalizers == new.finalizers
        && old.deletion_timestamp == new.deletion_timestamp
}

/// A watch may show a version from before our own patch.
fn is_older(new: &ObjectMeta, old: &ObjectMeta) -> bool {
    let version = |meta: &ObjectMeta| meta.resource_version.as_deref().map(version_number);
    new.uid == old.uid && version(new) < version(old)
}

/// Resource versions of one object are numbers that grow (KEP-5504).
fn version_number(version: &str) -> u128 {
    version.parse().unwrap_or(0)
}

/// The state that all tasks share. The lock is never held across an await.
#[derive(Debug, Default)]
pub(crate) struct World(Mutex<State>);

impl World {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // Each method leaves the state whole, and a missed update is repaired by the next list.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
