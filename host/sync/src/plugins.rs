//! The steps by which a Plugin from outside comes to serve, as far as they are the same with and without a cluster: fetch,
//! compile, hold against grants and stores. Who calls them keeps what came of them, and switches.

use std::sync::Arc;

use postern_core::failure::{Code, Failure, Stage};
use postern_core::grant::{Granted, Permits};
use postern_core::plugin::{Answering, Ask, Digest, Revision};
use postern_core::progress::{Step, Stop};
use postern_core::rollout::{Candidate, DockerConfig, Revisions, Source, Sources, Wanted};
use postern_core::store::Store;

use crate::doors::Doors;

/// The key of a Secret of type `kubernetes.io/dockerconfigjson`.
pub const DOCKER_CONFIG: &str = ".dockerconfigjson";

/// Where the credentials of registries are.
pub trait PullSecrets: Send + Sync {
    /// Those that a source names; none where it names none.
    fn pull_secret<'a>(&'a self, source: &'a Source) -> Answering<'a, DockerConfig>;
}

/// What a source named when it was last asked. Its bytes are not kept: they are needed only to compile it.
#[derive(Clone, Debug)]
pub struct Named {
    /// What the source was resolved to.
    pub resolved: Digest,
    /// The component behind that.
    pub component: Digest,
    /// The OCI manifest.
    pub manifest: Option<Digest>,
}

/// What is remembered of a source.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// What it named last.
    pub named: Option<Named>,
    /// What was kept on disk and was not used, since it had been changed; not told yet.
    pub damage: Vec<Failure>,
}

/// The doors through which one Plugin comes.
#[derive(Clone, Copy)]
pub struct Bringer<'a> {
    /// Registries and files.
    pub sources: &'a dyn Sources,
    /// Compiled revisions.
    pub revisions: &'a dyn Revisions,
    /// Credentials of registries.
    pub secrets: &'a dyn PullSecrets,
    /// What shall come.
    pub wanted: &'a Wanted,
}

impl Bringer<'_> {
    /// What the source names now. It is fetched where that is not known, and then comes with its bytes.
    pub async fn resolve(&self, fetched: &mut Fetched) -> Result<(Named, Option<Arc<[u8]>>), Stop> {
        let found = self.found(fetched).await;
        found.map_err(|failure| Stop::failed(Step::Resolved, failure))
    }

    async fn found(&self, fetched: &mut Fetched) -> Result<(Named, Option<Arc<[u8]>>), Failure> {
        let source = &self.wanted.source;
        let credentials = self.secrets.pull_secret(source).await?;
        let resolved = self.sources.resolve(source, &credentials).await?;
        if let Some(named) = fetched.named.as_ref().filter(|n| n.resolved == resolved) {
            return Ok((named.clone(), None));
        }
        let artifact = self.sources.fetch(source, &credentials, &resolved).await?;
        fetched.damage.extend(artifact.damage);
        let named = Named {
            resolved,
            component: artifact.component,
            manifest: artifact.manifest,
        };
        fetched.named = Some(named.clone());
        Ok((named, Some(artifact.bytes)))
    }

    /// Compiled, linked, described, and what the spec says it is. Bytes that are not at hand are looked up.
    pub async fn compile(
        &self,
        fetched: &mut Fetched,
        named: &Named,
        bytes: Option<Arc<[u8]>>,
    ) -> Result<Arc<Revision>, Stop> {
        let revision = self.compiled(fetched, named, bytes).await;
        let revision = revision.and_then(|r| self.wanted.fits(&r).map(|()| r));
        revision.map_err(|failure| Stop::failed(Step::Compiled, failure))
    }

    async fn compiled(
        &self,
        fetched: &mut Fetched,
        named: &Named,
        bytes: Option<Arc<[u8]>>,
    ) -> Result<Arc<Revision>, Failure> {
        let Wanted { name, limits, .. } = self.wanted;
        if let Some(revision) = self.revisions.admitted(&named.component, limits) {
            return Ok(revision);
        }
        let bytes = match bytes {
            Some(bytes) => bytes,
            None => self.bytes(fetched, named).await?,
        };
        let candidate = Candidate {
            label: name.clone(),
            bytes,
            limits: limits.clone(),
        };
        let admitted = self.revisions.admit(&candidate).await?;
        fetched.damage.extend(admitted.damage);
        Ok(admitted.revision)
    }

    /// The bytes of a component that was fetched before: as they were kept, or fetched again.
    async fn bytes(&self, fetched: &mut Fetched, named: &Named) -> Result<Arc<[u8]>, Failure> {
        let kept = self.sources.recall(&named.component).await?;
        fetched.damage.extend(kept.damage);
        if let Some(bytes) = kept.bytes {
            return Ok(bytes);
        }
        let source = &self.wanted.source;
        let credentials = self.secrets.pull_secret(source).await?;
        let again = self.sources.fetch(source, &credentials, &named.resolved);
        let artifact = again.await?;
        fetched.damage.extend(artifact.damage);
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
}

/// What grants allow a revision, and whether that answers all it asks for. `before` is what the revision that serves
/// asks for.
pub fn permitted(
    wanted: &Wanted,
    revision: &Revision,
    granted: Granted,
    before: Option<&[Ask]>,
) -> (Permits, Result<(), Stop>) {
    let asks = &revision.descriptor.asks;
    let awaited = granted.awaited(asks, before);
    let enough = if awaited.is_empty() {
        Ok(())
    } else {
        Err(Stop::awaiting_grant(&wanted.name, asks, &awaited))
    };
    (Permits::Granted(Arc::new(granted)), enough)
}

/// Every one of these stores, which can be used now, must be usable through the candidate.
pub async fn probe(
    doors: &Doors,
    revision: &Arc<Revision>,
    stores: impl IntoIterator<Item = &Store>,
) -> Result<(), Stop> {
    for store in stores {
        if let Err(failure) = doors.try_out(revision, store).await {
            return Err(Stop::store_rejected(&store.id, revision, failure));
        }
    }
    Ok(())
}

/// The same revision with other permits, and another one that stands by.
#[must_use]
pub fn with(
    revision: &Revision,
    permits: Permits,
    fallback: Option<Arc<Revision>>,
) -> Arc<Revision> {
    Arc::new(Revision {
        permits,
        fallback,
        ..revision.clone()
    })
}
