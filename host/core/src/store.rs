//! A store, parsed once: which provider key, which config, who may use it, and what its references point at.

mod conditions;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use postern_api::external_secret::StoreKind;
use postern_api::secret_store::{RetrySettings, SecretStoreSpec};
use serde_json::Value;

pub(crate) use conditions::Condition;
pub use conditions::Conditions;

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
    /// How often a read is tried again that failed for a reason that may pass.
    pub retries: Retries,
    /// Namespaces that may use it.
    pub conditions: Conditions,
}

/// How often a read is tried again within one sync, and after how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retries {
    /// Tries after the first.
    pub times: u32,
    /// The time between two.
    pub wait: Duration,
}

impl Retries {
    /// Where the store says how often and not after how long.
    const WAIT: Duration = Duration::from_secs(1);
}

/// Whether a store that names `wanted` is served by a controller of class `class`. Who names none takes any.
#[must_use]
pub fn is_of_class(wanted: &str, class: &str) -> bool {
    wanted.is_empty() || wanted == class
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
    let at = |field: &str, why: String| invalid(format!("{id}: {field}{why}"));
    let refresh_interval = spec
        .refresh_interval
        .as_ref()
        .map(refresh_interval)
        .transpose();
    let conditions = Conditions::parse(spec.conditions.as_deref().unwrap_or_default());
    Ok(Store {
        uid,
        generation,
        controller: spec.controller.clone().unwrap_or_default(),
        provider_key: provider_key.clone(),
        config: config.to_string().into(),
        config_value: config.clone(),
        refresh_interval: refresh_interval
            .map_err(|why| at("spec.refreshInterval: ", why))?
            .filter(|d| !d.is_zero()),
        retries: retries(spec.retry_settings.as_ref())
            .map_err(|why| at("spec.retrySettings.", why))?,
        conditions: conditions.map_err(|why| at("", why))?,
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

    /// Whether a controller of this class serves the store.
    #[must_use]
    pub fn is_of_class(&self, class: &str) -> bool {
        is_of_class(&self.controller, class)
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
        if self.id.kind == StoreKind::SecretStore || self.conditions.admit(namespace, labels) {
            return Ok(());
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

fn refresh_interval(value: &IntOrString) -> Result<Duration, String> {
    let negative = || "it is negative".to_owned();
    match value {
        IntOrString::Int(seconds) => u64::try_from(*seconds)
            .map(Duration::from_secs)
            .map_err(|_| negative()),
        IntOrString::String(text) if text.is_empty() => Ok(Duration::ZERO),
        IntOrString::String(text) => {
            let duration = go::parse_duration(text).map_err(|e| e.to_string())?;
            let below_zero =
                text.starts_with('-') && text.contains(|c: char| ('1'..='9').contains(&c));
            if below_zero {
                Err(negative())
            } else {
                Ok(duration)
            }
        }
    }
}

fn retries(settings: Option<&RetrySettings>) -> Result<Retries, String> {
    let Some(settings) = settings else {
        return Ok(Retries::default());
    };
    let wait = match settings.retry_interval.as_deref() {
        None | Some("") => Retries::WAIT,
        Some(text) => go::parse_duration(text).map_err(|e| format!("retryInterval: {e}"))?,
    };
    let times = settings.max_retries.unwrap_or_default();
    Ok(Retries {
        times: u32::try_from(times).map_err(|_| "maxRetries: it is negative".to_owned())?,
        wait,
    })
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
    fn conditions_are_for_cluster_stores_and_say_who_is_refused() {
        let json =
            serde_json::json!({"provider": {"x": {}}, "conditions": [{"namespaces": ["n"]}]});
        let none = BTreeMap::new();
        let cluster = parse(id(), "u".into(), 1, &spec(json.clone())).unwrap();
        assert!(cluster.admits("n", &none).is_ok());
        assert_eq!(
            cluster.admits("m", &none).unwrap_err().public,
            "using cluster store \"corp\" is not allowed from namespace \"m\": denied by spec.condition"
        );
        let own = StoreId::from_ref(StoreKind::SecretStore, "s", "m");
        assert!(
            parse(own, "u".into(), 1, &spec(json))
                .unwrap()
                .admits("m", &none)
                .is_ok()
        );
    }

    #[test]
    fn intervals_and_retries_are_numbers_or_durations_and_never_negative() {
        let read = |field: &str, value: Value| {
            parse(
                id(),
                "u".into(),
                1,
                &spec(serde_json::json!({"provider": {"x": {}}, field: value})),
            )
        };
        let interval = |value: Value| read("refreshInterval", value).map(|s| s.refresh_interval);
        let seconds = |n| Ok(Some(Duration::from_secs(n)));
        assert_eq!(interval(30.into()), seconds(30));
        assert_eq!(interval("1m30s".into()), seconds(90));
        assert_eq!(interval(0.into()), Ok(None));
        for wrong in [Value::from(-1), "-5m".into(), "5 minutes".into()] {
            let failure = interval(wrong).unwrap_err();
            assert!(
                failure
                    .public
                    .starts_with("ClusterSecretStore \"corp\": spec.refreshInterval: "),
                "{failure}"
            );
        }
        let retries = |value: Value| read("retrySettings", value).map(|s| s.retries);
        assert_eq!(
            retries(serde_json::json!({"maxRetries": 3, "retryInterval": "10ms"})),
            Ok(Retries {
                times: 3,
                wait: Duration::from_millis(10)
            })
        );
        assert_eq!(
            retries(serde_json::json!({"maxRetries": 1})),
            Ok(Retries {
                times: 1,
                wait: Retries::WAIT
            })
        );
        assert!(
            retries(serde_json::json!({"retryInterval": "soon"}))
                .unwrap_err()
                .public
                .contains("spec.retrySettings.retryInterval: ")
        );
        assert!(retries(serde_json::json!({"maxRetries": -1})).is_err());
    }
}
