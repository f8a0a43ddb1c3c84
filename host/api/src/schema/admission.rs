//! What is refused when a manifest is applied: the rules of the peer's webhook, as rules of the API server itself.
//!
//! What the API server can afford in a definition stands in the definition. What needs a comparison of every entry with
//! every other, or reads texts without a bound, is in a ValidatingAdmissionPolicy, which is optional: the controller
//! holds to the same rules where harm could come of it. An object that is being deleted is never refused.

use serde_json::{Value, json};

/// One rule in a definition.
pub(super) struct Rule {
    /// The field that it stands at.
    pub(super) path: &'static str,
    /// The expression, which holds of a good object.
    pub(super) rule: &'static str,
    /// What is said of a bad one.
    pub(super) message: &'static str,
}

/// Rules of ExternalSecrets.
pub(super) const EXTERNAL_SECRET: &[Rule] = &[
    Rule {
        path: "spec",
        rule: "(has(self.data) && size(self.data) > 0) || (has(self.dataFrom) && size(self.dataFrom) > 0)",
        message: "the ExternalSecret reads nothing: give it an entry in data or dataFrom",
    },
    Rule {
        path: "spec.target",
        rule: "!(has(self.deletionPolicy) && self.deletionPolicy == 'Delete' && has(self.creationPolicy) && self.creationPolicy in ['Merge', 'None', 'CreateOrMerge'])",
        message: "deletionPolicy Delete would delete a Secret that belongs to somebody else: with creationPolicy Merge, None or CreateOrMerge use Retain or Merge",
    },
    Rule {
        path: "spec.target",
        rule: "!(has(self.deletionPolicy) && self.deletionPolicy == 'Merge' && has(self.creationPolicy) && self.creationPolicy == 'None')",
        message: "deletionPolicy Merge has nothing to take keys from: creationPolicy None writes no Secret",
    },
    Rule {
        path: "spec.dataFrom[]",
        rule: "!(has(self.extract) && has(self.find)) && !(has(self.sourceRef) && has(self.sourceRef.generatorRef) && (has(self.extract) || has(self.find)))",
        message: "an entry of dataFrom has only one of extract, find and sourceRef.generatorRef",
    },
    Rule {
        path: "spec.dataFrom[]",
        rule: "has(self.extract) || has(self.find) || has(self.sourceRef)",
        message: "an entry of dataFrom needs one of extract, find and sourceRef",
    },
    Rule {
        path: "spec.target.template",
        rule: "!has(self.type) || self.type != 'bootstrap.kubernetes.io/token'",
        message: "a Secret of type bootstrap.kubernetes.io/token lets its holder join the cluster, and is not made from an ExternalSecret",
    },
    Rule {
        path: "spec.target.template",
        rule: "!(has(self.type) && self.type == 'kubernetes.io/service-account-token' && has(self.metadata) && has(self.metadata.annotations) && 'kubernetes.io/service-account.name' in self.metadata.annotations)",
        message: "the cluster would put a token of that ServiceAccount into the Secret: take out type kubernetes.io/service-account-token, or the annotation kubernetes.io/service-account.name",
    },
];

/// Rules of both kinds of stores.
pub(super) const STORE: &[Rule] = &[Rule {
    path: "spec.refreshInterval",
    rule: "type(self) == int ? self >= 0 : (self == '' || duration(self) >= duration('0s'))",
    message: "refreshInterval is a number of seconds or a duration such as 5m, and not negative",
}];

/// The rules that do not fit into the definitions, as a ValidatingAdmissionPolicy each for ExternalSecrets and stores, with
/// their bindings.
#[must_use]
pub fn policy() -> Vec<Value> {
    let external_secrets = [
        (
            "!has(object.spec.data) || (has(object.spec.target) && has(object.spec.target.deletionPolicy) && object.spec.target.deletionPolicy != 'Retain') || object.spec.data.all(one, object.spec.data.exists_one(other, other.secretKey == one.secretKey))",
            "under deletionPolicy Retain each secretKey of data stands once",
        ),
        (
            "!has(object.spec.target) || !has(object.spec.target.template) || !has(object.spec.target.template.templateFrom) || !has(object.spec.target.template.type) || object.spec.target.template.type != 'kubernetes.io/service-account-token' || !object.spec.target.template.templateFrom.exists(from, has(from.target) && from.target.lowerAscii() == 'annotations')",
            "with type kubernetes.io/service-account-token no template may make annotations: the cluster would put the token of any ServiceAccount into the Secret",
        ),
        (
            "!has(object.spec.target) || (has(object.spec.target.manifest) && !(object.spec.target.manifest.apiVersion == 'v1' && object.spec.target.manifest.kind == 'Secret')) || !has(object.spec.target.template) || !has(object.spec.target.template.templateFrom) || object.spec.target.template.templateFrom.all(from, !has(from.target) || from.target.lowerAscii() in ['', 'data', 'labels', 'annotations'])",
            "the target of a templateFrom is Data, Labels or Annotations, where the target is a Secret",
        ),
    ];
    // The expression is made so that an expression that does not compile is an error, which refuses.
    let stores = [(
        "!has(object.spec.conditions) || object.spec.conditions.all(c, !has(c.namespaceRegexes) || c.namespaceRegexes.all(r, [''.matches(r)].size() == 1))",
        "each of namespaceRegexes is a regular expression",
    )];
    [
        (
            "externalsecrets.postern.dev",
            &["externalsecrets"][..],
            &external_secrets[..],
        ),
        (
            "secretstores.postern.dev",
            &["secretstores", "clustersecretstores"][..],
            &stores[..],
        ),
    ]
    .into_iter()
    .flat_map(|(name, resources, rules)| [one_policy(name, resources, rules), binding(name)])
    .collect()
}

fn one_policy(name: &str, resources: &[&str], rules: &[(&str, &str)]) -> Value {
    let rules: Vec<Value> = rules
        .iter()
        .map(|(expression, message)| json!({"expression": expression, "message": message}))
        .collect();
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [{
                "apiGroups": [crate::names::GROUP],
                "apiVersions": ["*"],
                "operations": ["CREATE", "UPDATE"],
                "resources": resources,
            }]},
            "matchConditions": [{
                "name": "not-being-deleted",
                "expression": "!has(object.metadata.deletionTimestamp)",
            }],
            "validations": rules,
        },
    })
}

fn binding(name: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    })
}
