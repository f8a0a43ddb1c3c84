//! Postern's own identity: where the platform tells its tokens, and where an application that trusts Postern's service account
//! logs in. Only the environment of Postern says it, never a store: whoever writes a store must not lead a credential of
//! Postern's to a place of his own.

use postern_sdk::{Context, Credential, Failure};

use crate::address::{self, Origin};
use crate::config::{IDENTITY_ENDPOINT, IDENTITY_HEADER, OWN_AUTHORITY};

/// Where a node tells its pods the tokens of its managed identities.
pub const IMDS: &str = "http://169.254.169.254";

/// Where the platform tells a token of a managed identity.
#[derive(Debug, PartialEq, Eq)]
pub struct Platform {
    /// Scheme, host and port.
    pub origin: String,
    /// The path of tokens.
    pub path: String,
    /// The version of its API.
    pub version: &'static str,
    /// What shows it that Postern asks.
    pub header: (&'static str, String),
}

/// An app of its own is told where to ask by two variables; a pod asks its node.
#[must_use]
pub fn platform(credentials: &[Credential]) -> Platform {
    let endpoint = variable(credentials, IDENTITY_ENDPOINT).and_then(split);
    match (endpoint, variable(credentials, IDENTITY_HEADER)) {
        (Some((origin, path)), Some(header)) => Platform {
            origin: origin.to_owned(),
            path: path.to_owned(),
            version: "2019-08-01",
            header: ("x-identity-header", header.to_owned()),
        },
        _ => Platform {
            origin: IMDS.to_owned(),
            path: "/metadata/identity/oauth2/token".to_owned(),
            version: "2018-02-01",
            header: ("metadata", "true".to_owned()),
        },
    }
}

/// Where an application that trusts Postern's service account logs in: where the environment says, or where its cloud does.
///
/// # Errors
/// `invalid-config` where nothing says it, or the store says another place.
pub fn login(
    login: Option<&Origin>,
    custom: bool,
    credentials: &[Credential],
) -> Result<Origin, Failure> {
    let authority = variable(credentials, OWN_AUTHORITY)
        .map(address::origin)
        .transpose()
        .map_err(|what| Failure::invalid_config(format!("AZURE_AUTHORITY_HOST {what}")))?;
    let of_cloud = login.filter(|_| !custom).cloned();
    let at = authority.or(of_cloud).ok_or_else(|| {
        Failure::invalid_config(
            "the store asks as Postern itself, and AZURE_AUTHORITY_HOST does not say where that logs in",
        )
    })?;
    match login {
        Some(login) if custom && *login != at => Err(Failure::invalid_config(format!(
            "customCloudConfig.activeDirectoryEndpoint is not where Postern's own identity logs in, which is {}: a store that names another place needs a serviceAccountRef",
            at.url
        ))),
        _ => Ok(at),
    }
}

/// A part of Postern's environment that this call needs.
///
/// # Errors
/// `invalid-config` that says what to do where it is closed, not set or not to be read.
pub fn needed<'a>(context: &'a Context, pointer: &str) -> Result<&'a Credential, Failure> {
    let name = pointer.split_once(':').map_or(pointer, |(_, name)| name);
    let found = context.credentials.iter().find(|c| c.pointer == pointer);
    let Some(credential) = found else {
        let what = match context.option("ambient-identity") {
            Some("open") => format!("{name} is not set in its environment"),
            _ => "that needs --ambient-identity".to_owned(),
        };
        return Err(Failure::invalid_config(format!(
            "the store names no serviceAccountRef, so it asks as Postern itself, and {what}"
        )));
    };
    match postern_sdk::option(&credential.attributes, "unreadable") {
        Some(why) => Err(Failure::invalid_config(format!(
            "the file that {name} names cannot be read: {why}"
        ))),
        None => Ok(credential),
    }
}

/// A variable of the environment, if it is open and set.
#[must_use]
pub fn variable<'a>(credentials: &'a [Credential], pointer: &str) -> Option<&'a str> {
    let credential = credentials.iter().find(|c| c.pointer == pointer)?;
    let text = std::str::from_utf8(&credential.value).ok()?.trim();
    (!text.is_empty()).then_some(text)
}

/// Origin and path. The platform speaks plain HTTP here, on the loopback or a link-local address.
fn split(url: &str) -> Option<(&str, &str)> {
    let at = url.find("://")? + 3;
    let end = url[at..].find('/').map_or(url.len(), |slash| at + slash);
    let path = &url[end..];
    let plain = !url.contains(['@', '?', '#', ' ', '\\']);
    (plain && url.starts_with("http")).then_some((&url[..end], path))
}
