//! The store's config, parsed once into a [`Config`] that cannot be wrong, and what it needs from the host.

use postern_sdk::{
    Context, Credential, Endpoint, Failure, Needs, Problem, Reference, parse_config,
    problems_as_failure,
};
use serde::Deserialize;

use crate::address::{self, Origin};
use crate::cloud::Environment;
use crate::own;

/// Where the reference to the client's id stands.
pub const CLIENT_ID: &str = "/authSecretRef/clientId";
/// Where the reference to the client's secret stands.
pub const CLIENT_SECRET: &str = "/authSecretRef/clientSecret";
/// Where the reference to the client's certificate with its key stands.
pub const CLIENT_CERTIFICATE: &str = "/authSecretRef/clientCertificate";
/// Where the reference to the tenant stands.
pub const TENANT_ID: &str = "/authSecretRef/tenantId";
/// Where the reference to a service account stands.
pub const ACCOUNT: &str = "/serviceAccountRef";
/// Variables of Postern's own environment: where an app asks for a token of its own identity, and what it shows for it.
pub const IDENTITY_ENDPOINT: &str = "env:IDENTITY_ENDPOINT";
/// See [`IDENTITY_ENDPOINT`].
pub const IDENTITY_HEADER: &str = "env:IDENTITY_HEADER";
/// The application that trusts Postern's own service account.
pub const OWN_CLIENT_ID: &str = "env:AZURE_CLIENT_ID";
/// The token of Postern's own service account.
pub const OWN_TOKEN: &str = "file:AZURE_FEDERATED_TOKEN_FILE";
/// The directory, where nothing else says it.
pub const OWN_TENANT_ID: &str = "env:AZURE_TENANT_ID";
/// Where Postern's own identity logs in.
pub const OWN_AUTHORITY: &str = "env:AZURE_AUTHORITY_HOST";

/// Whom a federated token is for, unless the account names more.
const EXCHANGE: &str = "api://AzureADTokenExchange";
/// How long such a token lives; it is used once, at once.
const FEDERATED_LIFE_S: u32 = 600;

/// A checked config.
#[derive(Debug, PartialEq, Eq)]
pub struct Config {
    /// The vault.
    pub vault: Origin,
    /// Whom a token is for, without a slash at its end.
    pub resource: String,
    /// As whom.
    pub auth: Auth,
}

/// As whom a token is asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Auth {
    /// An application with a secret or a certificate of its own.
    ServicePrincipal {
        /// Where one logs in.
        login: Origin,
        /// The directory.
        tenant: String,
        /// How it proves who it is.
        proof: Proof,
    },
    /// The identity that the platform gave to the node, or to Postern as an app of its own.
    ManagedIdentity {
        /// Which, where there are several: a client id, or a resource id, which begins with a slash.
        identity: Option<String>,
    },
    /// An application that trusts a service account of this cluster.
    WorkloadIdentity(Federation),
    /// An application that trusts Postern's own service account.
    OwnIdentity {
        /// Where one logs in by the config, unless the environment says it.
        login: Option<Origin>,
        /// Whether it is a place of the config's own choice.
        custom: bool,
    },
}

/// How an application proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// By a secret.
    Secret,
    /// By an assertion that is signed with the key of a certificate.
    Certificate,
}

/// A service account's token in exchange for one of the cloud.
#[derive(Debug, PartialEq, Eq)]
pub struct Federation {
    /// Where one logs in.
    pub login: Origin,
    /// The directory, if it stands in the config; else the account or the environment says it.
    pub tenant: Option<String>,
    /// Whether a reference leads to the directory.
    pub tenant_reference: bool,
    /// Whether a reference leads to the client's id.
    pub client_reference: bool,
    /// Whether `useAzureSDK` is set: what stands twice is then taken from the first place instead of refused.
    pub first_wins: bool,
    /// Whom the service account's token is for.
    pub audiences: Vec<String>,
}

