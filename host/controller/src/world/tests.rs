//! What an object that is seen or lost touches.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use postern_api::external_secret::StoreKind;
use postern_api::{ExternalSecret, ExternalSecretStatus, names};
use postern_core::plan::StoreState;
use postern_core::store::StoreId;
use serde_json::json;

use super::{Key, ObjectKey, Outlook, SeenStore, Standing, State, TargetKey, Touched};
use crate::queue::Class;

fn external_secret(version: &str, generation: i64) -> ExternalSecret {
    serde_json::from_value(json!({
        "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
        "metadata": {"name": "db", "namespace": "team", "uid": "e1", "resourceVersion": version, "generation": generation},
        "spec": {"secretStoreRef": {"name": "s"}, "target": {"name": "db-secret"},
                 "data": [{"secretKey": "a", "remoteRef": {"key": "k"}}]},
    }))
    .unwrap()
}

fn secret(version: &str) -> ObjectMeta {
    serde_json::from_value(json!({
        "name": "db-secret", "namespace": "team", "uid": "s1", "resourceVersion": version,
        "labels": {names::LABEL_MANAGED: "true"}, "annotations": {names::ANNOTATION_DATA_HASH: "h"},
    }))
    .unwrap()
}

fn store_id() -> StoreId {
    StoreId::from_ref(StoreKind::SecretStore, "s", "team")
}

fn see_store(state: &mut State, generation: i64) -> Touched {
    let meta: ObjectMeta = serde_json::from_value(
        json!({"name": "s", "namespace": "team", "uid": "u", "generation": generation}),
    )
    .unwrap();
    let spec = serde_json::from_value(json!({"provider": {"fake": {}}})).unwrap();
    state.see_store(SeenStore {
        id: store_id(),
        meta: &meta,
        spec: Ok(&spec),
        status: None,
    })
}

fn outlook() -> Outlook {
    Outlook {
        class: "default".into(),
        flood_gate: true,
        secret_stores: true,
        cluster_stores: true,
    }
}

fn the_secret() -> Touched {
    vec![(
        Key::ExternalSecret(ObjectKey {
            namespace: "team".into(),
            name: "db".into(),
        }),
        Class::Changed,
    )]
}

#[test]
fn a_status_alone_touches_nothing() {
    let mut state = State::default();
    assert_eq!(
        state.see_external_secret(external_secret("1", 1)),
        the_secret()
    );
    assert_eq!(state.see_external_secret(external_secret("2", 1)), []);
    assert_eq!(
        state.see_external_secret(external_secret("3", 2)),
        the_secret()
    );
}

#[test]
fn a_late_watch_event_does_not_undo_our_own_status() {
    let mut state = State::default();
    state.see_external_secret(external_secret("1", 1));
    let key = ObjectKey {
        namespace: "team".into(),
        name: "db".into(),
    };
    let status = ExternalSecretStatus {
        refresh_time: Some("now".into()),
        ..ExternalSecretStatus::default()
    };
    state.wrote_status(&key, Some("9".into()), status);
    state.see_external_secret(external_secret("8", 1));
    assert_eq!(
        state
            .external_secret(&key)
            .unwrap()
            .status
            .as_ref()
            .unwrap()
            .refresh_time
            .as_deref(),
        Some("now")
    );
}

fn target() -> TargetKey {
    TargetKey::secret(ObjectKey::of(&secret("5")))
}

#[test]
fn a_secret_that_somebody_else_wrote_touches_its_owner_and_ours_does_not() {
    let mut state = State::default();
    state.see_external_secret(external_secret("1", 1));
    state.knows_target(target(), &secret("5"), "h".into());
    assert_eq!(state.see_target(target(), &secret("5")), []);
    assert_eq!(
        state.target(&target()).unwrap().actual_hash.as_deref(),
        Some("h")
    );
    assert_eq!(state.see_target(target(), &secret("6")), the_secret());
    assert_eq!(state.target(&target()).unwrap().actual_hash, None);
    assert_eq!(state.lose_target(&target()), the_secret());
    assert_eq!(state.target(&target()), None);
}

#[test]
fn an_unchecked_store_lets_wait_and_its_check_wakes() {
    let mut state = State::default();
    let object = external_secret("1", 1);
    state.see_external_secret(object.clone());
    assert!(matches!(
        state.stores_for(&object, &outlook()).unwrap()[&store_id()],
        StoreState::Missing
    ));
    assert_eq!(
        see_store(&mut state, 1),
        [(Key::Store(store_id()), Class::Store)]
    );
    assert!(state.stores_for(&object, &outlook()).is_none());
    assert_eq!(
        state.checked(&store_id(), "u", 1, Standing::NotReady("sealed".into())),
        the_secret()
    );
    assert_eq!(
        state.checked(&store_id(), "u", 1, Standing::NotReady("away".into())),
        []
    );
    assert_eq!(
        state.checked(&store_id(), "u", 1, Standing::Ready),
        the_secret()
    );
    assert_eq!(state.checked(&store_id(), "u", 1, Standing::Ready), []);
    assert!(matches!(
        state.stores_for(&object, &outlook()).unwrap()[&store_id()],
        StoreState::Ready(_)
    ));
}

#[test]
fn a_changed_store_has_to_be_checked_again_and_a_late_check_does_not_count() {
    let mut state = State::default();
    state.see_external_secret(external_secret("1", 1));
    see_store(&mut state, 1);
    state.checked(&store_id(), "u", 1, Standing::Ready);
    assert_eq!(see_store(&mut state, 1), []);
    see_store(&mut state, 2);
    assert_eq!(state.checked(&store_id(), "u", 1, Standing::Ready), []);
    assert_eq!(
        state.store(&store_id()).unwrap().standing,
        Standing::Unchecked
    );
}

