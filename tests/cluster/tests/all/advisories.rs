//! Ways out of a namespace that operators of this kind have had, each tried: references to credentials, authorities, accounts,
//! stores, generators and templates of somebody else, and functions of templates that read what the operator can read.
//!
//! What a namespace may read of a store that it may use is in `access`; that namespaces do not share values, in `isolation`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use kube::Api;
use kube::api::PostParams;
use postern_api::{ClusterExternalSecret, SecretStore};
use postern_test_kit::kvserver::{CountingVault, Vaultlike as _};
use serde_json::{Value, json};

use crate::harness::{Place, fake_store, reads};

async fn pair(prefix: &str) -> (Place, Place) {
    let theirs = Place::new(&format!("{prefix}-theirs")).await;
    (Place::new(&format!("{prefix}-mine")).await, theirs)
}

async fn config_map(place: &Place, name: &str, data: &[(&str, &str)]) {
    let data: BTreeMap<&str, &str> = data.iter().copied().collect();
    let map = json!({"metadata": {"name": name}, "data": data});
    let map: ConfigMap = serde_json::from_value(map).unwrap();
    let api = place.api::<ConfigMap>();
    api.create(&PostParams::default(), &map).await.unwrap();
}

/// CVE-2026-42875, and its kin for every other reference.
#[tokio::test]
async fn a_secret_store_reads_nothing_of_another_namespace() {
    let (mine, theirs) = pair("refs").await;
    let vault = CountingVault::start().unwrap();
    theirs
        .secret("token", &[("token", vault.token()), ("ca.crt", "x")])
        .await;
    config_map(&theirs, "authority", &[("ca.crt", "x")]).await;
    let account = json!({"metadata": {"name": "app"}});
    let account: ServiceAccount = serde_json::from_value(account).unwrap();
    theirs
        .api()
        .create(&PostParams::default(), &account)
        .await
        .unwrap();
    let of = theirs.name();
    let own = json!({"tokenSecretRef": {"name": "token", "key": "token"}});
    let vault_with = |auth: Value, ca: Value| json!({"vault": {"server": vault.url(), "path": "secret", "version": "v2", "auth": auth, "caProvider": ca}});
    let ca = |kind: &str, name: &str| json!({"type": kind, "name": name, "key": "ca.crt", "namespace": of});
    let kubernetes = |more: Value| {
        let mut config =
            json!({"remoteNamespace": of, "auth": {"serviceAccount": {"name": "app"}}});
        config
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({"kubernetes": config})
    };
    for (name, provider) in [
        (
            "ca-map",
            vault_with(own.clone(), ca("ConfigMap", "authority")),
        ),
        ("ca-secret", vault_with(own.clone(), ca("Secret", "token"))),
        (
            "token",
            json!({"vault": {"server": vault.url(), "path": "secret",
                "auth": {"tokenSecretRef": {"name": "token", "key": "token", "namespace": of}}}}),
        ),
        (
            "account",
            json!({"vault": {"server": vault.url(), "path": "secret", "auth": {"kubernetes": {
                "mountPath": "kubernetes", "role": "app", "serviceAccountRef": {"name": "app", "namespace": of}}}}}),
        ),
        (
            "k8s-account",
            kubernetes(json!({"auth": {"serviceAccount": {"name": "app", "namespace": of}}})),
        ),
        (
            "k8s-ca",
            kubernetes(
                json!({"server": {"url": "https://127.0.0.1:9", "caProvider": ca("ConfigMap", "authority")}}),
            ),
        ),
        (
            "k8s-token",
            kubernetes(
                json!({"auth": {"token": {"bearerToken": {"name": "token", "key": "token", "namespace": of}}}}),
            ),
        ),
    ] {
        mine.store(name, provider).await;
        let said = mine.store_is(name, "False", "").await.message.unwrap();
        assert!(
            said.contains("match the namespace of the SecretStore"),
            "{name}: {said}"
        );
        mine.external_secret(name, reads(name, &[("a", "db")]))
            .await;
        mine.failed(name, "is not ready").await;
    }
    assert_eq!(vault.requests(), Default::default());
}

#[tokio::test]
async fn a_store_of_the_same_name_elsewhere_is_another_store() {
    let (mine, theirs) = pair("names").await;
    theirs
        .store("only-theirs", fake_store(&[("db", "theirs")]))
        .await;
    theirs.store("both", fake_store(&[("db", "theirs")])).await;
    mine.store("both", fake_store(&[("db", "mine")])).await;
    mine.external_secret("missing", reads("only-theirs", &[("a", "db")]))
        .await;
    mine.failed("missing", "does not exist in namespace").await;
    for place in [&mine, &theirs] {
        place
            .external_secret("both", reads("both", &[("a", "db")]))
            .await;
    }
    mine.value("both", "a", "mine").await;
    theirs.value("both", "a", "theirs").await;
    // A namespace in a reference means nothing, and is not kept.
    let mut spec = reads("only-theirs", &[("a", "db")]);
    spec["secretStoreRef"]["namespace"] = theirs.name().into();
    mine.external_secret("named", spec).await;
    mine.failed("named", "does not exist in namespace").await;
}

