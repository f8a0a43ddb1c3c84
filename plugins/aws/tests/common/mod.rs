//! A host whose answers are scripted by what is asked, and which keeps what it was sent.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::cell::{Cell, RefCell};

use postern_plugin_aws::clock;
use postern_plugin_aws::session::Session;
use postern_plugin_aws::sigv4::{derive, hex};
use postern_plugin_shared::time::rfc3339;
use postern_sdk::{
    Answer, Context, Credential, Entropy, Failure, Files, Http, HttpRequest, HttpResponse, Log,
    Outcome, Part, Pick, Request, Templating,
};
use serde_json::{Value, json};

pub const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
pub const TOKEN: &str = "IQoJb3JpZ2luX2VjSESSIONTOKEN";

type Answerer = Box<dyn Fn(&HttpRequest) -> HttpResponse>;

/// Answers by rules, the first whose text is in the operation or the URL; each request must have one.
pub struct Backend {
    rules: RefCell<Vec<(String, Answerer)>>,
    pub sent: RefCell<Vec<HttpRequest>>,
    pub now: Cell<u64>,
}

pub fn noon() -> u64 {
    rfc3339("2026-11-27T12:00:00Z").unwrap()
}

pub fn response(status: u16, body: impl ToString) -> HttpResponse {
    HttpResponse {
        status,
        headers: vec![("x-amzn-requestid".to_owned(), "r-1".to_owned())],
        body: body.to_string().into_bytes(),
        options: Vec::new(),
    }
}

/// A refusal as the JSON protocol has it.
pub fn refusal(name: &str, words: &str) -> HttpResponse {
    response(
        400,
        json!({"__type": format!("com.amazonaws.x#{name}"), "Message": words}),
    )
}

/// What was asked: the operation of a signed POST, the action of a form, or method and URL.
pub fn asked(request: &HttpRequest) -> String {
    let header = |name: &str| request.headers.iter().find(|(n, _)| n == name);
    if let Some((_, target)) = header("x-amz-target") {
        return target.clone();
    }
    let body = String::from_utf8_lossy(request.body.as_deref().unwrap_or_default()).into_owned();
    match body
        .strip_prefix("Action=")
        .and_then(|rest| rest.split('&').next())
    {
        Some(action) => format!("sts.{action}"),
        None => format!("{} {}", request.method, request.url),
    }
}

pub fn sent_body(request: &HttpRequest) -> Value {
    serde_json::from_slice(request.body.as_deref().unwrap()).unwrap()
}

pub fn sent_form(request: &HttpRequest) -> Vec<String> {
    let body = String::from_utf8(request.body.clone().unwrap()).unwrap();
    body.split('&').map(str::to_owned).collect()
}

pub fn header<'a>(request: &'a HttpRequest, name: &str) -> &'a str {
    let found = request.headers.iter().find(|(n, _)| n == name);
    found.map(|(_, v)| v.as_str()).unwrap_or_default()
}

impl Backend {
    pub fn new() -> Self {
        Self {
            rules: RefCell::default(),
            sent: RefCell::default(),
            now: Cell::new(noon()),
        }
    }

    pub fn on(self, what: &str, answer: HttpResponse) -> Self {
        self.with(what, move |_| answer.clone())
    }

    pub fn with(self, what: &str, answer: impl Fn(&HttpRequest) -> HttpResponse + 'static) -> Self {
        self.rules
            .borrow_mut()
            .push((what.to_owned(), Box::new(answer)));
        self
    }

    pub fn asked(&self) -> Vec<String> {
        self.sent.borrow().iter().map(asked).collect()
    }
}

impl Http for Backend {
    fn send(&self, request: &HttpRequest) -> Result<HttpResponse, Failure> {
        self.sent.borrow_mut().push(request.clone());
        let what = asked(request);
        let rules = self.rules.borrow();
        let rule = rules.iter().find(|(text, _)| what == *text);
        match rule {
            Some((_, answer)) => Ok(answer(request)),
            None => Err(Failure::internal(format!("nobody expected {what}"))),
        }
    }
}

impl Entropy for Backend {
    fn now_ns(&self) -> u64 {
        self.now.get() * 1_000_000_000
    }
}

impl Files for Backend {}
impl Log for Backend {}
impl Templating for Backend {}

pub fn credential(pointer: &str, value: &str) -> Credential {
    Credential {
        pointer: pointer.to_owned(),
        value: value.as_bytes().to_vec(),
        attributes: Vec::new(),
    }
}

/// A store of one of the services.
pub fn config(service: &str) -> Value {
    json!({
        "service": service,
        "region": "eu-central-1",
        "auth": {"secretRef": {
            "accessKeyIDSecretRef": {"name": "s", "key": "id"},
            "secretAccessKeySecretRef": {"name": "s", "key": "key"},
        }},
    })
}

pub fn keys() -> Vec<Credential> {
    vec![
        credential("/auth/secretRef/accessKeyIDSecretRef", "AKIDEXAMPLE"),
        credential(
            "/auth/secretRef/secretAccessKeySecretRef",
            &format!("{SECRET}\n"),
        ),
    ]
}

pub fn context(config: &Value, credentials: Vec<Credential>) -> Context {
    Context {
        config: config.to_string(),
        credentials,
        ..Context::default()
    }
}

/// A call of a reader at noon.
pub fn reading(config: &Value) -> Context {
    let service = match config["service"].as_str() {
        Some("ParameterStore") => "ssm",
        _ => "secretsmanager",
    };
    let key = derive(SECRET, &clock::date(noon()), "eu-central-1", service);
    let session = Session {
        id: "ASIAEXAMPLE".to_owned(),
        token: Some(TOKEN.to_owned()),
        key: hex(&key),
        day: noon(),
        skew: 0,
        base: format!("https://{service}.eu-central-1.amazonaws.com"),
    };
    Context {
        config: config.to_string(),
        session: Some(session.to_bytes().unwrap()),
        ..Context::default()
    }
}

pub fn whole(key: &str) -> Request {
    Request {
        key: key.to_owned(),
        picks: vec![Pick::default()],
        ..Request::default()
    }
}

pub fn value(outcome: &Outcome) -> String {
    match &outcome.answer {
        Answer::Parts(parts) => match &parts[0] {
            Part::Value(v) => String::from_utf8(v.clone()).unwrap(),
            other => panic!("no value: {other:?}"),
        },
        other => panic!("no parts: {other:?}"),
    }
}

pub fn failure(outcome: &Outcome) -> &Failure {
    match &outcome.answer {
        Answer::Failed(f) => f,
        Answer::Parts(parts) => match &parts[0] {
            Part::Failed(f) => f,
            other => panic!("no failure: {other:?}"),
        },
        Answer::Unchanged => panic!("unchanged"),
    }
}
