//! The suite can fail: a guest that breaks one rule at a time, and exactly the rows that notice it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::path::{Path, PathBuf};

use postern_conformance_plugin::{Report, Verdict};

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a guest with the text of a fixture.
async fn run_with(guest: &str, fixture: &str) -> Report {
    let guests = std::env::var_os("POSTERN_GUESTS")
        .map_or_else(|| here().join("../../target/guests"), PathBuf::from);
    let path = guests.join(format!("{guest}.wasm"));
    let Ok(bytes) = std::fs::read(&path) else {
        panic!("{} is missing; run `cargo xtask guests`", path.display())
    };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("fixture.yaml"), fixture).unwrap();
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR"));
    postern_conformance_plugin::run_with_cache(&bytes, folder.path(), Some(cache))
        .await
        .unwrap()
}

/// Runs the guest with this misdeed.
async fn run(misdeed: &str) -> Report {
    let fixture = here().join("fixtures/nonconforming/fixture.yaml");
    let text = std::fs::read_to_string(fixture).unwrap();
    let text = text.replacen("MISDEED", misdeed, 1);
    run_with("guest_nonconforming", &text).await
}

fn failed(report: &Report) -> Vec<&str> {
    let rows = report.rows.iter();
    rows.filter(|row| matches!(row.verdict, Verdict::Failed(_)))
        .map(|row| row.check.as_str())
        .collect()
}

/// Asks that exactly these rows failed.
async fn fails(misdeed: &str, rows: &[&str]) -> Report {
    let report = run(misdeed).await;
    assert_eq!(failed(&report), rows, "{misdeed}\n{}", report.table());
    report
}

fn why<'a>(report: &'a Report, check: &str) -> &'a str {
    let row = report.rows.iter().find(|row| row.check == check).unwrap();
    match &row.verdict {
        Verdict::Failed(why) => why,
        other => panic!("{check}: {other:?}"),
    }
}

#[tokio::test]
async fn an_honest_plugin_fails_nowhere() {
    let report = fails("nothing", &[]).await;
    assert!(report.passed());
    assert_eq!(report.plugin, "nonconforming 0.1.0");
    let unsupported = |v: &Verdict| matches!(v, Verdict::Unsupported(_));
    assert!(!report.rows.iter().any(|row| unsupported(&row.verdict)));
}

#[tokio::test]
async fn notices_what_examine_says_wrongly() {
    fails("unmarked-reference", &["references are marked"]).await;
    fails("changes-its-mind", &["examine"]).await;
    fails("probe-refuses", &["probe"]).await;
    let report = run("unasked-endpoint").await;
    assert!(why(&report, "endpoints are asked for").contains("elsewhere.example"));
}

#[tokio::test]
async fn notices_outcomes_in_another_order() {
    let rows = [
        "batch of batch-size",
        "batch of batch-size + 1",
        "order does not matter",
    ];
    fails("turns-the-order", &rows).await;
}

#[tokio::test]
async fn notices_more_outcomes_than_requests() {
    let report = run("invents-outcomes").await;
    assert!(why(&report, "batch of one").starts_with("contract-broken"));
}

#[tokio::test]
async fn notices_that_a_silent_backend_is_called_by_another_name() {
    fails("gives-up-early", &["deadline"]).await;
}

#[tokio::test]
async fn notices_that_one_bad_key_spoils_the_others() {
    let rows = [
        "batch of batch-size",
        "batch of batch-size + 1",
        "one bad key among good ones",
        "order does not matter",
    ];
    fails("one-spoils-all", &rows).await;
}

#[tokio::test]
async fn notices_values_that_are_not_what_the_backend_holds() {
    fails("cuts-long-values", &["1 MiB"]).await;
    let rows = [
        "batch of batch-size",
        "batch of batch-size + 1",
        "several picks of one object",
        "order does not matter",
    ];
    fails("ignores-the-property", &rows).await;
    let all = |row: &'static str| {
        [
            "batch of batch-size",
            "batch of batch-size + 1",
            row,
            "order does not matter",
        ]
    };
    fails("empty-as-absent", &all("empty")).await;
    fails("text-only", &all("not UTF-8")).await;
}

#[tokio::test]
async fn notices_a_tag_that_is_not_used_or_used_blindly() {
    fails("forgets-the-tag", &["unchanged"]).await;
    fails("always-unchanged", &["unchanged"]).await;
}

