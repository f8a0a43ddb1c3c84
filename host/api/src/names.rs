//! Constants that are written into the cluster. Those of the drop-in kinds are the peer's, byte for byte: a cluster can move between the two
//! without one Secret changing.

/// Group of the drop-in kinds.
pub const GROUP: &str = "external-secrets.io";
/// Group of our own kinds.
pub const POSTERN_GROUP: &str = "postern.dev";
/// Version of our own kinds.
pub const POSTERN_VERSION: &str = "v1alpha1";
/// Annotation on a Plugin: digests that must not serve, separated by commas.
pub const ANNOTATION_REFUSED_DIGESTS: &str = "postern.dev/refused-digests";
/// Annotation on an ExternalSecret: what marks the actions of its templates, two texts with a space between them.
pub const ANNOTATION_TEMPLATE_DELIMITERS: &str = "postern.dev/template-delimiters";
/// Label on a Namespace: what is read from it must be allowed by a StoreAccess or ClusterStoreAccess. Any value but `false`
/// means yes.
pub const LABEL_REQUIRE_STORE_ACCESS: &str = "postern.dev/require-store-access";
/// Component of the events on Plugins.
pub const EVENT_COMPONENT_PLUGIN: &str = "postern";
/// Label `true` on every target that is managed.
pub const LABEL_MANAGED: &str = "reconcile.external-secrets.io/managed";
/// Label with the hash of the owner, on targets with creation policy Owner.
pub const LABEL_CREATED_BY: &str = "reconcile.external-secrets.io/created-by";
/// Annotation with the hash of the target's data.
pub const ANNOTATION_DATA_HASH: &str = "reconcile.external-secrets.io/data-hash";
/// Annotation that forces a sync whenever it changes.
pub const ANNOTATION_FORCE_SYNC: &str = "external-secrets.io/force-sync";
/// Annotation on a store: its events do not tell that nobody looks after its provider.
pub const ANNOTATION_IGNORE_MAINTENANCE: &str = "external-secrets.io/ignore-maintenance-checks";
/// Finalizer that the peer puts on ExternalSecrets; we only ever remove it.
pub const FINALIZER: &str = "externalsecrets.external-secrets.io/externalsecret-cleanup";
/// Finalizer that the peer puts on ClusterExternalSecrets; we only ever remove it.
pub const FINALIZER_CLUSTER: &str =
    "externalsecrets.external-secrets.io/clusterexternalsecret-cleanup";
/// Prefix of the finalizers that the peer puts on Namespaces, one for each ClusterExternalSecret; we only ever remove them.
pub const FINALIZER_NAMESPACE_PREFIX: &str = "externalsecrets.external-secrets.io/ces-";
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
    /// The backend has none of what the target was made of, and the deletion policy is Delete.
    pub const SECRET_DELETED: &str = "SecretDeleted";
    /// The target does not exist, and is not ours to make.
    pub const SECRET_MISSING: &str = "SecretMissing";
    /// The same of a target that is no Secret.
    pub const RESOURCE_SYNCED: &str = "ResourceSynced";
    /// The same of a target that is no Secret.
    pub const RESOURCE_SYNCED_ERROR: &str = "ResourceSyncedError";
    /// The same of a target that is no Secret.
    pub const RESOURCE_DELETED: &str = "ResourceDeleted";
    /// The same of a target that is no Secret.
    pub const RESOURCE_MISSING: &str = "ResourceMissing";
    /// Objects are said not to exist in a way that is not believed at once; the target is as it was.
    pub const MASS_ABSENCE: &str = "MassAbsence";
    /// A StoreAccess does not let the namespace read what the ExternalSecret names; nothing was asked, and the target is as
    /// it was. Also the reason of the event.
    pub const STORE_ACCESS_DENIED: &str = "StoreAccessDenied";
    /// The store can be used.
    pub const VALID: &str = "Valid";
    /// The store could not be checked.
    pub const VALIDATION_UNKNOWN: &str = "ValidationUnknown";
    /// The store's config cannot work, or the backend refuses it.
    pub const INVALID_PROVIDER_CONFIG: &str = "InvalidProviderConfig";
    /// Event: nobody looks after the store's provider.
    pub const STORE_UNMAINTAINED: &str = "StoreUnmaintained";
    /// Event: the store's provider goes with the next minor version.
    pub const STORE_DEPRECATED: &str = "StoreDeprecated";
    /// Plugin: this step is done, or went well.
    pub const DONE: &str = "Done";
    /// Plugin: this step waits for one before it.
    pub const WAITING: &str = "Waiting";
    /// Plugin: this step failed; the message says why.
    pub const FAILED: &str = "Failed";
    /// Plugin: it asks for something that no grant allows.
    pub const AWAITING_GRANT: &str = "AwaitingGrant";
    /// Plugin: an older Plugin serves one of its keys.
    pub const KEY_TAKEN: &str = "KeyTaken";
    /// Plugin: a store that it would serve does not go together with it.
    pub const STORE_REJECTED: &str = "StoreRejected";
    /// Plugin: the digest failed when it served, or was rolled back by hand.
    pub const REFUSED: &str = "Refused";
    /// Plugin: a revision serves; the last good one takes over if it fails.
    pub const ON_TRIAL: &str = "OnTrial";
    /// Plugin: a revision serves.
    pub const SERVING: &str = "Serving";
    /// Plugin: an older revision serves than the one that the source names.
    pub const LAST_GOOD: &str = "LastGood";
    /// Plugin: no revision serves.
    pub const NOT_SERVING: &str = "NotServing";
    /// Event: another revision of a Plugin serves.
    pub const ACTIVATED: &str = "Activated";
    /// Event: a revision failed, and the last good one serves again.
    pub const SWITCHED_BACK: &str = "SwitchedBack";
    /// Event: something that was kept on disk of a Plugin had been changed, and was not used.
    pub const CACHE_DAMAGED: &str = "CacheDamaged";
    /// Event: the target was made.
    pub const CREATED: &str = "Created";
    /// Event: the target was changed.
    pub const UPDATED: &str = "Updated";
    /// Event: the target was deleted.
    pub const DELETED: &str = "Deleted";
    /// Event: an entry was passed over because its object does not exist.
    pub const MISSING_PROVIDER_SECRET: &str = "MissingProviderSecret";
    /// Event: a sync failed.
    pub const UPDATE_FAILED: &str = "UpdateFailed";
}
