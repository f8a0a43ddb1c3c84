use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry};
use postern_api::names::{ANNOTATION_DATA_HASH, LABEL_CREATED_BY, LABEL_MANAGED};
use serde_json::json;

use super::*;
use crate::secret::SecretValue;

fn desired() -> Desired {
    Desired {
        data: BTreeMap::from([("foo".to_owned(), SecretValue::from("bar"))]),
        type_: None,
        labels: BTreeMap::from([("app".to_owned(), "x".to_owned())]),
        annotations: BTreeMap::new(),
        finalizers: vec![],
    }
}

fn rule() -> Rule {
    Rule {
        owner: Owner {
            namespace: "default".into(),
            name: "my-es".into(),
            uid: "u1".into(),
        },
        name: "my-es".into(),
        creation: CreationPolicy::Owner,
        immutable: false,
        what: "secret".into(),
    }
}

fn under(creation: CreationPolicy) -> Rule {
    Rule { creation, ..rule() }
}

fn created() -> Secret {
    match write(None, &desired(), &rule()).unwrap() {
        Write::Create(secret) => *secret,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_target_has_what_the_peer_writes() {
    let secret = created();
    assert_eq!(
        secret.annotations()[ANNOTATION_DATA_HASH],
        "f2a604b87eb0cf673761e8cfea850f901fe73a3d1b2f338802107f36"
    );
    assert_eq!(
        secret.labels()[LABEL_CREATED_BY],
        "b8464376b5fe3535e690594280bfe59b60be2603cb6cbb6d6c8bcbb4"
    );
    assert_eq!(secret.labels()[LABEL_MANAGED], "true");
    assert_eq!(secret.labels()["app"], "x");
    assert_eq!(secret.type_.as_deref(), Some("Opaque"));
    let reference = &secret.owner_references()[0];
    assert_eq!(
        (reference.controller, reference.block_owner_deletion),
        (Some(true), Some(true))
    );
}

#[test]
fn an_equal_target_is_not_written() {
    assert_eq!(
        write(Some(&created()), &desired(), &rule()).unwrap(),
        Write::Unchanged
    );
}

#[test]
fn foreign_data_and_our_old_labels_go_foreign_labels_stay() {
    let mut existing = created();
    existing
        .data
        .as_mut()
        .unwrap()
        .insert("foreign".into(), ByteString(b"x".to_vec()));
    existing.labels_mut().insert("theirs".into(), "1".into());
    existing.labels_mut().insert("old".into(), "1".into());
    existing.metadata.managed_fields = Some(vec![ManagedFieldsEntry {
        manager: Some("externalsecrets.external-secrets.io/my-es".into()),
        fields_v1: Some(FieldsV1(
            json!({"f:metadata": {"f:labels": {".": {}, "f:old": {}, "f:app": {}}}}),
        )),
        ..ManagedFieldsEntry::default()
    }]);
    let Write::Update(secret) = write(Some(&existing), &desired(), &rule()).unwrap() else {
        panic!("no update")
    };
    assert_eq!(
        secret.data.as_ref().unwrap().keys().collect::<Vec<_>>(),
        ["foo"]
    );
    assert!(secret.labels().contains_key("theirs"));
    assert!(secret.labels().contains_key("app"));
    assert!(!secret.labels().contains_key("old"));
}

#[test]
fn a_target_of_somebody_else_is_left_alone() {
    let mut existing = created();
    existing.owner_references_mut()[0].name = "other".into();
    let failure = write(Some(&existing), &desired(), &rule()).unwrap_err();
    assert!(
        failure
            .public
            .starts_with("target is owned by another ExternalSecret"),
        "{failure}"
    );
    existing.owner_references_mut()[0].kind = "Widget".into();
    let failure = write(Some(&existing), &desired(), &rule()).unwrap_err();
    assert!(
        failure.public.starts_with("failed to take ownership"),
        "{failure}"
    );
}

#[test]
fn only_a_target_that_is_ours_and_at_stake_is_deleted() {
    assert_eq!(remove(None, &rule(), true).unwrap(), Remove::Nothing);
    let mut existing = created();
    existing.metadata.uid = Some("s1".into());
    existing.metadata.resource_version = Some("7".into());
    assert_eq!(
        remove(Some(&existing), &rule(), true).unwrap(),
        Remove::Delete(Exactly {
            uid: "s1".into(),
            resource_version: "7".into()
        })
    );
    assert!(remove(Some(&existing), &rule(), false).is_err());
    let mut later = rule();
    later.owner.uid = "u2".into();
    assert!(remove(Some(&existing), &later, true).is_err());
    existing.metadata.owner_references = None;
    let failure = remove(Some(&existing), &rule(), true).unwrap_err();
    assert_eq!(failure.code, Code::TargetOwned);
}

#[test]
fn a_type_cannot_be_changed_and_an_immutable_target_is_not_touched() {
    let mut tls = desired();
    tls.type_ = Some("kubernetes.io/tls".into());
    assert!(
        write(Some(&created()), &tls, &rule())
            .unwrap_err()
            .public
            .contains("a type cannot be changed")
    );
    let mut existing = created();
    existing.immutable = Some(true);
    let mut other = desired();
    other.data.insert("foo".into(), SecretValue::from("new"));
    assert!(
        write(Some(&existing), &other, &rule())
            .unwrap_err()
            .public
            .contains("target is immutable")
    );
}

/// As the API server gives it back: our manager owns what we wrote.
fn stored() -> Secret {
    let mut secret = created();
    secret.metadata.uid = Some("s1".into());
    secret.metadata.resource_version = Some("7".into());
    let marks = json!({"f:labels": {".": {}, "f:app": {}, (format!("f:{LABEL_MANAGED}")): {}, (format!("f:{LABEL_CREATED_BY}")): {}},
        "f:annotations": {(format!("f:{ANNOTATION_DATA_HASH}")): {}}});
    secret.metadata.managed_fields = Some(vec![ManagedFieldsEntry {
        manager: Some("externalsecrets.external-secrets.io/my-es".into()),
        operation: Some("Update".into()),
        fields_v1: Some(FieldsV1(
            json!({"f:metadata": marks, "f:data": {".": {}, "f:foo": {}}}),
        )),
        ..ManagedFieldsEntry::default()
    }]);
    secret
}

fn with_foreign(mut secret: Secret) -> Secret {
    let data = secret.data.get_or_insert_default();
    data.insert("foreign".into(), ByteString(b"x".to_vec()));
    secret
}

fn updated(write: Write) -> Secret {
    match write {
        Write::Update(secret) => *secret,
        other => panic!("{other:?}"),
    }
}

#[test]
fn merge_and_create_or_merge_keep_foreign_data_and_owner_and_orphan_clear_it() {
    let table = [
        (CreationPolicy::Owner, false),
        (CreationPolicy::Orphan, false),
        (CreationPolicy::Merge, true),
        (CreationPolicy::CreateOrMerge, true),
    ];
    for (policy, keeps) in table {
        let existing = with_foreign(stored());
        let secret = updated(write(Some(&existing), &desired(), &under(policy)).unwrap());
        let data = secret.data.unwrap();
        assert_eq!(data.contains_key("foreign"), keeps, "{policy:?}");
        assert_eq!(data["foo"].0, b"bar", "{policy:?}");
        let all = data.iter().map(|(k, v)| (k.as_str(), v.0.as_slice()));
        let hash = crate::go::data_hash(all);
        let annotations = secret.metadata.annotations.unwrap();
        assert_eq!(annotations[ANNOTATION_DATA_HASH], hash, "{policy:?}");
    }
}

#[test]
fn a_key_that_is_no_longer_read_goes_also_from_a_merged_secret() {
    let mut other = desired();
    other.data = BTreeMap::from([("new".to_owned(), SecretValue::from("v"))]);
    for policy in [CreationPolicy::Merge, CreationPolicy::CreateOrMerge] {
        let existing = with_foreign(stored());
        let secret = updated(write(Some(&existing), &other, &under(policy)).unwrap());
        let keys: Vec<String> = secret.data.unwrap().into_keys().collect();
        assert_eq!(keys, ["foreign", "new"], "{policy:?}");
    }
}

#[test]
fn another_policy_than_owner_gives_the_secret_free() {
    for policy in [
        CreationPolicy::Orphan,
        CreationPolicy::Merge,
        CreationPolicy::CreateOrMerge,
    ] {
        let secret = updated(write(Some(&stored()), &desired(), &under(policy)).unwrap());
        assert_eq!(secret.owner_references(), [], "{policy:?}");
        assert!(
            !secret.labels().contains_key(LABEL_CREATED_BY),
            "{policy:?}"
        );
        assert_eq!(secret.labels()[LABEL_MANAGED], "true", "{policy:?}");
        let again = write(Some(&secret), &desired(), &under(policy)).unwrap();
        assert_eq!(again, Write::Unchanged, "{policy:?}");
    }
}

#[test]
fn merge_makes_no_secret_and_none_writes_nothing_at_all() {
    let policy = |policy| write(None, &desired(), &under(policy)).unwrap();
    assert_eq!(policy(CreationPolicy::Merge), Write::Missing);
    assert_eq!(policy(CreationPolicy::None), Write::Skip);
    assert!(matches!(policy(CreationPolicy::Orphan), Write::Create(_)));
    assert!(matches!(
        policy(CreationPolicy::CreateOrMerge),
        Write::Create(_)
    ));
    let existing = with_foreign(stored());
    let none = write(Some(&existing), &desired(), &under(CreationPolicy::None));
    assert_eq!(none.unwrap(), Write::Skip);
}

#[test]
fn a_secret_of_another_controller_can_be_merged_into_but_not_owned() {
    let mut existing = stored();
    existing.owner_references_mut()[0].kind = "Widget".into();
    assert!(write(Some(&existing), &desired(), &rule()).is_err());
    let secret =
        updated(write(Some(&existing), &desired(), &under(CreationPolicy::Merge)).unwrap());
    assert_eq!(secret.owner_references()[0].kind, "Widget");
    existing.owner_references_mut()[0].kind = "ExternalSecret".into();
    existing.owner_references_mut()[0].name = "other".into();
    for policy in [CreationPolicy::Orphan, CreationPolicy::Merge] {
        let failure = write(Some(&existing), &desired(), &under(policy)).unwrap_err();
        assert!(failure.public.contains("owned by another"), "{failure}");
    }
}

#[test]
fn an_immutable_target_is_made_so_and_keeps_the_data_it_has() {
    let immutable = Rule {
        immutable: true,
        ..rule()
    };
    let Write::Create(new) = write(None, &desired(), &immutable).unwrap() else {
        panic!("nothing was made")
    };
    assert_eq!(new.immutable, Some(true));
    let mut other = desired();
    other.data.insert("foo".into(), SecretValue::from("new"));
    assert_eq!(
        write(Some(&new), &other, &immutable).unwrap(),
        Write::Unchanged
    );
    // One that was mutable is made immutable as it is.
    let secret = updated(write(Some(&stored()), &other, &immutable).unwrap());
    assert_eq!(secret.immutable, Some(true));
    assert_eq!(secret.data, stored().data);
}

#[test]
fn metadata_of_an_immutable_secret_are_written_although_its_data_cannot_be() {
    let mut existing = stored();
    existing.immutable = Some(true);
    existing.labels_mut().remove(LABEL_MANAGED);
    let mut other = desired();
    other.data.insert("foo".into(), SecretValue::from("new"));
    let Write::Metadata(secret, failure) = write(Some(&existing), &other, &rule()).unwrap() else {
        panic!("no metadata")
    };
    assert_eq!(secret.data, existing.data);
    assert_eq!(secret.labels()[LABEL_MANAGED], "true");
    assert_eq!(
        secret.annotations()[ANNOTATION_DATA_HASH],
        created().annotations()[ANNOTATION_DATA_HASH]
    );
    assert!(failure.public.contains("target is immutable"), "{failure}");
}

#[test]
fn only_what_is_ours_by_reference_and_label_counts_as_left_over() {
    let renamed = Rule {
        name: "new-name".into(),
        ..rule()
    };
    let old = stored().metadata;
    let exactly = Exactly {
        uid: "s1".into(),
        resource_version: "7".into(),
    };
    assert_eq!(left_over(&old, &renamed), Some(exactly));
    assert_eq!(left_over(&old, &rule()), None, "it is the target");
    let not = |change: fn(&mut ObjectMeta), why: &str| {
        let mut meta = old.clone();
        change(&mut meta);
        assert_eq!(left_over(&meta, &renamed), None, "{why}");
    };
    not(|m| m.owner_references = None, "nobody owns it");
    not(|m| m.labels = None, "it has no label");
    not(
        |m| m.owner_references.as_mut().unwrap()[0].uid = "u0".into(),
        "an earlier one of the name owns it",
    );
    not(
        |m| m.owner_references.as_mut().unwrap()[0].controller = None,
        "we do not control it",
    );
    not(
        |m| {
            let labels = m.labels.as_mut().unwrap();
            labels.insert(LABEL_CREATED_BY.into(), "another".into());
        },
        "the label is another's",
    );
    for creation in [CreationPolicy::Orphan, CreationPolicy::Merge] {
        let rule = Rule {
            creation,
            ..renamed.clone()
        };
        assert_eq!(left_over(&old, &rule), None, "{creation:?}");
    }
}
