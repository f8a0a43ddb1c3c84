//! The signed token by which the authentication method of Google knows a service account: signed with its key, or by Google
//! for a workload of GKE that may act as it.

use postern_plugin_shared::google::{Cluster, Key, acts_as, granted, json_post};
use postern_sdk::{Context, Failure, Host};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::{GOOGLE_KEY, GOOGLE_WORKLOAD, Signer};
use crate::wire::status_failure;

/// What gives tokens for workloads of GKE.
pub const SECURE_TOKEN: &str = "https://securetoken.googleapis.com";
/// What signs for service accounts.
pub const IAM_CREDENTIALS: &str = "https://iamcredentials.googleapis.com";

/// How long the token lives: the most that the method takes unless it is told otherwise.
const LIFE_S: u64 = 900;

/// A signed token for a role.
///
/// # Errors
/// `invalid-config` for a key or an account that cannot sign, others as Google answers.
pub fn token(
    host: &dyn Host,
    context: &Context,
    role: &str,
    signer: &Signer,
) -> Result<String, Failure> {
    let expires = host.now_ns() / 1_000_000_000 + LIFE_S;
    let claims =
        |email: &str| json!({"sub": email, "aud": format!("vault/{role}"), "exp": expires});
    match signer {
        Signer::Key => {
            let credential = context.credential(GOOGLE_KEY)?;
            let key = Key::parse(&credential.value).map_err(|what| {
                Failure::invalid_config(format!("the key that {GOOGLE_KEY} refers to {what}"))
            })?;
            key.sign(&claims(key.email()), || host.random_u64())
        }
        Signer::Cluster(cluster) => by_google(host, context, cluster, claims),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Signed {
    signed_jwt: String,
}

fn by_google(
    host: &dyn Host,
    context: &Context,
    cluster: &Cluster,
    claims: impl Fn(&str) -> Value,
) -> Result<String, Failure> {
    let credential = context.credential(GOOGLE_WORKLOAD)?;
    let email = acts_as(credential)?.ok_or_else(|| {
        Failure::invalid_config(format!(
            "the account of {GOOGLE_WORKLOAD} has no annotation iam.gke.io/gcp-service-account, which names the service account to log in as"
        ))
    })?;
    let subject = std::str::from_utf8(&credential.value).map_err(|_| {
        Failure::invalid_config(format!("the token of {GOOGLE_WORKLOAD} is no text"))
    })?;
    let response = host.send(&cluster.trade(SECURE_TOKEN, subject))?;
    let token = granted(&response, "the ServiceAccount's token", &[subject])?.text;
    let url = format!("{IAM_CREDENTIALS}/v1/projects/-/serviceAccounts/{email}:signJwt");
    let asked = json!({"payload": claims(&email).to_string()});
    let response = host.send(&json_post(url, &asked, Some(&token)))?;
    if response.status == 403 {
        return Err(Failure::denied(format!(
            "Permission iam.serviceAccounts.signJwt denied on resource projects/-/serviceAccounts/{email}: grant the account roles/iam.serviceAccountTokenCreator on it"
        )));
    }
    if response.status != 200 {
        return Err(status_failure(&response, "Google's signature", &[&token]));
    }
    let signed: Option<Signed> = serde_json::from_slice(&response.body).ok();
    let signed =
        signed.ok_or_else(|| Failure::unavailable("Google's answer holds no signed token"))?;
    Ok(signed.signed_jwt)
}
