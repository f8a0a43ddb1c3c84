//! (1) What a plugin call adds: one read of the `fake` provider through a fresh instance, beside the same read natively.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use postern_core::egress::EgressPolicy;
use postern_core::plugin::{Answer, Call, Digest, IdentityId, Pick, PluginHost as _, Request};
use postern_runtime::Runtime;
use postern_runtime::aot::CompileWith;

const CONFIG: &str = r#"{"data":[{"key":"db","value":"{\"user\":\"app\",\"password\":\"not a secret\",\"port\":5432}"}]}"#;

/// Times `calls` calls each way and prints median and 99th percentile in microseconds.
pub async fn run(guests: &Path, calls: usize) -> anyhow::Result<()> {
    let component = guests.join("fake.wasm");
    let bytes = std::fs::read(&component).with_context(|| {
        format!(
            "{} is missing; run `cargo xtask guests`",
            component.display()
        )
    })?;
    let runtime = Runtime::builder()
        .compile_with(CompileWith::InProcess)
        .build()
        .map_err(|f| anyhow!(f))?;
    let revision = runtime
        .load_bytes(&bytes, true)
        .await
        .map_err(|f| anyhow!(f))?;
    let call = call_of(revision.digest.clone());
    let requests = [request()];
    let mut through = Vec::with_capacity(calls);
    for turn in 0..calls + calls / 10 {
        let took = timed_read(&runtime, &call, &requests).await?;
        // The first tenth warms caches and pools up.
        if turn >= calls / 10 {
            through.push(took);
        }
    }
    let mut native = native(calls)?;
    print("a provider call through a fresh instance", &mut through);
    print("the same code natively", &mut native);
    println!(
        "added by the plugin call, median: {:.1} us",
        micros(median(&through)) - micros(median(&native))
    );
    Ok(())
}

async fn timed_read(
    runtime: &Runtime,
    call: &Call,
    requests: &[Request],
) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let outcomes = runtime.read(call, requests).await.map_err(|f| anyhow!(f))?;
    let took = start.elapsed();
    anyhow::ensure!(
        matches!(outcomes.first().map(|o| &o.answer), Some(Answer::Parts(_))),
        "the plugin did not answer"
    );
    Ok(took)
}

/// The same read in a native build of the plugin, which lives in a workspace of its own: its features are not ours.
fn native(calls: usize) -> anyhow::Result<Vec<Duration>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new("cargo")
        .args([
            "run",
            "--quiet",
            "--release",
            "--example",
            "native",
            "-p",
            "postern-plugin-fake",
            "--manifest-path",
        ])
        .arg(root.join("plugins/Cargo.toml"))
        .args(["--", CONFIG, "db", "password", &calls.to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    anyhow::ensure!(output.status.success(), "the native half failed");
    String::from_utf8(output.stdout)?
        .lines()
        .map(|line| Ok(Duration::from_nanos(line.parse()?)))
        .collect()
}

fn call_of(plugin: Digest) -> Call {
    Call {
        plugin,
        identity: IdentityId("bench".to_owned()),
        config: CONFIG.into(),
        credentials: Vec::new(),
        session: None,
        namespace: None,
        egress: Arc::new(EgressPolicy::default()),
        directories: Arc::default(),
        deadline: Duration::from_secs(30),
        options: vec![("provider-key".to_owned(), "fake".to_owned())],
    }
}

fn request() -> Request {
    Request {
        key: "db".to_owned(),
        version: None,
        metadata: false,
        picks: vec![Pick {
            property: Some("password".to_owned()),
            members: false,
        }],
        known: None,
    }
}

fn print(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let late = percentile_99(times);
    println!(
        "{what}: median {:.1} us, 99th percentile {:.1} us, {} calls",
        micros(median(times)),
        micros(late),
        times.len()
    );
}

/// Of times in order.
pub fn percentile_99(sorted: &[Duration]) -> Duration {
    let at = sorted.len() * 99 / 100;
    sorted.get(at).copied().unwrap_or_default()
}

/// Of times in order.
pub fn median(sorted: &[Duration]) -> Duration {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
