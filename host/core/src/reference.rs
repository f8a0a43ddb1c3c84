//! References of a store's config: what each points at, and from which namespace it may be read.
//!
//! The plugin's schema marks reference fields with `x-postern-ref`; the rules of namespaces are here and nowhere else.

use postern_api::external_secret::StoreKind;
use serde_json::Value;

use crate::failure::{Code, Failure, Stage};
use crate::store::Store;

/// What a reference leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// A key of a Secret.
    SecretKey {
        /// Name of the Secret.
        name: String,
        /// Key in it; none where the provider's default is meant.
        key: Option<String>,
    },
    /// A whole Secret, every key of it.
    Secret {
        /// Name of the Secret.
        name: String,
        /// The label that it must have, where the plugin's schema wants one.
        label: Option<Label>,
    },
    /// A key of a ConfigMap.
    ConfigMapKey {
        /// Name of the ConfigMap.
        name: String,
        /// Key in it.
        key: String,
    },
    /// A token of a ServiceAccount.
    ServiceAccount {
        /// Name of the ServiceAccount.
        name: String,
        /// Audiences that the reference itself names.
        audiences: Vec<String>,
    },
}

/// A label that an object must have before a store may use it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl std::fmt::Display for Label {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.name, self.value)
    }
}

/// A reference whose namespace has been decided.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Located {
    /// Where it stands in the config.
    pub pointer: String,
    /// What it leads to.
    pub target: Target,
    /// Where that lives; none for the namespace that asks (referent authentication).
    pub namespace: Option<String>,
}

/// Finds what a pointer of the config refers to, and where it may be read.
///
/// A SecretStore reads its own namespace only. A ClusterSecretStore reads the namespace that the reference names, and
/// that of whoever asks where it names none; a CA it reads only from a named one.
pub fn locate(store: &Store, schema: &Value, pointer: &str) -> Result<Located, Failure> {
    let at = format!("{}{pointer}", store.config_path());
    let wrong = |text: String| {
        Failure::new(
            Stage::Check,
            Code::InvalidConfig,
            format!("{}: {text}", store.id),
        )
    };
    let broken = |text: String| Failure::new(Stage::Check, Code::ContractBroken, text);
    let mark = marked(schema, pointer).ok_or_else(|| {
        broken(format!(
            "the plugin that serves \"{}\" uses the reference {at}, which its schema does not mark",
            store.provider_key
        ))
    })?;
    let label = match mark.label.as_deref().map(|text| text.split_once('=')) {
        None => None,
        Some(Some((name, value))) if mark.kind == "secret" => Some(Label {
            name: name.to_owned(),
            value: value.to_owned(),
        }),
        // Where it is not looked at it would be believed in.
        Some(_) => {
            return Err(broken(format!(
                "the schema of the plugin that serves \"{}\" wants a label at {at} that is not NAME=VALUE of a reference \"secret\"",
                store.provider_key
            )));
        }
    };
    let object = store
        .config_value
        .pointer(pointer)
        .and_then(Value::as_object)
        .ok_or_else(|| wrong(format!("{at} is needed and missing")))?;
    let text = |field: &str| {
        object
            .get(field)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .filter(|s| !s.is_empty())
    };
    let name = text("name").ok_or_else(|| wrong(format!("{at}.name is needed and missing")))?;
    let need_key = || text("key").ok_or_else(|| wrong(format!("{at}.key is needed and missing")));
    let target = match (mark.kind.as_str(), text("type").as_deref()) {
        ("secret", _) => Target::Secret { name, label },
        ("secret-key", _) => Target::SecretKey {
            name,
            key: text("key"),
        },
        ("config-map-key", _) | ("ca-provider", Some("ConfigMap")) => Target::ConfigMapKey {
            name,
            key: need_key()?,
        },
        ("ca-provider", Some("Secret") | None) => Target::SecretKey {
            name,
            key: Some(need_key()?),
        },
        ("ca-provider", Some(_)) => {
            return Err(wrong(format!("{at}.type must be Secret or ConfigMap")));
        }
        ("service-account", _) => Target::ServiceAccount {
            name,
            audiences: strings(object.get("audiences")),
        },
        _ => {
            return Err(broken(format!(
                "the schema of the plugin that serves \"{}\" marks {at} as \"{}\", which is no kind of reference",
                store.provider_key, mark.kind
            )));
        }
    };
    let namespace =
        namespace(store, &at, text("namespace"), mark.kind == "ca-provider").map_err(wrong)?;
    Ok(Located {
        pointer: pointer.to_owned(),
        target,
        namespace,
    })
}

