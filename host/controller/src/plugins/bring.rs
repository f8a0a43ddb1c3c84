//! The steps that go through a door: fetch, compile, try on stores, bring back what served before.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use postern_api::names::reason;
use postern_core::failure::{Code, Failure, Stage};
use postern_core::grant::{self, Permits};
use postern_core::plugin::{Ask, Digest, Revision};
use postern_core::progress::{Step, Stop};
use postern_core::rollout::{self, Artifact, Candidate, DockerConfig, Source, Wanted};
use postern_core::secret::SecretValue;
use tokio::time::Instant;

use super::memory::{Active, Memory};
use super::{Entry, Plugins, known, with};
use crate::api_error;
use crate::context::Context;

/// The key of a Secret of type `kubernetes.io/dockerconfigjson`.
const DOCKER_CONFIG: &str = ".dockerconfigjson";

/// What the source names now, fetched unless it is known already.
pub(super) async fn resolve(
    ctx: &Context,
    doors: &Plugins,
    wanted: &Wanted,
    memory: &mut Memory,
) -> Result<Artifact, Stop> {
    let failed = |failure| Stop::failed(Step::Resolved, failure);
    let credentials = pull_secret(ctx, &wanted.source).await.map_err(failed)?;
    let resolved = doors
        .sources
        .resolve(&wanted.source, &credentials)
        .await
        .map_err(failed)?;
    if let Some((digest, artifact)) = &memory.fetched
        && *digest == resolved
    {
        return Ok(artifact.clone());
    }
    let artifact = doors
        .sources
        .fetch(&wanted.source, &credentials, &resolved)
        .await;
    let artifact = artifact.map_err(failed)?;
    memory.fetched = Some((resolved, artifact.clone()));
    Ok(artifact)
}

/// Compiled, linked, described, and what the spec says it is.
pub(super) async fn compile(
    doors: &Plugins,
    wanted: &Wanted,
    artifact: &Artifact,
) -> Result<Arc<Revision>, Stop> {
    let failed = |failure| Stop::failed(Step::Compiled, failure);
    let candidate = Candidate {
        label: wanted.name.clone(),
        bytes: artifact.bytes.clone(),
        limits: wanted.limits.clone(),
    };
    let revision = doors.revisions.admit(&candidate).await.map_err(failed)?;
    wanted.fits(&revision).map_err(failed)?;
    Ok(revision)
}

/// Every store that can be used now must be usable through the candidate. One that is out of order anyway proves nothing.
pub(super) async fn probe(
    ctx: &Context,
    wanted: &Wanted,
    memory: &Memory,
    revision: &Arc<Revision>,
) -> Result<(), Stop> {
    let served = memory.active.is_some() || bundled(ctx, wanted).is_some();
    if known::is_engine(wanted) || !served {
        return Ok(());
    }
    let stores = ctx
        .world
        .lock()
        .usable_stores(&wanted.serves, &ctx.settings.controller_class);
    for store in stores {
        if let Err(failure) = ctx.doors.try_out(revision, &store).await {
            return Err(Stop {
                step: Step::Probed,
                reason: reason::STORE_REJECTED,
                failure: Failure {
                    public: format!(
                        "{}, which can be used now, does not go together with {} {}: {}",
                        store.id,
                        revision.descriptor.name,
                        revision.descriptor.version,
                        failure.public
                    ),
                    ..failure
                },
            });
        }
    }
    Ok(())
}

