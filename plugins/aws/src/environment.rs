//! The parts of Postern's own environment that this provider knows: who Postern is by itself, and endpoints for all stores.

use postern_plugin_shared::ask;
use postern_sdk::{Ask, Context, Credential, Failure};

/// Access keys as they are.
pub const KEY_ID: &str = "env:AWS_ACCESS_KEY_ID";
/// Their secret.
pub const SECRET_KEY: &str = "env:AWS_SECRET_ACCESS_KEY";
/// Their session token.
pub const SESSION_TOKEN: &str = "env:AWS_SESSION_TOKEN";
/// The role of a web identity.
pub const ROLE: &str = "env:AWS_ROLE_ARN";
/// The session's name of a web identity.
pub const ROLE_SESSION: &str = "env:AWS_ROLE_SESSION_NAME";
/// The token of a web identity.
pub const WEB_IDENTITY: &str = "file:AWS_WEB_IDENTITY_TOKEN_FILE";
/// Where a container's credentials are handed out, as a whole URL (pod identity).
pub const CONTAINER_FULL: &str = "env:AWS_CONTAINER_CREDENTIALS_FULL_URI";
/// The same, as a path.
pub const CONTAINER_RELATIVE: &str = "env:AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
/// What they are asked for with.
pub const CONTAINER_TOKEN: &str = "env:AWS_CONTAINER_AUTHORIZATION_TOKEN";
/// The same, in a file.
pub const CONTAINER_TOKEN_FILE: &str = "file:AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
/// `true` closes the metadata of the instance.
pub const METADATA_OFF: &str = "env:AWS_EC2_METADATA_DISABLED";
/// Where the metadata of the instance is, if not at the usual place.
pub const METADATA_AT: &str = "env:AWS_EC2_METADATA_SERVICE_ENDPOINT";

/// All that says who Postern is.
pub const IDENTITY: [&str; 12] = [
    KEY_ID,
    SECRET_KEY,
    SESSION_TOKEN,
    ROLE,
    ROLE_SESSION,
    WEB_IDENTITY,
    CONTAINER_FULL,
    CONTAINER_RELATIVE,
    CONTAINER_TOKEN,
    CONTAINER_TOKEN_FILE,
    METADATA_OFF,
    METADATA_AT,
];

/// The endpoint of Secrets Manager.
pub const SECRETS_MANAGER: &str = "env:AWS_SECRETSMANAGER_ENDPOINT";
/// The endpoint of Parameter Store.
pub const PARAMETER_STORE: &str = "env:AWS_SSM_ENDPOINT";
/// The endpoint of the Security Token Service.
pub const STS: &str = "env:AWS_STS_ENDPOINT";

/// What `describe` asks for.
#[must_use]
pub fn asks() -> Vec<Ask> {
    let mut asks = vec![
        ask(
            "host",
            "*",
            "the endpoints of a store's region, or those that it names",
        ),
        ask(
            "metadata-address",
            "*",
            "the role of the pod or the instance, for stores that name no credential",
        ),
    ];
    asks.extend(IDENTITY.map(|what| {
        let why = "Postern's own role, for stores that name no credential";
        ask("ambient-identity", what, why)
    }));
    asks.extend([SECRETS_MANAGER, PARAMETER_STORE, STS].map(|what| {
        let why = "an endpoint for all stores that name none";
        ask("environment", what, why)
    }));
    asks
}

/// What was given of it.
#[derive(Clone, Copy, Default)]
pub struct Environment<'a>(pub &'a [Credential]);

impl<'a> Environment<'a> {
    /// That of a call.
    #[must_use]
    pub fn of(context: &'a Context) -> Self {
        Self(&context.credentials)
    }

    /// A variable, or the content of the file that it names; without white space around it.
    #[must_use]
    pub fn get(self, pointer: &str) -> Option<&'a str> {
        let credential = self.0.iter().find(|c| c.pointer == pointer)?;
        let text = std::str::from_utf8(&credential.value).ok()?.trim();
        (!text.is_empty()).then_some(text)
    }

    /// Whether the variable is set, also where its file cannot be read.
    #[must_use]
    pub fn has(self, pointer: &str) -> bool {
        self.0.iter().any(|c| c.pointer == pointer)
    }

    /// A variable that must be there.
    ///
    /// # Errors
    /// `unavailable` for a file that cannot be read, `invalid-config` for a variable that is not set.
    pub fn need(self, pointer: &str) -> Result<&'a str, Failure> {
        if let Some(text) = self.get(pointer) {
            return Ok(text);
        }
        let name = pointer.split_once(':').map_or(pointer, |(_, name)| name);
        let found = self.0.iter().find(|c| c.pointer == pointer);
        let why = found.and_then(|c| c.attributes.iter().find(|(n, _)| n == "unreadable"));
        Err(match (found, why) {
            (_, Some((_, why))) => Failure::unavailable(format!(
                "the file that {name} of Postern's environment names cannot be read: {why}"
            )),
            (Some(_), None) => Failure::invalid_config(format!(
                "{name} of Postern's environment is no text, or empty"
            )),
            (None, None) => {
                Failure::invalid_config(format!("{name} is not set in Postern's environment"))
            }
        })
    }
}
