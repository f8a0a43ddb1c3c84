//! The records of the contract as plain Rust values. Those that can hold a secret or a credential print
//! lengths and names in `Debug`, never contents.

use std::fmt;

use crate::Failure;

/// Further settings by name; a name that the receiver does not know is ignored.
pub type Options = Vec<(String, String)>;

/// A reference in the store's config that the host has resolved.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// JSON Pointer (RFC 6901) of the field in the config.
    pub pointer: String,
    /// The bytes, untouched.
    pub value: Vec<u8>,
    /// What goes with it, such as the annotations of a service account.
    pub attributes: Options,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({}, <redacted>)", self.pointer)
    }
}

/// On whose behalf a call is made.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Context {
    /// The provider's part of the store, valid against the schema.
    pub config: String,
    /// Resolved references.
    pub credentials: Vec<Credential>,
    /// What `login` returned.
    pub session: Option<Vec<u8>>,
    /// The namespace that asks, where `examine` said `per_namespace`.
    pub namespace: Option<String>,
    /// Time left, in milliseconds.
    pub deadline_ms: u32,
    /// Further settings.
    pub options: Options,
}

impl Context {
    /// The credential at a JSON pointer of the config, or a failure that names the field.
    ///
    /// # Errors
    /// `invalid-config` where the host sent none for that field.
    pub fn credential(&self, pointer: &str) -> Result<&Credential, Failure> {
        self.credentials
            .iter()
            .find(|c| c.pointer == pointer)
            .ok_or_else(|| {
                Failure::invalid_config(format!("no credential was given for {pointer}"))
            })
    }

    /// The value of an option.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&str> {
        option(&self.options, name)
    }
}

/// The value of an option.
#[must_use]
pub fn option<'a>(options: &'a Options, name: &str) -> Option<&'a str> {
    let found = options.iter().find(|(n, _)| n == name);
    found.map(|(_, value)| value.as_str())
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("credentials", &self.credentials)
            .field("session", &self.session.as_ref().map(|_| "<redacted>"))
            .field("namespace", &self.namespace)
            .field("deadline_ms", &self.deadline_ms)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Something the plugin wants to be allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// `host`, `files`, `ambient-identity`, `environment`, `api-server` or `metadata-address`.
    pub kind: String,
    /// What exactly, for instance `*.amazonaws.com:443`.
    pub what: String,
    /// Shown to the administrator.
    pub why: String,
    /// Further settings.
    pub options: Options,
}

/// What a plugin says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The plugin's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Keys under `spec.provider`.
    pub serves: Vec<String>,
    /// JSON Schema 2020-12 of the config.
    pub config_schema: String,
    /// What it wants to be allowed.
    pub asks: Vec<Ask>,
    /// Objects that one read takes at most; 0 for any number.
    pub batch_size: u32,
    /// One sentence for people.
    pub summary: String,
    /// Further settings.
    pub options: Options,
}

/// What is wrong with a config, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// JSON Pointer into the config.
    pub pointer: String,
    /// For people; never a value from the config that may be secret.
    pub message: String,
    /// Further settings.
    pub options: Options,
}

impl Problem {
    /// A problem of the field at `pointer`.
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            message: message.into(),
            options: Vec::new(),
        }
    }
}

/// Where TLS material comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Material {
    /// A field of the config whose reference the host resolves.
    Pointer(String),
    /// Bytes that stand in the config or in a credential.
    Pem(Vec<u8>),
}

/// A server this config speaks to.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Endpoint {
    /// Scheme, host and, where it is not the scheme's own, port.
    pub origin: String,
    /// Roots that replace the system's.
    pub ca: Option<Material>,
    /// Certificate the host presents.
    pub client_certificate: Option<Material>,
    /// Its key.
    pub client_key: Option<Material>,
    /// Name to verify instead of the host's.
    pub server_name: Option<String>,
    /// Further settings.
    pub options: Options,
}

/// A reference that this config uses.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Reference {
    /// JSON Pointer of the reference object.
    pub pointer: String,
    /// Audiences of a service account's token.
    pub audiences: Vec<String>,
    /// Life of that token in seconds.
    pub expires_in_s: Option<u32>,
    /// Further settings; `default-key` names the key to take where the reference has none.
    pub options: Options,
}

impl Reference {
    /// A reference to a Secret or ConfigMap key.
    pub fn at(pointer: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            ..Self::default()
        }
    }
}