/// After a start, and after a refusal by hand: the last good revision serves again, or one that served before it.
pub(super) async fn back(
    ctx: &Context,
    doors: &Plugins,
    entry: &Entry,
    wanted: &Wanted,
    memory: &mut Memory,
) {
    for (digest, manifest) in rollout::comebacks(&entry.status, &entry.refused) {
        if memory.refusal(&digest).is_some() {
            continue;
        }
        let Some(bytes) = kept(ctx, doors, wanted, &digest, manifest.as_ref()).await else {
            continue;
        };
        let artifact = Artifact {
            bytes,
            component: digest.clone(),
            manifest,
        };
        match compile(doors, wanted, &artifact).await {
            Ok(revision) => {
                let granted = ctx.world.lock().plugins.granted(&wanted.name, &digest);
                memory.active = Some(Active {
                    revision: with(&revision, Permits::Granted(Arc::new(granted)), None),
                    manifest: artifact.manifest,
                    since: Instant::now(),
                    successes: 0,
                    good: true,
                    limits: wanted.limits.clone(),
                });
                return;
            }
            Err(stop) => tracing::warn!(
                digest = digest.as_str(),
                reason = stop.failure.public,
                "what served before does not come back"
            ),
        }
    }
}

async fn kept(
    ctx: &Context,
    doors: &Plugins,
    wanted: &Wanted,
    digest: &Digest,
    manifest: Option<&Digest>,
) -> Option<Arc<[u8]>> {
    if let Ok(Some(bytes)) = doors.sources.recall(digest).await {
        return Some(bytes);
    }
    let fetched = async {
        let credentials = pull_secret(ctx, &wanted.source).await?;
        doors
            .sources
            .fetch(&wanted.source, &credentials, manifest.unwrap_or(digest))
            .await
    };
    match fetched.await {
        Ok(artifact) if artifact.component == *digest => Some(artifact.bytes),
        Ok(_) => None,
        Err(failure) => {
            tracing::warn!(
                digest = digest.as_str(),
                reason = failure.public,
                "what served before cannot be fetched"
            );
            None
        }
    }
}

/// The bundled revision that serves one of the keys while no Plugin does.
pub(super) fn bundled(ctx: &Context, wanted: &Wanted) -> Option<Arc<Revision>> {
    let key = wanted.serves.first()?;
    let found = if known::is_engine(wanted) {
        ctx.host.engine(key)
    } else {
        ctx.host.provider(key)
    };
    found
        .ok()
        .filter(|revision| revision.permits == Permits::All)
}

/// It waits for a grant; the text holds the manifest to apply.
pub(super) fn awaiting(wanted: &Wanted, asks: &[Ask], awaited: &[Ask]) -> Stop {
    let list: Vec<String> = awaited
        .iter()
        .map(|a| format!("{} {}", a.kind, a.what).trim().to_owned())
        .collect();
    let text = format!(
        "it asks for {}, which no PluginGrant allows; if that is right, apply:\n{}",
        list.join(", "),
        grant::suggestion(&wanted.name, asks)
    );
    Stop {
        step: Step::Granted,
        reason: reason::AWAITING_GRANT,
        // The manifest keeps its lines, so that it can be applied as it stands.
        failure: Failure {
            public: text,
            ..Failure::new(Stage::Check, Code::EgressDenied, "")
        },
    }
}

async fn pull_secret(ctx: &Context, source: &Source) -> Result<DockerConfig, Failure> {
    let Source::Oci {
        pull_secret: Some(reference),
        ..
    } = source
    else {
        return Ok(None);
    };
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &reference.namespace);
    let name = format!("Secret {}/{}", reference.namespace, reference.name);
    let secret = api.get_opt(&reference.name).await.map_err(|error| {
        api_error::failure(
            Stage::Check,
            Code::CredentialMissing,
            &format!("reading {name}"),
            &error,
        )
    })?;
    let missing = |code, what: &str| {
        Failure::new(Stage::Check, code, format!("the pull secret {name} {what}"))
    };
    let secret = secret.ok_or_else(|| missing(Code::CredentialMissing, "does not exist"))?;
    let config = secret.data.and_then(|mut data| data.remove(DOCKER_CONFIG));
    let config = config.ok_or_else(|| {
        missing(
            Code::CredentialKeyMissing,
            "has no key .dockerconfigjson; make it with `kubectl create secret docker-registry`",
        )
    })?;
    Ok(Some(SecretValue::new(config.0)))
}
