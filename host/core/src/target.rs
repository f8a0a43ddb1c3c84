//! The target as it shall be written: ownership, labels, hash and data held against the object that exists.
//!
//! The way of writing is the peer's: create, or read, compute, compare and replace with the resource version. Our keys
//! are what managedFields give to our field manager; creation policy Owner clears all other data.

use std::collections::BTreeSet;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube_core::ResourceExt as _;
use postern_api::names::{ANNOTATION_DATA_HASH, GROUP, LABEL_CREATED_BY, LABEL_MANAGED};

use crate::failure::{Code, Failure, Stage};
use crate::go;
use crate::template::Desired;

/// The ExternalSecret that owns a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its namespace, which is the target's.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

/// What to do with the target.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// It does not exist.
    Create(Box<Secret>),
    /// It differs; carries the resource version that was read.
    Update(Box<Secret>),
    /// It is as it shall be.
    Unchanged,
}

/// Decides how the target becomes what it shall be.
pub fn write(
    existing: Option<&Secret>,
    desired: &Desired,
    owner: &Owner,
    name: &str,
) -> Result<Write, Failure> {
    let Some(existing) = existing else {
        let mut secret = Secret {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(owner.namespace.clone()),
                ..ObjectMeta::default()
            },
            ..Secret::default()
        };
        apply(&mut secret, desired, owner);
        secret.type_ = Some(desired.type_.clone().unwrap_or_else(|| "Opaque".to_owned()));
        return Ok(Write::Create(Box::new(secret)));
    };
    check_owner(existing, owner, name)?;
    check_type(existing, desired, name)?;
    let mut secret = existing.clone();
    forget_ours(&mut secret, &go::field_manager(&owner.name));
    apply(&mut secret, desired, owner);
    if same(existing, &secret) {
        return Ok(Write::Unchanged);
    }
    if existing.immutable == Some(true) && existing.data != secret.data {
        return Err(Failure::new(
            Stage::Commit,
            Code::TargetOwned,
            format!(
                "could not update secret \"{name}\", target is immutable; delete it to have it made again"
            ),
        ));
    }
    Ok(Write::Update(Box::new(secret)))
}

/// What to do with a target that shall not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remove {
    /// It is not there, or going already.
    Nothing,
    /// This one object in this one version.
    Delete {
        /// Its UID.
        uid: String,
        /// The version that was read.
        resource_version: String,
    },
}

/// Decides how the target ceases to be. Only an object that this very ExternalSecret controls is deleted, and only where
/// `at_stake` says that its absence was confirmed for it.
pub fn remove(
    existing: Option<&Secret>,
    owner: &Owner,
    name: &str,
    at_stake: bool,
) -> Result<Remove, Failure> {
    let Some(existing) = existing.filter(|s| s.metadata.deletion_timestamp.is_none()) else {
        return Ok(Remove::Nothing);
    };
    let ours = existing
        .owner_references()
        .iter()
        .any(|o| is_ours(o, owner) && o.uid == owner.uid && o.controller == Some(true));
    let meta = &existing.metadata;
    match (&meta.uid, &meta.resource_version) {
        (Some(uid), Some(version)) if ours && at_stake => Ok(Remove::Delete {
            uid: uid.clone(),
            resource_version: version.clone(),
        }),
        _ => Err(Failure::new(
            Stage::Commit,
            Code::TargetOwned,
            format!(
                "could not delete secret \"{name}\": the backend has nothing for it, but this ExternalSecret does not own it; delete it by hand, or choose another spec.target.name"
            ),
        )),
    }
}

fn apply(secret: &mut Secret, desired: &Desired, owner: &Owner) {
    secret.data = Some(
        desired
            .data
            .iter()
            .map(|(k, v)| (k.clone(), ByteString(v.expose().to_vec())))
            .collect(),
    );
    let labels = secret.metadata.labels.get_or_insert_default();
    labels.extend(desired.labels.clone());
    labels.insert(LABEL_MANAGED.to_owned(), "true".to_owned());
    labels.insert(
        LABEL_CREATED_BY.to_owned(),
        go::string_hash(&format!("{}/{}", owner.namespace, owner.name)),
    );
    let annotations = secret.metadata.annotations.get_or_insert_default();
    annotations.extend(desired.annotations.clone());
    annotations.insert(
        ANNOTATION_DATA_HASH.to_owned(),
        go::secret_data_hash(&desired.data),
    );
    if !desired.finalizers.is_empty() {
        let finalizers = secret.metadata.finalizers.get_or_insert_default();
        for finalizer in &desired.finalizers {
            if !finalizers.contains(finalizer) {
                finalizers.push(finalizer.clone());
            }
        }
    }
    own(secret, owner);
}

fn own(secret: &mut Secret, owner: &Owner) {
    let owners = secret.metadata.owner_references.get_or_insert_default();
    if owners
        .iter()
        .any(|o| is_ours(o, owner) && o.uid == owner.uid && o.controller == Some(true))
    {
        return;
    }
    owners.retain(|o| !is_ours(o, owner));
    owners.push(OwnerReference {
        api_version: format!("{GROUP}/v1"),
        kind: "ExternalSecret".to_owned(),
        name: owner.name.clone(),
        uid: owner.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    });
}

fn is_external_secret(reference: &OwnerReference) -> bool {
    reference.kind == "ExternalSecret" && reference.api_version.split('/').next() == Some(GROUP)
}

fn is_ours(reference: &OwnerReference, owner: &Owner) -> bool {
    is_external_secret(reference) && reference.name == owner.name
}

