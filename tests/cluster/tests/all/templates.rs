//! Templates that stand in ConfigMaps and Secrets, rendered by the real engine.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::harness::{Place, fake_store, reads, text};

async fn place() -> Place {
    let place = Place::new("templates").await;
    place
        .store("corp", fake_store(&[("db", "right"), ("user", "app")]))
        .await;
    place
}

fn spec(template: Value) -> Value {
    let mut spec = reads("corp", &[("password", "db"), ("user", "user")]);
    spec["target"] = json!({"template": template});
    spec
}

async fn config_map(place: &Place, name: &str, data: Value) {
    let map = serde_json::from_value(json!({"metadata": {"name": name}, "data": data})).unwrap();
    place
        .api::<ConfigMap>()
        .create(&PostParams::default(), &map)
        .await
        .unwrap();
}

#[tokio::test]
async fn config_map_secret_and_literal_make_data_labels_and_annotations() {
    let place = place().await;
    let texts = json!({"app.yaml": "password: {{ .password }}", "map": "url: db://{{ .user }}\nport: 5432\ntls: yes\n"});
    config_map(&place, "tpl", texts).await;
    place
        .secret("hidden", &[("line", "{{ .user }}:{{ .password }}")])
        .await;
    let template = json!({
        "templateFrom": [
            {"configMap": {"name": "tpl", "items": [{"key": "app.yaml"}, {"key": "map", "templateAs": "KeysAndValues"}]}},
            {"secret": {"name": "hidden", "items": [{"key": "line"}]}},
            {"literal": "team: {{ .user }}", "target": "Labels"},
            {"literal": "made-by: {{ .user | quote }}", "target": "annotations"},
            {"literal": "decoded: {{ .password | b64enc }}", "valuesDecodingStrategy": "Base64"},
        ],
        "data": {"url": "wins"},
    });
    place.external_secret("app", spec(template)).await;
    place.synced("app").await;
    let secret = place.value("app", "decoded", "right").await;
    let data = |key: &str| text(&secret, key);
    assert_eq!(data("app.yaml").as_deref(), Some("password: right"));
    assert_eq!(data("line").as_deref(), Some("app:right"));
    assert_eq!(data("url").as_deref(), Some("wins"));
    assert_eq!(data("port").as_deref(), Some("5432"));
    assert_eq!(data("tls").as_deref(), Some("true"));
    assert_eq!(data("password"), None);
    assert_eq!(secret.metadata.labels.unwrap()["team"], "app");
    assert_eq!(secret.metadata.annotations.unwrap()["made-by"], "app");
}

#[tokio::test]
async fn a_source_that_comes_later_is_found_and_one_that_goes_keeps_the_secret() {
    let place = place().await;
    let item = json!({"configMap": {"name": "later", "items": [{"key": "k"}]}});
    place
        .external_secret("app", spec(json!({"templateFrom": [item]})))
        .await;
    let message = place.failed("app", "PST-1303").await;
    assert!(
        message.contains("ConfigMap \"later\" does not exist"),
        "{message}"
    );
    config_map(&place, "later", json!({"other": "x"})).await;
    place.touch("app").await;
    place.failed("app", "has no key \"k\"").await;
    let key = json!({"data": {"k": "{{ .user }}"}});
    place
        .api::<ConfigMap>()
        .patch("later", &PatchParams::default(), &Patch::Merge(key))
        .await
        .unwrap();
    place.touch("app").await;
    place.value("app", "k", "app").await;
    place.synced("app").await;
    place
        .api::<ConfigMap>()
        .delete("later", &DeleteParams::default())
        .await
        .unwrap();
    place.touch("app").await;
    place.failed("app", "PST-1303").await;
    let secret = place.api::<Secret>().get("app").await.unwrap();
    assert_eq!(text(&secret, "k").as_deref(), Some("app"));
}

#[tokio::test]
async fn yaml_that_is_no_map_fails_and_is_told_without_values() {
    let place = place().await;
    let template = json!({"templateFrom": [{"literal": "- {{ .password }}"}]});
    place.external_secret("app", spec(template)).await;
    let message = place.failed("app", "templateFrom[0].literal").await;
    assert!(!message.contains("right"), "{message}");
    assert_eq!(place.api::<Secret>().get_opt("app").await.unwrap(), None);
}
