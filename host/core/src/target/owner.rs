//! Whose a target is: the controller reference, the label with the owner's hash, and who must not touch it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use postern_api::external_secret::CreationPolicy;
use postern_api::names::{GROUP, LABEL_CREATED_BY};

use super::{Owner, Rule};
use crate::failure::{Code, Failure, Stage};
use crate::go;

/// Another ExternalSecret's target is never touched; one that another object controls cannot become ours, but can be
/// added to.
pub(crate) fn check(existing: &ObjectMeta, rule: &Rule) -> Result<(), Failure> {
    let (name, what) = (&rule.name, &rule.what);
    let mut owners = existing.owner_references.iter().flatten();
    let controller = owners.find(|o| o.controller == Some(true) && !is_ours(o, &rule.owner));
    let text = match controller {
        Some(other) if is_external_secret(other) => format!(
            "target is owned by another ExternalSecret: {what} \"{name}\" belongs to \"{}\"; give one of them another spec.target.name",
            other.name
        ),
        Some(other) if rule.creation == CreationPolicy::Owner => format!(
            "failed to take ownership of target {what} \"{name}\": it belongs to {} \"{}\"; choose another spec.target.name",
            other.kind, other.name
        ),
        Some(_) | None => return Ok(()),
    };
    Err(Failure::new(Stage::Commit, Code::TargetOwned, text))
}

/// Makes the ExternalSecret the controller under policy Owner, and takes that back under every other.
pub(crate) fn apply(meta: &mut ObjectMeta, rule: &Rule) {
    let (owner, label) = (&rule.owner, LABEL_CREATED_BY);
    if rule.creation == CreationPolicy::Owner {
        let hash = (label.to_owned(), label_of(owner));
        meta.labels.get_or_insert_default().extend([hash]);
        own(meta.owner_references.get_or_insert_default(), owner);
        return;
    }
    if let Some(labels) = &mut meta.labels {
        labels.remove(label);
    }
    if let Some(owners) = &mut meta.owner_references {
        owners.retain(|o| !(is_ours(o, owner) && o.controller == Some(true)));
    }
}

fn own(owners: &mut Vec<OwnerReference>, owner: &Owner) {
    if owners.iter().any(|o| is_this_very(o, owner)) {
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

/// Whether this very ExternalSecret, and not one of its name, is the controller.
pub(super) fn controls(meta: &ObjectMeta, owner: &Owner) -> bool {
    let owners = meta.owner_references.iter().flatten();
    owners.into_iter().any(|o| is_this_very(o, owner))
}

/// Whether the label says that this ExternalSecret made it.
pub(super) fn is_labelled(meta: &ObjectMeta, owner: &Owner) -> bool {
    let label = meta.labels.as_ref().and_then(|l| l.get(LABEL_CREATED_BY));
    label.is_some_and(|label| *label == label_of(owner))
}

fn label_of(owner: &Owner) -> String {
    go::string_hash(&format!("{}/{}", owner.namespace, owner.name))
}

fn is_external_secret(reference: &OwnerReference) -> bool {
    reference.kind == "ExternalSecret" && reference.api_version.split('/').next() == Some(GROUP)
}

fn is_ours(reference: &OwnerReference, owner: &Owner) -> bool {
    is_external_secret(reference) && reference.name == owner.name
}

fn is_this_very(reference: &OwnerReference, owner: &Owner) -> bool {
    is_ours(reference, owner) && reference.uid == owner.uid && reference.controller == Some(true)
}
