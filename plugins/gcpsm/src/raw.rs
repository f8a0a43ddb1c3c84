//! The config as it stands in the store, field by field; `config` makes something checked of it.
#![allow(missing_docs, reason = "the fields are those of the schema")]

use serde::Deserialize;

/// A reference is read by the host; here only its presence counts.
pub type Present = serde::de::IgnoredAny;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Raw {
    #[serde(rename = "projectID", default)]
    pub project: String,
    #[serde(default)]
    pub location: String,
    #[serde(default)]
    pub secret_version_selection_policy: Selection,
    #[serde(default)]
    pub auth: RawAuth,
    #[serde(default)]
    pub endpoints: RawEndpoints,
}

/// What is read where the latest version cannot be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Selection {
    #[default]
    LatestOrFail,
    LatestOrFetch,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RawAuth {
    pub secret_ref: Option<RawKey>,
    pub workload_identity: Option<RawWorkload>,
    pub workload_identity_federation: Option<RawFederation>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawKey {
    #[serde(rename = "secretAccessKeySecretRef")]
    pub secret_access_key: Option<Present>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawWorkload {
    #[serde(default)]
    pub cluster_location: String,
    #[serde(default)]
    pub cluster_name: String,
    #[serde(rename = "clusterProjectID", default)]
    pub cluster_project: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawFederation {
    #[serde(default)]
    pub audience: String,
    pub aws_security_credentials: Option<Present>,
    pub cred_config: Option<Present>,
    #[serde(default)]
    pub external_token_endpoint: String,
    #[serde(rename = "gcpServiceAccountEmail", default)]
    pub email: String,
    pub service_account_ref: Option<Present>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RawEndpoints {
    pub secret_manager: Option<String>,
    pub oauth2: Option<String>,
    pub sts: Option<String>,
    pub secure_token: Option<String>,
    pub iam_credentials: Option<String>,
    pub metadata: Option<String>,
}
