//! What every test stands on: the control plane with our CRDs, the controller, and short ways to say what is meant.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, Secret};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use postern_api::{ClusterSecretStore, Condition, ExternalSecret, SecretStore};
use postern_cluster_tests::{apply_crds, eventually as eventually_or, guest};
use postern_controller::{Options, Readiness};
use postern_core::egress::AddressRules;
use postern_core::plugin::PluginHost;
use postern_runtime::Runtime;
use postern_test_kit::kvserver::CountingVault;
use postern_test_kit::{ControlPlane, Namespace};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// The plugins of this repository that tests use.
const PLUGINS: [&str; 8] = [
    "aws",
    "azurekv",
    "fake",
    "gcpsm",
    "kubernetes",
    "vault",
    "webhook",
    "go-template",
];

/// All log lines of this process.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is started once.
pub struct Stage {
    pub plane: &'static ControlPlane,
    pub host: Arc<dyn PluginHost>,
    log: Log,
    runtime: tokio::runtime::Runtime,
}

impl Stage {
    /// Starts everything at the first call.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Stage> = OnceLock::new();
        static CONTROLLER: OnceLock<()> = OnceLock::new();
        let stage = SHARED.get_or_init(|| std::thread::spawn(Self::start).join().unwrap());
        CONTROLLER.get_or_init(|| {
            let readiness = stage.control(Options {
                controller_class: "default".into(),
                ..options()
            });
            std::thread::spawn(|| {
                stage
                    .runtime
                    .block_on(async move { readiness.wait().await })
            })
            .join()
            .unwrap();
        });
        stage
    }

    fn start() -> Self {
        let log = Log::default();
        let writer = log.clone();
        let filter = tracing_subscriber::EnvFilter::new(
            "info,postern_controller=trace,postern_sync=trace,postern_runtime=debug",
        );
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_env_filter(filter)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
        let plane = ControlPlane::shared();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let host = runtime.block_on(async {
            apply_crds(&plane.client().unwrap()).await;
            load_plugins().await
        });
        Self {
            plane,
            host,
            log,
            runtime,
        }
    }

    /// Starts one more controller, which runs until the process ends.
    pub fn control(&'static self, options: Options) -> Readiness {
        let readiness = options.readiness.clone();
        self.control_until(options, std::future::pending());
        readiness
    }

    /// Starts one more controller, with what this client may do.
    pub fn control_as(&'static self, client: Client, options: Options) {
        let host = Arc::clone(&self.host);
        self.runtime.spawn(async move {
            let forever = std::future::pending();
            postern_controller::run(client, host, options, forever).await
        });
    }

    /// Starts one more controller, which runs until it is told to stop.
    pub fn control_until(
        &'static self,
        options: Options,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<Result<(), postern_controller::Error>> {
        let host = Arc::clone(&self.host);
        self.runtime.spawn(async move {
            let client = self.plane.client().unwrap();
            postern_controller::run(client, host, options, shutdown).await
        })
    }

    /// All that was logged until now.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.log.0.lock().unwrap()).into_owned()
    }
}

/// Options of a controller that serves one test's place only.
pub fn options_for(place: &Place) -> Options {
    Options {
        namespace: Some(place.name().to_owned()),
        controller_class: place.name().to_owned(),
        ..options()
    }
}

/// Options with the loopback interface open, where the test servers are, and stores that are checked often.
pub fn options() -> Options {
    let mut options = Options::default();
    options.doors.rules = AddressRules {
        loopback: true,
        ..AddressRules::default()
    };
    options.doors.store_interval = Duration::from_secs(5);
    options.doors.call_deadline = Duration::from_secs(5);
    options
}

async fn load_plugins() -> Arc<dyn PluginHost> {
    let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    std::fs::create_dir_all(&cache).unwrap();
    let builder = Runtime::builder()
        .cache_dir(cache)
        .compile_with(postern_runtime::aot::CompileWith::InProcess);
    let runtime = builder.build().unwrap();
    for name in PLUGINS {
        let bytes = std::fs::read(guest(name)).unwrap();
        runtime
            .load_bytes(&bytes, true)
            .await
            .unwrap_or_else(|failure| panic!("{name}: {failure:?}"));
    }
    Arc::new(runtime)
}

