//! A provider of the conformance suite's own tests: it keeps the contract but for the one misdeed that the config's member
//! `do` names. Each misdeed is one word, and stands where the honest answer would.
//!
//! It reads `GET {url}/{key}` with a token.

wit_bindgen::generate!({ path: "../../../wit", world: "provider" });

use exports::postern::plugin::{check, describe, read};
use postern::plugin::types::{Context, Failure};
use postern::plugin::{entropy, http, log};
use serde_json::Value;

struct Nonconforming;
export!(Nonconforming);

const TOKEN: &str = "/auth/token";

const SCHEMA: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "required": ["url"],
  "properties": {
    "do": {"type": "string"},
    "url": {"type": "string"},
    "auth": {"properties": {"token": {"type": "object", "x-postern-ref": "secret-key"}}}
  }
}"#;

impl describe::Guest for Nonconforming {
    fn describe() -> describe::Descriptor {
        describe::Descriptor {
            name: "nonconforming".into(),
            version: "0.1.0".into(),
            serves: vec!["nonconforming".into()],
            config_schema: SCHEMA.into(),
            asks: vec![describe::Ask {
                kind: "host".into(),
                what: "127.0.0.1".into(),
                why: "the url of the store".into(),
                options: vec![],
            }],
            batch_size: 5,
            summary: "breaks one rule on request".into(),
            options: vec![],
        }
    }
}

impl check::Guest for Nonconforming {
    fn examine(
        config: String,
        _: Vec<check::Credential>,
        _: Vec<(String, String)>,
    ) -> Result<check::Needs, Vec<check::Problem>> {
        let store = Store::new(&config);
        let mut needs = check::Needs {
            per_namespace: false,
            references: vec![reference(TOKEN)],
            endpoints: vec![endpoint(store.config["url"].as_str().unwrap_or_default())],
            options: vec![],
        };
        if store.does("changes-its-mind") {
            needs.references[0].audiences = vec![entropy::random_u64().to_string()];
        }
        if store.does("unmarked-reference") {
            needs.references.push(reference("/url"));
        }
        if store.does("unasked-endpoint") {
            needs.endpoints.push(endpoint("https://elsewhere.example"));
        }
        Ok(needs)
    }

    fn probe(context: Context) -> Result<(), Failure> {
        let store = Store::new(&context.config);
        if store.does("probe-refuses") {
            return Err(failure("unavailable", "not today"));
        }
        Ok(())
    }
}

fn reference(pointer: &str) -> check::Reference {
    check::Reference {
        pointer: pointer.into(),
        audiences: vec![],
        expires_in_s: None,
        options: vec![],
    }
}

fn endpoint(origin: &str) -> check::Endpoint {
    check::Endpoint {
        origin: origin.into(),
        ca: None,
        client_certificate: None,
        client_key: None,
        server_name: None,
        options: vec![],
    }
}

fn failure(code: &str, message: &str) -> Failure {
    Failure {
        code: code.into(),
        message: message.into(),
        retry_after_ms: None,
        detail: vec![],
    }
}

struct Store {
    config: Value,
}

impl Store {
    fn new(config: &str) -> Self {
        let config = serde_json::from_str(config).unwrap_or_default();
        Self { config }
    }

    fn does(&self, misdeed: &str) -> bool {
        self.config["do"] == misdeed
    }
}

impl read::Guest for Nonconforming {
    fn get_batch(context: Context, requests: Vec<read::Request>) -> Vec<read::Outcome> {
        let store = Store::new(&context.config);
        let token = context
            .credentials
            .first()
            .map(|c| String::from_utf8_lossy(&c.value).into_owned())
            .unwrap_or_default();
        if store.does("logs-the-token") {
            log::log("debug", &format!("asking with {token}"), &vec![]);
        }
        let mut outcomes: Vec<read::Outcome> = requests
            .iter()
            .map(|request| store.outcome(request, &token))
            .collect();
        if store.does("turns-the-order") {
            outcomes.reverse();
        }
        if store.does("one-spoils-all") {
            let bad = outcomes.iter().find_map(|o| match &o.answer {
                read::Answer::Failed(failure) => Some(failure.clone()),
                _ => None,
            });
            for outcome in &mut outcomes {
                if let Some(failure) = &bad {
                    outcome.answer = read::Answer::Failed(failure.clone());
                }
            }
        }
        if store.does("invents-outcomes") && requests.len() == 1 {
            outcomes.push(failed(failure("absent", "one too many")));
        }
        outcomes
    }
}

fn failed(failure: Failure) -> read::Outcome {
    read::Outcome {
        answer: read::Answer::Failed(failure),
        tag: None,
        options: vec![],
    }
}

