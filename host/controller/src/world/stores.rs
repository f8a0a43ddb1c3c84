//! Stores as they are known: what was found out about each, and who waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use postern_api::ExternalSecret;
use postern_api::external_secret::StoreKind;
use postern_api::secret_store::{SecretStoreSpec, SecretStoreStatus};
use postern_core::conclude;
use postern_core::failure::Failure;
use postern_core::plan::{self, StoreState};
use postern_core::store::{self, Store, StoreId};

use super::{Key, State, Touched};
use crate::queue::Class;

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

impl State {
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

    pub(crate) fn store(&self, id: &StoreId) -> Option<StoreEntry> {
        self.stores.get(id).cloned()
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

    pub(crate) fn store_ids(&self, kind: StoreKind) -> Vec<StoreId> {
        let ids = self.stores.keys().filter(|id| id.kind == kind);
        ids.cloned().collect()
    }
}

/// Whether a store is of our controller class.
pub(crate) fn is_ours(store: &Store, class: &str) -> bool {
    store.controller.is_empty() || store.controller == class
}

fn serves(entry: &StoreEntry, keys: &BTreeSet<String>) -> bool {
    let store = entry.parsed.as_ref();
    store.is_ok_and(|store| keys.contains(&store.provider_key))
}
