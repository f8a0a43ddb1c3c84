//! Door 0 and 1 of a sync without a cluster: reads the manifests of a folder, and says when they may have changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::manifest::Manifests;

/// Why a folder cannot be read at all.
#[derive(Debug, thiserror::Error)]
#[error("reading {}", path.display())]
pub struct FolderError {
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

/// A manifest larger than this is none: the API server takes 1.5 MiB an object.
const MAX_FILE: u64 = 64 << 20;

/// Reads every `*.yaml`, `*.yml` and `*.json` below the folder, in the order of their paths.
///
/// Errors: the folder or a file in it cannot be read. What is written in them wrongly is a problem in the result.
pub fn read(folder: &Path) -> Result<Manifests, FolderError> {
    let mut manifests = Manifests::default();
    for path in files(folder)? {
        let at = |source| FolderError {
            path: path.clone(),
            source,
        };
        if std::fs::metadata(&path).map_err(at)?.len() > MAX_FILE {
            return Err(at(std::io::Error::other(
                "it is larger than 64 MiB, which no manifest is",
            )));
        }
        let bytes = std::fs::read(&path).map_err(at)?;
        let text = String::from_utf8(bytes)
            .map_err(|_| at(std::io::Error::other("it is not UTF-8 text")))?;
        manifests.add_file(path.strip_prefix(folder).unwrap_or(&path), &text);
    }
    Ok(manifests)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(directory) = open.pop() {
        let at = |source| FolderError {
            path: directory.clone(),
            source,
        };
        for entry in std::fs::read_dir(&directory).map_err(at)? {
            let path = entry.map_err(at)?.path();
            let hidden = path
                .file_name()
                .is_some_and(|n| n.to_string_lossy().starts_with('.'));
            if hidden {
                continue;
            }
            let kind = std::fs::metadata(&path).map_err(at)?;
            let manifest = path
                .extension()
                .and_then(|e| e.to_str())
                .is_some_and(|e| matches!(e, "yaml" | "yml" | "json"));
            if kind.is_dir() && !std::fs::symlink_metadata(&path).map_err(at)?.is_symlink() {
                open.push(path);
            } else if kind.is_file() && manifest {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// What can be seen of a folder without reading its files: a change of it is a reason to sync.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen(BTreeMap<PathBuf, (u64, Option<SystemTime>)>);

impl Seen {
    /// Looks at these folders. What cannot be read is passed over: the sync that follows says so.
    #[must_use]
    pub fn of<'a>(folders: impl IntoIterator<Item = &'a Path>) -> Self {
        let mut seen = BTreeMap::new();
        let mut open: Vec<PathBuf> = folders.into_iter().map(Path::to_owned).collect();
        while let Some(path) = open.pop() {
            let Ok(meta) = std::fs::metadata(&path) else {
                continue;
            };
            let link = std::fs::symlink_metadata(&path).is_ok_and(|m| m.is_symlink());
            // A link to a folder is followed by its target's time only, so that a ring of links ends.
            if meta.is_dir() && !(link && seen.len() > 1) {
                open.extend(
                    std::fs::read_dir(&path)
                        .into_iter()
                        .flatten()
                        .flatten()
                        .map(|e| e.path()),
                );
            }
            seen.insert(path, (meta.len(), meta.modified().ok()));
        }
        Self(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::{Seen, read};

    #[test]
    fn reads_nested_manifests_and_passes_over_other_files() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        let secret = |name: &str| format!("kind: Secret\nmetadata: {{name: {name}}}\n");
        std::fs::write(dir.path().join("a.yaml"), secret("a")).unwrap();
        std::fs::write(dir.path().join("sub/b.yml"), secret("b")).unwrap();
        std::fs::write(
            dir.path().join("sub/c.json"),
            r#"{"kind": "Secret", "metadata": {"name": "c"}}"#,
        )
        .unwrap();
        std::fs::write(dir.path().join("README.md"), "kind: [").unwrap();
        let manifests = read(dir.path()).unwrap();
        let names: Vec<&str> = manifests
            .secrets
            .keys()
            .map(|(_, name)| name.as_str())
            .collect();
        assert_eq!((names, manifests.problems.len()), (vec!["a", "b", "c"], 0));
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        assert!(read(std::path::Path::new("/nowhere/at/all")).is_err());
    }

    #[test]
    fn a_changed_file_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), "1").unwrap();
        let before = Seen::of([dir.path()]);
        assert_eq!(before, Seen::of([dir.path()]));
        std::fs::write(dir.path().join("a"), "12").unwrap();
        assert_ne!(before, Seen::of([dir.path()]));
    }
}
