//! What is written is what the contract says, byte for byte.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use postern_api::ExternalSecret;
use postern_core::go;
use serde_json::json;

use crate::harness::{Place, condition, fake_store, reads, text};

#[tokio::test]
async fn makes_the_secret_that_the_manifest_describes() {
    let place = Place::new("contract").await;
    place.store("corp", fake_store(&[("db", "bar")])).await;
    place
        .external_secret("my-es", reads("corp", &[("foo", "db")]))
        .await;
    let object = place.synced("my-es").await;
    let secret = place.api::<Secret>().get("my-es").await.unwrap();

    assert_eq!(text(&secret, "foo").as_deref(), Some("bar"));
    assert_eq!(secret.data.as_ref().unwrap().len(), 1);
    assert_eq!(secret.type_.as_deref(), Some("Opaque"));
    let labels = secret.metadata.labels.as_ref().unwrap();
    assert_eq!(labels["reconcile.external-secrets.io/managed"], "true");
    assert_eq!(
        labels["reconcile.external-secrets.io/created-by"],
        go::string_hash(&format!("{}/my-es", place.name()))
    );
    let annotations = secret.metadata.annotations.as_ref().unwrap();
    assert_eq!(
        annotations["reconcile.external-secrets.io/data-hash"],
        "f2a604b87eb0cf673761e8cfea850f901fe73a3d1b2f338802107f36"
    );
    let owner = &secret.metadata.owner_references.as_ref().unwrap()[0];
    assert_eq!(
        (
            owner.kind.as_str(),
            owner.name.as_str(),
            owner.api_version.as_str()
        ),
        ("ExternalSecret", "my-es", "external-secrets.io/v1")
    );
    assert_eq!(Some(&owner.uid), object.metadata.uid.as_ref());
    assert_eq!(
        (owner.controller, owner.block_owner_deletion),
        (Some(true), Some(true))
    );
    let manager = &secret.metadata.managed_fields.as_ref().unwrap()[0];
    assert_eq!(
        manager.manager.as_deref(),
        Some("externalsecrets.external-secrets.io/my-es")
    );
    assert_eq!(manager.operation.as_deref(), Some("Update"));
}

#[tokio::test]
async fn says_in_status_and_event_what_was_done() {
    let place = Place::new("contract").await;
    place.store("corp", fake_store(&[("db", "bar")])).await;
    place
        .external_secret("my-es", reads("corp", &[("foo", "db")]))
        .await;
    let object = place.synced("my-es").await;

    let ready = condition(&object).unwrap();
    assert_eq!(
        (ready.reason.as_deref(), ready.message.as_deref()),
        (Some("SecretSynced"), Some("secret synced"))
    );
    assert_eq!(ready.observed_generation, object.metadata.generation);
    let status = object.status.as_ref().unwrap();
    assert_eq!(status.binding.as_ref().unwrap().name, "my-es");
    assert!(
        status
            .synced_resource_version
            .as_ref()
            .unwrap()
            .starts_with("1-")
    );
    assert!(status.refresh_time.is_some());
    // We put no finalizer where none is needed.
    assert_eq!(object.metadata.finalizers, None);
    let events = place.events("my-es").await;
    let event = &events[0];
    assert_eq!(
        (event.reason.as_deref(), event.message.as_deref()),
        (Some("Created"), Some("secret created"))
    );
    assert_eq!(
        event.source.as_ref().unwrap().component.as_deref(),
        Some("external-secrets")
    );
    place.store_is("corp", "True", "store validated").await;
}

#[tokio::test]
async fn a_change_that_makes_no_difference_does_not_write_the_secret() {
    let place = Place::new("contract").await;
    place.store("corp", fake_store(&[("db", "bar")])).await;
    place
        .external_secret("my-es", reads("corp", &[("foo", "db")]))
        .await;
    place.synced("my-es").await;
    let before = place.api::<Secret>().get("my-es").await.unwrap();
    let stamp = place
        .synced("my-es")
        .await
        .status
        .unwrap()
        .synced_resource_version;
    let patch = json!({"spec": {"refreshInterval": "2h"}});
    place
        .api::<ExternalSecret>()
        .patch("my-es", &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
    crate::harness::eventually("the change was seen", || async {
        (place
            .synced("my-es")
            .await
            .status
            .unwrap()
            .synced_resource_version
            != stamp)
            .then_some(())
    })
    .await;
    let after = place.api::<Secret>().get("my-es").await.unwrap();
    assert_eq!(
        before.metadata.resource_version,
        after.metadata.resource_version
    );
}

#[tokio::test]
async fn renders_templates_into_data_type_and_labels() {
    let place = Place::new("contract").await;
    place
        .store("corp", fake_store(&[("user", "ann"), ("pass", "s3cret")]))
        .await;
    let mut spec = reads("corp", &[("user", "user"), ("pass", "pass")]);
    spec["target"] = json!({"name": "rendered", "template": {
        "type": "kubernetes.io/basic-auth",
        "metadata": {"labels": {"owner": "{{ .user }}"}},
        "data": {"username": "{{ .user | upper }}", "password": "{{ .pass | b64enc }}"},
    }});
    place.external_secret("my-es", spec).await;
    place.synced("my-es").await;
    let secret = place.api::<Secret>().get("rendered").await.unwrap();
    assert_eq!(text(&secret, "username").as_deref(), Some("ANN"));
    assert_eq!(text(&secret, "password").as_deref(), Some("czNjcmV0"));
    assert_eq!(secret.type_.as_deref(), Some("kubernetes.io/basic-auth"));
    assert_eq!(secret.metadata.labels.unwrap()["owner"], "ann");
}
