//! The API server itself refuses what the peer's webhook refuses, and nothing that it takes; each rule is broken once.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams, PostParams};
use postern_api::ExternalSecret;
use serde_json::{Value, json};

use crate::harness::{Place, eventually};

/// Creates an object as it stands, and gives what the API server made of it.
async fn create(place: &Place, kind: &str, spec: &Value) -> Result<DynamicObject, String> {
    let resource = ApiResource {
        group: "external-secrets.io".into(),
        version: "v1".into(),
        api_version: "external-secrets.io/v1".into(),
        kind: kind.into(),
        plural: format!("{}s", kind.to_lowercase()),
    };
    let mut object = DynamicObject::new("", &resource).data(json!({"spec": spec}));
    object.metadata = ObjectMeta {
        generate_name: Some("rule-".into()),
        ..ObjectMeta::default()
    };
    let api: Api<DynamicObject> =
        Api::namespaced_with(place.client.clone(), place.name(), &resource);
    let answer = api.create(&PostParams::default(), &object).await;
    answer.map_err(|error| error.to_string())
}

/// A good ExternalSecret with some fields put in the place of its own.
fn with(fields: Value) -> Value {
    let mut spec = json!({"secretStoreRef": {"name": "s"}, "data": [{"secretKey": "a", "remoteRef": {"key": "k"}}]});
    let spec_fields = spec.as_object_mut().unwrap();
    for (name, value) in fields.as_object().unwrap() {
        spec_fields.insert(name.clone(), value.clone());
    }
    spec
}

fn policies(creation: &str, deletion: &str) -> Value {
    json!({"target": {"creationPolicy": creation, "deletionPolicy": deletion}})
}

fn from(entry: Value) -> Value {
    json!({"dataFrom": [entry]})
}

fn template(template: Value) -> Value {
    json!({"target": {"template": template}})
}

fn generator() -> Value {
    json!({"generatorRef": {"kind": "Password", "name": "p"}})
}

async fn refused(place: &Place, kind: &str, table: &[(Value, &str)]) {
    for (spec, text) in table {
        match create(place, kind, spec).await {
            Ok(_) => panic!("it was taken, and should be refused with \"{text}\": {spec}"),
            Err(message) => assert!(message.contains(text), "{spec}: {message}"),
        }
    }
}

async fn taken(place: &Place, kind: &str, specs: &[Value]) {
    for spec in specs {
        if let Err(message) = create(place, kind, spec).await {
            panic!("{spec}: {message}");
        }
    }
}

#[tokio::test]
async fn each_rule_for_external_secrets_refuses_what_breaks_it() {
    let place = Place::new("rules").await;
    let account = json!({"type": "kubernetes.io/service-account-token", "metadata": {"annotations": {"kubernetes.io/service-account.name": "admin"}}});
    let table = [
        (with(json!({"data": []})), "reads nothing"),
        (json!({"secretStoreRef": {"name": "s"}}), "reads nothing"),
        (with(policies("Merge", "Delete")), "deletionPolicy Delete"),
        (with(policies("None", "Delete")), "deletionPolicy Delete"),
        (
            with(policies("CreateOrMerge", "Delete")),
            "deletionPolicy Delete",
        ),
        (with(policies("None", "Merge")), "deletionPolicy Merge"),
        (
            with(from(
                json!({"extract": {"key": "k"}, "find": {"path": "p"}}),
            )),
            "only one of",
        ),
        (
            with(from(
                json!({"extract": {"key": "k"}, "sourceRef": generator()}),
            )),
            "only one of",
        ),
        (
            with(from(
                json!({"find": {"path": "p"}, "sourceRef": generator()}),
            )),
            "only one of",
        ),
        (
            with(from(
                json!({"rewrite": [{"regexp": {"source": "a", "target": "b"}}]}),
            )),
            "needs one of",
        ),
        (with(from(json!({"sourceRef": {}}))), "sourceRef"),
        (
            with(from(
                json!({"sourceRef": {"storeRef": {"name": "s"}, "generatorRef": {"kind": "Password", "name": "p"}}}),
            )),
            "sourceRef",
        ),
        (
            with(template(json!({"type": "bootstrap.kubernetes.io/token"}))),
            "bootstrap.kubernetes.io/token",
        ),
        (with(template(account)), "service-account"),
        (
            with(json!({"data": [{"secretKey": "a/b", "remoteRef": {"key": "k"}}]})),
            "secretKey",
        ),
        (with(json!({"data": [{"secretKey": "a"}]})), "remoteRef"),
        (
            with(json!({"secretStoreRef": {"name": "Not_A_Name"}})),
            "secretStoreRef.name",
        ),
        (with(json!({"refreshPolicy": "Sometimes"})), "refreshPolicy"),
        (
            with(json!({"target": {"name": "x".repeat(254)}})),
            "spec.target.name",
        ),
        (
            with(from(
                json!({"sourceRef": {"generatorRef": {"kind": "Dice", "name": "p"}}}),
            )),
            "generatorRef.kind",
        ),
    ];
    refused(&place, "ExternalSecret", &table).await;
}

