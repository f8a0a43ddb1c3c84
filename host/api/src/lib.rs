//! The API as plain data: the kinds of `external-secrets.io` and of `postern.dev`, their schema and their condition
//! reasons.
//!
//! Types follow the served version `v1` field by field; the provider's part of a store is an open object, validated
//! by the plugin that serves it. Nothing here decides or talks to a cluster.

pub mod cluster_external_secret;
pub mod external_secret;
pub mod names;
pub mod plugin;
mod schema;
pub mod secret_store;
pub mod store_access;

pub use cluster_external_secret::{
    ClusterExternalSecret, ClusterExternalSecretSpec, ClusterExternalSecretStatus,
};
pub use external_secret::{ExternalSecret, ExternalSecretSpec, ExternalSecretStatus};
pub use plugin::{Plugin, PluginGrant, PluginGrantSpec, PluginSpec, PluginStatus};
pub use schema::policy as admission_policy;
pub use secret_store::{ClusterSecretStore, SecretStore, SecretStoreSpec, SecretStoreStatus};
pub use store_access::{ClusterStoreAccess, ClusterStoreAccessSpec, StoreAccess, StoreAccessSpec};

use kube::CustomResourceExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A condition as the kinds of this group have it: without `observedGeneration` in the schema of the peer, with it
/// in ours, where a controller that does not know the field drops it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// `Ready`.
    #[serde(rename = "type")]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, as one word of a closed set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why, as one line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When `status` last changed, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: Option<String>,
    /// The generation of the object that this was said of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// The definitions of all kinds, in the order in which they are printed.
#[must_use]
pub fn crds() -> Vec<serde_json::Value> {
    let drop_in = [
        ExternalSecret::crd(),
        ClusterExternalSecret::crd(),
        SecretStore::crd(),
        ClusterSecretStore::crd(),
    ];
    let own = [
        Plugin::crd(),
        PluginGrant::crd(),
        StoreAccess::crd(),
        ClusterStoreAccess::crd(),
    ];
    let value = |crd| serde_json::to_value(crd).unwrap_or_default();
    let finished = drop_in.iter().map(|crd| {
        let mut value = value(crd);
        secret_store::open_provider(&mut value);
        schema::finish(&mut value);
        value
    });
    finished.chain(own.iter().map(value)).collect()
}

/// The same, with the deprecated version `v1beta1` served as well.
#[must_use]
pub fn crds_with_v1beta1() -> Vec<serde_json::Value> {
    let mut crds = crds();
    crds.iter_mut().for_each(schema::serve_old_version);
    crds
}
