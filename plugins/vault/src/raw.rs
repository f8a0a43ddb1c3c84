//! The config as it stands in the store, field by field; `config` makes something checked of it.
#![allow(missing_docs, reason = "the fields are those of the schema")]

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::config::KvVersion;

/// A reference is read by the host; here only its presence counts.
pub type Present = serde::de::IgnoredAny;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Raw {
    #[serde(default)]
    pub server: String,
    pub path: Option<String>,
    #[serde(default)]
    pub version: KvVersion,
    pub namespace: Option<String>,
    pub auth: Option<RawAuth>,
    pub ca_bundle: Option<String>,
    pub ca_provider: Option<Present>,
    #[serde(default)]
    pub tls: RawTls,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    #[serde(default)]
    pub read_your_writes: bool,
    #[serde(default)]
    pub forward_inconsistent: bool,
    #[serde(default)]
    pub check_and_set: RawCheckAndSet,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawTls {
    pub cert_secret_ref: Option<Present>,
    pub key_secret_ref: Option<Present>,
}

#[derive(Default, Deserialize)]
pub struct RawCheckAndSet {
    #[serde(default)]
    pub required: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawAuth {
    /// True for an `auth` that stands in the config, false for none.
    #[serde(skip, default = "stands")]
    pub present: bool,
    pub namespace: Option<String>,
    pub token_secret_ref: Option<Present>,
    pub app_role: Option<RawAppRole>,
    pub kubernetes: Option<RawKubernetes>,
    pub ldap: Option<RawPassword>,
    pub user_pass: Option<RawPassword>,
    pub jwt: Option<RawJwt>,
    pub cert: Option<RawCertificate>,
    pub iam: Option<Present>,
    pub gcp: Option<RawGcp>,
}

impl RawAuth {
    /// How many of the methods that the key `openBao` has are given.
    pub fn methods_of_open_bao(&self) -> usize {
        let given = [
            self.app_role.is_some(),
            self.token_secret_ref.is_some(),
            self.user_pass.is_some(),
        ];
        given.iter().filter(|is| **is).count()
    }
}

fn stands() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawAppRole {
    pub path: Option<String>,
    pub role_id: Option<String>,
    pub role_ref: Option<Present>,
    pub secret_ref: Option<Present>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawKubernetes {
    pub mount_path: Option<String>,
    #[serde(default)]
    pub role: String,
    pub service_account_ref: Option<RawAccount>,
    pub secret_ref: Option<Present>,
}

#[derive(Deserialize)]
pub struct RawAccount {
    #[serde(default)]
    pub audiences: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawPassword {
    pub path: Option<String>,
    #[serde(default)]
    pub username: String,
    pub secret_ref: Option<Present>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawJwt {
    pub path: Option<String>,
    pub role: Option<String>,
    pub secret_ref: Option<Present>,
    pub kubernetes_service_account_token: Option<RawJwtAccount>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawJwtAccount {
    pub service_account_ref: RawAccount,
    pub audiences: Option<Vec<String>>,
    pub expiration_seconds: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawGcp {
    pub path: Option<String>,
    #[serde(default)]
    pub role: String,
    #[serde(rename = "projectID", default)]
    pub project: String,
    pub secret_ref: Option<RawGcpKey>,
    pub workload_identity: Option<RawWorkload>,
}

#[derive(Deserialize)]
pub struct RawGcpKey {
    #[serde(rename = "secretAccessKeySecretRef")]
    pub key: Option<Present>,
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
pub struct RawCertificate {
    pub path: Option<String>,
    pub vault_role: Option<String>,
    pub client_cert: Option<Present>,
    pub secret_ref: Option<Present>,
}