/// Asks again and again until there is an answer.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, ask: impl FnMut() -> F) -> T {
    eventually_or(&|| what.to_owned(), ask).await
}

/// One test's place: a namespace, and a vault if it asks for one.
pub struct Place {
    pub stage: &'static Stage,
    pub client: Client,
    pub namespace: Namespace,
}

impl Place {
    pub async fn new(prefix: &str) -> Self {
        // Starting blocks for seconds, and other tests of this runtime must not notice.
        let stage = tokio::task::spawn_blocking(Stage::shared).await.unwrap();
        let client = stage.plane.client().unwrap();
        let namespace = Namespace::create(&client, prefix).await.unwrap();
        Self {
            stage,
            client,
            namespace,
        }
    }

    pub fn name(&self) -> &str {
        self.namespace.name()
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        self.namespace.api(&self.client)
    }

    /// Creates a Secret with these texts.
    pub async fn secret(&self, name: &str, data: &[(&str, &str)]) {
        let data: BTreeMap<&str, &str> = data.iter().copied().collect();
        let secret =
            serde_json::from_value(json!({"metadata": {"name": name}, "stringData": data}))
                .unwrap();
        self.api::<Secret>()
            .create(&PostParams::default(), &secret)
            .await
            .unwrap();
    }

    /// Creates a store with this `spec.provider`.
    pub async fn store(&self, name: &str, provider: Value) {
        self.store_of_class(name, provider, "").await;
    }

    /// Creates a store that only a controller of this class serves.
    pub async fn store_of_class(&self, name: &str, provider: Value, class: &str) {
        let store = json!({"apiVersion": "external-secrets.io/v1", "kind": "SecretStore", "metadata": {"name": name},
            "spec": {"provider": provider, "controller": class}});
        let store: SecretStore = serde_json::from_value(store).unwrap();
        self.api::<SecretStore>()
            .create(&PostParams::default(), &store)
            .await
            .unwrap();
    }

    /// Creates a ClusterSecretStore with a name of this test's own.
    pub async fn cluster_store(&self, provider: Value) -> String {
        let store = json!({"apiVersion": "external-secrets.io/v1", "kind": "ClusterSecretStore", "metadata": {"name": self.name()},
            "spec": {"provider": provider}});
        let store: ClusterSecretStore = serde_json::from_value(store).unwrap();
        Api::<ClusterSecretStore>::all(self.client.clone())
            .create(&PostParams::default(), &store)
            .await
            .unwrap();
        self.name().to_owned()
    }

