//! Two loopback servers that answer as Microsoft documents an Azure key vault and the directory that gives tokens for it:
//! secrets with versions, tags, attributes and soft deletion, certificates and keys to read, lists in pages; client
//! secrets, certificates and federated tokens, and the node's own identity.
//!
//! They hold what a test puts in, count what is asked, and misbehave on demand. `tests/backends` lets Microsoft's own client
//! ask them the same, so that they are not our idea of the service alone. They know nothing of keys in use, of policies of
//! certificates, of backups and of rotation.

mod directory;
mod objects;
mod vault;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::http_server::{Answer, Answering, Asked, HttpServer, Reply, Transport, split};
use crate::pki::PrivateCa;
use directory::{Application, Federated};
pub use objects::Attributes;
use objects::Objects;

/// A way to misbehave, at every request of the vault.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Answers 429, and says in whole seconds when to come again, if told to.
    TooManyRequests(Option<Duration>),
    /// Answers 503, as a region that is out.
    Broken,
    /// Answers 403 from its firewall.
    Firewall,
    /// Answers 200 with what is no JSON.
    Garbage,
    /// Answers 200 with this many bytes.
    Huge(usize),
    /// Never answers.
    Hang,
    /// Answers 302 to there.
    Redirect(String),
    /// Gives lists whose next page is at another place.
    ListGoesOnAt(String),
    /// Answers this status and body.
    Status(u16, Value),
}

/// The servers. Everything may be changed while they run.
#[derive(Debug)]
pub struct KeyVault {
    vault: HttpServer,
    directory: HttpServer,
    api: Arc<Api>,
}

#[derive(Debug, Default)]
struct Api {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    vault_url: String,
    directory_url: String,
    resource: String,
    objects: Objects,
    applications: BTreeMap<String, Application>,
    federated: Vec<Federated>,
    /// The identity of the node, by client id; the first is taken where none is named.
    node: Vec<String>,
    tokens: BTreeMap<String, Token>,
    token_life: u64,
    issued: u64,
    /// What is refused: a collection (`secrets`) or an object of it (`secrets/db`).
    denied: BTreeSet<String>,
    access_policies: bool,
    fault: Option<Fault>,
    directory_fault: Option<(u16, Value)>,
    requests: BTreeMap<String, u64>,
}

/// A token that was given out.
#[derive(Clone, Debug)]
struct Token {
    application: String,
    tenant: String,
    resource: String,
    ends: Instant,
}

impl KeyVault {
    /// The directory that the vault belongs to.
    pub const TENANT: &'static str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
    /// An application that may read everything, with [`KeyVault::CLIENT_SECRET`].
    pub const CLIENT_ID: &'static str = "fad7d5b3-69d6-4b48-9259-8d11124e1cf1";
    /// See [`KeyVault::CLIENT_ID`].
    pub const CLIENT_SECRET: &'static str = "s3cr3t~of.the_application";
    /// What an app shows the platform to get a token of its own identity.
    pub const IDENTITY_HEADER: &'static str = "853b9a84-5bfa-4b22-a3f3-0b9a43d9ad8a";
    /// Whom tokens are for.
    pub const RESOURCE: &'static str = "https://vault.azure.net";

