//! StoreAccess and ClusterStoreAccess: who may read which keys, what a refusal looks like, and that nothing of it is sent.

use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use postern_api::{ClusterStoreAccess, ExternalSecret, StoreAccess};
use postern_controller::Options;
use postern_controller::rbac::RULES;
use postern_test_kit::kvserver::CountingVault;
use serde_json::{Value, json};

use crate::harness::{
    Place, condition, eventually, fake_store, options, options_for, reads, text, vault_store,
};

/// A ClusterStoreAccess of this name for the store of the same name, as it shall be.
async fn allow(place: &Place, name: &str, store: &str, rules: Value) {
    let object = json!({"apiVersion": "postern.dev/v1alpha1", "kind": "ClusterStoreAccess", "metadata": {"name": name},
        "spec": {"storeRef": {"name": store}, "rules": rules}});
    let api: Api<ClusterStoreAccess> = Api::all(place.client.clone());
    let params = PatchParams::apply("test").force();
    api.patch(name, &params, &Patch::Apply(object))
        .await
        .unwrap();
}

fn everyone(keys: &[&str]) -> Value {
    json!([{"namespaceSelector": {}, "keys": keys}])
}

fn of_cluster(store: &str, entries: &[(&str, &str)]) -> Value {
    let mut spec = reads(store, entries);
    spec["secretStoreRef"]["kind"] = "ClusterSecretStore".into();
    spec
}

/// A vault behind a ClusterSecretStore, with what two namespaces have in it.
async fn vault(a: &Place, b: &Place) -> (CountingVault, String) {
    let vault = a.vault().await;
    for place in [a, b] {
        let path = format!("{}/db", place.name());
        vault.put("secret", &path, json!({"password": place.name()}));
    }
    let mut provider = vault_store(&vault);
    provider["vault"]["auth"]["appRole"]["secretRef"]["namespace"] = a.name().into();
    let store = a.cluster_store(provider).await;
    (vault, store)
}

fn asked(vault: &CountingVault, what: &str) -> bool {
    vault.requests().keys().any(|path| path.contains(what))
}

#[tokio::test]
async fn a_namespace_reads_its_own_keys_and_a_refusal_is_told_and_never_sent() {
    let (a, b) = (Place::new("teama").await, Place::new("teamb").await);
    let (vault, store) = vault(&a, &b).await;
    allow(&a, &store, &store, everyone(&["{{namespace}}/**"])).await;
    let own = |place: &Place| format!("{}/db#password", place.name());
    for place in [&a, &b] {
        let spec = of_cluster(&store, &[("password", &own(place))]);
        place.external_secret("own", spec).await;
        place.value("own", "password", place.name()).await;
    }
    vault.reset_counts();
    let theirs = format!("{}/db", a.name());
    for key in [
        theirs.clone(),
        format!("{}/../{theirs}", b.name()),
        format!("secret/data/{theirs}"),
    ] {
        let name = format!("es-{}", key.len());
        let spec = of_cluster(
            &store,
            &[
                ("password", &own(&b)),
                ("stolen", &format!("{key}#password")),
            ],
        );
        b.external_secret(&name, spec).await;
        let message = b.failed(&name, "PST-1503").await;
        assert!(
            message.contains("spec.data[1]") && message.contains(&key),
            "{message}"
        );
        let object = b.api::<ExternalSecret>().get(&name).await.unwrap();
        let said = condition(&object).unwrap();
        assert_eq!(said.reason.as_deref(), Some("StoreAccessDenied"));
        let event = &b.events(&name).await[0];
        assert_eq!(event.reason.as_deref(), Some("StoreAccessDenied"));
        assert_eq!(event.type_.as_deref(), Some("Warning"));
        assert_eq!(b.api::<Secret>().get_opt(&name).await.unwrap(), None);
        let log = b.stage.log();
        let record = log
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .find(|line| {
                line["target"] == "audit"
                    && line["fields"]["external_secret"] == name.as_str()
                    && line["fields"]["namespace"] == b.name()
            });
        let fields = record.unwrap()["fields"].clone();
        for (field, value) in [
            ("action", "read"),
            ("decision", "denied"),
            ("store_kind", "ClusterSecretStore"),
            ("store", &store),
            ("entry", "spec.data[1]"),
            ("key", &key),
            ("code", "PST-1503"),
        ] {
            assert_eq!(fields[field], value, "{fields}");
        }
    }
    // Nothing at all was read for them, not even what they may have.
    assert!(!asked(&vault, "/db"), "{:?}", vault.requests());
}

