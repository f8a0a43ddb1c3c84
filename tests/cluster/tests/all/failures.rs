//! What cannot be done is said, harms no Secret that exists, and holds back nobody else.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use postern_api::external_secret::EntryState;
use postern_api::{ExternalSecret, SecretStore};
use postern_test_kit::kvserver::{CountingVault, Fault};
use serde_json::{Value, json};

use crate::harness::{Place, fake_store, reads, text, vault_store};

/// A synced ExternalSecret `app` whose backend then misbehaves: the Secret stays, the condition says why, and all is well
/// again once the backend is.
async fn keeps_secret_when(fault: Fault, says: &str) {
    let place = Place::new("fail").await;
    let vault = place.vault().await;
    vault.put("secret", "db", json!({"password": "kept"}));
    place.store("corp", vault_store(&vault)).await;
    place
        .external_secret("app", reads("corp", &[("password", "db#password")]))
        .await;
    place.value("app", "password", "kept").await;
    place.synced("app").await;
    let before = place.api::<Secret>().get("app").await.unwrap();

    vault.set_fault(fault);
    place.touch("app").await;
    place.failed("app", says).await;
    let after = place.api::<Secret>().get("app").await.unwrap();
    assert_eq!(
        before.metadata.resource_version,
        after.metadata.resource_version
    );

    vault.clear_faults();
    place.touch("app").await;
    place.synced("app").await;
}

#[tokio::test]
async fn keeps_secret_when_backend_is_sealed() {
    keeps_secret_when(Fault::Sealed, "sealed").await;
}

#[tokio::test]
async fn keeps_secret_when_backend_denies() {
    keeps_secret_when(Fault::Forbidden, "PST-1103").await;
}

#[tokio::test]
async fn keeps_secret_when_backend_says_404_to_everything() {
    keeps_secret_when(Fault::NotFound, "").await;
}

#[tokio::test]
async fn keeps_secret_when_backend_hangs() {
    keeps_secret_when(Fault::Hang, "").await;
}

#[tokio::test]
async fn keeps_secret_when_backend_answers_garbage() {
    keeps_secret_when(Fault::Garbage, "").await;
}

#[tokio::test]
async fn a_slow_backend_holds_back_nobody_else() {
    let place = Place::new("fail").await;
    let slow = place.vault().await;
    slow.put("secret", "db", json!({"password": "late"}));
    slow.set_fault(Fault::Delay(Duration::from_secs(2)));
    place.store("slow", vault_store(&slow)).await;
    place.store("quick", fake_store(&[("db", "soon")])).await;
    for n in 0..30 {
        place
            .external_secret(
                &format!("slow-{n}"),
                reads("slow", &[("password", "db#password")]),
            )
            .await;
    }
    let started = std::time::Instant::now();
    place
        .external_secret("quick", reads("quick", &[("password", "db")]))
        .await;
    place.value("quick", "password", "soon").await;
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    place.value("slow-29", "password", "late").await;
}

#[tokio::test]
async fn a_store_that_recovers_wakes_its_external_secrets() {
    let place = Place::new("fail").await;
    let vault = place.vault().await;
    vault.put("secret", "db", json!({"password": "back"}));
    vault.set_fault(Fault::Sealed);
    place.store("corp", vault_store(&vault)).await;
    place.store_is("corp", "False", "").await;
    place
        .external_secret("app", reads("corp", &[("password", "db#password")]))
        .await;
    place
        .failed("app", "SecretStore \"corp\" is not ready")
        .await;
    vault.clear_faults();
    place.value("app", "password", "back").await;
    place.store_is("corp", "True", "store validated").await;
}

/// A broken ExternalSecret beside a good one; returns the message of the broken one's condition.
async fn broken_beside_good(place: &Place, spec: Value, says: &str) -> String {
    place.store("good", fake_store(&[("db", "fine")])).await;
    place.external_secret("broken", spec).await;
    place
        .external_secret("good", reads("good", &[("password", "db")]))
        .await;
    place.value("good", "password", "fine").await;
    let message = place.failed("broken", says).await;
    assert!(
        place
            .api::<Secret>()
            .get_opt("broken")
            .await
            .unwrap()
            .is_none()
    );
    message
}

#[tokio::test]
async fn an_unknown_provider_key_is_named_with_those_that_exist() {
    let place = Place::new("fail").await;
    place.store("odd", json!({"nosuch": {}})).await;
    place.store_is("odd", "False", "nosuch").await;
    let message = broken_beside_good(
        &place,
        reads("odd", &[("a", "b")]),
        "SecretStore \"odd\" is not ready",
    )
    .await;
    assert!(
        message.contains("nosuch") && message.contains("vault"),
        "{message}"
    );
}

