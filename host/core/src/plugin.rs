//! What the rest of Postern says to a plugin, and what comes back: owned values that could be sent over a socket.
//!
//! [`PluginHost`] is the one door to plugins. It runs in this process today and could run in one of its own; nothing
//! above it names wasmtime. The types mirror `wit/plugin.wit`, where each field is documented.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use postern_api::external_secret::ConversionStrategy;

use crate::egress::EgressPolicy;
use crate::failure::Failure;
use crate::grant::Permits;
use crate::offer::Offer;
use crate::secret::SecretValue;

/// Further settings by name; a name that the receiver does not know is ignored.
pub type Options = Vec<(String, String)>;

/// SHA-256 of a component's bytes, as `sha256:<hex>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(String);

impl Digest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(format!(
            "sha256:{}",
            hex::encode(sha2::Sha256::digest(bytes))
        ))
    }

    /// Reads `sha256:<hex>`, as it stands in a file.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix("sha256:")?;
        let plain = hex.len() == 64
            && hex
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        plain.then(|| Self(text.to_owned()))
    }

    /// `sha256:<hex>`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Something a plugin wants to be allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// `host`, `files`, `ambient-identity`, `environment`, `api-server` or `metadata-address`.
    pub kind: String,
    /// What of that kind.
    pub what: String,
    /// Shown to the administrator.
    pub why: String,
}

/// What a plugin says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The plugin's name.
    pub name: String,
    /// The plugin's version.
    pub version: String,
    /// Provider keys, or names for `template.engine`.
    pub serves: Vec<String>,
    /// JSON Schema 2020-12 of the config, parsed.
    pub config_schema: serde_json::Value,
    /// What it wants to be allowed.
    pub asks: Vec<Ask>,
    /// Objects that one read takes at most; 0 for any number.
    pub batch_size: u32,
    /// One line for people.
    pub summary: String,
    /// Further settings; see [`Self::offer`].
    pub options: Options,
}

impl Descriptor {
    /// What is said of the stores of a provider key.
    #[must_use]
    pub fn offer(&self, key: &str) -> Offer {
        Offer::of(&self.options, key)
    }
}

/// One digest of one plugin: what it is and what it can do.
#[derive(Clone, Debug)]
pub struct Revision {
    /// The digest that every call names.
    pub digest: Digest,
    /// What it says of itself.
    pub descriptor: Descriptor,
    /// It exports `login`.
    pub has_login: bool,
    /// It exports `find`.
    pub has_find: bool,
    /// It is a template engine rather than a provider.
    pub is_engine: bool,
    /// Shipped with Postern.
    pub bundled: bool,
    /// What it may reach of what it asks for.
    pub permits: Permits,
    /// While this revision is on trial: the last good one, which is asked what this one cannot answer, and takes over if it
    /// can.
    pub fallback: Option<Arc<Revision>>,
}

/// A reference of the config, resolved by the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// JSON Pointer of the reference in the config.
    pub pointer: String,
    /// What the reference led to.
    pub value: SecretValue,
    /// What goes with it, such as the annotations of a service account.
    pub attributes: Options,
}

/// Names an identity (as whom we ask) without saying what it is made of: a keyed hash of store, config, plugin,
/// credentials and, where it matters, the asking namespace. Pools and sessions hang on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdentityId(pub String);

/// All that a call needs; nothing is kept in a guest from one call to the next.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which revision serves it.
    pub plugin: Digest,
    /// Whose pools it may use.
    pub identity: IdentityId,
    /// The provider's part of the store, as JSON text.
    pub config: Arc<str>,
    /// Resolved references, where the call may see them.
    pub credentials: Vec<Credential>,
    /// What `login` returned.
    pub session: Option<SecretValue>,
    /// The asking namespace, where answers depend on it.
    pub namespace: Option<String>,
    /// What the network door lets through.
    pub egress: Arc<EgressPolicy>,
    /// Granted directories: name to path on this machine.
    pub directories: Arc<BTreeMap<String, std::path::PathBuf>>,
    /// Wall time the whole call may take.
    pub deadline: Duration,
    /// `provider-key` says under which key the store names the provider; `store-kind` and `store-name` which store it is.
    pub options: Options,
}

/// What is taken from an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pick {
    /// A part of the object, in the provider's dialect.
    pub property: Option<String>,
    /// Members by name instead of bytes.
    pub members: bool,
}

/// One object, fetched once whatever is picked from it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// The provider's name of the object.
    pub key: String,
    /// Which version.
    pub version: Option<String>,
    /// Labels or tags instead of the value.
    pub metadata: bool,
    /// What is taken from it.
    pub picks: Vec<Pick>,
    /// The tag that all who wait have seen last.
    pub known: Option<String>,
}

/// What came of one pick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Bytes.
    Value(SecretValue),
    /// Members by name.
    Members(Vec<(String, SecretValue)>),
    /// This pick failed, others of the object may not have.
    Failed(Failure),
}

/// What came of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// One a pick, in order.
    Parts(Vec<Part>),
    /// What `known` stands for still holds.
    Unchanged,
    /// The object could not be read.
    Failed(Failure),
}

/// An answer and its tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What came of it.
    pub answer: Answer,
    /// Changes when the object does.
    pub tag: Option<String>,
}

/// What a login yields; opaque.
#[derive(Clone, Debug)]
pub struct Session {
    /// Handed to every call.
    pub token: SecretValue,
    /// Its life, where it ends.
    pub expires_in: Option<Duration>,
}

