//! Two namespaces behind one store never share what one of them could not have read.

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use postern_api::ClusterSecretStore;
use postern_test_kit::kvserver::{CountingVault, Vaultlike as _};
use serde_json::json;

use crate::harness::{Place, reads};

#[tokio::test]
async fn namespaces_with_different_rights_do_not_see_each_others_values() {
    let (may, may_not) = (Place::new("may").await, Place::new("maynot").await);
    let vault = CountingVault::start().unwrap();
    vault.put("secret", "shared", json!({"password": "for-one-only"}));
    vault.put("secret", "other", json!({"password": "for-the-other"}));
    vault.policy("one", &["secret/data/shared"]);
    vault.policy("two", &["secret/data/other"]);
    may.secret("token", &[("token", &vault.issue_token(&["one"]))])
        .await;
    may_not
        .secret("token", &[("token", &vault.issue_token(&["two"]))])
        .await;
    let store = may
        .cluster_store(
            json!({"vault": {"server": vault.url(), "path": "secret", "version": "v2",
            "auth": {"tokenSecretRef": {"name": "token", "key": "token"}}}}),
        )
        .await;
    let mut shared = reads(&store, &[("password", "shared#password")]);
    shared["secretStoreRef"]["kind"] = "ClusterSecretStore".into();
    let mut other = reads(&store, &[("password", "other#password")]);
    other["secretStoreRef"]["kind"] = "ClusterSecretStore".into();
    // At the same moment, so that they would meet in one fetch if anything let them.
    tokio::join!(
        may.external_secret("shared", shared.clone()),
        may_not.external_secret("shared", shared),
        may.external_secret("other", other.clone()),
        may_not.external_secret("other", other),
    );
    may.value("shared", "password", "for-one-only").await;
    may_not.value("other", "password", "for-the-other").await;
    for _ in 0..3 {
        may_not.failed("shared", "PST-1103").await;
        may.failed("other", "PST-1103").await;
        tokio::join!(
            may.touch("shared"),
            may_not.touch("shared"),
            may.touch("other"),
            may_not.touch("other")
        );
    }
    assert!(
        may_not
            .api::<Secret>()
            .get_opt("shared")
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        may.api::<Secret>()
            .get_opt("other")
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_store_with_conditions_serves_only_the_namespaces_that_they_name() {
    let (inside, outside) = (Place::new("inside").await, Place::new("outside").await);
    let store = inside
        .cluster_store(json!({"fake": {"data": [{"key": "k", "value": "v"}]}}))
        .await;
    let conditions = json!({"spec": {"conditions": [{"namespaces": [inside.name()]}]}});
    let api: Api<ClusterSecretStore> = Api::all(inside.client.clone());
    api.patch(&store, &PatchParams::default(), &Patch::Merge(conditions))
        .await
        .unwrap();
    let mut spec = reads(&store, &[("a", "k")]);
    spec["secretStoreRef"]["kind"] = "ClusterSecretStore".into();
    inside.external_secret("app", spec.clone()).await;
    outside.external_secret("app", spec).await;
    inside.value("app", "a", "v").await;
    outside.failed("app", "denied by spec.condition").await;
}
