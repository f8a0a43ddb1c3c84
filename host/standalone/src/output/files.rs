//! A target as a folder of files, swapped as kubelet swaps a mounted Secret.
//!
//! `<folder>/<key>` is a link to `..data/<key>`, and `..data` is a link to the folder of one generation. A new generation
//! is written beside the old one and `..data` is replaced by rename: a certificate and its key change in one moment.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::Path;

use postern_core::failure::{Code, Failure, Stage};
use postern_core::secret::SecretValue;

use super::{Data, changes, failed, make_folder, write_new, written};
use crate::report::{Key, Outcome};

const CURRENT: &str = "..data";
const NEXT: &str = "..data_tmp";

/// Brings the folder to this content; `stamp` names the new generation.
pub fn write(
    folder: &Path,
    data: &Data,
    stamp: &str,
    dry_run: bool,
) -> Result<(Outcome, Vec<Key>), Failure> {
    data.keys().try_for_each(|key| check_key(key))?;
    let old = read(&folder.join(CURRENT))?;
    let keys = changes(old.as_ref().unwrap_or(&Data::new()), data);
    if old.as_ref() == Some(data) {
        return Ok((Outcome::Unchanged, keys));
    }
    if !dry_run {
        swap(folder, data, stamp)?;
    }
    Ok((written(old.is_some(), dry_run), keys))
}

/// Whether the folder is one that [`write`] made.
pub fn is_ours(folder: &Path) -> bool {
    std::fs::read_link(folder.join(CURRENT)).is_ok()
}

/// What the folder holds now, where it is ours.
pub fn current(folder: &Path) -> Result<Option<Data>, Failure> {
    read(&folder.join(CURRENT))
}

/// Takes all files away in one moment, and then what is left of the folder; the keys it had. Foreign files stay.
pub fn remove(folder: &Path, dry_run: bool) -> Result<Data, Failure> {
    let current = folder.join(CURRENT);
    let old = read(&current)?.unwrap_or_default();
    if !dry_run {
        std::fs::remove_file(&current).map_err(|e| failed(&current, "could not delete", &e))?;
        sweep(folder, "", &Data::new());
        let _ = std::fs::remove_dir(folder);
    }
    Ok(old)
}

/// A key becomes a file name: it must not leave its folder, nor be taken for one of ours.
fn check_key(key: &str) -> Result<(), Failure> {
    let allowed = key
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    if allowed && !key.is_empty() && key.len() <= 253 && key != "." && !key.starts_with("..") {
        return Ok(());
    }
    let text = "a key of the target cannot be a file name; use letters, digits, -, . and _, and do not begin with two dots";
    Err(Failure::new(Stage::Commit, Code::InvalidSpec, text))
}

fn read(current: &Path) -> Result<Option<Data>, Failure> {
    let entries = match std::fs::read_dir(current) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(current, "could not read", &e)),
    };
    let mut data = Data::new();
    for entry in entries {
        let path = entry
            .map_err(|e| failed(current, "could not read", &e))?
            .path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let bytes = std::fs::read(&path).map_err(|e| failed(&path, "could not read", &e))?;
        data.insert(name, SecretValue::new(bytes));
    }
    Ok(Some(data))
}

fn swap(folder: &Path, data: &Data, stamp: &str) -> Result<(), Failure> {
    let generation = format!("..{stamp}");
    let fresh = folder.join(&generation);
    make_folder(folder)?;
    let filled = fill(&fresh, data).and_then(|()| point(folder, &generation));
    if filled.is_err() {
        let _ = std::fs::remove_dir_all(&fresh);
        return filled;
    }
    link_keys(folder, data)?;
    sweep(folder, &generation, data);
    Ok(())
}

fn fill(fresh: &Path, data: &Data) -> Result<(), Failure> {
    // Left over by a run that was killed at the same moment of another day; never the current one, which has links to it.
    let _ = std::fs::remove_dir_all(fresh);
    make_folder(fresh)?;
    data.iter()
        .try_for_each(|(key, value)| write_new(&fresh.join(key), value.expose()))
}

