//! ExternalSecrets as they are known, and which of them a store, a target or a namespace concerns.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use postern_api::external_secret::DeletionPolicy;
use postern_api::{ExternalSecret, ExternalSecretStatus};
use postern_core::store::StoreId;
use postern_core::{fan_out, plan};

use super::{Key, ObjectKey, State, TargetKey, Touched, is_older, remove_from, same_but_status};
use crate::queue::Class;

#[derive(Clone, Debug)]
pub(super) struct SecretEntry {
    pub(super) object: Arc<ExternalSecret>,
    pub(super) malformed: bool,
    pub(super) stores: BTreeSet<StoreId>,
    pub(super) target: TargetKey,
    /// UID of the ClusterExternalSecret that made it.
    pub(super) maker: Option<String>,
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
        let target = TargetKey::of(&object);
        let stores = plan::stores_of(&object);
        let maker = fan_out::controller(&object.metadata).map(|owner| owner.uid.clone());
        if let Some(maker) = &maker {
            self.children
                .entry(maker.clone())
                .or_default()
                .insert(key.clone());
        }
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
                maker,
            },
        );
        if !touched {
            return Vec::new();
        }
        let mut touched = self.makers_of(&key);
        touched.push((Key::ExternalSecret(key), Class::Changed));
        touched
    }

    /// An ExternalSecret is gone. One more run finds nothing and ends what is left of the key: its session with the queue,
    /// and under deletionPolicy Delete its target.
    pub(crate) fn lose_external_secret(&mut self, key: &ObjectKey) -> Touched {
        let mut touched = self.makers_of(key);
        touched.push((Key::ExternalSecret(key.clone()), Class::Periodic));
        self.unlink(key);
        if let Some(entry) = self.secrets.remove(key) {
            if !self.by_target.contains_key(&entry.target) {
                self.known.remove(&entry.target);
            }
            // What is no Secret is left to the garbage collector.
            if entry.target.kind.is_none() && takes_its_target_along(&entry) {
                let uid = entry.object.metadata.uid.clone().unwrap_or_default();
                self.bereft.insert(key.clone(), (entry.target.object, uid));
            }
        }
        touched
    }

    /// The target of an ExternalSecret that is gone, and that one's UID. Told once.
    pub(crate) fn take_bereft(&mut self, key: &ObjectKey) -> Option<(ObjectKey, String)> {
        self.bereft.remove(key)
    }

    fn unlink(&mut self, key: &ObjectKey) {
        let Some(entry) = self.secrets.get(key) else {
            return;
        };
        for id in &entry.stores {
            remove_from(&mut self.by_store, id, key);
        }
        remove_from(&mut self.by_target, &entry.target, key);
        if let Some(maker) = &entry.maker {
            remove_from(&mut self.children, maker, key);
        }
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
    pub(crate) fn external_secret(&self, key: &ObjectKey) -> Option<Arc<ExternalSecret>> {
        self.secrets.get(key).map(|entry| Arc::clone(&entry.object))
    }

    pub(crate) fn is_malformed(&self, key: &ObjectKey) -> bool {
        self.secrets.get(key).is_some_and(|entry| entry.malformed)
    }
    pub(crate) fn external_secret_keys(&self) -> Vec<ObjectKey> {
        self.secrets.keys().cloned().collect()
    }
}

fn takes_its_target_along(entry: &SecretEntry) -> bool {
    let target = entry.object.spec.target.as_ref();
    let policy = target.and_then(|t| t.deletion_policy).unwrap_or_default();
    !entry.malformed && policy == DeletionPolicy::Delete
}
