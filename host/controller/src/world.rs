//! What is known of the cluster, kept current by the watches, and who has to be looked at when it changes.
//!
//! [`State`] is plain data with plain methods: an object goes in, the keys that it touches come out. It holds no Secret
//! body, only metadata and hashes. [`World`] adds the lock.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use postern_api::secret_store::{SecretStoreSpec, SecretStoreStatus};
use postern_api::{ExternalSecret, ExternalSecretStatus, names};
use postern_core::conclude;
use postern_core::failure::Failure;
use postern_core::plan::{self, StoreState, TargetMeta};
use postern_core::store::{self, Store, StoreId};

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

/// What a worker takes from the queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    /// A store to check.
    Store(StoreId),
    /// An ExternalSecret to sync.
    ExternalSecret(ObjectKey),
    /// A Plugin to look at, by name.
    Plugin(String),
}

/// Keys that a change touches.
pub(crate) type Touched = Vec<(Key, Class)>;

/// What has been found out about a store since its spec was last changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing yet; whoever needs it waits for the check.
    Unchecked,
    /// It can be used.
    Ready,
    /// It cannot; the text says why.
    NotReady(String),
}

/// A store as it is known.
#[derive(Clone, Debug)]
pub(crate) struct StoreEntry {
    pub(crate) uid: String,
    pub(crate) generation: i64,
    pub(crate) finalizers: Vec<String>,
    pub(crate) being_deleted: bool,
    pub(crate) resource_version: String,
    pub(crate) parsed: Result<Arc<Store>, Failure>,
    pub(crate) status: Option<SecretStoreStatus>,
    pub(crate) standing: Standing,
}

/// A store as the watch shows it.
pub(crate) struct SeenStore<'a> {
    pub(crate) id: StoreId,
    pub(crate) meta: &'a ObjectMeta,
    pub(crate) spec: Result<&'a SecretStoreSpec, Failure>,
    pub(crate) status: Option<SecretStoreStatus>,
}

/// The version of a Secret that we wrote or read last, and the hash of its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) uid: String,
    pub(crate) resource_version: String,
    pub(crate) hash: String,
}

/// An ExternalSecret as it is known. One that cannot be read keeps its name, so that it can be told why.
#[derive(Clone, Debug)]
struct SecretEntry {
    object: Arc<ExternalSecret>,
    malformed: bool,
    stores: BTreeSet<StoreId>,
    target: ObjectKey,
}

/// All that is known.
#[derive(Debug, Default)]
pub(crate) struct State {
    secrets: HashMap<ObjectKey, SecretEntry>,
    by_store: HashMap<StoreId, BTreeSet<ObjectKey>>,
    by_target: HashMap<ObjectKey, BTreeSet<ObjectKey>>,
    stores: HashMap<StoreId, StoreEntry>,
    namespaces: HashMap<String, BTreeMap<String, String>>,
    targets: HashMap<ObjectKey, TargetMeta>,
    known: HashMap<ObjectKey, Known>,
    /// Plugins and their grants.
    pub(crate) plugins: plugins::Known,
}

impl State {
    /// An ExternalSecret was seen. Its status alone touches nothing: it is we who write it.
    pub(crate) fn see_external_secret(&mut self, object: ExternalSecret) -> Touched {
        self.see(object, false)
    }

    /// An ExternalSecret was seen that does not fit its type; only its metadata is known.
    pub(crate) fn see_malformed(&mut self, meta: ObjectMeta) -> Touched {
        self.see(
            ExternalSecret {
                metadata: meta,
                ..ExternalSecret::default()
            },
            true,
        )
    }

    fn see(&mut self, mut object: ExternalSecret, malformed: bool) -> Touched {
        object.metadata.managed_fields = None;
        let key = ObjectKey::of(&object.metadata);
        let old = self
            .secrets
            .get(&key)
            .map(|entry| Arc::clone(&entry.object));
        if old
            .as_ref()
            .is_some_and(|old| is_older(&object.metadata, &old.metadata))
        {
            return Vec::new();
        }
        let touched = old.is_none_or(|old| !same_but_status(&old.metadata, &object.metadata));
        self.unlink(&key);
        let target = ObjectKey {
            namespace: key.namespace.clone(),
            name: plan::target_name(&object),
        };
        let stores = plan::stores_of(&object);
        for id in &stores {
            self.by_store
                .entry(id.clone())
                .or_default()
                .insert(key.clone());
        }
        self.by_target
            .entry(target.clone())
            .or_default()
            .insert(key.clone());
        self.secrets.insert(
            key.clone(),
            SecretEntry {
                object: Arc::new(object),
                malformed,
                stores,
                target,
            },
        );
        if touched {
            vec![(Key::ExternalSecret(key), Class::Changed)]
        } else {
            Vec::new()
        }
    }

