//! Plays a case: applies what it says, waits until nothing changes any more, looks at what is there.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use postern_api::ExternalSecret;
use postern_core::plan;
use postern_test_kit::Namespace;
use serde_json::{Value, json};

use crate::case::{Case, Step};
use crate::snapshot;

/// The word in manifests that becomes the name of the case's namespace.
const TOKEN: &str = "NAMESPACE";
/// Far beyond what anything takes, and short enough that a hang is noticed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The namespaces of a case: its own, and those that its manifests make.
pub struct Scene {
    pub client: Client,
    pub namespace: String,
    pub namespaces: BTreeSet<String>,
}

/// What was to be seen after each step, with the names of namespaces taken out.
pub async fn play(client: &Client, case: &Case) -> Result<Value, String> {
    // The number stands in front, so that no name is the beginning of another.
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let prefix = format!("case{:04}", NEXT.fetch_add(1, Ordering::Relaxed));
    let namespace = Namespace::create(client, &prefix).await.unwrap();
    let mut scene = Scene {
        client: client.clone(),
        namespace: namespace.name().to_owned(),
        namespaces: BTreeSet::from([namespace.name().to_owned()]),
    };
    let mut seen = Vec::new();
    for step in std::iter::once(case.first()).chain(case.timeline.then.clone()) {
        let refused = scene
            .act(&step)
            .await
            .map_err(|e| format!("step \"{}\": {e}", step.name))?;
        let state = scene.at_rest(&step).await?;
        let mut entry = json!({"after": step.name, "state": state});
        if !refused.is_empty() {
            entry["refused"] = json!(refused);
        }
        seen.push(entry);
    }
    scene.leave().await;
    Ok(json!({"about": case.timeline.about, "seen": seen}))
}

impl Scene {
    /// Does what a step says, and returns which objects the API server refused.
    async fn act(&mut self, step: &Step) -> Result<Vec<String>, String> {
        let mut refused = Vec::new();
        let mut stores_first = true;
        for object in &step.apply {
            let object = self.own(object);
            if stores_first && text(&object, "/kind").ends_with("ExternalSecret") {
                self.stores_answered().await;
                stores_first = false;
            }
            let name = format!(
                "{}/{}",
                text(&object, "/kind"),
                text(&object, "/metadata/name")
            );
            if !self.apply(object).await? {
                refused.push(name.replace(&self.namespace, TOKEN));
            }
        }
        for patch in &step.patch {
            let api = self.api(&patch.kind, patch.namespace.as_deref());
            let body = Patch::Merge(self.own(&patch.patch));
            let name = self.named(&patch.name);
            match api.patch(&name, &PatchParams::default(), &body).await {
                Err(error) if is_refusal(&error) => {
                    refused.push(format!("{}/{}", patch.kind, patch.name))
                }
                other => drop(other.map_err(|e| format!("patching {name}: {e}"))?),
            }
        }
        for named in &step.delete {
            let api = self.api(&named.kind, named.namespace.as_deref());
            let name = self.named(&named.name);
            api.delete(&name, &DeleteParams::default())
                .await
                .map_err(|e| format!("deleting {name}: {e}"))?;
        }
        if !step.touch.is_empty() {
            // What follows from the other changes by itself shall not be mixed with what follows from the touch.
            let rest = Step {
                unready: true,
                ..step.clone()
            };
            self.at_rest(&rest).await?;
        }
        for name in &step.touch {
            let patch =
                json!({"metadata": {"annotations": {"external-secrets.io/force-sync": step.name}}});
            self.api("ExternalSecret", None)
                .patch(name, &PatchParams::default(), &Patch::Merge(patch))
                .await
                .map_err(|e| format!("touching {name}: {e}"))?;
        }
        Ok(refused)
    }

    fn named(&self, text: &str) -> String {
        text.replace(TOKEN, &self.namespace)
    }

    fn own(&self, value: &Value) -> Value {
        serde_json::from_str(&self.named(&value.to_string())).unwrap()
    }

    pub fn api(&self, kind: &str, namespace: Option<&str>) -> Api<DynamicObject> {
        let (resource, namespaced) = resource(kind);
        if namespaced {
            let namespace = namespace.map_or_else(|| self.namespace.clone(), |n| self.named(n));
            Api::namespaced_with(self.client.clone(), &namespace, &resource)
        } else {
            Api::all_with(self.client.clone(), &resource)
        }
    }

