//! The store's config, parsed once into a [`Config`] that cannot be wrong, and what it needs from the host.

use postern_plugin_shared::pem;
use postern_sdk::{
    Context, Credential, Endpoint, Failure, Material, Needs, Problem, Reference, parse_config,
    problems_as_failure,
};
use serde::Deserialize;

use crate::kubeconfig::{self, Access};

/// Where the reference to a kubeconfig stands.
pub const AUTH_REF: &str = "/authRef";
/// Where the reference to a service account stands.
pub const ACCOUNT: &str = "/auth/serviceAccount";
/// Where the reference to a token stands.
pub const TOKEN: &str = "/auth/token/bearerToken";
const CERTIFICATE: &str = "/auth/cert/clientCert";
const KEY: &str = "/auth/cert/clientKey";
const CA_PROVIDER: &str = "/server/caProvider";

/// How long a service account's token shall live.
const TOKEN_LIFE_S: u32 = 3600;

/// A checked config.
#[derive(Debug, PartialEq, Eq)]
pub struct Config {
    /// The namespace that is read.
    pub namespace: String,
    /// Which server, and as whom.
    pub door: Door,
}

/// Which server, and as whom.
#[derive(Debug, PartialEq, Eq)]
pub enum Door {
    /// A kubeconfig behind `authRef` says all.
    Kubeconfig,
    /// The config says it.
    Named {
        /// Base URL without a trailing slash.
        base: String,
        /// Where the roots come from.
        ca: Option<Ca>,
        /// As whom.
        auth: Auth,
    },
}

/// Where CA certificates come from.
#[derive(Debug, PartialEq, Eq)]
pub enum Ca {
    /// PEM that stands in the config.
    Pem(Vec<u8>),
    /// The reference `/server/caProvider`.
    Reference,
}

/// As whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// A token of a service account.
    Account,
    /// A token from a Secret.
    Token,
    /// A client certificate, which the host presents.
    Certificate,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Raw {
    server: RawServer,
    auth: RawAuth,
    auth_ref: Option<Present>,
    remote_namespace: Option<String>,
}

