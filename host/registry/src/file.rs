//! A component as a file in the directory of plugin files.

use std::io::Read as _;
use std::path::{Component, Path};

use postern_core::failure::{Code, Failure};
use postern_core::plugin::Digest;
use postern_core::rollout::Artifact;

use crate::{COMPONENT_BYTES, failed};

/// Reads a file below `dir`. A path that leads out, by `..` or by a link, is refused.
pub(crate) fn read(dir: &Path, path: &str, pinned: Option<&Digest>) -> Result<Artifact, Failure> {
    let relative = Path::new(path);
    let plain = relative
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if path.is_empty() || !plain {
        return Err(failed(
            Code::InvalidSpec,
            format!(
                "spec.source.file.path \"{path}\" is not a relative path inside the directory of plugin files"
            ),
        ));
    }
    let unreadable = |error: std::io::Error| {
        failed(
            Code::PluginInvalid,
            format!(
                "the plugin file {path} cannot be read in the directory of plugin files: {error}"
            ),
        )
    };
    let root = dir.canonicalize().map_err(unreadable)?;
    let full = root.join(relative).canonicalize().map_err(unreadable)?;
    if !full.starts_with(&root) {
        return Err(failed(
            Code::InvalidSpec,
            format!(
                "the plugin file {path} is a link that leads out of the directory of plugin files"
            ),
        ));
    }
    let mut bytes = Vec::new();
    let limit = COMPONENT_BYTES as u64 + 1;
    let file = std::fs::File::open(&full).map_err(unreadable)?;
    file.take(limit)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() > COMPONENT_BYTES {
        return Err(failed(
            Code::PluginInvalid,
            format!(
                "the plugin file {path} is larger than {} MiB",
                COMPONENT_BYTES >> 20
            ),
        ));
    }
    let component = Digest::of(&bytes);
    match pinned {
        Some(pinned) if *pinned != component => Err(failed(
            Code::DigestMismatch,
            format!(
                "the plugin file {path} is {}, and spec.source.file.digest allows only {}",
                component.as_str(),
                pinned.as_str()
            ),
        )),
        _ => Ok(Artifact {
            bytes: bytes.into(),
            component,
            manifest: None,
            damage: None,
        }),
    }
}
