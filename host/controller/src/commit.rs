//! Step 7 of a sync: the status is patched where it changed, and the events follow it. The target was written before.

use kube::Resource as _;
use kube::api::{Patch, PatchParams};
use postern_api::{ExternalSecret, names};
use postern_core::conclude::{self, Conclusion, Written};
use postern_core::failure::Failure;
use postern_core::plan::Observed;
use serde_json::json;

use crate::api_error;
use crate::context::Context;
use crate::events::About;
use crate::queue::Next;
use crate::reconcile::wait_until;
use crate::report;
use crate::world::ObjectKey;

/// The manager of status fields; the target has one of its own for each ExternalSecret.
pub(crate) const STATUS_MANAGER: &str = "postern";

/// Says what was concluded, and when to look again.
///
/// Guarantees: an unchanged status is not written; conditions of other types stay as they are.
pub(crate) async fn commit(
    ctx: &Context,
    observed: &Observed,
    conclusion: Conclusion,
    result: &Result<Written, Failure>,
) -> Next {
    log(result);
    let object = &observed.object;
    let outcome = result.as_ref().copied().map_err(|failure| failure.code);
    report::synced(ctx, &ObjectKey::of(&object.metadata), outcome);
    let changed = object.status.as_ref() != Some(&conclusion.status);
    if changed && let Err(error) = patch_status(ctx, object, &conclusion).await {
        if api_error::is_not_found(&error) {
            return Next::OnChange;
        }
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "could not write the status"
        );
        return Next::Backoff(None);
    }
    ctx.events.post(&about(object), &conclusion.events);
    match conclusion.next {
        conclude::Next::At(time) => wait_until(Some(time), observed.now),
        conclude::Next::Backoff { after } => Next::Backoff(after),
        conclude::Next::OnChange => Next::OnChange,
    }
}

async fn patch_status(
    ctx: &Context,
    object: &ExternalSecret,
    conclusion: &Conclusion,
) -> kube::Result<()> {
    let key = ObjectKey::of(&object.metadata);
    let api = ctx.namespaced::<ExternalSecret>(&key.namespace);
    let patch = Patch::Merge(json!({"status": conclusion.status}));
    let _turn = ctx.turn().await;
    let stored = api
        .patch_status(&key.name, &status_params(), &patch)
        .await?;
    let status = stored.status.unwrap_or_default();
    ctx.world
        .lock()
        .wrote_status(&key, stored.metadata.resource_version, status);
    Ok(())
}

/// Takes off what the peer left on an ExternalSecret that is going, so that it can go.
pub(crate) async fn release(ctx: &Context, observed: &Observed) -> Next {
    let meta = &observed.object.metadata;
    let left: Vec<&String> = meta
        .finalizers
        .iter()
        .flatten()
        .filter(|f| *f != names::FINALIZER)
        .collect();
    if meta
        .finalizers
        .as_ref()
        .is_none_or(|all| all.len() == left.len())
    {
        return Next::OnChange;
    }
    let key = ObjectKey::of(meta);
    let patch = json!({"metadata": {"resourceVersion": meta.resource_version, "finalizers": left}});
    let api = ctx.namespaced::<ExternalSecret>(&key.namespace);
    finished(
        api.patch(&key.name, &status_params(), &Patch::Merge(patch))
            .await
            .map(drop),
    )
}

/// What becomes of a key after its finalizers were patched.
pub(crate) fn finished(answer: kube::Result<()>) -> Next {
    match answer {
        Ok(()) => Next::OnChange,
        Err(error) if api_error::is_not_found(&error) => Next::OnChange,
        Err(error) => {
            // The watch brings the newer version; until then there is nothing better to do than to wait.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "could not remove a finalizer"
            );
            Next::Backoff(None)
        }
    }
}

pub(crate) fn status_params() -> PatchParams {
    PatchParams {
        field_manager: Some(STATUS_MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

/// The world could not be read; nothing is said about the object, because nothing is known.
pub(crate) fn unobserved(failure: &Failure) -> Next {
    tracing::error!(code = %failure.code, detail = failure.detail.as_deref(), "{}", failure.public);
    Next::Backoff(failure.retry_after)
}

fn about(object: &ExternalSecret) -> About {
    let component = names::EVENT_COMPONENT;
    About {
        object: object.object_ref(&()),
        component,
    }
}

fn log(result: &Result<Written, Failure>) {
    match result {
        Ok(Written::Unchanged) => tracing::debug!("the secret is as it shall be"),
        Ok(Written::Retained) => {
            tracing::info!("the backend has nothing for the secret; it was left as it is");
        }
        Ok(Written::Created) => tracing::info!("created the secret"),
        Ok(Written::Updated) => tracing::info!("updated the secret"),
        Ok(Written::Deleted) => {
            tracing::info!("deleted the secret: the backend has nothing for it");
        }
        Ok(Written::Gone) => {
            tracing::debug!("there is no secret, and the backend has nothing for it")
        }
        Ok(Written::Missing) => tracing::debug!("the secret to add to is not there"),
        Ok(Written::Skipped) => tracing::debug!("read, and by policy not written"),
        Err(failure) => tracing::warn!(
            code = %failure.code,
            blame = failure.code.blame().as_str(),
            reason = failure.public,
            detail = failure.detail.as_deref(),
            "the sync failed"
        ),
    }
}
