//! The control plane that tests stand on is a real one.

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::api::{ListParams, ObjectMeta, PostParams};
use postern_test_kit::{ControlPlane, Namespace};

#[tokio::test]
async fn gives_out_tokens_that_rbac_refuses_by_default() {
    let plane = ControlPlane::shared();
    let admin = plane.client().unwrap();
    let namespace = Namespace::create(&admin, "kit").await.unwrap();
    let accounts = namespace.api::<ServiceAccount>(&admin);
    let account = ServiceAccount {
        metadata: ObjectMeta {
            name: Some("app".into()),
            ..ObjectMeta::default()
        },
        ..ServiceAccount::default()
    };
    accounts
        .create(&PostParams::default(), &account)
        .await
        .unwrap();
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: vec!["https://kubernetes.default.svc".into()],
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let issued = accounts
        .create_token_request("app", &PostParams::default(), &request)
        .await
        .unwrap();
    let token = issued.status.unwrap().token;

    let nobody = plane.client_for(&token).unwrap();
    let refused = namespace
        .api::<Secret>(&nobody)
        .list(&ListParams::default())
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, kube::Error::Api(status) if status.code == 403),
        "{refused}"
    );
    assert!(
        refused
            .to_string()
            .contains(&format!("system:serviceaccount:{}:app", namespace.name())),
        "{refused}"
    );
}

#[tokio::test]
async fn keeps_objects_of_one_namespace_from_another() {
    let admin = ControlPlane::shared().client().unwrap();
    let (one, other) = (
        Namespace::create(&admin, "kit").await.unwrap(),
        Namespace::create(&admin, "kit").await.unwrap(),
    );
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some("s".into()),
            ..ObjectMeta::default()
        },
        ..Secret::default()
    };
    one.api::<Secret>(&admin)
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
    assert_eq!(
        one.api::<Secret>(&admin)
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .len(),
        1
    );
    assert_eq!(
        other
            .api::<Secret>(&admin)
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .len(),
        0
    );
}

#[test]
fn speaks_to_kubectl() {
    let output = ControlPlane::shared()
        .kubectl()
        .args(["version", "-o", "json"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let versions: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        versions["serverVersion"]["gitVersion"],
        versions["clientVersion"]["gitVersion"]
    );
}
