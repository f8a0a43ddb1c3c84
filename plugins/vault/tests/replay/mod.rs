//! An `Http` that replays recorded exchanges, or one made-up answer where no server can be made to give it.

use std::cell::RefCell;

use postern_sdk::{Entropy, Failure, Files, Http, HttpRequest, HttpResponse, Log, Templating};
use serde_json::Value;

const RECORDING: &str = include_str!("../../../../tests/kit/recordings/openbao.json");

/// What answers.
pub struct Replay {
    left: RefCell<Vec<Value>>,
    always: Option<HttpResponse>,
    token: Option<String>,
}

fn recorded(note: &str) -> Value {
    let recording: Value = serde_json::from_str(RECORDING).unwrap();
    let exchanges = recording["exchanges"].as_array().unwrap();
    exchanges
        .iter()
        .find(|e| e["note"] == note)
        .unwrap_or_else(|| panic!("no exchange {note:?}"))
        .clone()
}

/// The body that was sent in an exchange.
pub fn recorded_body(note: &str) -> Value {
    recorded(note)["request"]["body"].clone()
}

impl Replay {
    /// Answers the named exchanges, each once, in any order.
    pub fn of(notes: &[&str]) -> Self {
        Self {
            left: RefCell::new(notes.iter().map(|n| recorded(n)).collect()),
            always: None,
            token: None,
        }
    }

    /// Answers everything alike.
    pub fn answering(status: u16, body: &str) -> Self {
        let headers = vec![("retry-after".to_owned(), "7".to_owned())];
        let response = HttpResponse {
            status,
            headers,
            body: body.as_bytes().to_vec(),
            options: Vec::new(),
        };
        Self {
            left: RefCell::default(),
            always: Some(response),
            token: None,
        }
    }

    /// Plays the exchanges as if they had been recorded with this token.
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// Adds the answer of a list that was recorded with other names.
    pub fn listing(self, folder: &str, names: &str) -> Self {
        let mut exchange = recorded("KV v2 list, with a folder");
        exchange["request"]["path"] = format!("/v1/secret/metadata/{folder}").into();
        exchange["response"]["body"]["data"]["keys"] = serde_json::from_str(names).unwrap();
        self.left.borrow_mut().push(exchange);
        self
    }

    /// Fails if an exchange was not asked for.
    pub fn all_used(&self) {
        let left: Vec<_> = self
            .left
            .borrow()
            .iter()
            .map(|e| e["note"].to_string())
            .collect();
        assert!(left.is_empty(), "not asked for: {left:?}");
    }

    fn matches(&self, exchange: &Value, request: &HttpRequest) -> bool {
        let recorded = &exchange["request"];
        let header = |name: &str| {
            let found = request
                .headers
                .iter()
                .find(|(n, _)| n.eq_ignore_ascii_case(name));
            found
                .map(|(_, v)| v.as_str())
                .unwrap_or_default()
                .to_owned()
        };
        let kept = |name: &str| {
            recorded["headers"][name]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        let token = self.token.clone().unwrap_or_else(|| kept("X-Vault-Token"));
        let body: Value = request
            .body
            .as_ref()
            .map(|b| serde_json::from_slice(b).unwrap())
            .unwrap_or_default();
        let url = format!("http://vault:8200{}", recorded["path"].as_str().unwrap());
        recorded["method"] == request.method.as_str()
            && url == request.url
            && token == header("X-Vault-Token")
            && kept("X-Vault-Namespace") == header("X-Vault-Namespace")
            && body == recorded["body"]
    }
}

impl Http for Replay {
    fn send(&self, request: &HttpRequest) -> Result<HttpResponse, Failure> {
        if let Some(response) = &self.always {
            return Ok(response.clone());
        }
        let mut left = self.left.borrow_mut();
        let Some(at) = left.iter().position(|e| self.matches(e, request)) else {
            return Err(Failure::internal(format!("not recorded: {request:?}")));
        };
        let response = &left.remove(at)["response"];
        let body = Some(&response["body"])
            .filter(|b| !b.is_null())
            .map(Value::to_string)
            .unwrap_or_default();
        let status = u16::try_from(response["status"].as_u64().unwrap()).unwrap();
        Ok(HttpResponse {
            status,
            headers: Vec::new(),
            body: body.into_bytes(),
            options: Vec::new(),
        })
    }
}

impl Files for Replay {}
impl Log for Replay {}
impl Entropy for Replay {}
impl Templating for Replay {}
