//! The real process is killed between any two steps of a swap, and started again: the last good version serves at once,
//! whatever has become of the newer one and of the registry.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::ListParams;
use postern_api::ExternalSecret;
use postern_cluster_tests::eventually;
use postern_test_kit::ControlPlane;
use postern_test_kit::kvserver::Transport;
use postern_test_kit::registry::{Front, digest};
use serde_json::json;

use crate::desk::{Desk, PROVIDER, component, from};

/// `postern run` against the control plane; it is killed with this value.
struct Process(Child);

impl Process {
    fn start(desk: &Desk, folder: &Path) -> Self {
        let test = std::env::current_exe().unwrap();
        let postern = test.parent().unwrap().parent().unwrap().join("postern");
        assert!(
            postern.is_file(),
            "{} is missing: run `cargo build --workspace`",
            postern.display()
        );
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(folder.join("log"))
            .unwrap();
        // No bundled plugins are needed, and none that lie beside the binary by chance.
        fs::create_dir_all(folder.join("plugins")).unwrap();
        let child = Command::new(postern)
            .args(["run", "--metrics-bind-address", "0", "--plugin-trial", "2s"])
            .args([
                "--allow-egress",
                "127.0.0.0/8",
                "--controller-class",
                desk.namespace.name(),
            ])
            .arg("--plugins-dir")
            .arg(folder.join("plugins"))
            .arg("--plugin-files")
            .arg(folder.join("plugins"))
            .arg("--cache-dir")
            .arg(desk.cache.path())
            .env("KUBECONFIG", ControlPlane::shared().kubeconfig_path())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self(child)
    }

    /// Whether a child of the process compiles now.
    fn compiles(&self) -> bool {
        let parent = format!("PPid:\t{}\n", self.0.id());
        let processes = fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter_map(|entry| {
                let status = fs::read_to_string(entry.path().join("status")).ok()?;
                let command = fs::read_to_string(entry.path().join("cmdline")).ok()?;
                Some(status.contains(&parent) && command.contains("compile-plugin"))
            })
            .any(|found| found)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL; it fails only where the process has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the test holds in its hands.
struct Scene {
    desk: Desk,
    folder: tempfile::TempDir,
    /// Before the registry.
    registry: Front,
    /// What the plugin calls when it is probed.
    backend: Front,
    process: Option<Process>,
}

impl Scene {
    async fn new() -> Self {
        let desk = Desk::without_controller("kill9").await;
        let registry = desk.registry.front(Transport::Http).unwrap();
        let backend = desk.registry.front(Transport::Http).unwrap();
        desk.publish("live", "1", "call-in-probe");
        desk.grant("acme", json!({"plugin": "acme", "hosts": ["127.0.0.1"]}))
            .await;
        desk.plugin_of(
            "acme",
            json!({"serves": ["versioned"], "source": from(&registry.address)}),
        )
        .await;
        let mut scene = Self {
            desk,
            folder: tempfile::tempdir().unwrap(),
            registry,
            backend,
            process: None,
        };
        scene.start();
        scene.desk.serves("acme", "1").await;
        let url = format!("http://{}", scene.backend.address);
        let desk = &scene.desk;
        desk.store(
            "s",
            json!({"versioned": {"url": url, "probe": format!("{url}/v2/")}}),
        )
        .await;
        let spec = json!({"refreshInterval": "1s", "secretStoreRef": {"name": "s"}, "target": {"deletionPolicy": "Delete"},
            "data": [{"secretKey": "by", "remoteRef": {"key": "version"}}]});
        desk.external_secret("es", spec).await;
        desk.synced("es", "True", "").await;
        scene
    }

    fn start(&mut self) {
        self.process = Some(Process::start(&self.desk, self.folder.path()));
    }

    /// `kill -9`, a start while the registry gives no answer, and the last good version serves. Then the registry is back.
    async fn killed(&mut self, when: &str, last_good: &str) {
        self.process = None;
        self.backend.release();
        self.registry.hold("/v2/");
        let before = self.refreshed().await;
        self.start();
        let log = self.folder.path().join("log");
        let shown = || {
            let log = fs::read_to_string(&log).unwrap_or_default();
            format!("after a kill {when} {last_good} serves; the log is\n{log}")
        };
        eventually(&shown, || async {
            let now = self.refreshed().await;
            let by = self.desk.secrets().await["es"]["by"].clone();
            (now != before && by == last_good).then_some(())
        })
        .await;
        self.registry.release();
    }

    async fn refreshed(&self) -> String {
        let api: Api<ExternalSecret> = self.desk.api();
        let status = api.get("es").await.unwrap().status.unwrap();
        let ready = status
            .conditions
            .iter()
            .flatten()
            .find(|c| c.type_ == "Ready");
        assert_eq!(ready.unwrap().status, "True", "{ready:?}");
        status.refresh_time.unwrap()
    }

    async fn waited_for(&self, front: &Front, what: &str) {
        let shown = || format!("{what} is waited for");
        eventually(&shown, || async { front.is_waited_for().then_some(()) }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_between_any_two_steps_the_last_good_version_serves() {
    let mut scene = Scene::new().await;
    let secret: Api<k8s_openapi::api::core::v1::Secret> = scene.desk.api();
    let uid = secret.get("es").await.unwrap().metadata.uid;

    scene.registry.hold("HEAD ");
    scene.desk.publish("live", "2", "call-in-probe");
    scene.waited_for(&scene.registry, "the digest").await;
    scene.killed("before it is resolved", "1").await;

    let third = component(PROVIDER, "3", "call-in-probe");
    scene.registry.hold(&format!("blobs/{}", digest(&third)));
    scene.desk.put("live", &third);
    scene.waited_for(&scene.registry, "the component").await;
    scene.killed("while it is fetched", "1").await;

    scene.desk.publish("live", "4", "call-in-probe");
    let process = scene.process.as_ref().unwrap();
    eventually(&|| "a child compiles".to_owned(), || async {
        process.compiles().then_some(())
    })
    .await;
    scene.killed("while it is compiled", "1").await;

    scene.desk.publish("live", "5", "ask-more");
    scene
        .desk
        .plugin_is("acme", "Granted", "False", "AwaitingGrant")
        .await;
    scene
        .killed("after it was compiled, before it is granted", "1")
        .await;

    scene.backend.hold("/v2/");
    scene.desk.publish("live", "6", "call-in-probe");
    scene.waited_for(&scene.backend, "the probe").await;
    scene
        .killed("after it was granted, while it is probed", "1")
        .await;

    scene.desk.publish("live", "7", "call-in-probe");
    scene.desk.serves("acme", "7").await;
    scene
        .desk
        .plugin_is("acme", "Active", "True", "OnTrial")
        .await;
    scene.killed("while it is on trial", "1").await;

    scene
        .desk
        .plugin_is("acme", "Active", "True", "Serving")
        .await;
    scene.desk.serves("acme", "7").await;
    scene.killed("when it is the last good one", "7").await;

    assert_eq!(secret.get("es").await.unwrap().metadata.uid, uid);
    let events: Api<Event> = scene.desk.api();
    let warnings = events
        .list(&ListParams::default().fields("type=Warning"))
        .await
        .unwrap();
    let said: Vec<_> = warnings.items.iter().map(|e| &e.message).collect();
    assert!(said.is_empty(), "{said:?}");
}
