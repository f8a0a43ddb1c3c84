//! Plugin and PluginGrant: which components serve beside the bundled ones, and what an administrator lets them reach.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Condition;

/// A component from outside: where it comes from and what it serves. It reaches nothing until a PluginGrant allows it.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "postern.dev",
    version = "v1alpha1",
    kind = "Plugin",
    plural = "plugins",
    category = "postern",
    status = "PluginStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Serves","type":"string","jsonPath":".spec.serves"}"#,
    printcolumn = r#"{"name":"Version","type":"string","jsonPath":".status.active.version"}"#,
    printcolumn = r#"{"name":"Active","type":"string","jsonPath":".status.conditions[?(@.type==\"Active\")].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type==\"Active\")].reason"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct PluginSpec {
    /// Where the component comes from: exactly one of `oci` and `file`.
    #[schemars(extend("x-kubernetes-validations" = [{
        "rule": "has(self.oci) != has(self.file)",
        "message": "give exactly one of oci and file"
    }]))]
    pub source: PluginSource,
    /// What the component is.
    #[serde(default)]
    pub kind: PluginKind,
    /// Keys under `spec.provider` of stores, or names for `target.template.engine`. The component must say of itself that
    /// it serves them. A bundled plugin with the same key is replaced; of two Plugins with the same key the older serves, and
    /// in a folder, which has no times of creation, the first by name.
    #[schemars(length(min = 1))]
    pub serves: Vec<String>,
    /// What a call may use; what is not given is as for bundled plugins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<PluginLimits>,
}

/// Where a component comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PluginSource {
    /// An OCI artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oci: Option<OciSource>,
    /// A file in the directory that the process was given with `--plugin-files`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileSource>,
}

/// A component in an OCI registry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OciSource {
    /// `registry/repository:tag`, or `registry/repository@sha256:…`, which never changes. What a tag names is resolved to
    /// a digest, and the digest is what is fetched, checked and run.
    pub reference: String,
    /// How often a tag is resolved again, such as `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// A Secret of type `kubernetes.io/dockerconfigjson`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_secret_ref: Option<PullSecretRef>,
    /// PEM certificates, in base64, that are trusted beside the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "byte"))]
    pub ca_bundle: Option<String>,
    /// Speak HTTP without TLS with this registry.
    #[serde(
        default,
        rename = "plainHTTP",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub plain_http: bool,
}

/// The Secret with which a component is pulled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PullSecretRef {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

/// A component as a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileSource {
    /// Relative to the directory given with `--plugin-files`.
    pub path: String,
    /// `sha256:…` of the file: anything else is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^sha256:[0-9a-f]{64}$"))]
    pub digest: Option<String>,
}

/// What a component is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum PluginKind {
    /// It reads values of one backend.
    #[default]
    Provider,
    /// It renders templates.
    TemplateEngine,
}

/// What a call may use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PluginLimits {
    /// Linear memory over all memories, such as `64Mi`; at most `512Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// Time on a CPU, such as `2s`; at most `60s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// HTTP requests; at most 4096.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4096))]
    pub requests: Option<u32>,
}

/// Where a Plugin stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PluginStatus {
    /// The generation that all this was said of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Resolved`, `Compiled`, `Granted` and `Probed` speak of the revision that the source names now; `Active` says
    /// whether a revision serves, and which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<Condition>>,
    /// The revision that the source names now, where it is not the one that serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<RevisionStatus>,
    /// The revision that serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<RevisionStatus>,
    /// The last digest that served for a while without a fault: it serves after a start, and when a newer one fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_good_digest: Option<String>,
    /// Revisions that have served, the newest first; three are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<RevisionStatus>,
    /// Digests that failed when they served, with the reason; they are not tried again until the spec changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedRevision>,
}

/// One digest of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionStatus {
    /// `sha256:…` of the component's bytes.
    pub digest: String,
    /// `sha256:…` of the OCI manifest, where it came from a registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_digest: Option<String>,
    /// The version that it says of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What it asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asks: Vec<AskStatus>,
}

/// Something that a component asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AskStatus {
    /// `host`, `files`, `ambient-identity`, `environment`, `api-server` or `metadata-address`.
    pub kind: String,
    /// What of that kind, such as a host pattern.
    pub what: String,
    /// Why, by the component's own words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// A digest that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefusedRevision {
    /// `sha256:…` of the component's bytes.
    pub digest: String,
    /// What it did.
    pub message: String,
    /// When, RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub time: String,
}

/// What an administrator lets a plugin reach. What it may reach in the end is what it asks for, what a grant allows, and
/// what the store's config names: all three.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "postern.dev",
    version = "v1alpha1",
    kind = "PluginGrant",
    plural = "plugingrants",
    category = "postern",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Plugin","type":"string","jsonPath":".spec.plugin"}"#,
    printcolumn = r#"{"name":"Hosts","type":"string","jsonPath":".spec.hosts"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.plugin) || has(self.digest)",
    "message": "say for whom: give plugin, digest or both"
}]))]
pub struct PluginGrantSpec {
    /// Name of the Plugin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// Only this revision: `sha256:…` of the component's bytes. A newer one needs a newer grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^sha256:[0-9a-f]{64}$"))]
    pub digest: Option<String>,
    /// Hosts that it may reach, each `name`, `name:port`, `*.suffix` or `*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Directories that it may read, by the names of `--grant-files`; `*` for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub directories: Vec<String>,
    /// It may reach metadata and link-local addresses, where `--ambient-identity` is set.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub metadata_address: bool,
    /// It may use the identity that the platform gives to the process, and see the variables of the environment that it
    /// asks for, where `--ambient-identity` is set.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ambient_identity: bool,
    /// It may reach the Kubernetes API server.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub api_server: bool,
    /// Namespaces that it may work for; none given means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<Vec<String>>,
}
