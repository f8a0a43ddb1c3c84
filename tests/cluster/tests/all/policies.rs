//! Whose the target is: creation policies, a target that is renamed, an immutable one, and one that another operator left.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use postern_api::ExternalSecret;
use postern_core::go;
use serde_json::{Value, json};

use crate::harness::{Place, condition, eventually, fake_store, reads, text};

async fn place() -> Place {
    let place = Place::new("policies").await;
    let values = [("db", "right"), ("other", "more")];
    place.store("corp", fake_store(&values)).await;
    place
}

fn spec(target: Value) -> Value {
    let mut spec = reads("corp", &[("password", "db")]);
    spec["target"] = target;
    spec
}

async fn patch(place: &Place, patch: Value) {
    place
        .api::<ExternalSecret>()
        .patch("app", &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
}

async fn reason(place: &Place, reason: &str) -> ExternalSecret {
    eventually(&format!("app says {reason}"), || async {
        let object = place.api::<ExternalSecret>().get("app").await.unwrap();
        let says = condition(&object)?.reason.clone();
        (says.as_deref() == Some(reason)).then_some(object)
    })
    .await
}

async fn secret(place: &Place, name: &str) -> Option<Secret> {
    place.api::<Secret>().get_opt(name).await.unwrap()
}

fn has_owner(secret: &Secret) -> bool {
    let owners = secret.metadata.owner_references.as_ref();
    owners.is_some_and(|owners| !owners.is_empty())
}

#[tokio::test]
async fn merge_waits_for_the_secret_and_then_adds_and_takes_back_only_its_own_keys() {
    let place = place().await;
    place
        .external_secret(
            "app",
            spec(json!({"name": "shared", "creationPolicy": "Merge"})),
        )
        .await;
    let object = reason(&place, "SecretMissing").await;
    let missing = condition(&object).unwrap();
    assert_eq!(missing.status, "True");
    assert_eq!(
        missing.message.as_deref(),
        Some("secret will not be created due to CreationPolicy=Merge")
    );
    assert!(object.status.unwrap().binding.is_none());
    assert_eq!(secret(&place, "shared").await, None);

    place.secret("shared", &[("theirs", "x")]).await;
    place.touch("app").await;
    let merged = place.value("shared", "password", "right").await;
    assert_eq!(text(&merged, "theirs").as_deref(), Some("x"));
    assert!(!has_owner(&merged));

    let other = json!({"spec": {"data": [{"secretKey": "other", "remoteRef": {"key": "other"}}]}});
    patch(&place, other).await;
    let merged = place.value("shared", "other", "more").await;
    assert_eq!(text(&merged, "password"), None);
    assert_eq!(text(&merged, "theirs").as_deref(), Some("x"));
}

#[tokio::test]
async fn a_foreign_edit_of_a_merged_secret_is_kept_and_ours_is_repaired() {
    let place = place().await;
    let target = json!({"creationPolicy": "CreateOrMerge"});
    place.external_secret("app", spec(target)).await;
    place.value("app", "password", "right").await;
    let edit = json!({"stringData": {"theirs": "x", "password": "wrong"}});
    place
        .api::<Secret>()
        .patch("app", &PatchParams::default(), &Patch::Merge(edit))
        .await
        .unwrap();
    let secret = place.value("app", "password", "right").await;
    assert_eq!(text(&secret, "theirs").as_deref(), Some("x"));
}

#[tokio::test]
async fn an_orphan_stays_and_is_not_repaired_before_its_refresh() {
    let place = place().await;
    place
        .external_secret("app", spec(json!({"creationPolicy": "Orphan"})))
        .await;
    assert!(!has_owner(&place.value("app", "password", "right").await));
    let edit = json!({"stringData": {"password": "edited"}});
    place
        .api::<Secret>()
        .patch("app", &PatchParams::default(), &Patch::Merge(edit))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    place.value("app", "password", "edited").await;
    place.touch("app").await;
    place.value("app", "password", "right").await;
    place
        .api::<ExternalSecret>()
        .delete("app", &Default::default())
        .await
        .unwrap();
    eventually("the object is gone", || async {
        let left = place.api::<ExternalSecret>().get_opt("app").await.unwrap();
        left.is_none().then_some(())
    })
    .await;
    assert!(secret(&place, "app").await.is_some());
}

#[tokio::test]
async fn none_reads_and_writes_nothing() {
    let place = place().await;
    place
        .external_secret("app", spec(json!({"creationPolicy": "None"})))
        .await;
    let object = place.synced("app").await;
    assert_eq!(
        condition(&object).unwrap().reason.as_deref(),
        Some("SecretSynced")
    );
    assert_eq!(secret(&place, "app").await, None);
}

#[tokio::test]
async fn a_renamed_target_leaves_nothing_behind_and_takes_nothing_else() {
    let place = place().await;
    place
        .external_secret("app", spec(json!({"name": "old"})))
        .await;
    place.value("old", "password", "right").await;
    place.synced("app").await;
    // A copy, as backup tools and people make them: it has our labels and is not ours.
    let mut copy = secret(&place, "old").await.unwrap();
    copy.metadata.name = Some("copy".into());
    copy.metadata.resource_version = None;
    copy.metadata.uid = None;
    copy.metadata.owner_references = None;
    copy.metadata.managed_fields = None;
    place
        .api::<Secret>()
        .create(&PostParams::default(), &copy)
        .await
        .unwrap();

    patch(&place, json!({"spec": {"target": {"name": "new"}}})).await;
    place.value("new", "password", "right").await;
    eventually("the old one is gone", || async {
        secret(&place, "old").await.is_none().then_some(())
    })
    .await;
    assert!(secret(&place, "copy").await.is_some());
    let deleted = eventually("it is told", || async {
        let events = place.events("app").await;
        events
            .into_iter()
            .find(|e| e.reason.as_deref() == Some("Deleted"))
    })
    .await;
    assert_eq!(
        deleted.message.as_deref(),
        Some("secret deleted because it was orphaned")
    );
}

#[tokio::test]
async fn a_renamed_target_that_somebody_took_over_stays() {
    let place = place().await;
    place
        .external_secret("app", spec(json!({"name": "old"})))
        .await;
    place.value("old", "password", "right").await;
    place.synced("app").await;
    let free = json!({"metadata": {"ownerReferences": null}});
    patch(
        &place,
        json!({"spec": {"target": {"name": "new", "creationPolicy": "Orphan"}}}),
    )
    .await;
    place.value("new", "password", "right").await;
    place
        .api::<Secret>()
        .patch("old", &PatchParams::default(), &Patch::Merge(free))
        .await
        .unwrap();
    patch(
        &place,
        json!({"spec": {"target": {"name": "newer", "creationPolicy": "Owner"}}}),
    )
    .await;
    place.value("newer", "password", "right").await;
    place.synced("app").await;
    assert!(secret(&place, "old").await.is_some());
    assert!(secret(&place, "new").await.is_some());
}

#[tokio::test]
async fn an_immutable_target_keeps_its_first_value() {
    let place = place().await;
    let target = json!({"immutable": true});
    place.external_secret("app", spec(target)).await;
    let first = place.value("app", "password", "right").await;
    assert_eq!(first.immutable, Some(true));
    let other =
        json!({"spec": {"data": [{"secretKey": "password", "remoteRef": {"key": "other"}}]}});
    patch(&place, other.clone()).await;
    eventually("the change was synced", || async {
        let object = place.api::<ExternalSecret>().get("app").await.unwrap();
        let synced = object.status?.synced_resource_version?;
        synced.starts_with("2-").then_some(())
    })
    .await;
    let now = secret(&place, "app").await.unwrap();
    assert_eq!(
        now.metadata.resource_version,
        first.metadata.resource_version
    );

    // Asked for a mutable one, it says why it cannot be.
    patch(&place, json!({"spec": {"target": {"immutable": false}}})).await;
    let message = place.failed("app", "target is immutable").await;
    assert!(message.contains("could not update secret"), "{message}");
    let now = secret(&place, "app").await.unwrap();
    assert_eq!(text(&now, "password").as_deref(), Some("right"));
}

/// What the peer left, as its own code would have written it: adopting it writes nothing, and its keys are ours by then.
#[tokio::test]
async fn a_secret_of_the_peer_is_adopted_without_a_write_and_its_keys_are_ours() {
    let place = place().await;
    let object = json!({"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "metadata": {"name": "app"},
        "spec": {"secretStoreRef": {"name": "later"}, "data": [
            {"secretKey": "password", "remoteRef": {"key": "db"}}, {"secretKey": "more", "remoteRef": {"key": "other"}}]}});
    let object: ExternalSecret = serde_json::from_value(object).unwrap();
    let created = place
        .api::<ExternalSecret>()
        .create(&PostParams::default(), &object)
        .await
        .unwrap();
    place.failed("app", "does not exist").await;
    let data = [
        ("password", b"right".as_slice()),
        ("more", b"more".as_slice()),
    ];
    let body = json!({"metadata": {"name": "app",
        "labels": {"reconcile.external-secrets.io/managed": "true",
            "reconcile.external-secrets.io/created-by": go::string_hash(&format!("{}/app", place.name()))},
        "annotations": {"reconcile.external-secrets.io/data-hash": go::data_hash(data)},
        "ownerReferences": [{"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "name": "app",
            "uid": created.metadata.uid, "controller": true, "blockOwnerDeletion": true}]},
        "type": "Opaque", "stringData": {"password": "right", "more": "more"}});
    let body: Secret = serde_json::from_value(body).unwrap();
    let params = PostParams {
        field_manager: Some("externalsecrets.external-secrets.io/app".into()),
        ..PostParams::default()
    };
    let left = place.api::<Secret>().create(&params, &body).await.unwrap();

    place
        .store("later", fake_store(&[("db", "right"), ("other", "more")]))
        .await;
    place.synced("app").await;
    let adopted = secret(&place, "app").await.unwrap();
    assert_eq!(
        adopted.metadata.resource_version,
        left.metadata.resource_version
    );
    assert_eq!(
        adopted.metadata.managed_fields,
        left.metadata.managed_fields
    );

    let fewer = json!({"spec": {"data": [{"secretKey": "password", "remoteRef": {"key": "db"}}],
        "target": {"creationPolicy": "CreateOrMerge"}}});
    patch(&place, fewer).await;
    eventually("the key that the peer wrote is gone", || async {
        let now = secret(&place, "app").await.unwrap();
        text(&now, "more").is_none().then_some(())
    })
    .await;
}
