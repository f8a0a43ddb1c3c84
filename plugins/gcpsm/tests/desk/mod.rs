//! A host at whose door answers lie ready, by what is asked.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::cell::{Cell, RefCell};

use postern_sdk::{
    Answer, Context, Credential, Entropy, Failure, Files, Http, HttpRequest, HttpResponse, Log,
    Outcome, Part, Pick, Request, Templating,
};
use serde_json::{Value, json};

/// 2026-01-01T00:00:00Z.
pub const NOW: u64 = 1_767_225_600;
/// The same as a `Date` header has it.
pub const DATE: &str = "Thu, 01 Jan 2026 00:00:00 GMT";

type Reply = Result<HttpResponse, Failure>;

/// Answers by method and URL, the first that fits and is left; keeps what was asked.
#[derive(Default)]
pub struct Desk {
    replies: RefCell<Vec<(String, Reply)>>,
    pub asked: RefCell<Vec<HttpRequest>>,
    pub logged: RefCell<Vec<String>>,
    pub now: Cell<u64>,
    random: Cell<u64>,
}

impl Desk {
    pub fn new() -> Self {
        let desk = Self::default();
        desk.now.set(NOW);
        desk
    }

    /// One answer to what ends so; the method is left out for a GET.
    pub fn on(self, what: &str, status: u16, body: &Value) -> Self {
        self.on_with(what, status, &[("date", DATE)], body.to_string().as_bytes())
    }

    pub fn on_with(self, what: &str, status: u16, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let response = HttpResponse {
            status,
            headers: headers
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
            body: body.to_vec(),
            options: Vec::new(),
        };
        self.reply(what, Ok(response))
    }

    pub fn reply(self, what: &str, reply: Reply) -> Self {
        self.replies.borrow_mut().push((what.to_owned(), reply));
        self
    }

    /// Paths with queries of all that was asked, in order.
    pub fn paths(&self) -> Vec<String> {
        let path = |request: &HttpRequest| {
            let (_, rest) = request.url.split_once("://").unwrap();
            rest[rest.find('/').unwrap()..].to_owned()
        };
        self.asked.borrow().iter().map(path).collect()
    }

    /// The body of what was asked at this place, as text.
    pub fn body(&self, at: usize) -> String {
        String::from_utf8(self.asked.borrow()[at].body.clone().unwrap()).unwrap()
    }
}

impl Http for Desk {
    fn send(&self, request: &HttpRequest) -> Reply {
        self.asked.borrow_mut().push(request.clone());
        let mut replies = self.replies.borrow_mut();
        let at = replies
            .iter()
            .position(|(what, _)| request.url.ends_with(what.as_str()));
        let at = at.unwrap_or_else(|| panic!("nobody answers {request:?}"));
        replies.remove(at).1
    }
}
impl Files for Desk {}
impl Log for Desk {
    fn log(&self, _: &str, message: &str, _: &[(String, String)]) {
        self.logged.borrow_mut().push(message.to_owned());
    }
}
impl Entropy for Desk {
    fn now_ns(&self) -> u64 {
        self.now.get() * 1_000_000_000
    }

    fn random_u64(&self) -> u64 {
        self.random.set(
            self.random
                .get()
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1),
        );
        self.random.get()
    }
}
impl Templating for Desk {}

/// A call with a session.
pub fn reading(config: &Value) -> Context {
    Context {
        config: config.to_string(),
        session: Some(json!({"token": "ya29.token"}).to_string().into_bytes()),
        ..Context::default()
    }
}

/// A call with one credential.
pub fn logging_in(
    config: &Value,
    pointer: &str,
    value: &str,
    attributes: &[(&str, &str)],
) -> Context {
    Context {
        config: config.to_string(),
        credentials: vec![credential(pointer, value, attributes)],
        ..Context::default()
    }
}

pub fn credential(pointer: &str, value: &str, attributes: &[(&str, &str)]) -> Credential {
    Credential {
        pointer: pointer.to_owned(),
        value: value.as_bytes().to_vec(),
        attributes: attributes
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect(),
    }
}

pub fn request(key: &str) -> Request {
    Request {
        key: key.to_owned(),
        picks: vec![Pick::default()],
        ..Request::default()
    }
}

/// The text of a value.
pub fn value(outcome: &Outcome) -> String {
    match &outcome.answer {
        Answer::Parts(parts) => match &parts[..] {
            [Part::Value(bytes)] => String::from_utf8(bytes.clone()).unwrap(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// The failure of an object or of its one part.
pub fn failure(outcome: &Outcome) -> &Failure {
    match &outcome.answer {
        Answer::Failed(failure) => failure,
        Answer::Parts(parts) => match &parts[..] {
            [Part::Failed(failure)] => failure,
            other => panic!("{other:?}"),
        },
        Answer::Unchanged => panic!("unchanged"),
    }
}

/// A private key that opens nothing, as the file of a service account.
pub fn key_file(token_uri: &str) -> String {
    let body = include_str!("../../../../tests/kit/data/rsa-2048.pkcs8.b64");
    let label = "PRIVATE KEY";
    json!({
        "type": "service_account", "project_id": "p", "private_key_id": "k1",
        "private_key": format!("-----BEGIN {label}-----\n{body}-----END {label}-----\n"),
        "client_email": "reader@p.iam.gserviceaccount.com", "token_uri": token_uri,
    })
    .to_string()
}
