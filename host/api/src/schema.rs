//! What the API server holds the drop-in kinds to beyond the types: names, enums, bounds, admission rules, versions.
//!
//! The types say which fields there are; the tables here say what may stand in them, and are put into the definitions when
//! those are made. No default is ever written, so that the API server gives back what a manifest said; and no field is
//! nullable, so that a `null` from a chart counts as absent.

mod admission;
mod tables;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

pub use admission::policy;
pub(crate) use tables::{
    Bound, CLUSTER_EXTERNAL_SECRET, EXTERNAL_SECRET, EXTERNAL_SECRET_SPEC, STORE,
};

use admission::Rule;

/// The version that old clusters still name.
const OLD_VERSION: &str = "v1beta1";
/// Where a version of a definition has its schema.
const SCHEMA: &str = "/schema/openAPIV3Schema";

/// Finishes the definition of a drop-in kind.
pub(crate) fn finish(crd: &mut Value) {
    let kind = text(crd, "/spec/names/kind");
    let Some(versions) = crd
        .pointer_mut("/spec/versions")
        .and_then(Value::as_array_mut)
    else {
        return;
    };
    for schema in versions.iter_mut().filter_map(|v| v.pointer_mut(SCHEMA)) {
        strip(schema);
        match kind.as_str() {
            "ExternalSecret" => {
                bind(schema, "spec", EXTERNAL_SECRET_SPEC);
                bind(schema, "", EXTERNAL_SECRET);
                admission::EXTERNAL_SECRET
                    .iter()
                    .for_each(|rule| admit(schema, rule));
            }
            "ClusterExternalSecret" => {
                // Its inner spec is judged where the ExternalSecrets are made: there the peer judges it too.
                bind(schema, "spec.externalSecretSpec", EXTERNAL_SECRET_SPEC);
                bind(schema, "", CLUSTER_EXTERNAL_SECRET);
            }
            _ => {
                bind(schema, "", STORE);
                admission::STORE.iter().for_each(|rule| admit(schema, rule));
            }
        }
    }
    add_old_version(versions);
}

/// Lets the API server answer for the old version as well.
pub(crate) fn serve_old_version(crd: &mut Value) {
    let versions = crd
        .pointer_mut("/spec/versions")
        .and_then(Value::as_array_mut);
    for version in versions
        .into_iter()
        .flatten()
        .filter(|v| v["name"] == OLD_VERSION)
    {
        version["served"] = json!(true);
    }
}

/// A cluster whose objects were once stored in the old version cannot drop it from the definition.
fn add_old_version(versions: &mut Vec<Value>) {
    let Some(mut old) = versions.first().cloned() else {
        return;
    };
    old["name"] = json!(OLD_VERSION);
    old["served"] = json!(false);
    old["storage"] = json!(false);
    old["deprecated"] = json!(true);
    old["deprecationWarning"] =
        json!("external-secrets.io/v1beta1 is deprecated; use external-secrets.io/v1");
    versions.push(old);
}

/// Takes out what makes a field nullable and what fills it in. A field may have such a name itself.
fn strip(node: &mut Value) {
    match node {
        Value::Object(keywords) => {
            keywords.remove("nullable");
            keywords.remove("default");
            if let Some(Value::Array(allowed)) = keywords.get_mut("enum") {
                allowed.retain(|value| !value.is_null());
            }
            for (keyword, value) in keywords.iter_mut() {
                match (keyword.as_str(), value) {
                    ("properties", Value::Object(fields)) => fields.values_mut().for_each(strip),
                    (_, value) => strip(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn bind(schema: &mut Value, prefix: &str, table: &[(&str, Bound)]) {
    for (path, bound) in table {
        let path = if prefix.is_empty() {
            (*path).to_owned()
        } else {
            format!("{prefix}.{path}")
        };
        if let Some(Value::Object(field)) = at_mut(schema, &path) {
            bound.put(field);
        }
    }
}

fn admit(schema: &mut Value, rule: &Rule) {
    if let Some(Value::Object(field)) = at_mut(schema, rule.path) {
        let rules = field
            .entry("x-kubernetes-validations")
            .or_insert_with(|| json!([]));
        if let Value::Array(rules) = rules {
            rules.push(json!({"rule": rule.rule, "message": rule.message}));
        }
    }
}

/// The schema of a field by its path, such as `spec.data[].secretKey`.
fn at_mut<'a>(schema: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    let mut node = schema;
    for step in path.split('.') {
        let name = step.trim_end_matches("[]");
        node = node.get_mut("properties")?.get_mut(name)?;
        if step.ends_with("[]") {
            node = node.get_mut("items")?;
        }
    }
    Some(node)
}

impl Bound {
    fn put(self, field: &mut Map<String, Value>) {
        let mut set = |name: &str, value: Value| {
            field.insert(name.to_owned(), value);
        };
        match self {
            Self::ObjectName => {
                set("pattern", json!(tables::OBJECT_NAME));
                set("minLength", json!(1));
                set("maxLength", json!(253));
            }
            Self::NamespaceName => {
                set("pattern", json!(tables::NAMESPACE_NAME));
                set("minLength", json!(1));
                set("maxLength", json!(63));
            }
            Self::SecretKey => {
                set("pattern", json!(tables::SECRET_KEY));
                set("minLength", json!(1));
                set("maxLength", json!(253));
            }
            Self::OneField => {
                set("minProperties", json!(1));
                set("maxProperties", json!(1));
            }
            Self::NotEmpty => set("minLength", json!(1)),
            Self::OneItem => set("minItems", json!(1)),
            Self::OneOf(words) => set("enum", json!(words)),
            Self::Pattern(pattern) => set("pattern", json!(pattern)),
            Self::Time => set("format", json!("date-time")),
            Self::NullableTime => {
                set("format", json!("date-time"));
                set("nullable", json!(true));
            }
        }
    }
}

fn text(value: &Value, pointer: &str) -> String {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}
