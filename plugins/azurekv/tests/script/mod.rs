//! An `Http` that answers by rule and keeps what it was asked.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::cell::{Cell, RefCell};

use postern_sdk::{
    Context, Credential, Entropy, Failure, Files, Http, HttpRequest, HttpResponse, Log, Templating,
};
use serde_json::Value;

type Rule = Box<dyn Fn(&HttpRequest) -> Result<HttpResponse, Failure>>;

/// What answers.
pub struct Script {
    rule: Rule,
    asked: RefCell<Vec<HttpRequest>>,
    drawn: Cell<u64>,
}

impl Script {
    /// Answers by rule.
    pub fn of(rule: impl Fn(&HttpRequest) -> HttpResponse + 'static) -> Self {
        Self::failing(move |request| Ok(rule(request)))
    }

    /// Answers by rule, which may be that nothing came back.
    pub fn failing(rule: impl Fn(&HttpRequest) -> Result<HttpResponse, Failure> + 'static) -> Self {
        Self {
            rule: Box::new(rule),
            asked: RefCell::default(),
            drawn: Cell::new(0),
        }
    }

    /// Answers everything alike.
    pub fn always(status: u16, body: Value) -> Self {
        Self::of(move |_| json(status, &body))
    }

    /// What was asked, in order.
    pub fn asked(&self) -> Vec<HttpRequest> {
        self.asked.borrow().clone()
    }

    /// Methods and URLs of it.
    pub fn urls(&self) -> Vec<String> {
        let line = |r: &HttpRequest| format!("{} {}", r.method, r.url);
        self.asked.borrow().iter().map(line).collect()
    }
}

/// A response with a JSON body.
pub fn json(status: u16, body: &Value) -> HttpResponse {
    text(status, &body.to_string())
}

/// A response with any body.
pub fn text(status: u16, body: &str) -> HttpResponse {
    HttpResponse {
        status,
        headers: Vec::new(),
        body: body.as_bytes().to_vec(),
        options: Vec::new(),
    }
}

/// The same with a header.
pub fn with_header(mut response: HttpResponse, name: &str, value: &str) -> HttpResponse {
    let header = (name.to_owned(), value.to_owned());
    response.headers.push(header);
    response
}

/// A context that may read.
pub fn context(config: &str) -> Context {
    Context {
        config: config.to_owned(),
        session: Some(b"the-token".to_vec()),
        ..Context::default()
    }
}

/// A credential without attributes.
pub fn credential(pointer: &str, value: &[u8]) -> Credential {
    Credential {
        pointer: pointer.to_owned(),
        value: value.to_vec(),
        attributes: Vec::new(),
    }
}

impl Http for Script {
    fn send(&self, request: &HttpRequest) -> Result<HttpResponse, Failure> {
        self.asked.borrow_mut().push(request.clone());
        (self.rule)(request)
    }
}

impl Files for Script {}
impl Log for Script {}
impl Templating for Script {}

/// Frozen at 2026-01-01, with numbers that repeat from run to run.
impl Entropy for Script {
    fn now_ns(&self) -> u64 {
        1_767_225_600_000_000_000
    }

    fn random_u64(&self) -> u64 {
        self.drawn.set(self.drawn.get() + 1);
        self.drawn.get().wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}
