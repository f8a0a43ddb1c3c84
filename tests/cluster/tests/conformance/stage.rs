//! The control plane, and the operator on it; or a cluster where some operator runs already.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use postern_controller::Options;
use postern_core::egress::AddressRules;
use postern_core::plugin::PluginHost;
use postern_runtime::Runtime;
use postern_runtime::aot::CompileWith;
use postern_test_kit::ControlPlane;

/// The components that cases may use.
const PLUGINS: [&str; 2] = ["fake", "go-template"];

/// A client of the cluster in which the cases are played.
pub async fn client() -> Client {
    if let Some(path) = std::env::var_os("POSTERN_CONFORMANCE_KUBECONFIG") {
        let kubeconfig = Kubeconfig::read_from(PathBuf::from(path)).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .unwrap();
        return Client::try_from(config).unwrap();
    }
    let plane = tokio::task::spawn_blocking(ControlPlane::shared)
        .await
        .unwrap();
    let client = plane.client().unwrap();
    apply_crds(&client).await;
    let mut options = Options::default();
    options.doors.rules = AddressRules {
        loopback: true,
        ..AddressRules::default()
    };
    options.doors.call_deadline = Duration::from_secs(5);
    let readiness = options.readiness.clone();
    let (host, of_operator) = (load_plugins().await, plane.client().unwrap());
    tokio::spawn(async move {
        postern_controller::run(of_operator, host, options, std::future::pending()).await
    });
    readiness.wait().await;
    client
}

async fn load_plugins() -> Arc<dyn PluginHost> {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guests");
    let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    std::fs::create_dir_all(&cache).unwrap();
    let runtime = Runtime::builder()
        .cache_dir(cache)
        .compile_with(CompileWith::InProcess)
        .build()
        .unwrap();
    for name in PLUGINS {
        let file = guests.join(format!("{name}.wasm"));
        let bytes = std::fs::read(&file)
            .unwrap_or_else(|e| panic!("{}: {e}: run `cargo xtask guests`", file.display()));
        let loaded = runtime.load_bytes(&bytes, true).await;
        loaded.unwrap_or_else(|failure| panic!("{name}: {failure:?}"));
    }
    Arc::new(runtime)
}

async fn apply_crds(client: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let force = PatchParams::apply("tests").force();
    for crd in postern_api::crds() {
        let name = crd["metadata"]["name"].as_str().unwrap();
        api.patch(name, &force, &Patch::Apply(&crd)).await.unwrap();
        loop {
            let status = api.get(name).await.unwrap().status;
            let conditions = status.and_then(|s| s.conditions).unwrap_or_default();
            if conditions
                .iter()
                .any(|c| c.type_ == "Established" && c.status == "True")
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
