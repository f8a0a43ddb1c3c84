//! What the controller may do in a cluster: one row for each kind of object that it calls the API server about, and
//! one more where the whole cluster needs other verbs than a namespace.
//!
//! The roles of the chart and of `postern manifests` are made from this table. A test runs the controller with these
//! rights alone and compares them with what the API server's audit log says was used, so a row that is missing fails it,
//! and so does one that nothing needs. Nothing is decided or called here.

use postern_api::names::{GROUP, POSTERN_GROUP};
use serde_json::{Value, json};

use crate::preflight;

/// Where a right is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// In every namespace that is served: a Role where only one is.
    Namespace,
    /// In the whole cluster; where one namespace is served, what needs it is switched off.
    Cluster,
}

/// What has to be switched on for a right to be needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Nothing.
    Always,
    /// Stores may log in with tokens of ServiceAccounts.
    Tokens,
    /// Targets may be other objects than Secrets.
    GenericTargets,
    /// The API server lets nobody block an owner's deletion who may not change the owner's finalizers, as OpenShift's does.
    OpenShift,
}

impl When {
    /// Whether it is on where nobody says otherwise.
    #[must_use]
    pub const fn by_default(self) -> bool {
        !matches!(self, Self::GenericTargets)
    }
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The API group; empty for the core.
    pub group: &'static str,
    /// The resource in the plural, with its subresource after a slash.
    pub resource: &'static str,
    /// What is done with it.
    pub verbs: &'static [&'static str],
    /// Where.
    pub reach: Reach,
    /// With what switched on.
    pub when: When,
    /// Why, for whoever reads the roles.
    pub why: &'static str,
}

const CRDS: &str = "customresourcedefinitions";

const fn row(
    reach: Reach,
    (group, resource): (&'static str, &'static str),
    verbs: &'static [&'static str],
    why: &'static str,
) -> Rule {
    Rule {
        group,
        resource,
        verbs,
        reach,
        when: When::Always,
        why,
    }
}

const fn only(when: When, rule: Rule) -> Rule {
    Rule { when, ..rule }
}

/// Every right that the controller uses.
pub const RULES: &[Rule] = &[
    row(
        Reach::Namespace,
        (GROUP, "externalsecrets"),
        &["get", "list", "watch", "patch"],
        "what is to be synced; a get makes sure that one is gone before its Secret is deleted, a patch takes off a finalizer that the peer has left",
    ),
    row(
        Reach::Namespace,
        (GROUP, "externalsecrets/status"),
        &["patch"],
        "what came of a sync",
    ),
    only(
        When::OpenShift,
        row(
            Reach::Namespace,
            (GROUP, "externalsecrets/finalizers"),
            &["update"],
            "a Secret names its ExternalSecret as the owner whose deletion it blocks; never called, only checked",
        ),
    ),
    row(
        Reach::Namespace,
        (GROUP, "secretstores"),
        &["list", "watch", "patch"],
        "where values come from; a patch takes off a finalizer that the peer has left",
    ),
    row(
        Reach::Namespace,
        (GROUP, "secretstores/status"),
        &["patch"],
        "whether a store can be used",
    ),
    row(
        Reach::Namespace,
        (POSTERN_GROUP, "storeaccesses"),
        &["list", "watch"],
        "which keys of a SecretStore may be read",
    ),
    row(
        Reach::Namespace,
        ("", "secrets"),
        &["list", "watch", "get", "create", "update", "delete"],
        "the targets, and credentials of stores and templates by name; lists and watches ask for managed Secrets only, by label",
    ),
    row(
        Reach::Namespace,
        ("", "configmaps"),
        &["get"],
        "authorities and settings that stores name, and templates of targets",
    ),
    only(
        When::GenericTargets,
        row(
            Reach::Namespace,
            ("", "configmaps"),
            &["list", "watch", "create", "update", "delete"],
            "targets that are ConfigMaps; lists and watches ask for managed ones only, by label, and for metadata",
        ),
    ),
    row(
        Reach::Namespace,
        ("", "serviceaccounts"),
        &["get"],
        "accounts that stores log in with: their annotations",
    ),
    only(
        When::Tokens,
        row(
            Reach::Namespace,
            ("", "serviceaccounts/token"),
            &["create"],
            "short-lived tokens of accounts that stores log in with",
        ),
    ),
    row(
        Reach::Namespace,
        ("", "events"),
        &["create"],
        "what has changed, for people",
    ),
    row(
        Reach::Cluster,
        (GROUP, "clustersecretstores"),
        &["list", "watch", "patch"],
        "stores of the cluster; a patch takes off a finalizer that the peer has left",
    ),
    row(
        Reach::Cluster,
        (GROUP, "clustersecretstores/status"),
        &["patch"],
        "whether a store can be used",
    ),
    row(
        Reach::Cluster,
        (POSTERN_GROUP, "clusterstoreaccesses"),
        &["list", "watch"],
        "which namespaces may read which keys of a ClusterSecretStore",
    ),
    row(
        Reach::Cluster,
        ("", "namespaces"),
        &["list", "watch", "get", "patch"],
        "labels, which select them and say what stores they may use; a patch takes off a finalizer that the peer has left; metadata only",
    ),
    row(
        Reach::Cluster,
        (GROUP, "clusterexternalsecrets"),
        &["list", "watch", "patch"],
        "what is to be kept in many namespaces; a patch takes off a finalizer that the peer has left",
    ),
    row(
        Reach::Cluster,
        (GROUP, "clusterexternalsecrets/status"),
        &["patch"],
        "in which namespaces it is",
    ),
    only(
        When::OpenShift,
        row(
            Reach::Cluster,
            (GROUP, "clusterexternalsecrets/finalizers"),
            &["update"],
            "an ExternalSecret names its ClusterExternalSecret as the owner whose deletion it blocks; never called, only checked",
        ),
    ),
    row(
        Reach::Cluster,
        (GROUP, "externalsecrets"),
        &["create", "update", "delete"],
        "those that a ClusterExternalSecret keeps",
    ),
    row(
        Reach::Cluster,
        (POSTERN_GROUP, "plugins"),
        &["list", "watch"],
        "plugins from outside",
    ),
    row(
        Reach::Cluster,
        (POSTERN_GROUP, "plugins/status"),
        &["patch"],
        "which revision of a plugin serves",
    ),
    row(
        Reach::Cluster,
        (POSTERN_GROUP, "plugingrants"),
        &["list", "watch"],
        "what plugins from outside may reach",
    ),
    row(
        Reach::Cluster,
        ("apiextensions.k8s.io", CRDS),
        &["get"],
        "at the start: are the CRDs there, and are they Postern's",
    ),
];

