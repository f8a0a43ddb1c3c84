//! Starts, ends, and what is left behind.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::api::{DeleteParams, PostParams};
use postern_api::ExternalSecret;
use postern_test_kit::kvserver::{CountingVault, JwtRole, Vaultlike as _};
use serde_json::json;
use tokio::sync::oneshot;

use crate::harness::{Place, eventually, options_for, reads, vault_store};

#[tokio::test]
async fn a_restart_reads_nothing_and_writes_nothing() {
    let place = Place::new("life").await;
    let vault = place.vault().await;
    vault.put("secret", "db", json!({"password": "x"}));
    place
        .store_of_class("corp", vault_store(&vault), place.name())
        .await;
    place
        .external_secret("app", reads("corp", &[("password", "db#password")]))
        .await;
    let (stop, stopped) = oneshot::channel::<()>();
    let first = place
        .stage
        .control_until(options_for(&place), async move { drop(stopped.await) });
    place.synced("app").await;
    assert_eq!(vault.live_tokens(), 1);
    stop.send(()).unwrap();
    first.await.unwrap().unwrap();
    assert_eq!(
        vault.live_tokens(),
        0,
        "a session was left open at the backend"
    );
    let secret = place
        .api::<Secret>()
        .get("app")
        .await
        .unwrap()
        .metadata
        .resource_version;
    let object = place
        .api::<ExternalSecret>()
        .get("app")
        .await
        .unwrap()
        .metadata
        .resource_version;
    vault.reset_counts();

    place.stage.control(options_for(&place)).wait().await;
    eventually("the store was checked again", || async {
        (vault.logins() > 0).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(vault.reads(), 0);
    assert_eq!(
        place
            .api::<Secret>()
            .get("app")
            .await
            .unwrap()
            .metadata
            .resource_version,
        secret
    );
    assert_eq!(
        place
            .api::<ExternalSecret>()
            .get("app")
            .await
            .unwrap()
            .metadata
            .resource_version,
        object
    );
}

#[tokio::test]
async fn a_stop_while_nothing_was_listed_yet_ends_at_once() {
    let place = Place::new("life").await;
    let ended = place
        .stage
        .control_until(options_for(&place), std::future::ready(()));
    tokio::time::timeout(Duration::from_secs(20), ended)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn the_peers_finalizer_does_not_keep_a_deleted_object() {
    let place = Place::new("life").await;
    let object = json!({"metadata": {"name": "app", "finalizers": ["externalsecrets.external-secrets.io/externalsecret-cleanup"]},
        "spec": reads("nosuch", &[("a", "b")])});
    let object: ExternalSecret = serde_json::from_value(object).unwrap();
    place
        .api::<ExternalSecret>()
        .create(&PostParams::default(), &object)
        .await
        .unwrap();
    place.failed("app", "does not exist").await;
    place
        .api::<ExternalSecret>()
        .delete("app", &DeleteParams::default())
        .await
        .unwrap();
    eventually("the object is gone", || async {
        place
            .api::<ExternalSecret>()
            .get_opt("app")
            .await
            .unwrap()
            .is_none()
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_store_logs_in_with_a_token_of_a_service_account() {
    let place = Place::new("life").await;
    let vault = CountingVault::start().unwrap();
    vault.policy("all", &["secret/data/*"]);
    let subject = Some(format!("system:serviceaccount:{}:app", place.name()));
    vault.kubernetes_role(
        "kubernetes",
        "app",
        JwtRole {
            policies: vec!["all".into()],
            subject,
            audience: Some("vault".into()),
        },
    );
    vault.put("secret", "db", json!({"password": "by-account"}));
    let account: ServiceAccount =
        serde_json::from_value(json!({"metadata": {"name": "app"}})).unwrap();
    place
        .api::<ServiceAccount>()
        .create(&PostParams::default(), &account)
        .await
        .unwrap();
    let kubernetes = json!({"mountPath": "kubernetes", "role": "app", "serviceAccountRef": {"name": "app", "audiences": ["vault"]}});
    place.store("corp", json!({"vault": {"server": vault.url(), "path": "secret", "version": "v2", "auth": {"kubernetes": kubernetes}}})).await;
    place
        .external_secret("app", reads("corp", &[("password", "db#password")]))
        .await;
    place.value("app", "password", "by-account").await;
}
