//! Secrets that nobody may make through an ExternalSecret, because the cluster itself gives such a Secret power. The API
//! server refuses these manifests where it can; here they are refused however they came into the cluster.

use postern_api::ExternalSecret;
use postern_api::external_secret::TargetTemplate;

use super::invalid;
use crate::failure::Failure;

/// Holder of such a Secret may join nodes to the cluster.
const BOOTSTRAP: &str = "bootstrap.kubernetes.io/token";
/// The cluster puts a token of the account into such a Secret that an annotation names.
const ACCOUNT: &str = "kubernetes.io/service-account-token";
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";

/// Refuses a template that makes a Secret of that kind.
pub(super) fn check(object: &ExternalSecret) -> Result<(), Failure> {
    let target = object.spec.target.as_ref();
    let Some(template) = target.and_then(|t| t.template.as_ref()) else {
        return Ok(());
    };
    match template.type_.as_deref() {
        Some(BOOTSTRAP) => Err(invalid(format!(
            "spec.target.template.type: a Secret of type {BOOTSTRAP} lets its holder join the cluster, and is not made from an ExternalSecret"
        ))),
        Some(ACCOUNT) if names_account(template) => Err(invalid(format!(
            "spec.target.template: with type {ACCOUNT} the cluster puts the token of the ServiceAccount into the Secret that the annotation {ACCOUNT_NAME} names; take out the type, or the annotations"
        ))),
        _ => Ok(()),
    }
}

fn names_account(template: &TargetTemplate) -> bool {
    let metadata = template.metadata.as_ref();
    let plain = metadata
        .and_then(|m| m.annotations.as_ref())
        .is_some_and(|a| a.contains_key(ACCOUNT_NAME));
    // What a template renders is not known yet, and may name any account.
    let rendered = template.template_from.iter().flatten().any(|from| {
        from.target
            .as_deref()
            .is_some_and(|target| target.eq_ignore_ascii_case("annotations"))
    });
    plain || rendered
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn object(template: Value) -> ExternalSecret {
        let object = json!({
            "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "metadata": {"name": "e"},
            "spec": {"target": {"template": template}},
        });
        serde_json::from_value(object).unwrap()
    }

    fn checked(template: Value) -> Result<(), Failure> {
        check(&object(template))
    }

    #[test]
    fn a_secret_that_would_get_power_from_the_cluster_is_refused() {
        let annotations = json!({"annotations": {ACCOUNT_NAME: "admin"}});
        let from = |target: &str| json!([{"literal": "x", "target": target}]);
        for bad in [
            json!({"type": BOOTSTRAP}),
            json!({"type": ACCOUNT, "metadata": annotations}),
            json!({"type": ACCOUNT, "templateFrom": from("ANNOTATIONS")}),
        ] {
            assert!(checked(bad.clone()).is_err(), "{bad}");
        }
        for good in [
            json!({"type": "Opaque", "metadata": annotations, "templateFrom": from("Annotations")}),
            json!({"type": ACCOUNT, "metadata": {"annotations": {"other": "x"}}, "templateFrom": from("Data")}),
            json!({}),
        ] {
            assert_eq!(checked(good.clone()), Ok(()), "{good}");
        }
    }
}
