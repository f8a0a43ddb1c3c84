//! Plugins of this repository held against the contract, each with its fixture.

#![expect(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postern_conformance_plugin::{Report, Verdict};
use postern_core::failure::one_line;
use postern_core::plugin::{Datum, PluginHost as _, RenderJob, Template};
use postern_runtime::Runtime;
use postern_runtime::aot::CompileWith;
use serde::Deserialize;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn component(name: &str) -> Vec<u8> {
    let guests = std::env::var_os("POSTERN_GUESTS")
        .map_or_else(|| root().join("target/guests"), PathBuf::from);
    let path = guests.join(format!("{name}.wasm"));
    let Ok(bytes) = std::fs::read(&path) else {
        panic!("{} is missing; run `cargo xtask guests`", path.display())
    };
    bytes
}

async fn run(component: &str, fixture: &Path) -> Report {
    let bytes = self::component(component);
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
async fn aws_keeps_the_contract() {
    conforms("aws", &format!("{FIXTURES}/aws"), &[]).await;
}

#[tokio::test]
async fn azurekv_keeps_the_contract() {
    conforms("azurekv", &format!("{FIXTURES}/azurekv"), &["not UTF-8"]).await;
}

#[tokio::test]
async fn gcpsm_keeps_the_contract() {
    conforms("gcpsm", &format!("{FIXTURES}/gcpsm"), &[]).await;
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

/// A case of the template engine's own tests, which hold it against the peer natively.
#[derive(Deserialize)]
struct PeerCase {
    template: String,
    #[serde(default)]
    left: String,
    #[serde(default)]
    right: String,
    #[serde(default)]
    parse: String,
    #[serde(default)]
    data: Vec<String>,
    #[serde(default)]
    want: String,
    #[serde(default)]
    base64: String,
    error: Option<String>,
    /// Where this engine differs from the peer.
    here: Option<Outcome>,
}

#[derive(Deserialize)]
struct Outcome {
    #[serde(default)]
    want: String,
    error: Option<String>,
}

#[derive(Deserialize)]
struct PeerData {
    data: BTreeMap<String, String>,
    base64: BTreeMap<String, String>,
}

impl PeerCase {
    fn job(&self, values: &BTreeMap<String, Vec<u8>>) -> RenderJob {
        let options = [
            ("left", &self.left),
            ("right", &self.right),
            ("parse", &self.parse),
        ];
        let options = options.into_iter().filter(|(_, value)| !value.is_empty());
        let datum = |name: &String| Datum {
            path: vec![name.clone()],
            value: values[name].clone().into(),
        };
        RenderJob {
            templates: vec![Template {
                name: "key".to_owned(),
                source: self.template.clone(),
                options: options.map(|(n, v)| (n.to_owned(), v.clone())).collect(),
            }],
            data: self.data.iter().map(datum).collect(),
        }
    }

    fn expected(&self) -> Result<Vec<u8>, String> {
        let (want, error) = match &self.here {
            Some(here) => (&here.want, &here.error),
            None => (&self.want, &self.error),
        };
        match error {
            // The host makes one line of a message and cuts it.
            Some(error) => Err(one_line(error, 100)),
            None if self.base64.is_empty() => Ok(want.clone().into_bytes()),
            None => Ok(STANDARD.decode(&self.base64).unwrap()),
        }
    }
}

/// The host takes values of the whole call out of a message, so what stands before the first counts; the cut may have gone
/// through the mark itself.
fn same(got: &Result<Vec<u8>, String>, want: &Result<Vec<u8>, String>) -> bool {
    match (got, want) {
        (Err(got), Err(want)) => match got.split_once("<redact") {
            Some((before, _)) => want.starts_with(before),
            None => got == want,
        },
        (got, want) => got == want,
    }
}

fn peer_cases(folder: &Path) -> (BTreeMap<String, Vec<u8>>, Vec<PeerCase>) {
    let mut values = BTreeMap::new();
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        if path.ends_with("data.yaml") {
            let data: PeerData = serde_saphyr::from_str(&text).unwrap();
            values.extend(data.data.into_iter().map(|(k, v)| (k, v.into_bytes())));
            let decoded = data.base64.into_iter();
            values.extend(decoded.map(|(k, v)| (k, STANDARD.decode(v).unwrap())));
        } else {
            let more: Vec<PeerCase> = serde_saphyr::from_str(&text).unwrap();
            cases.extend(more);
        }
    }
    (values, cases)
}

#[tokio::test]
async fn the_template_engine_makes_in_a_component_what_it_makes_natively() {
    let runtime = Runtime::builder()
        .cache_dir(env!("CARGO_TARGET_TMPDIR"))
        .compile_with(CompileWith::InProcess)
        .build()
        .unwrap();
    let engine = runtime.load_bytes(&component("go-template"), true).await;
    let engine = engine.unwrap();
    let folder = root().join("plugins/go-template/engine/testdata/peer");
    let (values, cases) = peer_cases(&folder);
    assert!(cases.len() > 700, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for chunk in cases.chunks(10) {
        let jobs: Vec<RenderJob> = chunk.iter().map(|case| case.job(&values)).collect();
        let rendered = runtime.render(&engine.digest, &jobs, &vec![]).await;
        for (case, mut rendered) in chunk.iter().zip(rendered.unwrap()) {
            let got = match rendered.remove(0) {
                Ok(value) => Ok(value.expose().to_vec()),
                Err(failure) => Err(one_line(&failure.public, 100)),
            };
            if !same(&got, &case.expected()) {
                wrong.push((&case.template, got, case.expected()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
