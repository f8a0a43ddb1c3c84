//! Compiled code of plugins from outside, kept under `aot/<engine>/<digest>/`, authenticated by a key of the cache.
//!
//! Writers write beside and rename; a reader takes the whole file into memory and verifies it there, so what was verified
//! is what runs. A file that does not verify is passed over and replaced.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use hmac::{Hmac, Mac as _};
use postern_core::plugin::Digest;
use sha2::Sha256;
use zeroize::Zeroizing;

const KEY_BYTES: usize = 32;
const MAC_BYTES: usize = 32;

/// What is kept of a component's code.
pub enum Kept {
    Code(Vec<u8>),
    Nothing,
    /// It is damaged or forged.
    Damaged(PathBuf),
}

/// The kept code of one engine.
pub struct Cache {
    dir: PathBuf,
    compatibility: String,
    key: Zeroizing<[u8; KEY_BYTES]>,
}

impl Cache {
    /// Opens the cache; where its key can be neither read nor written, a key of this process serves, and nothing that an
    /// earlier process kept is believed.
    pub fn open(root: &Path, compatibility: &str) -> Option<Self> {
        let dir = root.join("aot").join(compatibility);
        let key = stored_key(&root.join("aot")).or_else(|error| {
            tracing::warn!(dir = %root.display(), %error, "the cache of compiled code keeps nothing beyond this process");
            new_key()
        });
        Some(Self {
            dir,
            compatibility: compatibility.to_owned(),
            key: key.ok()?,
        })
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let name = digest.as_str().trim_start_matches("sha256:");
        self.dir.join(name).join("component.cwasm")
    }

    /// The code, if it is there and authentic.
    pub fn get(&self, digest: &Digest) -> Kept {
        let path = self.path(digest);
        let Ok(mut file) = fs::read(&path) else {
            return Kept::Nothing;
        };
        let genuine = file.len().checked_sub(MAC_BYTES).filter(|at| {
            self.mac(digest, &file[..*at])
                .verify_slice(&file[*at..])
                .is_ok()
        });
        match genuine {
            Some(at) => {
                file.truncate(at);
                Kept::Code(file)
            }
            None => {
                tracing::warn!(path = %path.display(), "kept code is damaged or forged; it is not used");
                Kept::Damaged(path)
            }
        }
    }

    /// Keeps the code; a failure costs a compilation later and nothing else.
    pub fn put(&self, digest: &Digest, code: &[u8]) {
        if let Err(error) = self.write(digest, code) {
            tracing::warn!(dir = %self.dir.display(), %error, "compiled code cannot be kept");
        }
    }

    fn write(&self, digest: &Digest, code: &[u8]) -> std::io::Result<()> {
        let path = self.path(digest);
        let dir = path.parent().unwrap_or(&self.dir);
        private_dir(dir)?;
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(code)?;
        file.write_all(&self.mac(digest, code).finalize().into_bytes())?;
        file.as_file().sync_data()?;
        file.persist(&path).map_err(|e| e.error)?;
        Ok(())
    }

    fn mac(&self, digest: &Digest, code: &[u8]) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&*self.key).expect("should take a key of any length");
        for part in [self.compatibility.as_bytes(), digest.as_str().as_bytes()] {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        mac.update(code);
        mac
    }
}

fn private_dir(dir: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
}

/// The key of the cache: one for all processes that may write it, made by the first.
fn stored_key(dir: &Path) -> std::io::Result<Zeroizing<[u8; KEY_BYTES]>> {
    let path = dir.join("key");
    private_dir(dir)?;
    match fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
    {
        Ok(mut file) => {
            let key = new_key()?;
            file.write_all(&*key)?;
            Ok(key)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => read_key(&path),
        Err(error) => Err(error),
    }
}

fn read_key(path: &Path) -> std::io::Result<Zeroizing<[u8; KEY_BYTES]>> {
    let bad = |what| std::io::Error::other(format!("{}: {what}", path.display()));
    if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
        return Err(bad("others may read or write this key; remove it"));
    }
    let bytes = Zeroizing::new(fs::read(path)?);
    let key = bytes
        .as_slice()
        .try_into()
        .map_err(|_| bad("this key has the wrong length; remove it"))?;
    Ok(Zeroizing::new(key))
}

fn new_key() -> std::io::Result<Zeroizing<[u8; KEY_BYTES]>> {
    let mut key = Zeroizing::new([0u8; KEY_BYTES]);
    getrandom::fill(&mut *key).map_err(|e| std::io::Error::other(e.to_string()))?;
    Ok(key)
}