#[tokio::test]
async fn notices_failures_that_are_called_by_a_wrong_name() {
    let rows = [
        "batch of batch-size",
        "batch of batch-size + 1",
        "one bad key among good ones",
        "absent",
        "order does not matter",
    ];
    fails("absent-as-not-found", &rows).await;
    fails("not-found-as-absent", &["not found"]).await;
    fails("denied-as-absent", &["denied"]).await;
    fails("unavailable-as-internal", &["unavailable"]).await;
    fails("forgets-retry-after", &["throttled"]).await;
}

#[tokio::test]
async fn notices_an_answer_with_the_credential_of_another() {
    let report = fails("asks-as-another", &["a second credential"]).await;
    let text = format!("{}{}", report.table(), report.json());
    for secret in ["value-of-the", "token-of-the", "conformance-sentinel"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[tokio::test]
async fn notices_secrets_in_messages_and_in_details() {
    let messages = ["nothing secret in messages"];
    let report = fails("quotes-the-backend", &messages).await;
    assert!(why(&report, messages[0]).contains("denied"));
    fails("details-the-backend", &messages).await;
}

#[tokio::test]
async fn notices_secrets_in_log_lines() {
    let lines = ["nothing secret in log lines"];
    let report = fails("logs-the-token", &lines).await;
    assert!(why(&report, lines[0]).contains("present"));
    fails("logs-the-value", &lines).await;
}

#[tokio::test]
async fn notices_a_request_that_the_fixture_does_not_know() {
    let report = run("asks-elsewhere").await;
    assert_eq!(
        why(&report, "present"),
        "the plugin sent GET /v2/db, which no exchange of the fixture answers"
    );
}

#[tokio::test]
async fn notices_too_much_memory() {
    let report = run("hoards-memory").await;
    assert!(why(&report, "present").starts_with("limit-exceeded"));
    assert!(why(&report, "memory and CPU within limits").contains("present"));
}

#[tokio::test]
async fn says_why_a_component_does_not_load() {
    let report = postern_conformance_plugin::run(b"not a component", &here().join("fixtures/fake"))
        .await
        .unwrap();
    assert!(!report.passed());
    assert!(why(&report, "loads").starts_with("plugin-invalid"));
}

#[tokio::test]
async fn a_folder_without_a_fixture_is_an_error() {
    let nowhere = here().join("nowhere");
    let error = postern_conformance_plugin::run(b"", &nowhere)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("fixture.yaml"), "{error}");
}

/// Runs the template engine of the tests.
async fn engine(templates: &str, failing: &str, endless: &str) -> Report {
    let fixture = format!(
        "templates: [{templates}]\nfailing: {{name: wrong-one, {failing}}}\nendless: {{name: for-ever, source: {endless}}}\n"
    );
    run_with("guest_engine", &fixture).await
}

const GOOD: &str =
    "{name: good, source: '{{ .a }}', data: {a: data-of-the-good}, expected: data-of-the-good}";
const FAILING: &str = "source: '{{ .b }}', data: {a: data-of-the-failing}";

#[tokio::test]
async fn an_honest_engine_fails_nowhere() {
    let report = engine(GOOD, FAILING, "loop").await;
    assert_eq!(failed(&report), Vec::<&str>::new(), "{}", report.table());
}

#[tokio::test]
async fn notices_templates_that_render_otherwise_or_not_at_all() {
    let other = "{name: other, source: '{{ random }}', expected: four}";
    let report = engine(&format!("{GOOD}, {other}"), FAILING, "loop").await;
    let rows = ["template \"other\"", "order does not matter"];
    assert_eq!(failed(&report), rows, "{}", report.table());
    let traps = "{name: traps, source: trap, expected: four}";
    let report = engine(&format!("{GOOD}, {traps}"), FAILING, "loop").await;
    let rows = ["template \"traps\"", "order does not matter"];
    assert_eq!(failed(&report), rows, "{}", report.table());
    assert!(why(&report, rows[0]).starts_with("trapped"));
}

#[tokio::test]
async fn notices_an_engine_that_ignores_a_templates_own_options() {
    let marked =
        "{name: marked, source: '{{ .a }}', data: {a: text}, options: {mark: s}, expected: texts}";
    let report = engine(&format!("{GOOD}, {marked}"), FAILING, "loop").await;
    let rows = ["template \"marked\""];
    assert_eq!(failed(&report), rows, "{}", report.table());
    let why = why(&report, rows[0]);
    assert!(why.starts_with("as the template's own options"), "{why}");
}

#[tokio::test]
async fn notices_a_failing_template_that_renders_and_an_endless_one_that_ends() {
    let report = engine(GOOD, "source: fine", "fine").await;
    let rows = ["a failure names the template", "an endless template ends"];
    assert_eq!(failed(&report), rows, "{}", report.table());
}
