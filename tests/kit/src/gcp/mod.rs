//! A loopback server that answers as Google documents the REST interface of Secret Manager, and as its token endpoints do: the
//! one for keys of service accounts, the Security Token Service, the identity pools of GKE, the tokens of service accounts, and
//! the metadata server of a node.
//!
//! It holds what a test puts in, counts what is asked, and misbehaves on demand. It is a reading of the documentation, so it is
//! not trusted by itself: Google's own client library is run against it in the same suite. Who vouches for a federated identity
//! is believed without a signature; assertions of keys are verified.

mod secrets;
mod tokens;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::http_server::{Answer, Answering, Asked, HttpServer, Reply, Transport};
use secrets::Secrets;
use tokens::Tokens;
pub use tokens::{ACCOUNT, key_file};
use words::{Target, now};

/// A way to misbehave, at every request about secrets.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Answers 429 `RESOURCE_EXHAUSTED`, and says in whole seconds when to come again.
    TooManyRequests(Duration),
    /// Answers 503 `UNAVAILABLE`.
    Broken,
    /// Answers 401 `UNAUTHENTICATED`.
    Unauthenticated,
    /// Answers 404 with a page, as where the path is none.
    Page,
    /// Answers 200 with what is no JSON.
    Garbage,
    /// Gives another check sum than that of the value.
    Damaged,
    /// Answers with nine mebibytes.
    Huge,
    /// Answers properly, after this time.
    Delay(Duration),
    /// Never answers.
    Hang,
}

/// The server. Everything may be changed while it runs.
#[derive(Debug)]
pub struct SecretManager {
    server: HttpServer,
    api: Arc<Api>,
}

#[derive(Debug)]
struct Api {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    secrets: Secrets,
    tokens: Tokens,
    fault: Option<Fault>,
    /// Secrets that nobody may touch.
    denied: BTreeSet<String>,
    /// Permissions whose quota is used up.
    throttled: BTreeSet<String>,
    requests: BTreeMap<String, u64>,
    /// Seconds that the server's clock is ahead of this machine's.
    ahead: i64,
}

impl SecretManager {
    /// The project that is there, by its id.
    pub const PROJECT: &'static str = "demo";
    /// The same by its number, as answers name it.
    pub const NUMBER: &'static str = "123456789012";
    /// A token that may do everything.
    pub const TOKEN: &'static str = "ya29.everything";

    /// Starts over plain HTTP, without a secret.
    pub fn start() -> anyhow::Result<Self> {
        let state = State {
            secrets: Secrets::default(),
            tokens: Tokens::default(),
            fault: None,
            denied: BTreeSet::new(),
            throttled: BTreeSet::new(),
            requests: BTreeMap::new(),
            ahead: 0,
        };
        let api = Arc::new(Api {
            state: Mutex::new(state),
        });
        let server = HttpServer::start(Transport::Http, Arc::clone(&api) as Arc<dyn Answer>)?;
        api.lock().tokens.add(Self::TOKEN, None);
        api.lock().tokens.token_url = format!("{}/token", server.url());
        Ok(Self { server, api })
    }

    /// Where it listens, without a slash at the end.
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// `endpoints` of a store that is to find everything here.
    pub fn endpoints(&self) -> Value {
        let url = self.url();
        json!({"secretManager": url, "oauth2": url, "sts": url, "secureToken": url, "iamCredentials": url, "metadata": url})
    }

    /// The file of the service account [`ACCOUNT`], whose tokens are given here.
    pub fn key_file(&self) -> String {
        key_file(&format!("{}/token", self.url()))
    }

    // === what it holds ===

    /// Adds a version to a global secret, which is made where there is none; gives its number.
    pub fn put(&self, id: &str, data: &[u8]) -> u64 {
        self.put_at(None, id, data)
    }

    /// The same for a secret of a location.
    pub fn put_at(&self, location: Option<&str>, id: &str, data: &[u8]) -> u64 {
        let mut state = self.api.lock();
        let now = now(state.ahead);
        state.secrets.put((location, id), data, now)
    }

    /// Sets a label of a global secret.
    pub fn label(&self, id: &str, name: &str, value: &str) {
        self.api.lock().secrets.label(id, name, value);
    }

    /// Sets an annotation of a global secret.
    pub fn annotate(&self, id: &str, name: &str, value: &str) {
        self.api.lock().secrets.annotate(id, name, value);
    }

    /// Enables, disables or destroys a version of a global secret.
    pub fn set_state(&self, id: &str, number: u64, state: &str) {
        self.api.lock().secrets.set_state((None, id), number, state);
    }

    /// Removes a global secret with its versions.
    pub fn remove(&self, id: &str) {
        self.api.lock().secrets.remove((None, id));
    }

    /// Makes all that is there older.
    pub fn age(&self, by: Duration) {
        self.api.lock().secrets.age(by);
    }

    /// How many secrets and versions a page has at most.
    pub fn set_page(&self, most: usize) {
        self.api.lock().secrets.page = most;
    }

    // === who may come in ===

    /// Lets a token in that has these permissions and no others.
    pub fn add_token(&self, token: &str, permissions: &[&str]) {
        let permissions = permissions.iter().map(|p| (*p).to_owned()).collect();
        self.api.lock().tokens.add(token, Some(permissions));
    }

    /// Forgets all tokens that were given, so that whoever has one must log in again.
    pub fn revoke_all(&self) {
        self.api.lock().tokens.revoke_all();
    }

    /// Believes a federated identity: a token of this text, or one whose claims name this subject, shown for this audience.
    pub fn trust(&self, audience: &str, subject: &str) {
        let pair = (audience.to_owned(), subject.to_owned());
        self.api.lock().tokens.trusted.insert(pair);
    }

