//! A target that somebody changed is put right at once, without waiting for the interval.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::harness::{Place, eventually, fake_store, reads, text};

async fn synced_place() -> Place {
    let place = Place::new("drift").await;
    place.store("corp", fake_store(&[("db", "right")])).await;
    place
        .external_secret("app", reads("corp", &[("password", "db")]))
        .await;
    place.synced("app").await;
    place
}

async fn edit(place: &Place, patch: serde_json::Value) {
    place
        .api::<Secret>()
        .patch("app", &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_deleted_secret_comes_back() {
    let place = synced_place().await;
    place
        .api::<Secret>()
        .delete("app", &DeleteParams::default())
        .await
        .unwrap();
    place.value("app", "password", "right").await;
}

#[tokio::test]
async fn an_edited_value_is_put_right() {
    let place = synced_place().await;
    edit(&place, json!({"stringData": {"password": "wrong"}})).await;
    place.value("app", "password", "right").await;
}

#[tokio::test]
async fn a_foreign_key_is_cleared() {
    let place = synced_place().await;
    edit(&place, json!({"stringData": {"foreign": "x"}})).await;
    eventually("the foreign key is gone", || async {
        let secret = place.api::<Secret>().get("app").await.unwrap();
        (text(&secret, "foreign").is_none()
            && text(&secret, "password").as_deref() == Some("right"))
        .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_label_that_was_taken_off_comes_back_and_the_secret_was_not_made_anew() {
    let place = synced_place().await;
    let before = place.api::<Secret>().get("app").await.unwrap();
    edit(
        &place,
        json!({"metadata": {"labels": {"reconcile.external-secrets.io/managed": null}}}),
    )
    .await;
    let after = eventually("the label is back", || async {
        let secret = place.api::<Secret>().get("app").await.unwrap();
        secret
            .metadata
            .labels
            .as_ref()
            .is_some_and(|l| l.contains_key("reconcile.external-secrets.io/managed"))
            .then_some(secret.clone())
    })
    .await;
    assert_eq!(before.metadata.uid, after.metadata.uid);
}

#[tokio::test]
async fn a_secret_of_another_owner_is_left_alone() {
    let place = Place::new("drift").await;
    place.store("corp", fake_store(&[("db", "right")])).await;
    let foreign = json!({"metadata": {"name": "app", "ownerReferences": [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "theirs", "uid": "11111111-2222-3333-4444-555555555555", "controller": true}]},
        "stringData": {"password": "theirs"}});
    let foreign: Secret = serde_json::from_value(foreign).unwrap();
    place
        .api::<Secret>()
        .create(&Default::default(), &foreign)
        .await
        .unwrap();
    place
        .external_secret("app", reads("corp", &[("password", "db")]))
        .await;
    place
        .failed("app", "failed to take ownership of target secret \"app\"")
        .await;
    let secret = place.api::<Secret>().get("app").await.unwrap();
    assert_eq!(text(&secret, "password").as_deref(), Some("theirs"));
}
