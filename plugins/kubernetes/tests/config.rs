//! What a store may say, and what it needs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use postern_plugin_kubernetes::Kubernetes;
use postern_sdk::{Credential, Endpoint, Material, Needs, Problem, Provider, Reference};
use serde_json::json;

const PEM: &str = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";

fn examine(config: &serde_json::Value, credentials: &[Credential]) -> Result<Needs, Vec<Problem>> {
    Kubernetes::examine(&config.to_string(), credentials, &Vec::new())
}

fn account() -> serde_json::Value {
    json!({"auth": {"serviceAccount": {"name": "reader"}}})
}

fn kubeconfig(text: &str) -> Vec<Credential> {
    vec![Credential {
        pointer: "/authRef".to_owned(),
        value: text.as_bytes().to_vec(),
        attributes: Vec::new(),
    }]
}

#[test]
fn the_server_of_the_cluster_is_meant_where_none_is_named() {
    let needs = examine(&account(), &[]).unwrap();
    assert_eq!(needs.endpoints[0].origin, "https://kubernetes.default");
    let want = Reference {
        expires_in_s: Some(3600),
        ..Reference::at("/auth/serviceAccount")
    };
    assert_eq!(needs.references, [want]);
    assert!(!needs.per_namespace);
}

#[test]
fn a_server_may_have_a_path_and_its_own_authority() {
    let mut config = account();
    config["server"] = json!({"url": "https://rancher.corp/k8s/clusters/c-1/", "caBundle": PEM});
    let endpoint = examine(&config, &[]).unwrap().endpoints.remove(0);
    let want = Endpoint {
        origin: "https://rancher.corp/k8s/clusters/c-1".to_owned(),
        ca: Some(Material::Pem(PEM.as_bytes().to_vec())),
        ..Endpoint::default()
    };
    assert_eq!(endpoint, want);
    config["server"] =
        json!({"caProvider": {"type": "ConfigMap", "name": "kube-root-ca.crt", "key": "ca.crt"}});
    let endpoint = examine(&config, &[]).unwrap().endpoints.remove(0);
    assert_eq!(
        endpoint.ca,
        Some(Material::Pointer("/server/caProvider".to_owned()))
    );
}

#[test]
fn a_client_certificate_is_presented_by_the_host_and_is_no_credential() {
    let config =
        json!({"auth": {"cert": {"clientCert": {"name": "c"}, "clientKey": {"name": "c"}}}});
    let needs = examine(&config, &[]).unwrap();
    assert_eq!(needs.references, []);
    let endpoint = &needs.endpoints[0];
    let pointer = |p: &str| Some(Material::Pointer(p.to_owned()));
    assert_eq!(
        endpoint.client_certificate,
        pointer("/auth/cert/clientCert")
    );
    assert_eq!(endpoint.client_key, pointer("/auth/cert/clientKey"));
}

#[test]
fn wrong_configs_are_told_by_field() {
    let table = [
        (json!({}), "/auth"),
        (json!({"auth": {"token": {}, "cert": {}}}), "/auth"),
        (
            json!({"auth": {"token": {}}, "server": {"url": "ftp://x"}}),
            "/server/url",
        ),
        (
            json!({"auth": {"token": {}}, "server": {"url": "https://u:p@x"}}),
            "/server/url",
        ),
        (
            json!({"auth": {"token": {}}, "server": {"caBundle": "no"}}),
            "/server/caBundle",
        ),
    ];
    for (config, pointer) in table {
        let problems = examine(&config, &[]).unwrap_err();
        assert_eq!(problems[0].pointer, pointer, "{config}");
    }
}

#[test]
fn a_kubeconfig_names_the_server_once_it_is_known() {
    let config = json!({"authRef": {"name": "k", "key": "config"}});
    let needs = examine(&config, &[]).unwrap();
    assert_eq!(needs.references, [Reference::at("/authRef")]);
    assert_eq!(needs.endpoints, []);
    let text = "apiVersion: v1\nkind: Config\ncurrent-context: b\n\
        contexts: [{name: a, context: {cluster: a, user: a}}, {name: b, context: {cluster: c, user: u}}]\n\
        clusters: [{name: c, cluster: {server: 'https://k:6443', certificate-authority-data: QQ==, tls-server-name: k8s}}]\n\
        users: [{name: u, user: {client-certificate-data: Qg==, client-key-data: Qw==}}]\n";
    let endpoint = examine(&config, &kubeconfig(text))
        .unwrap()
        .endpoints
        .remove(0);
    let pem = |b: &[u8]| Some(Material::Pem(b.to_vec()));
    let want = Endpoint {
        origin: "https://k:6443".to_owned(),
        ca: pem(b"A"),
        client_certificate: pem(b"B"),
        client_key: pem(b"C"),
        server_name: Some("k8s".to_owned()),
        options: Vec::new(),
    };
    assert_eq!(endpoint, want);
}

#[test]
fn a_kubeconfig_that_needs_more_than_itself_is_refused_and_never_quoted() {
    let with = |cluster: &str, user: &str| {
        format!(
            "current-context: x\ncontexts: [{{name: x, context: {{cluster: x, user: x}}}}]\n\
             clusters: [{{name: x, cluster: {{server: 'https://k'{cluster}}}}}]\nusers: [{{name: x, user: {{{user}}}}}]\n"
        )
    };
    let table = [
        (with("", "tokenFile: /var/hunter2"), "names files"),
        (
            with(", insecure-skip-tls-verify: true", "token: hunter2"),
            "verification",
        ),
        (with("", "exec: {command: hunter2}"), "starts a program"),
        (with("", "token: 'hunter2 x'"), "line break"),
        (with("", ""), "neither token"),
        (with("", "client-key-data: Qw=="), "without"),
        (
            with(", certificate-authority-data: '%hunter2'", "token: a"),
            "no base64",
        ),
        ("hunter2: [".to_owned(), "cannot be read"),
        ("current-context: hunter2\n".to_owned(), "no context"),
    ];
    let config = json!({"authRef": {"name": "k"}});
    for (text, said) in table {
        let problems = examine(&config, &kubeconfig(&text)).unwrap_err();
        let message = &problems[0].message;
        assert!(message.contains(said), "{said}: {message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}