impl Rule {
    /// The names that the right is limited to; empty for all.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        if self.resource == CRDS {
            preflight::names().collect()
        } else {
            Vec::new()
        }
    }

    /// As a role has it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut rule = json!({
            "apiGroups": [self.group],
            "resources": [self.resource],
            "verbs": self.verbs,
        });
        let names = self.names();
        if !names.is_empty() {
            rule["resourceNames"] = json!(names);
        }
        rule
    }
}

/// What the roles for people and for other operators hold, by the end of the role's name: `view` and `edit`, which are
/// added to the cluster's roles of these names, and `servicebindings`. Grants and Plugins are in none of them: they say
/// what foreign code may do. Nor is what restricts stores: who writes it opens them.
#[must_use]
pub fn for_people() -> [(&'static str, Vec<Value>); 3] {
    let crds = postern_api::crds();
    let plurals = |everywhere: bool| -> Vec<Value> {
        let drop_in = crds.iter().filter(|crd| crd["spec"]["group"] == GROUP);
        drop_in
            .filter(|crd| everywhere || crd["spec"]["scope"] == "Namespaced")
            .map(|crd| crd["spec"]["names"]["plural"].clone())
            .collect()
    };
    let rule = |resources: Vec<Value>, verbs: &[&str]| {
        vec![json!({"apiGroups": [GROUP], "resources": resources, "verbs": verbs})]
    };
    let read = ["get", "list", "watch"];
    let write = ["create", "delete", "deletecollection", "patch", "update"];
    [
        ("view", rule(plurals(true), &read)),
        ("edit", rule(plurals(false), &write)),
        (
            "servicebindings",
            rule(vec![json!("externalsecrets")], &read),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_right_is_wider_than_it_says() {
        let mut seen = BTreeSet::new();
        for rule in RULES {
            assert!(
                seen.insert((
                    rule.group,
                    rule.resource,
                    rule.reach == Reach::Cluster,
                    rule.when == When::GenericTargets
                )),
                "{} has two rows of one reach and switch",
                rule.resource
            );
            assert!(
                !rule.resource.contains('*') && !rule.verbs.contains(&"*"),
                "{} is granted by a star",
                rule.resource
            );
            assert!(!rule.verbs.is_empty() && !rule.why.is_empty());
        }
    }

    #[test]
    fn definitions_are_read_by_name() {
        let rule = RULES.iter().find(|rule| rule.resource == CRDS).unwrap();
        assert!(
            rule.names()
                .contains(&"externalsecrets.external-secrets.io")
        );
        assert_eq!(rule.to_json()["resourceNames"], json!(rule.names()));
    }
}
