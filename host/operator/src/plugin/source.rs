//! Where a command finds a component: in a file, or in an OCI registry. The verified bytes are the registry room's work.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use postern_core::failure::Failure;
use postern_core::plugin::Digest;
use postern_core::rollout::{DockerConfig, Source, Sources as _};
use postern_core::secret::SecretValue;

use crate::args::Registry;
use crate::threads;

/// A component's bytes.
#[derive(Debug)]
pub struct Found {
    /// The component.
    pub bytes: Arc<[u8]>,
    /// Digest of the OCI manifest, where it came from a registry.
    pub manifest: Option<Digest>,
}

/// Reads a file, or fetches a reference. What is there as a file is one.
pub fn read(component: &str, access: &Registry) -> anyhow::Result<Found> {
    let path = Path::new(component);
    if path.exists() || !is_reference(component) {
        return Ok(Found {
            bytes: file(path)?.into(),
            manifest: None,
        });
    }
    let (source, credentials) = open(component, access)?;
    let fetching = async {
        let registry = postern_registry::Registry::new(None, None);
        let resolved = registry.resolve(&source, &credentials).await?;
        registry.fetch(&source, &credentials, &resolved).await
    };
    let artifact = threads()?.block_on(fetching).map_err(by_flags)?;
    Ok(Found {
        bytes: artifact.bytes,
        manifest: artifact.manifest,
    })
}

/// Reads a component that is a file.
pub fn file(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("could not read the component {}", path.display()))
}

/// Stores a component under a reference; answers the manifest's digest.
pub fn push(reference: &str, access: &Registry, component: &[u8]) -> anyhow::Result<Digest> {
    let (source, credentials) = open(reference, access)?;
    let registry = postern_registry::Registry::new(None, None);
    let pushing = registry.push(&source, &credentials, component);
    Ok(threads()?.block_on(pushing).map_err(by_flags)?)
}

/// A host, a repository, and a tag or a digest; a path to a file has neither behind its last slash.
fn is_reference(text: &str) -> bool {
    let Some((host, rest)) = text.split_once('/') else {
        return false;
    };
    let last = rest.rsplit('/').next().unwrap_or_default();
    !host.is_empty() && !host.starts_with('.') && last.contains([':', '@'])
}

fn open(reference: &str, access: &Registry) -> anyhow::Result<(Source, DockerConfig)> {
    let ca_pem = access.ca_file.as_ref().map(|file| {
        std::fs::read(file).with_context(|| format!("reading --ca-file {}", file.display()))
    });
    let source = Source::Oci {
        reference: reference.to_owned(),
        plain_http: access.plain_http,
        ca_pem: ca_pem.transpose()?,
        pull_secret: None,
    };
    Ok((source, credentials(access)?))
}

/// The config that was given must be usable; the one that happens to be there need not.
fn credentials(access: &Registry) -> anyhow::Result<DockerConfig> {
    if let Some(file) = &access.docker_config {
        let bytes = std::fs::read(file)
            .with_context(|| format!("reading --docker-config {}", file.display()))?;
        if !has_entries(&bytes) {
            bail!(
                "--docker-config {} has no \"auths\"; credential helpers are not asked, so log in without one",
                file.display()
            );
        }
        return Ok(Some(SecretValue::new(bytes)));
    }
    let bytes = default_config().and_then(|file| std::fs::read(file).ok());
    Ok(bytes
        .filter(|bytes| has_entries(bytes))
        .map(SecretValue::new))
}

fn has_entries(config: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(config)
        .is_ok_and(|config| config["auths"].is_object())
}

fn default_config() -> Option<PathBuf> {
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let folder = set("DOCKER_CONFIG").or_else(|| Some(set("HOME")?.join(".docker")))?;
    Some(folder.join("config.json"))
}

/// A failure tells which field of a Plugin to look at; who types a command has flags instead.
fn by_flags(failure: Failure) -> Failure {
    let mut public = failure.public.clone();
    for (field, flag) in [
        ("spec.source.oci.caBundle", "--ca-file"),
        ("spec.source.oci.pullSecretRef", "--docker-config"),
        ("spec.source.oci.reference", "the reference"),
        ("plainHTTP", "--plain-http"),
        ("the pull secret", "the Docker config"),
    ] {
        public = public.replace(field, flag);
    }
    Failure { public, ..failure }
}

#[cfg(test)]
mod tests {
    use super::is_reference;

    #[test]
    fn a_reference_is_told_from_a_file() {
        for reference in [
            "r.corp/a:1",
            "r.corp:5000/a/b@sha256:0",
            "localhost:5000/a:v1",
        ] {
            assert!(is_reference(reference), "{reference}");
        }
        for file in [
            "a.wasm",
            "./a:1/b.wasm",
            "/tmp/a:1",
            "../a:1",
            "r.corp/a",
            "out/a.wasm",
        ] {
            assert!(!is_reference(file), "{file}");
        }
    }
}
