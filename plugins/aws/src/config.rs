//! The store's config, parsed once into a [`Config`] that cannot be wrong: later steps need no checks.

use postern_plugin_shared::Address;
use postern_sdk::{Context, Failure, Problem, parse_config, problems_as_failure};

use crate::raw::{Policy, Raw, RawAuth};

/// Where the reference to an access key id stands.
pub const KEY_ID: &str = "/auth/secretRef/accessKeyIDSecretRef";
/// Where the reference to its secret stands.
pub const SECRET_KEY: &str = "/auth/secretRef/secretAccessKeySecretRef";
/// Where the reference to a session token stands.
pub const SESSION_TOKEN: &str = "/auth/secretRef/sessionTokenSecretRef";
/// Where the reference to a service account stands.
pub const ACCOUNT: &str = "/auth/jwt/serviceAccountRef";

/// A checked config.
#[derive(Debug)]
pub struct Config {
    /// Which of AWS's services holds the values.
    pub service: Service,
    /// Its region.
    pub region: Region,
    /// Stands before every key.
    pub prefix: String,
    /// Where the first credential comes from.
    pub source: Source,
    /// Roles that are assumed one after the other.
    pub roles: Vec<Role>,
    /// The endpoint of the service that the config names.
    pub endpoint: Option<Address>,
    /// The endpoint of the Security Token Service that the config names.
    pub sts: Option<Address>,
}

/// What holds the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Secrets Manager.
    SecretsManager,
    /// Parameter Store of Systems Manager.
    ParameterStore,
}

impl Service {
    /// Its name in host names and signatures.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::SecretsManager => "secretsmanager",
            Self::ParameterStore => "ssm",
        }
    }

    /// How its operations are addressed.
    #[must_use]
    pub fn target(self) -> &'static str {
        match self {
            Self::SecretsManager => "secretsmanager",
            Self::ParameterStore => "AmazonSSM",
        }
    }
}

/// A region whose name can be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region(String);

impl Region {
    /// Reads a region's name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let shaped = name.bytes().all(plain)
            && name.len() <= 40
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.ends_with(|c: char| c.is_ascii_digit())
            && name.split('-').filter(|part| !part.is_empty()).count() >= 3;
        shaped.then(|| Self(name.to_owned()))
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The place of a service in this region. The partition is told by how the region's name begins.
    #[must_use]
    pub fn endpoint(&self, service: &str) -> Address {
        const PARTITIONS: [(&str, &str); 6] = [
            ("cn-", "amazonaws.com.cn"),
            ("us-iso-", "c2s.ic.gov"),
            ("us-isob-", "sc2s.sgov.gov"),
            ("us-isof-", "csp.hci.ic.gov"),
            ("eu-isoe-", "cloud.adc-e.uk"),
            ("eusc-", "amazonaws.eu"),
        ];
        let found = PARTITIONS
            .iter()
            .find(|(begin, _)| self.0.starts_with(begin));
        let suffix = found.map_or("amazonaws.com", |(_, suffix)| suffix);
        let origin = format!("https://{service}.{}.{suffix}", self.0);
        Address {
            base: origin.clone(),
            origin,
        }
    }
}

/// Where the first credential comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An access key behind references.
    Keys {
        /// Whether a session token goes with it.
        with_token: bool,
    },
    /// A service account with an annotation that names its role.
    Account,
    /// Who Postern is by itself.
    Ambient,
}

/// A role to assume, with what is said while assuming it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Role {
    /// Its ARN.
    pub arn: String,
    /// Known to the role's owner.
    pub external_id: Option<String>,
    /// Tags of the session.
    pub tags: Tags,
    /// Keys of those that go on to further sessions.
    pub transitive: Vec<String>,
}

/// Tags of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tags {
    /// As they stand in the config.
    Fixed(Vec<(String, String)>),
    /// Namespace and store, after those of the config.
    OfAsker(Vec<(String, String)>),
}

impl Default for Tags {
    fn default() -> Self {
        Self::Fixed(Vec::new())
    }
}

impl Config {
    /// Reads a config.
    ///
    /// # Errors
    /// All problems found.
    pub fn parse(json: &str) -> Result<Self, Vec<Problem>> {
        check(parse_config(json)?)
    }

    /// Reads the config of a call.
    ///
    /// # Errors
    /// `invalid-config` with all problems.
    pub fn of(context: &Context) -> Result<Self, Failure> {
        Self::parse(&context.config).map_err(|p| problems_as_failure(&p))
    }

    /// Whether who asks is a part of what AWS is told.
    #[must_use]
    pub fn per_namespace(&self) -> bool {
        self.roles
            .iter()
            .any(|r| matches!(r.tags, Tags::OfAsker(_)))
    }

    /// The name by which AWS knows an object. An ARN is whole as it is.
    #[must_use]
    pub fn full_name(&self, key: &str) -> String {
        if is_arn(key) {
            key.to_owned()
        } else {
            format!("{}{key}", self.prefix)
        }
    }

    /// The key by which an object that was found is read again: its name without the prefix, or its ARN where the prefix
    /// would make another name of it.
    #[must_use]
    pub fn key_of(&self, name: &str, arn: &str) -> String {
        match name.strip_prefix(&self.prefix) {
            Some(rest) if !rest.is_empty() => rest.to_owned(),
            _ if arn.is_empty() => name.to_owned(),
            _ => arn.to_owned(),
        }
    }
}

/// Whether a key is an ARN.
#[must_use]
pub fn is_arn(key: &str) -> bool {
    key.starts_with("arn:") && key.splitn(6, ':').count() == 6
}

