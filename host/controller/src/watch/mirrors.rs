//! The kinds that are watched: what names an object of each, and which method of the state takes it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use postern_api::external_secret::StoreKind;
use postern_api::{
    ClusterExternalSecret, ClusterSecretStore, ClusterStoreAccess, ExternalSecret, Plugin,
    PluginGrant, SecretStore, StoreAccess,
};
use postern_core::access::AccessId;
use postern_core::failure::{Code, Failure, Stage};
use postern_core::store::StoreId;

use super::Mirror;
use crate::world::{ObjectKey, SeenStore, State, TargetKey, Touched, access_id};

/// ExternalSecrets.
pub(crate) const EXTERNAL_SECRETS: Mirror<ExternalSecret, ObjectKey> = Mirror {
    kind: "ExternalSecret",
    id: ObjectKey::of,
    see: State::see_external_secret,
    see_malformed: State::see_malformed,
    lose: State::lose_external_secret,
    known: State::external_secret_keys,
};

/// SecretStores.
pub(crate) const SECRET_STORES: Mirror<SecretStore, StoreId> = Mirror {
    kind: "SecretStore",
    id: |meta| store_id(StoreKind::SecretStore, meta),
    see: |state, store| {
        state.see_store(SeenStore {
            id: store_id(StoreKind::SecretStore, &store.metadata),
            meta: &store.metadata,
            spec: Ok(&store.spec),
            status: store.status,
        })
    },
    see_malformed: |state, meta| see_unreadable_store(state, StoreKind::SecretStore, &meta),
    lose: State::lose_store,
    known: |state| state.store_ids(StoreKind::SecretStore),
};

/// ClusterSecretStores.
pub(crate) const CLUSTER_SECRET_STORES: Mirror<ClusterSecretStore, StoreId> = Mirror {
    kind: "ClusterSecretStore",
    id: |meta| store_id(StoreKind::ClusterSecretStore, meta),
    see: |state, store| {
        state.see_store(SeenStore {
            id: store_id(StoreKind::ClusterSecretStore, &store.metadata),
            meta: &store.metadata,
            spec: Ok(&store.spec.0),
            status: store.status,
        })
    },
    see_malformed: |state, meta| see_unreadable_store(state, StoreKind::ClusterSecretStore, &meta),
    lose: State::lose_store,
    known: |state| state.store_ids(StoreKind::ClusterSecretStore),
};

/// StoreAccesses.
pub(crate) const STORE_ACCESSES: Mirror<StoreAccess, AccessId> = Mirror {
    kind: "StoreAccess",
    id: access_id,
    see: |state, object| state.see_store_access(&object),
    see_malformed: |state, meta| state.see_unreadable_access(&meta),
    lose: State::lose_access,
    known: State::store_access_ids,
};

/// ClusterStoreAccesses.
pub(crate) const CLUSTER_STORE_ACCESSES: Mirror<ClusterStoreAccess, AccessId> = Mirror {
    kind: "ClusterStoreAccess",
    id: access_id,
    see: |state, object| state.see_cluster_store_access(&object),
    see_malformed: |state, meta| state.see_unreadable_access(&meta),
    lose: State::lose_access,
    known: State::cluster_store_access_ids,
};

/// The metadata of managed Secrets.
pub(crate) const TARGETS: Mirror<ObjectMeta, TargetKey> = Mirror {
    kind: "Secret",
    id: |meta| TargetKey::secret(ObjectKey::of(meta)),
    see: |state, meta| state.see_target(TargetKey::secret(ObjectKey::of(&meta)), &meta),
    see_malformed: nothing,
    lose: State::lose_target,
    known: |state| state.target_keys(None),
};

/// The metadata of namespaces.
pub(crate) const NAMESPACES: Mirror<ObjectMeta, String> = Mirror {
    kind: "Namespace",
    id: name,
    see: |state, meta| state.see_namespace(&meta),
    see_malformed: nothing,
    lose: |state, name| state.lose_namespace(name),
    known: State::namespace_names,
};

/// ClusterExternalSecrets.
pub(crate) const CLUSTER_EXTERNAL_SECRETS: Mirror<ClusterExternalSecret, String> = Mirror {
    kind: "ClusterExternalSecret",
    id: name,
    see: |state, object| state.see_cluster_external_secret(object, false),
    see_malformed: |state, metadata| {
        let object = ClusterExternalSecret {
            metadata,
            ..ClusterExternalSecret::default()
        };
        state.see_cluster_external_secret(object, true)
    },
    lose: |state, name| state.lose_cluster_external_secret(name),
    known: State::cluster_external_secret_names,
};

/// Plugins.
pub(crate) const PLUGINS: Mirror<Plugin, String> = Mirror {
    kind: "Plugin",
    id: name,
    see: |state, plugin| state.plugins.see(plugin),
    see_malformed: |state, meta| state.plugins.see_malformed(&meta),
    lose: |state, name| state.plugins.lose(name),
    known: |state| state.plugins.names(),
};

/// PluginGrants.
pub(crate) const PLUGIN_GRANTS: Mirror<PluginGrant, String> = Mirror {
    kind: "PluginGrant",
    id: name,
    see: |state, grant| state.plugins.see_grant(grant),
    // What cannot be read opens nothing.
    see_malformed: |state, meta| state.plugins.lose_grant(&name(&meta)),
    lose: |state, name| state.plugins.lose_grant(name),
    known: |state| state.plugins.grant_names(),
};

fn name(meta: &ObjectMeta) -> String {
    meta.name.clone().unwrap_or_default()
}

/// Metadata always fits.
fn nothing(_: &mut State, _: ObjectMeta) -> Touched {
    Vec::new()
}

fn store_id(kind: StoreKind, meta: &ObjectMeta) -> StoreId {
    let (name, namespace) = (
        meta.name.as_deref().unwrap_or_default(),
        meta.namespace.as_deref().unwrap_or_default(),
    );
    StoreId::from_ref(kind, name, namespace)
}

fn see_unreadable_store(state: &mut State, kind: StoreKind, meta: &ObjectMeta) -> Touched {
    let id = store_id(kind, meta);
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
