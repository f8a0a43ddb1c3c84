//! What the real process shows at `/metrics`, through the life of an ExternalSecret.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use kube::api::{DeleteParams, Patch, PatchParams};
use postern_api::ExternalSecret;
use postern_cluster_tests::guest;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::{Place, eventually, reads, vault_store};

const PATH: &str = "very-remote-key";
const VALUE: &str = "very-secret-value";

/// `postern run` with the vault plugin; it ends with this value.
struct Process {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Process {
    fn start(place: &Place) -> Self {
        let test = std::env::current_exe().unwrap();
        let postern = test.parent().unwrap().parent().unwrap().join("postern");
        assert!(postern.is_file(), "run `cargo build --workspace`");
        let folder = tempfile::tempdir().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let child = Command::new(postern)
            .args(["run", "--enable-extended-metric-labels"])
            .args(["--metrics-bind-address", &address])
            .args(["--controller-class", place.name()])
            .args(["--namespace", place.name()])
            .args(["--allow-egress", "127.0.0.0/8"])
            .arg("--plugins-dir")
            .arg(folder.path())
            .arg("--plugin")
            .arg(guest("vault"))
            .arg("--cache-dir")
            .arg(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compiled"))
            .env("KUBECONFIG", place.stage.plane.kubeconfig_path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child,
            address,
            _folder: folder,
        }
    }

    /// The head and the body of what a scrape gets, once the port is open.
    async fn page(&self) -> (String, String) {
        eventually("the port of metrics is open", || async {
            let mut stream = tokio::net::TcpStream::connect(&self.address).await.ok()?;
            let request = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
            stream.write_all(request.as_bytes()).await.ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.ok()?;
            let (head, body) = answer.split_once("\r\n\r\n")?;
            Some((head.to_owned(), body.to_owned()))
        })
        .await
    }

    /// A scrape that has this in it: a metric, words of its labels, and a value that is right.
    async fn shows(&self, metric: &str, labels: &[&str], right: impl Fn(f64) -> bool) {
        eventually(&format!("{metric} {labels:?} is shown"), || async {
            let found = series(&self.page().await.1).into_iter().find(|(of, _)| {
                of.split('{').next() == Some(metric) && labels.iter().all(|l| of.contains(l))
            });
            found.filter(|(_, value)| right(*value)).map(drop)
        })
        .await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It fails only where the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The series of a page, which is held against the text form of Prometheus on the way.
fn series(page: &str) -> BTreeMap<String, f64> {
    let (mut all, mut families, mut family) = (BTreeMap::new(), BTreeSet::new(), "");
    for line in page.lines() {
        if let Some(of) = line.strip_prefix("# TYPE ") {
            let (name, kind) = of.split_once(' ').unwrap();
            assert!(["counter", "gauge"].contains(&kind), "{line}");
            assert!(families.insert(name), "a family in two pieces: {line}");
            family = name;
        } else if !line.starts_with("# HELP ") {
            let (of, value) = line.rsplit_once(' ').unwrap();
            assert_eq!(of.split('{').next(), Some(family), "{line}");
            if let Some((_, labels)) = of.split_once('{') {
                let labels = labels.strip_suffix("\"}").unwrap();
                for label in labels.split("\",") {
                    let (name, _) = label.split_once("=\"").unwrap();
                    assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
                }
            }
            let twice = all.insert(of.to_owned(), value.parse().unwrap());
            assert!(twice.is_none(), "a series twice: {line}");
        }
    }
    assert!(page.ends_with('\n'));
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scrape_tells_of_sync_failure_and_deletion() {
    let place = Place::new("metrics").await;
    let vault = place.vault().await;
    vault.put("secret", PATH, json!({"password": VALUE}));
    let provider = vault_store(&vault);
    place.store_of_class("corp", provider, place.name()).await;
    let spec = reads("corp", &[("password", &format!("{PATH}#password"))]);
    place.external_secret("app", spec).await;
    let labels = json!({"metadata": {"labels": {"app.kubernetes.io/part-of": "shop"}}});
    let api = place.api::<ExternalSecret>();
    api.patch("app", &PatchParams::default(), &Patch::Merge(labels))
        .await
        .unwrap();
    let process = Process::start(&place);
    place.synced("app").await;

    let namespace = format!("namespace=\"{}\"", place.name());
    let app = ["name=\"app\"", &namespace, "part_of=\"shop\""];
    let condition = "externalsecret_status_condition";
    let (ready, not_ready) = (
        [app.as_slice(), &["condition=\"Ready\",status=\"True\""]].concat(),
        [app.as_slice(), &["condition=\"Ready\",status=\"False\""]].concat(),
    );
    process.shows(condition, &ready, |v| v == 1.0).await;
    process.shows(condition, &not_ready, |v| v == 0.0).await;
    let positive = |v: f64| v > 0.0;
    process
        .shows("externalsecret_sync_calls_total", &app, positive)
        .await;
    process
        .shows("externalsecret_sync_calls_error", &app, |v| v == 0.0)
        .await;
    process
        .shows("externalsecret_reconcile_duration", &app, positive)
        .await;
    let recent = |v: f64| (jiff::Timestamp::now().as_second() as f64 - v).abs() < 120.0;
    let last = "postern_externalsecret_last_success_timestamp_seconds";
    process.shows(last, &app[..2], recent).await;
    let store = ["name=\"corp\"", &namespace];
    process
        .shows("secretstore_reconcile_duration", &store, positive)
        .await;
    process
        .shows("secretstore_status_condition", &store, |v| v == 0.0)
        .await;
    for call in ["Login", "LookupSelf", "ReadSecretData"] {
        let call = format!("provider=\"HashiCorp/Vault\",call=\"{call}\",status=\"success\"");
        let calls = "externalsecret_provider_api_calls_count";
        process.shows(calls, &[&call], positive).await;
    }
    let fetches = |result| ["kind=\"SecretStore\"", "name=\"corp\"", result];
    process
        .shows("postern_fetches_total", &fetches("found"), positive)
        .await;
    for metric in [
        "postern_plugin_calls_total",
        "postern_plugin_seconds_total",
        "postern_plugin_memory_peak_bytes",
    ] {
        process.shows(metric, &["plugin=\"vault\""], positive).await;
    }
    for metric in ["postern_reads_total", "postern_logins_total"] {
        process.shows(metric, &[], positive).await;
    }
    let any = |v: f64| v >= 0.0;
    for metric in [
        "postern_queue_age_seconds",
        "postern_queue_length",
        "postern_coalesced_total",
    ] {
        process.shows(metric, &[], any).await;
    }

    vault.put("secret", PATH, json!({"other": VALUE}));
    place.touch("app").await;
    place.failed("app", "").await;
    process.shows(condition, &ready, |v| v == 0.0).await;
    process.shows(condition, &not_ready, |v| v == 1.0).await;
    process
        .shows("externalsecret_sync_calls_error", &app, positive)
        .await;
    process.shows(last, &app[..2], recent).await;

    api.delete("app", &DeleteParams::default()).await.unwrap();
    let deleted = [app.as_slice(), &["condition=\"Deleted\",status=\"False\""]].concat();
    process.shows(condition, &deleted, |v| v == 1.0).await;
    let (head, page) = process.page().await;
    assert!(
        head.to_lowercase()
            .contains("content-type: text/plain; version=0.0.4"),
        "{head}"
    );
    let left = series(&page);
    let left: Vec<_> = left.keys().filter(|s| s.contains("name=\"app\"")).collect();
    assert_eq!(left.len(), 1, "{left:?}");
    for secret in [PATH, VALUE] {
        assert!(!page.contains(secret), "{page}");
    }
}
