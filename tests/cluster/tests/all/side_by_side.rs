//! The example of three backends in one namespace, one of which is exchanged: by its own manifests.

use std::path::Path;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use postern_api::ExternalSecret;
use postern_test_kit::aws::Aws;
use postern_test_kit::gcp::SecretManager;
use postern_test_kit::kvserver::Vaultlike as _;
use serde_json::json;

use crate::harness::{Place, eventually, text};
use crate::providers::apply_in;

/// A file of the example, with the servers of this test in the place of the vendors'.
fn manifest(file: &str, vault: &str, aws: &Aws, google: &SecretManager) -> String {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/side-by-side");
    let text = std::fs::read_to_string(example.join(file)).unwrap();
    let of_aws = json!({"secretsManager": aws.url(), "sts": aws.url()});
    text.replace("https://vault.example.com:8200", vault)
        .replace("aws:\n", &format!("aws:\n      endpoints: {of_aws}\n"))
        .replace(
            "gcpsm:\n",
            &format!("gcpsm:\n      endpoints: {}\n", google.endpoints()),
        )
}

#[tokio::test]
async fn a_store_moves_to_another_backend_and_nothing_else_changes() {
    let place = Place::new("shop").await;
    let (vault, google) = (place.vault().await, SecretManager::start().unwrap());
    let aws = tokio::task::spawn_blocking(|| Aws::start().unwrap())
        .await
        .unwrap();
    vault.put("secret", "shop-database", json!({"password": "of-vault"}));
    google.put("shop-licence", b"of-google");
    google.put("shop-partner", br#"{"token": "moved"}"#);
    let created = json!({"Name": "shop-partner", "SecretString": r#"{"token": "of-aws"}"#});
    aws.json("secretsmanager", "CreateSecret", &created)
        .unwrap();
    place
        .secret("vault-token", &[("token", vault.token())])
        .await;
    place
        .secret("aws-key", &[("id", "AKIDEXAMPLE"), ("secret", "example")])
        .await;
    place
        .secret("gcp-key", &[("key.json", &google.key_file())])
        .await;

    let file = |name: &str| manifest(name, vault.url(), &aws, &google);
    for name in ["stores.yaml", "shop.yaml", "deployment.yaml"] {
        apply_in(&place, file(&format!("manifests/{name}"))).await;
    }
    let holds = async |partner: &str| {
        eventually(&format!("the partner's token is {partner}"), || async {
            let secret = place.api::<Secret>().get_opt("shop").await.unwrap()?;
            let found = text(&secret, "partner-token").is_some_and(|token| token == partner);
            found.then_some(secret)
        })
        .await
    };
    let before = holds("of-aws").await;
    let of_object = place.api::<ExternalSecret>().get("shop").await.unwrap();
    let of_user = place.api::<Deployment>().get("shop").await.unwrap();

    apply_in(&place, file("moved/partner.yaml")).await;
    let after = holds("moved").await;
    let others = ["database-password", "licence"].map(|key| text(&after, key).unwrap());
    assert_eq!(others, ["of-vault", "of-google"]);
    assert_eq!(after.metadata.uid, before.metadata.uid);
    let object = place.api::<ExternalSecret>().get("shop").await.unwrap();
    assert_eq!(object.metadata.generation, of_object.metadata.generation);
    assert_eq!(object.spec, of_object.spec);
    let user = place.api::<Deployment>().get("shop").await.unwrap();
    assert_eq!(
        user.metadata.resource_version,
        of_user.metadata.resource_version
    );
}
