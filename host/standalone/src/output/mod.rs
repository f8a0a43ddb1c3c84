//! Door 7 of a sync without a cluster: writes targets into a folder, as Secret manifests or as plain files.
//!
//! Guarantees: a reader sees the old content or the new, never a mixture; content that is equal is not touched; files are
//! 0600 and folders 0700. Assumptions: nobody else writes into the folder.

mod files;
mod secrets;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Secret;
use postern_core::failure::{Code, Failure, Stage};
use postern_core::secret::SecretValue;

use crate::report::{Change, Key, Outcome};

/// How a target looks on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// `<namespace>/<name>.yaml`, a Secret manifest.
    #[default]
    Secrets,
    /// `<namespace>/<name>/<key>`, as kubelet mounts a Secret.
    Files,
}

/// Where targets go, and whether they really do.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// The folder; without one nothing is written.
    pub to: Option<PathBuf>,
    /// How they look.
    pub layout: Layout,
    /// Only says what would change.
    pub dry_run: bool,
}

/// Writes one target, or says what would change. `stamp` names a new generation of files.
pub fn write(
    output: &Output,
    secret: &Secret,
    stamp: &str,
) -> Result<(Outcome, Vec<Key>), Failure> {
    let data = data(secret);
    let Some(to) = &output.to else {
        let keys = data
            .keys()
            .map(|name| Key {
                name: name.clone(),
                change: Change::Unchanged,
            })
            .collect();
        return Ok((Outcome::Read, keys));
    };
    let namespace = secret.metadata.namespace.as_deref().unwrap_or_default();
    let name = secret.metadata.name.as_deref().unwrap_or_default();
    let path = path(to, output.layout, (namespace, name))?;
    match output.layout {
        Layout::Secrets => secrets::write(&path, secret, &data, output.dry_run),
        Layout::Files => files::write(&path, &data, stamp, output.dry_run),
    }
}

/// Whether a target is there: one of ours, as far as can be seen.
#[must_use]
pub fn exists(output: &Output, target: (&str, &str)) -> bool {
    let path = |to: &PathBuf| path(to, output.layout, target).ok();
    output
        .to
        .as_ref()
        .and_then(path)
        .is_some_and(|path| match output.layout {
            Layout::Secrets => path.is_file(),
            Layout::Files => files::is_ours(&path),
        })
}

/// The values of a target that is there; none where it is not, or where nothing is written.
pub fn read(output: &Output, target: (&str, &str)) -> Result<Option<Data>, Failure> {
    let Some(to) = output.to.as_ref().filter(|_| exists(output, target)) else {
        return Ok(None);
    };
    let path = path(to, output.layout, target)?;
    match output.layout {
        Layout::Secrets => secrets::read(&path).map(Some),
        Layout::Files => files::current(&path),
    }
}

/// Takes a target away, or says what would go.
pub fn remove(output: &Output, target: (&str, &str)) -> Result<(Outcome, Vec<Key>), Failure> {
    let Some(to) = &output.to else {
        return Ok((Outcome::Read, Vec::new()));
    };
    if !exists(output, target) {
        return Ok((Outcome::Unchanged, Vec::new()));
    }
    let path = path(to, output.layout, target)?;
    let old = match output.layout {
        Layout::Secrets => secrets::remove(&path, output.dry_run)?,
        Layout::Files => files::remove(&path, output.dry_run)?,
    };
    let outcome = if output.dry_run {
        Outcome::WouldDelete
    } else {
        Outcome::Deleted
    };
    Ok((outcome, changes(&old, &Data::new())))
}

fn path(to: &Path, layout: Layout, (namespace, name): (&str, &str)) -> Result<PathBuf, Failure> {
    if !(crate::manifest::is_dns_name(namespace) && crate::manifest::is_dns_name(name)) {
        return Err(Failure::new(
            Stage::Commit,
            Code::InvalidSpec,
            "the target's name cannot be a file name; use a-z, 0-9, - and .",
        ));
    }
    let folder = to.join(namespace);
    Ok(match layout {
        Layout::Secrets => folder.join(format!("{name}.yaml")),
        Layout::Files => folder.join(name),
    })
}

/// Keys and values.
pub type Data = BTreeMap<String, SecretValue>;

fn data(secret: &Secret) -> Data {
    let pairs = secret.data.iter().flatten();
    pairs
        .map(|(key, value)| (key.clone(), SecretValue::new(value.0.clone())))
        .collect()
}

/// What differs, by name only.
fn changes(old: &Data, new: &Data) -> Vec<Key> {
    let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let change = |name: &String| match (old.get(name), new.get(name)) {
        (None, _) => Change::Added,
        (Some(_), None) => Change::Removed,
        (Some(was), Some(is)) if was == is => Change::Unchanged,
        (Some(_), Some(_)) => Change::Changed,
    };
    names
        .into_iter()
        .map(|name| Key {
            name: name.clone(),
            change: change(name),
        })
        .collect()
}

/// The outcome of a write that was needed.
const fn written(existed: bool, dry_run: bool) -> Outcome {
    match (existed, dry_run) {
        (false, false) => Outcome::Created,
        (true, false) => Outcome::Updated,
        (false, true) => Outcome::WouldCreate,
        (true, true) => Outcome::WouldUpdate,
    }
}

fn failed(path: &Path, what: &str, error: &std::io::Error) -> Failure {
    let text = format!("{what} {}: {error}; what was there stays", path.display());
    Failure::new(Stage::Commit, Code::WriteFailed, text)
}

fn make_folder(path: &Path) -> Result<(), Failure> {
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path);
    made.map_err(|e| failed(path, "could not make", &e))
}

/// Writes a file that must not be there yet, readable by its owner only.
fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let write = || {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|e| failed(path, "could not write", &e))
}