#[tokio::test]
async fn two_provider_keys_are_refused_by_the_api_server() {
    let place = Place::new("fail").await;
    let store = json!({"metadata": {"name": "two"}, "spec": {"provider": {"fake": {"data": []}, "vault": {}}}});
    let store: SecretStore = serde_json::from_value(store).unwrap();
    let refused = place
        .api::<SecretStore>()
        .create(&PostParams::default(), &store)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("spec.provider"), "{refused}");
}

#[tokio::test]
async fn a_missing_credential_is_named() {
    let place = Place::new("fail").await;
    let vault = CountingVault::start().unwrap();
    place.store("odd", vault_store(&vault)).await;
    let says = format!("Secret \"{}/approle\"", place.name());
    place.store_is("odd", "False", &says).await;
    broken_beside_good(&place, reads("odd", &[("a", "b#c")]), &says).await;
}

#[tokio::test]
async fn a_wrong_key_of_a_credential_is_named_with_those_that_exist() {
    let place = Place::new("fail").await;
    let vault = CountingVault::start().unwrap();
    place.secret("approle", &[("other", "x")]).await;
    place.store("odd", vault_store(&vault)).await;
    place
        .store_is("odd", "False", "has no key \"id\"; it has other")
        .await;
    broken_beside_good(
        &place,
        reads("odd", &[("a", "b#c")]),
        "has no key \"id\"; it has other",
    )
    .await;
}

#[tokio::test]
async fn a_property_that_does_not_exist_is_named() {
    let place = Place::new("fail").await;
    let vault = place.vault().await;
    vault.put("secret", "db", json!({"password": "x"}));
    place.store("corp", vault_store(&vault)).await;
    broken_beside_good(&place, reads("corp", &[("a", "db#nosuch")]), "nosuch").await;
}

#[tokio::test]
async fn a_template_that_does_not_parse_is_said() {
    let place = Place::new("fail").await;
    let mut spec = reads("good", &[("a", "db")]);
    spec["target"] = json!({"template": {"data": {"x": "{{ .a"}}});
    broken_beside_good(&place, spec, "unable to parse").await;
}

#[tokio::test]
async fn the_same_failure_again_and_again_is_one_event() {
    let place = Place::new("fail").await;
    place.store("corp", fake_store(&[("db", "x")])).await;
    let mut spec = reads("corp", &[("a", "nosuch")]);
    spec["refreshInterval"] = "1s".into();
    place.external_secret("app", spec).await;
    place.failed("app", "nosuch").await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let events = place.events("app").await;
    assert_eq!(events.len(), 1, "{events:#?}");
    assert_eq!(events[0].type_.as_deref(), Some("Warning"));
}

#[tokio::test]
async fn a_missing_object_deletes_nothing() {
    let place = Place::new("fail").await;
    let vault = place.vault().await;
    vault.put("secret", "db", json!({"password": "kept"}));
    place.store("corp", vault_store(&vault)).await;
    place
        .external_secret("app", reads("corp", &[("password", "db#password")]))
        .await;
    place.value("app", "password", "kept").await;
    vault.remove("secret", "db");
    place.touch("app").await;
    place.failed("app", "db").await;
    let secret = place.api::<Secret>().get("app").await.unwrap();
    assert_eq!(text(&secret, "password").as_deref(), Some("kept"));
}

#[tokio::test]
async fn the_status_says_of_each_entry_where_it_was_read_and_since_when_it_fails() {
    let place = Place::new("entries").await;
    let vault = place.vault().await;
    vault.put("secret", "db", json!({"password": "kept"}));
    place.store("corp", vault_store(&vault)).await;
    let entries = [("password", "db#password"), ("token", "api#token")];
    place.external_secret("app", reads("corp", &entries)).await;
    place.failed("app", "PST-1101").await;
    let status = place.api::<ExternalSecret>().get("app").await.unwrap();
    let status = status.status.unwrap();
    assert_eq!(
        status.summary.as_deref(),
        Some("1/2, spec.data[1] PST-1101")
    );
    let rows = status.entries.unwrap();
    assert_eq!(rows[0].keys, Some(vec!["password".to_owned()]));
    assert_eq!(rows[0].store, "SecretStore/corp");
    assert_eq!(
        (rows[1].entry.as_str(), rows[1].remote_key.as_str()),
        ("spec.data[1]", "api")
    );
    assert_eq!(rows[1].state, EntryState::Failed);

    vault.put("secret", "api", json!({"token": "t"}));
    place.touch("app").await;
    let status = place.synced("app").await.status.unwrap();
    assert_eq!(status.summary.as_deref(), Some("2/2"));
    let told = serde_json::to_string(&status).unwrap();
    assert!(!told.contains("kept"), "{told}");
}