#[tokio::test]
async fn a_change_takes_effect_at_once_and_the_secret_stays() {
    let place = Place::new("change").await;
    let store = place
        .cluster_store(fake_store(&[("db", "one"), ("other", "two")]))
        .await;
    place
        .external_secret("app", of_cluster(&store, &[("password", "db")]))
        .await;
    place.value("app", "password", "one").await;
    let before = place.api::<Secret>().get("app").await.unwrap();
    allow(&place, &store, &store, everyone(&["other"])).await;
    place.failed("app", "is not allowed in namespace").await;
    let more = format!("{store}-more");
    allow(&place, &more, &store, everyone(&["d*"])).await;
    place.synced("app").await;
    // One that cannot be read closes the store, whatever others allow.
    allow(&place, &store, &store, everyone(&["{{nothing}}"])).await;
    let closed = place.failed("app", "PST-1504").await;
    assert!(closed.contains("spec.rules[0].keys[0]"), "{closed}");
    let api: Api<ClusterStoreAccess> = Api::all(place.client.clone());
    api.delete(&store, &DeleteParams::default()).await.unwrap();
    place.synced("app").await;
    api.delete(&more, &DeleteParams::default()).await.unwrap();
    place.synced("app").await;
    let after = place.api::<Secret>().get("app").await.unwrap();
    assert_eq!(
        after.metadata.resource_version,
        before.metadata.resource_version
    );
}

#[tokio::test]
async fn a_search_stays_within_its_prefix_and_is_not_sent_where_it_does_not() {
    let (a, b) = (Place::new("finda").await, Place::new("findb").await);
    let (vault, store) = vault(&a, &b).await;
    allow(&a, &store, &store, everyone(&["{{namespace}}/**"])).await;
    let find = |find: Value| {
        json!({"refreshInterval": "1h", "secretStoreRef": {"name": store, "kind": "ClusterSecretStore"},
            "dataFrom": [{"find": find}]})
    };
    b.external_secret("own", find(json!({"path": b.name()})))
        .await;
    let key = format!("{}_db", b.name());
    let value = format!("{{\"password\":\"{}\"}}", b.name());
    b.value("own", &key, &value).await;
    assert!(!asked(&vault, a.name()), "{:?}", vault.requests());
    vault.reset_counts();
    for (name, query) in [
        ("all", json!({"name": {"regexp": ".*"}})),
        ("theirs", json!({"path": a.name()})),
        (
            "up",
            json!({"path": format!("{}/../{}", b.name(), a.name())}),
        ),
        ("tags", json!({"tags": {"a": "b"}})),
    ] {
        b.external_secret(name, find(query)).await;
        b.failed(name, "must stay within keys").await;
    }
    assert_eq!(vault.reads(), 0);
    assert!(!asked(&vault, "metadata"), "{:?}", vault.requests());
}

#[tokio::test]
async fn a_search_that_finds_more_fails_and_takes_no_key_from_the_secret() {
    let place = Place::new("more").await;
    let data = [("t/db", "one"), ("t-old/db", "two")];
    let store = place.cluster_store(fake_store(&data)).await;
    let spec = json!({"refreshInterval": "1h", "secretStoreRef": {"name": store, "kind": "ClusterSecretStore"},
        "target": {"deletionPolicy": "Delete"}, "dataFrom": [{"find": {"path": "t", "name": {"regexp": "^t"}}}]});
    place.external_secret("app", spec).await;
    let before = place.value("app", "t_db", "one").await;
    assert_eq!(text(&before, "t-old_db").as_deref(), Some("two"));
    allow(&place, &store, &store, everyone(&["t/**"])).await;
    place.touch("app").await;
    place.failed("app", "the search finds objects").await;
    let after = place.api::<Secret>().get("app").await.unwrap();
    assert_eq!(after.data, before.data);
}

#[tokio::test]
async fn labels_of_the_namespace_open_and_may_require() {
    let place = Place::new("labelled").await;
    let store = place.cluster_store(fake_store(&[("pay/db", "one")])).await;
    place.store("own", fake_store(&[("db", "mine")])).await;
    place
        .external_secret("own", reads("own", &[("a", "db")]))
        .await;
    place
        .external_secret("wide", of_cluster(&store, &[("a", "pay/db")]))
        .await;
    place.value("own", "a", "mine").await;
    place.value("wide", "a", "one").await;
    let namespaces: Api<Namespace> = Api::all(place.client.clone());
    let label = |labels: Value| {
        let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
        let (namespaces, name) = (namespaces.clone(), place.name().to_owned());
        async move {
            let params = PatchParams::default();
            namespaces.patch(&name, &params, &patch).await.unwrap();
        }
    };
    label(json!({"postern.dev/require-store-access": "true"})).await;
    place.failed("own", "none names SecretStore \"own\"").await;
    place.failed("wide", "none names ClusterSecretStore").await;
    allow(&place, &store, &store, everyone(&["{{label \"team\"}}/*"])).await;
    place.failed("wide", "is not allowed in namespace").await;
    label(json!({"team": "pay"})).await;
    place.synced("wide").await;
    let access =
        json!({"metadata": {"name": "own"}, "spec": {"storeRef": {"name": "own"}, "keys": ["db"]}});
    let access: StoreAccess = serde_json::from_value(access).unwrap();
    let params = PostParams::default();
    place
        .api::<StoreAccess>()
        .create(&params, &access)
        .await
        .unwrap();
    place.synced("own").await;
}

