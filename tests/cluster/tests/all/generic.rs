//! Targets that are no Secrets: ConfigMaps and custom resources, on a real API server.

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use postern_api::ExternalSecret;
use postern_controller::Options;
use serde_json::{Value, json};

use crate::harness::{Place, condition, eventually, fake_store, options_for, reads, vault_store};

/// A place with a controller of its own that serves such targets, and a store `corp`.
async fn place(prefix: &str) -> Place {
    let place = Place::new(prefix).await;
    let values = [("db", "right"), ("other", "more")];
    place
        .store_of_class("corp", fake_store(&values), place.name())
        .await;
    place.stage.control(Options {
        generic_targets: true,
        ..options_for(&place)
    });
    place
}

fn spec(target: Value) -> Value {
    let mut spec = reads("corp", &[("password", "db")]);
    spec["target"] = target;
    spec
}

fn config_map(more: Value) -> Value {
    let mut target = json!({"manifest": {"apiVersion": "v1", "kind": "ConfigMap"}});
    let fields = target.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    target
}

async fn value(place: &Place, name: &str, key: &str, value: &str) -> ConfigMap {
    eventually(
        &format!("ConfigMap {name} has the expected {key}"),
        || async {
            let map = place.api::<ConfigMap>().get_opt(name).await.unwrap()?;
            let has = map.data.as_ref()?.get(key)? == value;
            has.then_some(map)
        },
    )
    .await
}

async fn says(place: &Place, name: &str, reason: &str) -> ExternalSecret {
    eventually(&format!("{name} says {reason}"), || async {
        let object = place.api::<ExternalSecret>().get(name).await.unwrap();
        let says = condition(&object)?.reason.as_deref() == Some(reason);
        says.then_some(object)
    })
    .await
}

/// Kinds of which one is of namespaces, with a field that the API server fills in, and one of the cluster.
async fn widgets(place: &Place) -> Api<DynamicObject> {
    let spec = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true,
        "properties": {"filled": {"type": "string", "default": "in"}}});
    let schema = json!({"type": "object", "properties": {"spec": spec}});
    for (plural, kind, scope) in [
        ("widgets", "Widget", "Namespaced"),
        ("globes", "Globe", "Cluster"),
    ] {
        let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.acme.test")},
            "spec": {"group": "acme.test", "scope": scope, "names": {"plural": plural, "singular": plural.trim_end_matches('s'), "kind": kind},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}});
        let api: Api<CustomResourceDefinition> = Api::all(place.client.clone());
        let params = PatchParams::apply("test").force();
        let name = format!("{plural}.acme.test");
        api.patch(&name, &params, &Patch::Apply(crd)).await.unwrap();
        eventually("the definition is served", || async {
            let crd = api.get(&name).await.unwrap();
            let conditions = crd.status?.conditions?;
            let served = conditions
                .iter()
                .any(|c| c.type_ == "Established" && c.status == "True");
            served.then_some(())
        })
        .await;
    }
    let kind = GroupVersionKind::gvk("acme.test", "v1", "Widget");
    let resource = ApiResource::from_gvk(&kind);
    Api::namespaced_with(place.client.clone(), place.name(), &resource)
}

#[tokio::test]
async fn without_the_flag_the_condition_says_so_and_nothing_is_written() {
    let place = Place::new("generic-off").await;
    place.store("corp", fake_store(&[("db", "right")])).await;
    place
        .external_secret("app", spec(config_map(json!({}))))
        .await;
    let message = place.failed("app", "invalid generic target").await;
    assert!(
        message.contains("--unsafe-allow-generic-targets"),
        "{message}"
    );
    says(&place, "app", "SecretSyncedError").await;
    assert_eq!(place.api::<ConfigMap>().get_opt("app").await.unwrap(), None);
}

#[tokio::test]
async fn a_config_map_is_made_repaired_and_made_again() {
    let place = place("generic-map").await;
    place
        .external_secret("app", spec(config_map(json!({}))))
        .await;
    let map = value(&place, "app", "password", "right").await;
    let owners = map.metadata.owner_references.unwrap();
    assert_eq!(
        (owners[0].kind.as_str(), owners[0].name.as_str()),
        ("ExternalSecret", "app")
    );
    let object = says(&place, "app", "ResourceSynced").await;
    assert_eq!(object.status.unwrap().binding, None);
    let event = &place.events("app").await[0];
    assert_eq!(event.message.as_deref(), Some("Created ConfigMap app"));

    let edit = json!({"data": {"password": "wrong", "theirs": "x"}});
    let maps = place.api::<ConfigMap>();
    maps.patch("app", &PatchParams::default(), &Patch::Merge(edit))
        .await
        .unwrap();
    let map = value(&place, "app", "password", "right").await;
    assert_eq!(map.data.unwrap().len(), 1);
    maps.delete("app", &DeleteParams::default()).await.unwrap();
    value(&place, "app", "password", "right").await;
}

