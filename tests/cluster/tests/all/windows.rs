//! Sync windows hold back periodic refreshes, and nothing else.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams};
use postern_api::ExternalSecret;
use serde_json::{Value, json};

use crate::harness::{Place, eventually, reads, vault_store};

fn spec(windows: Value) -> Value {
    let mut spec = reads("corp", &[("password", "db#password")]);
    spec["refreshInterval"] = json!("1s");
    spec["syncWindows"] = windows;
    spec
}

fn windows(kind: &str) -> Value {
    // Always open: it opens every minute and stays so for two.
    json!({"kind": kind, "windows": [{"schedule": "* * * * *", "duration": "2m"}]})
}

#[tokio::test]
async fn a_closed_window_holds_back_refreshes_but_no_first_sync_change_or_repair() {
    let place = Place::new("windows").await;
    let vault = place.vault().await;
    place.store("corp", vault_store(&vault)).await;
    vault.put("secret", "db", json!({"password": "one"}));
    place.external_secret("app", spec(windows("deny"))).await;
    place.value("app", "password", "one").await;
    place.synced("app").await;

    vault.put("secret", "db", json!({"password": "two"}));
    vault.reset_counts();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(vault.requests_to("secret/data/db"), 0);

    place
        .api::<Secret>()
        .delete("app", &DeleteParams::default())
        .await
        .unwrap();
    place.value("app", "password", "two").await;
    vault.put("secret", "db", json!({"password": "three"}));
    place.touch("app").await;
    place.value("app", "password", "three").await;

    vault.put("secret", "db", json!({"password": "four"}));
    let open = json!({"spec": {"syncWindows": windows("allow")}});
    place
        .api::<ExternalSecret>()
        .patch("app", &PatchParams::default(), &Patch::Merge(open))
        .await
        .unwrap();
    place.value("app", "password", "four").await;
    vault.put("secret", "db", json!({"password": "five"}));
    place.value("app", "password", "five").await;
}

#[tokio::test]
async fn created_once_and_on_change_do_not_come_back_by_themselves() {
    let place = Place::new("windows").await;
    let vault = place.vault().await;
    place.store("corp", vault_store(&vault)).await;
    vault.put("secret", "db", json!({"password": "one"}));
    for policy in ["CreatedOnce", "OnChange"] {
        let mut spec = reads("corp", &[("password", "db#password")]);
        spec["refreshInterval"] = json!("1s");
        spec["refreshPolicy"] = json!(policy);
        let name = policy.to_lowercase();
        place.external_secret(&name, spec).await;
        place.value(&name, "password", "one").await;
        place.synced(&name).await;
    }
    vault.put("secret", "db", json!({"password": "two"}));
    vault.reset_counts();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(vault.requests_to("secret/data/db"), 0);
    for name in ["createdonce", "onchange"] {
        place.touch(name).await;
    }
    place.value("onchange", "password", "two").await;
    let version = |object: ExternalSecret| object.status?.synced_resource_version;
    let once = eventually("it is there", || async {
        version(
            place
                .api::<ExternalSecret>()
                .get("createdonce")
                .await
                .unwrap(),
        )
    })
    .await;
    place.value("createdonce", "password", "one").await;
    assert!(once.starts_with("1-"), "{once}");
}
