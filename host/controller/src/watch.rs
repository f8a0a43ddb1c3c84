//! Step 0: what the watches show is put into the state, and what that touches into the queue.
//!
//! A watch that breaks is taken up again with backoff. An object that cannot be read is passed over with a warning and
//! stops nothing. Secret bodies are never watched: the watch asks for metadata of labelled Secrets only.

use std::pin::pin;
use std::sync::Arc;

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use postern_api::external_secret::StoreKind;
use postern_api::{ClusterSecretStore, ExternalSecret, Plugin, PluginGrant, SecretStore};
use postern_core::failure::{Code, Failure, Stage};
use postern_core::store::StoreId;
use tokio::sync::oneshot;

use crate::context::Context;
use crate::queue::Class;
use crate::world::{Key, ObjectKey, SeenStore, State, Touched};

/// How one kind of object gets into the state and out of it.
pub(crate) trait Mirror: Send + 'static {
    /// What the watch yields.
    type Object: Resource + Send;
    /// What names one.
    type Id: Ord + Send;

    /// For logs.
    const KIND: &'static str;

    fn id(meta: &ObjectMeta) -> Self::Id;
    fn see(state: &mut State, object: Self::Object) -> Touched;
    fn lose(state: &mut State, id: &Self::Id) -> Touched;
    fn known(state: &State) -> Vec<Self::Id>;
}

/// Follows one watch for ever. `listed` is told when all that existed at the start has been seen.
pub(crate) async fn follow<M: Mirror>(
    ctx: Arc<Context>,
    stream: impl Stream<Item = watcher::Result<Event<M::Object>>> + Send,
    listed: oneshot::Sender<()>,
) {
    let mut stream = pin!(stream.default_backoff());
    let mut listed = Some(listed);
    let mut unseen = std::collections::BTreeSet::new();
    while let Some(event) = stream.next().await {
        let touched = match event {
            Ok(Event::Init) => {
                unseen = M::known(&ctx.world.lock()).into_iter().collect();
                Vec::new()
            }
            Ok(Event::InitApply(object)) => {
                unseen.remove(&M::id(object.meta()));
                M::see(&mut ctx.world.lock(), object)
            }
            Ok(Event::InitDone) => {
                let gone = std::mem::take(&mut unseen);
                let mut state = ctx.world.lock();
                let touched = gone.iter().flat_map(|id| M::lose(&mut state, id)).collect();
                drop(state);
                if let Some(listed) = listed.take() {
                    // Whoever waited may have been told to stop.
                    let _ = listed.send(());
                }
                touched
            }
            Ok(Event::Apply(object)) => M::see(&mut ctx.world.lock(), object),
            Ok(Event::Delete(object)) => M::lose(&mut ctx.world.lock(), &M::id(object.meta())),
            Err(error) => {
                tracing::warn!(
                    kind = M::KIND,
                    error = &error as &dyn std::error::Error,
                    "a watch broke off; it is taken up again"
                );
                Vec::new()
            }
        };
        ctx.queue.touch(touched);
    }
}

/// Mirrors ExternalSecrets.
pub(crate) struct ExternalSecrets;

impl Mirror for ExternalSecrets {
    type Object = DeserializeGuard<ExternalSecret>;
    type Id = ObjectKey;
    const KIND: &'static str = "ExternalSecret";

    fn id(meta: &ObjectMeta) -> ObjectKey {
        ObjectKey::of(meta)
    }

    fn see(state: &mut State, object: Self::Object) -> Touched {
        match object.0 {
            Ok(object) => state.see_external_secret(object),
            Err(invalid) => {
                unreadable(Self::KIND, &invalid.metadata);
                state.see_malformed(invalid.metadata)
            }
        }
    }

    fn lose(state: &mut State, id: &ObjectKey) -> Touched {
        state.lose_external_secret(id);
        // One more run finds nothing and ends what is left of the key.
        vec![(Key::ExternalSecret(id.clone()), Class::Periodic)]
    }

    fn known(state: &State) -> Vec<ObjectKey> {
        state.external_secret_keys()
    }
}

/// Mirrors SecretStores.
pub(crate) struct SecretStores;

impl Mirror for SecretStores {
    type Object = DeserializeGuard<SecretStore>;
    type Id = StoreId;
    const KIND: &'static str = "SecretStore";

    fn id(meta: &ObjectMeta) -> StoreId {
        store_id(StoreKind::SecretStore, meta)
    }

    fn see(state: &mut State, object: Self::Object) -> Touched {
        let id = Self::id(object.meta());
        match &object.0 {
            Ok(store) => {
                let status = store.status.clone();
                state.see_store(SeenStore {
                    id,
                    meta: &store.metadata,
                    spec: Ok(&store.spec),
                    status,
                })
            }
            Err(invalid) => see_unreadable_store(state, id, &invalid.metadata),
        }
    }

    fn lose(state: &mut State, id: &StoreId) -> Touched {
        state.lose_store(id)
    }

    fn known(state: &State) -> Vec<StoreId> {
        state
            .store_ids()
            .into_iter()
            .filter(|id| id.kind == StoreKind::SecretStore)
            .collect()
    }
}

/// Mirrors ClusterSecretStores.
pub(crate) struct ClusterSecretStores;

