//! A namespace as the peer leaves it is taken over without a write, lives on, can be given back, and goes without a rest.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::Resource;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use postern_api::{ExternalSecret, SecretStore};
use postern_core::go;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::harness::{Place, eventually, fake_store, options_for, reads};

/// The hash that the peer computes of `{foo: value1, bar: value2}`; its own test has it.
const GOLDEN_DATA: &str = "1bed8bcbcb4547ffe19a19cd47d9078e84aa6598266d86b99f992d64";
/// The hash that it computes of no labels and no annotations.
const GOLDEN_NO_METADATA: &str = "f47fe3c0b255b6dd8047cdffa772587bb829efe7a1cb70febeda2eb2";

async fn create<K>(place: &Place, manager: &str, object: Value) -> K
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + serde::Serialize
        + std::fmt::Debug,
    K::DynamicType: Default,
{
    let params = PostParams {
        field_manager: Some(manager.to_owned()),
        ..PostParams::default()
    };
    let object: K = serde_json::from_value(object).unwrap();
    place.api::<K>().create(&params, &object).await.unwrap()
}

/// A store, an ExternalSecret and its Secret, with what the peer writes into each of them. Only a controller of the
/// place's class serves them.
async fn left_by_the_peer(place: &Place) {
    let values = fake_store(&[("one", "value1"), ("two", "value2")]);
    let store = json!({"metadata": {"name": "corp", "finalizers": ["secretstore.externalsecrets.io/finalizer"]},
        "spec": {"provider": values, "controller": place.name()}});
    create::<SecretStore>(place, "external-secrets", store).await;
    let object = json!({
        "metadata": {"name": "app", "finalizers": ["externalsecrets.external-secrets.io/externalsecret-cleanup"]},
        "spec": reads("corp", &[("foo", "one"), ("bar", "two")])});
    let object: ExternalSecret = create(place, "external-secrets", object).await;
    let now = jiff::Timestamp::now().to_string();
    let now = format!("{}Z", &now[..19]);
    let status = json!({"status": {
        "refreshTime": now,
        "syncedResourceVersion": format!("1-{GOLDEN_NO_METADATA}"),
        "binding": {"name": "app"},
        "conditions": [{"type": "Ready", "status": "True", "reason": "SecretSynced", "message": "secret synced",
            "lastTransitionTime": now}]}});
    place
        .api::<ExternalSecret>()
        .patch_status("app", &PatchParams::default(), &Patch::Merge(status))
        .await
        .unwrap();
    let secret = json!({
        "metadata": {
            "name": "app",
            "labels": {"reconcile.external-secrets.io/managed": "true",
                "reconcile.external-secrets.io/created-by": go::string_hash(&format!("{}/app", place.name()))},
            "annotations": {"reconcile.external-secrets.io/data-hash": GOLDEN_DATA},
            "ownerReferences": [{"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "name": "app",
                "uid": object.metadata.uid, "controller": true, "blockOwnerDeletion": true}]},
        "type": "Opaque",
        "data": {"foo": "dmFsdWUx", "bar": "dmFsdWUy"}});
    create::<Secret>(place, "externalsecrets.external-secrets.io/app", secret).await;
}

async fn version<K>(place: &Place, name: &str) -> String
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
    K::DynamicType: Default,
{
    let object = place.api::<K>().get(name).await.unwrap();
    object.meta().resource_version.clone().unwrap()
}

async fn change(place: &Place, spec: Value) {
    let patch = Patch::Merge(json!({"spec": spec}));
    place
        .api::<ExternalSecret>()
        .patch("app", &PatchParams::default(), &patch)
        .await
        .unwrap();
}

/// What the peer asks before it leaves an ExternalSecret alone.
async fn the_peer_has_nothing_to_do(place: &Place) {
    eventually("the status is that of the object as it stands", || async {
        let object = place.api::<ExternalSecret>().get("app").await.unwrap();
        let empty = BTreeMap::new();
        let meta = &object.metadata;
        let expected = go::synced_resource_version(
            meta.generation.unwrap(),
            meta.annotations.as_ref().unwrap_or(&empty),
            meta.labels.as_ref().unwrap_or(&empty),
        );
        let status = object.status?;
        let same = status.synced_resource_version.as_ref() == Some(&expected);
        (same && status.refresh_time.is_some()).then_some(())
    })
    .await;
    let secret = place.api::<Secret>().get("app").await.unwrap();
    let data: BTreeMap<String, Vec<u8>> = secret
        .data
        .unwrap()
        .into_iter()
        .map(|(key, value)| (key, value.0))
        .collect();
    let hash = go::data_hash(data.iter().map(|(k, v)| (k.as_str(), v.as_slice())));
    let annotations = secret.metadata.annotations.unwrap();
    assert_eq!(annotations["reconcile.external-secrets.io/data-hash"], hash);
    let managers: Vec<_> = secret.metadata.managed_fields.unwrap();
    let managers: Vec<_> = managers
        .iter()
        .filter_map(|m| m.manager.as_deref())
        .collect();
    assert_eq!(managers, ["externalsecrets.external-secrets.io/app"]);
}

async fn gone<K>(place: &Place, name: &str)
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
    K::DynamicType: Default,
{
    let api: Api<K> = place.api();
    api.delete(name, &DeleteParams::default()).await.unwrap();
    eventually(&format!("{name} is gone"), || async {
        api.get_opt(name).await.unwrap().is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_the_peer_left_is_taken_over_without_a_write_and_could_go_back() {
    let place = Place::new("handover").await;
    left_by_the_peer(&place).await;
    let secret = version::<Secret>(&place, "app").await;
    let object = version::<ExternalSecret>(&place, "app").await;

    place.stage.control(options_for(&place)).wait().await;
    place.store_is("corp", "True", "store validated").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(version::<Secret>(&place, "app").await, secret);
    assert_eq!(version::<ExternalSecret>(&place, "app").await, object);

    // Read anew, it is still the Secret that it shall be.
    change(&place, json!({"refreshInterval": "2h"})).await;
    the_peer_has_nothing_to_do(&place).await;
    assert_eq!(version::<Secret>(&place, "app").await, secret);

    change(&place, reads("corp", &[("foo", "one")])).await;
    eventually("the dropped key is gone", || async {
        let data = place.api::<Secret>().get("app").await.unwrap().data?;
        (data.keys().map(String::as_str).eq(["foo"])).then_some(())
    })
    .await;
    the_peer_has_nothing_to_do(&place).await;

    gone::<ExternalSecret>(&place, "app").await;
    gone::<SecretStore>(&place, "corp").await;
}