/// A reference that a config uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// JSON Pointer in the config, or `env:NAME` or `file:NAME` of the process's environment.
    pub pointer: String,
    /// For a service account token.
    pub audiences: Vec<String>,
    /// For a service account token, in seconds.
    pub expires_in_s: Option<u32>,
    /// The key to take where the reference names none.
    pub default_key: Option<String>,
}

/// Where TLS material comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Material {
    /// A field of the config whose reference the host resolves.
    Pointer(String),
    /// PEM bytes.
    Pem(SecretValue),
}

/// A place the config names, and how to speak TLS with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Scheme, host and port.
    pub origin: String,
    /// Roots that replace the system's.
    pub ca: Option<Material>,
    /// Client certificate chain.
    pub client_certificate: Option<Material>,
    /// Client key.
    pub client_key: Option<Material>,
    /// Name to verify instead of the host.
    pub server_name: Option<String>,
}

/// What a config needs.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Needs {
    /// Whether what a read answers depends on the namespace that asks.
    pub per_namespace: bool,
    /// References that this config uses.
    pub references: Vec<Reference>,
    /// Places it will talk to.
    pub endpoints: Vec<Endpoint>,
}

/// What is wrong with a config, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// JSON Pointer in the config.
    pub pointer: String,
    /// What is wrong there.
    pub message: String,
}

/// A search.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Query {
    /// Where to look.
    pub path: Option<String>,
    /// Tags that must match.
    pub tags: Vec<(String, String)>,
    /// RE2 expression on the name.
    pub name: Option<String>,
    /// How names become keys, where the plugin wants that done before any rewrite; see [`Page::convert_names`].
    pub conversion: ConversionStrategy,
}

/// One hit of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The key to read it by.
    pub key: String,
    /// The name it gets, where that is not the key.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// The value, where the list brought it along.
    pub value: Option<SecretValue>,
}

/// A page of hits.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Page {
    /// The hits.
    pub found: Vec<Found>,
    /// How to get the next page.
    pub next: Option<String>,
    /// The name expression has been applied or is overridden.
    pub names_applied: bool,
    /// The names are converted into keys before any rewrite.
    pub convert_names: bool,
}

/// A template by the name of what it makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Whose value it becomes.
    pub name: String,
    /// Its text.
    pub source: String,
    /// Settings of this template alone; they win over those of the call.
    pub options: Options,
}

/// A value at a path of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datum {
    /// `["password"]` is `.password`.
    pub path: Vec<String>,
    /// The bytes.
    pub value: SecretValue,
}

/// Templates over one set of data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderJob {
    /// All templates of one target.
    pub templates: Vec<Template>,
    /// What they see.
    pub data: Vec<Datum>,
}

/// The result of each template of one job, in order.
pub type Rendered = Vec<Result<SecretValue, Failure>>;

/// What an asynchronous door returns.
pub type Answering<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// The one door to plugins.
///
/// Guarantees: every call runs in a fresh instance; a failed call leaves nothing behind; what a plugin returns has been
/// checked against the contract (one outcome a request, one part a pick, sizes within limits).
/// Errors: each is a [`Failure`] whose code says whether the plugin, the backend or the manifest is to blame.
pub trait PluginHost: Send + Sync {
    /// The revision that serves a provider key, with the keys that exist where it does not.
    fn provider(&self, key: &str) -> Result<Arc<Revision>, Failure>;

    /// The revision that serves a template engine's name.
    fn engine(&self, name: &str) -> Result<Arc<Revision>, Failure>;

    /// Problems of a config, or what it needs. Pure on the plugin's side: no network, no files. The options are those of
    /// a [`Call`].
    fn examine<'a>(
        &'a self,
        plugin: &'a Digest,
        config: &'a str,
        credentials: &'a [Credential],
        options: &'a Options,
    ) -> Answering<'a, Result<Needs, Vec<Problem>>>;

    /// Can this store be used?
    fn probe<'a>(&'a self, call: &'a Call) -> Answering<'a, ()>;

    /// Credentials to session.
    fn login<'a>(&'a self, call: &'a Call) -> Answering<'a, Session>;

    /// Extends a session.
    fn renew<'a>(&'a self, call: &'a Call) -> Answering<'a, Session>;

    /// Ends a session at the backend.
    fn close<'a>(&'a self, call: &'a Call) -> Answering<'a, ()>;

    /// Reads a batch; one outcome a request, in order.
    fn read<'a>(&'a self, call: &'a Call, requests: &'a [Request]) -> Answering<'a, Vec<Outcome>>;

    /// One page of a search.
    fn find<'a>(
        &'a self,
        call: &'a Call,
        query: &'a Query,
        after: Option<&'a str>,
    ) -> Answering<'a, Page>;

    /// A revision on trial failed where its fallback did not: the fallback serves from now on, with one switch, and whoever
    /// looks after the plugin is told. True if it was switched; false for one that is not on trial, or serves no more.
    fn distrust(&self, revision: &Digest, failure: &Failure) -> bool {
        let _ = (revision, failure);
        false
    }

    /// Renders many jobs in one call.
    fn render<'a>(
        &'a self,
        engine: &'a Digest,
        jobs: &'a [RenderJob],
        options: &'a Options,
    ) -> Answering<'a, Vec<Rendered>>;
}
