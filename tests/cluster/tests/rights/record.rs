//! What was granted, held against what the audit log says was used.

use std::collections::BTreeSet;

use k8s_openapi::api::rbac::v1::PolicyRule;
use postern_cluster_tests::eventually;
use postern_controller::rbac::{RULES, When};
use serde_json::Value;

use crate::installed::Installed;

/// `verb resource/subresource.group`.
fn right(verb: &str, group: &str, resource: &str) -> String {
    let dot = if group.is_empty() { "" } else { "." };
    format!("{verb} {resource}{dot}{group}")
}

/// Each right that rules grant, by itself.
pub fn granted(rules: &[PolicyRule]) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for rule in rules {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                for verb in &rule.verbs {
                    all.insert(right(verb, group, resource));
                }
            }
        }
    }
    all
}

/// Rights that the controller never calls for: an admission plugin, which this API server has, asks for them.
fn only_checked() -> BTreeSet<String> {
    let checked = RULES.iter().filter(|rule| rule.when == When::OpenShift);
    checked
        .flat_map(|rule| {
            rule.verbs
                .iter()
                .map(|verb| right(verb, rule.group, rule.resource))
        })
        .collect()
}

#[derive(Debug, Default)]
struct Asked {
    used: BTreeSet<String>,
    refused: BTreeSet<String>,
}

fn asked(installed: &Installed) -> Asked {
    let mut asked = Asked::default();
    let user = installed.user();
    let events = installed.plane.audited().unwrap();
    for event in events
        .iter()
        .filter(|event| event["user"]["username"] == *user)
    {
        let of = |pointer: &str| {
            event
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let resource = match of("/objectRef/subresource") {
            "" => of("/objectRef/resource").to_owned(),
            part => format!("{}/{part}", of("/objectRef/resource")),
        };
        let right = right(of("/verb"), of("/objectRef/apiGroup"), &resource);
        match event["annotations"]["authorization.k8s.io/decision"].as_str() {
            Some("allow") => asked.used.insert(right),
            _ => asked.refused.insert(right),
        };
    }
    asked
}

/// What the API server answered with an error, but for what is not there: the likely reason where something does not come.
pub fn errors(installed: &Installed) -> BTreeSet<String> {
    let user = installed.user();
    let events = installed.plane.audited().unwrap();
    let failed = events.iter().filter(|event| {
        let code = event["responseStatus"]["code"].as_u64().unwrap_or_default();
        event["user"]["username"] == *user && code >= 400 && code != 404
    });
    failed
        .map(|event| {
            format!(
                "{} {}",
                event["requestURI"], event["responseStatus"]["message"]
            )
        })
        .collect()
}

/// Nothing was refused but what is `expected` to be, and what was granted is what was used.
pub async fn assert_exact(installed: &Installed, expected: &[&str]) {
    let granted = installed.rights().await;
    let checked = only_checked();
    assert!(!checked.is_disjoint(&granted), "{granted:?}");
    let called: BTreeSet<String> = granted.difference(&checked).cloned().collect();
    // Events are posted in the background.
    let shown = || {
        let unused: Vec<_> = called.difference(&asked(installed).used).cloned().collect();
        format!("every right is used; nothing needs {unused:?}")
    };
    eventually(&shown, || async {
        called.is_subset(&asked(installed).used).then_some(())
    })
    .await;
    let Asked { used, refused } = asked(installed);
    let expected: BTreeSet<String> = expected.iter().map(|text| (*text).to_owned()).collect();
    assert_eq!(
        refused, expected,
        "rights that are missing in host/controller/src/rbac.rs"
    );
    assert_eq!(used, called, "right: what the role grants");
}
