//! A server that holds what a test puts in, counts what is asked, and misbehaves on demand.
//!
//! For tests of load, of behaviour over time and of failure, where a recording cannot follow. It does not check signatures.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use serde_json::{Map, Value, json};

use super::answers;
use super::http_server::{Answer, Answering, Asked, HttpServer, Reply, Transport};
use super::routes::{is_login, path_of};
pub use super::store::JwtRole;
use super::store::{Login, ROOT, Store, Token};
use super::{Counterpart, Vaultlike};
use crate::pki::Identity;

/// A way to misbehave.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Answers properly, after this time.
    Delay(Duration),
    /// Answers 404 to everything, with the recorded body of a missing secret.
    NotFound,
    /// Answers 403 to everything, with the recorded body of a policy that refuses.
    Forbidden,
    /// Answers 503 as a sealed server.
    Sealed,
    /// Answers 429, and says when to come again.
    TooManyRequests(Duration),
    /// Never answers.
    Hang,
    /// Answers 200 with this many bytes of valid JSON.
    Oversize(usize),
    /// Answers 200 with what is no JSON.
    Garbage,
    /// Answers 302 to this URL.
    Redirect(String),
    /// Answers this status and body.
    Status(u16, Value),
}

/// The counting server. Everything may be changed while it runs.
#[derive(Debug)]
pub struct CountingVault {
    server: HttpServer,
    vault: Arc<Vault>,
}

#[derive(Debug, Default)]
struct State {
    store: Store,
    /// By start of the path; the longest counts.
    faults: BTreeMap<String, Fault>,
    requests: BTreeMap<String, u64>,
    logins: u64,
    in_flight: u64,
    most_in_flight: u64,
}

#[derive(Debug, Default)]
struct Vault {
    state: Mutex<State>,
}

impl CountingVault {
    /// The token that may do everything.
    pub const ROOT_TOKEN: &'static str = "root";

