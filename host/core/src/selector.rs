//! Label selectors, read once, with the meaning that they have everywhere in Kubernetes.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

/// A label selector. An empty one matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    In(String, BTreeSet<String>),
    NotIn(String, BTreeSet<String>),
    Exists(String),
    DoesNotExist(String),
}

impl Selector {
    /// Reads a selector. Errors: an operator that there is none, or values where the operator takes none.
    pub fn parse(selector: &LabelSelector) -> Result<Self, String> {
        let labels = selector.match_labels.iter().flatten();
        let equal = labels.map(|(key, value)| {
            Ok(Requirement::In(
                key.clone(),
                BTreeSet::from([value.clone()]),
            ))
        });
        let expressions = selector.match_expressions.iter().flatten().map(requirement);
        equal.chain(expressions).collect::<Result<_, _>>().map(Self)
    }

    /// Whether an object with these labels is selected.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => labels.get(key).is_some_and(|v| values.contains(v)),
            // What does not have the label is not among the values either.
            Requirement::NotIn(key, values) => labels.get(key).is_none_or(|v| !values.contains(v)),
            Requirement::Exists(key) => labels.contains_key(key),
            Requirement::DoesNotExist(key) => !labels.contains_key(key),
        })
    }
}

fn requirement(expression: &LabelSelectorRequirement) -> Result<Requirement, String> {
    let key = expression.key.clone();
    let values: BTreeSet<String> = expression.values.iter().flatten().cloned().collect();
    match (expression.operator.as_str(), values.is_empty()) {
        ("In", false) => Ok(Requirement::In(key, values)),
        ("NotIn", false) => Ok(Requirement::NotIn(key, values)),
        ("Exists", true) => Ok(Requirement::Exists(key)),
        ("DoesNotExist", true) => Ok(Requirement::DoesNotExist(key)),
        (operator @ ("In" | "NotIn"), true) => Err(format!(
            "matchExpressions: {operator} on \"{key}\" needs values"
        )),
        (operator @ ("Exists" | "DoesNotExist"), false) => Err(format!(
            "matchExpressions: {operator} on \"{key}\" takes no values"
        )),
        _ => Err(format!(
            "matchExpressions: the operator on \"{key}\" is none of In, NotIn, Exists and DoesNotExist"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn manifest(json: Value) -> LabelSelector {
        serde_json::from_value(json).unwrap()
    }

    fn parse(json: Value) -> Result<Selector, String> {
        Selector::parse(&manifest(json))
    }

    #[test]
    fn every_operator_has_its_meaning_with_and_without_the_label() {
        let labels = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
        let table = [
            (json!({}), true, true),
            (json!({"matchLabels": {"team": "a"}}), true, false),
            (json!({"matchLabels": {"team": "b"}}), false, false),
            (
                json!({"matchExpressions": [{"key": "team", "operator": "In", "values": ["a", "b"]}]}),
                true,
                false,
            ),
            (
                json!({"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["a"]}]}),
                false,
                true,
            ),
            (
                json!({"matchExpressions": [{"key": "team", "operator": "Exists"}]}),
                true,
                false,
            ),
            (
                json!({"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}),
                false,
                true,
            ),
            (
                json!({"matchLabels": {"team": "a"}, "matchExpressions": [{"key": "env", "operator": "Exists"}]}),
                false,
                false,
            ),
        ];
        for (selector, with, without) in table {
            let parsed = parse(selector.clone()).unwrap();
            assert_eq!(parsed.matches(&labels), with, "{selector}");
            assert_eq!(parsed.matches(&BTreeMap::new()), without, "{selector}");
        }
    }

    #[test]
    fn a_selector_that_means_nothing_is_refused() {
        for expression in [
            json!({"key": "team", "operator": "Like", "values": ["a"]}),
            json!({"key": "team", "operator": "In"}),
            json!({"key": "team", "operator": "Exists", "values": ["a"]}),
        ] {
            let failed = parse(json!({"matchExpressions": [expression]})).unwrap_err();
            assert!(failed.contains("\"team\""), "{failed}");
        }
    }
}