#[test]
fn nothing_is_kept_of_what_is_gone() {
    let mut state = State::default();
    state.see_external_secret(external_secret("1", 1));
    state.knows_target(target(), &secret("5"), "h".into());
    state.lose_external_secret(&ObjectKey {
        namespace: "team".into(),
        name: "db".into(),
    });
    assert!(
        state.secrets.is_empty()
            && state.by_store.is_empty()
            && state.by_target.is_empty()
            && state.known.is_empty()
            && state.bereft.is_empty()
    );
}

#[test]
fn under_delete_the_target_of_one_that_is_gone_is_told_once() {
    let mut state = State::default();
    let mut object = external_secret("1", 1);
    object.spec.target = serde_json::from_value(json!({"deletionPolicy": "Delete"})).unwrap();
    let key = ObjectKey::of(&object.metadata);
    let uid = object.metadata.uid.clone().unwrap_or_default();
    state.see_external_secret(object);
    assert_eq!(state.take_bereft(&key), None);
    state.lose_external_secret(&key);
    assert_eq!(state.take_bereft(&key), Some((key.clone(), uid)));
    assert_eq!(state.take_bereft(&key), None);
}

#[test]
fn without_the_gate_nobody_waits_and_another_class_is_never_ours() {
    let mut state = State::default();
    let object = external_secret("1", 1);
    state.see_external_secret(object.clone());
    see_store(&mut state, 1);
    let open = Outlook {
        flood_gate: false,
        ..outlook()
    };
    assert!(matches!(
        state.stores_for(&object, &open).unwrap()[&store_id()],
        StoreState::Ready(_)
    ));
    // Also one that cannot be used says whose it is.
    let meta: ObjectMeta = serde_json::from_value(
        json!({"name": "s", "namespace": "team", "uid": "u", "generation": 2}),
    )
    .unwrap();
    let spec = serde_json::from_value(json!({"controller": "other", "provider": {}})).unwrap();
    state.see_store(SeenStore {
        id: store_id(),
        meta: &meta,
        spec: Ok(&spec),
        status: None,
    });
    assert!(matches!(
        state.stores_for(&object, &outlook()).unwrap()[&store_id()],
        StoreState::Foreign
    ));
}

#[test]
fn where_another_process_checks_stores_its_word_counts_and_wakes() {
    let mut state = State::default();
    let object = external_secret("1", 1);
    state.see_external_secret(object.clone());
    let theirs = Outlook {
        secret_stores: false,
        ..outlook()
    };
    see_store(&mut state, 1);
    assert!(matches!(
        state.stores_for(&object, &theirs).unwrap()[&store_id()],
        StoreState::NotReady(_)
    ));
    let meta: ObjectMeta = serde_json::from_value(
        json!({"name": "s", "namespace": "team", "uid": "u", "generation": 1}),
    )
    .unwrap();
    let spec = serde_json::from_value(json!({"provider": {"fake": {}}})).unwrap();
    let touched = state.see_store(SeenStore {
        id: store_id(),
        meta: &meta,
        spec: Ok(&spec),
        status: serde_json::from_value(
            json!({"conditions": [{"type": "Ready", "status": "True"}]}),
        )
        .unwrap(),
    });
    assert_eq!(touched, the_secret());
    assert!(matches!(
        state.stores_for(&object, &theirs).unwrap()[&store_id()],
        StoreState::Ready(_)
    ));
}

#[test]
fn a_child_touches_its_maker_and_a_namespace_all_who_select() {
    let mut state = State::default();
    let made = |uid: &str| {
        serde_json::from_value(json!({
            "apiVersion": "external-secrets.io/v1", "kind": "ClusterExternalSecret",
            "metadata": {"name": "shared", "uid": uid, "resourceVersion": "1"},
            "spec": {"externalSecretSpec": {}, "externalSecretName": "elsewhere"},
        }))
        .unwrap()
    };
    let shared: Touched = vec![(Key::ClusterExternalSecret("shared".into()), Class::Changed)];
    assert_eq!(state.see_cluster_external_secret(made("c1"), false), shared);
    assert_eq!(state.see_cluster_external_secret(made("c1"), false), []);
    let mut child = external_secret("1", 1);
    child.metadata.owner_references = serde_json::from_value(json!([{
        "apiVersion": "external-secrets.io/v1", "kind": "ClusterExternalSecret", "name": "shared", "uid": "c1", "controller": true,
    }]))
    .unwrap();
    let touched = state.see_external_secret(child.clone());
    assert_eq!(touched, [shared.clone(), the_secret()].concat());
    let known = state.fan_out("shared").unwrap();
    assert_eq!((known.ours.len(), known.named.len()), (1, 0));
    let key = ObjectKey::of(&child.metadata);
    assert_eq!(state.lose_external_secret(&key)[0], shared[0]);
    assert!(state.children.is_empty());

    let namespace = |json| serde_json::from_value::<ObjectMeta>(json).unwrap();
    let seen = namespace(json!({"name": "team", "labels": {"a": "b"}}));
    assert_eq!(state.see_namespace(&seen), shared);
    assert_eq!(state.see_namespace(&seen), []);
    let left = namespace(
        json!({"name": "team", "labels": {"a": "b"}, "finalizers": ["externalsecrets.external-secrets.io/ces-old"]}),
    );
    assert_eq!(
        state.see_namespace(&left),
        [(Key::Namespace("team".into()), Class::Changed)]
    );
    assert_eq!(state.lose_namespace("team"), shared);
}
