//! Whoever changed something gets the new value; whoever only waits gets it at the next refresh.

use serde_json::json;

use crate::harness::{Place, reads, vault_store};

#[tokio::test]
async fn a_touch_after_a_change_at_the_backend_brings_the_new_value() {
    let place = Place::new("fresh").await;
    let vault = place.vault().await;
    vault.put("secret", "db", json!({"password": "one"}));
    place.store("corp", vault_store(&vault)).await;
    place
        .external_secret("app", reads("corp", &[("password", "db#password")]))
        .await;
    place.value("app", "password", "one").await;
    for round in 0..5 {
        let value = format!("round-{round}");
        vault.put("secret", "db", json!({"password": value}));
        place.touch("app").await;
        place.value("app", "password", &value).await;
    }
}

#[tokio::test]
async fn a_rotated_value_arrives_at_the_next_refresh() {
    let place = Place::new("fresh").await;
    let vault = place.vault().await;
    vault.put("secret", "db", json!({"password": "old"}));
    place.store("corp", vault_store(&vault)).await;
    let mut spec = reads("corp", &[("password", "db#password")]);
    spec["refreshInterval"] = "2s".into();
    place.external_secret("app", spec).await;
    place.value("app", "password", "old").await;
    vault.put("secret", "db", json!({"password": "new"}));
    place.value("app", "password", "new").await;
}

#[tokio::test]
async fn an_external_secret_that_is_older_than_its_store_is_woken_by_it() {
    let place = Place::new("fresh").await;
    let vault = place.vault().await;
    vault.put("secret", "db", json!({"password": "one"}));
    place
        .external_secret("app", reads("corp", &[("password", "db#password")]))
        .await;
    place
        .failed("app", "SecretStore \"corp\" does not exist")
        .await;
    place.store("corp", vault_store(&vault)).await;
    place.value("app", "password", "one").await;
}
