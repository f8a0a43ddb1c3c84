//! Plugins of this repository held against the contract, each with its fixture.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::path::{Path, PathBuf};

use postern_conformance_plugin::{Report, Verdict};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

async fn run(component: &str, fixture: &Path) -> Report {
    let guests = std::env::var_os("POSTERN_GUESTS")
        .map_or_else(|| root().join("target/guests"), PathBuf::from);
    let path = guests.join(format!("{component}.wasm"));
    let Ok(bytes) = std::fs::read(&path) else {
        panic!("{} is missing; run `cargo xtask guests`", path.display())
    };
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR"));
    postern_conformance_plugin::run_with_cache(&bytes, fixture, Some(cache))
        .await
        .unwrap()
}

/// Passed, and what the fixture calls unsupported is what this list says: a row cannot leave unnoticed.
async fn conforms(component: &str, fixture: &str, unsupported: &[&str]) {
    let report = run(component, &root().join(fixture)).await;
    assert!(report.passed(), "{}", report.table());
    let left_out: Vec<&str> = report
        .rows
        .iter()
        .filter(|row| matches!(row.verdict, Verdict::Unsupported(_)))
        .map(|row| row.check.as_str())
        .collect();
    assert_eq!(left_out, unsupported, "{}", report.table());
}

/// One fixture for the same provider in four languages.
const DOPPLER: &str = "examples/doppler-conformance";
const FIXTURES: &str = "tests/conformance-plugin/fixtures";

#[tokio::test]
async fn fake_keeps_the_contract() {
    let unsupported = [
        "empty",
        "not UTF-8",
        "unchanged",
        "not found",
        "denied",
        "unavailable",
        "throttled",
        "deadline",
    ];
    conforms("fake", &format!("{FIXTURES}/fake"), &unsupported).await;
}

#[tokio::test]
async fn file_keeps_the_contract() {
    let unsupported = ["unchanged", "unavailable", "throttled", "deadline"];
    conforms("file", &format!("{FIXTURES}/file"), &unsupported).await;
}

#[tokio::test]
async fn kubernetes_keeps_the_contract() {
    conforms("kubernetes", &format!("{FIXTURES}/kubernetes"), &[]).await;
}

#[tokio::test]
async fn webhook_keeps_the_contract() {
    // Each of its objects is another URL, and without an engine another store.
    let unsupported = ["one bad key among good ones"];
    conforms("webhook", &format!("{FIXTURES}/webhook"), &unsupported).await;
}

#[tokio::test]
async fn the_template_engine_keeps_the_contract() {
    conforms("go-template", &format!("{FIXTURES}/go-template"), &[]).await;
}

#[tokio::test]
async fn the_example_engine_keeps_the_contract() {
    conforms("engine-minijinja", &format!("{FIXTURES}/minijinja"), &[]).await;
}

#[tokio::test]
async fn the_example_in_rust_keeps_the_contract() {
    conforms("provider-rust", DOPPLER, &["not UTF-8"]).await;
}

#[tokio::test]
async fn the_example_in_go_keeps_the_contract() {
    conforms("provider-go", DOPPLER, &["not UTF-8"]).await;
}

#[tokio::test]
async fn the_example_in_javascript_keeps_the_contract() {
    conforms("provider-js", DOPPLER, &["not UTF-8"]).await;
}

#[tokio::test]
async fn the_example_in_python_keeps_the_contract() {
    conforms("provider-python", DOPPLER, &["not UTF-8"]).await;
}

#[tokio::test]
async fn vault_keeps_the_contract() {
    conforms("vault", &format!("{FIXTURES}/vault"), &["not UTF-8"]).await;
}
