//! A secret value appears in the Secret it is meant for and nowhere else.

use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use postern_api::{ExternalSecret, SecretStore};
use postern_test_kit::kvserver::{CountingVault, Fault};
use postern_test_kit::sentinel;
use serde_json::json;

use crate::harness::{Place, reads, vault_store};

#[tokio::test]
async fn no_value_reaches_a_log_an_event_or_a_status() {
    let place = Place::new("sentinel").await;
    let (value, credential) = (sentinel::value("value"), sentinel::value("credential"));
    let vault = CountingVault::start().unwrap();
    vault.policy("all", &["*"]);
    vault.approle("app", &credential, &["all"]);
    vault.put(
        "secret",
        "db",
        json!({"password": value, "odd": {"nested": value}}),
    );
    place.secret("approle", &[("id", &credential)]).await;
    place.store("corp", vault_store(&vault)).await;

    place
        .external_secret("good", reads("corp", &[("password", "db#password")]))
        .await;
    place.value("good", "password", &value).await;
    // Ways in which a value likes to get into an error: a template that says it, one that cannot read it, a decoding that
    // fails on it, a label that it becomes.
    for (name, template) in [
        ("says", "{{ fail .password }}"),
        ("reads", "{{ .password | fromJson }}"),
        ("indexes", "{{ index .password 999 }}"),
    ] {
        let mut spec = reads("corp", &[("password", "db#password")]);
        spec["target"] = json!({"template": {"data": {"x": template}}});
        place.external_secret(name, spec).await;
    }
    let mut spec = reads("corp", &[("password", "db#password")]);
    spec["target"] =
        json!({"template": {"metadata": {"labels": {"x": "{{ .password }} is no label"}}}});
    place.external_secret("labels", spec).await;
    let mut spec = reads("corp", &[("password", "db#password")]);
    spec["data"][0]["remoteRef"]["decodingStrategy"] = "Base64".into();
    place.external_secret("decodes", spec).await;
    for name in ["says", "indexes", "labels", "decodes"] {
        place.failed(name, "").await;
    }
    vault.set_fault(Fault::Status(400, json!({"errors": ["bad request"]})));
    place.touch("good").await;
    place.failed("good", "").await;
    place.events("good").await;
    nothing_leaked(&place).await;
}

async fn nothing_leaked(place: &Place) {
    let all = ListParams::default();
    let json = |kind: &str, value: serde_json::Result<String>| (kind.to_owned(), value.unwrap());
    let seen = [
        json(
            "ExternalSecrets",
            serde_json::to_string(
                &place
                    .api::<ExternalSecret>()
                    .list(&all)
                    .await
                    .unwrap()
                    .items,
            ),
        ),
        json(
            "SecretStores",
            serde_json::to_string(&place.api::<SecretStore>().list(&all).await.unwrap().items),
        ),
        json(
            "Events",
            serde_json::to_string(&place.api::<Event>().list(&all).await.unwrap().items),
        ),
        ("the log".to_owned(), place.stage.log()),
    ];
    for (place, text) in &seen {
        assert!(
            text.len() > 100,
            "{place} holds nothing that could be searched"
        );
        sentinel::assert_absent(text, place);
    }
}