    /// Starts over plain HTTP, with an empty KV v2 mount `secret` and an empty KV v1 mount `kv1`.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(Transport::Http)
    }

    /// As [`CountingVault::start`], over the given transport.
    pub fn start_with(transport: Transport) -> anyhow::Result<Self> {
        let vault = Arc::new(Vault::default());
        {
            let mut state = vault.lock();
            state.store.token_ttl = Duration::from_secs(600);
            state
                .store
                .mounts
                .extend([("secret".to_owned(), 2), ("kv1".to_owned(), 1)]);
            let root = Token {
                policies: vec![ROOT.into()],
                display_name: "token".into(),
                path: "auth/token/create".into(),
                ttl: Duration::ZERO,
                expires: None,
                metadata: Value::Null,
            };
            state.store.tokens.insert(Self::ROOT_TOKEN.into(), root);
        }
        let server = HttpServer::start(transport, Arc::clone(&vault) as Arc<dyn Answer>)?;
        Ok(Self { server, vault })
    }

    // === what it holds ===

    /// Mounts KV at `path`; with a namespace, `namespace/path`.
    pub fn mount(&self, path: &str, kv_version: u8) {
        self.vault
            .lock()
            .store
            .mounts
            .insert(path.into(), kv_version);
    }

    /// Writes a new version of a secret, in a mount of either version of KV. Gives the version's number.
    pub fn put(&self, mount: &str, path: &str, data: Value) -> u64 {
        self.vault.lock().store.put(mount, path, data)
    }

    /// Sets what `custom_metadata` of a secret says.
    pub fn put_custom_metadata(&self, mount: &str, path: &str, metadata: Map<String, Value>) {
        self.vault
            .lock()
            .store
            .secret_mut(mount, path)
            .custom_metadata = Some(metadata);
    }

    /// Removes a secret with all its versions.
    pub fn remove(&self, mount: &str, path: &str) {
        self.vault
            .lock()
            .store
            .secrets
            .remove(&(mount.to_owned(), path.to_owned()));
    }

    /// Deletes the latest version softly.
    pub fn delete_latest(&self, mount: &str, path: &str) {
        if let Some(version) = self
            .vault
            .lock()
            .store
            .secret_mut(mount, path)
            .versions
            .last_mut()
        {
            version.deleted = true;
        }
    }

    /// What a secret holds now, as after a push.
    pub fn current(&self, mount: &str, path: &str) -> Option<Value> {
        let state = self.vault.lock();
        let (_, version) = state.store.secret(mount, path)?.version(None)?;
        (!version.deleted && !version.destroyed).then(|| version.data.clone())
    }

    // === who may come in ===

    /// Sets a policy: paths as in a request (`secret/data/team-a/*`), a `*` at the end for any rest.
    pub fn policy(&self, name: &str, paths: &[&str]) {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        self.vault.lock().store.policies.insert(name.into(), paths);
    }

    /// Lets an AppRole in, at any mount.
    pub fn approle(&self, role_id: &str, secret_id: &str, policies: &[&str]) {
        self.login(
            role_id,
            Login::Shared {
                secret: secret_id.into(),
                policies: owned(policies),
            },
        );
    }

    /// Lets a user in, at any mount.
    pub fn userpass(&self, user: &str, password: &str, policies: &[&str]) {
        self.login(
            &format!("user:{user}"),
            Login::Shared {
                secret: password.into(),
                policies: owned(policies),
            },
        );
    }

    /// Lets ServiceAccount tokens in at `auth/<mount>/login`.
    pub fn kubernetes_role(&self, mount: &str, role: &str, who: JwtRole) {
        self.login(&format!("{mount}:{role}"), Login::Kubernetes(who));
    }

    /// Lets signed tokens in at `auth/<mount>/login`.
    pub fn jwt_role(&self, mount: &str, role: &str, who: JwtRole) {
        self.login(&format!("{mount}:{role}"), Login::Jwt(who));
    }

    fn login(&self, key: &str, login: Login) {
        self.vault.lock().store.logins.insert(key.into(), login);
    }

    /// Makes a token that was not logged in for, with these policies and the current lifetime.
    pub fn issue_token(&self, policies: &[&str]) -> String {
        let mut state = self.vault.lock();
        let token = Token::new(
            &owned(policies),
            ("token", "auth/token/create"),
            Value::Null,
            (Instant::now(), state.store.token_ttl),
        );
        state.store.issue(token)
    }

    /// How long tokens of later logins live. 600 s without this.
    pub fn set_token_ttl(&self, ttl: Duration) {
        self.vault.lock().store.token_ttl = ttl;
    }

    /// Forgets every token but the root token.
    pub fn revoke_all(&self) {
        self.vault
            .lock()
            .store
            .tokens
            .retain(|name, _| name == Self::ROOT_TOKEN);
    }

    /// How many tokens are alive, the root token not counted.
    pub fn live_tokens(&self) -> usize {
        let (now, state) = (Instant::now(), self.vault.lock());
        state
            .store
            .tokens
            .keys()
            .filter(|name| *name != Self::ROOT_TOKEN && state.store.live(Some(name), now).is_some())
            .count()
    }

    // === how it misbehaves ===

    /// Misbehaves at every request from now on.
    pub fn set_fault(&self, fault: Fault) {
        self.set_fault_at("", fault);
    }

    /// Misbehaves at paths that start so (`secret/data/team-a`); the longest start counts.
    pub fn set_fault_at(&self, start: &str, fault: Fault) {
        self.vault.lock().faults.insert(start.into(), fault);
    }

    /// Behaves again.
    pub fn clear_faults(&self) {
        self.vault.lock().faults.clear();
    }

    // === what it counted ===

    /// Requests to this path, without `/v1/` and query, whatever the answer.
    pub fn requests_to(&self, path: &str) -> u64 {
        self.vault.lock().requests.get(path).copied().unwrap_or(0)
    }

    /// Requests by path.
    pub fn requests(&self) -> BTreeMap<String, u64> {
        self.vault.lock().requests.clone()
    }

    /// All requests that were neither below `auth/` nor below `sys/`.
    pub fn reads(&self) -> u64 {
        let state = self.vault.lock();
        state
            .requests
            .iter()
            .filter(|(path, _)| !path.starts_with("auth/") && !path.starts_with("sys/"))
            .map(|(_, count)| count)
            .sum()
    }

    /// Logins tried, with success or without.
    pub fn logins(&self) -> u64 {
        self.vault.lock().logins
    }

    /// The largest number of requests that were being answered at once.
    pub fn most_in_flight(&self) -> u64 {
        self.vault.lock().most_in_flight
    }

    /// Starts all counts anew.
    pub fn reset_counts(&self) {
        let mut state = self.vault.lock();
        state.requests.clear();
        state.logins = 0;
        state.most_in_flight = 0;
    }
}