    /// Creates an ExternalSecret.
    pub async fn external_secret(&self, name: &str, spec: Value) {
        let object = json!({"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "metadata": {"name": name}, "spec": spec});
        let object: ExternalSecret = serde_json::from_value(object).unwrap();
        self.api::<ExternalSecret>()
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
    }

    /// Any change of an ExternalSecret, as `kubectl annotate` makes it.
    pub async fn touch(&self, name: &str) {
        let stamp = jiff::Timestamp::now().to_string();
        let patch = json!({"metadata": {"annotations": {"external-secrets.io/force-sync": stamp}}});
        self.api::<ExternalSecret>()
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
    }

    /// Waits until an ExternalSecret is ready.
    pub async fn synced(&self, name: &str) -> ExternalSecret {
        eventually(&format!("{name} is synced"), || async {
            let object = self.api::<ExternalSecret>().get(name).await.unwrap();
            condition(&object)
                .filter(|c| c.status == "True")
                .map(|_| object.clone())
        })
        .await
    }

    /// Waits until an ExternalSecret has failed with a text in its message, which is returned.
    pub async fn failed(&self, name: &str, text: &str) -> String {
        let last = Mutex::new(String::new());
        let ask = || async {
            let object = self.api::<ExternalSecret>().get(name).await.unwrap();
            let condition = condition(&object)?;
            let message = condition.message.clone().unwrap_or_default();
            last.lock().unwrap().clone_from(&message);
            (condition.status == "False" && message.contains(text)).then_some(message)
        };
        let shown = || {
            format!(
                "{name} failed with \"{text}\"; its message is \"{}\"",
                last.lock().unwrap()
            )
        };
        eventually_or(&shown, ask).await
    }

    /// Waits until a SecretStore's condition has this status and this text in its message.
    pub async fn store_is(&self, name: &str, status: &str, text: &str) -> Condition {
        eventually(
            &format!("store {name} is {status} with \"{text}\""),
            || async {
                let store = self.api::<SecretStore>().get(name).await.unwrap();
                let condition = store
                    .status?
                    .conditions?
                    .into_iter()
                    .find(|c| c.type_ == "Ready")?;
                (condition.status == status
                    && condition
                        .message
                        .as_deref()
                        .is_some_and(|m| m.contains(text)))
                .then_some(condition)
            },
        )
        .await
    }

    /// Waits until a Secret has a key with this value.
    pub async fn value(&self, secret: &str, key: &str, value: &str) -> Secret {
        eventually(&format!("{secret} has the expected {key}"), || async {
            let secret = self.api::<Secret>().get_opt(secret).await.unwrap()?;
            (text(&secret, key).as_deref() == Some(value)).then_some(secret)
        })
        .await
    }

    /// Events about an object, once there are any.
    pub async fn events(&self, object: &str) -> Vec<Event> {
        eventually(&format!("there is an event about {object}"), || async {
            let params = ListParams::default().fields(&format!("involvedObject.name={object}"));
            let events = self.api::<Event>().list(&params).await.unwrap().items;
            (!events.is_empty()).then_some(events)
        })
        .await
    }

    /// A vault with an AppRole `app`/`sid` that may do everything, and the Secret that the store of [`vault_store`] refers to.
    pub async fn vault(&self) -> CountingVault {
        let vault = CountingVault::start().unwrap();
        vault.policy("all", &["*"]);
        vault.approle("app", "sid", &["all"]);
        self.secret("approle", &[("id", "sid")]).await;
        vault
    }
}

/// A store of this vault, with the AppRole.
pub fn vault_store(vault: &CountingVault) -> Value {
    use postern_test_kit::kvserver::Vaultlike as _;
    json!({"vault": {"server": vault.url(), "path": "secret", "version": "v2",
        "auth": {"appRole": {"path": "approle", "roleId": "app", "secretRef": {"name": "approle", "key": "id"}}}}})
}

/// A store that holds its values itself.
pub fn fake_store(values: &[(&str, &str)]) -> Value {
    let data: Vec<Value> = values
        .iter()
        .map(|(key, value)| json!({"key": key, "value": value}))
        .collect();
    json!({"fake": {"data": data}})
}

/// A spec that reads keys of a store into keys of the Secret; `key/property` takes a property.
pub fn reads(store: &str, entries: &[(&str, &str)]) -> Value {
    let data: Vec<Value> = entries
        .iter()
        .map(|(secret_key, from)| match from.split_once('#') {
            Some((key, property)) => {
                json!({"secretKey": secret_key, "remoteRef": {"key": key, "property": property}})
            }
            None => json!({"secretKey": secret_key, "remoteRef": {"key": from}}),
        })
        .collect();
    json!({"refreshInterval": "1h", "secretStoreRef": {"name": store, "kind": "SecretStore"}, "data": data})
}

pub fn condition(object: &ExternalSecret) -> Option<&Condition> {
    object
        .status
        .as_ref()?
        .conditions
        .as_ref()?
        .iter()
        .find(|c| c.type_ == "Ready")
}

pub fn text(secret: &Secret, key: &str) -> Option<String> {
    secret
        .data
        .as_ref()?
        .get(key)
        .map(|value| String::from_utf8_lossy(&value.0).into_owned())
}
