//! ClusterExternalSecrets: what they make in namespaces, put right, and take away again.

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use postern_api::{ClusterExternalSecret, ClusterExternalSecretStatus, ExternalSecret};
use postern_core::plan::current_version;
use serde_json::{Value, json};

use crate::harness::{Place, eventually, fake_store, reads};

/// Two namespaces, a store for both, and a ClusterExternalSecret with a name of this test's own.
struct Scene {
    one: Place,
    two: Place,
    name: String,
}

impl Scene {
    async fn new() -> Self {
        let (one, two) = (Place::new("ces").await, Place::new("ces").await);
        let name = one.cluster_store(fake_store(&[("db", "bar")])).await;
        Self { one, two, name }
    }

    fn api(&self) -> Api<ClusterExternalSecret> {
        Api::all(self.one.client.clone())
    }

    /// Creates it for both namespaces, by name, with some fields beside.
    async fn create(&self, fields: Value) {
        let mut inner = reads(&self.name, &[("foo", "db")]);
        inner["secretStoreRef"]["kind"] = "ClusterSecretStore".into();
        let mut spec = json!({"externalSecretSpec": inner, "externalSecretName": "shared", "namespaces": [self.one.name(), self.two.name()]});
        spec.as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        let object = json!({"apiVersion": "external-secrets.io/v1", "kind": "ClusterExternalSecret", "metadata": {"name": self.name}, "spec": spec});
        let object: ClusterExternalSecret = serde_json::from_value(object).unwrap();
        self.api()
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
    }