/// What a config needs.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Needs {
    /// Whether what a read answers depends on the namespace that asks.
    pub per_namespace: bool,
    /// The references that this config uses.
    pub references: Vec<Reference>,
    /// The servers it speaks to.
    pub endpoints: Vec<Endpoint>,
    /// Further settings.
    pub options: Options,
}

/// What is taken from an object.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Pick {
    /// A property instead of the whole.
    pub property: Option<String>,
    /// Members by name instead of bytes.
    pub members: bool,
}

/// One object, fetched once, whatever is picked from it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Request {
    /// The backend's key.
    pub key: String,
    /// The version asked for.
    pub version: Option<String>,
    /// Labels, tags or annotations instead of the value.
    pub metadata: bool,
    /// What is taken from it.
    pub picks: Vec<Pick>,
    /// The tag that all who wait have seen last.
    pub known: Option<String>,
    /// Further settings.
    pub options: Options,
}

/// What came of one pick.
#[derive(Clone, PartialEq, Eq)]
pub enum Part {
    /// Bytes.
    Value(Vec<u8>),
    /// Members by name.
    Members(Vec<(String, Vec<u8>)>),
    /// Why there is none.
    Failed(Failure),
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(v) => write!(f, "Value(<{} bytes>)", v.len()),
            Self::Members(m) => f
                .debug_list()
                .entries(m.iter().map(|(n, v)| (n, v.len())))
                .finish(),
            Self::Failed(e) => write!(f, "Failed({e:?})"),
        }
    }
}

/// What came of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// One a pick, in order.
    Parts(Vec<Part>),
    /// What `known` stands for still holds.
    Unchanged,
    /// The object was not read.
    Failed(Failure),
}

/// One object's answer with its tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The answer.
    pub answer: Answer,
    /// Changes when the object does.
    pub tag: Option<String>,
    /// Further settings.
    pub options: Options,
}

impl Outcome {
    /// The object was not read.
    #[must_use]
    pub fn failed(failure: Failure) -> Self {
        Self {
            answer: Answer::Failed(failure),
            tag: None,
            options: Vec::new(),
        }
    }

    /// Parts with an optional tag.
    #[must_use]
    pub fn parts(parts: Vec<Part>, tag: Option<String>) -> Self {
        Self {
            answer: Answer::Parts(parts),
            tag,
            options: Vec::new(),
        }
    }
}

/// What a login yields; kept by the host.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    /// Opaque to the host.
    pub token: Vec<u8>,
    /// Its life, if it ends.
    pub expires_in_ms: Option<u64>,
    /// Further settings.
    pub options: Options,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Session(<redacted>, expires_in_ms: {:?})",
            self.expires_in_ms
        )
    }
}

/// What to look for.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Query {
    /// Where to begin.
    pub path: Option<String>,
    /// Tags that must be there.
    pub tags: Vec<(String, String)>,
    /// The name expression (RE2).
    pub name: Option<String>,
    /// Further settings.
    pub options: Options,
}

/// One object of a list.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// The backend's key.
    pub key: String,
    /// The name it gets, where that is not the key.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Where the list brings the value along.
    pub value: Option<Vec<u8>>,
    /// Its tag.
    pub tag: Option<String>,
    /// Further settings.
    pub options: Options,
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Found({}, name: {:?}, version: {:?}, tag: {:?})",
            self.key, self.name, self.version, self.tag
        )
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Page {
    /// What was found.
    pub found: Vec<Found>,
    /// Where the next page begins.
    pub next: Option<String>,
    /// The host must not apply the name expression.
    pub names_applied: bool,
    /// `convert-names`: `true` where names become keys before any rewrite.
    pub options: Options,
}

/// One template and the name of what it makes.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Template {
    /// Whose value it becomes; used in messages.
    pub name: String,
    /// The template's text.
    pub source: String,
    /// Further settings.
    pub options: Options,
}

/// A value at a path of names.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Datum {
    /// Names from the root of the data to the value.
    pub path: Vec<String>,
    /// The value's bytes; templates see a text.
    pub value: Vec<u8>,
}

impl fmt::Debug for Datum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Datum({:?}, <{} bytes>)", self.path, self.value.len())
    }
}

/// Templates over one set of data.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Job {
    /// All templates of one target.
    pub templates: Vec<Template>,
    /// What they see.
    pub data: Vec<Datum>,
}

/// What is wrong with a template, and where.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TemplateProblem {
    /// The template's name.
    pub name: String,
    /// From 1; 0 where it is not known.
    pub line: u32,
    /// From 1; 0 where it is not known.
    pub column: u32,
    /// What is wrong, without the template's text.
    pub message: String,
    /// Further settings.
    pub options: Options,
}
