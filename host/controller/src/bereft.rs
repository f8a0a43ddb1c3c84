//! What an ExternalSecret with deletionPolicy Delete leaves behind when it is deleted itself. Kubernetes collects what it
//! owns anyway; this does not wait for the collector, and needs none.

use kube::Api;
use postern_api::ExternalSecret;
use postern_core::failure::{Code, Failure, Stage};
use postern_core::target::{self as decide, Owner};

use crate::api_error;
use crate::context::Context;
use crate::queue::Next;
use crate::target::delete_as_read;
use crate::world::ObjectKey;

/// Deletes the target that is left of an ExternalSecret which the watch shows no more.
///
/// Guarantees: the API server says itself that this very ExternalSecret is gone; only a Secret that it controls is deleted, in
/// exactly the version that was read. One whose owner reference was taken off (`--cascade=orphan`) stays. A failure is
/// logged and left to the garbage collector.
pub(crate) async fn end(ctx: &Context, key: &ObjectKey) -> Next {
    let bereft = ctx.world.lock().take_bereft(key);
    if let Some((target, uid)) = bereft
        && let Err(failure) = remove(ctx, key, &target, uid).await
    {
        tracing::warn!(
            code = %failure.code,
            reason = failure.public,
            detail = failure.detail.as_deref(),
            "the secret of a deleted ExternalSecret is left to the garbage collector"
        );
    }
    Next::OnChange
}

async fn remove(
    ctx: &Context,
    key: &ObjectKey,
    target: &ObjectKey,
    uid: String,
) -> Result<(), Failure> {
    let tried = format!(
        "could not read ExternalSecret \"{}/{}\"",
        key.namespace, key.name
    );
    let api: Api<ExternalSecret> = ctx.namespaced(&key.namespace);
    let found = {
        let _turn = ctx.turn().await;
        api.get_metadata_opt(&key.name).await
    };
    let found =
        found.map_err(|e| api_error::failure(Stage::Observe, Code::WriteFailed, &tried, &e))?;
    if found.is_some_and(|found| found.metadata.uid.as_ref() == Some(&uid)) {
        return Ok(());
    }
    let owner = Owner {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        uid,
    };
    let deleted = delete_as_read(ctx, target, |meta| decide::bereft(meta, &owner)).await?;
    if deleted {
        tracing::info!("deleted the secret of an ExternalSecret that was deleted");
    }
    Ok(())
}