type Present = serde::de::IgnoredAny;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawServer {
    url: Option<String>,
    ca_bundle: Option<String>,
    ca_provider: Option<Present>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawAuth {
    cert: Option<Present>,
    token: Option<Present>,
    service_account: Option<Present>,
}

impl Config {
    /// Reads a config.
    ///
    /// # Errors
    /// All problems found.
    pub fn parse(json: &str) -> Result<Self, Vec<Problem>> {
        let raw: Raw = parse_config(json)?;
        let namespace = raw
            .remote_namespace
            .filter(|n| !n.is_empty())
            .unwrap_or_else(|| "default".to_owned());
        if raw.auth_ref.is_some() {
            let door = Door::Kubeconfig;
            return Ok(Self { namespace, door });
        }
        let mut problems = Vec::new();
        let auth = auth(&raw.auth).unwrap_or_else(|text| {
            problems.push(Problem::new("/auth", text));
            Auth::Token
        });
        let url = raw.server.url.filter(|u| !u.trim().is_empty());
        let base = base(url.as_deref().unwrap_or("kubernetes.default")).unwrap_or_else(|text| {
            problems.push(Problem::new("/server/url", text));
            String::new()
        });
        let ca = match raw.server.ca_bundle.filter(|b| !b.is_empty()) {
            None => raw.server.ca_provider.map(|_| Ca::Reference),
            Some(bundle) => match pem(&bundle) {
                Some(pem) => Some(Ca::Pem(pem)),
                None => {
                    let text = "is neither PEM nor base64 of PEM";
                    problems.push(Problem::new("/server/caBundle", text));
                    None
                }
            },
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        let door = Door::Named { base, ca, auth };
        Ok(Self { namespace, door })
    }

    /// Reads the config of a call.
    ///
    /// # Errors
    /// `invalid-config` with all problems.
    pub fn of(context: &Context) -> Result<Self, Failure> {
        Self::parse(&context.config).map_err(|p| problems_as_failure(&p))
    }

    /// What this config needs. What a kubeconfig names is known only with the kubeconfig at hand.
    ///
    /// # Errors
    /// Problems of the kubeconfig.
    pub fn needs(&self, credentials: &[Credential]) -> Result<Needs, Vec<Problem>> {
        let (references, endpoints) = match &self.door {
            Door::Kubeconfig => {
                let given = credentials.iter().find(|c| c.pointer == AUTH_REF);
                let access = given.map(kubeconfig).transpose()?;
                let endpoints = access.into_iter().map(Access::into_endpoint).collect();
                (vec![Reference::at(AUTH_REF)], endpoints)
            }
            Door::Named { base, ca, auth } => (references(*auth), vec![endpoint(base, ca, *auth)]),
        };
        Ok(Needs {
            references,
            endpoints,
            ..Needs::default()
        })
    }
}

/// The kubeconfig in a credential.
///
/// # Errors
/// What is wrong with it, without its text.
pub fn kubeconfig(credential: &Credential) -> Result<Access, Vec<Problem>> {
    kubeconfig::parse(&credential.value).map_err(|text| {
        vec![Problem::new(
            AUTH_REF,
            format!("the kubeconfig there {text}"),
        )]
    })
}

fn auth(raw: &RawAuth) -> Result<Auth, &'static str> {
    let given = [
        raw.service_account.as_ref().map(|_| Auth::Account),
        raw.token.as_ref().map(|_| Auth::Token),
        raw.cert.as_ref().map(|_| Auth::Certificate),
    ];
    let mut given = given.into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(auth), None) => Ok(auth),
        _ => Err("needs exactly one of serviceAccount, token and cert, or authRef beside it"),
    }
}

/// The base URL of a server's address, which may have a path; without a scheme it is HTTPS.
pub(crate) fn base(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
    let scheme = scheme.to_ascii_lowercase();
    if scheme != "https" && scheme != "http" {
        return Err("must begin with https:// or http://, or have no scheme");
    }
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.contains('@') {
        return Err("must not contain a user name or a password");
    }
    if authority.is_empty() || rest.contains(['?', '#', ' ', '\\']) {
        return Err("must be the address of an API server, without query and fragment");
    }
    Ok(format!("{scheme}://{}", rest.trim_end_matches('/')))
}

fn references(auth: Auth) -> Vec<Reference> {
    match auth {
        Auth::Account => vec![Reference {
            expires_in_s: Some(TOKEN_LIFE_S),
            ..Reference::at(ACCOUNT)
        }],
        Auth::Token => vec![Reference {
            options: vec![("default-key".to_owned(), "token".to_owned())],
            ..Reference::at(TOKEN)
        }],
        // The host presents it; it is no credential of ours.
        Auth::Certificate => Vec::new(),
    }
}

fn endpoint(base: &str, ca: &Option<Ca>, auth: Auth) -> Endpoint {
    let ca = ca.as_ref().map(|ca| match ca {
        Ca::Pem(pem) => Material::Pem(pem.clone()),
        Ca::Reference => Material::Pointer(CA_PROVIDER.to_owned()),
    });
    let endpoint = Endpoint {
        origin: base.to_owned(),
        ca,
        ..Endpoint::default()
    };
    match auth {
        Auth::Account | Auth::Token => endpoint,
        Auth::Certificate => Endpoint {
            client_certificate: Some(Material::Pointer(CERTIFICATE.to_owned())),
            client_key: Some(Material::Pointer(KEY.to_owned())),
            options: [
                ("client-certificate-default-key", "tls.crt"),
                ("client-key-default-key", "tls.key"),
            ]
            .map(|(name, key)| (name.to_owned(), key.to_owned()))
            .to_vec(),
            ..endpoint
        },
    }
}
