//! The steps that go through a door: fetch, compile, try on stores, bring back what served before.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use postern_api::names::reason;
use postern_core::failure::{Code, Failure, Stage};
use postern_core::grant::{self, Permits};
use postern_core::plugin::{Ask, Revision};
use postern_core::progress::{Step, Stop};
use postern_core::rollout::{self, Candidate, DockerConfig, Source, Wanted};
use postern_core::secret::SecretValue;
use tokio::time::Instant;

use super::memory::{Active, Memory, Named};
use super::{Entry, Plugins, known, with};
use crate::api_error;
use crate::context::Context;

/// The key of a Secret of type `kubernetes.io/dockerconfigjson`.
const DOCKER_CONFIG: &str = ".dockerconfigjson";

/// The doors through which one Plugin comes, and what is known of it.
pub(super) struct Bringer<'a> {
    pub(super) ctx: &'a Context,
    pub(super) doors: &'a Plugins,
    pub(super) wanted: &'a Wanted,
}

impl Bringer<'_> {
    /// What the source names now. It is fetched where that is not known, and then comes with its bytes.
    pub(super) async fn resolve(
        &self,
        memory: &mut Memory,
    ) -> Result<(Named, Option<Arc<[u8]>>), Stop> {
        let found = self.found(memory).await;
        found.map_err(|failure| Stop::failed(Step::Resolved, failure))
    }

    async fn found(&self, memory: &mut Memory) -> Result<(Named, Option<Arc<[u8]>>), Failure> {
        let source = &self.wanted.source;
        let credentials = pull_secret(self.ctx, source).await?;
        let resolved = self.doors.sources.resolve(source, &credentials).await?;
        if let Some(named) = memory.named.as_ref().filter(|n| n.resolved == resolved) {
            return Ok((named.clone(), None));
        }
        let fetched = self.doors.sources.fetch(source, &credentials, &resolved);
        let artifact = fetched.await?;
        memory.damage.extend(artifact.damage);
        let named = Named {
            resolved,
            component: artifact.component,
            manifest: artifact.manifest,
        };
        memory.named = Some(named.clone());
        Ok((named, Some(artifact.bytes)))
    }

    /// Compiled, linked, described, and what the spec says it is. Bytes that are not at hand are looked up.
    pub(super) async fn compile(
        &self,
        memory: &mut Memory,
        named: &Named,
        bytes: Option<Arc<[u8]>>,
    ) -> Result<Arc<Revision>, Stop> {
        let revision = self.compiled(memory, named, bytes).await;
        let revision = revision.and_then(|r| self.wanted.fits(&r).map(|()| r));
        revision.map_err(|failure| Stop::failed(Step::Compiled, failure))
    }

    async fn compiled(
        &self,
        memory: &mut Memory,
        named: &Named,
        bytes: Option<Arc<[u8]>>,
    ) -> Result<Arc<Revision>, Failure> {
        let Wanted { name, limits, .. } = self.wanted;
        if let Some(revision) = self.doors.revisions.admitted(&named.component, limits) {
            return Ok(revision);
        }
        let bytes = match bytes {
            Some(bytes) => bytes,
            None => self.bytes(memory, named).await?,
        };
        let candidate = Candidate {
            label: name.clone(),
            bytes,
            limits: limits.clone(),
        };
        let admitted = self.doors.revisions.admit(&candidate).await?;
        memory.damage.extend(admitted.damage);
        Ok(admitted.revision)
    }

    /// The bytes of a component that was fetched before: as they were kept, or fetched again.
    async fn bytes(&self, memory: &mut Memory, named: &Named) -> Result<Arc<[u8]>, Failure> {
        let kept = self.doors.sources.recall(&named.component).await?;
        memory.damage.extend(kept.damage);
        if let Some(bytes) = kept.bytes {
            return Ok(bytes);
        }
        let source = &self.wanted.source;
        let credentials = pull_secret(self.ctx, source).await?;
        let fetched = self
            .doors
            .sources
            .fetch(source, &credentials, &named.resolved);
        let artifact = fetched.await?;
        memory.damage.extend(artifact.damage);
        if artifact.component == named.component {
            return Ok(artifact.bytes);
        }
        Err(Failure::new(
            Stage::Check,
            Code::DigestMismatch,
            format!(
                "the source has {} where {} is wanted",
                artifact.component.as_str(),
                named.component.as_str()
            ),
        ))
    }

    /// After a start, and after a refusal by hand: the last good revision serves again, or one that served before it.
    pub(super) async fn back(&self, entry: &Entry, memory: &mut Memory) {
        for (digest, manifest) in rollout::comebacks(&entry.status, &entry.refused) {
            if memory.refusal(&digest).is_some() {
                continue;
            }
            let named = Named {
                resolved: manifest.clone().unwrap_or_else(|| digest.clone()),
                component: digest.clone(),
                manifest,
            };
            match self.compile(memory, &named, None).await {
                Ok(revision) => {
                    let plugins = &self.ctx.world.lock().plugins;
                    let granted = plugins.granted(&self.wanted.name, &digest);
                    memory.active = Some(Active {
                        revision: with(&revision, Permits::Granted(Arc::new(granted)), None),
                        manifest: named.manifest,
                        since: Instant::now(),
                        successes: 0,
                        good: true,
                        limits: self.wanted.limits.clone(),
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