#[tokio::test]
async fn an_operator_of_one_namespace_holds_to_the_store_accesses_of_it() {
    let place = Place::new("scopedaccess").await;
    let access = json!({"metadata": {"name": "own"},
        "spec": {"storeRef": {"name": "s"}, "keys": ["{{namespace}}/*", "{{label \"team\"}}/*"]}});
    let access: StoreAccess = serde_json::from_value(access).unwrap();
    let params = PostParams::default();
    place
        .api::<StoreAccess>()
        .create(&params, &access)
        .await
        .unwrap();
    let mine = format!("{}/db", place.name());
    let provider = fake_store(&[(&mine, "mine"), ("pay/db", "theirs")]);
    place.store_of_class("s", provider, place.name()).await;
    place
        .external_secret("mine", reads("s", &[("a", &mine)]))
        .await;
    place
        .external_secret("theirs", reads("s", &[("a", "pay/db")]))
        .await;
    place.stage.control(options_for(&place));
    place.value("mine", "a", "mine").await;
    place
        .failed("theirs", "any StoreAccess of SecretStore \"s\"")
        .await;
}

#[tokio::test]
async fn the_api_server_refuses_a_rule_that_says_for_nobody() {
    let place = Place::new("nobody").await;
    let api: Api<ClusterStoreAccess> = Api::all(place.client.clone());
    for (rule, said) in [
        (json!({"keys": ["a"]}), "say for which namespaces"),
        (
            json!({"namespaceSelector": {}, "keys": [""]}),
            "spec.rules[0].keys[0]",
        ),
        (json!({"namespaceSelector": {}}), "spec.rules[0].keys"),
    ] {
        let object = json!({"apiVersion": "postern.dev/v1alpha1", "kind": "ClusterStoreAccess",
            "metadata": {"name": place.name()}, "spec": {"storeRef": {"name": "s"}, "rules": [rule]}});
        let patch = Patch::Apply(&object);
        let params = PatchParams::apply("test").force();
        let refused = api.patch(place.name(), &params, &patch).await.unwrap_err();
        assert!(refused.to_string().contains(said), "{refused}");
    }
}

/// Without the right to see what restricts stores, an operator reads nothing at all.
#[tokio::test]
async fn nothing_is_read_before_all_that_restricts_has_been_seen() {
    let place = Place::new("blind").await;
    let rules: Vec<Value> = RULES
        .iter()
        .filter(|rule| rule.resource != "clusterstoreaccesses")
        .map(|rule| rule.to_json())
        .collect();
    let role = json!({"metadata": {"name": place.name()}, "rules": rules});
    let binding = json!({"metadata": {"name": place.name()},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": place.name()},
        "subjects": [{"kind": "ServiceAccount", "name": "operator", "namespace": place.name()}]});
    let params = PostParams::default();
    let role: ClusterRole = serde_json::from_value(role).unwrap();
    let binding: ClusterRoleBinding = serde_json::from_value(binding).unwrap();
    Api::all(place.client.clone())
        .create(&params, &role)
        .await
        .unwrap();
    Api::all(place.client.clone())
        .create(&params, &binding)
        .await
        .unwrap();
    let account = serde_json::from_value(json!({"metadata": {"name": "operator"}})).unwrap();
    let accounts = place.api::<ServiceAccount>();
    accounts.create(&params, &account).await.unwrap();
    let request = TokenRequest {
        spec: TokenRequestSpec::default(),
        ..TokenRequest::default()
    };
    let answer = accounts
        .create_token_request("operator", &params, &request)
        .await
        .unwrap();
    let client = place
        .stage
        .plane
        .client_for(&answer.status.unwrap().token)
        .unwrap();

    let vault = place.vault().await;
    vault.put("secret", "db", json!({"password": "x"}));
    place
        .store_of_class("s", vault_store(&vault), place.name())
        .await;
    place
        .external_secret("app", reads("s", &[("a", "db#password")]))
        .await;
    let blind = Options {
        controller_class: place.name().to_owned(),
        ..options()
    };
    let readiness = blind.readiness.clone();
    place.stage.control_as(client, blind);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(!readiness.is_ready());
    assert_eq!(vault.requests(), Default::default());

    let all: Vec<Value> = RULES.iter().map(|rule| rule.to_json()).collect();
    let patch = Patch::Merge(json!({"rules": all}));
    let roles: Api<ClusterRole> = Api::all(place.client.clone());
    roles
        .patch(place.name(), &PatchParams::default(), &patch)
        .await
        .unwrap();
    eventually("it is read", || async {
        let secret = place.api::<Secret>().get_opt("app").await.unwrap()?;
        (text(&secret, "a").as_deref() == Some("x")).then_some(())
    })
    .await;
}
