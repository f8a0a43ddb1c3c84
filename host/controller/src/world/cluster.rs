//! ClusterExternalSecrets as they are known, and what each of them has to look at.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use postern_api::{ClusterExternalSecret, ClusterExternalSecretStatus, ExternalSecret, names};
use postern_core::fan_out::{self, Namespace};

use super::{Key, ObjectKey, State, Touched, is_older, same_but_status};
use crate::queue::Class;

/// A ClusterExternalSecret as it is known. One that cannot be read keeps its name, so that it can be told why.
#[derive(Clone, Debug)]
pub(crate) struct ClusterEntry {
    pub(crate) object: Arc<ClusterExternalSecret>,
    pub(crate) malformed: bool,
}

/// What a decision about one ClusterExternalSecret is made of.
pub(crate) struct FanOut {
    pub(crate) entry: ClusterEntry,
    pub(crate) namespaces: BTreeMap<String, Namespace>,
    pub(crate) named: BTreeMap<String, Arc<ExternalSecret>>,
    pub(crate) ours: Vec<Arc<ExternalSecret>>,
}

impl State {
    /// A ClusterExternalSecret was seen. Its status alone touches nothing: it is we who write it.
    pub(crate) fn see_cluster_external_secret(
        &mut self,
        mut object: ClusterExternalSecret,
        malformed: bool,
    ) -> Touched {
        object.metadata.managed_fields = None;
        let name = object.metadata.name.clone().unwrap_or_default();
        let old = self.clusters.get(&name).map(|entry| &entry.object.metadata);
        if old.is_some_and(|old| is_older(&object.metadata, old)) {
            return Vec::new();
        }
        let touched = old.is_none_or(|old| !same_but_status(old, &object.metadata));
        let object = Arc::new(object);
        self.clusters
            .insert(name.clone(), ClusterEntry { object, malformed });
        if touched { one(name) } else { Vec::new() }
    }

    /// A ClusterExternalSecret is gone. What it made goes by its owner reference.
    pub(crate) fn lose_cluster_external_secret(&mut self, name: &str) -> Touched {
        match self.clusters.remove(name) {
            Some(_) => one(name.to_owned()),
            None => Vec::new(),
        }
    }

    /// Our own patch came back.
    pub(crate) fn wrote_cluster_status(
        &mut self,
        name: &str,
        resource_version: Option<String>,
        status: ClusterExternalSecretStatus,
    ) {
        if let Some(entry) = self.clusters.get_mut(name) {
            let object = Arc::make_mut(&mut entry.object);
            object.status = Some(status);
            object.metadata.resource_version = resource_version;
        }
    }

    /// All that concerns one ClusterExternalSecret.
    pub(crate) fn fan_out(&self, name: &str) -> Option<FanOut> {
        let entry = self.clusters.get(name)?.clone();
        let child = fan_out::child_name(&entry.object);
        let find = |key: &ObjectKey| self.secrets.get(key).map(|e| Arc::clone(&e.object));
        let named = self.namespaces.keys().filter_map(|namespace| {
            let key = ObjectKey {
                namespace: namespace.clone(),
                name: child.clone(),
            };
            Some((namespace.clone(), find(&key)?))
        });
        let uid = entry.object.metadata.uid.as_deref().unwrap_or_default();
        let ours = self.children.get(uid).into_iter().flatten();
        Some(FanOut {
            named: named.collect(),
            ours: ours.filter_map(find).collect(),
            namespaces: self.namespaces.clone(),
            entry,
        })
    }

    /// The ClusterExternalSecrets that an ExternalSecret concerns: the one that made it, and those that want its name.
    pub(super) fn makers_of(&self, key: &ObjectKey) -> Touched {
        let maker = self.secrets.get(key).and_then(|e| e.maker.as_deref());
        let concerned = self.clusters.iter().filter(|(_, entry)| {
            let uid = entry.object.metadata.uid.as_deref();
            (uid.is_some() && uid == maker) || fan_out::child_name(&entry.object) == key.name
        });
        concerned.flat_map(|(name, _)| one(name.clone())).collect()
    }

    /// Namespaces came, went or changed: everybody who selects some looks again.
    pub(super) fn all_cluster_external_secrets(&self) -> Touched {
        self.clusters.keys().cloned().flat_map(one).collect()
    }

    pub(crate) fn cluster_external_secret_names(&self) -> Vec<String> {
        self.clusters.keys().cloned().collect()
    }
}

/// What the peer left on a namespace so that it would be told of its end. We put nothing on namespaces.
pub(super) fn has_left_overs(meta: &ObjectMeta) -> bool {
    let mut finalizers = meta.finalizers.iter().flatten();
    finalizers.any(|f| f.starts_with(names::FINALIZER_NAMESPACE_PREFIX))
}

fn one(name: String) -> Touched {
    vec![(Key::ClusterExternalSecret(name), Class::Changed)]
}
