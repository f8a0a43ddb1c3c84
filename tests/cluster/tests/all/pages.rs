//! The manifests on the pages about stores and ClusterExternalSecrets, applied as they stand there.

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use postern_api::{ClusterExternalSecret, ClusterSecretStore};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::harness::Place;

/// The first manifest of a page.
fn manifest<K: DeserializeOwned>(page: &str) -> K {
    let file = format!("{}/../../docs/{page}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(file).unwrap();
    let block = text
        .split("```yaml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    serde_saphyr::from_str(block.unwrap()).unwrap()
}

#[tokio::test]
async fn the_store_and_the_cluster_external_secret_of_the_pages_work() {
    // The store's conditions admit the prefix.
    let place = Place::new("team").await;
    let stores: Api<ClusterSecretStore> = Api::all(place.client.clone());
    let all: Api<ClusterExternalSecret> = Api::all(place.client.clone());
    let namespaces: Api<Namespace> = Api::all(place.client.clone());
    let label = Patch::Merge(json!({"metadata": {"labels": {"pulls": "private"}}}));
    namespaces
        .patch(place.name(), &PatchParams::default(), &label)
        .await
        .unwrap();
    stores
        .create(&PostParams::default(), &manifest("stores.md"))
        .await
        .unwrap();
    all.create(
        &PostParams::default(),
        &manifest("cluster-external-secret.md"),
    )
    .await
    .unwrap();
    place
        .value("registry-login", "password", "not-a-secret")
        .await;
    all.delete("registry", &DeleteParams::default())
        .await
        .unwrap();
    stores
        .delete("corp", &DeleteParams::default())
        .await
        .unwrap();
}
