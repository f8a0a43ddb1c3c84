//! The object as it shall be, held against the one that exists.
//!
//! Under Owner and Orphan its content is made anew, under Merge and CreateOrMerge it is put into what is there. Metadata
//! of others stays under every policy. `status` is never touched.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use postern_api::external_secret::CreationPolicy;
use postern_api::names::{ANNOTATION_DATA_HASH, LABEL_MANAGED};
use serde_json::{Map, Value, json};

use super::{Desired, Edit, Hidden, How, Kind};
use crate::failure::{Code, Failure, Stage};
use crate::go;
use crate::target::{Remove, Rule, apply, owner};

/// Fields that are no content.
const STAYS: [&str; 4] = ["apiVersion", "kind", "metadata", "status"];

/// An object with its values.
pub type Object = Hidden;

impl Hidden {
    /// Takes an object in.
    #[must_use]
    pub const fn new(object: Value) -> Self {
        Self(object)
    }

    /// The object; whoever takes it out sends it to the API server.
    #[must_use]
    pub const fn expose(&self) -> &Value {
        &self.0
    }

    /// Its metadata.
    #[must_use]
    pub fn metadata(&self) -> ObjectMeta {
        let metadata = self.0.get("metadata").cloned().unwrap_or_default();
        serde_json::from_value(metadata).unwrap_or_default()
    }
}

/// What to do with the target.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// It does not exist.
    Create(Object),
    /// It differs; carries the resource version that was read.
    Update(Object),
    /// It is as it shall be.
    Unchanged,
    /// It does not exist, and is not ours to make.
    Missing,
    /// Nothing is ever written.
    Skip,
}

/// Decides how the target becomes what it shall be.
pub fn write(existing: Option<&Object>, desired: &Desired, rule: &Rule) -> Result<Write, Failure> {
    if rule.creation == CreationPolicy::None {
        return Ok(Write::Skip);
    }
    let Some(existing) = existing else {
        return match rule.creation {
            CreationPolicy::Merge => Ok(Write::Missing),
            _ => made(base(&desired.kind, rule), desired, rule).map(Write::Create),
        };
    };
    owner::check(&existing.metadata(), rule)?;
    let mut object = existing.clone();
    if rule.keeps_foreign_data() {
        take_back(&mut object, rule);
    } else {
        clear(&mut object, &desired.kind);
    }
    let object = made(object, desired, rule)?;
    let mut before = existing.clone();
    set_metadata(&mut before, &existing.metadata());
    Ok(if before == object {
        Write::Unchanged
    } else {
        Write::Update(object)
    })
}

/// Decides how the target ceases to be; see [`crate::target::remove`].
pub fn remove(
    existing: Option<&ObjectMeta>,
    rule: &Rule,
    at_stake: bool,
) -> Result<Remove, Failure> {
    crate::target::remove_object(existing, rule, at_stake)
}

/// The hash of what an object holds: its `spec`, or its `data` where it has none; none where it has neither.
#[must_use]
pub fn content_hash(object: &Object) -> Option<String> {
    let field = |name: &str| object.0.get(name).filter(|v| !v.is_null());
    field("spec").or_else(|| field("data")).map(go::object_hash)
}

fn base(kind: &Kind, rule: &Rule) -> Object {
    let mut object = Hidden(json!({
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": rule.name, "namespace": rule.owner.namespace},
    }));
    clear(&mut object, kind);
    object
}

/// Takes out all but what says which object it is.
fn clear(object: &mut Object, kind: &Kind) {
    let Some(fields) = object.0.as_object_mut() else {
        return;
    };
    for (name, mut value) in std::mem::take(fields) {
        if STAYS.contains(&name.as_str()) {
            fields.insert(name, value);
        } else {
            super::wipe(&mut value);
        }
    }
    let content = if kind.has_data() { "data" } else { "spec" };
    fields.insert(content.to_owned(), Value::Object(Map::new()));
}

/// Takes out the keys of `data` that we wrote: those that are still made come back.
fn take_back(object: &mut Object, rule: &Rule) {
    let metadata = object.metadata();
    let ours = apply::owned(&metadata, &go::field_manager(&rule.owner.name), &["f:data"]);
    if let Some(data) = object.0.get_mut("data").and_then(Value::as_object_mut) {
        data.retain(|key, _| !ours.contains(key));
    }
}

fn made(mut object: Object, desired: &Desired, rule: &Rule) -> Result<Object, Failure> {
    for edit in &desired.edits {
        apply_edit(&mut object, edit).map_err(|why| {
            let text = format!("could not apply template to manifest: {why}");
            Failure::new(Stage::Commit, Code::TemplateFailed, text)
        })?;
    }
    let mut metadata = object.metadata();
    let (labels, annotations) = (&desired.labels, &desired.annotations);
    apply::names(&mut metadata, labels, annotations, rule);
    owner::apply(&mut metadata, rule);
    let hash = content_hash(&object).ok_or_else(|| {
        let text = format!(
            "could not apply template to manifest: {} \"{}\" has neither spec nor data, so a change of it could not be seen",
            desired.kind, rule.name
        );
        Failure::new(Stage::Commit, Code::Unsupported, text)
    })?;
    let managed = (LABEL_MANAGED.to_owned(), "true".to_owned());
    metadata.labels.get_or_insert_default().extend([managed]);
    let hash = (ANNOTATION_DATA_HASH.to_owned(), hash);
    metadata.annotations.get_or_insert_default().extend([hash]);
    set_metadata(&mut object, &metadata);
    Ok(object)
}

fn apply_edit(object: &mut Object, edit: &Edit) -> Result<(), String> {
    edit.at.change(&mut object.0, |place| {
        match (place.as_object_mut(), edit.value.0.as_object(), edit.how) {
            (Some(there), Some(fields), How::Merge) if !edit.at.is_field() => {
                let fields = fields.iter();
                there.extend(fields.map(|(k, v)| (k.clone(), v.clone())));
            }
            _ => *place = edit.value.0.clone(),
        }
    })
}

fn set_metadata(object: &mut Object, metadata: &ObjectMeta) {
    let value = serde_json::to_value(metadata).unwrap_or_default();
    if let Some(fields) = object.0.as_object_mut() {
        fields.insert("metadata".to_owned(), value);
    }
}
