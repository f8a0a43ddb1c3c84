//! What a store may say, what it needs, and which paths its keys become.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use postern_plugin_vault::Vault;
use postern_plugin_vault::config::Config;
use postern_plugin_vault::wire::{data_path, metadata_path};
use postern_sdk::{Endpoint, Material, Provider, Reference};

fn problems(config: &str) -> Vec<String> {
    Vault::examine(config, &[], &Vec::new())
        .unwrap_err()
        .into_iter()
        .map(|p| p.pointer)
        .collect()
}

fn references(auth: &str) -> Vec<Reference> {
    Vault::examine(
        &format!(r#"{{"server":"https://v","auth":{auth}}}"#),
        &[],
        &Vec::new(),
    )
    .unwrap()
    .references
}

#[test]
fn names_the_references_of_the_method_in_use_only() {
    let both =
        r#"{"tokenSecretRef":{"name":"t"},"appRole":{"roleId":"r","secretRef":{"name":"s"}}}"#;
    assert_eq!(references(both), [Reference::at("/auth/tokenSecretRef")]);
    let by_reference = r#"{"appRole":{"roleRef":{"name":"r"},"secretRef":{"name":"s"}}}"#;
    assert_eq!(
        references(by_reference),
        ["/auth/appRole/roleRef", "/auth/appRole/secretRef"].map(Reference::at)
    );
    let secret = r#"{"kubernetes":{"role":"r","secretRef":{"name":"s"}}}"#;
    let options = vec![("default-key".to_owned(), "token".to_owned())];
    let want = Reference {
        options,
        ..Reference::at("/auth/kubernetes/secretRef")
    };
    assert_eq!(references(secret), [want]);
}

#[test]
fn asks_for_service_account_tokens_as_the_method_wants_them() {
    let pointer = "/auth/jwt/kubernetesServiceAccountToken/serviceAccountRef";
    let want = |audiences: &[&str], expires| Reference {
        audiences: audiences.iter().map(|a| (*a).to_owned()).collect(),
        expires_in_s: Some(expires),
        ..Reference::at(pointer)
    };
    let jwt = r#"{"jwt":{"kubernetesServiceAccountToken":{"serviceAccountRef":{"name":"a"}}}}"#;
    assert_eq!(references(jwt), [want(&["vault"], 600)]);
    let jwt = r#"{"jwt":{"kubernetesServiceAccountToken":{"serviceAccountRef":{"name":"a","audiences":["y"]},
        "audiences":["x"],"expirationSeconds":900}}}"#;
    assert_eq!(references(jwt), [want(&["x", "y"], 900)]);
    let kubernetes =
        r#"{"kubernetes":{"role":"r","serviceAccountRef":{"name":"a","audiences":["y"]}}}"#;
    let want = Reference {
        pointer: "/auth/kubernetes/serviceAccountRef".to_owned(),
        ..want(&["y"], 600)
    };
    assert_eq!(references(kubernetes), [want]);
}

#[test]
fn gives_the_origin_with_its_tls_material() {
    let endpoint = |config: &str| {
        Vault::examine(config, &[], &Vec::new())
            .unwrap()
            .endpoints
            .remove(0)
    };
    let plain = endpoint(
        r#"{"server":"HTTPS://Vault.Corp:8200/behind/","caProvider":{"type":"Secret","name":"c"}}"#,
    );
    let ca = Some(Material::Pointer("/caProvider".to_owned()));
    assert_eq!(
        plain,
        Endpoint {
            origin: "https://vault.corp:8200".to_owned(),
            ca,
            ..Endpoint::default()
        }
    );
    let tls = endpoint(
        r#"{"server":"https://v","caBundle":"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t\nYQ==",
            "tls":{"certSecretRef":{"name":"a"},"keySecretRef":{"name":"b"}}}"#,
    );
    assert_eq!(
        tls.ca,
        Some(Material::Pem(b"-----BEGIN CERTIFICATE-----a".to_vec()))
    );
    assert_eq!(
        tls.client_certificate,
        Some(Material::Pointer("/tls/certSecretRef".to_owned()))
    );
    assert_eq!(
        tls.client_key,
        Some(Material::Pointer("/tls/keySecretRef".to_owned()))
    );
}

