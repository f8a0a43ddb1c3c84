//! The record of what was refused: log lines with the target `audit`, whose fields `docs/store-access.md` names. They hold
//! names and codes, never a value.

use postern_core::access::Denied;
use postern_core::failure::{Code, Failure};

/// Records each read that an ExternalSecret was refused before anything was sent.
pub fn denied(namespace: &str, name: &str, denied: &Denied) {
    for refusal in &denied.refusals {
        tracing::warn!(
            target: "audit",
            action = "read",
            decision = "denied",
            namespace,
            external_secret = name,
            store_kind = refusal.store.kind.as_str(),
            store = refusal.store.name,
            entry = %refusal.position,
            key = refusal.key,
            code = %refusal.code,
            reason = refusal.why,
            "a read was refused"
        );
    }
}

/// Records a search that found what the namespace may not read; of other failures nothing.
pub fn search(namespace: &str, name: &str, failure: &Failure) {
    if failure.code != Code::AccessDenied {
        return;
    }
    tracing::warn!(
        target: "audit",
        action = "read",
        decision = "denied",
        namespace,
        external_secret = name,
        code = %failure.code,
        reason = failure.public,
        "a read was refused"
    );
}
