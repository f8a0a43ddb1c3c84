//! Signatures against the test suite that AWS published: those of its requests that have neither a query nor a path.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use postern_plugin_aws::sigv4::{Request, Signer, derive, hex, unhex};
use serde_json::Value;

#[test]
fn signs_as_the_published_test_suite_does() {
    let suite: Value = serde_json::from_str(include_str!("data/sigv4.json")).unwrap();
    let text = |name: &str| suite[name].as_str().unwrap();
    let stamp = text("stamp");
    let key = derive(text("secret"), &stamp[..8], text("region"), text("service"));
    let cases = suite["requests"].as_array().unwrap();
    assert_eq!(cases.len(), 9);
    for case in cases {
        let headers: Vec<(&str, &str)> = case["headers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|h| (h[0].as_str().unwrap(), h[1].as_str().unwrap()))
            .collect();
        let signer = Signer {
            id: text("id"),
            session_token: case["token"].as_str(),
            key: &key,
            region: text("region"),
            service: text("service"),
        };
        let added = signer.sign(&Request {
            method: case["method"].as_str().unwrap(),
            host: text("host"),
            path: "/",
            headers: &headers,
            body: case["body"].as_str().unwrap().as_bytes(),
            stamp,
        });
        let (name, authorization) = added.last().unwrap();
        assert_eq!(name, "authorization");
        assert_eq!(
            *authorization,
            case["authorization"].as_str().unwrap(),
            "{}",
            case["name"]
        );
    }
}

/// The example in AWS's documentation of how a key is derived.
#[test]
fn derives_the_key_of_the_documentation() {
    let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    let key = derive(secret, "20150830", "us-east-1", "iam");
    let want = "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9";
    assert_eq!(hex(&key), want);
    assert_eq!(unhex(want), Some(key));
    assert_eq!(unhex(&want[2..]), None);
    assert_eq!(unhex(&want.replace('c', "ä")), None);
}
