//! What the API server refused, as a failure. Its message is never passed on: it may repeat a value that was sent.

use k8s_openapi::api::core::v1::Secret;
use postern_core::failure::{Code, Failure, Stage};

/// A write of a target that failed.
pub(crate) fn write_failed(what: &str, secret: &Secret, error: &kube::Error) -> Failure {
    let name = secret.metadata.name.as_deref().unwrap_or_default();
    let namespace = secret.metadata.namespace.as_deref().unwrap_or_default();
    failure(
        Stage::Commit,
        Code::WriteFailed,
        &format!("could not {what} secret \"{namespace}/{name}\""),
        error,
    )
}

/// A failure with what the API server's answer says beyond its message: status, reason, and the fields that it names.
pub(crate) fn failure(stage: Stage, code: Code, tried: &str, error: &kube::Error) -> Failure {
    let kube::Error::Api(status) = error else {
        return Failure::new(
            stage,
            code,
            format!("{tried}: the API server did not answer"),
        )
        .with_detail(kind(error));
    };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    // The API server names them in another order each time; a message that changes would be told again and again.
    let fields: std::collections::BTreeSet<&str> = causes
        .map(|cause| cause.field.as_str())
        .filter(|field| !field.is_empty())
        .collect();
    let fields = if fields.is_empty() {
        String::new()
    } else {
        format!(", at {}", Vec::from_iter(fields).join(", "))
    };
    let hint = if status.is_forbidden() {
        "; Postern's role does not allow it, or an admission policy refused it"
    } else {
        ""
    };
    Failure::new(
        stage,
        code,
        format!(
            "{tried}: the API server answered {} {}{fields}{hint}",
            status.code, status.reason
        ),
    )
}

/// Which kind of error it was, without its text.
fn kind(error: &kube::Error) -> &'static str {
    match error {
        kube::Error::Api(_) => "an answer with an error status",
        kube::Error::Service(_) | kube::Error::HyperError(_) => "the connection failed",
        kube::Error::SerdeError(_) => "the answer could not be read",
        _ => "the request failed",
    }
}

pub(crate) fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_conflict() && !status.is_already_exists())
}

pub(crate) fn already_exists(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_already_exists())
}

pub(crate) fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_not_found())
}
