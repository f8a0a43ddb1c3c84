//! Whether the store can be used: the API server is asked what its user may do, and no Secret is read.

use postern_sdk::{Failure, Host};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::config::Config;
use crate::wire::{Server, Tried, body};

#[derive(Deserialize)]
#[serde(default)]
struct Review {
    status: ReviewStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ReviewStatus {
    allowed: bool,
    resource_rules: Vec<Rule>,
}

impl Default for Review {
    fn default() -> Self {
        let status = ReviewStatus::default();
        Self { status }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rule {
    verbs: Vec<String>,
    api_groups: Vec<String>,
    resources: Vec<String>,
}

impl Rule {
    /// Also where it is for some names only: such a store can be used.
    fn reads_secrets(&self) -> bool {
        let has = |list: &[String], name: &str| list.iter().any(|l| l == name || l == "*");
        has(&self.verbs, "get") && has(&self.resources, "secrets") && has(&self.api_groups, "")
    }
}

/// Rules first, because they show a permission for some names; then access, because not every authorizer has rules.
///
/// # Errors
/// `denied` with the missing permission, or why the server could not be asked.
pub fn probe(host: &dyn Host, config: &Config, server: &Server) -> Result<(), Failure> {
    let namespace = config.namespace.as_str();
    let rules: Option<Review> = ask(
        host,
        server,
        namespace,
        "selfsubjectrulesreviews",
        &json!({"kind": "SelfSubjectRulesReview", "apiVersion": "authorization.k8s.io/v1", "spec": {"namespace": namespace}}),
    )?;
    let Some(rules) = rules else { return Ok(()) };
    if rules.status.resource_rules.iter().any(Rule::reads_secrets) {
        return Ok(());
    }
    let access: Option<Review> = ask(
        host,
        server,
        namespace,
        "selfsubjectaccessreviews",
        &json!({"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "spec": {
            "resourceAttributes": {"namespace": namespace, "verb": "get", "resource": "secrets"}}}),
    )?;
    match access {
        Some(review) if !review.status.allowed => Err(Tried {
            verb: "get",
            resource: "secrets",
            namespace,
            name: None,
        }
        .denied()),
        _ => Ok(()),
    }
}

/// None where the user may not even ask, which says nothing about Secrets.
fn ask<T: DeserializeOwned>(
    host: &dyn Host,
    server: &Server,
    namespace: &str,
    resource: &str,
    review: &Value,
) -> Result<Option<T>, Failure> {
    let path = format!("/apis/authorization.k8s.io/v1/{resource}");
    let request = server.request("POST", &path, Some(review.to_string().into_bytes()));
    let response = host.send(&request)?;
    if response.status == 403 {
        let fields = [("resource".to_owned(), resource.to_owned())];
        host.log(
            "warn",
            "the store's user may not ask what it may do; the store is taken as usable",
            &fields,
        );
        return Ok(None);
    }
    let tried = Tried {
        verb: "create",
        resource,
        namespace,
        name: None,
    };
    body(&response, tried).map(Some)
}