#[tokio::test]
async fn what_the_peer_takes_is_taken_and_given_back_as_it_was() {
    let place = Place::new("rules").await;
    let twice = json!([{"secretKey": "a", "remoteRef": {"key": "k"}}, {"secretKey": "a", "remoteRef": {"key": "l"}}]);
    let specs = [
        with(policies("Owner", "Delete")),
        // The controller refuses this one, with a condition.
        with(policies("Orphan", "Delete")),
        with(policies("CreateOrMerge", "Merge")),
        json!({"dataFrom": [{"extract": {"key": "k"}, "sourceRef": {"storeRef": {"name": "s", "kind": "ClusterSecretStore"}}}]}),
        json!({"dataFrom": [{"sourceRef": {"storeRef": {"name": "s"}}}]}),
        json!({"dataFrom": [{"sourceRef": generator()}]}),
        with(json!({"data": twice, "target": {"deletionPolicy": "Merge"}})),
        with(template(
            json!({"type": "kubernetes.io/service-account-token"}),
        )),
        with(template(
            json!({"metadata": {"annotations": {"kubernetes.io/service-account.name": "x"}}}),
        )),
        with(
            json!({"target": {"manifest": {"apiVersion": "v1", "kind": "ConfigMap"}, "template": {"templateFrom": [{"literal": "x", "target": "spec.a[0].b"}]}}}),
        ),
        with(json!({"refreshInterval": "0"})),
    ];
    taken(&place, "ExternalSecret", &specs).await;
    for spec in specs {
        let stored = create(&place, "ExternalSecret", &spec).await.unwrap();
        assert_eq!(stored.data["spec"], spec);
    }
    // What a chart leaves empty counts as absent.
    let nulls = with(json!({"dataFrom": null, "target": null, "refreshInterval": null}));
    let stored = create(&place, "ExternalSecret", &nulls).await.unwrap();
    assert_eq!(stored.data["spec"], with(json!({})));
    let by_store =
        ListParams::default().fields("spec.secretStoreRef.name=s,spec.refreshInterval=0");
    let found = place.api::<ExternalSecret>().list(&by_store).await.unwrap();
    assert_eq!(found.items.len(), 2);
}

#[tokio::test]
async fn each_rule_for_stores_refuses_what_breaks_it() {
    let place = Place::new("rules").await;
    let store = |fields: Value| {
        let mut spec = json!({"provider": {"fake": {"data": []}}});
        spec.as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        spec
    };
    let table = [
        (store(json!({"refreshInterval": -1})), "refreshInterval"),
        (store(json!({"refreshInterval": "-5m"})), "refreshInterval"),
        (
            store(json!({"refreshInterval": "often"})),
            "refreshInterval",
        ),
        (store(json!({"provider": {}})), "provider"),
        (
            store(json!({"provider": {"fake": {}, "vault": {}}})),
            "provider",
        ),
        (
            store(json!({"conditions": [{"namespaces": ["Not_A_Label"]}]})),
            "namespaces",
        ),
    ];
    refused(&place, "SecretStore", &table).await;
    let good = [
        store(json!({"refreshInterval": 0})),
        store(json!({"refreshInterval": 300})),
        store(json!({"refreshInterval": "1h30m"})),
        store(json!({"retrySettings": {"maxRetries": 3, "retryInterval": "10s"}})),
        store(
            json!({"conditions": [{}, {"namespaceRegexes": ["^a"], "namespaceSelector": {"matchLabels": {"a": "b"}}}]}),
        ),
    ];
    taken(&place, "SecretStore", &good).await;
}

