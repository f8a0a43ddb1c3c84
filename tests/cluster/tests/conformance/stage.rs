//! The control plane, and the operator on it; or a cluster where some operator runs already.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use postern_cluster_tests::{apply_crds, guest};
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
    let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    std::fs::create_dir_all(&cache).unwrap();
    let runtime = Runtime::builder()
        .cache_dir(cache)
        .compile_with(CompileWith::InProcess)
        .build()
        .unwrap();
    for name in PLUGINS {
        let bytes = std::fs::read(guest(name)).unwrap();
        let loaded = runtime.load_bytes(&bytes, true).await;
        loaded.unwrap_or_else(|failure| panic!("{name}: {failure:?}"));
    }
    Arc::new(runtime)
}
