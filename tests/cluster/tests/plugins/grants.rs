//! A plugin from outside reaches what it asks for, a grant allows and the store's config names: all three.

use kube::Api;
use kube::api::{Patch, PatchParams};
use postern_api::{PluginGrant, SecretStore};
use postern_cluster_tests::eventually;
use postern_test_kit::doppler::Doppler;
use serde_json::json;

use crate::desk::Desk;

fn reads(key: &str) -> serde_json::Value {
    json!({"refreshInterval": "1s", "secretStoreRef": {"name": "s"}, "data": [{"secretKey": "a", "remoteRef": {"key": key}}]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_grant_it_waits_and_with_the_suggested_one_it_serves() {
    let desk = Desk::new("grant").await;
    desk.publish("live", "1", "ask");
    desk.plugin("acme", "versioned").await;
    desk.store("s", json!({"versioned": {"values": {"a": "x"}}}))
        .await;
    desk.external_secret("es", reads("a")).await;
    let said = desk
        .plugin_is("acme", "Granted", "False", "AwaitingGrant")
        .await;
    desk.plugin_is("acme", "Active", "False", "AwaitingGrant")
        .await;
    desk.synced("es", "False", "").await;
    let store = store_message(&desk, "PluginGrant").await;
    assert!(store.contains("acme"), "{store}");
    // The manifest in the condition is applied as it stands there.
    let (_, manifest) = said.split_once("apply:\n").unwrap();
    let manifest = manifest.split("\n (").next().unwrap();
    let spec: Vec<&str> = manifest
        .lines()
        .filter(|line| line.contains("127.0.0.1"))
        .collect();
    assert_eq!(spec.len(), 1, "{manifest}");
    desk.grant("acme", json!({"plugin": "acme", "hosts": ["127.0.0.1"]}))
        .await;
    desk.plugin_is("acme", "Active", "True", "Serving").await;
    desk.synced("es", "True", "").await;
}

async fn store_message(desk: &Desk, text: &str) -> String {
    eventually(&|| format!("the store says {text}"), || async {
        let store = desk.api::<SecretStore>().get("s").await.unwrap();
        let condition = store
            .status?
            .conditions?
            .into_iter()
            .find(|c| c.type_ == "Ready")?;
        condition
            .message
            .filter(|m| condition.status == "False" && m.contains(text))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_names_the_plugin_the_host_and_the_line_to_add() {
    let desk = Desk::new("refuse").await;
    let server = tokio::task::spawn_blocking(|| Doppler::start().unwrap())
        .await
        .unwrap();
    let url = server.url().to_owned();
    desk.publish("live", "1", "ask");
    desk.grant("acme", json!({"plugin": "acme", "hosts": ["127.0.0.1:1"]}))
        .await;
    desk.plugin("acme", "versioned").await;
    desk.serves("acme", "1").await;
    desk.store(
        "s",
        json!({"versioned": {"url": url, "fetch": format!("{url}/v3/me")}}),
    )
    .await;
    desk.external_secret("es", reads("a")).await;
    let place = url.trim_start_matches("http://");
    let said = store_message(&desk, "no PluginGrant").await;
    assert!(
        said.contains("\"versioned\"")
            && said.contains(&format!("- {place}"))
            && said.contains("PluginGrant acme"),
        "{said}"
    );
    let patch = json!({"spec": {"hosts": [place]}});
    let api: Api<PluginGrant> = Api::all(desk.client.clone());
    api.patch("acme", &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
    desk.synced("es", "True", "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_plugins_with_one_key_the_older_serves_and_the_newer_says_so() {
    let desk = Desk::new("rival").await;
    desk.publish("live", "1", "serve");
    desk.plugin("acme", "versioned").await;
    desk.serves("acme", "1").await;
    desk.plugin("zeta", "versioned").await;
    let said = desk.plugin_is("zeta", "Active", "False", "KeyTaken").await;
    assert!(said.contains("acme"), "{said}");
    desk.plugin_is("acme", "Active", "True", "Serving").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_config_that_the_plugin_rejects_is_told_with_its_json_path() {
    let desk = Desk::new("path").await;
    desk.publish("live", "1", "serve");
    desk.plugin("acme", "versioned").await;
    desk.store("s", json!({"versioned": {"number": "one"}}))
        .await;
    let said = store_message(&desk, "must be a number").await;
    assert!(said.contains("/number"), "{said}");
}