fn check_owner(existing: &Secret, owner: &Owner, name: &str) -> Result<(), Failure> {
    let controller = existing
        .owner_references()
        .iter()
        .find(|o| o.controller == Some(true) && !is_ours(o, owner));
    let Some(other) = controller else {
        return Ok(());
    };
    let text = if is_external_secret(other) {
        format!(
            "target is owned by another ExternalSecret: secret \"{name}\" belongs to \"{}\"; give one of them another spec.target.name",
            other.name
        )
    } else {
        format!(
            "failed to take ownership of target secret \"{name}\": it belongs to {} \"{}\"; choose another spec.target.name",
            other.kind, other.name
        )
    };
    Err(Failure::new(Stage::Commit, Code::TargetOwned, text))
}

fn check_type(existing: &Secret, desired: &Desired, name: &str) -> Result<(), Failure> {
    match (&existing.type_, &desired.type_) {
        (Some(is), Some(shall)) if is != shall => Err(Failure::new(
            Stage::Commit,
            Code::TargetOwned,
            format!(
                "secret \"{name}\" has the type {is} and the template says {shall}; a type cannot be changed, delete the Secret to have it made again"
            ),
        )),
        _ => Ok(()),
    }
}

/// Takes off the labels and annotations that our manager wrote; those still wanted come back.
fn forget_ours(secret: &mut Secret, manager: &str) {
    let labels = owned(secret, manager, "f:labels");
    let annotations = owned(secret, manager, "f:annotations");
    secret.labels_mut().retain(|k, _| !labels.contains(k));
    secret
        .annotations_mut()
        .retain(|k, _| !annotations.contains(k));
}

fn owned(secret: &Secret, manager: &str, part: &str) -> BTreeSet<String> {
    secret
        .managed_fields()
        .iter()
        .filter(|entry| entry.manager.as_deref() == Some(manager))
        .filter_map(|entry| {
            entry
                .fields_v1
                .as_ref()?
                .0
                .get("f:metadata")?
                .get(part)?
                .as_object()
        })
        .flat_map(|fields| {
            fields
                .keys()
                .filter_map(|k| k.strip_prefix("f:").map(str::to_owned))
        })
        .collect()
}

fn same(a: &Secret, b: &Secret) -> bool {
    let data = |s: &Secret| s.data.clone().filter(|d| !d.is_empty());
    let owners = |s: &Secret| s.metadata.owner_references.clone().unwrap_or_default();
    data(a) == data(b)
        && a.labels() == b.labels()
        && a.annotations() == b.annotations()
        && a.finalizers() == b.finalizers()
        && owners(a) == owners(b)
        && a.type_ == b.type_
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretValue;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry};
    use serde_json::json;
    use std::collections::BTreeMap;

    fn desired() -> Desired {
        Desired {
            data: BTreeMap::from([("foo".to_owned(), SecretValue::from("bar"))]),
            type_: None,
            labels: BTreeMap::from([("app".to_owned(), "x".to_owned())]),
            annotations: BTreeMap::new(),
            finalizers: vec![],
        }
    }

    fn owner() -> Owner {
        Owner {
            namespace: "default".into(),
            name: "my-es".into(),
            uid: "u1".into(),
        }
    }

    fn created() -> Secret {
        match write(None, &desired(), &owner(), "my-es").unwrap() {
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
            write(Some(&created()), &desired(), &owner(), "my-es").unwrap(),
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
        let Write::Update(secret) = write(Some(&existing), &desired(), &owner(), "my-es").unwrap()
        else {
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
        let failure = write(Some(&existing), &desired(), &owner(), "my-es").unwrap_err();
        assert!(
            failure
                .public
                .starts_with("target is owned by another ExternalSecret"),
            "{failure}"
        );
        existing.owner_references_mut()[0].kind = "Widget".into();
        let failure = write(Some(&existing), &desired(), &owner(), "my-es").unwrap_err();
        assert!(
            failure.public.starts_with("failed to take ownership"),
            "{failure}"
        );
    }

    #[test]
    fn only_a_target_that_is_ours_and_at_stake_is_deleted() {
        assert_eq!(
            remove(None, &owner(), "my-es", true).unwrap(),
            Remove::Nothing
        );
        let mut existing = created();
        existing.metadata.uid = Some("s1".into());
        existing.metadata.resource_version = Some("7".into());
        assert_eq!(
            remove(Some(&existing), &owner(), "my-es", true).unwrap(),
            Remove::Delete {
                uid: "s1".into(),
                resource_version: "7".into()
            }
        );
        assert!(remove(Some(&existing), &owner(), "my-es", false).is_err());
        let mut later = owner();
        later.uid = "u2".into();
        assert!(remove(Some(&existing), &later, "my-es", true).is_err());
        existing.metadata.owner_references = None;
        let failure = remove(Some(&existing), &owner(), "my-es", true).unwrap_err();
        assert_eq!(failure.code, Code::TargetOwned);
    }

    #[test]
    fn a_type_cannot_be_changed_and_an_immutable_target_is_not_touched() {
        let mut tls = desired();
        tls.type_ = Some("kubernetes.io/tls".into());
        assert!(
            write(Some(&created()), &tls, &owner(), "my-es")
                .unwrap_err()
                .public
                .contains("a type cannot be changed")
        );
        let mut existing = created();
        existing.immutable = Some(true);
        let mut other = desired();
        other.data.insert("foo".into(), SecretValue::from("new"));
        assert!(
            write(Some(&existing), &other, &owner(), "my-es")
                .unwrap_err()
                .public
                .contains("target is immutable")
        );
    }
}