    /// An ExternalSecret is gone.
    pub(crate) fn lose_external_secret(&mut self, key: &ObjectKey) {
        self.unlink(key);
        if let Some(entry) = self.secrets.remove(key)
            && !self.by_target.contains_key(&entry.target)
        {
            self.known.remove(&entry.target);
        }
    }

    fn unlink(&mut self, key: &ObjectKey) {
        let Some(entry) = self.secrets.get(key) else {
            return;
        };
        for id in &entry.stores {
            remove_from(&mut self.by_store, id, key);
        }
        remove_from(&mut self.by_target, &entry.target, key);
    }

    /// Our own patch came back: later steps must not wait for the watch to tell the same.
    pub(crate) fn wrote_status(
        &mut self,
        key: &ObjectKey,
        resource_version: Option<String>,
        status: ExternalSecretStatus,
    ) {
        let Some(entry) = self.secrets.get_mut(key) else {
            return;
        };
        let object = Arc::make_mut(&mut entry.object);
        object.status = Some(status);
        object.metadata.resource_version = resource_version;
    }

    /// A store was seen. What was found out about it holds until its spec changes.
    pub(crate) fn see_store(&mut self, seen: SeenStore<'_>) -> Touched {
        let SeenStore {
            id,
            meta,
            spec,
            status,
        } = seen;
        let uid = meta.uid.clone().unwrap_or_default();
        let generation = meta.generation.unwrap_or_default();
        let old = self.stores.get(&id);
        let same = old.filter(|old| old.uid == uid && old.generation == generation);
        let parsed = match same {
            Some(same) => same.parsed.clone(),
            None => spec
                .and_then(|spec| store::parse(id.clone(), uid.clone(), generation, spec))
                .map(Arc::new),
        };
        let going = meta.deletion_timestamp.is_some();
        let touched = same.is_none_or(|same| same.being_deleted != going);
        let entry = StoreEntry {
            uid,
            generation,
            finalizers: meta.finalizers.clone().unwrap_or_default(),
            being_deleted: going,
            resource_version: meta.resource_version.clone().unwrap_or_default(),
            parsed,
            status,
            standing: same.map_or(Standing::Unchecked, |same| same.standing.clone()),
        };
        self.stores.insert(id.clone(), entry);
        if touched {
            vec![(Key::Store(id), Class::Store)]
        } else {
            Vec::new()
        }
    }

    /// A store is gone; its sessions have to be closed, and its ExternalSecrets told.
    pub(crate) fn lose_store(&mut self, id: &StoreId) -> Touched {
        if self.stores.remove(id).is_none() {
            return Vec::new();
        }
        let mut touched = self.users_of(id);
        touched.push((Key::Store(id.clone()), Class::Store));
        touched
    }

    /// A check of a store ended. Wakes those who waited for it.
    pub(crate) fn checked(
        &mut self,
        id: &StoreId,
        uid: &str,
        generation: i64,
        standing: Standing,
    ) -> Touched {
        let Some(entry) = self
            .stores
            .get_mut(id)
            .filter(|e| e.uid == uid && e.generation == generation)
        else {
            return Vec::new();
        };
        let old = std::mem::replace(&mut entry.standing, standing);
        let turned_ready = old != Standing::Ready && entry.standing == Standing::Ready;
        if old == Standing::Unchecked || turned_ready {
            self.users_of(id)
        } else {
            Vec::new()
        }
    }

    /// Our own patch of a store came back.
    pub(crate) fn wrote_store_status(&mut self, id: &StoreId, status: SecretStoreStatus) {
        if let Some(entry) = self.stores.get_mut(id) {
            entry.status = Some(status);
        }
    }

    fn users_of(&self, id: &StoreId) -> Touched {
        let users = self.by_store.get(id).into_iter().flatten();
        users
            .map(|key| (Key::ExternalSecret(key.clone()), Class::Changed))
            .collect()
    }

    /// Another plugin serves these keys: their stores are checked again, or who uses these template engines is synced.
    pub(crate) fn users_of_keys(&self, is_engine: bool, keys: &BTreeSet<String>) -> Touched {
        if is_engine {
            let users = self.secrets.iter().filter(|(_, entry)| {
                let template = entry
                    .object
                    .spec
                    .target
                    .as_ref()
                    .and_then(|t| t.template.as_ref());
                let engine = template.and_then(|t| t.engine.as_deref());
                engine.is_some_and(|name| keys.contains(name))
            });
            return users
                .map(|(key, _)| (Key::ExternalSecret(key.clone()), Class::Changed))
                .collect();
        }
        let stores = self.stores.iter().filter(|(_, entry)| serves(entry, keys));
        stores
            .map(|(id, _)| (Key::Store(id.clone()), Class::Store))
            .collect()
    }

