//! What every test of plugins stands on: the control plane, a registry with versions of one component, and a controller
//! that can be ended as if it was killed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, Secret};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use postern_api::{Condition, ExternalSecret, Plugin, PluginGrant, PluginStatus, SecretStore};
use postern_cluster_tests::{apply_crds, eventually, guest};
use postern_controller::{Options, Plugins, Report};
use postern_core::egress::AddressRules;
use postern_registry::Registry as Sources;
use postern_runtime::Runtime;
use postern_runtime::aot::CompileWith;
use postern_test_kit::registry::Registry;
use postern_test_kit::{ControlPlane, Namespace};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// The guest whose versions are published: a provider with the key `versioned`.
pub const PROVIDER: &str = "guest_versioned";
/// Its like, a template engine with the name `versioned`.
pub const ENGINE: &str = "guest_versioned_engine";
/// How the marker of the guests begins; see `tests/guests/versioned`.
const MARKER: &[u8] = b"postern-versioned:version=0;do=serve;";
const MARKER_BYTES: usize = 64;

/// The Plugins of a cluster are one list, so one test at a time has them.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Where components are published.
pub const REPOSITORY: &str = "acme/versioned";

/// A source that follows the tag `live` in a registry without TLS.
pub fn from(address: &str) -> Value {
    json!({"oci": {"reference": format!("{address}/{REPOSITORY}:live"), "plainHTTP": true, "interval": "1s"}})
}

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
        let mut desk = Self::without_controller(prefix).await;
        desk.start().await;
        desk
    }

    /// For a test that brings a controller of its own.
    pub async fn without_controller(prefix: &str) -> Self {
        let turn = TURN.lock().await;
        let (plane, registry) =
            tokio::task::spawn_blocking(|| (ControlPlane::shared(), Registry::start().unwrap()))
                .await
                .unwrap();
        let client = plane.client().unwrap();
        apply_crds(&client).await;
        let plugins: Api<Plugin> = Api::all(client.clone());
        plugins
            .delete_collection(&DeleteParams::default(), &ListParams::default())
            .await
            .unwrap();
        let grants: Api<PluginGrant> = Api::all(client.clone());
        grants
            .delete_collection(&DeleteParams::default(), &ListParams::default())
            .await
            .unwrap();
        let namespace = Namespace::create(&client, prefix).await.unwrap();
        Self {
            client,
            namespace,
            registry,
            failures: Arc::default(),
            syncs: Arc::default(),
            cache: tempfile::tempdir().unwrap(),
            controller: None,
            _turn: turn,
        }
    }

    /// Starts a controller with a runtime of its own, which knows nothing but what the cluster and the cache hold.
    pub async fn start(&mut self) {
        let runtime = Runtime::builder()
            .cache_dir(self.cache.path())
            .compile_with(CompileWith::InProcess)
            .build()
            .unwrap();
        // Without the template engine, which takes longer to compile than most of these tests run.
        let bytes = std::fs::read(guest("fake")).unwrap();
        runtime.load_bytes(&bytes, true).await.unwrap();
        let runtime = Arc::new(runtime);
        let (failures, syncs) = (self.failures.clone(), self.syncs.clone());
        let mut options = Options {
            controller_class: self.namespace.name().to_owned(),
            plugins: Some(Plugins {
                sources: Arc::new(Sources::new(Some(self.cache.path().to_owned()), None)),
                revisions: runtime.clone(),
                trial: Duration::from_secs(2),
            }),
            on_report: Some(Arc::new(move |report| {
                let Report::Synced { result, .. } = report else {
                    return;
                };
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
        self.put(tag, &component(PROVIDER, version, does));
    }

    /// Puts a component under a tag; answers the manifest's digest.
    pub fn put(&self, tag: &str, component: &[u8]) -> String {
        self.registry.put(REPOSITORY, tag, component).unwrap()
    }

    /// A Plugin that follows the tag `live`.
    pub async fn plugin(&self, name: &str, serves: &str) {
        let source = from(&self.registry.address);
        self.plugin_of(
            name,
            json!({"serves": [serves], "limits": {"cpu": "200ms"}, "source": source}),
        )
        .await;
    }

    pub async fn plugin_of(&self, name: &str, spec: Value) {
        let plugin = json!({"apiVersion": "postern.dev/v1alpha1", "kind": "Plugin", "metadata": {"name": name}, "spec": spec});
        self.create::<Plugin>(&Api::all(self.client.clone()), plugin)
            .await;
    }

    pub async fn patch_plugin(&self, name: &str, patch: Value) {
        let api: Api<Plugin> = Api::all(self.client.clone());
        api.patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
    }

    /// Waits for an event about a Plugin with this reason and text.
    pub async fn plugin_event(&self, plugin: &str, reason: &str, text: &str) -> String {
        let object: Api<Plugin> = Api::all(self.client.clone());
        // Other tests have Plugins of this name.
        let uid = object.get(plugin).await.unwrap().metadata.uid;
        let api: Api<Event> = Api::namespaced(self.client.clone(), "default");
        let shown = || format!("an event of {plugin} says {reason}: {text}");
        eventually(&shown, || async {
            let params = ListParams::default().fields(&format!("reason={reason}"));
            let events = api.list(&params).await.unwrap().items;
            let mine = events.into_iter().filter(|e| e.involved_object.uid == uid);
            mine.filter_map(|e| e.message).find(|m| m.contains(text))
        })
        .await
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

    /// Waits until so many revisions were switched back; answers what is said of the last.
    pub async fn refuses(&self, plugin: &str, n: usize) -> String {
        let shown = || format!("{plugin} has refused {n} revisions");
        eventually(&shown, || async {
            let refused = self.status(plugin).await.refused;
            (refused.len() == n).then(|| refused[0].message.clone())
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
            .list(&ListParams::default())
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

/// The guest with another marker: another version, another digest.
pub fn component(name: &str, version: &str, does: &str) -> Vec<u8> {
    let mut bytes = std::fs::read(guest(name)).unwrap();
    let at = bytes
        .windows(MARKER.len())
        .position(|window| window == MARKER)
        .unwrap();
    let mut marker = format!("postern-versioned:version={version};do={does};").into_bytes();
    marker.resize(MARKER_BYTES, b'.');
    bytes[at..at + MARKER_BYTES].copy_from_slice(&marker);
    bytes
}