fn check(raw: Raw) -> Result<Config, Vec<Problem>> {
    let mut problems = Vec::new();
    let service = match raw.service.as_str() {
        "SecretsManager" => Some(Service::SecretsManager),
        "ParameterStore" => Some(Service::ParameterStore),
        "CertificateManager" => {
            let message =
                "CertificateManager is not served yet: only SecretsManager and ParameterStore are";
            problems.push(Problem::new("/service", message));
            None
        }
        _ => {
            problems.push(Problem::new(
                "/service",
                "must be SecretsManager or ParameterStore",
            ));
            None
        }
    };
    let region = Region::parse(&raw.region);
    if region.is_none() {
        problems.push(Problem::new(
            "/region",
            "must be a region's name, such as eu-central-1",
        ));
    }
    let source = source(raw.auth.as_ref(), &mut problems);
    let at = match service {
        Some(Service::ParameterStore) => {
            ("/endpoints/parameterStore", &raw.endpoints.parameter_store)
        }
        _ => ("/endpoints/secretsManager", &raw.endpoints.secrets_manager),
    };
    let endpoint = address(at, source, &mut problems);
    let sts = address(
        ("/endpoints/sts", &raw.endpoints.sts),
        source,
        &mut problems,
    );
    let roles = roles(raw, &mut problems);
    match (service, region) {
        (Some(service), Some(region)) if problems.is_empty() => Ok(Config {
            service,
            region,
            prefix: roles.prefix,
            source,
            roles: roles.all,
            endpoint,
            sts,
        }),
        _ => Err(problems),
    }
}

fn source(auth: Option<&RawAuth>, problems: &mut Vec<Problem>) -> Source {
    let Some(auth) = auth else {
        return Source::Ambient;
    };
    if let Some(jwt) = &auth.jwt {
        if jwt.service_account_ref.is_none() {
            problems.push(Problem::new(ACCOUNT, "is missing"));
        }
        return Source::Account;
    }
    let Some(keys) = &auth.secret_ref else {
        return Source::Ambient;
    };
    for (pointer, reference) in [(KEY_ID, &keys.id), (SECRET_KEY, &keys.secret)] {
        if reference.is_none() {
            problems.push(Problem::new(pointer, "is missing"));
        }
    }
    Source::Keys {
        with_token: keys.token.is_some(),
    }
}

/// An endpoint of the config. A store that brings no credential asks as Postern, and must not say where Postern shows its own.
fn address(
    (pointer, text): (&str, &String),
    source: Source,
    problems: &mut Vec<Problem>,
) -> Option<Address> {
    if text.is_empty() {
        return None;
    }
    if source == Source::Ambient {
        let message = "a store without a credential of its own asks as Postern, whose endpoints come from its environment only";
        problems.push(Problem::new(pointer, message));
        return None;
    }
    match endpoint(text) {
        Ok(address) => Some(address),
        Err(why) => {
            problems.push(Problem::new(pointer, why));
            None
        }
    }
}

/// An endpoint as a config or a variable names it. The scheme's own port is left out, as it is in the header `host`.
///
/// # Errors
/// What is wrong with it.
pub fn endpoint(text: &str) -> Result<Address, &'static str> {
    let mut address = Address::parse(text)?;
    let own = if address.origin.starts_with("https") {
        ":443"
    } else {
        ":80"
    };
    if let Some(origin) = address.origin.strip_suffix(own) {
        let path = address.base.get(address.origin.len()..).unwrap_or_default();
        address = Address {
            base: format!("{origin}{path}"),
            origin: origin.to_owned(),
        };
    }
    if address.base.len() > address.origin.len() {
        return Err("must be a URL of scheme, host and port only");
    }
    Ok(address)
}

struct Roles {
    prefix: String,
    all: Vec<Role>,
}

fn roles(raw: Raw, problems: &mut Vec<Problem>) -> Roles {
    const RESERVED: [&str; 3] = ["esoNamespace", "esoStoreName", "esoStoreKind"];
    let mut all: Vec<Role> = raw
        .additional_roles
        .into_iter()
        .filter(|arn| !arn.is_empty())
        .map(|arn| Role {
            arn,
            ..Role::default()
        })
        .collect();
    let reserved = raw
        .custom_session_tags
        .keys()
        .find(|k| RESERVED.contains(&k.as_str()));
    if let Some(key) = reserved {
        let pointer = format!("/customSessionTags/{key}");
        problems.push(Problem::new(
            pointer,
            "is set by sessionTagsPolicy and must not be given",
        ));
    }
    let fixed = |tags: Vec<(String, String)>| -> Vec<(String, String)> {
        let given = |(key, value): &(String, String)| !key.is_empty() && !value.is_empty();
        tags.into_iter().filter(given).collect()
    };
    let tags = match raw.session_tags_policy {
        Policy::None => Tags::Fixed(
            raw.session_tags
                .into_iter()
                .map(|t| (t.key, t.value))
                .collect(),
        ),
        Policy::Simple => Tags::OfAsker(Vec::new()),
        Policy::Custom => Tags::OfAsker(fixed(raw.custom_session_tags.into_iter().collect())),
    };
    if !raw.role.is_empty() {
        all.push(Role {
            arn: raw.role,
            external_id: Some(raw.external_id).filter(|id| !id.is_empty()),
            tags,
            transitive: raw.transitive_tag_keys,
        });
    }
    for (at, role) in all.iter().enumerate() {
        if !is_arn(&role.arn) {
            let of_chain = at + 1 < all.len();
            let pointer = if of_chain {
                format!("/additionalRoles/{at}")
            } else {
                "/role".to_owned()
            };
            problems.push(Problem::new(
                pointer,
                "must be the ARN of a role, arn:aws:iam::ACCOUNT:role/NAME",
            ));
        }
    }
    Roles {
        prefix: raw.prefix,
        all,
    }
}
