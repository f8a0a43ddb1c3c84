//! ClusterExternalSecrets: what the core decided is done, and said in the status. Nothing is read: all that is looked at
//! is mirrored already.
//!
//! Guarantees: an ExternalSecret that this ClusterExternalSecret did not make is neither changed nor deleted; a status that
//! has not changed is not written; nothing is ever put on a Namespace.

use std::collections::BTreeMap;

use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, Patch, PostParams, Preconditions};
use kube::{Api, ResourceExt as _};
use postern_api::{ClusterExternalSecret, ClusterExternalSecretStatus, ExternalSecret, names};
use postern_core::failure::{Code, Failure, Stage};
use postern_core::fan_out::{self, Observed, Step};
use serde_json::json;

use crate::api_error;
use crate::commit::{STATUS_MANAGER, finished, status_params};
use crate::context::Context;
use crate::queue::{Next, seed_of, spread};
use crate::world::FanOut;

/// Writes for one ClusterExternalSecret at once, so that one for a thousand namespaces leaves room for others.
const IN_FLIGHT: usize = 8;
/// Looks are spread over a fifth of the interval.
const JITTER: f64 = 0.1;

/// Brings the ExternalSecrets of one ClusterExternalSecret where they shall be.
#[tracing::instrument(skip_all, fields(name = name))]
pub(crate) async fn reconcile(ctx: &Context, name: &str) -> Next {
    let Some(known) = ctx.world.lock().fan_out(name) else {
        return Next::OnChange;
    };
    let object = &known.entry.object;
    if object.metadata.deletion_timestamp.is_some() {
        return release(ctx, &known).await;
    }
    let plan = match plan(&known) {
        Ok(plan) => plan,
        Err(failure) => {
            tracing::warn!(code = %failure.code, reason = failure.public, "the ClusterExternalSecret cannot be served");
            let written = write_status(ctx, object, fan_out::refused(object, &failure)).await;
            return next(written, Next::OnChange);
        }
    };
    let failed = take(ctx, plan.steps.clone()).await;
    let written = write_status(ctx, object, fan_out::status(object, &plan, &failed)).await;
    let again = if failed.is_empty() {
        Next::After(spread(plan.interval, JITTER, seed_of(&name)))
    } else {
        Next::Backoff(None)
    };
    next(written, again)
}

fn plan(known: &FanOut) -> Result<fan_out::Plan, Failure> {
    if known.entry.malformed {
        let text = "the ClusterExternalSecret does not fit its schema; apply Postern's CRDs, and correct it as kubectl then says";
        return Err(Failure::new(Stage::Observe, Code::InvalidSpec, text));
    }
    fan_out::plan(&Observed {
        object: &known.entry.object,
        namespaces: &known.namespaces,
        named: known.named.clone(),
        ours: known.ours.clone(),
    })
}

/// Takes all steps, and says in which namespaces one failed and why.
async fn take(ctx: &Context, steps: Vec<Step>) -> BTreeMap<String, String> {
    let mut taking = stream::iter(steps)
        .map(|step| async move { (step.namespace(), take_one(ctx, step).await) })
        .buffer_unordered(IN_FLIGHT);
    let mut failed = BTreeMap::new();
    while let Some((namespace, result)) = taking.next().await {
        let Err(failure) = result else { continue };
        tracing::warn!(
            target_namespace = namespace,
            reason = failure.public,
            detail = failure.detail.as_deref(),
            "could not bring an ExternalSecret where it shall be"
        );
        failed.insert(namespace, failure.public);
    }
    failed
}

async fn take_one(ctx: &Context, step: Step) -> Result<(), Failure> {
    let namespace = step.namespace();
    let api = ctx.namespaced::<ExternalSecret>(&namespace);
    let params = PostParams {
        field_manager: Some(STATUS_MANAGER.to_owned()),
        ..PostParams::default()
    };
    let _turn = ctx.turn().await;
    let (what, answer) = match &step {
        Step::Create(wanted) => ("create", api.create(&params, wanted).await.map(Some)),
        Step::Replace(wanted) => {
            let answer = api.replace(&wanted.name_any(), &params, wanted).await;
            ("update", answer.map(Some))
        }
        Step::Delete(there) => ("delete", delete(&api, there).await.map(|()| None)),
    };
    match answer {
        Ok(Some(stored)) => {
            tracing::info!(target_namespace = namespace, "{what}d an ExternalSecret");
            // The watch will tell the same; until then nothing shall be done twice.
            let touched = ctx.world.lock().see_external_secret(stored);
            ctx.queue.touch(touched);
            Ok(())
        }
        Ok(None) => {
            tracing::info!(target_namespace = namespace, "deleted an ExternalSecret");
            Ok(())
        }
        Err(error) => {
            let tried = format!("could not {what} the ExternalSecret");
            Err(api_error::failure(
                Stage::Commit,
                Code::WriteFailed,
                &tried,
                &error,
            ))
        }
    }
}

