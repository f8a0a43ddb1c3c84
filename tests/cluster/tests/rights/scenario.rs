//! Something of all that the controller does. Whoever teaches it more lets it do that here.

use std::path::Path;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, ServiceAccount};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::Resource;
use postern_api::{
    ClusterExternalSecret, ClusterSecretStore, ExternalSecret, Plugin, SecretStore, names,
};
use postern_cluster_tests::{eventually, guest};
use postern_test_kit::kvserver::{CountingVault, JwtRole, Transport, Vaultlike as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::installed::Installed;

/// What the peer puts on stores.
const STORE_FINALIZER: &str = "secretstore.externalsecrets.io/finalizer";

async fn create<K>(api: &Api<K>, object: Value)
where
    K: Resource + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
    K::DynamicType: Default,
{
    let object = serde_json::from_value(object).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
}

/// Deletes an object that somebody has put a finalizer on, and waits until it is gone.
async fn leaves<K>(at: &Installed, api: &Api<K>, name: &str)
where
    K: Resource + Clone + std::fmt::Debug + DeserializeOwned,
    K::DynamicType: Default,
{
    api.delete(name, &DeleteParams::default()).await.unwrap();
    eventually(&|| at.seen(&format!("{name} is gone")), || async {
        api.get_opt(name).await.unwrap().is_none().then_some(())
    })
    .await;
}

impl Installed {
    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        self.namespace.api(&self.client)
    }

    fn store_object(&self, kind: &str, name: &str, provider: Value) -> Value {
        json!({
            "apiVersion": "external-secrets.io/v1", "kind": kind,
            "metadata": {"name": name, "finalizers": [STORE_FINALIZER]},
            "spec": {"provider": provider, "controller": self.namespace.name()},
        })
    }

    async fn store(&self, name: &str, provider: Value) {
        let store = self.store_object("SecretStore", name, provider);
        create::<SecretStore>(&self.api(), store).await;
    }

    async fn external_secret(&self, name: &str, store: (&str, &str), key: &str) {
        let (kind, store) = store;
        let data = json!([{"secretKey": "a", "remoteRef": {"key": key, "property": "a"}}]);
        let object = json!({
            "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
            "metadata": {"name": name, "finalizers": [names::FINALIZER]},
            "spec": {
                "refreshInterval": "1h", "secretStoreRef": {"name": store, "kind": kind},
                "target": {"deletionPolicy": "Delete"}, "data": data,
            },
        });
        create::<ExternalSecret>(&self.api(), object).await;
    }

    async fn touch(&self, name: &str) {
        let stamp = jiff::Timestamp::now().to_string();
        let patch = json!({"metadata": {"annotations": {names::ANNOTATION_FORCE_SYNC: stamp}}});
        let api = self.api::<ExternalSecret>();
        api.patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
    }

    /// Waits until the Secret has this value, or is not there.
    async fn value(&self, name: &str, value: Option<&str>) {
        let says = || self.seen(&format!("Secret {name} has {value:?}"));
        eventually(&says, || async {
            let secret = self.api::<Secret>().get_opt(name).await.unwrap();
            let data = secret.and_then(|secret| secret.data);
            let has = data.and_then(|data| data.get("a").map(|v| v.0.clone()));
            (has.as_deref() == value.map(str::as_bytes)).then_some(())
        })
        .await;
    }
}

/// A store that refers to a ConfigMap and a ServiceAccount, and one that refers to a Secret.
async fn stores(at: &Installed) -> CountingVault {
    let vault = CountingVault::start_with(Transport::Https).unwrap();
    vault.policy("all", &["secret/data/*"]);
    vault.kubernetes_role(
        "kubernetes",
        "app",
        JwtRole {
            policies: vec!["all".into()],
            subject: Some(format!("system:serviceaccount:{}:app", at.namespace.name())),
            audience: Some("vault".into()),
        },
    );
    create::<ServiceAccount>(&at.api(), json!({"metadata": {"name": "app"}})).await;
    let ca = vault.ca_pem().unwrap();
    let map = json!({"metadata": {"name": "authority"}, "data": {"ca.crt": ca}});
    create::<ConfigMap>(&at.api(), map).await;
    let token = json!({"metadata": {"name": "token"}, "stringData": {"token": vault.token()}});
    create::<Secret>(&at.api(), token).await;
    let account = json!({"mountPath": "kubernetes", "role": "app", "serviceAccountRef": {"name": "app", "audiences": ["vault"]}});
    let provider = |auth: Value| {
        json!({"vault": {
            "server": vault.url(), "path": "secret", "version": "v2", "auth": auth,
            "caProvider": {"type": "ConfigMap", "name": "authority", "key": "ca.crt"},
        }})
    };
    at.store("by-account", provider(json!({"kubernetes": account})))
        .await;
    let token = json!({"tokenSecretRef": {"name": "token", "key": "token"}});
    at.store("by-secret", provider(token)).await;
    vault
}

