//! What every test of plugins stands on: the control plane, a registry with versions of one component, and a controller
//! that can be ended as if it was killed.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use postern_api::{Condition, ExternalSecret, Plugin, PluginGrant, PluginStatus, SecretStore};
use postern_controller::{Options, Plugins};
use postern_core::egress::AddressRules;
use postern_registry::Registry as Sources;
use postern_runtime::Runtime;
use postern_runtime::aot::CompileWith;
use postern_test_kit::registry::Registry;
use postern_test_kit::{ControlPlane, Namespace};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(60);
/// How the marker of the guest begins; see `tests/guests/versioned`.
const MARKER: &[u8] = b"postern-versioned:version=0;do=serve;";
const MARKER_BYTES: usize = 64;

/// The Plugins of a cluster are one list, so one test at a time has them.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// One test's desk.
pub struct Desk {
    pub client: Client,
    pub namespace: Namespace,
    pub registry: Registry,
    pub failures: Arc<Mutex<Vec<String>>>,
    pub syncs: Arc<AtomicU64>,
    /// The cache folder, which outlives a controller.
    pub cache: tempfile::TempDir,
    controller: Option<JoinHandle<()>>,
    _turn: tokio::sync::MutexGuard<'static, ()>,
}

impl Desk {
    pub async fn new(prefix: &str) -> Self {
        let turn = TURN.lock().await;
        let (plane, registry) =
            tokio::task::spawn_blocking(|| (ControlPlane::shared(), Registry::start().unwrap()))
                .await
                .unwrap();
        let client = plane.client().unwrap();
        apply_crds(&client).await;
        let plugins: Api<Plugin> = Api::all(client.clone());
        plugins
            .delete_collection(&DeleteParams::default(), &kube::api::ListParams::default())
            .await
            .unwrap();
        let grants: Api<PluginGrant> = Api::all(client.clone());
        grants
            .delete_collection(&DeleteParams::default(), &kube::api::ListParams::default())
            .await
            .unwrap();
        let namespace = Namespace::create(&client, prefix).await.unwrap();
        let mut desk = Self {
            client,
            namespace,
            registry,
            failures: Arc::default(),
            syncs: Arc::default(),
            cache: tempfile::tempdir().unwrap(),
            controller: None,
            _turn: turn,
        };
        desk.start().await;
        desk
    }

    /// Starts a controller with a runtime of its own, which knows nothing but what the cluster and the cache hold.
    pub async fn start(&mut self) {
        let runtime = Runtime::builder()
            .cache_dir(self.cache.path())
            .compile_with(CompileWith::InProcess)
            .build()
            .unwrap();
        for name in ["fake", "go-template"] {
            let bytes = std::fs::read(guest(name)).unwrap();
            runtime.load_bytes(&bytes, true).await.unwrap();
        }
        let runtime = Arc::new(runtime);
        let (failures, syncs) = (self.failures.clone(), self.syncs.clone());
        let mut options = Options {
            controller_class: self.namespace.name().to_owned(),
            plugins: Some(Plugins {
                sources: Arc::new(Sources::new(Some(self.cache.path().to_owned()), None)),
                revisions: runtime.clone(),
                trial: Duration::from_secs(2),
            }),
            on_sync: Some(Arc::new(move |result| {
                syncs.fetch_add(1, Ordering::Relaxed);
                if let Err(code) = result {
                    failures.lock().unwrap().push(code.to_string());
                }
            })),
            ..Options::default()
        };
        options.doors.rules = AddressRules {
            loopback: true,
            ..AddressRules::default()
        };
        options.doors.store_interval = Duration::from_secs(2);
        let readiness = options.readiness.clone();
        let client = self.client.clone();
        let controller = tokio::spawn(async move {
            postern_controller::run(client, runtime, options, std::future::pending())
                .await
                .unwrap();
        });
        readiness.wait().await;
        self.controller = Some(controller);
    }

    /// Ends the controller in the middle of whatever it does.
    pub async fn kill(&mut self) {
        if let Some(controller) = self.controller.take() {
            controller.abort();
            let _ = controller.await;
        }
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        self.namespace.api(&self.client)
    }

    /// Puts a version of the component under a tag.
    pub fn publish(&self, tag: &str, version: &str, does: &str) {
        self.registry
            .put("acme/versioned", tag, &component(version, does))
            .unwrap();
    }

    /// A Plugin that follows the tag `live`.
    pub async fn plugin(&self, name: &str, serves: &str) {
        let reference = format!("{}/acme/versioned:live", self.registry.address);
        self.create::<Plugin>(&Api::all(self.client.clone()), json!({
            "apiVersion": "postern.dev/v1alpha1", "kind": "Plugin", "metadata": {"name": name},
            "spec": {"serves": [serves], "limits": {"cpu": "200ms"},
                "source": {"oci": {"reference": reference, "plainHTTP": true, "interval": "1s"}}},
        }))
        .await;
    }

    pub async fn grant(&self, name: &str, spec: Value) {
        let grant = json!({"apiVersion": "postern.dev/v1alpha1", "kind": "PluginGrant", "metadata": {"name": name}, "spec": spec});
        self.create::<PluginGrant>(&Api::all(self.client.clone()), grant)
            .await;
    }

    pub async fn store(&self, name: &str, provider: Value) {
        let store = json!({"apiVersion": "external-secrets.io/v1", "kind": "SecretStore", "metadata": {"name": name},
            "spec": {"provider": provider, "controller": self.namespace.name()}});
        self.create::<SecretStore>(&self.api(), store).await;
    }