type Present = serde::de::IgnoredAny;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Raw {
    vault_url: String,
    auth_type: AuthType,
    tenant_id: Option<String>,
    auth_secret_ref: Option<RawReferences>,
    service_account_ref: Option<RawAccount>,
    identity_id: Option<String>,
    environment_type: Environment,
    #[serde(rename = "useAzureSDK")]
    use_azure_sdk: bool,
    custom_cloud_config: Option<RawCloud>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
enum AuthType {
    #[default]
    ServicePrincipal,
    ManagedIdentity,
    WorkloadIdentity,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawReferences {
    client_id: Option<Present>,
    client_secret: Option<Present>,
    client_certificate: Option<Present>,
    tenant_id: Option<Present>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawAccount {
    audiences: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawCloud {
    active_directory_endpoint: String,
    key_vault_endpoint: Option<String>,
    #[serde(rename = "keyVaultDNSSuffix")]
    key_vault_dns_suffix: Option<String>,
}

impl Config {
    /// Reads a config.
    ///
    /// # Errors
    /// All problems found.
    pub fn parse(json: &str) -> Result<Self, Vec<Problem>> {
        let raw: Raw = parse_config(json)?;
        let mut problems = Problems::default();
        let vault = problems.origin("/vaultUrl", &raw.vault_url);
        let login = login(&raw, &mut problems);
        let resource = resource(&raw, vault.as_ref(), &mut problems);
        let auth = match raw.auth_type {
            AuthType::ServicePrincipal => service_principal(raw, login, &mut problems),
            AuthType::ManagedIdentity => Some(Auth::ManagedIdentity {
                identity: filled(raw.identity_id),
            }),
            AuthType::WorkloadIdentity if raw.service_account_ref.is_none() => {
                let custom = raw.custom_cloud_config.is_some();
                Some(Auth::OwnIdentity { login, custom })
            }
            AuthType::WorkloadIdentity => workload_identity(raw, login, &mut problems),
        };
        match (vault, resource, auth) {
            (Some(vault), Some(resource), Some(auth)) if problems.0.is_empty() => {
                let config = Self {
                    vault,
                    resource,
                    auth,
                };
                config.keeps_to_the_cloud()
            }
            _ => Err(problems.0),
        }
    }

    /// Reads the config of a call.
    ///
    /// # Errors
    /// `invalid-config` with all problems.
    pub fn of(context: &Context) -> Result<Self, Failure> {
        Self::parse(&context.config).map_err(|p| problems_as_failure(&p))
    }

    /// Whoever writes the store chooses where a token goes. One that is made from his own credential is his; that of
    /// Postern is not, so it goes only to hosts of the cloud that it is for.
    fn keeps_to_the_cloud(self) -> Result<Self, Vec<Problem>> {
        match self.auth {
            Auth::ServicePrincipal { .. } | Auth::WorkloadIdentity(_) => return Ok(self),
            Auth::ManagedIdentity { .. } | Auth::OwnIdentity { .. } => {}
        }
        let of_cloud = address::split(&self.resource)
            .is_ok_and(|(cloud, _)| address::is_below(&self.vault.host, &cloud.host));
        if of_cloud {
            return Ok(self);
        }
        let text = format!(
            "is no host below that of {}: a token of Postern's own identity is sent nowhere else; correct it, environmentType, or customCloudConfig.keyVaultEndpoint",
            self.resource
        );
        Err(vec![Problem::new("/vaultUrl", text)])
    }

    /// What this config needs: references of the method in use, the vault, and where one logs in.
    #[must_use]
    pub fn needs(&self, credentials: &[Credential]) -> Needs {
        let at = |pointers: &[&str]| pointers.iter().map(|p| Reference::at(*p)).collect();
        let (references, login) = match &self.auth {
            Auth::ServicePrincipal { login, proof, .. } => {
                let second = match proof {
                    Proof::Secret => CLIENT_SECRET,
                    Proof::Certificate => CLIENT_CERTIFICATE,
                };
                (at(&[CLIENT_ID, second]), Some(login.url.clone()))
            }
            Auth::ManagedIdentity { .. } => {
                let references = at(&[IDENTITY_ENDPOINT, IDENTITY_HEADER]);
                (references, Some(own::platform(credentials).origin))
            }
            Auth::WorkloadIdentity(federation) => {
                (federation.references(), Some(federation.login.url.clone()))
            }
            Auth::OwnIdentity { login, custom } => {
                let references = at(&[OWN_CLIENT_ID, OWN_TENANT_ID, OWN_TOKEN, OWN_AUTHORITY]);
                let login = own::login(login.as_ref(), *custom, credentials);
                (references, login.ok().map(|o| o.url))
            }
        };
        let endpoint = |origin: String| Endpoint {
            origin,
            ..Endpoint::default()
        };
        let mut endpoints = vec![endpoint(self.vault.url.clone())];
        let login = login.filter(|login| *login != self.vault.url);
        endpoints.extend(login.map(endpoint));
        Needs {
            references,
            endpoints,
            ..Needs::default()
        }
    }
}

impl Federation {
    fn references(&self) -> Vec<Reference> {
        let mut references = vec![Reference {
            audiences: self.audiences.clone(),
            expires_in_s: Some(FEDERATED_LIFE_S),
            ..Reference::at(ACCOUNT)
        }];
        if self.client_reference {
            references.push(Reference::at(CLIENT_ID));
        }
        if self.tenant_reference {
            references.push(Reference::at(TENANT_ID));
        }
        if self.tenant.is_none() && !self.tenant_reference {
            references.push(Reference::at(OWN_TENANT_ID));
        }
        references
    }
}

#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, pointer: &str, text: impl Into<String>) {
        self.0.push(Problem::new(pointer, text));
    }

    fn origin(&mut self, pointer: &str, text: &str) -> Option<Origin> {
        address::origin(text)
            .map_err(|what| self.add(pointer, what))
            .ok()
    }
}

fn filled(text: Option<String>) -> Option<String> {
    text.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty())
}

/// Where one logs in; none where a managed identity needs no such place, or where there is a problem.
fn login(raw: &Raw, problems: &mut Problems) -> Option<Origin> {
    const CUSTOM: &str = "/customCloudConfig/activeDirectoryEndpoint";
    match (&raw.custom_cloud_config, raw.environment_type.login()) {
        (Some(custom), _) => problems.origin(CUSTOM, &custom.active_directory_endpoint),
        (None, Some(login)) => problems.origin("/environmentType", login),
        (None, None) => {
            let text = match raw.environment_type {
                Environment::GermanCloud => {
                    "GermanCloud was switched off in 2021; its successors are regions of PublicCloud"
                }
                _ => "AzureStackCloud needs customCloudConfig",
            };
            problems.add("/environmentType", text);
            None
        }
    }
}

/// Whom a token is for. A cloud of one's own that does not say it is taken for one whose vaults are one label below it.
fn resource(raw: &Raw, vault: Option<&Origin>, problems: &mut Problems) -> Option<String> {
    let custom = raw.custom_cloud_config.as_ref();
    if let Some(endpoint) = custom.and_then(|c| filled(c.key_vault_endpoint.clone())) {
        let pointer = "/customCloudConfig/keyVaultEndpoint";
        // It may have a path: with it the vaults of a cloud of one's own are told apart.
        return address::split(&endpoint)
            .map_err(|what| problems.add(pointer, what))
            .ok()
            .map(|_| endpoint.trim_end_matches('/').to_owned());
    }
    if let Some(suffix) = custom.and_then(|c| filled(c.key_vault_dns_suffix.clone())) {
        let pointer = "/customCloudConfig/keyVaultDNSSuffix";
        let url = format!("https://{}", suffix.trim_start_matches('.'));
        return problems.origin(pointer, &url).map(|o| o.url);
    }
    if let Some(resource) = raw.environment_type.resource() {
        return Some(resource.to_owned());
    }
    let (_, parent) = vault?.url.split_once("://")?.1.split_once('.')?;
    Some(format!("https://{parent}"))
}

fn service_principal(raw: Raw, login: Option<Origin>, problems: &mut Problems) -> Option<Auth> {
    let given = filled(raw.tenant_id.clone()).is_some();
    let tenant = tenant(raw.tenant_id, problems);
    if !given {
        problems.add("/tenantId", "is missing: the directory of the application");
    }
    let references = raw.auth_secret_ref.unwrap_or_default();
    if references.client_id.is_none() {
        problems.add(CLIENT_ID, "is missing: the application's id");
    }
    let proof = match (references.client_secret, references.client_certificate) {
        (Some(_), None) => Some(Proof::Secret),
        (None, Some(_)) => Some(Proof::Certificate),
        _ => {
            let text = "needs exactly one of clientSecret and clientCertificate";
            problems.add("/authSecretRef", text);
            None
        }
    };
    Some(Auth::ServicePrincipal {
        login: login?,
        tenant: tenant?,
        proof: proof?,
    })
}

fn workload_identity(raw: Raw, login: Option<Origin>, problems: &mut Problems) -> Option<Auth> {
    let account = raw.service_account_ref.unwrap_or_default();
    if let Some(references) = &raw.auth_secret_ref
        && references.client_id.is_none()
        && !raw.use_azure_sdk
    {
        let text = "is missing: leave authSecretRef out, and the account's annotation counts";
        problems.add(CLIENT_ID, text);
    }
    let references = raw.auth_secret_ref.unwrap_or_default();
    let mut audiences = vec![EXCHANGE.to_owned()];
    audiences.extend(account.audiences);
    Some(Auth::WorkloadIdentity(Federation {
        login: login?,
        tenant: tenant(raw.tenant_id, problems),
        tenant_reference: references.tenant_id.is_some(),
        client_reference: references.client_id.is_some(),
        first_wins: raw.use_azure_sdk,
        audiences,
    }))
}

fn tenant(text: Option<String>, problems: &mut Problems) -> Option<String> {
    let tenant = filled(text)?;
    if !is_tenant(&tenant) {
        problems.add("/tenantId", TENANT_FORM);
        return None;
    }
    Some(tenant)
}

/// What a tenant looks like, to be read after the name of the place.
pub const TENANT_FORM: &str = "must be the id of a directory or one of its domains";

/// A tenant becomes a part of a path.
#[must_use]
pub fn is_tenant(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    !text.is_empty() && text.chars().all(plain) && !text.starts_with('.')
}
