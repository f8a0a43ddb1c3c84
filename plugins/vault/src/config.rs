//! The store's config, parsed once into a [`Config`] that cannot be wrong: later steps need no checks.
//! Two spec keys are served: `vault`, and `openBao`, which differs by the default mount and in that a
//! property is never a path.

use postern_plugin_shared::google::{Cluster, is_plain};
use postern_plugin_shared::{Address, pem};
use postern_sdk::{Context, Failure, Problem, parse_config, problems_as_failure};
use serde::Deserialize;

use crate::raw::{
    Raw, RawAppRole, RawAuth, RawCertificate, RawGcp, RawJwt, RawKubernetes, RawPassword,
};

/// The name of the option by which the host says which key of `spec.provider` is in use.
pub const KEY_OPTION: &str = "provider-key";

/// Where the reference to the key of a Google service account stands.
pub const GOOGLE_KEY: &str = "/auth/gcp/secretRef/secretAccessKeySecretRef";
/// Where the reference to the account of a GKE workload stands.
pub const GOOGLE_WORKLOAD: &str = "/auth/gcp/workloadIdentity/serviceAccountRef";

/// A checked config.
#[derive(Debug)]
pub struct Config {
    /// Base URL without a trailing slash.
    pub base: String,
    /// Scheme and authority of it.
    pub origin: String,
    /// The mount, and perhaps a path below it; without slashes at its ends.
    pub path: Option<String>,
    /// KV engine.
    pub version: KvVersion,
    /// Namespace of reads.
    pub namespace: Option<String>,
    /// Namespace of the login.
    pub auth_namespace: Option<String>,
    /// How a token is got; none for an agent that adds it.
    pub auth: Option<Auth>,
    /// Whether a node that has not seen our login yet must not answer.
    pub read_your_writes: bool,
    /// Headers to send with each request.
    pub headers: Vec<(String, String)>,
    /// Where the roots come from.
    pub ca: Option<Ca>,
    /// Whether a client certificate and its key are named.
    pub tls: bool,
    /// Whether an unknown property is looked up as a path.
    pub property_paths: bool,
}

/// The version of the KV engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KvVersion {
    /// Plain.
    V1,
    /// With versions and metadata.
    #[default]
    V2,
}

/// Where CA certificates come from.
#[derive(Debug, PartialEq, Eq)]
pub enum Ca {
    /// PEM that stands in the config.
    Pem(Vec<u8>),
    /// The reference `/caProvider`.
    Reference,
}

/// The first configured method; its pointers say which credential each field takes.
#[derive(Debug, PartialEq, Eq)]
pub enum Auth {
    /// A token as it is; never renewed, never revoked.
    Token,
    /// AppRole; the role id stands in the config or behind `roleRef`.
    AppRole {
        /// Mount.
        path: String,
        /// Role id, if it stands in the config.
        role_id: Option<String>,
    },
    /// A Kubernetes or JWT login, which differ in defaults only.
    Jwt {
        /// Mount.
        path: String,
        /// Role.
        role: Option<String>,
        /// Where the token comes from.
        source: JwtSource,
    },
    /// User name and password (`userpass` or `ldap`).
    Password {
        /// Mount.
        path: String,
        /// User name.
        username: String,
        /// Where the password comes from.
        pointer: &'static str,
    },
    /// The TLS client certificate that the host presents.
    Certificate {
        /// Mount.
        path: String,
        /// Role.
        role: Option<String>,
    },
    /// A service account of Google, which a signed token vouches for.
    Google {
        /// Mount.
        path: String,
        /// Role.
        role: String,
        /// Who signs.
        signer: Signer,
    },
}

/// Who signs for a service account of Google.
#[derive(Debug, PartialEq, Eq)]
pub enum Signer {
    /// The service account's key.
    Key,
    /// Google, for a ServiceAccount of this cluster that may act as the service account.
    Cluster(Cluster),
}

/// Where a JWT comes from.
#[derive(Debug, PartialEq, Eq)]
pub struct JwtSource {
    /// JSON Pointer of the reference.
    pub pointer: &'static str,
    /// Audiences of a service account's token; none for a Secret.
    pub account: Option<AccountToken>,
}

/// A service account's token.
#[derive(Debug, PartialEq, Eq)]
pub struct AccountToken {
    /// Audiences.
    pub audiences: Vec<String>,
    /// Life in seconds.
    pub expires_in_s: u32,
}

impl Config {
    /// Reads a config without knowing the key it stands under: everything but property rules and the
    /// default mount is the same for both.
    ///
    /// # Errors
    /// All problems found.
    pub fn parse(json: &str, key: Option<&str>) -> Result<Self, Vec<Problem>> {
        check(parse_config(json)?, key == Some("openBao"))
    }

