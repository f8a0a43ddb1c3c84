//! Checks of stores: whether one can be used, said in its status, and told to the ExternalSecrets that wait for it.

use std::sync::PoisonError;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Api;
use kube::api::Patch;
use postern_api::external_secret::StoreKind;
use postern_api::{ClusterSecretStore, SecretStore, SecretStoreStatus, names};
use postern_core::conclude::{is_unknown, store_status};
use postern_core::failure::{Failure, Retry};
use postern_core::offer::{Offer, Upkeep};
use postern_core::store::{self, StoreId};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::api_error;
use crate::commit::{finished, status_params};
use crate::context::Context;
use crate::events::About;
use crate::queue::{Next, seed_of, spread};
use crate::report;
use crate::world::{Standing, StoreEntry};

/// Finalizer that the peer puts on stores for its PushSecrets; we only ever remove it.
const FINALIZER: &str = "secretstore.externalsecrets.io/finalizer";
/// Checks spread over a fifth of the interval, so that a start is not repeated every five minutes.
const JITTER: f64 = 0.1;

/// Checks one store and says when to check again.
#[tracing::instrument(skip_all, fields(kind = id.kind.as_str(), namespace = id.namespace, name = id.name))]
pub(crate) async fn reconcile(ctx: &Context, id: &StoreId) -> Next {
    let began = Instant::now();
    let next = look(ctx, id).await;
    report::store(ctx, id, began.elapsed());
    next
}

async fn look(ctx: &Context, id: &StoreId) -> Next {
    let Some(entry) = ctx.world.lock().store(id) else {
        close_sessions(ctx, id, None).await;
        return Next::OnChange;
    };
    if entry.being_deleted {
        return release(ctx, id, &entry).await;
    }
    if !store::is_of_class(&entry.class, &ctx.outlook.class) {
        tracing::debug!(class = entry.class, "the store is another controller's");
        return Next::OnChange;
    }
    close_sessions(ctx, id, Some(&entry)).await;
    if !ctx.outlook.checks(id.kind) {
        return Next::OnChange;
    }
    let result = match &entry.parsed {
        Ok(store) => ctx.doors.check(store).await.map(|checked| checked.offer),
        Err(failure) => Err(failure.clone()),
    };
    tell(ctx, id, &entry, &result);
    let written = write_status(ctx, id, &entry, result.as_ref().copied()).await;
    next(ctx, id, &entry, &result, written)
}

/// Tells those who wait, before the status is written: they need not wait for that too.
fn tell(ctx: &Context, id: &StoreId, entry: &StoreEntry, result: &Result<Offer, Failure>) {
    let standing = match result {
        Ok(_) => Standing::Ready,
        Err(failure) if is_unknown(failure) => Standing::Ready,
        Err(failure) => Standing::NotReady(failure.public.clone()),
    };
    let woken = ctx
        .world
        .lock()
        .checked(id, &entry.uid, entry.generation, standing);
    ctx.queue.touch(woken);
}

fn next(
    ctx: &Context,
    id: &StoreId,
    entry: &StoreEntry,
    result: &Result<Offer, Failure>,
    written: kube::Result<()>,
) -> Next {
    let own = entry
        .parsed
        .as_ref()
        .ok()
        .and_then(|store| store.refresh_interval);
    let interval = Next::After(spread(
        own.unwrap_or(ctx.store_interval),
        JITTER,
        seed_of(id),
    ));
    match (result, written) {
        (_, Err(error)) if !api_error::is_not_found(&error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "could not write the status"
            );
            Next::Backoff(None)
        }
        (Ok(_), _) => interval,
        (Err(failure), _) if is_unknown(failure) => interval,
        (Err(failure), _) => match failure.code.retry() {
            Retry::OnChange => interval,
            Retry::AtInterval | Retry::Backoff => Next::Backoff(failure.retry_after),
        },
    }
}

