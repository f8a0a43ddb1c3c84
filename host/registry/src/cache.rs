//! Components on disk, named by their digest. Written by rename; verified at every read.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use postern_core::failure::Code;
use postern_core::plugin::Digest;
use postern_core::rollout::Kept;

use crate::failed;

/// The folder of kept components.
#[derive(Debug)]
pub(crate) struct Cache(PathBuf);

impl Cache {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self(root.join("wasm"))
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.as_str().trim_start_matches("sha256:");
        self.0.join(format!("{hex}.wasm"))
    }

    /// What is there. What is not right is removed, so that it is fetched again.
    pub(crate) fn get(&self, digest: &Digest) -> Kept {
        let path = self.path(digest);
        let Ok(bytes) = fs::read(&path) else {
            return Kept::default();
        };
        if Digest::of(&bytes) == *digest {
            return Kept {
                bytes: Some(bytes.into()),
                damage: None,
            };
        }
        tracing::warn!(path = %path.display(), "a kept component does not have its digest; it is dropped and fetched again");
        // It is not used either way.
        let _ = fs::remove_file(&path);
        let text = format!(
            "the component that was kept as {} no longer has its digest, so somebody or a bad disk has changed it; it was dropped, and is fetched again from its source",
            path.display()
        );
        Kept {
            bytes: None,
            damage: Some(failed(Code::DigestMismatch, text)),
        }
    }

    /// Keeps the bytes; a failure costs a download later and nothing else.
    pub(crate) fn put(&self, digest: &Digest, bytes: &[u8]) {
        let path = self.path(digest);
        if path.is_file() {
            return;
        }
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(&self.0)?;
            let mut file = tempfile::NamedTempFile::new_in(&self.0)?;
            file.write_all(bytes)?;
            file.as_file().sync_data()?;
            file.persist(&path).map_err(|e| e.error)?;
            Ok(())
        };
        if let Err(error) = write() {
            tracing::warn!(path = %path.display(), %error, "a component cannot be kept");
        }
    }
}