impl Vaultlike for CountingVault {
    fn url(&self) -> &str {
        self.server.url()
    }

    fn token(&self) -> &'static str {
        Self::ROOT_TOKEN
    }

    fn counterpart(&self) -> Counterpart {
        Counterpart::Counting
    }

    fn ca_pem(&self) -> Option<&str> {
        self.server.ca_pem()
    }

    fn client_identity(&self) -> Option<&Identity> {
        self.server.client_identity()
    }
}

/// Counts the end of a request too, when its client went away and the answer was dropped.
struct InFlight(Arc<Vault>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.lock().in_flight -= 1;
    }
}

impl Answer for Vault {
    fn answer(self: Arc<Self>, asked: Asked) -> Answering {
        Box::pin(async move {
            let path = path_of(&asked);
            let fault = self.count(&path);
            let _in_flight = InFlight(Arc::clone(&self));
            match fault {
                None => self.lock().store.reply(&asked, &path, Instant::now()),
                Some(Fault::Delay(time)) => {
                    tokio::time::sleep(time).await;
                    self.lock().store.reply(&asked, &path, Instant::now())
                }
                Some(Fault::Hang) => std::future::pending().await,
                Some(fault) => misbehave(fault, &path),
            }
        })
    }
}

impl Vault {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, path: &str) -> Option<Fault> {
        let mut state = self.lock();
        *state.requests.entry(path.to_owned()).or_default() += 1;
        if is_login(path) {
            state.logins += 1;
        }
        state.in_flight += 1;
        state.most_in_flight = state.most_in_flight.max(state.in_flight);
        let longest = state
            .faults
            .iter()
            .filter(|(start, _)| path.starts_with(start.as_str()))
            .max_by_key(|(start, _)| start.len());
        longest.map(|(_, fault)| fault.clone())
    }
}

fn misbehave(fault: Fault, path: &str) -> Reply {
    match fault {
        Fault::NotFound => answers::nothing(),
        Fault::Forbidden => answers::denied(),
        Fault::Sealed if path == "sys/health" => answers::sealed_health(),
        Fault::Sealed => answers::sealed(),
        Fault::TooManyRequests(after) => Reply::json(
            429,
            &json!({"errors": ["request path is over its rate limit"]}),
        )
        .with_header("Retry-After", after.as_secs().to_string()),
        Fault::Oversize(bytes) => {
            let mut body = br#"{"data":{"data":{"value":""#.to_vec();
            body.resize(bytes.saturating_sub(4).max(body.len()), b'x');
            body.extend_from_slice(br#""}}}"#);
            Reply {
                body: Bytes::from(body),
                ..Reply::json(200, &Value::Null)
            }
        }
        Fault::Garbage => Reply {
            body: Bytes::from_static(b"<html>\xff\xfe{\"data\":"),
            ..Reply::json(200, &Value::Null)
        },
        Fault::Redirect(to) => Reply::json(302, &Value::Null).with_header("Location", to),
        Fault::Status(status, body) => Reply::json(status, &body),
        // These two take time, so whoever answers has dealt with them already.
        Fault::Delay(_) | Fault::Hang => answers::sealed(),
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