#[tokio::test]
async fn the_optional_policy_refuses_the_rest() {
    let place = Place::new("rules").await;
    for mut object in postern_api::admission_policy() {
        // Only here, so that the neighbours of this test are not held to it.
        let name = format!(
            "{}-{}",
            place.name(),
            object["metadata"]["name"].as_str().unwrap()
        );
        object["metadata"]["name"] = name.clone().into();
        if object["kind"] == "ValidatingAdmissionPolicyBinding" {
            object["spec"]["policyName"] = name.into();
            object["spec"]["matchResources"] = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": place.name()}}});
        } else if object["spec"]["matchConstraints"]["resourceRules"][0]["resources"][0]
            == "secretstores"
        {
            object["spec"]["matchConstraints"]["resourceRules"][0]["resources"] =
                json!(["secretstores"]);
        }
        let kind = object["kind"].as_str().unwrap();
        let resource = ApiResource {
            group: "admissionregistration.k8s.io".into(),
            version: "v1".into(),
            api_version: "admissionregistration.k8s.io/v1".into(),
            kind: kind.into(),
            plural: kind
                .to_lowercase()
                .replace("policy", "policies")
                .replace("policiesbinding", "policybindings"),
        };
        let api: Api<DynamicObject> = Api::all_with(place.client.clone(), &resource);
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        api.create(&PostParams::default(), &object).await.unwrap();
    }
    let entry = |key: &str| json!({"secretKey": "a", "remoteRef": {"key": key}});
    let twice = json!({"data": [entry("k"), entry("l")]});
    let account = |target: &str| {
        template(
            json!({"type": "kubernetes.io/service-account-token", "templateFrom": [{"literal": "x", "target": target}]}),
        )
    };
    let to = |target: &str| template(json!({"templateFrom": [{"literal": "x", "target": target}]}));
    eventually("the policy is in force", || async {
        create(&place, "ExternalSecret", &with(twice.clone()))
            .await
            .err()
    })
    .await;
    let bad_pattern =
        json!({"provider": {"fake": {"data": []}}, "conditions": [{"namespaceRegexes": ["("]}]});
    eventually("the policy for stores is in force", || async {
        create(&place, "SecretStore", &bad_pattern).await.err()
    })
    .await;
    let table = [
        (with(twice.clone()), "stands once"),
        (
            with(account("annotations")),
            "no template may make annotations",
        ),
        (
            with(account("Annotations")),
            "no template may make annotations",
        ),
        (with(to("spec.data")), "Data, Labels or Annotations"),
        (
            with(
                json!({"target": {"manifest": {"apiVersion": "v1", "kind": "Secret"}, "template": {"templateFrom": [{"literal": "x", "target": "spec"}]}}}),
            ),
            "Data, Labels or Annotations",
        ),
    ];
    refused(&place, "ExternalSecret", &table).await;
    let mut merged = twice;
    merged["target"] = json!({"deletionPolicy": "Merge"});
    let many: Vec<Value> = (0..400)
        .map(|n| json!({"secretKey": format!("k{n}"), "remoteRef": {"key": "k"}}))
        .collect();
    let good = [
        with(merged),
        with(account("Labels")),
        with(to("")),
        with(to("labels")),
        with(
            json!({"target": {"manifest": {"apiVersion": "v1", "kind": "ConfigMap"}, "template": {"templateFrom": [{"literal": "x", "target": "spec.a"}]}}}),
        ),
        // The comparison of every entry with every other has a budget, which must do for what people have.
        with(json!({"data": many})),
    ];
    taken(&place, "ExternalSecret", &good).await;
    let pattern =
        json!({"provider": {"fake": {"data": []}}, "conditions": [{"namespaceRegexes": ["^a.*"]}]});
    taken(&place, "SecretStore", &[pattern]).await;
}
