//! TLS with a backend as the store says: a private authority and a client certificate, both by reference.

use postern_test_kit::kvserver::{CountingVault, Transport, Vaultlike as _};
use serde_json::{Value, json};

use crate::harness::{Place, reads};

fn store(vault: &CountingVault) -> Value {
    json!({"vault": {
        "server": vault.url(), "path": "secret", "version": "v2",
        "auth": {"tokenSecretRef": {"name": "token", "key": "token"}},
        "caProvider": {"type": "Secret", "name": "authority", "key": "ca.crt"},
        // Without keys: those of a kubernetes.io/tls Secret are meant.
        "tls": {"certSecretRef": {"name": "client"}, "keySecretRef": {"name": "client"}},
    }})
}

#[tokio::test]
async fn a_private_authority_and_a_client_certificate_are_taken_from_references() {
    let place = Place::new("tls").await;
    let vault = CountingVault::start_with(Transport::HttpsClientCertificate).unwrap();
    vault.put("secret", "db", json!({"password": "over-tls"}));
    let client = vault.client_identity().unwrap();
    place.secret("token", &[("token", vault.token())]).await;
    place
        .secret("authority", &[("ca.crt", vault.ca_pem().unwrap())])
        .await;
    place
        .secret(
            "client",
            &[
                ("tls.crt", &client.certificate_pem),
                ("tls.key", &client.key_pem),
            ],
        )
        .await;
    place.store("vault", store(&vault)).await;
    place
        .external_secret("app", reads("vault", &[("password", "db#password")]))
        .await;
    place.value("app", "password", "over-tls").await;
}

#[tokio::test]
async fn a_server_of_another_authority_is_not_trusted() {
    let place = Place::new("foreign-ca").await;
    let vault = CountingVault::start_with(Transport::Https).unwrap();
    let other = CountingVault::start_with(Transport::Https).unwrap();
    place.secret("token", &[("token", vault.token())]).await;
    place
        .secret("authority", &[("ca.crt", other.ca_pem().unwrap())])
        .await;
    let mut provider = store(&vault);
    provider["vault"].as_object_mut().unwrap().remove("tls");
    place.store("vault", provider).await;
    place.store_is("vault", "False", "PST-1106").await;
    assert_eq!(vault.requests().len(), 0, "{:?}", vault.requests());
}
