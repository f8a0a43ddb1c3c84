//! The config as it is written, before it is checked.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Raw {
    pub(crate) service: String,
    pub(crate) region: String,
    pub(crate) prefix: String,
    pub(crate) auth: Option<RawAuth>,
    pub(crate) role: String,
    pub(crate) additional_roles: Vec<String>,
    #[serde(rename = "externalID")]
    pub(crate) external_id: String,
    pub(crate) session_tags: Vec<RawTag>,
    pub(crate) session_tags_policy: Policy,
    pub(crate) custom_session_tags: BTreeMap<String, String>,
    pub(crate) transitive_tag_keys: Vec<String>,
    pub(crate) endpoints: RawEndpoints,
}

/// Where the tags of the last role's session come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) enum Policy {
    /// From `sessionTags`.
    #[default]
    None,
    /// Namespace and store.
    Simple,
    /// Namespace and store, and `customSessionTags`.
    Custom,
}

#[derive(Clone, Default, Deserialize)]
pub(crate) struct RawTag {
    pub(crate) key: String,
    pub(crate) value: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RawAuth {
    pub(crate) jwt: Option<RawJwt>,
    pub(crate) secret_ref: Option<RawKeys>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RawJwt {
    pub(crate) service_account_ref: Option<serde_json::Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct RawKeys {
    #[serde(rename = "accessKeyIDSecretRef")]
    pub(crate) id: Option<serde_json::Value>,
    #[serde(rename = "secretAccessKeySecretRef")]
    pub(crate) secret: Option<serde_json::Value>,
    #[serde(rename = "sessionTokenSecretRef")]
    pub(crate) token: Option<serde_json::Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RawEndpoints {
    pub(crate) secrets_manager: String,
    pub(crate) parameter_store: String,
    pub(crate) sts: String,
}
