//! Stores as they are known: what was found out about each, and who waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use postern_api::external_secret::StoreKind;
use postern_api::secret_store::{SecretStoreSpec, SecretStoreStatus};
use postern_api::{ExternalSecret, names};
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
    /// The controller class that it names; known also where the rest cannot be used.
    pub(crate) class: String,
    /// Whether events tell that nobody looks after its provider.
    pub(crate) says_upkeep: bool,
    pub(crate) parsed: Result<Arc<Store>, Failure>,
    pub(crate) status: Option<SecretStoreStatus>,
    pub(crate) standing: Standing,
}

/// How this process looks at stores.
#[derive(Clone, Debug)]
pub(crate) struct Outlook {
    /// Its controller class.
    pub(crate) class: String,
    /// Whether readers wait while a store is not ready.
    pub(crate) flood_gate: bool,
    /// Whether it checks SecretStores. If not, another process does, and says so in their status.
    pub(crate) secret_stores: bool,
    /// Whether it sees ClusterSecretStores.
    pub(crate) cluster_stores: bool,
}

impl Outlook {
    /// Whether stores of a kind are checked here.
    pub(crate) fn checks(&self, kind: StoreKind) -> bool {
        match kind {
            StoreKind::SecretStore => self.secret_stores,
            StoreKind::ClusterSecretStore => self.cluster_stores,
        }
    }
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
        let class = match &spec {
            Ok(spec) => spec.controller.clone().unwrap_or_default(),
            Err(_) => String::new(),
        };
        // Our own word came back already, so this is another process that checks it.
        let turned_ready = same.is_some_and(|same| {
            let ready = |status: Option<&_>| conclude::store_is_ready(status).is_ok();
            same.standing == Standing::Unchecked
                && !ready(same.status.as_ref())
                && ready(status.as_ref())
        });
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
            class,
            says_upkeep: meta
                .annotations
                .as_ref()
                .is_none_or(|all| !all.contains_key(names::ANNOTATION_IGNORE_MAINTENANCE)),
            parsed,
            status,
            standing: same.map_or(Standing::Unchecked, |same| same.standing.clone()),
        };
        self.stores.insert(id.clone(), entry);
        let mut keys = Vec::new();
        if turned_ready {
            keys = self.users_of(&id);
        }
        if touched {
            keys.push((Key::Store(id), Class::Store));
        }
        keys
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

    pub(super) fn users_of(&self, id: &StoreId) -> Touched {
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
            .filter(|store| store.is_of_class(class))
            .collect()
    }

    pub(crate) fn store(&self, id: &StoreId) -> Option<StoreEntry> {
        self.stores.get(id).cloned()
    }

    /// What a plan may know of the stores that an ExternalSecret names; none while one of them is yet to be checked.
    pub(crate) fn stores_for(
        &self,
        object: &ExternalSecret,
        outlook: &Outlook,
    ) -> Option<BTreeMap<StoreId, StoreState>> {
        let states = plan::stores_of(object).into_iter().map(|id| {
            let state = self.store_state(&id, outlook)?;
            Some((id, state))
        });
        states.collect()
    }

    fn store_state(&self, id: &StoreId, outlook: &Outlook) -> Option<StoreState> {
        if id.kind == StoreKind::ClusterSecretStore && !outlook.cluster_stores {
            let why = "this process serves no ClusterSecretStore; use a SecretStore, or a process for the whole cluster";
            return Some(StoreState::NotReady(why.to_owned()));
        }
        let Some(entry) = self.stores.get(id) else {
            return Some(StoreState::Missing);
        };
        if !store::is_of_class(&entry.class, &outlook.class) {
            // The plan leaves the ExternalSecret alone, whatever the store's condition is.
            return Some(StoreState::Foreign);
        }
        let store = match &entry.parsed {
            Ok(store) => Arc::clone(store),
            Err(failure) => return Some(StoreState::NotReady(failure.public.clone())),
        };
        if !outlook.flood_gate {
            return Some(StoreState::Ready(store));
        }
        if !outlook.checks(id.kind) {
            return Some(match conclude::store_is_ready(entry.status.as_ref()) {
                Ok(()) => StoreState::Ready(store),
                Err(why) => StoreState::NotReady(why),
            });
        }
        match &entry.standing {
            Standing::Unchecked => None,
            Standing::Ready => Some(StoreState::Ready(store)),
            Standing::NotReady(why) => Some(StoreState::NotReady(why.clone())),
        }
    }

    pub(crate) fn store_ids(&self, kind: StoreKind) -> Vec<StoreId> {
        let ids = self.stores.keys().filter(|id| id.kind == kind);
        ids.cloned().collect()
    }
}

fn serves(entry: &StoreEntry, keys: &BTreeSet<String>) -> bool {
    let store = entry.parsed.as_ref();
    store.is_ok_and(|store| keys.contains(&store.provider_key))
}