    pub async fn external_secret(&self, name: &str, spec: Value) {
        let object = json!({"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "metadata": {"name": name}, "spec": spec});
        self.create::<ExternalSecret>(&self.api(), object).await;
    }

    async fn create<K>(&self, api: &Api<K>, object: Value)
    where
        K: kube::Resource
            + Clone
            + std::fmt::Debug
            + serde::Serialize
            + serde::de::DeserializeOwned,
    {
        let object = serde_json::from_value(object).unwrap();
        api.create(&PostParams::default(), &object).await.unwrap();
    }

    pub async fn status(&self, plugin: &str) -> PluginStatus {
        let api: Api<Plugin> = Api::all(self.client.clone());
        api.get(plugin).await.unwrap().status.unwrap_or_default()
    }

    /// Waits until a condition of a Plugin has this status and reason; answers its message.
    pub async fn plugin_is(&self, plugin: &str, step: &str, status: &str, reason: &str) -> String {
        let last = Mutex::new(String::new());
        let shown = || {
            format!(
                "{plugin} is {step}={status} ({reason}); it is {}",
                last.lock().unwrap()
            )
        };
        eventually(&shown, || async {
            let now = self.status(plugin).await;
            *last.lock().unwrap() = format!("{now:#?}");
            let condition = find(&now, step)?;
            (condition.status == status && condition.reason.as_deref() == Some(reason))
                .then(|| condition.message.clone().unwrap_or_default())
        })
        .await
    }

    /// Waits until a version serves.
    pub async fn serves(&self, plugin: &str, version: &str) -> PluginStatus {
        let last = Mutex::new(String::new());
        let shown = || format!("{plugin} {version} serves; it is {}", last.lock().unwrap());
        eventually(&shown, || async {
            let status = self.status(plugin).await;
            *last.lock().unwrap() = format!("{status:#?}");
            let active = status.active.as_ref()?.version.clone()?;
            (active == version).then_some(status)
        })
        .await
    }

    /// Waits until an ExternalSecret's condition has this status, and a text in its message.
    pub async fn synced(&self, name: &str, status: &str, text: &str) -> String {
        let last = Mutex::new(String::new());
        let shown = || {
            format!(
                "{name} is {status} with \"{text}\"; it says \"{}\"",
                last.lock().unwrap()
            )
        };
        eventually(&shown, || async {
            let object = self.api::<ExternalSecret>().get(name).await.unwrap();
            let conditions = object.status?.conditions?;
            let ready = conditions.into_iter().find(|c| c.type_ == "Ready")?;
            let message = ready.message.unwrap_or_default();
            last.lock().unwrap().clone_from(&message);
            (ready.status == status && message.contains(text)).then_some(message)
        })
        .await
    }

    /// Every Secret of the namespace, by name and key.
    pub async fn secrets(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let all = self
            .api::<Secret>()
            .list(&kube::api::ListParams::default())
            .await
            .unwrap();
        let text = |value: k8s_openapi::ByteString| String::from_utf8_lossy(&value.0).into_owned();
        all.items
            .into_iter()
            .map(|secret| {
                let data = secret.data.unwrap_or_default();
                (
                    secret.metadata.name.unwrap(),
                    data.into_iter().map(|(k, v)| (k, text(v))).collect(),
                )
            })
            .collect()
    }

    /// Waits for so many further syncs.
    pub async fn further_syncs(&self, n: u64) {
        let target = self.syncs.load(Ordering::Relaxed) + n;
        eventually(&|| format!("{n} further syncs have run"), || async {
            (self.syncs.load(Ordering::Relaxed) >= target).then_some(())
        })
        .await;
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if let Some(controller) = self.controller.take() {
            controller.abort();
        }
    }
}

pub fn find<'a>(status: &'a PluginStatus, step: &str) -> Option<&'a Condition> {
    status.conditions.iter().flatten().find(|c| c.type_ == step)
}

fn guest(name: &str) -> PathBuf {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../target/guests/{name}.wasm"));
    assert!(
        file.is_file(),
        "{} is missing: run `cargo xtask guests`",
        file.display()
    );
    file
}

/// The guest with another marker: another version, another digest.
pub fn component(version: &str, does: &str) -> Vec<u8> {
    let mut bytes = std::fs::read(guest("guest_versioned")).unwrap();
    let at = bytes
        .windows(MARKER.len())
        .position(|window| window == MARKER)
        .unwrap();
    let mut marker = format!("postern-versioned:version={version};do={does};").into_bytes();
    marker.resize(MARKER_BYTES, b'.');
    bytes[at..at + MARKER_BYTES].copy_from_slice(&marker);
    bytes
}

async fn apply_crds(client: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in postern_api::crds() {
        let name = crd["metadata"]["name"].as_str().unwrap().to_owned();
        let params = PatchParams::apply("tests").force();
        api.patch(&name, &params, &Patch::Apply(&crd))
            .await
            .unwrap();
        eventually(&|| format!("CRD {name} is established"), || async {
            let crd = api.get(&name).await.unwrap();
            let conditions = crd.status.and_then(|s| s.conditions).unwrap_or_default();
            conditions
                .iter()
                .any(|c| c.type_ == "Established" && c.status == "True")
                .then_some(())
        })
        .await;
    }
}

/// Asks again and again until there is an answer.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &dyn Fn() -> String,
    mut ask: impl FnMut() -> F,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(
            started.elapsed() < PATIENCE,
            "after {PATIENCE:?} it is not so that {}",
            what()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
