//! The store's config, parsed once into a [`Config`] that cannot be wrong: later steps need no checks.

use postern_plugin_shared::Address;
use postern_plugin_shared::google::is_plain;
use postern_sdk::{Context, Failure, Problem, parse_config, problems_as_failure};

use crate::raw::{Raw, RawEndpoints, RawFederation, RawWorkload, Selection};

/// Where the reference to a service account's key stands.
pub const KEY: &str = "/auth/secretRef/secretAccessKeySecretRef";
/// Where the reference to the account of a GKE workload stands.
pub const WORKLOAD: &str = "/auth/workloadIdentity/serviceAccountRef";
/// Where the reference to the account of a federated workload stands.
pub const FEDERATED: &str = "/auth/workloadIdentityFederation/serviceAccountRef";
/// Where the reference to the description of an external account stands.
pub const EXTERNAL: &str = "/auth/workloadIdentityFederation/credConfig";
const FEDERATION: &str = "/auth/workloadIdentityFederation";

/// A checked config.
#[derive(Debug, PartialEq, Eq)]
pub struct Config {
    /// The project; none where the metadata server is asked.
    pub project: Option<String>,
    /// The location of regional secrets; none for global ones.
    pub location: Option<String>,
    /// What is read where the latest version cannot be.
    pub selection: Selection,
    /// As whom.
    pub auth: Auth,
    /// Where everything is.
    pub places: Places,
}

/// As whom we ask.
#[derive(Debug, PartialEq, Eq)]
pub enum Auth {
    /// A service account's key.
    Key,
    /// A ServiceAccount of a GKE cluster.
    Workload(Workload),
    /// An identity of somebody else, for which Google gives a token.
    Federated(Federated),
    /// Whoever the operator runs as, by the metadata server.
    Own,
}

/// The GKE cluster of a workload.
#[derive(Debug, PartialEq, Eq)]
pub struct Workload {
    /// The cluster's project.
    pub project: String,
    /// Its location; none where the metadata server is asked.
    pub location: Option<String>,
    /// Its name; none where the metadata server is asked.
    pub name: Option<String>,
}

/// A federated identity.
#[derive(Debug, PartialEq, Eq)]
pub struct Federated {
    /// Pool and provider, where the store names them.
    pub audience: Option<String>,
    /// The service account to act as, where the store names it.
    pub email: Option<String>,
    /// Who vouches.
    pub source: Source,
}

/// Who vouches for a federated identity.
#[derive(Debug, PartialEq, Eq)]
pub enum Source {
    /// The cluster, for a ServiceAccount.
    Account,
    /// What the description of an external account says; it may name this URL and no other.
    Described {
        /// The URL that gives tokens.
        token_endpoint: Option<Address>,
    },
}

/// Servers.
#[derive(Debug, PartialEq, Eq)]
pub struct Places {
    /// Secret Manager.
    pub secret_manager: Address,
    /// What gives tokens for keys; none for the one that a key names.
    pub oauth2: Option<Address>,
    /// What gives tokens for federated identities.
    pub sts: Address,
    /// What gives tokens for workloads of GKE.
    pub secure_token: Address,
    /// What gives tokens of service accounts.
    pub iam_credentials: Address,
    /// The metadata server.
    pub metadata: Address,
}