#[test]
fn points_at_what_is_wrong() {
    assert_eq!(problems("{}"), ["/server"]);
    assert_eq!(problems(r#"{"server":"vault:8200"}"#), ["/server"]);
    assert_eq!(problems(r#"{"server":"https://u:p@vault"}"#), ["/server"]);
    assert_eq!(problems(r#"{"server":"https://v","auth":{}}"#), ["/auth"]);
    assert_eq!(
        problems(r#"{"server":"https://v","auth":{"iam":{}}}"#),
        ["/auth/iam"]
    );
    assert_eq!(
        problems(r#"{"server":"https://v","auth":{"jwt":{}}}"#),
        ["/auth/jwt"]
    );
    assert_eq!(
        problems(r#"{"server":"https://v","auth":{"kubernetes":{"role":"r"}}}"#),
        ["/auth/kubernetes"]
    );
    let bare = r#"{"server":"https://v","auth":{"appRole":{}}}"#;
    assert_eq!(problems(bare), ["/auth/appRole", "/auth/appRole/secretRef"]);
    assert_eq!(
        problems(r#"{"server":"https://v","tls":{"certSecretRef":{}}}"#),
        ["/tls/keySecretRef"]
    );
    assert_eq!(
        problems(r#"{"server":"https://v","tls":{"keySecretRef":{}}}"#),
        ["/tls/certSecretRef"]
    );
    assert_eq!(
        problems(r#"{"server":"https://v","caBundle":"nonsense"}"#),
        ["/caBundle"]
    );
    let v1 = r#"{"server":"https://v","version":"v1","checkAndSet":{"required":true}}"#;
    assert_eq!(problems(v1), ["/checkAndSet/required"]);
    assert_eq!(problems(r#"{"server":"https://v","version":"v3"}"#), [""]);
}

#[test]
fn builds_paths_as_existing_manifests_expect() {
    let config = |rest: &str, key| {
        Config::parse(&format!(r#"{{"server":"https://v"{rest}}}"#), key).unwrap()
    };
    let at = |rest: &str, key: &str| data_path(&config(rest, None), key).unwrap();
    let mount = r#","path":"secret/path""#;
    assert_eq!(at(mount, "secret/path/data/test"), "secret/path/data/test");
    assert_eq!(at(mount, "secret/path/test"), "secret/path/data/test");
    assert_eq!(at(mount, "data/test"), "secret/path/data/test");
    assert_eq!(at(mount, "test"), "secret/path/data/test");
    assert_eq!(at("", "secret/team/db"), "secret/data/team/db");
    assert_eq!(at("", "secret/team/data/db"), "secret/team/data/db");
    assert_eq!(
        at(r#","version":"v1","path":"kv""#, "kv/data/a"),
        "kv/data/a"
    );
    assert_eq!(
        at(r#","version":"v1""#, "kv/a b?#%é"),
        "kv/a%20b%3F%23%25%C3%A9"
    );
    assert_eq!(
        data_path(
            &config(
                r#","auth":{"tokenSecretRef":{"name":"t"}}"#,
                Some("openBao")
            ),
            "a"
        )
        .unwrap(),
        "kv/data/a"
    );
    let metadata = |rest: &str, key: &str| metadata_path(&config(rest, None), key);
    let twice = "secret/path/metadata/secret/path/data/test";
    assert_eq!(metadata(mount, "secret/path/data/test").unwrap(), twice);
    assert_eq!(metadata("", "secret/data/a").unwrap(), "secret/metadata/a");
    assert_eq!(
        metadata("", "secret/a").unwrap_err().code,
        "invalid-request"
    );
}

#[test]
fn forwards_only_when_both_consistency_settings_are_on() {
    let headers = |rest: &str| {
        Config::parse(&format!(r#"{{"server":"https://v"{rest}}}"#), None)
            .unwrap()
            .headers
    };
    assert_eq!(
        headers(r#","headers":{"X-A":"1"},"readYourWrites":true"#),
        [("X-A".to_owned(), "1".to_owned())]
    );
    let both = headers(r#","readYourWrites":true,"forwardInconsistent":true"#);
    assert_eq!(
        both,
        [(
            "X-Vault-Inconsistent".to_owned(),
            "forward-active-node".to_owned()
        )]
    );
}

#[test]
fn examine_holds_a_store_of_open_bao_to_its_own_rules() {
    let two = r#"{"server":"https://v","auth":{"tokenSecretRef":{"name":"t"},"appRole":{"roleId":"r","secretRef":{"name":"s"}}}}"#;
    let key = |key: &str| vec![("provider-key".to_owned(), key.to_owned())];
    assert!(Vault::examine(two, &[], &key("vault")).is_ok());
    let problems = Vault::examine(two, &[], &key("openBao")).unwrap_err();
    assert_eq!(problems[0].pointer, "/auth");
}