    /// Reads the config of a call.
    ///
    /// # Errors
    /// `invalid-config` with all problems.
    pub fn of(context: &Context) -> Result<Self, Failure> {
        Self::parse(&context.config, context.option(KEY_OPTION))
            .map_err(|p| problems_as_failure(&p))
    }
}

fn check(raw: Raw, open_bao: bool) -> Result<Config, Vec<Problem>> {
    let mut problems = Vec::new();
    let Address { base, origin } = Address::parse(&raw.server).unwrap_or_else(|message| {
        problems.push(Problem::new("/server", message));
        Address::default()
    });
    let raw_auth = raw.auth.unwrap_or_default();
    let auth_namespace = raw_auth
        .namespace
        .clone()
        .filter(|n| !n.is_empty())
        .or_else(|| raw.namespace.clone());
    if open_bao && raw_auth.methods_of_open_bao() != 1 {
        problems.push(Problem::new(
            "/auth",
            "needs exactly one of appRole, tokenSecretRef and userPass",
        ));
    }
    let auth = auth(raw_auth, &mut problems);
    let tls = match (
        raw.tls.cert_secret_ref.is_some(),
        raw.tls.key_secret_ref.is_some(),
    ) {
        (true, false) => {
            problems.push(Problem::new(
                "/tls/keySecretRef",
                "a certificate needs its key",
            ));
            false
        }
        (false, true) => {
            problems.push(Problem::new(
                "/tls/certSecretRef",
                "a key needs its certificate",
            ));
            false
        }
        (both, _) => both,
    };
    if raw.check_and_set.required && raw.version == KvVersion::V1 {
        problems.push(Problem::new(
            "/checkAndSet/required",
            "the KV engine v1 has no check-and-set",
        ));
    }
    let ca = ca(raw.ca_bundle, raw.ca_provider.is_some(), &mut problems);
    let mut headers: Vec<_> = raw.headers.into_iter().collect();
    let read_your_writes = raw.read_your_writes || raw.forward_inconsistent;
    if raw.read_your_writes && raw.forward_inconsistent {
        headers.push((
            "X-Vault-Inconsistent".to_owned(),
            "forward-active-node".to_owned(),
        ));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let path = raw
        .path
        .map(|p| p.trim_matches('/').to_owned())
        .filter(|p| !p.is_empty());
    Ok(Config {
        base,
        origin,
        path: path.or_else(|| open_bao.then(|| "kv".to_owned())),
        version: raw.version,
        namespace: raw.namespace.filter(|n| !n.is_empty()),
        auth_namespace: auth_namespace.filter(|n| !n.is_empty()),
        auth,
        read_your_writes,
        headers,
        ca,
        tls,
        property_paths: !open_bao,
    })
}

fn ca(bundle: Option<String>, provider: bool, problems: &mut Vec<Problem>) -> Option<Ca> {
    let Some(bundle) = bundle.filter(|b| !b.is_empty()) else {
        return provider.then_some(Ca::Reference);
    };
    let pem = pem(&bundle);
    if pem.is_none() {
        problems.push(Problem::new(
            "/caBundle",
            "is neither PEM nor base64 of PEM",
        ));
    }
    pem.map(Ca::Pem)
}

/// The first configured method, in the order in which the External Secrets Operator tries them.
fn auth(raw: RawAuth, problems: &mut Vec<Problem>) -> Option<Auth> {
    if raw.token_secret_ref.is_some() {
        return Some(Auth::Token);
    }
    if let Some(m) = raw.app_role {
        return app_role(m, problems);
    }
    if let Some(m) = raw.kubernetes {
        return kubernetes(m, problems);
    }
    if let Some(m) = raw.ldap {
        return password(m, "ldap", "/auth/ldap/secretRef", problems);
    }
    if let Some(m) = raw.user_pass {
        return password(m, "userpass", "/auth/userPass/secretRef", problems);
    }
    if let Some(m) = raw.jwt {
        return jwt(m, problems);
    }
    if let Some(m) = raw.cert {
        return certificate(m, problems);
    }
    if raw.iam.is_some() {
        problems.push(Problem::new("/auth/iam", "is not supported yet"));
    } else if let Some(m) = raw.gcp {
        return google(m, problems);
    } else if raw.present {
        problems.push(Problem::new("/auth", "names no authentication method"));
    }
    None
}

fn app_role(raw: RawAppRole, problems: &mut Vec<Problem>) -> Option<Auth> {
    let role_id = raw
        .role_id
        .map(|r| r.trim().to_owned())
        .filter(|r| !r.is_empty());
    if role_id.is_none() && raw.role_ref.is_none() {
        problems.push(Problem::new("/auth/appRole", "needs roleId or roleRef"));
    }
    if raw.secret_ref.is_none() {
        problems.push(Problem::new("/auth/appRole/secretRef", "is missing"));
    }
    Some(Auth::AppRole {
        path: mount(raw.path, "approle"),
        role_id,
    })
}

fn kubernetes(raw: RawKubernetes, problems: &mut Vec<Problem>) -> Option<Auth> {
    let source = match (raw.service_account_ref, raw.secret_ref) {
        (Some(account), _) => JwtSource {
            pointer: "/auth/kubernetes/serviceAccountRef",
            account: Some(AccountToken {
                audiences: account.audiences,
                expires_in_s: 600,
            }),
        },
        (None, Some(_)) => JwtSource {
            pointer: "/auth/kubernetes/secretRef",
            account: None,
        },
        (None, None) => {
            let message = "name a service account or a secret: Postern's own account is never used";
            problems.push(Problem::new("/auth/kubernetes", message));
            return None;
        }
    };
    Some(Auth::Jwt {
        path: mount(raw.mount_path, "kubernetes"),
        role: Some(raw.role),
        source,
    })
}

fn jwt(raw: RawJwt, problems: &mut Vec<Problem>) -> Option<Auth> {
    let source = match (raw.secret_ref, raw.kubernetes_service_account_token) {
        (Some(_), _) => JwtSource {
            pointer: "/auth/jwt/secretRef",
            account: None,
        },
        (None, Some(token)) => {
            let mut audiences = token.audiences.unwrap_or_else(|| vec!["vault".to_owned()]);
            audiences.extend(token.service_account_ref.audiences);
            JwtSource {
                pointer: "/auth/jwt/kubernetesServiceAccountToken/serviceAccountRef",
                account: Some(AccountToken {
                    audiences,
                    expires_in_s: token.expiration_seconds.unwrap_or(600),
                }),
            }
        }
        (None, None) => {
            problems.push(Problem::new(
                "/auth/jwt",
                "needs secretRef or kubernetesServiceAccountToken",
            ));
            return None;
        }
    };
    let role = raw
        .role
        .map(|r| r.trim().to_owned())
        .filter(|r| !r.is_empty());
    Some(Auth::Jwt {
        path: mount(raw.path, "jwt"),
        role,
        source,
    })
}

fn password(
    raw: RawPassword,
    default: &str,
    pointer: &'static str,
    problems: &mut Vec<Problem>,
) -> Option<Auth> {
    if raw.secret_ref.is_none() {
        problems.push(Problem::new(pointer, "is missing"));
    }
    Some(Auth::Password {
        path: mount(raw.path, default),
        username: raw.username.trim().to_owned(),
        pointer,
    })
}

fn certificate(raw: RawCertificate, problems: &mut Vec<Problem>) -> Option<Auth> {
    if raw.client_cert.is_none() || raw.secret_ref.is_none() {
        problems.push(Problem::new(
            "/auth/cert",
            "needs clientCert and secretRef (its key)",
        ));
    }
    Some(Auth::Certificate {
        path: mount(raw.path, "cert"),
        role: raw.vault_role.filter(|r| !r.is_empty()),
    })
}

/// Who the operator runs as is not among the signers: whoever writes a store names the server that would get the token, and
/// could go on with it to another.
fn google(raw: RawGcp, problems: &mut Vec<Problem>) -> Option<Auth> {
    if raw.role.is_empty() {
        problems.push(Problem::new("/auth/gcp/role", "is missing"));
    }
    let signer = match (raw.secret_ref, raw.workload_identity) {
        (Some(key), _) => {
            if key.key.is_none() {
                problems.push(Problem::new(GOOGLE_KEY, "is missing"));
            }
            Signer::Key
        }
        (None, Some(workload)) => {
            let project = Some(workload.cluster_project).filter(|p| !p.is_empty());
            let cluster = Cluster {
                project: project.unwrap_or(raw.project),
                location: workload.cluster_location,
                name: workload.cluster_name,
            };
            let parts = [
                ("clusterProjectID", &cluster.project),
                ("clusterLocation", &cluster.location),
                ("clusterName", &cluster.name),
            ];
            for (field, text) in parts {
                if !is_plain(text, "-.:_") {
                    let pointer = format!("/auth/gcp/workloadIdentity/{field}");
                    problems.push(Problem::new(pointer, "is missing, or is no such name"));
                }
            }
            Signer::Cluster(cluster)
        }
        (None, None) => {
            let message = "name a key or a workload identity: Postern's own identity is never used";
            problems.push(Problem::new("/auth/gcp", message));
            return None;
        }
    };
    Some(Auth::Google {
        path: mount(raw.path, "gcp"),
        role: raw.role,
        signer,
    })
}

fn mount(path: Option<String>, default: &str) -> String {
    let path = path.map(|p| p.trim_matches('/').to_owned());
    path.filter(|p| !p.is_empty())
        .unwrap_or_else(|| default.to_owned())
}
