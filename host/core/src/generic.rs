//! Targets that are no Secrets: which kinds may be one, what their templates make, and how the object becomes that.
//!
//! An object is plain JSON here. It holds values, so it shows nothing and is wiped when it is dropped.

mod object;
mod path;

use std::collections::BTreeMap;

use postern_api::ExternalSecret;
use postern_api::external_secret::{TargetTemplate, TemplateFrom};
use postern_api::names::{GROUP, POSTERN_GROUP};
use serde_json::Value;

pub use object::{Object, Write, content_hash, remove, write};
pub(crate) use path::Path;

use crate::failure::{Code, Failure, Stage};
use crate::secret::SecretValue;
use crate::shape::Data;

/// Groups whose objects say what may be read or done in the cluster. Whoever writes an ExternalSecret must not get that by
/// the operator's rights.
const REFUSED_GROUPS: [&str; 4] = [
    GROUP,
    "generators.external-secrets.io",
    POSTERN_GROUP,
    "rbac.authorization.k8s.io",
];

/// A kind of object that a target is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind {
    /// Group and version, or the version alone for the core.
    pub api_version: String,
    /// The kind.
    pub kind: String,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.kind)
    }
}

impl Kind {
    /// The kind of an ExternalSecret's target; none for a Secret.
    #[must_use]
    pub fn of(object: &ExternalSecret) -> Option<Self> {
        let manifest = object.spec.target.as_ref()?.manifest.as_ref()?;
        Some(Self {
            api_version: manifest.api_version.clone(),
            kind: manifest.kind.clone(),
        })
    }

    /// The API group; empty for the core.
    #[must_use]
    pub fn group(&self) -> &str {
        self.api_version
            .split_once('/')
            .map_or("", |(group, _)| group)
    }

    /// The version within the group.
    #[must_use]
    pub fn version(&self) -> &str {
        self.api_version
            .split_once('/')
            .map_or(&self.api_version, |(_, version)| version)
    }

    /// Whether values of it stand under `data` where nobody says otherwise.
    fn has_data(&self) -> bool {
        self.group().is_empty() && self.kind == "ConfigMap"
    }

    /// Whether a target may be of this kind.
    pub fn check(&self) -> Result<(), Failure> {
        let why = if self.api_version.is_empty() || self.kind.is_empty() {
            "spec.target.manifest needs apiVersion and kind".to_owned()
        } else if self.group().is_empty() && self.kind == "Secret" {
            "a Secret is the target without spec.target.manifest; take it out".to_owned()
        } else if REFUSED_GROUPS.contains(&self.group()) {
            format!(
                "objects of {} say what may be read or done, and are not made from an ExternalSecret",
                self.group()
            )
        } else {
            return Ok(());
        };
        let text = format!("invalid generic target: {why}");
        Err(Failure::new(Stage::Plan, Code::InvalidSpec, text))
    }
}

/// JSON that holds values: it shows nothing, and is wiped.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(pub(crate) Value);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<redacted>")
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => zeroize::Zeroize::zeroize(text),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(fields) => fields.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// How a value goes to its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// It takes the place of what is there.
    Set,
    /// Where both are maps, its fields are put among those that are there.
    Merge,
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) at: Path,
    pub(crate) value: Hidden,
    pub(crate) how: How,
}

/// What a target that is no Secret shall be, before it is held against the object that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// Of which kind.
    pub kind: Kind,
    /// Labels, without those that every target gets.
    pub(crate) labels: BTreeMap<String, String>,
    /// Annotations, likewise.
    pub(crate) annotations: BTreeMap<String, String>,
    /// What goes into it, in order.
    pub(crate) edits: Vec<Edit>,
}

/// Where the texts of a template go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Goes {
    Labels,
    Annotations,
    /// Fields of `data` or `spec`, by their keys.
    Fields(&'static str),
    /// One place.
    At(Path),
}

impl Goes {
    /// Where the texts of an item go; the error says what is wrong with its `target`.
    pub(crate) fn of(from: &TemplateFrom) -> Result<Self, String> {
        let target = from.target.as_deref().unwrap_or_default();
        match target.to_ascii_lowercase().as_str() {
            "" | "data" => Ok(Self::Fields("data")),
            "spec" => Ok(Self::Fields("spec")),
            "labels" => Ok(Self::Labels),
            "annotations" => Ok(Self::Annotations),
            _ => Path::parse(target).map(Self::At),
        }
    }
}

/// Checks where templates go.
pub(crate) fn check_template(template: Option<&TargetTemplate>) -> Result<(), Failure> {
    let from = template.and_then(|t| t.template_from.as_ref());
    for (at, from) in from.into_iter().flatten().enumerate() {
        Goes::of(from).map_err(|why| {
            let text = format!("spec.target.template.templateFrom[{at}].target: {why}");
            Failure::new(Stage::Plan, Code::InvalidSpec, text)
        })?;
    }
    Ok(())
}

impl Desired {
    pub(crate) fn new(
        kind: &Kind,
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
    ) -> Self {
        Self {
            kind: kind.clone(),
            labels,
            annotations,
            edits: Vec::new(),
        }
    }

    /// All values as they are: the `data` of a ConfigMap, `spec.data` of anything else.
    pub(crate) fn put_all(&mut self, data: Data) -> Result<(), Failure> {
        let at = if self.kind.has_data() {
            Path::field("data")
        } else {
            Path::field("spec").then("data")
        };
        for (key, value) in data {
            let text = utf8(&key, &value)?;
            self.edit(at.clone().then(&key), Value::String(text), How::Set);
        }
        Ok(())
    }

    /// One value by its key.
    pub(crate) fn put(
        &mut self,
        goes: &Goes,
        key: String,
        value: &SecretValue,
    ) -> Result<(), Failure> {
        let text = utf8(&key, value)?;
        match goes {
            Goes::Labels => drop(self.labels.insert(key, text)),
            Goes::Annotations => drop(self.annotations.insert(key, text)),
            Goes::Fields(root) => {
                self.edit(Path::field(root).then(&key), Value::String(text), How::Set);
            }
            Goes::At(path) => self.edit(path.clone(), Value::String(text), How::Set),
        }
        Ok(())
    }

    /// A piece of YAML, as JSON.
    pub(crate) fn edit(&mut self, at: Path, value: Value, how: How) {
        let value = Hidden(value);
        self.edits.push(Edit { at, value, how });
    }
}

fn utf8(key: &str, value: &SecretValue) -> Result<String, Failure> {
    String::from_utf8(value.expose().to_vec()).map_err(|_| {
        Failure::new(
            Stage::Render,
            Code::Undecodable,
            format!("the value of \"{key}\" is no text, and only a Secret holds other bytes"),
        )
    })
}

#[cfg(test)]
mod tests;
