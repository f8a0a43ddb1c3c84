//! Which namespaces may use a ClusterSecretStore.

use std::collections::BTreeMap;

use postern_api::secret_store::StoreCondition;

use crate::failure::one_line;
use crate::re2::Pattern;
use crate::selector::Selector;

/// The conditions of a store, read once. None at all admit every namespace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conditions(Vec<Condition>);

/// One condition: any one of its selectors is enough, and without any it admits nobody.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Condition {
    labels: Option<Selector>,
    names: Vec<String>,
    patterns: Vec<Pattern>,
}

impl Conditions {
    /// Reads conditions. A condition that cannot be judged must not open a store, so it is an error; the text names the field.
    pub(super) fn parse(conditions: &[StoreCondition]) -> Result<Self, String> {
        let all = conditions.iter().enumerate().map(|(at, condition)| {
            Condition::parse(condition).map_err(|why| format!("spec.conditions[{at}].{why}"))
        });
        all.collect::<Result<_, _>>().map(Self)
    }

    /// Whether a store has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a namespace with this name and these labels may use the store.
    #[must_use]
    pub fn admit(&self, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        self.is_empty()
            || self
                .0
                .iter()
                .any(|condition| condition.admits(namespace, labels))
    }
}

impl Condition {
    /// Reads a condition. The error begins with the field.
    pub(crate) fn parse(condition: &StoreCondition) -> Result<Self, String> {
        parse(condition)
    }

    /// Whether a namespace with this name and these labels is meant.
    pub(crate) fn admits(&self, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        self.names.iter().any(|name| name == namespace)
            || self.labels.as_ref().is_some_and(|selector| selector.matches(labels))
            // Anywhere in the name: who means the whole name writes ^ and $.
            || self.patterns.iter().any(|pattern| pattern.is_match(namespace))
    }
}

fn parse(condition: &StoreCondition) -> Result<Condition, String> {
    let selector = condition.namespace_selector.as_ref().map(Selector::parse);
    let patterns = condition
        .namespace_regexes
        .iter()
        .flatten()
        .enumerate()
        .map(|(at, text)| {
            Pattern::parse(text).map_err(|why| {
                let text = one_line(text, 80);
                format!("namespaceRegexes[{at}]: \"{text}\" is no regular expression: {why}")
            })
        });
    Ok(Condition {
        labels: selector
            .transpose()
            .map_err(|why| format!("namespaceSelector.{why}"))?,
        names: condition.namespaces.clone().unwrap_or_default(),
        patterns: patterns.collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn manifest(json: Value) -> Vec<StoreCondition> {
        serde_json::from_value(json).unwrap()
    }

    fn conditions(json: Value) -> Result<Conditions, String> {
        Conditions::parse(&manifest(json))
    }

    #[test]
    fn any_selector_of_any_condition_admits() {
        let labels = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
        let table = [
            (json!([]), true),
            (json!([{}]), false),
            (json!([{"namespaces": ["prod-eu"]}]), true),
            (json!([{"namespaces": ["prod"]}]), false),
            (json!([{"namespaceRegexes": ["^prod-"]}]), true),
            (json!([{"namespaceRegexes": ["od-e"]}]), true),
            (json!([{"namespaceRegexes": ["^od-e"]}]), false),
            (
                json!([{"namespaceSelector": {"matchLabels": {"team": "a"}}}]),
                true,
            ),
            (
                json!([{"namespaceSelector": {"matchLabels": {"team": "b"}}}]),
                false,
            ),
            (
                json!([{"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["b"]}]}}]),
                true,
            ),
            (json!([{"namespaceSelector": {}}]), true),
            (
                json!([{"namespaceSelector": {"matchLabels": {"team": "b"}}, "namespaces": ["prod-eu"]}]),
                true,
            ),
            (
                json!([{"namespaces": ["x"]}, {"namespaceRegexes": ["eu$"]}]),
                true,
            ),
        ];
        for (json, admitted) in table {
            assert_eq!(
                conditions(json.clone()).unwrap().admit("prod-eu", &labels),
                admitted,
                "{json}"
            );
        }
    }

    #[test]
    fn what_cannot_be_judged_is_refused_with_its_field() {
        let pattern = conditions(json!([{}, {"namespaceRegexes": ["a", "("]}])).unwrap_err();
        let text = "spec.conditions[1].namespaceRegexes[1]: \"(\" is no regular expression: ";
        assert!(pattern.starts_with(text), "{pattern}");
        let operator =
            json!([{"namespaceSelector": {"matchExpressions": [{"key": "k", "operator": "x"}]}}]);
        assert!(
            conditions(operator)
                .unwrap_err()
                .starts_with("spec.conditions[0].namespaceSelector.matchExpressions")
        );
    }
}
