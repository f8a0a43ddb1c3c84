//! The description of an external account: the JSON that `gcloud iam workload-identity-pools create-cred-config` writes.
//! It stands in a ConfigMap that others than the store's author may write, so every place that it names is held against the
//! store's config.

use std::collections::BTreeMap;

use postern_plugin_shared::Address;
use postern_plugin_shared::google::is_account;
use serde::Deserialize;
use serde_json::Value;

use crate::config::Places;

/// A checked description.
#[derive(Debug, PartialEq, Eq)]
pub struct External {
    /// Pool and provider.
    pub audience: Option<String>,
    /// What kind of token vouches.
    pub subject_token_type: String,
    /// The service account to act as.
    pub email: Option<String>,
    /// The URL that gives the token that vouches.
    pub url: String,
    /// Headers of that request.
    pub headers: BTreeMap<String, String>,
    /// The member of the answer that is the token; none where the answer is the token.
    pub field: Option<String>,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "type", default)]
    kind: String,
    audience: Option<String>,
    subject_token_type: Option<String>,
    token_url: Option<String>,
    service_account_impersonation_url: Option<String>,
    client_id: Option<String>,
    #[serde(default)]
    credential_source: RawSource,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawSource {
    url: Option<String>,
    headers: BTreeMap<String, String>,
    format: RawFormat,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawFormat {
    #[serde(rename = "type")]
    kind: Option<String>,
    subject_token_field_name: Option<String>,
}

impl External {
    /// Reads a description and holds it against the store.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(
        json: &[u8],
        token_endpoint: Option<&Address>,
        places: &Places,
    ) -> Result<Self, &'static str> {
        let raw: Raw =
            serde_json::from_slice(json).map_err(|_| "is no JSON of an external account")?;
        if raw.kind != "external_account" {
            return Err("is not of the type external_account");
        }
        if raw.client_id.is_some() {
            return Err(
                "names a client_id; workforce identities are for people, and are not supported",
            );
        }
        let sts = format!("{}/v1/token", places.sts.base);
        if raw.token_url.is_some_and(|url| url != sts) {
            return Err("has a token_url that is not that of the store: see endpoints.sts");
        }
        for (source, why) in REFUSED {
            if raw.credential_source.others.contains_key(source) {
                return Err(why);
            }
        }
        let url = raw
            .credential_source
            .url
            .ok_or("has a credential_source without a url")?;
        let address = Address::parse(&url);
        if token_endpoint.is_none() || address.ok().as_ref() != token_endpoint {
            return Err(
                "has a credential_source.url that is not the store's externalTokenEndpoint",
            );
        }
        let format = raw.credential_source.format;
        let field = match format.kind.as_deref() {
            None | Some("text") => None,
            Some("json") => Some(
                format
                    .subject_token_field_name
                    .ok_or("has a format json without a subject_token_field_name")?,
            ),
            Some(_) => return Err("has a credential_source.format that is neither text nor json"),
        };
        let email = raw.service_account_impersonation_url;
        let email = email.map(|url| impersonated(&url, places)).transpose()?;
        Ok(Self {
            audience: raw.audience.filter(|a| !a.is_empty()),
            subject_token_type: raw.subject_token_type.ok_or("has no subject_token_type")?,
            email,
            url,
            headers: raw.credential_source.headers,
            field,
        })
    }
}

/// Sources that a plugin has no way to, and what to do instead.
const REFUSED: [(&str, &str); 4] = [
    (
        "file",
        "takes its token from a file, and Postern's own account is never used: name serviceAccountRef instead",
    ),
    (
        "executable",
        "takes its token from a program, which is never run",
    ),
    (
        "certificate",
        "takes its token from a certificate, which is not supported",
    ),
    (
        "environment_id",
        "takes its token from the metadata server of AWS, which is not supported",
    ),
];

/// The service account in the URL that gives its tokens.
fn impersonated(url: &str, places: &Places) -> Result<String, &'static str> {
    let prefix = format!(
        "{}/v1/projects/-/serviceAccounts/",
        places.iam_credentials.base
    );
    let email = url
        .strip_prefix(&prefix)
        .and_then(|rest| rest.strip_suffix(":generateAccessToken"));
    let email = email.filter(|email| is_account(email));
    email.map(str::to_owned).ok_or(
        "has a service_account_impersonation_url that is not that of the store: see endpoints.iamCredentials",
    )
}