    /// Lets everybody act as this service account.
    pub fn add_account(&self, email: &str) {
        self.api.lock().tokens.accounts.insert(email.to_owned());
    }

    /// Takes all permissions on a secret from everybody.
    pub fn deny(&self, id: &str) {
        self.api.lock().denied.insert(id.to_owned());
    }

    // === how it misbehaves ===

    /// Misbehaves from now on.
    pub fn set_fault(&self, fault: Fault) {
        self.api.lock().fault = Some(fault);
    }

    /// Behaves again, has quota for everything, and denies no secret.
    pub fn clear_fault(&self) {
        let mut state = self.api.lock();
        state.fault = None;
        state.denied.clear();
        state.throttled.clear();
    }

    /// Uses up the quota of what takes this permission.
    pub fn throttle(&self, permission: &str) {
        self.api.lock().throttled.insert(permission.to_owned());
    }

    /// Sets its clock ahead of this machine's.
    pub fn set_ahead(&self, seconds: i64) {
        self.api.lock().ahead = seconds;
    }

    // === what it counted ===

    /// Requests by what they ask for: `access`, `versions.get`, `secrets.list`, `token`, …
    pub fn requests(&self) -> BTreeMap<String, u64> {
        self.api.lock().requests.clone()
    }

    /// How often one of them was asked for.
    pub fn asked(&self, what: &str) -> u64 {
        self.requests().get(what).copied().unwrap_or(0)
    }

    /// Starts all counts anew.
    pub fn reset_counts(&self) {
        self.api.lock().requests.clear();
    }
}

impl Answer for Api {
    fn answer(self: Arc<Self>, asked: Asked) -> Answering {
        Box::pin(async move {
            let target = Target::parse(&asked);
            let fault = self.count(&target);
            match fault {
                Some(Fault::Delay(time)) => tokio::time::sleep(time).await,
                Some(Fault::Hang) => std::future::pending().await,
                Some(Fault::Damaged) | None => {}
                Some(fault) => return misbehave(&fault),
            }
            let mut state = self.lock();
            let date = words::http_date(now(state.ahead));
            let reply = state.reply(&asked, &target);
            let reply = match fault {
                Some(Fault::Damaged) => damaged(reply),
                _ => reply,
            };
            reply.with_header("Date", date)
        })
    }
}

impl Api {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, target: &Target) -> Option<Fault> {
        let mut state = self.lock();
        *state.requests.entry(target.verb.clone()).or_default() += 1;
        state.fault.clone().filter(|_| target.is_about_secrets())
    }
}

impl State {
    fn reply(&mut self, asked: &Asked, target: &Target) -> Reply {
        let now = now(self.ahead);
        if !target.is_about_secrets() {
            return self.tokens.reply(asked, target, now);
        }
        let permission = format!("secretmanager.{}", target.verb);
        let Some(rights) = self.tokens.rights(asked.token(), now) else {
            let text = "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.";
            return error(401, "UNAUTHENTICATED", text);
        };
        if self.throttled.contains(&permission) {
            return misbehave(&Fault::TooManyRequests(Duration::from_secs(30)));
        }
        let known =
            [SecretManager::PROJECT, SecretManager::NUMBER].contains(&target.project.as_str());
        let closed = target
            .secret
            .as_ref()
            .is_some_and(|id| self.denied.contains(id));
        if closed || !known || !rights.is_none_or(|rights| rights.contains(&permission)) {
            return denied(&permission, &target.resource);
        }
        self.secrets.reply(asked, target, now)
    }
}

/// Every error of Google's APIs has this body.
fn error(code: u16, status: &str, message: &str) -> Reply {
    Reply::json(
        code,
        &json!({"error": {"code": code, "message": message, "status": status}}),
    )
}

fn denied(permission: &str, resource: &str) -> Reply {
    let message = format!(
        "Permission '{permission}' denied for resource '{resource}' (or it may not exist)."
    );
    let info = json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "IAM_PERMISSION_DENIED",
        "domain": "iam.googleapis.com", "metadata": {"permission": permission, "resource": resource}});
    let error =
        json!({"code": 403, "message": message, "status": "PERMISSION_DENIED", "details": [info]});
    Reply::json(403, &json!({"error": error}))
}

fn misbehave(fault: &Fault) -> Reply {
    let html = |status, body: Vec<u8>| Reply {
        body: Bytes::from(body),
        ..Reply::json(status, &Value::Null)
    };
    match fault {
        Fault::TooManyRequests(after) => error(
            429,
            "RESOURCE_EXHAUSTED",
            "Quota exceeded for quota metric 'Access requests'.",
        )
        .with_header("Retry-After", after.as_secs().to_string()),
        Fault::Unauthenticated => error(
            401,
            "UNAUTHENTICATED",
            "Request had invalid authentication credentials.",
        ),
        Fault::Page => html(
            404,
            b"<!DOCTYPE html>\n<title>Error 404 (Not Found)!!1</title>".to_vec(),
        ),
        Fault::Garbage => html(200, b"<html>\xff\xfe{\"payload\":".to_vec()),
        Fault::Huge => html(200, vec![b' '; 9 << 20]),
        // The last ones take time or change an answer, so whoever answers has dealt with them already.
        Fault::Broken | Fault::Damaged | Fault::Delay(_) | Fault::Hang => {
            error(503, "UNAVAILABLE", "The service is currently unavailable.")
        }
    }
}

fn damaged(reply: Reply) -> Reply {
    let mut body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    if let Some(sum) = body.pointer_mut("/payload/dataCrc32c") {
        *sum = json!("1");
    }
    Reply {
        body: Bytes::from(body.to_string()),
        ..reply
    }
}