impl Mirror for ClusterSecretStores {
    type Object = DeserializeGuard<ClusterSecretStore>;
    type Id = StoreId;
    const KIND: &'static str = "ClusterSecretStore";

    fn id(meta: &ObjectMeta) -> StoreId {
        store_id(StoreKind::ClusterSecretStore, meta)
    }

    fn see(state: &mut State, object: Self::Object) -> Touched {
        let id = Self::id(object.meta());
        match &object.0 {
            Ok(store) => {
                let status = store.status.clone();
                state.see_store(SeenStore {
                    id,
                    meta: &store.metadata,
                    spec: Ok(&store.spec.0),
                    status,
                })
            }
            Err(invalid) => see_unreadable_store(state, id, &invalid.metadata),
        }
    }

    fn lose(state: &mut State, id: &StoreId) -> Touched {
        state.lose_store(id)
    }

    fn known(state: &State) -> Vec<StoreId> {
        state
            .store_ids()
            .into_iter()
            .filter(|id| id.kind == StoreKind::ClusterSecretStore)
            .collect()
    }
}

/// Mirrors the metadata of managed Secrets.
pub(crate) struct Targets;

impl Mirror for Targets {
    type Object = PartialObjectMeta<Secret>;
    type Id = ObjectKey;
    const KIND: &'static str = "Secret";

    fn id(meta: &ObjectMeta) -> ObjectKey {
        ObjectKey::of(meta)
    }

    fn see(state: &mut State, object: Self::Object) -> Touched {
        state.see_target(&object.metadata)
    }

    fn lose(state: &mut State, id: &ObjectKey) -> Touched {
        state.lose_target(id)
    }

    fn known(state: &State) -> Vec<ObjectKey> {
        state.target_keys()
    }
}

/// Mirrors the labels of namespaces.
pub(crate) struct Namespaces;

impl Mirror for Namespaces {
    type Object = PartialObjectMeta<Namespace>;
    type Id = String;
    const KIND: &'static str = "Namespace";

    fn id(meta: &ObjectMeta) -> String {
        meta.name.clone().unwrap_or_default()
    }

    fn see(state: &mut State, object: Self::Object) -> Touched {
        state.see_namespace(&object.metadata)
    }

    fn lose(state: &mut State, id: &String) -> Touched {
        state.lose_namespace(id);
        Vec::new()
    }

    fn known(state: &State) -> Vec<String> {
        state.namespace_names()
    }
}

/// Mirrors Plugins.
pub(crate) struct PluginObjects;

impl Mirror for PluginObjects {
    type Object = DeserializeGuard<Plugin>;
    type Id = String;
    const KIND: &'static str = "Plugin";

    fn id(meta: &ObjectMeta) -> String {
        meta.name.clone().unwrap_or_default()
    }

    fn see(state: &mut State, object: Self::Object) -> Touched {
        match object.0 {
            Ok(plugin) => state.plugins.see(plugin),
            Err(invalid) => {
                unreadable(Self::KIND, &invalid.metadata);
                state.plugins.see_malformed(&invalid.metadata)
            }
        }
    }

    fn lose(state: &mut State, id: &String) -> Touched {
        state.plugins.lose(id)
    }

    fn known(state: &State) -> Vec<String> {
        state.plugins.names()
    }
}

/// Mirrors PluginGrants.
pub(crate) struct PluginGrants;

impl Mirror for PluginGrants {
    type Object = DeserializeGuard<PluginGrant>;
    type Id = String;
    const KIND: &'static str = "PluginGrant";

    fn id(meta: &ObjectMeta) -> String {
        meta.name.clone().unwrap_or_default()
    }

    fn see(state: &mut State, object: Self::Object) -> Touched {
        match object.0 {
            Ok(grant) => state.plugins.see_grant(grant),
            Err(invalid) => {
                unreadable(Self::KIND, &invalid.metadata);
                // What cannot be read opens nothing.
                let name = invalid.metadata.name.unwrap_or_default();
                state.plugins.lose_grant(&name)
            }
        }
    }

    fn lose(state: &mut State, id: &String) -> Touched {
        state.plugins.lose_grant(id)
    }

    fn known(state: &State) -> Vec<String> {
        state.plugins.grant_names()
    }
}

fn store_id(kind: StoreKind, meta: &ObjectMeta) -> StoreId {
    let (name, namespace) = (
        meta.name.as_deref().unwrap_or_default(),
        meta.namespace.as_deref().unwrap_or_default(),
    );
    StoreId::from_ref(kind, name, namespace)
}

fn see_unreadable_store(state: &mut State, id: StoreId, meta: &ObjectMeta) -> Touched {
    unreadable(id.kind.as_str(), meta);
    let text = format!(
        "{id} does not fit its schema; apply Postern's CRDs, and correct it as kubectl then says"
    );
    let spec = Err(Failure::new(Stage::Check, Code::InvalidConfig, text));
    state.see_store(SeenStore {
        id,
        meta,
        spec,
        status: None,
    })
}

/// The error's own text may repeat what stands in the object.
fn unreadable(kind: &str, meta: &ObjectMeta) {
    tracing::warn!(
        kind,
        namespace = meta.namespace,
        name = meta.name,
        "an object does not fit its schema and is passed over"
    );
}
