//! Namespaces as they are known: their labels.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use postern_core::store::StoreId;

use super::{Key, State, Touched};
use crate::queue::Class;

impl State {
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

    pub(crate) fn namespace_labels(&self, name: &str) -> BTreeMap<String, String> {
        self.namespaces.get(name).cloned().unwrap_or_default()
    }

    pub(crate) fn namespace_names(&self) -> Vec<String> {
        self.namespaces.keys().cloned().collect()
    }
}
