//! An HTTP endpoint that answers what it was told to, as a service behind a webhook does: by path, with ETags, and only
//! to those who show the header it wants. Keeps what it was asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;

use crate::http_server::{Answer, Answering, Asked, HttpServer, Reply};

pub use crate::http_server::Transport;

/// One answer.
#[derive(Clone, Debug)]
pub struct Canned {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: String,
    /// The entity tag; a request that knows it gets 304.
    pub etag: Option<String>,
}

/// One request as it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its method.
    pub method: String,
    /// Path and query, as on the wire.
    pub target: String,
    /// Its body.
    pub body: String,
}

#[derive(Debug, Default)]
struct State {
    answers: HashMap<String, Canned>,
    wanted: Option<(String, String)>,
    seen: Vec<Seen>,
}

#[derive(Debug, Default)]
struct Endpoint {
    state: Mutex<State>,
}

/// The running endpoint.
#[derive(Debug)]
pub struct TestEndpoint {
    server: HttpServer,
    endpoint: Arc<Endpoint>,
}

impl TestEndpoint {
    /// Starts one.
    pub fn start(transport: Transport) -> anyhow::Result<Self> {
        let endpoint = Arc::new(Endpoint::default());
        let answer: Arc<dyn Answer> = endpoint.clone();
        let server = HttpServer::start(transport, answer).context("starting a test endpoint")?;
        Ok(Self { server, endpoint })
    }

    /// Scheme and address.
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// What a client has to trust, if it speaks TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.server.ca_pem()
    }

    /// Answers a path with its query from now on.
    pub fn put(&self, target: &str, status: u16, body: &str, etag: Option<&str>) {
        let canned = Canned {
            status,
            body: body.to_owned(),
            etag: etag.map(str::to_owned),
        };
        self.endpoint
            .lock()
            .answers
            .insert(target.to_owned(), canned);
    }

    /// Answers 401 to requests without this header.
    pub fn want(&self, name: &str, value: &str) {
        self.endpoint.lock().wanted = Some((name.to_owned(), value.to_owned()));
    }

    /// What was asked until now, probes (HEAD) left out.
    pub fn seen(&self) -> Vec<Seen> {
        let state = self.endpoint.lock();
        let told = state.seen.iter().filter(|seen| seen.method != "HEAD");
        told.cloned().collect()
    }
}

impl Endpoint {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reply(&self, asked: &Asked) -> Reply {
        let mut state = self.lock();
        state.seen.push(Seen {
            method: asked.method.to_string(),
            target: asked.target.clone(),
            body: String::from_utf8_lossy(&asked.body).into_owned(),
        });
        let plain = |status: u16, body: &str| Reply {
            status,
            headers: Vec::new(),
            body: body.to_owned().into(),
        };
        let refused = state
            .wanted
            .as_ref()
            .is_some_and(|(name, value)| asked.header(name) != Some(value));
        if refused {
            return plain(401, "who are you?");
        }
        let Some(canned) = state.answers.get(&asked.target) else {
            return plain(404, "nothing here");
        };
        let Some(etag) = &canned.etag else {
            return plain(canned.status, &canned.body);
        };
        if asked.header("if-none-match") == Some(etag) {
            return plain(304, "").with_header("etag", etag);
        }
        plain(canned.status, &canned.body).with_header("etag", etag)
    }
}

impl Answer for Endpoint {
    fn answer(self: Arc<Self>, asked: Asked) -> Answering {
        Box::pin(async move { self.reply(&asked) })
    }
}