    /// Starts over plain HTTP, with an application and without objects.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(Transport::Http)
    }

    /// As [`KeyVault::start`], over the given transport.
    pub fn start_with(transport: Transport) -> anyhow::Result<Self> {
        let api = Arc::new(Api::default());
        let vault = Door::Vault(Arc::clone(&api));
        let directory = Door::Directory(Arc::clone(&api));
        let ca = PrivateCa::new()?;
        let vault = HttpServer::start_under(&ca, transport, Arc::new(vault))?;
        let directory = HttpServer::start_under(&ca, transport, Arc::new(directory))?;
        {
            let mut state = api.lock();
            state.vault_url = vault.url().to_owned();
            state.directory_url = directory.url().to_owned();
            state.resource = Self::RESOURCE.to_owned();
            state.token_life = 3599;
            let application = Application::with_secret(Self::CLIENT_SECRET);
            let id = Self::CLIENT_ID.to_owned();
            state.applications.insert(id, application);
        }
        Ok(Self {
            vault,
            directory,
            api,
        })
    }

    /// Where the vault listens, without a slash at the end.
    pub fn url(&self) -> &str {
        self.vault.url()
    }

    /// Where the directory listens, and what the node tells its pods.
    pub fn directory_url(&self) -> &str {
        self.directory.url()
    }

    /// What a client of both has to trust, where they speak TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.vault.ca_pem()
    }

    // === what it holds ===

    /// Sets a secret: a new version of it, with its version as the answer.
    pub fn set(&self, name: &str, value: &str) -> String {
        self.set_with(name, value, &[], Attributes::default())
    }

    /// As [`KeyVault::set`], with tags and attributes.
    pub fn set_with(
        &self,
        name: &str,
        value: &str,
        tags: &[(&str, &str)],
        attributes: Attributes,
    ) -> String {
        let tags = tags
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        let body = json!({"value": value});
        self.api
            .lock()
            .objects
            .put(("secrets", name), body, tags, attributes)
    }

    /// Sets a certificate: its DER, and beside it the secret of the same name, as the vault makes it.
    pub fn set_certificate(&self, name: &str, der: &[u8], secret: &str, content_type: &str) {
        self.api
            .lock()
            .objects
            .put_certificate(name, der, secret, content_type);
    }

    /// Sets a key, as its JSON Web Key without the member `kid`.
    pub fn set_key(&self, name: &str, key: Value) {
        let body = json!({"key": key});
        let attributes = Attributes::default();
        self.api
            .lock()
            .objects
            .put(("keys", name), body, BTreeMap::new(), attributes);
    }

    /// Disables or enables the newest version of a secret.
    pub fn enable(&self, name: &str, enabled: bool) {
        self.api.lock().objects.enable("secrets", name, enabled);
    }

    /// Deletes a secret; it can still be recovered.
    pub fn delete(&self, name: &str) {
        self.api.lock().objects.delete("secrets", name);
    }

    // === who may come in ===

    /// Lets an application in by a certificate (DER) too.
    pub fn trust_certificate(&self, client: &str, der: &[u8]) {
        let mut state = self.api.lock();
        let application = state.applications.entry(client.to_owned()).or_default();
        application.certificates.push(der.to_vec());
    }

    /// Lets an application in by tokens of an issuer for a subject.
    pub fn trust_issuer(&self, client: &str, issuer: &str, subject: &str) {
        let mut state = self.api.lock();
        state.applications.entry(client.to_owned()).or_default();
        state.federated.push(Federated {
            client: client.to_owned(),
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
        });
    }

    /// Gives the node an identity.
    pub fn assign_to_node(&self, client: &str) {
        self.api.lock().node.push(client.to_owned());
    }

    /// Forgets all tokens, as if they had ended.
    pub fn end_tokens(&self) {
        self.api.lock().tokens.clear();
    }

    /// How long tokens live that are given from now on.
    pub fn tokens_live(&self, seconds: u64) {
        self.api.lock().token_life = seconds;
    }

    /// Whom tokens are for from now on.
    pub fn set_resource(&self, resource: &str) {
        self.api.lock().resource = resource.to_owned();
    }

    /// Refuses a collection (`secrets`, which is its list) or an object (`secrets/db`) from now on.
    pub fn deny(&self, what: &str) {
        self.api.lock().denied.insert(what.to_owned());
    }

    /// Lets everything be read again.
    pub fn deny_nothing(&self) {
        self.api.lock().denied.clear();
    }

    /// Refuses by access policies, whose words are others than those of roles.
    pub fn use_access_policies(&self) {
        self.api.lock().access_policies = true;
    }

    // === how it misbehaves ===

    /// The vault misbehaves from now on.
    pub fn set_fault(&self, fault: Fault) {
        self.api.lock().fault = Some(fault);
    }

    /// The directory answers this from now on.
    pub fn set_directory_fault(&self, status: u16, body: Value) {
        self.api.lock().directory_fault = Some((status, body));
    }

    /// Both behave again.
    pub fn clear_faults(&self) {
        let mut state = self.api.lock();
        state.fault = None;
        state.directory_fault = None;
    }

    // === what it counted ===

    /// Requests by method and path, whatever the answer.
    pub fn requests(&self) -> BTreeMap<String, u64> {
        self.api.lock().requests.clone()
    }

    /// How often a method and path was asked.
    pub fn asked(&self, what: &str) -> u64 {
        self.api.lock().requests.get(what).copied().unwrap_or(0)
    }

    /// Tokens that were given out.
    pub fn tokens(&self) -> u64 {
        self.api.lock().issued
    }

    /// Starts all counts anew.
    pub fn reset_counts(&self) {
        let mut state = self.api.lock();
        state.requests.clear();
        state.issued = 0;
    }
}

/// Which of the two servers is asked.
enum Door {
    Vault(Arc<Api>),
    Directory(Arc<Api>),
}

impl Answer for Door {
    fn answer(self: Arc<Self>, asked: Asked) -> Answering {
        Box::pin(async move {
            let (path, query) = split(&asked.target);
            let path = path.trim_end_matches('/').to_owned();
            match &*self {
                Self::Directory(api) => api.count(&asked, &path).directory(&asked, &path, &query),
                Self::Vault(api) => {
                    let fault = api.count(&asked, &path).fault.clone();
                    match fault {
                        Some(Fault::Hang) => std::future::pending().await,
                        Some(fault) if !matches!(fault, Fault::ListGoesOnAt(_)) => misbehave(fault),
                        _ => api.lock().vault(&asked, &path, &query),
                    }
                }
            }
        })
    }
}

impl Api {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, asked: &Asked, path: &str) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        let what = format!("{} {path}", asked.method);
        *state.requests.entry(what).or_default() += 1;
        state
    }
}

fn misbehave(fault: Fault) -> Reply {
    match fault {
        Fault::TooManyRequests(after) => {
            let reply = vault::error(
                429,
                "Throttled",
                "Request was not processed because too many requests were received. Reason: VaultRequestTypeLimitReached",
                None,
            );
            match after {
                Some(after) => reply.with_header("Retry-After", after.as_secs().to_string()),
                None => reply,
            }
        }
        Fault::Firewall => vault::error(
            403,
            "Forbidden",
            "Client address is not authorized and caller is not a trusted service.\r\nClient address: 203.0.113.7\r\nVault: test;location=nowhere",
            Some("ForbiddenByFirewall"),
        ),
        Fault::Garbage => raw(Bytes::from_static(b"<html>\xff\xfe{\"value\":")),
        Fault::Huge(bytes) => raw(Bytes::from(vec![b' '; bytes])),
        Fault::Redirect(to) => Reply::json(302, &Value::Null).with_header("Location", to),
        Fault::Status(status, body) => Reply::json(status, &body),
        // The last two are dealt with where they matter.
        Fault::Broken | Fault::Hang | Fault::ListGoesOnAt(_) => vault::error(
            503,
            "ServiceUnavailable",
            "The service is unavailable.",
            None,
        ),
    }
}

fn raw(body: Bytes) -> Reply {
    Reply {
        body,
        ..Reply::json(200, &Value::Null)
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| d.as_secs())
}
