//! StoreAccesses and ClusterStoreAccesses as they are known, and whom a change of one concerns.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use postern_api::{ClusterStoreAccess, StoreAccess};
use postern_core::access::{self, Access, AccessId, Known};
use postern_core::store::StoreId;

use super::{State, Touched};

impl State {
    /// A StoreAccess was seen.
    pub(crate) fn see_store_access(&mut self, object: &StoreAccess) -> Touched {
        let id = id(&object.metadata);
        self.see_access(Access::of_store(id, &object.spec))
    }

    /// A ClusterStoreAccess was seen.
    pub(crate) fn see_cluster_store_access(&mut self, object: &ClusterStoreAccess) -> Touched {
        let id = id(&object.metadata);
        self.see_access(Access::of_cluster_store(id, &object.spec))
    }

    /// One was seen that cannot be read: it closes all that it could speak of.
    pub(crate) fn see_unreadable_access(&mut self, meta: &ObjectMeta) -> Touched {
        self.see_access(Access::unreadable(id(meta)))
    }

    fn see_access(&mut self, access: Access) -> Touched {
        let access = Arc::new(access);
        let old = self.access.insert(access.id.clone(), Arc::clone(&access));
        if old.as_ref() == Some(&access) {
            return Vec::new();
        }
        self.readers_under(old.iter().chain([&access]))
    }

    /// One is gone.
    pub(crate) fn lose_access(&mut self, id: &AccessId) -> Touched {
        let old = self.access.remove(id);
        self.readers_under(old.iter())
    }

    fn readers_under<'a>(&self, all: impl Iterator<Item = &'a Arc<Access>>) -> Touched {
        let all: Vec<_> = all.collect();
        let named = self.by_store.keys();
        let concerned = named.filter(|store| all.iter().any(|access| access.concerns(store)));
        concerned.flat_map(|store| self.users_of(store)).collect()
    }

    /// What restricts these stores.
    pub(crate) fn access_of<'a>(&'a self, stores: impl Iterator<Item = &'a StoreId>) -> Known {
        access::known(self.access.values(), stores)
    }

    pub(super) fn is_restricted(&self, store: &StoreId) -> bool {
        self.access.values().any(|access| access.concerns(store))
    }

    pub(crate) fn store_access_ids(&self) -> Vec<AccessId> {
        self.access_ids(false)
    }

    pub(crate) fn cluster_store_access_ids(&self) -> Vec<AccessId> {
        self.access_ids(true)
    }

    fn access_ids(&self, of_cluster: bool) -> Vec<AccessId> {
        let ids = self.access.keys();
        ids.filter(|id| id.namespace.is_empty() == of_cluster)
            .cloned()
            .collect()
    }
}

pub(crate) fn id(meta: &ObjectMeta) -> AccessId {
    AccessId {
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
    }
}
