//! Who may use a store, who serves it, and who waits for it.

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use postern_api::{ClusterSecretStore, ExternalSecret, SecretStore};
use postern_controller::Options;
use serde_json::{Value, json};

use crate::harness::{Place, fake_store, options_for, reads};

async fn cluster_store(place: &Place, name: &str, fields: Value) {
    let mut spec = json!({"provider": fake_store(&[("db", "bar")])});
    spec.as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    let store = json!({"apiVersion": "external-secrets.io/v1", "kind": "ClusterSecretStore", "metadata": {"name": name}, "spec": spec});
    let store: ClusterSecretStore = serde_json::from_value(store).unwrap();
    let api: Api<ClusterSecretStore> = Api::all(place.client.clone());
    api.create(&PostParams::default(), &store).await.unwrap();
}

fn reads_cluster(store: &str) -> Value {
    let mut spec = reads(store, &[("foo", "db")]);
    spec["secretStoreRef"]["kind"] = "ClusterSecretStore".into();
    spec
}

/// Nothing was ever said of an ExternalSecret.
async fn is_untouched(place: &Place, name: &str) {
    let object = place.api::<ExternalSecret>().get(name).await.unwrap();
    assert_eq!(object.status, None);
    assert_eq!(place.api::<Secret>().get_opt(name).await.unwrap(), None);
}

#[tokio::test]
async fn conditions_admit_by_pattern_and_by_expression_and_follow_labels() {
    let (yes, no) = (Place::new("admitted").await, Place::new("refused").await);
    let pattern = yes.name();
    cluster_store(
        &yes,
        pattern,
        json!({"conditions": [{"namespaceRegexes": ["^admit+ed-"]}]}),
    )
    .await;
    let expression = no.name();
    cluster_store(&no, expression, json!({"conditions": [{"namespaceSelector": {"matchExpressions": [{"key": "may", "operator": "In", "values": [expression]}]}}]})).await;
    for place in [&yes, &no] {
        place
            .external_secret("pattern", reads_cluster(pattern))
            .await;
        place
            .external_secret("expression", reads_cluster(expression))
            .await;
    }
    yes.value("pattern", "foo", "bar").await;
    let denied = format!(
        "using cluster store \"{pattern}\" is not allowed from namespace \"{}\": denied by spec.condition",
        no.name()
    );
    no.failed("pattern", &denied).await;
    yes.failed("expression", "denied by spec.condition").await;
    no.failed("expression", "denied by spec.condition").await;

    let api: Api<Namespace> = Api::all(no.client.clone());
    let patch = Patch::Merge(json!({"metadata": {"labels": {"may": expression}}}));
    api.patch(no.name(), &PatchParams::default(), &patch)
        .await
        .unwrap();
    no.value("expression", "foo", "bar").await;
}

#[tokio::test]
async fn a_condition_that_cannot_be_judged_closes_the_store_and_says_where() {
    let place = Place::new("pattern").await;
    let store = json!({"apiVersion": "external-secrets.io/v1", "kind": "SecretStore", "metadata": {"name": "s"},
        "spec": {"provider": fake_store(&[("db", "bar")]), "conditions": [{"namespaceRegexes": ["("]}]}});
    let store: SecretStore = serde_json::from_value(store).unwrap();
    place
        .api::<SecretStore>()
        .create(&PostParams::default(), &store)
        .await
        .unwrap();
    let said = place
        .store_is("s", "False", "unable to create client")
        .await;
    assert_eq!(said.reason.as_deref(), Some("InvalidProviderConfig"));
    assert!(
        said.message
            .unwrap()
            .contains("spec.conditions[0].namespaceRegexes[0]")
    );
    place
        .external_secret("es", reads("s", &[("foo", "db")]))
        .await;
    place.failed("es", "SecretStore \"s\" is not ready").await;
}

#[tokio::test]
async fn one_store_of_another_class_leaves_the_whole_to_the_other_controller() {
    let place = Place::new("class").await;
    let cluster = place.name();
    cluster_store(&place, cluster, json!({})).await;
    place
        .store_of_class("theirs", fake_store(&[("db", "x")]), "somebody-else")
        .await;
    place
        .store_of_class("broken", json!({"no-such-provider": {}}), "somebody-else")
        .await;
    for (name, store) in [("es-theirs", "theirs"), ("es-broken", "broken")] {
        let mut spec = reads_cluster(cluster);
        spec["data"] = json!([
            {"secretKey": "one", "remoteRef": {"key": "db"}},
            {"secretKey": "two", "remoteRef": {"key": "db"}, "sourceRef": {"storeRef": {"name": store}}},
        ]);
        place.external_secret(name, spec).await;
    }
    place.external_secret("ours", reads_cluster(cluster)).await;
    place.value("ours", "foo", "bar").await;
    is_untouched(&place, "es-theirs").await;
    is_untouched(&place, "es-broken").await;
    let theirs = place.api::<SecretStore>().get("theirs").await.unwrap();
    assert_eq!(theirs.status, None);
}

#[tokio::test]
async fn without_the_flood_gate_a_store_is_asked_though_it_is_not_ready() {
    let place = Place::new("gate").await;
    let class = place.name();
    place.stage.control(Options {
        flood_gate: false,
        ..options_for(&place)
    });
    let vault = json!({"vault": {"server": "http://127.0.0.1:9", "path": "secret", "version": "v2", "auth": {"tokenSecretRef": {"name": "none", "key": "token"}}}});
    place.store_of_class("s", vault, class).await;
    place
        .store_is("s", "False", "unable to create client")
        .await;
    place
        .external_secret("es", reads("s", &[("foo", "db")]))
        .await;
    let said = place.failed("es", "PST-1208").await;
    assert!(!said.contains("is not ready"), "{said}");
}

#[tokio::test]
async fn where_another_process_checks_stores_its_word_counts() {
    let place = Place::new("checks").await;
    place.stage.control(Options {
        secret_stores: false,
        ..options_for(&place)
    });
    place
        .store_of_class("s", fake_store(&[("db", "bar")]), place.name())
        .await;
    place
        .external_secret("es", reads("s", &[("foo", "db")]))
        .await;
    place.failed("es", "has not been checked yet").await;
    let api = place.api::<SecretStore>();
    assert_eq!(api.get("s").await.unwrap().status, None);
    let ready =
        json!({"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Valid"}]}});
    api.patch_status("s", &PatchParams::default(), &Patch::Merge(ready))
        .await
        .unwrap();
    place.value("es", "foo", "bar").await;
}

#[tokio::test]
async fn one_namespace_says_that_it_has_no_cluster_stores_and_put_off_they_are_left_to_others() {
    let (scoped, off) = (Place::new("scoped").await, Place::new("off").await);
    scoped.stage.control(options_for(&scoped));
    off.stage.control(Options {
        cluster_stores: false,
        ..options_for(&off)
    });
    for place in [&scoped, &off] {
        cluster_store(place, place.name(), json!({"controller": place.name()})).await;
        place
            .store_of_class("own", fake_store(&[("db", "own")]), place.name())
            .await;
        place
            .external_secret("cluster", reads_cluster(place.name()))
            .await;
        place
            .external_secret("own", reads("own", &[("foo", "db")]))
            .await;
        place.value("own", "foo", "own").await;
    }
    scoped
        .failed("cluster", "serves no ClusterSecretStore")
        .await;
    is_untouched(&off, "cluster").await;
}