#[tokio::test]
async fn generators_are_refused_wherever_they_are_named() {
    let place = Place::new("generators").await;
    place.store("s", fake_store(&[("db", "x")])).await;
    let generator = |kind: &str| json!({"generatorRef": {"apiVersion": "generators.external-secrets.io/v1alpha1", "kind": kind, "name": "g"}});
    for kind in ["Fake", "ClusterGenerator", "VaultDynamicSecret", "Webhook"] {
        let name = kind.to_lowercase();
        let mut spec = reads("s", &[("a", "db")]);
        spec["dataFrom"] = json!([{"sourceRef": generator(kind)}]);
        place.external_secret(&format!("{name}-from"), spec).await;
        let mut spec = reads("s", &[("a", "db")]);
        spec["data"][0]["sourceRef"] = generator(kind);
        place.external_secret(&format!("{name}-data"), spec).await;
        for way in ["from", "data"] {
            place
                .failed(&format!("{name}-{way}"), "generatorRef is not served")
                .await;
        }
    }
}

#[tokio::test]
async fn templates_come_from_the_own_namespace_only() {
    let (mine, theirs) = pair("templates").await;
    config_map(&theirs, "texts", &[("t", "theirs: x")]).await;
    theirs.secret("texts", &[("t", "theirs: x")]).await;
    mine.store("s", fake_store(&[("db", "x")])).await;
    for kind in ["configMap", "secret"] {
        let mut spec = reads("s", &[("a", "db")]);
        let source = json!({"name": "texts", "namespace": theirs.name(), "items": [{"key": "t", "templateAs": "KeysAndValues"}]});
        spec["target"] = json!({"template": {"templateFrom": [{kind: source}]}});
        let name = kind.to_lowercase();
        mine.external_secret(&name, spec).await;
        mine.failed(&name, "does not exist").await;
        assert_eq!(mine.api::<Secret>().get_opt(&name).await.unwrap(), None);
    }
}

/// GHSA-77v3-r3jw-j2v2 and CVE-2026-34984.
#[tokio::test]
async fn no_function_of_a_template_reads_the_cluster_the_network_or_the_environment() {
    let (mine, theirs) = pair("functions").await;
    theirs.secret("theirs", &[("k", "stolen")]).await;
    mine.store("s", fake_store(&[("db", "x")])).await;
    let of = theirs.name();
    for (name, call) in [
        ("get", format!("getSecretKey \"{of}\" \"theirs\" \"k\"")),
        (
            "lookup",
            format!("lookup \"v1\" \"Secret\" \"{of}\" \"theirs\""),
        ),
        ("host", "getHostByName \"localhost\"".to_owned()),
        ("env", "env \"PATH\"".to_owned()),
        ("expand", "expandenv \"$PATH\"".to_owned()),
    ] {
        let mut spec = reads("s", &[("a", "db")]);
        spec["target"] = json!({"template": {"data": {"a": format!("{{{{ {call} }}}}")}}});
        mine.external_secret(name, spec).await;
        mine.failed(name, "could not apply template").await;
        assert_eq!(
            mine.api::<Secret>().get_opt(name).await.unwrap(),
            None,
            "{name}"
        );
    }
}

#[tokio::test]
async fn what_a_cluster_external_secret_makes_reads_as_its_namespace() {
    let (mine, theirs) = pair("spread").await;
    mine.store("s", fake_store(&[("db", "mine")])).await;
    theirs.store("s", fake_store(&[("db", "theirs")])).await;
    let object = json!({"metadata": {"name": mine.name()}, "spec": {
        "namespaces": [mine.name(), theirs.name()], "externalSecretName": "app",
        "externalSecretSpec": reads("s", &[("a", "db")])}});
    let object: ClusterExternalSecret = serde_json::from_value(object).unwrap();
    let all: Api<ClusterExternalSecret> = Api::all(mine.client.clone());
    all.create(&PostParams::default(), &object).await.unwrap();
    mine.value("app", "a", "mine").await;
    theirs.value("app", "a", "theirs").await;
    let stores = mine.api::<SecretStore>();
    assert!(stores.get_opt("s").await.unwrap().is_some());
    all.delete(mine.name(), &Default::default()).await.unwrap();
}
