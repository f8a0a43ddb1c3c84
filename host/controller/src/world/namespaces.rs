//! Namespaces as they are known: their labels, and whether they are going.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use postern_api::names::LABEL_REQUIRE_STORE_ACCESS;
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
        match old {
            // Whoever was seen before its namespace has waited for it.
            None => touched.extend(self.readers(&name, |_| true)),
            Some(old) if old.labels != seen.labels => {
                let required = |labels: &BTreeMap<String, String>| {
                    labels.get(LABEL_REQUIRE_STORE_ACCESS).cloned()
                };
                let all = required(&old.labels) != required(&seen.labels);
                let concerned = |stores: &BTreeSet<StoreId>| {
                    all || stores.iter().any(|id| self.looks_at_namespaces(id))
                };
                touched.extend(self.readers(&name, concerned));
            }
            Some(_) => {}
        }
        touched
    }

    /// The ExternalSecrets of a namespace that read from such stores.
    fn readers(&self, namespace: &str, such: impl Fn(&BTreeSet<StoreId>) -> bool) -> Touched {
        let concerned = self
            .secrets
            .iter()
            .filter(|(key, e)| key.namespace == namespace && such(&e.stores));
        concerned
            .map(|(key, _)| (Key::ExternalSecret(key.clone()), Class::Changed))
            .collect()
    }

    fn looks_at_namespaces(&self, id: &StoreId) -> bool {
        let store = self.stores.get(id).and_then(|s| s.parsed.as_ref().ok());
        store.is_some_and(|store| !store.conditions.is_empty()) || self.is_restricted(id)
    }

    /// A namespace is gone.
    pub(crate) fn lose_namespace(&mut self, name: &str) -> Touched {
        self.namespaces.remove(name);
        self.all_cluster_external_secrets()
    }

    /// Whether a namespace has been seen.
    pub(crate) fn knows_namespace(&self, name: &str) -> bool {
        self.namespaces.contains_key(name)
    }

    pub(crate) fn namespace_labels(&self, name: &str) -> BTreeMap<String, String> {
        let known = self.namespaces.get(name);
        known.map(|n| n.labels.clone()).unwrap_or_default()
    }

    pub(crate) fn namespace_names(&self) -> Vec<String> {
        self.namespaces.keys().cloned().collect()
    }
}
