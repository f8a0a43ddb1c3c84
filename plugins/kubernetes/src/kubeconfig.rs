//! A kubeconfig out of a Secret: the current context's server and user. Everything must stand in it: files, helper
//! programs and skipped verification are refused, since this runs in a sandbox of the operator.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postern_sdk::{Endpoint, Material};
use serde::Deserialize;

use crate::config;

/// What a kubeconfig gives.
#[derive(Clone, PartialEq, Eq)]
pub struct Access {
    /// Base URL without a trailing slash.
    pub base: String,
    /// PEM roots.
    pub ca: Option<Vec<u8>>,
    /// PEM certificate and key of the client.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
    /// Name to verify.
    pub server_name: Option<String>,
    /// The header `authorization`.
    pub authorization: Option<String>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Access({}, <redacted>)", self.base)
    }
}

impl Access {
    /// The server with its TLS material.
    #[must_use]
    pub fn into_endpoint(self) -> Endpoint {
        let (certificate, key) = self.client.unzip();
        Endpoint {
            origin: self.base,
            ca: self.ca.map(Material::Pem),
            client_certificate: certificate.map(Material::Pem),
            client_key: key.map(Material::Pem),
            server_name: self.server_name,
            options: Vec::new(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Raw {
    #[serde(default)]
    current_context: String,
    #[serde(default)]
    contexts: Vec<NamedContext>,
    #[serde(default)]
    clusters: Vec<NamedCluster>,
    #[serde(default)]
    users: Vec<NamedUser>,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: RawContext,
}

#[derive(Deserialize)]
struct RawContext {
    cluster: String,
    user: String,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority_data: Option<String>,
    certificate_authority: Option<String>,
    #[serde(default)]
    insecure_skip_tls_verify: bool,
    tls_server_name: Option<String>,
    proxy_url: Option<String>,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    user: User,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
    client_certificate: Option<String>,
    client_key: Option<String>,
    username: Option<String>,
    password: Option<String>,
    exec: Option<serde::de::IgnoredAny>,
    auth_provider: Option<serde::de::IgnoredAny>,
    #[serde(rename = "as")]
    impersonate: Option<String>,
}

/// Reads the current context.
///
/// # Errors
/// What is wrong, as the rest of a sentence that begins with "the kubeconfig".
pub fn parse(bytes: &[u8]) -> Result<Access, String> {
    // The words of the parser quote what they do not understand, and that may be a token.
    let raw: Raw = serde_yaml_ng::from_slice(bytes).map_err(|e| match e.location() {
        Some(at) => format!(
            "cannot be read at line {}, column {}",
            at.line(),
            at.column()
        ),
        None => "cannot be read".to_owned(),
    })?;
    let context = raw
        .contexts
        .into_iter()
        .find(|c| c.name == raw.current_context)
        .ok_or("has no context that its current-context names")?
        .context;
    let cluster = raw
        .clusters
        .into_iter()
        .find(|c| c.name == context.cluster)
        .ok_or("has no cluster that its current context names")?
        .cluster;
    let user = raw
        .users
        .into_iter()
        .find(|u| u.name == context.user)
        .ok_or("has no user that its current context names")?
        .user;
    if let Some(refused) = refused(&cluster, &user) {
        return Err(refused.to_owned());
    }
    let base = config::base(&cluster.server).map_err(|e| format!("has a server that {e}"))?;
    let ca = decoded(
        cluster.certificate_authority_data,
        "certificate-authority-data",
    )?;
    let client = (
        decoded(user.client_certificate_data, "client-certificate-data")?,
        decoded(user.client_key_data, "client-key-data")?,
    );
    let client = match client {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => return Err("has a client certificate without its key, or a key without it".into()),
    };
    let authorization = match (filled(user.token), filled(user.username)) {
        (Some(token), _) => Some(format!("Bearer {}", bearer(&token)?)),
        (None, Some(name)) => {
            let pair = format!("{name}:{}", user.password.unwrap_or_default());
            Some(format!("Basic {}", STANDARD.encode(pair)))
        }
        (None, None) if client.is_none() => {
            return Err("has a user with neither token nor client certificate".into());
        }
        (None, None) => None,
    };
    Ok(Access {
        base,
        ca,
        client,
        server_name: filled(cluster.tls_server_name),
        authorization,
    })
}

/// A token that can stand in a header.
///
/// # Errors
/// As for [`parse`].
pub fn bearer(token: &str) -> Result<&str, &'static str> {
    if token.is_empty() || token.contains(|c: char| c.is_control() || c == ' ') {
        return Err(
            "has a token that is empty, or has a line break or a blank in it: write it without",
        );
    }
    Ok(token)
}

fn refused(cluster: &Cluster, user: &User) -> Option<&'static str> {
    let files = [
        &cluster.certificate_authority,
        &user.client_certificate,
        &user.client_key,
        &user.token_file,
    ];
    if files.into_iter().flatten().any(|path| !path.is_empty()) {
        return Some(
            "names files: write what is in them as …-data and token, as `kubectl config view --raw --flatten` does",
        );
    }
    if user.exec.is_some() || user.auth_provider.is_some() {
        return Some("starts a program to log in, which is not possible here: use a token");
    }
    if cluster.insecure_skip_tls_verify {
        return Some(
            "skips the verification of the server, which is not possible here: write certificate-authority-data",
        );
    }
    if cluster
        .proxy_url
        .as_ref()
        .is_some_and(|url| !url.is_empty())
    {
        return Some("names a proxy, which is not possible here");
    }
    if user
        .impersonate
        .as_ref()
        .is_some_and(|name| !name.is_empty())
    {
        return Some(
            "impersonates another user, which is not possible here: use that user's token",
        );
    }
    None
}

fn filled(text: Option<String>) -> Option<String> {
    text.filter(|t| !t.is_empty())
}

fn decoded(text: Option<String>, field: &str) -> Result<Option<Vec<u8>>, String> {
    let text = filled(text).map(|t| t.split_ascii_whitespace().collect::<String>());
    text.map(|t| STANDARD.decode(t))
        .transpose()
        .map_err(|_| format!("has a {field} that is no base64"))
}
