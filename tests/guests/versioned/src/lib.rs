//! A provider of which tests make many versions: a marker in its data, which they overwrite, says which version it is and
//! what it does. It answers each request with what the config has under the key, and the key `version` with its version.

#![allow(clippy::unwrap_used, reason = "a guest of the tests")]

wit_bindgen::generate!({ path: "../../../wit", world: "provider" });

mod marker;

use exports::postern::plugin::{check, describe, read};
use marker::{eat, hang, marked};
use postern::plugin::http;
use postern::plugin::types::{Context, Failure};
use serde_json::Value;

struct Versioned;
export!(Versioned);

impl describe::Guest for Versioned {
    fn describe() -> describe::Descriptor {
        let what = marked("do");
        let schema = if what == "strict" {
            r#"{"type":"object","required":["mandatory"]}"#
        } else {
            r#"{"type":"object"}"#
        };
        let ask = |host: &str| describe::Ask {
            kind: "host".into(),
            what: host.into(),
            why: "the backend".into(),
            options: vec![],
        };
        describe::Descriptor {
            name: "versioned".into(),
            version: marked("version"),
            serves: vec!["versioned".into(), "other".into()],
            config_schema: schema.into(),
            asks: match what.as_str() {
                "ask" | "call-in-probe" => vec![ask("127.0.0.1")],
                "ask-more" => vec![ask("127.0.0.1"), ask("more.example")],
                _ => vec![],
            },
            batch_size: 0,
            summary: "answers from its config".into(),
            options: vec![],
        }
    }
}

impl check::Guest for Versioned {
    fn examine(
        config: String,
        _: Vec<check::Credential>,
        _: Vec<(String, String)>,
    ) -> Result<check::Needs, Vec<check::Problem>> {
        let config: Value = serde_json::from_str(&config).unwrap();
        if let Some(number) = config.get("number").filter(|n| !n.is_number()) {
            let _ = number;
            return Err(vec![check::Problem {
                pointer: "/number".into(),
                message: "must be a number".into(),
                options: vec![],
            }]);
        }
        let endpoints = config["url"].as_str().map(|url| check::Endpoint {
            origin: url.into(),
            ca: None,
            client_certificate: None,
            client_key: None,
            server_name: None,
            options: vec![],
        });
        Ok(check::Needs {
            per_namespace: false,
            references: vec![],
            endpoints: endpoints.into_iter().collect(),
            options: vec![],
        })
    }

    fn probe(context: Context) -> Result<(), Failure> {
        match marked("do").as_str() {
            "hang-in-probe" => hang(),
            "call-in-probe" => {
                let config: Value = serde_json::from_str(&context.config).unwrap();
                get(config["probe"].as_str().unwrap()).map(drop)
            }
            _ => Ok(()),
        }
    }
}

impl read::Guest for Versioned {
    fn get_batch(context: Context, requests: Vec<read::Request>) -> Vec<read::Outcome> {
        match marked("do").as_str() {
            "trap" => panic!("as the test wants"),
            "hang" => hang(),
            "eat" => eat(),
            // An answer to fewer requests than there are.
            "nonsense" => return vec![],
            _ => {}
        }
        let config: Value = serde_json::from_str(&context.config).unwrap();
        if let Some(url) = config["fetch"].as_str() {
            return requests.iter().map(|_| fetched(url)).collect();
        }
        requests.iter().map(|r| answer(&config, r)).collect()
    }
}

fn answer(config: &Value, request: &read::Request) -> read::Outcome {
    let version = marked("version");
    let value = match request.key.as_str() {
        // Which version answered.
        "version" => Some(version.as_str()),
        key => config["values"][key].as_str(),
    };
    let answer = match value.filter(|_| marked("do") != "absent") {
        Some(value) => read::Answer::Parts(
            request
                .picks
                .iter()
                .map(|_| read::Part::Value(value.as_bytes().to_vec()))
                .collect(),
        ),
        None => read::Answer::Failed(failure("absent", "there is nothing")),
    };
    outcome(answer)
}

fn fetched(url: &str) -> read::Outcome {
    match get(url) {
        Ok(body) => outcome(read::Answer::Parts(vec![read::Part::Value(body)])),
        Err(refused) => outcome(read::Answer::Failed(refused)),
    }
}

fn get(url: &str) -> Result<Vec<u8>, Failure> {
    let request = http::Request {
        method: "GET".into(),
        url: url.into(),
        headers: vec![],
        body: None,
        options: vec![],
    };
    http::send(&request).map(|response| response.body)
}

fn failure(code: &str, message: &str) -> Failure {
    Failure {
        code: code.into(),
        message: message.into(),
        retry_after_ms: None,
        detail: vec![],
    }
}

fn outcome(answer: read::Answer) -> read::Outcome {
    read::Outcome {
        answer,
        tag: None,
        options: vec![],
    }
}
