//! StoreAccess and ClusterStoreAccess: which remote keys of a store may be read, and from which namespaces.
//!
//! They are kinds of their own, because a field of ours in a drop-in kind would be pruned by the peer's definitions, and
//! the store would stand open.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret_store::StoreCondition;

/// Restricts a SecretStore of its namespace to some remote keys. A store that any StoreAccess names is closed but for what
/// they allow together.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "postern.dev",
    version = "v1alpha1",
    kind = "StoreAccess",
    plural = "storeaccesses",
    category = "postern",
    namespaced,
    derive = "Default",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Store","type":"string","jsonPath":".spec.storeRef.name"}"#,
    printcolumn = r#"{"name":"Keys","type":"string","jsonPath":".spec.keys"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct StoreAccessSpec {
    /// The SecretStore.
    pub store_ref: AccessStoreRef,
    /// Patterns of the remote keys that may be read; none closes the store.
    #[schemars(length(max = 256), inner(length(min = 1, max = 1024)))]
    pub keys: Vec<String>,
}

/// Restricts a ClusterSecretStore: which namespaces may read which of its remote keys. A store that any ClusterStoreAccess
/// names is closed but for what they allow together.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "postern.dev",
    version = "v1alpha1",
    kind = "ClusterStoreAccess",
    plural = "clusterstoreaccesses",
    category = "postern",
    derive = "Default",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Store","type":"string","jsonPath":".spec.storeRef.name"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStoreAccessSpec {
    /// The ClusterSecretStore.
    pub store_ref: AccessStoreRef,
    /// What each allows is added up; none closes the store.
    #[schemars(length(max = 256))]
    pub rules: Vec<AccessRule>,
}

/// The store that is restricted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessStoreRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Remote keys, and the namespaces that may read them; any one of the selectors is enough.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.namespaceSelector) || has(self.namespaces) || has(self.namespaceRegexes)",
    "message": "say for which namespaces: give namespaces, namespaceRegexes or namespaceSelector; an empty namespaceSelector means all"
}]))]
pub struct AccessRule {
    /// By the namespace's labels; an empty selector means every namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// By name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<Vec<String>>,
    /// By an expression on the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_regexes: Option<Vec<String>>,
    /// Patterns of the remote keys that may be read.
    #[schemars(length(max = 256), inner(length(min = 1, max = 1024)))]
    pub keys: Vec<String>,
}

impl AccessRule {
    /// For whom it is, in the form that stores have it in; none where it does not say.
    #[must_use]
    pub fn namespaces(&self) -> Option<StoreCondition> {
        let condition = StoreCondition {
            namespace_selector: self.namespace_selector.clone(),
            namespaces: self.namespaces.clone(),
            namespace_regexes: self.namespace_regexes.clone(),
        };
        let says = condition.namespace_selector.is_some()
            || condition.namespaces.is_some()
            || condition.namespace_regexes.is_some();
        says.then_some(condition)
    }
}
