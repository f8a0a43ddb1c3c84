//! A store, parsed once: which provider key, which config, who may use it, and what its references point at.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use postern_api::external_secret::StoreKind;
use postern_api::secret_store::SecretStoreSpec;
use serde_json::Value;

use crate::failure::{Code, Failure, Stage};
use crate::go;

/// Names a store.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoreId {
    /// SecretStore or ClusterSecretStore.
    pub kind: StoreKind,
    /// Empty for a ClusterSecretStore.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl StoreId {
    /// The store that a reference from this namespace means.
    #[must_use]
    pub fn from_ref(kind: StoreKind, name: &str, namespace: &str) -> Self {
        let namespace = match kind {
            StoreKind::SecretStore => namespace.to_owned(),
            StoreKind::ClusterSecretStore => String::new(),
        };
        Self {
            kind,
            namespace,
            name: name.to_owned(),
        }
    }
}

impl std::fmt::Display for StoreId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} \"{}\"", self.kind.as_str(), self.name)
    }
}

/// A store whose spec has been read.
#[derive(Clone, Debug, PartialEq)]
pub struct Store {
    /// Its name.
    pub id: StoreId,
    /// UID of the object; in standalone mode the path of its name.
    pub uid: String,
    /// Generation of the object.
    pub generation: i64,
    /// Controller class; empty matches every controller.
    pub controller: String,
    /// The one key under `spec.provider`.
    pub provider_key: String,
    /// The provider's config as JSON text.
    pub config: Arc<str>,
    /// The same, parsed.
    pub config_value: Value,
    /// How often it is checked; none for the process's default.
    pub refresh_interval: Option<Duration>,
    /// Namespaces that may use it; empty for all.
    pub conditions: Vec<postern_api::secret_store::StoreCondition>,
}

/// Reads a store's spec.
pub fn parse(
    id: StoreId,
    uid: String,
    generation: i64,
    spec: &SecretStoreSpec,
) -> Result<Store, Failure> {
    let invalid = |text: String| Failure::new(Stage::Check, Code::InvalidConfig, text);
    let mut keys = spec.provider.iter();
    let (provider_key, config) = match (keys.next(), keys.next()) {
        (Some(only), None) => only,
        (None, _) => {
            return Err(invalid(format!(
                "{id} names no provider; put exactly one key under spec.provider"
            )));
        }
        (Some(_), Some(_)) => {
            let names: Vec<&str> = spec.provider.keys().map(String::as_str).collect();
            return Err(invalid(format!(
                "{id} names {} providers ({}); keep exactly one key under spec.provider",
                names.len(),
                names.join(", ")
            )));
        }
    };
    let refresh_interval = match &spec.refresh_interval {
        None => None,
        Some(IntOrString::Int(seconds)) => {
            Some(Duration::from_secs(u64::try_from(*seconds).unwrap_or(0)))
        }
        Some(IntOrString::String(text)) => Some(
            go::parse_duration(text)
                .map_err(|e| invalid(format!("{id}: spec.refreshInterval: {e}")))?,
        ),
    };
    Ok(Store {
        uid,
        generation,
        controller: spec.controller.clone().unwrap_or_default(),
        provider_key: provider_key.clone(),
        config: config.to_string().into(),
        config_value: config.clone(),
        refresh_interval: refresh_interval.filter(|d| !d.is_zero()),
        conditions: spec.conditions.clone().unwrap_or_default(),
        id,
    })
}

impl Store {
    /// Holds the config against the plugin's schema; the first three problems are named with their path.
    pub fn check_schema(&self, schema: &Value) -> Result<(), Failure> {
        let wrong = |text| Failure::new(Stage::Check, Code::InvalidConfig, text);
        let validator = jsonschema::validator_for(schema).map_err(|_| {
            Failure::new(
                Stage::Check,
                Code::PluginInvalid,
                format!(
                    "the plugin that serves \"{}\" has a broken config schema",
                    self.provider_key
                ),
            )
        })?;
        let problems: Vec<String> = validator
            .iter_errors(&self.config_value)
            .take(3)
            .map(|error| {
                let path = error.instance_path().to_string();
                // The masked form names the rule and never the value, which may be a secret put in the wrong place.
                format!("{}{path}: {}", self.config_path(), error.masked())
            })
            .collect();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(wrong(format!("{}: {}", self.id, problems.join("; "))))
        }
    }

    /// Where the config stands in the manifest, for messages.
    #[must_use]
    pub fn config_path(&self) -> String {
        format!("spec.provider.{}", self.provider_key)
    }

    /// Whether a namespace may use this store.
    pub fn admits(
        &self,
        namespace: &str,
        labels: &BTreeMap<String, String>,
    ) -> Result<(), Failure> {
        if self.conditions.is_empty() || self.id.kind == StoreKind::SecretStore {
            return Ok(());
        }
        for condition in &self.conditions {
            if condition_admits(condition, namespace, labels)? {
                return Ok(());
            }
        }
        Err(Failure::new(
            Stage::Plan,
            Code::InvalidSpec,
            format!(
                "using cluster store \"{}\" is not allowed from namespace \"{namespace}\": denied by spec.condition",
                self.id.name
            ),
        ))
    }
}

