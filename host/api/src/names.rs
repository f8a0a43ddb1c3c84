//! Constants that are written into the cluster. They are the peer's, byte for byte: a cluster can move between the two
//! without one Secret changing.

/// Group of the drop-in kinds.
pub const GROUP: &str = "external-secrets.io";
/// Label `true` on every target that is managed.
pub const LABEL_MANAGED: &str = "reconcile.external-secrets.io/managed";
/// Label with the hash of the owner, on targets with creation policy Owner.
pub const LABEL_CREATED_BY: &str = "reconcile.external-secrets.io/created-by";
/// Annotation with the hash of the target's data.
pub const ANNOTATION_DATA_HASH: &str = "reconcile.external-secrets.io/data-hash";
/// Annotation that forces a sync whenever it changes.
pub const ANNOTATION_FORCE_SYNC: &str = "external-secrets.io/force-sync";
/// Finalizer that the peer puts on ExternalSecrets; we only ever remove it.
pub const FINALIZER: &str = "externalsecrets.external-secrets.io/externalsecret-cleanup";
/// Prefix of the field manager; the name of the ExternalSecret follows.
pub const FIELD_MANAGER_PREFIX: &str = "externalsecrets.external-secrets.io/";
/// Component of the events on ExternalSecrets.
pub const EVENT_COMPONENT: &str = "external-secrets";
/// Component of the events on SecretStores.
pub const EVENT_COMPONENT_STORE: &str = "secret-store";
/// Component of the events on ClusterSecretStores.
pub const EVENT_COMPONENT_CLUSTER_STORE: &str = "cluster-secret-store";

/// Condition reasons, one list.
pub mod reason {
    /// The target holds what the backend said.
    pub const SECRET_SYNCED: &str = "SecretSynced";
    /// The last sync failed; the target is as it was.
    pub const SECRET_SYNCED_ERROR: &str = "SecretSyncedError";
    /// The store can be used.
    pub const VALID: &str = "Valid";
    /// The store could not be checked.
    pub const VALIDATION_UNKNOWN: &str = "ValidationUnknown";
    /// The store's config cannot work, or the backend refuses it.
    pub const INVALID_PROVIDER_CONFIG: &str = "InvalidProviderConfig";
    /// Event: the target was made.
    pub const CREATED: &str = "Created";
    /// Event: the target was changed.
    pub const UPDATED: &str = "Updated";
    /// Event: a sync failed.
    pub const UPDATE_FAILED: &str = "UpdateFailed";
}