    async fn change(&self, change: Value) {
        let patch = Patch::Merge(change);
        self.api()
            .patch(&self.name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    /// Waits until its condition has this status, and a further thing holds.
    async fn is(
        &self,
        status: &str,
        and: impl Fn(&ClusterExternalSecretStatus) -> bool,
    ) -> ClusterExternalSecretStatus {
        eventually(&format!("{} is {status}", self.name), || async {
            let said = self.api().get(&self.name).await.unwrap().status?;
            let right = said
                .conditions
                .as_ref()?
                .iter()
                .any(|c| c.type_ == "Ready" && c.status == status);
            (right && and(&said)).then_some(said)
        })
        .await
    }

    fn both(&self) -> Option<Vec<String>> {
        let mut names = vec![self.one.name().to_owned(), self.two.name().to_owned()];
        names.sort();
        Some(names)
    }
}

async fn child(place: &Place, name: &str) -> ExternalSecret {
    eventually(&format!("{name} is in {}", place.name()), || async {
        place.api::<ExternalSecret>().get_opt(name).await.unwrap()
    })
    .await
}

async fn no_child(place: &Place, name: &str) {
    eventually(&format!("{name} is gone from {}", place.name()), || async {
        place
            .api::<ExternalSecret>()
            .get_opt(name)
            .await
            .unwrap()
            .is_none()
            .then_some(())
    })
    .await;
}

async fn label(place: &Place, labels: Value) {
    let api: Api<Namespace> = Api::all(place.client.clone());
    let patch = Patch::Merge(json!({"metadata": labels}));
    api.patch(place.name(), &PatchParams::default(), &patch)
        .await
        .unwrap();
}

#[tokio::test]
async fn keeps_an_external_secret_in_every_namespace_that_is_selected() {
    let scene = Scene::new().await;
    label(&scene.two, json!({"labels": {"for": scene.name}})).await;
    scene
        .create(json!({
            "namespaces": [scene.one.name(), "not-there"],
            "namespaceSelectors": [{"matchLabels": {"for": scene.name}}],
            "externalSecretMetadata": {"labels": {"l": "1"}, "annotations": {"a": "2"}},
        }))
        .await;
    for place in [&scene.one, &scene.two] {
        place.value("shared", "foo", "bar").await;
        let child = child(place, "shared").await;
        assert_eq!(child.labels()["l"], "1");
        assert_eq!(child.annotations()["a"], "2");
        let owner = &child.owner_references()[0];
        assert_eq!(
            (owner.kind.as_str(), owner.name.as_str()),
            ("ClusterExternalSecret", scene.name.as_str())
        );
        assert_eq!(
            (owner.controller, owner.block_owner_deletion),
            (Some(true), Some(true))
        );
    }
    let said = scene
        .is("True", |s| s.provisioned_namespaces == scene.both())
        .await;
    assert_eq!(
        (said.external_secret_name.as_deref(), said.failed_namespaces),
        (Some("shared"), None)
    );
    assert_eq!(said.conditions.unwrap()[0].message, None);

    // Nothing is put on a namespace, and one that is selected no more loses what it had.
    let api: Api<Namespace> = Api::all(scene.two.client.clone());
    assert_eq!(
        api.get(scene.two.name()).await.unwrap().finalizers(),
        Vec::<String>::new()
    );
    label(&scene.two, json!({"labels": {"for": null}})).await;
    no_child(&scene.two, "shared").await;
    let only_one = Some(vec![scene.one.name().to_owned()]);
    scene
        .is("True", |s| s.provisioned_namespaces == only_one)
        .await;
    scene.change(json!({"spec": {"namespaces": null}})).await;
    no_child(&scene.one, "shared").await;
    scene
        .is("True", |s| s.provisioned_namespaces.is_none())
        .await;
}

#[tokio::test]
async fn puts_right_what_was_edited_and_mirrors_a_forced_sync() {
    let scene = Scene::new().await;
    scene.create(json!({})).await;
    scene
        .is("True", |s| s.provisioned_namespaces == scene.both())
        .await;
    scene.one.synced("shared").await;
    let api = scene.one.api::<ExternalSecret>();
    let patch = Patch::Merge(
        json!({"spec": {"refreshInterval": "7m"}, "metadata": {"labels": {"mine": "x"}, "annotations": {"external-secrets.io/force-sync": "1"}}}),
    );
    let edited = api
        .patch("shared", &PatchParams::default(), &patch)
        .await
        .unwrap();
    eventually("the edit is undone", || async {
        let child = api.get("shared").await.unwrap();
        assert_eq!(child.uid(), edited.uid());
        (child.spec.refresh_interval.as_deref() == Some("1h")
            && child.labels().is_empty()
            && child.annotations().is_empty())
        .then_some(())
    })
    .await;
    scene.change(json!({"metadata": {"annotations": {"external-secrets.io/force-sync": "now", "other": "x"}}})).await;
    eventually("the forced sync is mirrored", || async {
        let child = api.get("shared").await.unwrap();
        (child.annotations().len() == 1
            && child.annotations()["external-secrets.io/force-sync"] == "now")
            .then_some(())
    })
    .await;
    scene
        .change(json!({"metadata": {"annotations": {"external-secrets.io/force-sync": null}}}))
        .await;
    eventually("the forced sync is taken off", || async {
        api.get("shared")
            .await
            .unwrap()
            .annotations()
            .is_empty()
            .then_some(())
    })
    .await;

    // A look that finds all right writes nothing.
    let before = eventually("all is said of the last change", || async {
        let child = child(&scene.two, "shared").await;
        let version = child.status.as_ref()?.synced_resource_version.clone();
        (version == Some(current_version(&child))).then(|| child.resource_version())
    })
    .await;
    scene
        .change(json!({"metadata": {"annotations": {"other": "y"}}, "spec": {"refreshTime": "2h"}}))
        .await;
    let generation = scene
        .api()
        .get(&scene.name)
        .await
        .unwrap()
        .metadata
        .generation;
    scene
        .is("True", |s| {
            s.conditions.as_ref().unwrap()[0].observed_generation == generation
        })
        .await;
    assert_eq!(child(&scene.two, "shared").await.resource_version(), before);
}

#[tokio::test]
async fn leaves_alone_what_it_did_not_make_and_says_so() {
    let scene = Scene::new().await;
    scene.one.store("own", fake_store(&[("db", "own")])).await;
    scene
        .one
        .external_secret("shared", reads("own", &[("foo", "db")]))
        .await;
    scene.one.value("shared", "foo", "own").await;
    scene.create(json!({})).await;
    let said = scene.is("False", |s| s.failed_namespaces.is_some()).await;
    let failed = &said.failed_namespaces.unwrap()[0];
    assert_eq!(
        (failed.namespace.as_str(), failed.reason.as_deref()),
        (
            scene.one.name(),
            Some("external secret already exists in namespace")
        )
    );
    assert_eq!(
        said.provisioned_namespaces,
        Some(vec![scene.two.name().to_owned()])
    );
    assert_eq!(
        said.conditions.unwrap()[0].message.as_deref(),
        Some("one or more namespaces failed")
    );
    assert!(
        child(&scene.one, "shared")
            .await
            .owner_references()
            .is_empty()
    );

    // As soon as the name is free it is used.
    scene
        .one
        .api::<ExternalSecret>()
        .delete("shared", &DeleteParams::default())
        .await
        .unwrap();
    scene
        .is("True", |s| s.provisioned_namespaces == scene.both())
        .await;
}

#[tokio::test]
async fn another_name_moves_the_external_secrets() {
    let scene = Scene::new().await;
    scene.create(json!({})).await;
    scene
        .is("True", |s| s.provisioned_namespaces == scene.both())
        .await;
    scene
        .change(json!({"spec": {"externalSecretName": "renamed"}}))
        .await;
    for place in [&scene.one, &scene.two] {
        place.value("renamed", "foo", "bar").await;
        no_child(place, "shared").await;
    }
    scene
        .is("True", |s| {
            s.external_secret_name.as_deref() == Some("renamed")
        })
        .await;
}

#[tokio::test]
async fn takes_off_what_the_peer_left_and_lets_go() {
    let scene = Scene::new().await;
    let left = format!("externalsecrets.external-secrets.io/ces-{}", scene.name);
    label(
        &scene.one,
        json!({"finalizers": [left, "example.com/other"]}),
    )
    .await;
    scene.create(json!({})).await;
    scene
        .is("True", |s| s.provisioned_namespaces == scene.both())
        .await;
    let api: Api<Namespace> = Api::all(scene.one.client.clone());
    eventually("the finalizer of the peer is off the namespace", || async {
        let all = api
            .get(scene.one.name())
            .await
            .unwrap()
            .finalizers()
            .to_vec();
        (all == ["example.com/other"]).then_some(())
    })
    .await;
    label(&scene.one, json!({"finalizers": null})).await;

    scene.change(json!({"metadata": {"finalizers": ["externalsecrets.external-secrets.io/clusterexternalsecret-cleanup"]}})).await;
    scene
        .api()
        .delete(&scene.name, &DeleteParams::default())
        .await
        .unwrap();
    eventually("it is gone", || async {
        scene
            .api()
            .get_opt(&scene.name)
            .await
            .unwrap()
            .is_none()
            .then_some(())
    })
    .await;
    no_child(&scene.one, "shared").await;
    no_child(&scene.two, "shared").await;
    // The garbage collector of a whole cluster takes the Secrets, which have an owner; here there is none.
    assert!(scene.one.api::<Secret>().get("shared").await.is_ok());
}