    /// Our stores with one of these keys that can be used, by the last check or by what an earlier process found.
    pub(crate) fn usable_stores(&self, keys: &BTreeSet<String>, class: &str) -> Vec<Arc<Store>> {
        let usable = |entry: &StoreEntry| match entry.standing {
            Standing::Ready => true,
            Standing::Unchecked => conclude::store_is_ready(entry.status.as_ref()).is_ok(),
            Standing::NotReady(_) => false,
        };
        let stores = self
            .stores
            .values()
            .filter(|e| !e.being_deleted && serves(e, keys) && usable(e));
        stores
            .filter_map(|e| e.parsed.clone().ok())
            .filter(|store| is_ours(store, class))
            .collect()
    }

    /// A managed Secret was seen. A version that we wrote ourselves touches nobody.
    pub(crate) fn see_target(&mut self, meta: &ObjectMeta) -> Touched {
        let key = ObjectKey::of(meta);
        let seen = target_meta(meta);
        let own = self
            .known
            .get(&key)
            .is_some_and(|k| k.uid == seen.uid && k.resource_version == seen.resource_version);
        let same = self
            .targets
            .get(&key)
            .is_some_and(|old| old.resource_version == seen.resource_version);
        self.targets.insert(key.clone(), seen);
        if own || same {
            Vec::new()
        } else {
            self.owners_of(&key)
        }
    }

    /// A Secret left the watch: it was deleted, or its label was taken off. Which of the two, the sync finds out.
    pub(crate) fn lose_target(&mut self, key: &ObjectKey) -> Touched {
        self.known.remove(key);
        if self.targets.remove(key).is_some() {
            self.owners_of(key)
        } else {
            Vec::new()
        }
    }

    fn owners_of(&self, target: &ObjectKey) -> Touched {
        let owners = self.by_target.get(target).into_iter().flatten();
        owners
            .map(|key| (Key::ExternalSecret(key.clone()), Class::Changed))
            .collect()
    }

    /// We wrote or read this version of a Secret.
    pub(crate) fn knows_target(&mut self, meta: &ObjectMeta, hash: String) {
        let key = ObjectKey::of(meta);
        let seen = target_meta(meta);
        self.known.insert(
            key.clone(),
            Known {
                uid: seen.uid.clone(),
                resource_version: seen.resource_version.clone(),
                hash,
            },
        );
        let newer = self.targets.get(&key).is_none_or(|old| {
            old.uid != seen.uid
                || version_number(&old.resource_version) <= version_number(&seen.resource_version)
        });
        if newer {
            self.targets.insert(key, seen);
        }
    }

    /// A Secret is not there after all.
    pub(crate) fn misses_target(&mut self, key: &ObjectKey) {
        self.known.remove(key);
        self.targets.remove(key);
    }

    /// A namespace was seen; its labels may open or close stores.
    pub(crate) fn see_namespace(&mut self, meta: &ObjectMeta) -> Touched {
        let name = meta.name.clone().unwrap_or_default();
        let labels = meta.labels.clone().unwrap_or_default();
        let old = self.namespaces.insert(name.clone(), labels.clone());
        if old.as_ref() == Some(&labels) {
            return Vec::new();
        }
        let conditional = |id: &StoreId| {
            self.stores
                .get(id)
                .and_then(|s| s.parsed.as_ref().ok())
                .is_some_and(|s| !s.conditions.is_empty())
        };
        let concerned = self
            .secrets
            .iter()
            .filter(|(key, e)| key.namespace == name && e.stores.iter().any(conditional));
        concerned
            .map(|(key, _)| (Key::ExternalSecret(key.clone()), Class::Changed))
            .collect()
    }

    /// A namespace is gone.
    pub(crate) fn lose_namespace(&mut self, name: &str) {
        self.namespaces.remove(name);
    }

    pub(crate) fn external_secret(&self, key: &ObjectKey) -> Option<Arc<ExternalSecret>> {
        self.secrets.get(key).map(|entry| Arc::clone(&entry.object))
    }

    pub(crate) fn is_malformed(&self, key: &ObjectKey) -> bool {
        self.secrets.get(key).is_some_and(|entry| entry.malformed)
    }

    pub(crate) fn store(&self, id: &StoreId) -> Option<StoreEntry> {
        self.stores.get(id).cloned()
    }

