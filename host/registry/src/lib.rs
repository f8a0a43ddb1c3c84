//! From the source of a Plugin to bytes that have the digest they should: OCI artifacts and files, with a cache on disk.
//!
//! Nothing here compiles or runs a component, and nothing is handed out unverified: what comes from a registry, from a file
//! and from the cache is held against its digest each time.

mod auth;
mod cache;
mod file;
mod manifest;
mod oci;
mod retry;

use std::path::PathBuf;

use postern_core::failure::{Code, Failure, Stage};
use postern_core::plugin::{Answering, Digest};
use postern_core::rollout::{Artifact, DockerConfig, Kept, Source, Sources};

use cache::Cache;

/// Registries and files, behind the door [`Sources`].
#[derive(Debug)]
pub struct Registry {
    cache: Option<Cache>,
    files: Option<PathBuf>,
}

impl Registry {
    /// `cache` is a folder that is kept between starts; without it a registry must be reachable at every start. `files` is
    /// the directory of plugin files.
    #[must_use]
    pub fn new(cache: Option<PathBuf>, files: Option<PathBuf>) -> Self {
        Self {
            cache: cache.map(Cache::new),
            files,
        }
    }

    /// Stores a component as an OCI artifact under the reference of this source; answers the manifest's digest.
    pub async fn push(
        &self,
        source: &Source,
        credentials: &DockerConfig,
        component: &[u8],
    ) -> Result<Digest, Failure> {
        oci::Remote::open(source, credentials)?
            .push(component)
            .await
    }

    fn keep(&self, artifact: &Artifact) {
        if let Some(cache) = &self.cache {
            cache.put(&artifact.component, &artifact.bytes);
        }
    }

    fn kept(&self, component: &Digest) -> Kept {
        let cache = self.cache.as_ref();
        cache.map(|cache| cache.get(component)).unwrap_or_default()
    }

    async fn fetch_now(
        &self,
        source: &Source,
        credentials: &DockerConfig,
        resolved: &Digest,
    ) -> Result<Artifact, Failure> {
        let Source::Oci { .. } = source else {
            let artifact = self.file(source)?;
            if artifact.component != *resolved {
                return Err(failed(
                    Code::DigestMismatch,
                    format!(
                        "the plugin file changed while it was read; it is no more {}",
                        resolved.as_str()
                    ),
                ));
            }
            self.keep(&artifact);
            return Ok(artifact);
        };
        let remote = oci::Remote::open(source, credentials)?;
        let layer = remote.layer(resolved).await?;
        let kept = self.kept(&layer.digest);
        let bytes = match kept.bytes {
            Some(bytes) => bytes,
            None => remote.bytes(&layer).await?.into(),
        };
        let artifact = Artifact {
            bytes,
            component: layer.digest,
            manifest: Some(resolved.clone()),
            damage: kept.damage,
        };
        self.keep(&artifact);
        Ok(artifact)
    }

    fn file(&self, source: &Source) -> Result<Artifact, Failure> {
        let Source::File { path, pinned } = source else {
            return Err(failed(
                Code::Internal,
                "an OCI source is no file".to_owned(),
            ));
        };
        let dir = self.files.as_ref().ok_or_else(|| {
            failed(
                Code::InvalidSpec,
                format!("the plugin file {path} cannot be read: this process has no directory of plugin files; give it --plugin-files DIR"),
            )
        })?;
        file::read(dir, path, pinned.as_ref())
    }
}

impl Sources for Registry {
    fn resolve<'a>(
        &'a self,
        source: &'a Source,
        credentials: &'a DockerConfig,
    ) -> Answering<'a, Digest> {
        Box::pin(async move {
            match source {
                Source::Oci { .. } => oci::Remote::open(source, credentials)?.resolve().await,
                Source::File { .. } => self.file(source).map(|artifact| artifact.component),
            }
        })
    }

    fn fetch<'a>(
        &'a self,
        source: &'a Source,
        credentials: &'a DockerConfig,
        resolved: &'a Digest,
    ) -> Answering<'a, Artifact> {
        Box::pin(self.fetch_now(source, credentials, resolved))
    }

    fn recall<'a>(&'a self, component: &'a Digest) -> Answering<'a, Kept> {
        Box::pin(async move { Ok(self.kept(component)) })
    }
}

/// The largest component that is read, as the runtime has it.
pub(crate) const COMPONENT_BYTES: usize = 40 << 20;

pub(crate) fn failed(code: Code, text: String) -> Failure {
    Failure::new(Stage::Check, code, text)
}
