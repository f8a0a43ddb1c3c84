//! Versions of a plugin follow one another under load, good and bad ones.

use kube::Api;
use kube::api::DeleteParams;
use postern_api::Plugin;
use postern_core::failure::Code;
use serde_json::json;

use crate::desk::Desk;

/// ExternalSecrets that refresh each second all the while.
const LOAD: usize = 200;

async fn under_load(desk: &Desk) {
    let values: serde_json::Map<_, _> = (0..LOAD)
        .map(|i| (format!("k{i}"), json!(format!("value-{i}"))))
        .collect();
    desk.store("s", json!({"versioned": {"values": values}}))
        .await;
    for i in 0..LOAD {
        let spec = json!({"refreshInterval": "1s", "secretStoreRef": {"name": "s"},
            "target": {"deletionPolicy": "Delete"},
            "data": [{"secretKey": "a", "remoteRef": {"key": format!("k{i}")}}]});
        desk.external_secret(&format!("es{i}"), spec).await;
    }
    for i in 0..LOAD {
        desk.synced(&format!("es{i}"), "True", "").await;
    }
}

/// All ExternalSecrets have synced anew; no sync failed, no value is another, no Secret is gone.
pub async fn all_is_well(desk: &Desk, load: usize, after: &str) {
    desk.further_syncs(2 * load as u64).await;
    assert_eq!(
        *desk.failures.lock().unwrap(),
        Vec::<String>::new(),
        "after {after}"
    );
    let secrets = desk.secrets().await;
    assert_eq!(secrets.len(), load, "after {after}");
    for i in 0..load {
        assert_eq!(
            secrets[&format!("es{i}")]["a"],
            format!("value-{i}"),
            "after {after}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_good_and_bad_follow_one_another_and_no_sync_fails() {
    let desk = Desk::new("swap").await;
    desk.publish("live", "1", "serve");
    desk.plugin("acme", "versioned").await;
    desk.serves("acme", "1").await;
    under_load(&desk).await;
    desk.failures.lock().unwrap().clear();

    desk.publish("live", "2", "serve");
    desk.serves("acme", "2").await;
    desk.plugin_is("acme", "Active", "True", "Serving").await;
    all_is_well(&desk, LOAD, "a good version").await;

    desk.publish("live", "3", "trap");
    let said = desk.plugin_is("acme", "Probed", "False", "Refused").await;
    assert!(said.contains("gave up"), "{said}");
    assert_eq!(desk.serves("acme", "2").await.refused.len(), 1);
    all_is_well(&desk, LOAD, "a version that traps").await;

    desk.publish("live", "4", "ask");
    let said = desk
        .plugin_is("acme", "Granted", "False", "AwaitingGrant")
        .await;
    assert!(
        said.contains("kind: PluginGrant") && said.contains("127.0.0.1"),
        "{said}"
    );
    desk.serves("acme", "2").await;
    all_is_well(&desk, LOAD, "a version that asks for more").await;

    desk.publish("live", "5", "strict");
    let said = desk
        .plugin_is("acme", "Probed", "False", "StoreRejected")
        .await;
    assert!(
        said.contains("SecretStore") && said.contains("spec.provider.versioned"),
        "{said}"
    );
    all_is_well(&desk, LOAD, "a version whose schema rejects a store").await;

    desk.publish("live", "6", "hang");
    desk.plugin_is("acme", "Probed", "False", "Refused").await;
    all_is_well(&desk, LOAD, "a version that hangs").await;

    desk.publish("live", "6b", "hang-in-probe");
    desk.plugin_is("acme", "Probed", "False", "StoreRejected")
        .await;
    all_is_well(&desk, LOAD, "a version that hangs when it is probed").await;

    for (version, does) in [("6c", "nonsense"), ("6d", "eat")] {
        let before = desk.status("acme").await.refused.len();
        desk.publish("live", version, does);
        desk.refuses("acme", before + 1).await;
        desk.serves("acme", "2").await;
        all_is_well(&desk, LOAD, does).await;
    }

    desk.publish("live", "7", "absent");
    let said = desk.refuses("acme", 5).await;
    assert!(said.contains("there is nothing"), "{said}");
    desk.plugin_is("acme", "Probed", "False", "Refused").await;
    all_is_well(&desk, LOAD, "a version that answers absent to everything").await;

    desk.publish("live", "2", "serve");
    desk.plugin_is("acme", "Active", "True", "Serving").await;
    all_is_well(&desk, LOAD, "the tag moved back").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_the_last_good_version_serves_though_the_registry_is_away() {
    let mut desk = Desk::new("kill").await;
    desk.publish("live", "1", "serve");
    desk.plugin("acme", "versioned").await;
    desk.store("s", json!({"versioned": {"values": {"a": "x"}}}))
        .await;
    let spec = json!({"refreshInterval": "1s", "secretStoreRef": {"name": "s"}, "data": [{"secretKey": "a", "remoteRef": {"key": "a"}}]});
    desk.external_secret("es", spec).await;
    desk.synced("es", "True", "").await;
    desk.plugin_is("acme", "Active", "True", "Serving").await;
    for (version, does) in [("2", "trap"), ("3", "strict"), ("4", "ask"), ("5", "serve")] {
        desk.publish("live", version, does);
        desk.kill().await;
        desk.failures.lock().unwrap().clear();
        desk.start().await;
        desk.further_syncs(3).await;
        assert_eq!(
            *desk.failures.lock().unwrap(),
            Vec::<String>::new(),
            "after {does}"
        );
    }
    desk.serves("acme", "5").await;
    assert_eq!(desk.secrets().await["es"]["a"], "x");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_is_refused_by_hand_makes_way_for_the_one_before() {
    let desk = Desk::new("rollback").await;
    desk.publish("live", "1", "serve");
    desk.plugin("acme", "versioned").await;
    desk.store("s", json!({"versioned": {"values": {"a": "x"}}}))
        .await;
    let spec = json!({"refreshInterval": "1s", "secretStoreRef": {"name": "s"}, "data": [{"secretKey": "a", "remoteRef": {"key": "a"}}]});
    desk.external_secret("es", spec).await;
    desk.plugin_is("acme", "Active", "True", "Serving").await;
    desk.publish("live", "2", "serve");
    let status = desk.serves("acme", "2").await;
    let digest = status.active.unwrap().digest;
    let patch = json!({"metadata": {"annotations": {"postern.dev/refused-digests": digest}}});
    desk.patch_plugin("acme", patch).await;
    desk.serves("acme", "1").await;
    let said = desk.plugin_is("acme", "Probed", "False", "Refused").await;
    assert!(said.contains("by hand"), "{said}");
    desk.further_syncs(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_plugin_leaves_its_secrets_and_its_stores_say_why() {
    let desk = Desk::new("gone").await;
    desk.publish("live", "1", "serve");
    desk.plugin("acme", "versioned").await;
    desk.store("s", json!({"versioned": {"values": {"a": "x"}}}))
        .await;
    let spec = json!({"refreshInterval": "1s", "secretStoreRef": {"name": "s"}, "target": {"deletionPolicy": "Delete"}, "data": [{"secretKey": "a", "remoteRef": {"key": "a"}}]});
    desk.external_secret("es", spec).await;
    desk.synced("es", "True", "").await;
    let api: Api<Plugin> = Api::all(desk.client.clone());
    api.delete("acme", &DeleteParams::default()).await.unwrap();
    desk.synced("es", "False", "versioned").await;
    desk.further_syncs(3).await;
    assert_eq!(desk.secrets().await["es"]["a"], "x");
    desk.plugin("acme", "versioned").await;
    desk.synced("es", "True", "").await;
    assert!(
        desk.failures
            .lock()
            .unwrap()
            .iter()
            .all(|code| *code != Code::Trapped.to_string())
    );
}