impl Store {
    fn outcome(&self, request: &read::Request, token: &str) -> read::Outcome {
        if self.does("hoards-memory") {
            std::hint::black_box(vec![1_u8; 80 << 20]);
        }
        if self.does("gives-up-early") && request.key == "silent" {
            return failed(failure("unavailable", "it would take too long"));
        }
        let response = match self.ask(request, token) {
            Ok(response) => response,
            Err(failure) => return failed(failure),
        };
        if response.status == 304 {
            return read::Outcome {
                answer: read::Answer::Unchanged,
                tag: request.known.clone(),
                options: vec![],
            };
        }
        if response.status != 200 {
            return failed(self.refusal(&response));
        }
        let parts = request
            .picks
            .iter()
            .map(|pick| self.part(&response.body, pick));
        read::Outcome {
            answer: read::Answer::Parts(parts.collect()),
            tag: header(&response, "etag"),
            options: vec![],
        }
    }

    fn ask(&self, request: &read::Request, token: &str) -> Result<http::Response, Failure> {
        let token = if self.does("asks-as-another") {
            "token-of-the-first"
        } else {
            token
        };
        let mut headers = vec![("authorization".to_owned(), format!("Bearer {token}"))];
        if let Some(known) = &request.known
            && !self.does("forgets-the-tag")
        {
            headers.push(("if-none-match".to_owned(), known.clone()));
        }
        if request.known.is_some() && self.does("always-unchanged") {
            return Ok(http::Response {
                status: 304,
                headers: vec![],
                body: vec![],
                options: vec![],
            });
        }
        let url = self.config["url"].as_str().unwrap_or_default();
        let extra = if self.does("asks-elsewhere") {
            "/v2"
        } else {
            ""
        };
        http::send(&http::Request {
            method: "GET".into(),
            url: format!("{url}{extra}/{}", request.key),
            headers,
            body: None,
            options: vec![],
        })
    }

    fn refusal(&self, response: &http::Response) -> Failure {
        let gone = header(response, "x-gone").is_some();
        let code = match response.status {
            404 if self.does("absent-as-not-found") => "not-found",
            404 if self.does("not-found-as-absent") => "absent",
            404 if gone => "absent",
            404 => "not-found",
            403 if self.does("denied-as-absent") => "absent",
            403 => "denied",
            429 => "rate-limited",
            503 if self.does("unavailable-as-internal") => "internal",
            503 => "unavailable",
            _ => "internal",
        };
        let mut failure = failure(code, &format!("the backend answered {}", response.status));
        if self.does("quotes-the-backend") {
            failure.message = format!("it said: {}", String::from_utf8_lossy(&response.body));
        }
        if self.does("details-the-backend") {
            let body = String::from_utf8_lossy(&response.body).into_owned();
            failure.detail = vec![("body".into(), body)];
        }
        let seconds = header(response, "retry-after").and_then(|s| s.parse::<u64>().ok());
        if !self.does("forgets-retry-after") {
            failure.retry_after_ms = seconds.map(|s| s * 1000);
        }
        failure
    }

    fn part(&self, body: &[u8], pick: &read::Pick) -> read::Part {
        let object = serde_json::from_slice::<serde_json::Map<String, Value>>(body);
        let text = |value: &Value| match value {
            Value::String(text) => text.clone().into_bytes(),
            other => other.to_string().into_bytes(),
        };
        match (&pick.property, pick.members) {
            (None, false) => self.whole(body),
            (Some(name), false) => match object.ok().and_then(|o| o.get(name).map(text)) {
                Some(bytes) if !self.does("ignores-the-property") => read::Part::Value(bytes),
                Some(_) => read::Part::Value(body.to_vec()),
                None => read::Part::Failed(failure("absent", "no such property")),
            },
            (_, true) => match object {
                Ok(object) => {
                    let members = object
                        .iter()
                        .map(|(name, value)| (name.clone(), text(value)));
                    read::Part::Members(members.collect())
                }
                Err(_) => read::Part::Failed(failure("invalid-request", "no object")),
            },
        }
    }

    fn whole(&self, body: &[u8]) -> read::Part {
        if self.does("logs-the-value") {
            let text = String::from_utf8_lossy(body);
            log::log("debug", "read", &vec![("value".into(), text.into_owned())]);
        }
        if self.does("empty-as-absent") && body.is_empty() {
            return read::Part::Failed(failure("absent", "nothing in it"));
        }
        if self.does("cuts-long-values") {
            return read::Part::Value(body[..body.len().min(1 << 16)].to_vec());
        }
        if self.does("text-only") {
            return read::Part::Value(String::from_utf8_lossy(body).into_owned().into_bytes());
        }
        read::Part::Value(body.to_vec())
    }
}

fn header(response: &http::Response, name: &str) -> Option<String> {
    let found = response.headers.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.clone())
}