#[tokio::test]
async fn templates_reach_into_a_custom_resource_and_what_the_server_fills_in_is_no_drift() {
    let place = place("generic-widget").await;
    let widgets = widgets(&place).await;
    let template = json!({
        "metadata": {"labels": {"app": "x"}},
        "templateFrom": [
            {"target": "spec", "literal": "user: {{ .password }}\nport: 5432\n"},
            {"target": "spec.rules[0].headers", "literal": "X-Auth: {{ .password }}\n"},
            {"target": "annotations", "literal": "made: by-{{ .password }}\n"},
        ],
    });
    let manifest = json!({"apiVersion": "acme.test/v1", "kind": "Widget"});
    place
        .external_secret(
            "app",
            spec(json!({"manifest": manifest, "template": template})),
        )
        .await;
    says(&place, "app", "ResourceSynced").await;
    let widget = widgets.get("app").await.unwrap();
    assert_eq!(
        widget.data["spec"],
        json!({"filled": "in", "user": "right", "port": 5432, "rules": [{"headers": {"X-Auth": "right"}}]})
    );
    assert_eq!(widget.metadata.labels.as_ref().unwrap()["app"], "x");
    assert_eq!(
        widget.metadata.annotations.as_ref().unwrap()["made"],
        "by-right"
    );
    let before = place.api::<ExternalSecret>().get("app").await.unwrap();
    place.touch("app").await;
    eventually("it was synced again", || async {
        let now = place.api::<ExternalSecret>().get("app").await.unwrap();
        let (now, before) = (now.status?, before.status.as_ref()?);
        (now.synced_resource_version != before.synced_resource_version).then_some(())
    })
    .await;
    let now = widgets.get("app").await.unwrap();
    assert_eq!(
        now.metadata.resource_version,
        widget.metadata.resource_version
    );
    let edit = json!({"spec": {"user": "wrong"}});
    widgets
        .patch("app", &PatchParams::default(), &Patch::Merge(edit))
        .await
        .unwrap();
    eventually("the edit is undone", || async {
        let widget = widgets.get("app").await.unwrap();
        (widget.data["spec"]["user"] == "right").then_some(())
    })
    .await;
}

#[tokio::test]
async fn merge_waits_for_the_object_and_keeps_what_is_in_it() {
    let place = place("generic-merge").await;
    let target = config_map(json!({"name": "shared", "creationPolicy": "Merge"}));
    place.external_secret("app", spec(target)).await;
    let object = says(&place, "app", "ResourceMissing").await;
    let said = condition(&object).unwrap();
    assert_eq!(said.status, "True");
    assert_eq!(
        said.message.as_deref(),
        Some("resource will not be created due to CreationPolicy=Merge")
    );
    let map = json!({"metadata": {"name": "shared"}, "data": {"theirs": "x"}, "binaryData": {"b": "eA=="}});
    let map: ConfigMap = serde_json::from_value(map).unwrap();
    place
        .api::<ConfigMap>()
        .create(&PostParams::default(), &map)
        .await
        .unwrap();
    place.touch("app").await;
    let map = value(&place, "shared", "password", "right").await;
    assert_eq!(map.binary_data.unwrap().len(), 1);
    assert_eq!(map.metadata.owner_references, None);
    assert_eq!(map.data.unwrap()["theirs"], "x");
}

#[tokio::test]
async fn what_cannot_be_a_target_is_refused_by_name() {
    let place = place("generic-no").await;
    widgets(&place).await;
    for (name, manifest, said) in [
        (
            "secret",
            json!({"apiVersion": "v1", "kind": "Secret"}),
            "take it out",
        ),
        (
            "globe",
            json!({"apiVersion": "acme.test/v1", "kind": "Globe"}),
            "belongs to the cluster",
        ),
        (
            "none",
            json!({"apiVersion": "acme.test/v1", "kind": "Gadget"}),
            "is not known to the cluster",
        ),
        (
            "access",
            json!({"apiVersion": "postern.dev/v1alpha1", "kind": "StoreAccess"}),
            "not made from an ExternalSecret",
        ),
        (
            "role",
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding"}),
            "not made from an ExternalSecret",
        ),
    ] {
        place
            .external_secret(name, spec(json!({"manifest": manifest})))
            .await;
        place.failed(name, said).await;
        says(&place, name, "ResourceSyncedError").await;
    }
    let wrong =
        json!({"templateFrom": [{"target": "metadata.ownerReferences[0].uid", "literal": "x"}]});
    place
        .external_secret("path", spec(config_map(json!({"template": wrong}))))
        .await;
    place.failed("path", "leads into metadata").await;
}

#[tokio::test]
async fn an_object_of_another_external_secret_is_left_alone() {
    let place = place("generic-owned").await;
    let named = || config_map(json!({"name": "shared"}));
    place.external_secret("first", spec(named())).await;
    value(&place, "shared", "password", "right").await;
    let mut second = spec(named());
    second["data"][0]["remoteRef"]["key"] = "other".into();
    place.external_secret("second", second).await;
    place
        .failed("second", "target is owned by another ExternalSecret")
        .await;
    value(&place, "shared", "password", "right").await;
}

#[tokio::test]
async fn an_object_goes_only_where_the_backend_has_nothing_and_the_policy_says_so() {
    let place = place("generic-gone").await;
    let vault = place.vault().await;
    vault.put("secret", "app", json!({"password": "right"}));
    place
        .store_of_class("vault", vault_store(&vault), place.name())
        .await;
    for policy in ["Delete", "Retain"] {
        let mut spec = reads("vault", &[("password", "app#password")]);
        spec["target"] = config_map(json!({"deletionPolicy": policy}));
        let name = policy.to_lowercase();
        place.external_secret(&name, spec).await;
        value(&place, &name, "password", "right").await;
    }
    vault.remove("secret", "app");
    for name in ["delete", "retain"] {
        place.touch(name).await;
    }
    says(&place, "delete", "ResourceDeleted").await;
    assert_eq!(
        place.api::<ConfigMap>().get_opt("delete").await.unwrap(),
        None
    );
    place.failed("retain", "PST-1101").await;
    value(&place, "retain", "password", "right").await;
}
