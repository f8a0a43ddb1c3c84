//! Tests of Postern in a real control plane; they are in `tests/`. Here is what their binaries share.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};

/// Far beyond what anything takes here, and short enough that a hang is noticed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until there is an answer.
///
/// # Panics
/// Where there is none within [`PATIENCE`].
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

/// Gives a cluster our CRDs, and waits until it serves them.
///
/// # Panics
/// Where the cluster does not take them.
pub async fn apply_crds(client: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in postern_api::crds() {
        let name = crd["metadata"]["name"].as_str().unwrap().to_owned();
        let params = PatchParams::apply("tests").force();
        api.patch(&name, &params, &Patch::Apply(&crd))
            .await
            .unwrap();
    }
    established(client).await;
}

/// Waits until a cluster serves our CRDs.
///
/// # Panics
/// Where it does not, or does not have them.
pub async fn established(client: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in postern_api::crds() {
        let name = crd["metadata"]["name"].as_str().unwrap();
        eventually(&|| format!("CRD {name} is established"), || async {
            let crd = api.get(name).await.unwrap();
            let conditions = crd.status.and_then(|s| s.conditions).unwrap_or_default();
            conditions
                .iter()
                .any(|c| c.type_ == "Established" && c.status == "True")
                .then_some(())
        })
        .await;
    }
}

/// A component that `cargo xtask guests` has built.
///
/// # Panics
/// Where it has not.
pub fn guest(name: &str) -> PathBuf {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../target/guests/{name}.wasm"));
    assert!(
        file.is_file(),
        "{} is missing: run `cargo xtask guests`",
        file.display()
    );
    file
}
