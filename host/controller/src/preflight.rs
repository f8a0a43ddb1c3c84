//! Before anything is watched: are the CRDs there, and are they ours? Without them nothing works, and with another's schema
//! fields that we write would silently vanish.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client};
use serde_json::Value;

use crate::Error;

/// Needed only where they are served.
pub(crate) const CLUSTER_EXTERNAL_SECRETS: &str = "clusterexternalsecrets.external-secrets.io";
/// Needed only where they are served.
pub(crate) const CLUSTER_STORES: &str = "clustersecretstores.external-secrets.io";
/// Needed only where ClusterSecretStores are served.
pub(crate) const CLUSTER_STORE_ACCESSES: &str = "clusterstoreaccesses.postern.dev";
/// Places in the schema that only our CRDs have.
const OURS: [(&str, &str); 8] = [
    (
        "externalsecrets.external-secrets.io",
        "/status/properties/conditions/items/properties/observedGeneration",
    ),
    (
        "secretstores.external-secrets.io",
        "/spec/properties/provider/x-kubernetes-preserve-unknown-fields",
    ),
    (
        CLUSTER_STORES,
        "/spec/properties/provider/x-kubernetes-preserve-unknown-fields",
    ),
    (
        CLUSTER_EXTERNAL_SECRETS,
        "/status/properties/conditions/items/properties/observedGeneration",
    ),
    ("plugins.postern.dev", "/spec/properties/serves"),
    ("plugingrants.postern.dev", "/spec/properties/hosts"),
    ("storeaccesses.postern.dev", "/spec/properties/storeRef"),
    (CLUSTER_STORE_ACCESSES, "/spec/properties/storeRef"),
];

/// The CRDs that are looked at.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    OURS.iter().map(|(name, _)| *name)
}

/// Fails with what to do where a CRD is missing or another's; those of what is not served are passed over.
pub(crate) async fn check(client: &Client, unserved: &[&str]) -> Result<(), Error> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let needed = OURS
        .into_iter()
        .filter(|(name, _)| !unserved.contains(name));
    for (name, pointer) in needed {
        let crd = match api.get_opt(name).await {
            Ok(Some(crd)) => crd,
            Ok(None) => return Err(Error::CrdMissing(name.to_owned())),
            Err(kube::Error::Api(status)) if status.is_forbidden() => {
                tracing::warn!(
                    "may not read CustomResourceDefinitions, so it is not known whether they are Postern's"
                );
                return Ok(());
            }
            Err(source) => return Err(Error::Unreachable(source)),
        };
        if !has(&serde_json::to_value(&crd).unwrap_or_default(), pointer) {
            return Err(Error::CrdForeign(name.to_owned()));
        }
    }
    Ok(())
}

fn has(crd: &Value, pointer: &str) -> bool {
    let versions = crd.pointer("/spec/versions").and_then(Value::as_array);
    let served = versions.into_iter().flatten().find(|version| {
        ["v1", postern_api::names::POSTERN_VERSION]
            .contains(&version["name"].as_str().unwrap_or_default())
            && version["served"] == true
    });
    served.is_some_and(|version| {
        version
            .pointer(&format!("/schema/openAPIV3Schema/properties{pointer}"))
            .is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_crds_are_recognised_and_those_without_our_marks_are_not() {
        let crds = postern_api::crds();
        for (name, pointer) in OURS {
            let crd = crds
                .iter()
                .find(|crd| crd["metadata"]["name"] == name)
                .unwrap();
            assert!(has(crd, pointer), "{name}");
            let mut other = crd.clone();
            other["spec"]["versions"][0]["name"] = "v1beta1".into();
            assert!(!has(&other, pointer), "{name}");
        }
        assert!(!has(
            &serde_json::json!({"spec": {"versions": [{"name": "v1", "served": true, "schema": {}}]}}),
            OURS[0].1
        ));
    }
}