    pub(crate) fn namespace_labels(&self, name: &str) -> BTreeMap<String, String> {
        self.namespaces.get(name).cloned().unwrap_or_default()
    }

    /// The target without its values; the hash of what it holds only where we know this very version.
    pub(crate) fn target(&self, key: &ObjectKey) -> Option<TargetMeta> {
        let mut target = self.targets.get(key)?.clone();
        let known = self
            .known
            .get(key)
            .filter(|k| k.uid == target.uid && k.resource_version == target.resource_version);
        target.actual_hash = known.map(|k| k.hash.clone());
        Some(target)
    }

    /// What a plan may know of the stores that an ExternalSecret names; none while one of them is yet to be checked.
    pub(crate) fn stores_for(
        &self,
        object: &ExternalSecret,
        class: &str,
    ) -> Option<BTreeMap<StoreId, StoreState>> {
        let states = plan::stores_of(object).into_iter().map(|id| {
            let state = self.store_state(&id, class)?;
            Some((id, state))
        });
        states.collect()
    }

    fn store_state(&self, id: &StoreId, class: &str) -> Option<StoreState> {
        let Some(entry) = self.stores.get(id) else {
            return Some(StoreState::Missing);
        };
        let store = match &entry.parsed {
            Ok(store) => store,
            Err(failure) => return Some(StoreState::NotReady(failure.public.clone())),
        };
        if !is_ours(store, class) {
            // Another controller's: the plan leaves the ExternalSecret alone, whatever the store's condition is.
            return Some(StoreState::Ready(Arc::clone(store)));
        }
        match &entry.standing {
            Standing::Unchecked => None,
            Standing::Ready => Some(StoreState::Ready(Arc::clone(store))),
            Standing::NotReady(why) => Some(StoreState::NotReady(why.clone())),
        }
    }

    pub(crate) fn external_secret_keys(&self) -> Vec<ObjectKey> {
        self.secrets.keys().cloned().collect()
    }

    pub(crate) fn store_ids(&self) -> Vec<StoreId> {
        self.stores.keys().cloned().collect()
    }

    pub(crate) fn target_keys(&self) -> Vec<ObjectKey> {
        self.targets.keys().cloned().collect()
    }

    pub(crate) fn namespace_names(&self) -> Vec<String> {
        self.namespaces.keys().cloned().collect()
    }
}