/// Secrets are made, changed and deleted; objects that the peer has left finalizers on go.
pub async fn of_one_namespace(at: &Installed) {
    let vault = stores(at).await;
    for key in ["one", "two"] {
        vault.put("secret", key, json!({"a": "first"}));
    }
    at.external_secret("one", ("SecretStore", "by-account"), "one")
        .await;
    at.external_secret("two", ("SecretStore", "by-secret"), "two")
        .await;
    at.value("one", Some("first")).await;
    at.value("two", Some("first")).await;
    vault.put("secret", "one", json!({"a": "second"}));
    at.touch("one").await;
    at.value("one", Some("second")).await;
    vault.remove("secret", "two");
    at.touch("two").await;
    at.value("two", None).await;
    leaves(at, &at.api::<ExternalSecret>(), "two").await;
    leaves(at, &at.api::<SecretStore>(), "by-secret").await;
}

/// What only one who serves the whole cluster does.
pub async fn of_the_cluster(at: &Installed, plugin_files: &Path) {
    let fake = json!({"fake": {"data": [{"key": "k", "value": r#"{"a":"wide"}"#}]}});
    let stores: Api<ClusterSecretStore> = Api::all(at.client.clone());
    let wide = at.store_object("ClusterSecretStore", "wide", fake);
    create(&stores, wide).await;
    at.external_secret("wide", ("ClusterSecretStore", "wide"), "k")
        .await;
    at.value("wide", Some("wide")).await;
    of_fan_out(at).await;
    leaves(at, &stores, "wide").await;

    std::fs::copy(
        guest("guest_versioned"),
        plugin_files.join("versioned.wasm"),
    )
    .unwrap();
    let plugins: Api<Plugin> = Api::all(at.client.clone());
    let plugin = json!({
        "apiVersion": "postern.dev/v1alpha1", "kind": "Plugin", "metadata": {"name": "acme"},
        "spec": {"serves": ["versioned"], "source": {"file": {"path": "versioned.wasm"}}},
    });
    create(&plugins, plugin).await;
    eventually(&|| at.seen("the plugin serves"), || async {
        let status = plugins.get("acme").await.unwrap().status?;
        status.active.map(drop)
    })
    .await;
}

/// An ExternalSecret is made in a namespace, put right and deleted; what the peer left on the namespace is taken off.
async fn of_fan_out(at: &Installed) {
    let all: Api<ClusterExternalSecret> = Api::all(at.client.clone());
    let namespaces: Api<Namespace> = Api::all(at.client.clone());
    let left = format!("{}spread", names::FINALIZER_NAMESPACE_PREFIX);
    let patch = Patch::Merge(json!({"metadata": {"finalizers": [left]}}));
    let own = at.namespace.name();
    namespaces
        .patch(own, &PatchParams::default(), &patch)
        .await
        .unwrap();
    let data = json!([{"secretKey": "a", "remoteRef": {"key": "k", "property": "a"}}]);
    let store = json!({"name": "wide", "kind": "ClusterSecretStore"});
    let object = json!({
        "apiVersion": "external-secrets.io/v1", "kind": "ClusterExternalSecret",
        "metadata": {"name": "spread", "finalizers": [names::FINALIZER_CLUSTER]},
        "spec": {"namespaces": [own], "externalSecretSpec": {"secretStoreRef": store, "data": data}},
    });
    create(&all, object).await;
    at.value("spread", Some("wide")).await;
    let children = at.api::<ExternalSecret>();
    let edit = Patch::Merge(json!({"metadata": {"labels": {"mine": "x"}}}));
    children
        .patch("spread", &PatchParams::default(), &edit)
        .await
        .unwrap();
    eventually(&|| at.seen("the edit is undone"), || async {
        let labels = children.get("spread").await.unwrap().metadata.labels;
        labels.unwrap_or_default().is_empty().then_some(())
    })
    .await;
    leaves(at, &all, "spread").await;
    eventually(&|| at.seen("child and finalizer are gone"), || async {
        let meta = namespaces.get(own).await.unwrap().metadata;
        let clean = meta.finalizers.unwrap_or_default().is_empty();
        let gone = children.get_opt("spread").await.unwrap().is_none();
        (clean && gone).then_some(())
    })
    .await;
}