fn point(folder: &Path, generation: &str) -> Result<(), Failure> {
    let (next, current) = (folder.join(NEXT), folder.join(CURRENT));
    let _ = std::fs::remove_file(&next);
    symlink(generation, &next)
        .and_then(|()| std::fs::rename(&next, &current))
        .map_err(|e| failed(&current, "could not replace", &e))
}

fn link_keys(folder: &Path, data: &Data) -> Result<(), Failure> {
    for key in data.keys() {
        let link = folder.join(key);
        let target = Path::new(CURRENT).join(key);
        if std::fs::read_link(&link).is_ok_and(|is| is == target) {
            continue;
        }
        let unfinished = folder.join(format!("..{key}_tmp"));
        let _ = std::fs::remove_file(&unfinished);
        symlink(&target, &unfinished)
            .and_then(|()| std::fs::rename(&unfinished, &link))
            .map_err(|e| failed(&link, "could not link", &e))?;
    }
    Ok(())
}

/// Takes away links of keys that are gone, and old generations. What stays behind does no harm, so nothing here fails.
fn sweep(folder: &Path, generation: &str, data: &Data) {
    let ours: BTreeSet<&str> = [CURRENT, generation]
        .into_iter()
        .chain(data.keys().map(String::as_str))
        .collect();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if ours.contains(name.as_str()) {
            continue;
        }
        let path = entry.path();
        let is_link_of_ours = std::fs::read_link(&path).is_ok_and(|to| to.starts_with(CURRENT));
        if is_link_of_ours {
            let _ = std::fs::remove_file(&path);
        } else if name.starts_with("..") && path.is_dir() {
            let _ = std::fs::remove_dir_all(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::{Data, is_ours, remove, write};
    use crate::report::Outcome;

    fn data(pairs: &[(&str, &str)]) -> Data {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).into()))
            .collect()
    }

    #[test]
    fn keys_change_together_and_the_old_generation_goes() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("app");
        assert_eq!(
            write(
                &folder,
                &data(&[("tls.crt", "c1"), ("old", "x")]),
                "1",
                false
            )
            .unwrap()
            .0,
            Outcome::Created
        );
        assert_eq!(
            write(
                &folder,
                &data(&[("tls.crt", "c2"), ("tls.key", "k2")]),
                "2",
                false
            )
            .unwrap()
            .0,
            Outcome::Updated
        );
        assert_eq!(
            std::fs::read_to_string(folder.join("tls.crt")).unwrap(),
            "c2"
        );
        assert_eq!(
            std::fs::read_link(folder.join("tls.key")).unwrap(),
            std::path::Path::new("..data/tls.key")
        );
        let mode = std::fs::metadata(folder.join("tls.key"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut names: Vec<String> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["..2", "..data", "tls.crt", "tls.key"]);
    }

    #[test]
    fn what_is_removed_leaves_only_what_is_not_ours() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("app");
        write(&folder, &data(&[("a", "1")]), "1", false).unwrap();
        assert_eq!(remove(&folder, true).unwrap(), data(&[("a", "1")]));
        assert!(is_ours(&folder) && folder.join("a").exists());
        std::fs::write(folder.join("theirs"), "x").unwrap();
        remove(&folder, false).unwrap();
        let names: Vec<_> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, ["theirs"]);
        std::fs::remove_file(folder.join("theirs")).unwrap();
        write(&folder, &data(&[("a", "1")]), "2", false).unwrap();
        remove(&folder, false).unwrap();
        assert!(!folder.exists());
    }

    #[test]
    fn equal_content_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("app");
        write(&folder, &data(&[("a", "1")]), "1", false).unwrap();
        assert_eq!(
            write(&folder, &data(&[("a", "1")]), "2", false).unwrap().0,
            Outcome::Unchanged
        );
        assert_eq!(
            std::fs::read_link(folder.join("..data")).unwrap(),
            std::path::Path::new("..1")
        );
    }

    #[test]
    fn a_key_cannot_leave_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        for key in ["..data", "..", ".", "a/b", ""] {
            assert!(
                write(dir.path(), &data(&[(key, "1")]), "1", false).is_err(),
                "{key}"
            );
        }
    }
}