/// Closes the sessions of a store that is gone, or whose config is another than it was.
async fn close_sessions(ctx: &Context, id: &StoreId, entry: Option<&StoreEntry>) {
    let now = entry.map(|e| (e.uid.clone(), e.generation));
    let old = {
        let mut sessions = ctx.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        match now.clone() {
            Some(now) => sessions.insert(id.clone(), now),
            None => sessions.remove(id),
        }
    };
    if let Some(old) = old
        && Some(&old) != now.as_ref()
    {
        ctx.doors.forget(&old.0).await;
    }
}

async fn write_status(
    ctx: &Context,
    id: &StoreId,
    entry: &StoreEntry,
    result: Result<Offer, &Failure>,
) -> kube::Result<()> {
    let result = result.map(|offer| Offer {
        upkeep: match entry.says_upkeep {
            true => offer.upkeep,
            false => Upkeep::Maintained,
        },
        ..offer
    });
    let (status, events) = store_status(
        entry.status.as_ref(),
        Some(entry.generation),
        result,
        Timestamp::now(),
    );
    if entry.status.as_ref() == Some(&status) {
        return Ok(());
    }
    log(result);
    let stored = patch(ctx, id, json!({"status": status}), true).await?;
    ctx.world
        .lock()
        .wrote_store_status(id, stored.unwrap_or_default());
    ctx.events.post(&about(id, entry), &events);
    Ok(())
}

async fn release(ctx: &Context, id: &StoreId, entry: &StoreEntry) -> Next {
    let left: Vec<&String> = entry
        .finalizers
        .iter()
        .filter(|f| *f != FINALIZER)
        .collect();
    if left.len() == entry.finalizers.len() {
        return Next::OnChange;
    }
    let change =
        json!({"metadata": {"resourceVersion": entry.resource_version, "finalizers": left}});
    finished(patch(ctx, id, change, false).await.map(drop))
}

/// One patch for both kinds: of the status, or of the object.
async fn patch(
    ctx: &Context,
    id: &StoreId,
    change: Value,
    status: bool,
) -> kube::Result<Option<SecretStoreStatus>> {
    let (params, change) = (status_params(), Patch::Merge(change));
    let _turn = ctx.turn().await;
    match id.kind {
        StoreKind::SecretStore => {
            let api: Api<SecretStore> = ctx.namespaced(&id.namespace);
            let answer = if status {
                api.patch_status(&id.name, &params, &change).await
            } else {
                api.patch(&id.name, &params, &change).await
            };
            answer.map(|store| store.status)
        }
        StoreKind::ClusterSecretStore => {
            let api: Api<ClusterSecretStore> = Api::all(ctx.client.clone());
            let answer = if status {
                api.patch_status(&id.name, &params, &change).await
            } else {
                api.patch(&id.name, &params, &change).await
            };
            answer.map(|store| store.status)
        }
    }
}

fn about(id: &StoreId, entry: &StoreEntry) -> About {
    let component = match id.kind {
        StoreKind::SecretStore => names::EVENT_COMPONENT_STORE,
        StoreKind::ClusterSecretStore => names::EVENT_COMPONENT_CLUSTER_STORE,
    };
    let object = ObjectReference {
        api_version: Some(format!("{}/v1", names::GROUP)),
        kind: Some(id.kind.as_str().to_owned()),
        name: Some(id.name.clone()),
        namespace: Some(id.namespace.clone()).filter(|n| !n.is_empty()),
        uid: Some(entry.uid.clone()),
        resource_version: Some(entry.resource_version.clone()),
        ..ObjectReference::default()
    };
    About { object, component }
}

fn log(result: Result<Offer, &Failure>) {
    match result {
        Ok(_) => tracing::info!("the store can be used"),
        Err(failure) => tracing::warn!(
            code = %failure.code,
            blame = failure.code.blame().as_str(),
            reason = failure.public,
            detail = failure.detail.as_deref(),
            "the store cannot be used"
        ),
    }
}
