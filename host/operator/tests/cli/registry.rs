//! `postern plugin push` and `inspect` against a real registry, as users type them.

use std::process::Command;

use postern_test_kit::kvserver::Transport;
use postern_test_kit::registry::Registry;
use serde_json::Value;

use crate::common::{POSTERN, Ran, root};

fn plugin(arguments: &[&str]) -> Ran {
    let cache = root().join("target/cli-test-cache");
    let mut command = Command::new(POSTERN);
    command
        .env_clear()
        .env("POSTERN_CACHE_DIR", cache)
        .arg("plugin")
        .args(arguments);
    Ran::from(command.output().unwrap())
}

/// The document, held against its schema.
fn valid(schema: &str, document: &str) -> Value {
    let path = root().join(format!("docs/schemas/{schema}.json"));
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let document: Value = serde_json::from_str(document).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(validator.is_valid(&document), "{document:#}");
    document
}

fn component() -> String {
    root().join("target/guests/fake.wasm").display().to_string()
}

#[test]
fn what_is_pushed_is_looked_at_by_the_reference_that_push_printed() {
    let registry = Registry::start().unwrap();
    let tag = format!("{}/plugins/fake:1", registry.address);
    let pushed = plugin(&["push", &component(), &tag, "--plain-http"]);
    assert_eq!(pushed.code, Some(0), "{pushed:?}");
    let pinned = pushed.out.trim();
    assert!(
        pinned.starts_with(&format!("{}/plugins/fake@sha256:", registry.address)),
        "{pinned}"
    );
    let looked = plugin(&["inspect", pinned, "--plain-http", "-o", "json"]);
    assert_eq!(looked.code, Some(0), "{looked:?}");
    let seen = valid("plugin-inspect", &looked.out);
    assert_eq!(seen["name"], "fake");
    assert_eq!(pinned.split_once('@').unwrap().1, seen["manifestDigest"]);
    let again = plugin(&["push", &component(), &tag, "--plain-http"]);
    assert_eq!(
        again.out, pushed.out,
        "the same component has the same digest"
    );
}

#[test]
fn a_registry_that_asks_for_a_password_gets_it_from_the_docker_config() {
    let registry = Registry::start().unwrap();
    let front = registry.front(Transport::Http).unwrap();
    front.require_basic("me", "hunter2");
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config.json");
    let auths =
        serde_json::json!({"auths": {&front.address: {"username": "me", "password": "hunter2"}}});
    std::fs::write(&config, auths.to_string()).unwrap();
    let tag = format!("{}/plugins/fake:1", front.address);
    let refused = plugin(&["push", &component(), &tag, "--plain-http"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.err.contains("--docker-config"), "{}", refused.err);
    let config = config.display().to_string();
    let arguments = [
        "push",
        &component(),
        &tag,
        "--plain-http",
        "--docker-config",
        &config,
    ];
    let pushed = plugin(&arguments);
    assert_eq!(pushed.code, Some(0), "{pushed:?}");
}

#[test]
fn a_reference_that_leads_nowhere_is_told_with_what_to_do() {
    let registry = Registry::start().unwrap();
    let absent = format!("{}/plugins/none:1", registry.address);
    let ran = plugin(&["inspect", &absent, "--plain-http"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(
        ran.err.contains("does not exist in its registry"),
        "{}",
        ran.err
    );
    let tls = plugin(&["inspect", &absent]);
    assert!(tls.err.contains("--plain-http"), "{}", tls.err);
    assert!(!tls.err.contains("spec.source"), "{}", tls.err);
}
