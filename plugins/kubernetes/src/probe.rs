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
/// `denied` with the missing permission, `unsupported` where the user may not even ask, which says nothing about Secrets, or
/// why the server could not be asked.
pub fn probe(host: &dyn Host, config: &Config, server: &Server) -> Result<(), Failure> {
    let namespace = config.namespace.as_str();
    let rules: Review = ask(
        host,
        server,
        namespace,
        "selfsubjectrulesreviews",
        &json!({"kind": "SelfSubjectRulesReview", "apiVersion": "authorization.k8s.io/v1", "spec": {"namespace": namespace}}),
    )?;
    if rules.status.resource_rules.iter().any(Rule::reads_secrets) {
        return Ok(());
    }
    let access: Review = ask(
        host,
        server,
        namespace,
        "selfsubjectaccessreviews",
        &json!({"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "spec": {
            "resourceAttributes": {"namespace": namespace, "verb": "get", "resource": "secrets"}}}),
    )?;
    if access.status.allowed {
        return Ok(());
    }
    Err(Tried {
        verb: "get",
        resource: "secrets",
        namespace,
        name: None,
    }
    .denied())
}

fn ask<T: DeserializeOwned>(
    host: &dyn Host,
    server: &Server,
    namespace: &str,
    resource: &str,
    review: &Value,
) -> Result<T, Failure> {
    let path = format!("/apis/authorization.k8s.io/v1/{resource}");
    let request = server.request("POST", &path, Some(review.to_string().into_bytes()));
    let response = host.send(&request)?;
    if response.status == 403 {
        return Err(Failure::unsupported(format!(
            "the store's user may not create {resource}, so nobody knows whether it may read Secrets; the reads will tell"
        )));
    }
    let tried = Tried {
        verb: "create",
        resource,
        namespace,
        name: None,
    };
    body(&response, tried)
}