impl Config {
    /// Reads a config.
    ///
    /// # Errors
    /// All problems found.
    pub fn parse(json: &str) -> Result<Self, Vec<Problem>> {
        let raw: Raw = parse_config(json)?;
        let mut problems = Vec::new();
        let location = optional(raw.location);
        if location.as_deref().is_some_and(|l| !is_plain(l, "-")) {
            problems.push(Problem::new(
                "/location",
                "is no location, such as europe-west1",
            ));
        }
        let project = optional(raw.project);
        if project.as_deref().is_some_and(|p| !is_plain(p, "-.:")) {
            problems.push(Problem::new(
                "/projectID",
                "is neither the id nor the number of a project",
            ));
        }
        let own_metadata = raw.endpoints.metadata.is_none();
        let places = places(raw.endpoints, location.as_deref(), &mut problems);
        let auth = match (
            raw.auth.secret_ref,
            raw.auth.workload_identity,
            raw.auth.workload_identity_federation,
        ) {
            (Some(key), _, _) => {
                if key.secret_access_key.is_none() {
                    problems.push(Problem::new(KEY, "is missing"));
                }
                if project.is_none() {
                    let text = "is needed where a service account's key is used";
                    problems.push(Problem::new("/projectID", text));
                }
                Auth::Key
            }
            (None, Some(raw), _) => {
                Auth::Workload(workload(raw, project.as_deref(), &mut problems))
            }
            (None, None, Some(raw)) => Auth::Federated(federated(raw, &mut problems)),
            (None, None, None) => Auth::Own,
        };
        // Whoever writes a store must not have the operator's token sent to a server of theirs.
        if auth == Auth::Own && own_metadata && !is_googles(&places.secret_manager) {
            let text = "the operator's own token is sent to *.googleapis.com only; name an authentication in auth";
            problems.push(Problem::new("/endpoints/secretManager", text));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let cluster = match &auth {
            Auth::Workload(workload) => Some(workload.project.clone()),
            Auth::Key | Auth::Federated(_) | Auth::Own => None,
        };
        Ok(Self {
            project: project.or(cluster),
            location,
            selection: raw.secret_version_selection_policy,
            auth,
            places,
        })
    }

    /// Reads the config of a call.
    ///
    /// # Errors
    /// `invalid-config` with all problems.
    pub fn of(context: &Context) -> Result<Self, Failure> {
        Self::parse(&context.config).map_err(|p| problems_as_failure(&p))
    }

    /// Whether the metadata server is asked for something.
    #[must_use]
    pub fn asks_metadata(&self) -> bool {
        let of_cluster = match &self.auth {
            Auth::Workload(w) => w.location.is_none() || w.name.is_none(),
            Auth::Own => true,
            Auth::Key | Auth::Federated(_) => false,
        };
        of_cluster || self.project.is_none()
    }
}

/// Whether a server is one of Google's APIs.
#[must_use]
pub fn is_googles(address: &Address) -> bool {
    let host = address.origin.strip_prefix("https://");
    host.is_some_and(|host| host.ends_with(".googleapis.com") && is_plain(host, "-."))
}

fn optional(text: String) -> Option<String> {
    Some(text).filter(|t| !t.is_empty())
}

fn workload(raw: RawWorkload, project: Option<&str>, problems: &mut Vec<Problem>) -> Workload {
    let own = optional(raw.cluster_project).or_else(|| project.map(str::to_owned));
    let parts = [
        ("clusterProjectID", own.as_deref()),
        ("clusterLocation", Some(raw.cluster_location.as_str())),
        ("clusterName", Some(raw.cluster_name.as_str())),
    ];
    for (field, text) in parts {
        if text.is_some_and(|t| !t.is_empty() && !is_plain(t, "-.:_")) {
            let pointer = format!("/auth/workloadIdentity/{field}");
            problems.push(Problem::new(
                pointer,
                "has a character that is in no such name",
            ));
        }
    }
    if own.is_none() {
        let text = "names the cluster's project, without which nobody knows its identity pool; name it, or projectID";
        problems.push(Problem::new(
            "/auth/workloadIdentity/clusterProjectID",
            text,
        ));
    }
    Workload {
        project: own.unwrap_or_default(),
        location: optional(raw.cluster_location),
        name: optional(raw.cluster_name),
    }
}

fn federated(raw: RawFederation, problems: &mut Vec<Problem>) -> Federated {
    let mut problem = |field: &str, text: &str| {
        problems.push(Problem::new(format!("{FEDERATION}{field}"), text));
    };
    let audience = optional(raw.audience);
    let given = [
        raw.cred_config.is_some(),
        raw.service_account_ref.is_some(),
        raw.aws_security_credentials.is_some(),
    ];
    if given.iter().filter(|is| **is).count() != 1 {
        problem(
            "",
            "needs exactly one of credConfig, serviceAccountRef and awsSecurityCredentials",
        );
    }
    if raw.cred_config.is_none() && audience.is_none() {
        problem(
            "/audience",
            "is needed: the pool and the provider that know this identity",
        );
    }
    if raw.aws_security_credentials.is_some() {
        problem("/awsSecurityCredentials", "is not supported yet");
    }
    let token_endpoint = optional(raw.external_token_endpoint).and_then(|url| {
        let address = Address::parse(&url);
        address
            .map_err(|text| problem("/externalTokenEndpoint", text))
            .ok()
    });
    let source = match raw.service_account_ref {
        Some(_) => Source::Account,
        None => Source::Described { token_endpoint },
    };
    Federated {
        audience,
        email: optional(raw.email),
        source,
    }
}

fn places(raw: RawEndpoints, location: Option<&str>, problems: &mut Vec<Problem>) -> Places {
    let mut place = |field: &str, named: Option<String>, default: &str| {
        let parsed = Address::parse(named.as_deref().unwrap_or(default));
        parsed.unwrap_or_else(|text| {
            problems.push(Problem::new(format!("/endpoints/{field}"), text));
            Address::default()
        })
    };
    let secret_manager = match location {
        Some(location) => format!("https://secretmanager.{location}.rep.googleapis.com"),
        None => "https://secretmanager.googleapis.com".to_owned(),
    };
    let named_oauth2 = raw.oauth2.is_some();
    let oauth2 = place("oauth2", raw.oauth2, "https://oauth2.googleapis.com");
    Places {
        secret_manager: place("secretManager", raw.secret_manager, &secret_manager),
        oauth2: named_oauth2.then_some(oauth2),
        sts: place("sts", raw.sts, "https://sts.googleapis.com"),
        secure_token: place(
            "secureToken",
            raw.secure_token,
            "https://securetoken.googleapis.com",
        ),
        iam_credentials: place(
            "iamCredentials",
            raw.iam_credentials,
            "https://iamcredentials.googleapis.com",
        ),
        metadata: place("metadata", raw.metadata, "http://169.254.169.254"),
    }
}