/// Whether a store is of our controller class.
pub(crate) fn is_ours(store: &Store, class: &str) -> bool {
    store.controller.is_empty() || store.controller == class
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

fn target_meta(meta: &ObjectMeta) -> TargetMeta {
    let text = |map: &Option<BTreeMap<String, String>>, name: &str| {
        map.as_ref().and_then(|m| m.get(name)).cloned()
    };
    TargetMeta {
        uid: meta.uid.clone().unwrap_or_default(),
        resource_version: meta.resource_version.clone().unwrap_or_default(),
        managed: text(&meta.labels, names::LABEL_MANAGED).as_deref() == Some("true"),
        data_hash_annotation: text(&meta.annotations, names::ANNOTATION_DATA_HASH),
        actual_hash: None,
    }
}

/// The state that all tasks share. The lock is never held across an await.
#[derive(Debug, Default)]
pub(crate) struct World(Mutex<State>);

fn serves(entry: &StoreEntry, keys: &BTreeSet<String>) -> bool {
    let store = entry.parsed.as_ref();
    store.is_ok_and(|store| keys.contains(&store.provider_key))
}

impl World {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // Each method leaves the state whole, and a missed update is repaired by the next list.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_api::external_secret::StoreKind;
    use serde_json::json;

    fn external_secret(version: &str, generation: i64) -> ExternalSecret {
        serde_json::from_value(json!({
            "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
            "metadata": {"name": "db", "namespace": "team", "uid": "e1", "resourceVersion": version, "generation": generation},
            "spec": {"secretStoreRef": {"name": "s"}, "target": {"name": "db-secret"},
                     "data": [{"secretKey": "a", "remoteRef": {"key": "k"}}]},
        }))
        .unwrap()
    }

    fn secret(version: &str) -> ObjectMeta {
        serde_json::from_value(json!({
            "name": "db-secret", "namespace": "team", "uid": "s1", "resourceVersion": version,
            "labels": {names::LABEL_MANAGED: "true"}, "annotations": {names::ANNOTATION_DATA_HASH: "h"},
        }))
        .unwrap()
    }

    fn store_id() -> StoreId {
        StoreId::from_ref(StoreKind::SecretStore, "s", "team")
    }

    fn see_store(state: &mut State, generation: i64) -> Touched {
        let meta: ObjectMeta = serde_json::from_value(
            json!({"name": "s", "namespace": "team", "uid": "u", "generation": generation}),
        )
        .unwrap();
        let spec = serde_json::from_value(json!({"provider": {"fake": {}}})).unwrap();
        state.see_store(SeenStore {
            id: store_id(),
            meta: &meta,
            spec: Ok(&spec),
            status: None,
        })
    }

    fn the_secret() -> Touched {
        vec![(
            Key::ExternalSecret(ObjectKey {
                namespace: "team".into(),
                name: "db".into(),
            }),
            Class::Changed,
        )]
    }

    #[test]
    fn a_status_alone_touches_nothing() {
        let mut state = State::default();
        assert_eq!(
            state.see_external_secret(external_secret("1", 1)),
            the_secret()
        );
        assert_eq!(state.see_external_secret(external_secret("2", 1)), []);
        assert_eq!(
            state.see_external_secret(external_secret("3", 2)),
            the_secret()
        );
    }

    #[test]
    fn a_late_watch_event_does_not_undo_our_own_status() {
        let mut state = State::default();
        state.see_external_secret(external_secret("1", 1));
        let key = ObjectKey {
            namespace: "team".into(),
            name: "db".into(),
        };
        let status = ExternalSecretStatus {
            refresh_time: Some("now".into()),
            ..ExternalSecretStatus::default()
        };
        state.wrote_status(&key, Some("9".into()), status);
        state.see_external_secret(external_secret("8", 1));
        assert_eq!(
            state
                .external_secret(&key)
                .unwrap()
                .status
                .as_ref()
                .unwrap()
                .refresh_time
                .as_deref(),
            Some("now")
        );
    }

    #[test]
    fn a_secret_that_somebody_else_wrote_touches_its_owner_and_ours_does_not() {
        let mut state = State::default();
        state.see_external_secret(external_secret("1", 1));
        state.knows_target(&secret("5"), "h".into());
        assert_eq!(state.see_target(&secret("5")), []);
        let key = ObjectKey::of(&secret("5"));
        assert_eq!(
            state.target(&key).unwrap().actual_hash.as_deref(),
            Some("h")
        );
        assert_eq!(state.see_target(&secret("6")), the_secret());
        assert_eq!(state.target(&key).unwrap().actual_hash, None);
        assert_eq!(state.lose_target(&key), the_secret());
        assert_eq!(state.target(&key), None);
    }

    #[test]
    fn an_unchecked_store_lets_wait_and_its_check_wakes() {
        let mut state = State::default();
        let object = external_secret("1", 1);
        state.see_external_secret(object.clone());
        assert!(matches!(
            state.stores_for(&object, "default").unwrap()[&store_id()],
            StoreState::Missing
        ));
        assert_eq!(
            see_store(&mut state, 1),
            [(Key::Store(store_id()), Class::Store)]
        );
        assert!(state.stores_for(&object, "default").is_none());
        assert_eq!(
            state.checked(&store_id(), "u", 1, Standing::NotReady("sealed".into())),
            the_secret()
        );
        assert_eq!(
            state.checked(&store_id(), "u", 1, Standing::NotReady("away".into())),
            []
        );
        assert_eq!(
            state.checked(&store_id(), "u", 1, Standing::Ready),
            the_secret()
        );
        assert_eq!(state.checked(&store_id(), "u", 1, Standing::Ready), []);
        assert!(matches!(
            state.stores_for(&object, "default").unwrap()[&store_id()],
            StoreState::Ready(_)
        ));
    }

    #[test]
    fn a_changed_store_has_to_be_checked_again_and_a_late_check_does_not_count() {
        let mut state = State::default();
        state.see_external_secret(external_secret("1", 1));
        see_store(&mut state, 1);
        state.checked(&store_id(), "u", 1, Standing::Ready);
        assert_eq!(see_store(&mut state, 1), []);
        see_store(&mut state, 2);
        assert_eq!(state.checked(&store_id(), "u", 1, Standing::Ready), []);
        assert_eq!(
            state.store(&store_id()).unwrap().standing,
            Standing::Unchecked
        );
    }

    #[test]
    fn nothing_is_kept_of_what_is_gone() {
        let mut state = State::default();
        state.see_external_secret(external_secret("1", 1));
        state.knows_target(&secret("5"), "h".into());
        state.lose_external_secret(&ObjectKey {
            namespace: "team".into(),
            name: "db".into(),
        });
        assert!(
            state.secrets.is_empty()
                && state.by_store.is_empty()
                && state.by_target.is_empty()
                && state.known.is_empty()
        );
    }
}