fn condition_admits(
    condition: &postern_api::secret_store::StoreCondition,
    namespace: &str,
    labels: &BTreeMap<String, String>,
) -> Result<bool, Failure> {
    if condition
        .namespaces
        .iter()
        .flatten()
        .any(|n| n == namespace)
    {
        return Ok(true);
    }
    if condition
        .namespace_regexes
        .as_ref()
        .is_some_and(|r| !r.is_empty())
    {
        // Refused rather than passed over: a condition that cannot be judged must not open a store.
        return Err(Failure::new(
            Stage::Plan,
            Code::Unsupported,
            "spec.conditions.namespaceRegexes is not served yet; use namespaces or namespaceSelector",
        ));
    }
    let Some(selector) = &condition.namespace_selector else {
        return Ok(false);
    };
    if selector
        .match_expressions
        .as_ref()
        .is_some_and(|e| !e.is_empty())
    {
        return Err(Failure::new(
            Stage::Plan,
            Code::Unsupported,
            "spec.conditions.namespaceSelector.matchExpressions is not served yet; use matchLabels",
        ));
    }
    Ok(selector
        .match_labels
        .iter()
        .flatten()
        .all(|(k, v)| labels.get(k) == Some(v)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: Value) -> SecretStoreSpec {
        serde_json::from_value(json).unwrap()
    }

    fn id() -> StoreId {
        StoreId::from_ref(StoreKind::ClusterSecretStore, "corp", "ignored")
    }

    #[test]
    fn exactly_one_provider_key_is_taken() {
        let two = spec(serde_json::json!({"provider": {"fake": {}, "vault": {}}}));
        let failure = parse(id(), "u".into(), 1, &two).unwrap_err();
        assert_eq!(
            failure.public,
            "ClusterSecretStore \"corp\" names 2 providers (fake, vault); keep exactly one key under spec.provider"
        );
        let none = spec(serde_json::json!({"provider": {}}));
        assert!(
            parse(id(), "u".into(), 1, &none)
                .unwrap_err()
                .public
                .contains("names no provider")
        );
    }

    #[test]
    fn a_schema_problem_names_the_path_and_not_the_value() {
        let store = parse(
            id(),
            "u".into(),
            1,
            &spec(serde_json::json!({"provider": {"x": {"a": {"b": "hunter2"}}}})),
        )
        .unwrap();
        let schema =
            serde_json::json!({"properties": {"a": {"properties": {"b": {"type": "integer"}}}}});
        let failure = store.check_schema(&schema).unwrap_err();
        assert!(failure.public.contains("spec.provider.x/a/b"), "{failure}");
        assert!(!failure.public.contains("hunter2"), "{failure}");
    }

    #[test]
    fn conditions_admit_by_name_or_labels_and_fail_closed() {
        let store = |conditions: Value| {
            parse(
                id(),
                "u".into(),
                1,
                &spec(serde_json::json!({"provider": {"x": {}}, "conditions": conditions})),
            )
            .unwrap()
        };
        let labels = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
        assert!(store(serde_json::json!([])).admits("any", &labels).is_ok());
        assert!(
            store(serde_json::json!([{"namespaces": ["n"]}]))
                .admits("n", &labels)
                .is_ok()
        );
        assert!(
            store(serde_json::json!([{"namespaces": ["n"]}]))
                .admits("m", &labels)
                .is_err()
        );
        assert!(
            store(serde_json::json!([{"namespaceSelector": {"matchLabels": {"team": "a"}}}]))
                .admits("m", &labels)
                .is_ok()
        );
        assert!(
            store(serde_json::json!([{"namespaceSelector": {"matchLabels": {"team": "b"}}}]))
                .admits("m", &labels)
                .is_err()
        );
        assert!(
            store(serde_json::json!([{"namespaceRegexes": [".*"]}]))
                .admits("m", &labels)
                .is_err()
        );
        assert!(store(serde_json::json!([{}])).admits("m", &labels).is_err());
    }
}