/// Deletes exactly the object that was seen; one that is gone is no failure.
async fn delete(api: &Api<ExternalSecret>, there: &ExternalSecret) -> kube::Result<()> {
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: there.uid(),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    match api.delete(&there.name_any(), &params).await {
        Err(error) if !api_error::is_not_found(&error) => Err(error),
        _ => Ok(()),
    }
}

fn next(written: kube::Result<()>, again: Next) -> Next {
    match written {
        Err(error) if !api_error::is_not_found(&error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "could not write the status"
            );
            Next::Backoff(None)
        }
        _ => again,
    }
}

async fn write_status(
    ctx: &Context,
    object: &ClusterExternalSecret,
    status: ClusterExternalSecretStatus,
) -> kube::Result<()> {
    if object.status.as_ref() == Some(&status) {
        return Ok(());
    }
    let api: Api<ClusterExternalSecret> = Api::all(ctx.client.clone());
    // A list that has become empty must be said, or a merge would leave the old one.
    let change = json!({"status": {
        "conditions": status.conditions,
        "externalSecretName": status.external_secret_name,
        "failedNamespaces": status.failed_namespaces,
        "provisionedNamespaces": status.provisioned_namespaces,
    }});
    let _turn = ctx.turn().await;
    let name = object.name_any();
    let stored = api
        .patch_status(&name, &status_params(), &Patch::Merge(change))
        .await?;
    let version = stored.metadata.resource_version;
    ctx.world
        .lock()
        .wrote_cluster_status(&name, version, stored.status.unwrap_or_default());
    Ok(())
}

/// One that is going takes what it made with it: by owner reference, and where the peer's finalizer waits for it, by us.
async fn release(ctx: &Context, known: &FanOut) -> Next {
    let object = &known.entry.object;
    let all = object.metadata.finalizers.iter().flatten();
    let left: Vec<&String> = all.filter(|f| *f != names::FINALIZER_CLUSTER).collect();
    if left.len() == object.finalizers().len() {
        return Next::OnChange;
    }
    let steps: Vec<Step> = fan_out::deletions(known.ours.iter()).collect();
    if !take(ctx, steps).await.is_empty() {
        return Next::Backoff(None);
    }
    let version = &object.metadata.resource_version;
    let change = json!({"metadata": {"resourceVersion": version, "finalizers": left}});
    let api: Api<ClusterExternalSecret> = Api::all(ctx.client.clone());
    let answer = api
        .patch(&object.name_any(), &status_params(), &Patch::Merge(change))
        .await;
    finished(answer.map(drop))
}

/// Takes off a namespace what the peer put there, without which it cannot end.
#[tracing::instrument(skip_all, fields(name = name))]
pub(crate) async fn tidy_namespace(ctx: &Context, name: &str) -> Next {
    if !ctx.cluster_external_secrets {
        return Next::OnChange;
    }
    let api: Api<Namespace> = Api::all(ctx.client.clone());
    let _turn = ctx.turn().await;
    let namespace = match api.get_metadata_opt(name).await {
        Ok(Some(namespace)) => namespace,
        Ok(None) => return Next::OnChange,
        Err(error) => return finished(Err(error)),
    };
    let meta = &namespace.metadata;
    let all = meta.finalizers.iter().flatten();
    let left: Vec<&String> = all
        .filter(|f| !f.starts_with(names::FINALIZER_NAMESPACE_PREFIX))
        .collect();
    if left.len() == namespace.finalizers().len() {
        return Next::OnChange;
    }
    tracing::info!("took the finalizers of ClusterExternalSecrets off a namespace");
    let change =
        json!({"metadata": {"resourceVersion": meta.resource_version, "finalizers": left}});
    let answer = api
        .patch_metadata(name, &status_params(), &Patch::Merge(change))
        .await;
    finished(answer.map(drop))
}
