//! Namespaces as they are known: their labels, and whether they are going.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use postern_core::fan_out::Namespace;
use postern_core::store::StoreId;

use super::cluster::has_left_overs;
use super::{Key, State, Touched};
use crate::queue::Class;

impl State {
    /// A namespace was seen; its labels may open or close stores, and select it.
    pub(crate) fn see_namespace(&mut self, meta: &ObjectMeta) -> Touched {
        let name = meta.name.clone().unwrap_or_default();
        let seen = Namespace {
            labels: meta.labels.clone().unwrap_or_default(),
            going: meta.deletion_timestamp.is_some(),
        };
        let mut touched = Vec::new();
        if has_left_overs(meta) {
            touched.push((Key::Namespace(name.clone()), Class::Changed));
        }
        let old = self.namespaces.insert(name.clone(), seen.clone());
        if old.as_ref() == Some(&seen) {
            return touched;
        }
        touched.extend(self.all_cluster_external_secrets());
        if old.is_none_or(|old| old.labels != seen.labels) {
            touched.extend(self.readers_with_conditions(&name));
        }
        touched
    }

    /// The ExternalSecrets of a namespace that read from a store which looks at namespaces.
    fn readers_with_conditions(&self, namespace: &str) -> Touched {
        let conditional = |id: &StoreId| {
            self.stores
                .get(id)
                .and_then(|s| s.parsed.as_ref().ok())
                .is_some_and(|s| !s.conditions.is_empty())
        };
        let concerned = self
            .secrets
            .iter()
            .filter(|(key, e)| key.namespace == namespace && e.stores.iter().any(conditional));
        concerned
            .map(|(key, _)| (Key::ExternalSecret(key.clone()), Class::Changed))
            .collect()
    }

    /// A namespace is gone.
    pub(crate) fn lose_namespace(&mut self, name: &str) -> Touched {
        self.namespaces.remove(name);
        self.all_cluster_external_secrets()
    }

    pub(crate) fn namespace_labels(&self, name: &str) -> BTreeMap<String, String> {
        let known = self.namespaces.get(name);
        known.map(|n| n.labels.clone()).unwrap_or_default()
    }

    pub(crate) fn namespace_names(&self) -> Vec<String> {
        self.namespaces.keys().cloned().collect()
    }
}
