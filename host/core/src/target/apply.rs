//! Data, labels and annotations of a target: what is ours goes and comes back, what is others' stays where it may.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube_core::ResourceExt as _;
use postern_api::names::{ANNOTATION_DATA_HASH, LABEL_MANAGED};

use super::Rule;
use crate::go;
use crate::template::Desired;

/// Puts in what the sync came to, in place of what our manager wrote before.
pub(super) fn contents(secret: &mut Secret, desired: &Desired, rule: &Rule) {
    let manager = go::field_manager(&rule.owner.name);
    let keys = owned(&secret.metadata, &manager, &["f:data"]);
    let (labels, annotations) = (&desired.labels, &desired.annotations);
    names(&mut secret.metadata, labels, annotations, rule);
    let data = secret.data.get_or_insert_default();
    if rule.keeps_foreign_data() {
        data.retain(|key, _| !keys.contains(key));
    } else {
        data.clear();
    }
    let values = desired.data.iter();
    data.extend(values.map(|(k, v)| (k.clone(), ByteString(v.expose().to_vec()))));
    if let Some(type_) = &desired.type_ {
        secret.type_ = Some(type_.clone());
    }
    for finalizer in &desired.finalizers {
        let finalizers = secret.finalizers_mut();
        if !finalizers.contains(finalizer) {
            finalizers.push(finalizer.clone());
        }
    }
}

/// Puts labels and annotations in, in place of those that our manager wrote before.
pub(crate) fn names(
    meta: &mut ObjectMeta,
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
    rule: &Rule,
) {
    let manager = go::field_manager(&rule.owner.name);
    let ours = |part: &str| owned(meta, &manager, &["f:metadata", part]);
    let (old_labels, old_annotations) = (ours("f:labels"), ours("f:annotations"));
    let now = meta.labels.get_or_insert_default();
    now.retain(|key, _| !old_labels.contains(key));
    now.extend(labels.clone());
    let now = meta.annotations.get_or_insert_default();
    now.retain(|key, _| !old_annotations.contains(key));
    now.extend(annotations.clone());
}

/// The label that the watch selects by, and the hash of the data that the Secret has.
pub(super) fn marks(secret: &mut Secret) {
    let data = secret.data.iter().flatten();
    let hash = go::data_hash(data.map(|(k, v)| (k.as_str(), v.0.as_slice())));
    let managed = (LABEL_MANAGED.to_owned(), "true".to_owned());
    secret.labels_mut().extend([managed]);
    let hash = (ANNOTATION_DATA_HASH.to_owned(), hash);
    secret.annotations_mut().extend([hash]);
}

/// What managedFields give to a manager at this place.
pub(crate) fn owned(meta: &ObjectMeta, manager: &str, path: &[&str]) -> BTreeSet<String> {
    let entries = meta.managed_fields.iter().flatten();
    entries
        .filter(|entry| entry.manager.as_deref() == Some(manager))
        .filter_map(|entry| {
            let whole = &entry.fields_v1.as_ref()?.0;
            path.iter()
                .try_fold(whole, |fields, part| fields.get(part))?
                .as_object()
        })
        .flat_map(|fields| fields.keys())
        .filter_map(|key| key.strip_prefix("f:").map(str::to_owned))
        .collect()
}
