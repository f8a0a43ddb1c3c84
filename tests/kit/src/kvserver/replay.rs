//! Answers from the recording, and from nothing else: a request that was not recorded gets status 599 and is remembered.
//!
//! Some requests were recorded twice with different answers, because something happened in between. Two such events matter:
//! the server was sealed, and a token was revoked. The replay follows them; nothing else changes what it answers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::http_server::{Answer, Answering, Asked, HttpServer, Reply, Transport};
use super::recording::{Exchange, Recording};
use super::{Counterpart, Vaultlike};
use crate::pki::Identity;

/// Nobody else sends this, so a client that reports it had asked what was not recorded.
const NOT_RECORDED: u16 = 599;
const SEAL: &str = "/v1/sys/seal";
const REVOKE: &str = "/v1/auth/token/revoke-self";

/// A replay of a recorded OpenBao.
#[derive(Debug)]
pub struct BaoReplay {
    server: HttpServer,
    replayer: Arc<Replayer>,
}

impl BaoReplay {
    /// Starts a replay over plain HTTP.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(Transport::Http)
    }

    /// Starts a replay.
    pub fn start_with(transport: Transport) -> anyhow::Result<Self> {
        let replayer = Arc::new(Replayer::default());
        let server = HttpServer::start(transport, Arc::clone(&replayer) as Arc<dyn Answer>)?;
        Ok(Self { server, replayer })
    }

    /// Every request so far, as `METHOD /path`.
    pub fn requests(&self) -> Vec<String> {
        self.replayer.lock().requests.clone()
    }

    /// From now on the server is sealed, as after the recorded request.
    pub fn seal(&self) {
        self.replayer.lock().sealed = true;
    }
}

impl Vaultlike for BaoReplay {
    fn url(&self) -> &str {
        self.server.url()
    }

    fn token(&self) -> &'static str {
        "root"
    }

    fn counterpart(&self) -> Counterpart {
        Counterpart::Replay
    }

    fn ca_pem(&self) -> Option<&str> {
        self.server.ca_pem()
    }

    fn client_identity(&self) -> Option<&Identity> {
        self.server.client_identity()
    }

    fn unexpected(&self) -> Vec<String> {
        self.replayer.lock().unexpected.clone()
    }
}

#[derive(Debug, Default)]
struct Happened {
    sealed: bool,
    revoked: BTreeSet<String>,
    requests: Vec<String>,
    unexpected: Vec<String>,
}

#[derive(Debug, Default)]
struct Replayer {
    happened: Mutex<Happened>,
}

impl Replayer {
    fn lock(&self) -> MutexGuard<'_, Happened> {
        self.happened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reply(&self, asked: &Asked) -> Reply {
        let mut happened = self.lock();
        let line = format!("{} {}", asked.method, asked.target);
        happened.requests.push(line.clone());
        let Some(exchange) = choose(Recording::openbao(), &happened, asked) else {
            happened.unexpected.push(line);
            return Reply::json(
                NOT_RECORDED,
                &json!({"errors": ["this request is not in the recording"]}),
            );
        };
        match asked.target.as_str() {
            SEAL => happened.sealed = true,
            REVOKE => happened.revoked.extend(asked.token().map(str::to_owned)),
            _ => {}
        }
        let mut reply = Reply::json(exchange.response.status, &exchange.response.body);
        reply.headers = exchange
            .response
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        reply
    }
}

impl Answer for Replayer {
    fn answer(self: Arc<Self>, asked: Asked) -> Answering {
        let reply = self.reply(&asked);
        Box::pin(async move { reply })
    }
}

/// The recorded exchange that answers this request, given what happened before.
fn choose<'r>(
    recording: &'r Recording,
    happened: &Happened,
    asked: &Asked,
) -> Option<&'r Exchange> {
    let seal = recording.position("seal the server")?;
    let revoke = recording.position("revoke-self")?;
    let sealed_until = recording.position("health of a sealed server")?;
    let token_revoked = asked
        .token()
        .is_some_and(|token| happened.revoked.contains(token));
    let in_time = |index: usize, exchange: &Exchange| match (happened.sealed, token_revoked) {
        (true, _) => (seal + 1..=sealed_until).contains(&index),
        (false, true) => index > revoke && index < seal && exchange.response.status == 403,
        // Logins were recorded after the sealed server, on another one.
        (false, false) => index <= seal || index > sealed_until,
    };
    let possible: Vec<&Exchange> = recording
        .exchanges
        .iter()
        .enumerate()
        .filter(|(index, exchange)| in_time(*index, exchange) && matches(exchange, asked))
        .map(|(_, exchange)| exchange)
        .collect();
    // The recorded tokens of Kubernetes have expired, so any other stands for the first that was accepted.
    let body = asked.json();
    possible
        .iter()
        .find(|exchange| exchange.request.body == body)
        .or_else(|| possible.first())
        .copied()
}

fn matches(exchange: &Exchange, asked: &Asked) -> bool {
    let recorded = &exchange.request;
    let header = |name: &str| {
        recorded
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    };
    recorded.method == asked.method.as_str()
        && recorded.path == asked.target
        && header("x-vault-namespace")
            == asked
                .header("x-vault-namespace")
                .map(|name| name.trim_end_matches('/'))
        && same_token(header("x-vault-token"), asked)
        && same_body(&recorded.path, &recorded.body, asked)
}

/// Tokens of two recorded logins with the same policies may read the same; what a token says of itself differs.
fn same_token(recorded: Option<&str>, asked: &Asked) -> bool {
    let token = asked.token();
    if recorded == token {
        return true;
    }
    let (Some(recorded), Some(token)) = (recorded, token) else {
        return false;
    };
    let about_itself = asked.target.starts_with("/v1/auth/");
    !about_itself
        && policies(recorded).is_some_and(|policies_of| Some(policies_of) == policies(token))
}

fn policies(token: &str) -> Option<&'static Value> {
    Recording::openbao()
        .exchanges
        .iter()
        .filter(|exchange| {
            exchange.request.path.ends_with("/login") || exchange.request.path.contains("/login/")
        })
        .map(|exchange| &exchange.response.body["auth"])
        .find(|auth| auth["client_token"] == token)
        .map(|auth| &auth["policies"])
}

fn same_body(path: &str, recorded: &Value, asked: &Asked) -> bool {
    let body = asked.json();
    if path == "/v1/auth/kubernetes/login" || path == "/v1/auth/jwt/login" {
        return recorded["role"] == body["role"] && body["jwt"].is_string();
    }
    // An empty object says no more than no body does.
    let empty =
        |value: &Value| value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
    *recorded == body || (empty(recorded) && empty(&body))
}