fn strings(value: Option<&Value>) -> Vec<String> {
    value
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn namespace(
    store: &Store,
    at: &str,
    named: Option<String>,
    is_ca: bool,
) -> Result<Option<String>, String> {
    match (store.id.kind, named) {
        (StoreKind::SecretStore, None) => Ok(Some(store.id.namespace.clone())),
        (StoreKind::SecretStore, Some(named)) if named == store.id.namespace => Ok(Some(named)),
        (StoreKind::SecretStore, Some(_)) => Err(format!(
            "{at}.namespace should either be empty or match the namespace of the SecretStore"
        )),
        (StoreKind::ClusterSecretStore, Some(named)) => Ok(Some(named)),
        (StoreKind::ClusterSecretStore, None) if is_ca => {
            Err(format!("{at}.namespace is needed in a ClusterSecretStore"))
        }
        (StoreKind::ClusterSecretStore, None) => Ok(None),
    }
}

/// What the schema marks at a place.
struct Mark {
    kind: String,
    label: Option<String>,
}

/// The reference that the schema marks at this place; `$ref` into the same document is followed.
fn marked(schema: &Value, pointer: &str) -> Option<Mark> {
    let mut node = follow(schema, schema)?;
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        let next = match step.parse::<usize>() {
            Ok(_) if node.get("items").is_some() => node.get("items")?,
            _ => node.get("properties")?.get(&step)?,
        };
        if let Some(kind) = next.get("x-postern-ref") {
            node = next;
            let _ = kind;
            continue;
        }
        node = follow(schema, next)?;
    }
    let node = if node.get("x-postern-ref").is_some() {
        node
    } else {
        follow(schema, node)?
    };
    let text = |name: &str| node.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(Mark {
        kind: text("x-postern-ref")?,
        label: text("x-postern-label"),
    })
}

fn follow<'a>(root: &'a Value, node: &'a Value) -> Option<&'a Value> {
    let mut node = node;
    // A schema that refers to itself for ever is the plugin's mistake; eight steps are more than any has.
    for _ in 0..8 {
        match node.get("$ref").and_then(Value::as_str) {
            None => return Some(node),
            Some(target) => node = root.pointer(target.strip_prefix('#')?)?,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{self, StoreId};
    use serde_json::json;

    fn schema() -> Value {
        json!({
            "properties": {
                "token": {"$ref": "#/$defs/sks"},
                "ca": {"x-postern-ref": "ca-provider", "type": "object"},
                "sa": {"properties": {"ref": {"x-postern-ref": "service-account"}}},
                "plain": {"type": "object"},
            },
            "$defs": {"sks": {"type": "object", "x-postern-ref": "secret-key"}},
        })
    }

    fn store(kind: StoreKind, config: Value) -> Store {
        let spec = serde_json::from_value(json!({"provider": {"x": config}})).unwrap();
        store::parse(StoreId::from_ref(kind, "s", "team"), "u".into(), 1, &spec).unwrap()
    }

    #[test]
    fn a_secret_store_reads_its_own_namespace_only() {
        let config = json!({"token": {"name": "t", "key": "k"}});
        let located = locate(&store(StoreKind::SecretStore, config), &schema(), "/token").unwrap();
        assert_eq!(located.namespace.as_deref(), Some("team"));
        assert_eq!(
            located.target,
            Target::SecretKey {
                name: "t".into(),
                key: Some("k".into())
            }
        );
        let foreign = json!({"token": {"name": "t", "key": "k", "namespace": "other"}});
        let failure =
            locate(&store(StoreKind::SecretStore, foreign), &schema(), "/token").unwrap_err();
        assert!(
            failure
                .public
                .contains("match the namespace of the SecretStore"),
            "{failure}"
        );
    }

    #[test]
    fn a_cluster_store_without_a_namespace_asks_as_the_one_that_asks() {
        let config =
            json!({"token": {"name": "t"}, "sa": {"ref": {"name": "acc", "audiences": ["a"]}}});
        let store = store(StoreKind::ClusterSecretStore, config);
        assert_eq!(locate(&store, &schema(), "/token").unwrap().namespace, None);
        let account = locate(&store, &schema(), "/sa/ref").unwrap();
        assert_eq!(
            account.target,
            Target::ServiceAccount {
                name: "acc".into(),
                audiences: vec!["a".into()]
            }
        );
    }

    #[test]
    fn a_ca_of_a_cluster_store_needs_a_namespace() {
        let store = store(
            StoreKind::ClusterSecretStore,
            json!({"ca": {"type": "ConfigMap", "name": "c", "key": "ca.crt"}}),
        );
        assert!(
            locate(&store, &schema(), "/ca")
                .unwrap_err()
                .public
                .contains("ca.namespace is needed")
        );
    }

    #[test]
    fn a_whole_secret_may_need_a_label() {
        let schema = |kind: &str, label: Value| {
            json!({"properties": {"all": {"items": {"properties":
                {"ref": {"x-postern-ref": kind, "x-postern-label": label}}}}}})
        };
        let store = store(
            StoreKind::ClusterSecretStore,
            json!({"all": [{"ref": {"name": "s", "key": "k"}}]}),
        );
        let located = locate(&store, &schema("secret", json!("a/type=x")), "/all/0/ref").unwrap();
        assert_eq!(located.namespace, None);
        let label = Some(Label {
            name: "a/type".into(),
            value: "x".into(),
        });
        let name = "s".to_owned();
        assert_eq!(located.target, Target::Secret { name, label });
        for (kind, label) in [("secret", "a/type"), ("secret-key", "a/type=x")] {
            let failure = locate(&store, &schema(kind, json!(label)), "/all/0/ref").unwrap_err();
            assert_eq!(failure.code, Code::ContractBroken, "{kind} {label}");
        }
    }

    #[test]
    fn a_reference_that_the_schema_does_not_mark_is_refused() {
        let store = store(
            StoreKind::ClusterSecretStore,
            json!({"plain": {"name": "t"}}),
        );
        assert_eq!(
            locate(&store, &schema(), "/plain").unwrap_err().code,
            Code::ContractBroken
        );
        assert_eq!(
            locate(&store, &schema(), "/nowhere").unwrap_err().code,
            Code::ContractBroken
        );
    }
}
