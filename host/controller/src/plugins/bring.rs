//! The steps that need the cluster: the pull secret, which stores to try, bringing back what served before.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use postern_core::failure::{Code, Failure, Stage};
use postern_core::grant::Permits;
use postern_core::plugin::{Answering, Revision};
use postern_core::progress::Stop;
use postern_core::rollout::{self, DockerConfig, Source, Wanted};
use postern_core::secret::SecretValue;
use postern_sync::plugins::{self, Bringer, DOCKER_CONFIG, Named, PullSecrets, with};
use tokio::time::Instant;

use super::memory::{Active, Memory};
use super::{Entry, known};
use crate::api_error;
use crate::context::Context;

/// After a start, and after a refusal by hand: the last good revision serves again, or one that served before it.
pub(super) async fn back(ctx: &Context, bringer: &Bringer<'_>, entry: &Entry, memory: &mut Memory) {
    let wanted = bringer.wanted;
    for (digest, manifest) in rollout::comebacks(&entry.status, &entry.refused) {
        if memory.refusal(&digest).is_some() {
            continue;
        }
        let named = Named {
            resolved: manifest.clone().unwrap_or_else(|| digest.clone()),
            component: digest.clone(),
            manifest,
        };
        match bringer.compile(&mut memory.fetched, &named, None).await {
            Ok(revision) => {
                let plugins = &ctx.world.lock().plugins;
                let granted = plugins.granted(&wanted.name, &digest);
                memory.active = Some(Active {
                    revision: with(&revision, Permits::Granted(Arc::new(granted)), None),
                    manifest: named.manifest,
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
    plugins::probe(&ctx.doors, revision, stores.iter().map(AsRef::as_ref)).await
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

impl PullSecrets for Context {
    fn pull_secret<'a>(&'a self, source: &'a Source) -> Answering<'a, DockerConfig> {
        Box::pin(pull_secret(self, source))
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
