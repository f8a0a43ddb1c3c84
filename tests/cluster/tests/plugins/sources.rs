//! A registry that asks for a password, behind a certificate of a private authority.

use base64::Engine as _;
use k8s_openapi::api::core::v1::{Event, Secret};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use postern_test_kit::kvserver::Transport;
use serde_json::{Value, json};

use crate::desk::{Desk, from};

const PASSWORD: &str = "a-password-that-nobody-may-read";

fn base64(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn pull_secret(address: &str, password: &str) -> Value {
    let config = json!({"auths": {address: {"username": "robot", "password": password}}});
    json!({"type": "kubernetes.io/dockerconfigjson", "metadata": {"name": "pull"},
        "data": {".dockerconfigjson": base64(&config.to_string())}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_secret_and_a_private_authority_are_asked_for_until_they_are_right() {
    let desk = Desk::new("pull").await;
    let front = desk.registry.front(Transport::Https).unwrap();
    front.require_basic("robot", PASSWORD);
    desk.publish("live", "1", "serve");
    let mut source = from(&front.address);
    source["oci"]["plainHTTP"] = json!(false);
    source["oci"]["pullSecretRef"] = json!({"name": "pull", "namespace": desk.namespace.name()});
    desk.plugin_of("acme", json!({"serves": ["versioned"], "source": source}))
        .await;
    told(&desk, "the pull secret").await;

    let secrets: Api<Secret> = desk.api();
    let wrong = serde_json::from_value(pull_secret(&front.address, "wrong")).unwrap();
    secrets
        .create(&PostParams::default(), &wrong)
        .await
        .unwrap();
    told(&desk, "caBundle").await;

    let bundle = base64(front.ca_pem().unwrap());
    desk.patch_plugin(
        "acme",
        json!({"spec": {"source": {"oci": {"caBundle": bundle}}}}),
    )
    .await;
    told(&desk, "pullSecretRef").await;

    let right = Patch::Merge(pull_secret(&front.address, PASSWORD));
    secrets
        .patch("pull", &PatchParams::default(), &right)
        .await
        .unwrap();
    let status = desk.serves("acme", "1").await;
    desk.store("s", json!({"versioned": {"values": {"a": "x"}}}))
        .await;
    let spec = json!({"refreshInterval": "1s", "secretStoreRef": {"name": "s"}, "data": [{"secretKey": "a", "remoteRef": {"key": "a"}}]});
    desk.external_secret("es", spec).await;
    desk.synced("es", "True", "").await;

    let events: Api<Event> = Api::namespaced(desk.client.clone(), "default");
    let events = events.list(&ListParams::default()).await.unwrap();
    let said = format!("{status:?} {:?}", events.items);
    assert!(!said.contains(PASSWORD) && !said.contains(&base64(PASSWORD)));
}

/// The step `Resolved` has failed with this text.
async fn told(desk: &Desk, text: &str) {
    let last = std::sync::Mutex::new(String::new());
    let shown = || format!("it says {text}; it says {}", last.lock().unwrap());
    postern_cluster_tests::eventually(&shown, || async {
        let status = desk.status("acme").await;
        let resolved = crate::desk::find(&status, "Resolved")?.clone();
        let message = resolved.message.unwrap_or_default();
        last.lock().unwrap().clone_from(&message);
        (resolved.status == "False" && message.contains(text)).then_some(())
    })
    .await;
}