    /// Makes an object, or replaces it; false where the API server says that it is invalid.
    async fn apply(&mut self, mut object: Value) -> Result<bool, String> {
        let kind = text(&object, "/kind");
        let name = text(&object, "/metadata/name");
        let namespace = object
            .pointer("/metadata/namespace")
            .and_then(Value::as_str)
            .map(str::to_owned);
        let api = self.api(&kind, namespace.as_deref());
        if kind == "Namespace" {
            self.namespaces.insert(name.clone());
        }
        let parse =
            |object: &Value| serde_json::from_value::<DynamicObject>(object.clone()).unwrap();
        let result = match api.create(&PostParams::default(), &parse(&object)).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {
                let old = api
                    .get(&name)
                    .await
                    .map_err(|e| format!("{kind}/{name}: {e}"))?;
                object["metadata"]["resourceVersion"] = json!(old.metadata.resource_version);
                api.replace(&name, &PostParams::default(), &parse(&object))
                    .await
            }
            other => other,
        };
        match result {
            Ok(_) => Ok(true),
            Err(error) if is_refusal(&error) => Ok(false),
            Err(error) => Err(format!("{kind}/{name}: {error}")),
        }
    }

    /// What is there once each ExternalSecret and store has answered and nothing has changed for a while.
    async fn at_rest(&self, step: &Step) -> Result<Value, String> {
        let started = Instant::now();
        let mut last = Value::Null;
        let mut since = Instant::now();
        loop {
            // First the answers, then the look: what is seen is never older than what was answered.
            let answered = if step.unready {
                Ok(())
            } else {
                self.answered().await
            };
            let now = snapshot::take(self).await;
            if now != last {
                last = now;
                since = Instant::now();
            }
            if answered.is_ok() && since.elapsed() >= step.quiet() {
                return Ok(last);
            }
            if started.elapsed() > PATIENCE {
                let why = answered
                    .err()
                    .unwrap_or_else(|| "it does not come to rest".to_owned());
                return Err(format!(
                    "step \"{}\": after {PATIENCE:?}: {why}; last seen:\n{last:#}",
                    step.name
                ));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until each store has said whether it is ready, but not long: one that is nobody's never does. What an
    /// ExternalSecret says before that depends on who was faster.
    async fn stores_answered(&self) {
        let ready = async |kind: &str, namespace: Option<&str>| {
            let objects = list(&self.api(kind, namespace)).await;
            let own = objects.iter().filter(|o| {
                namespace.is_some() || o.metadata.name.as_ref().unwrap().contains(&self.namespace)
            });
            own.into_iter()
                .all(|o| !snapshot::ready(&serde_json::to_value(o).unwrap()).is_null())
        };
        for _ in 0..20 {
            let mut all = ready("ClusterSecretStore", None).await;
            for namespace in &self.namespaces {
                all &= ready("SecretStore", Some(namespace)).await;
            }
            if all {
                return;
            }
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    }

    /// Takes away what would go on being refreshed beside the other cases.
    async fn leave(&self) {
        for namespace in &self.namespaces {
            let all = self.api("ExternalSecret", Some(namespace));
            let _ = all
                .delete_collection(&DeleteParams::default(), &ListParams::default())
                .await;
        }
        let clusters = self.api("ClusterExternalSecret", None);
        for object in list(&clusters).await {
            let name = object.metadata.name.unwrap_or_default();
            if name.contains(&self.namespace) {
                let _ = clusters.delete(&name, &DeleteParams::default()).await;
            }
        }
    }

    /// Whether each ExternalSecret that is there says of its present version that it is synced, or that it failed; and
    /// each store that it is ready or not.
    async fn answered(&self) -> Result<(), String> {
        for namespace in &self.namespaces {
            for kind in ["ExternalSecret", "SecretStore"] {
                for object in list(&self.api(kind, Some(namespace))).await {
                    let name = object.metadata.name.clone().unwrap_or_default();
                    let value = serde_json::to_value(&object).unwrap();
                    if object.metadata.deletion_timestamp.is_none() && !has_answered(kind, &value) {
                        return Err(format!("{kind} {name} has not answered"));
                    }
                }
            }
        }
        Ok(())
    }
}

fn has_answered(kind: &str, object: &Value) -> bool {
    match snapshot::ready(object)["status"].as_str() {
        Some("True") if kind == "ExternalSecret" => {
            let parsed: ExternalSecret = serde_json::from_value(object.clone()).unwrap();
            text(object, "/status/syncedResourceVersion") == plan::current_version(&parsed)
        }
        Some(_) => true,
        None => false,
    }
}

pub async fn list(api: &Api<DynamicObject>) -> Vec<DynamicObject> {
    loop {
        match api.list(&ListParams::default()).await {
            Ok(list) => return list.items,
            // A kind that this cluster does not have has no objects.
            Err(kube::Error::Api(status)) if status.code == 404 => return Vec::new(),
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

fn is_refusal(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 400 | 403 | 422))
}

pub fn text(object: &Value, pointer: &str) -> String {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// The kinds that cases speak of, and whether they stand in namespaces.
fn resource(kind: &str) -> (ApiResource, bool) {
    let (group, namespaced) = match kind {
        "Namespace" => ("", false),
        "Secret" | "ConfigMap" | "ServiceAccount" | "Event" => ("", true),
        "ExternalSecret" | "SecretStore" => ("external-secrets.io", true),
        "ClusterSecretStore" | "ClusterExternalSecret" => ("external-secrets.io", false),
        "Role" | "RoleBinding" => ("rbac.authorization.k8s.io", true),
        other => panic!("cases do not know the kind {other}; add it to play.rs"),
    };
    let kind = GroupVersionKind::gvk(group, "v1", kind);
    (ApiResource::from_gvk(&kind), namespaced)
}
