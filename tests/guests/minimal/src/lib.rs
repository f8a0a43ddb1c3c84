//! The smallest provider: answers each request with its key, imports nothing but types, exports nothing optional.

#![allow(clippy::unwrap_used, reason = "a guest of the tests")]

wit_bindgen::generate!({ path: "../../../wit", world: "provider" });

use exports::postern::plugin::{check, describe, read};
use postern::plugin::types::{Context, Failure};

struct Minimal;
export!(Minimal);

impl describe::Guest for Minimal {
    fn describe() -> describe::Descriptor {
        describe::Descriptor {
            name: "minimal".into(),
            version: "0.1.0".into(),
            serves: vec!["minimal".into()],
            config_schema: r#"{"type":"object"}"#.into(),
            asks: vec![],
            batch_size: 10,
            summary: "answers each request with its key".into(),
            options: vec![],
        }
    }
}

impl check::Guest for Minimal {
    fn examine(
        _: String,
        _: Vec<check::Credential>,
        _: Vec<(String, String)>,
    ) -> Result<check::Needs, Vec<check::Problem>> {
        Ok(check::Needs {
            per_namespace: false,
            references: vec![],
            endpoints: vec![],
            options: vec![],
        })
    }

    fn probe(_: Context) -> Result<(), Failure> {
        Ok(())
    }
}

impl read::Guest for Minimal {
    fn get_batch(_: Context, requests: Vec<read::Request>) -> Vec<read::Outcome> {
        requests.iter().map(answer).collect()
    }
}

fn answer(request: &read::Request) -> read::Outcome {
    let parts = request
        .picks
        .iter()
        .map(|_| read::Part::Value(request.key.clone().into_bytes()))
        .collect();
    read::Outcome {
        answer: read::Answer::Parts(parts),
        tag: None,
        options: vec![],
    }
}
