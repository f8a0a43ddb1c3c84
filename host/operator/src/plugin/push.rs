//! `postern plugin push`: stores a component in an OCI registry. Only what Postern itself would load is pushed.

use std::process::ExitCode;

use serde_json::json;

use super::source;
use crate::args::{Push, Shown};
use crate::print;

/// Runs the command.
pub fn run(push: &Push) -> anyhow::Result<ExitCode> {
    let file = push.file.display().to_string();
    let bytes = source::file(&push.file)?;
    let revision = super::described(&file, &bytes, &push.compiled)?;
    let manifest = source::push(&push.reference, &push.registry, &bytes)?;
    let pinned = pinned(&push.reference, manifest.as_str());
    print(&match push.output {
        Shown::Text => format!("{pinned}\n"),
        Shown::Json => format!(
            "{:#}\n",
            json!({
                "schemaVersion": 1,
                "name": revision.descriptor.name,
                "version": revision.descriptor.version,
                "reference": pinned,
                "manifestDigest": manifest.as_str(),
                "digest": revision.digest.as_str(),
                "sizeBytes": bytes.len(),
            })
        ),
    })
}

/// The reference by digest instead of by tag: it never changes what it names.
fn pinned(reference: &str, manifest: &str) -> String {
    // A colon before the last slash is that of a port.
    let name = match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => reference,
    };
    format!("{name}@{manifest}")
}

#[cfg(test)]
mod tests {
    use super::pinned;

    #[test]
    fn the_digest_takes_the_place_of_the_tag_and_the_port_stays() {
        assert_eq!(
            pinned("r.corp:5000/a/b:1", "sha256:x"),
            "r.corp:5000/a/b@sha256:x"
        );
        assert_eq!(
            pinned("r.corp:5000/a/b", "sha256:x"),
            "r.corp:5000/a/b@sha256:x"
        );
    }
}
