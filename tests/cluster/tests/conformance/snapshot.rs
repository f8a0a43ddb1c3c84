//! What is to be seen in the namespaces of a case, without what differs from run to run: names, times, versions.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::api::DynamicObject;
use postern_core::go;
use serde_json::{Map, Value, json};

use crate::play::{Scene, list, text};

/// Looks at everything.
pub async fn take(scene: &Scene) -> Value {
    let mut all = Map::new();
    for namespace in &scene.namespaces {
        let state = one(scene, namespace).await;
        all.insert(namespace.clone(), state);
    }
    for kind in ["ClusterSecretStore", "ClusterExternalSecret"] {
        let objects: Map<String, Value> = list(&scene.api(kind, None))
            .await
            .into_iter()
            .filter(|o| name(o).contains(&scene.namespace))
            .map(|o| (name(&o), cluster_object(&o)))
            .collect();
        if !objects.is_empty() {
            all.insert(kind.to_owned(), objects.into());
        }
    }
    let text = hashes(scene, &Value::from(all).to_string()).await;
    serde_json::from_str(&text.replace(&scene.namespace, "NAMESPACE")).unwrap()
}

/// The hash in the owner's label depends on the namespace; it is shown as what was hashed.
async fn hashes(scene: &Scene, text: &str) -> String {
    let mut text = text.to_owned();
    for namespace in &scene.namespaces {
        for object in list(&scene.api("ExternalSecret", Some(namespace))).await {
            let owner = format!("{namespace}/{}", name(&object));
            text = text.replace(&go::string_hash(&owner), &format!("hash of {owner}"));
        }
    }
    text
}

async fn one(scene: &Scene, namespace: &str) -> Value {
    let mut state = Map::new();
    type Show = fn(&Value) -> Value;
    let kinds: [(&str, &str, Show); 4] = [
        ("Secret", "secrets", secret),
        ("ConfigMap", "configMaps", target),
        ("ExternalSecret", "externalSecrets", external_secret),
        ("SecretStore", "stores", store),
    ];
    for (kind, field, show) in kinds {
        let objects: Map<String, Value> = list(&scene.api(kind, Some(namespace)))
            .await
            .iter()
            .filter(|o| name(o) != "kube-root-ca.crt")
            .map(|o| (name(o), show(&serde_json::to_value(o).unwrap())))
            .collect();
        if !objects.is_empty() {
            state.insert(field.to_owned(), objects.into());
        }
    }
    let mut events: Vec<String> = list(&scene.api("Event", Some(namespace)))
        .await
        .iter()
        .map(|o| event(&serde_json::to_value(o).unwrap()))
        .collect();
    events.sort();
    events.dedup();
    if !events.is_empty() {
        state.insert("events".to_owned(), json!(events));
    }
    state.into()
}

fn name(object: &DynamicObject) -> String {
    object.metadata.name.clone().unwrap_or_default()
}

/// The `Ready` condition without its times.
pub fn ready(object: &Value) -> Value {
    let conditions = object
        .pointer("/status/conditions")
        .and_then(Value::as_array);
    let ready = conditions
        .into_iter()
        .flatten()
        .find(|c| c["type"] == "Ready");
    ready.map_or(
        Value::Null,
        |c| json!({"status": c["status"], "reason": c["reason"], "message": c["message"]}),
    )
}

fn external_secret(object: &Value) -> Value {
    without_nothing(json!({
        "ready": ready(object),
        "binding": object.pointer("/status/binding/name"),
        "refreshed": object.pointer("/status/refreshTime").is_some_and(Value::is_string),
        "going": object.pointer("/metadata/deletionTimestamp").map(|_| true),
    }))
}

fn store(object: &Value) -> Value {
    without_nothing(
        json!({"ready": ready(object), "capabilities": object.pointer("/status/capabilities")}),
    )
}

fn cluster_object(object: &DynamicObject) -> Value {
    let object = serde_json::to_value(object).unwrap();
    without_nothing(json!({
        "ready": ready(&object),
        "capabilities": object.pointer("/status/capabilities"),
        "externalSecretName": object.pointer("/status/externalSecretName"),
        "provisionedNamespaces": object.pointer("/status/provisionedNamespaces"),
        "failedNamespaces": object.pointer("/status/failedNamespaces"),
    }))
}

fn secret(object: &Value) -> Value {
    let mut secret = target(object);
    if let Some(data) = object.get("data") {
        secret["data"] = shown(data);
    }
    secret
}

/// What is the same of a Secret and of another object that is a target.
fn target(object: &Value) -> Value {
    let owners: Vec<String> = each(object, "/metadata/ownerReferences")
        .map(|o| {
            format!(
                "{}/{} controller={}",
                text(o, "/kind"),
                text(o, "/name"),
                o["controller"]
            )
        })
        .collect();
    let managers: Vec<String> = each(object, "/metadata/managedFields")
        .map(|m| format!("{} {}", text(m, "/manager"), text(m, "/operation")))
        .filter(|m| m.starts_with("externalsecrets.external-secrets.io"))
        .collect();
    without_nothing(json!({
        "type": object.get("type"),
        "data": object.get("data"),
        "immutable": object.get("immutable"),
        "labels": object.pointer("/metadata/labels"),
        "annotations": object.pointer("/metadata/annotations"),
        "finalizers": object.pointer("/metadata/finalizers"),
        "owners": owners,
        "managers": managers,
    }))
}

fn each<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// Values as text where they are text.
fn shown(data: &Value) -> Value {
    let entries: BTreeMap<String, String> = serde_json::from_value(data.clone()).unwrap();
    let show = |encoded: String| {
        let bytes = STANDARD.decode(&encoded).unwrap();
        match String::from_utf8(bytes) {
            Ok(text) if !text.contains(|c: char| c.is_control() && c != '\n') => text,
            _ => format!("base64:{encoded}"),
        }
    };
    entries
        .into_iter()
        .map(|(k, v)| (k, show(v)))
        .collect::<BTreeMap<_, _>>()
        .into_iter()
        .map(|(k, v)| (k, json!(v)))
        .collect::<Map<_, _>>()
        .into()
}

fn event(object: &Value) -> String {
    // Both the old and the new API of events are in use; the server shows the one as the other.
    let about = format!(
        "{}/{}",
        text(object, "/involvedObject/kind"),
        text(object, "/involvedObject/name")
    );
    format!(
        "{} {about} {}: {}",
        text(object, "/type"),
        text(object, "/reason"),
        text(object, "/message")
    )
}

fn without_nothing(value: Value) -> Value {
    match value {
        Value::Object(map) => map
            .into_iter()
            .filter(|(_, v)| ![Value::Null, json!([]), json!("")].contains(v))
            .collect::<Map<_, _>>()
            .into(),
        other => other,
    }
}
