//! A target as a Secret manifest: the same text for the same Secret, so that a repository of them shows real changes only.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use postern_core::failure::Failure;
use zeroize::Zeroizing;

use super::{Data, changes, failed, make_folder, write_new, written};
use crate::manifest::Manifests;
use crate::report::{Key, Outcome};

/// Writes the manifest if its text differs.
pub fn write(
    path: &Path,
    secret: &Secret,
    data: &Data,
    dry_run: bool,
) -> Result<(Outcome, Vec<Key>), Failure> {
    let text = manifest(secret, data);
    let old = match std::fs::read(path) {
        Ok(bytes) => Some(Zeroizing::new(bytes)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) => return Err(failed(path, "could not read", &e)),
    };
    let old_keys = old.as_ref().map(|bytes| keys_of(bytes)).unwrap_or_default();
    let keys = changes(&old_keys, data);
    if old
        .as_ref()
        .is_some_and(|bytes| bytes.as_slice() == text.as_bytes())
    {
        return Ok((Outcome::Unchanged, keys));
    }
    if !dry_run {
        replace(path, text.as_bytes())?;
    }
    Ok((written(old.is_some(), dry_run), keys))
}

/// The values that the manifest has.
pub fn read(path: &Path) -> Result<Data, Failure> {
    let bytes = std::fs::read(path).map_err(|e| failed(path, "could not read", &e))?;
    Ok(keys_of(&Zeroizing::new(bytes)))
}

/// Takes the manifest away; the keys it had.
pub fn remove(path: &Path, dry_run: bool) -> Result<Data, Failure> {
    let old = read(path)?;
    if !dry_run {
        std::fs::remove_file(path).map_err(|e| failed(path, "could not delete", &e))?;
    }
    Ok(old)
}

fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(Path::new("."));
    make_folder(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = folder.join(format!(".{name}.{}", std::process::id()));
    // Left over by a process of the same number that was killed.
    let _ = std::fs::remove_file(&unfinished);
    let done = write_new(&unfinished, bytes).and_then(|()| {
        std::fs::rename(&unfinished, path).map_err(|e| failed(path, "could not replace", &e))
    });
    if done.is_err() {
        let _ = std::fs::remove_file(&unfinished);
    }
    done
}

/// The keys of a manifest that we wrote; what cannot be read has none.
fn keys_of(bytes: &[u8]) -> Data {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Data::new();
    };
    let mut manifests = Manifests::default();
    manifests.add_file(Path::new(""), text);
    manifests.secrets.into_values().next().unwrap_or_default()
}

fn manifest(secret: &Secret, data: &Data) -> Zeroizing<String> {
    let metadata = &secret.metadata;
    let mut text = Zeroizing::new(String::from("apiVersion: v1\nkind: Secret\nmetadata:\n"));
    let _ = writeln!(
        text,
        "  name: {}",
        quoted(metadata.name.as_deref().unwrap_or_default())
    );
    let _ = writeln!(
        text,
        "  namespace: {}",
        quoted(metadata.namespace.as_deref().unwrap_or_default())
    );
    map(&mut text, "labels", metadata.labels.as_ref());
    map(&mut text, "annotations", metadata.annotations.as_ref());
    if let Some(finalizers) = metadata.finalizers.as_ref().filter(|f| !f.is_empty()) {
        let list: Vec<String> = finalizers.iter().map(|f| quoted(f)).collect();
        let _ = writeln!(text, "  finalizers: [{}]", list.join(", "));
    }
    let _ = writeln!(
        text,
        "type: {}",
        quoted(secret.type_.as_deref().unwrap_or("Opaque"))
    );
    if secret.immutable == Some(true) {
        text.push_str("immutable: true\n");
    }
    text.push_str(if data.is_empty() {
        "data: {}\n"
    } else {
        "data:\n"
    });
    for (key, value) in data {
        let encoded = Zeroizing::new(STANDARD.encode(value.expose()));
        let _ = writeln!(text, "  {}: \"{}\"", quoted(key), encoded.as_str());
    }
    text
}

fn map(text: &mut String, name: &str, map: Option<&BTreeMap<String, String>>) {
    let Some(map) = map.filter(|m| !m.is_empty()) else {
        return;
    };
    let _ = writeln!(text, "  {name}:");
    for (key, value) in map {
        let _ = writeln!(text, "    {}: {}", quoted(key), quoted(value));
    }
}

/// A JSON string is a YAML string, and cannot be taken for a number or a boolean.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use k8s_openapi::ByteString;
    use k8s_openapi::api::core::v1::Secret;

    use super::super::{Layout, Output, write};
    use crate::report::{Change, Outcome};

    fn secret(pairs: &[(&str, &str)]) -> Secret {
        let mut secret = Secret::default();
        secret.metadata.name = Some("app".into());
        secret.metadata.namespace = Some("default".into());
        secret.data = Some(
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), ByteString(v.as_bytes().to_vec())))
                .collect(),
        );
        secret
    }

    #[test]
    fn a_manifest_is_written_once_read_back_and_left_alone_when_equal() {
        let dir = tempfile::tempdir().unwrap();
        let output = Output {
            to: Some(dir.path().join("out")),
            layout: Layout::Secrets,
            dry_run: false,
        };
        let (outcome, keys) = write(&output, &secret(&[("b", "2"), ("a", "1")]), "s").unwrap();
        assert_eq!(outcome, Outcome::Created);
        assert!(keys.iter().all(|k| k.change == Change::Added));
        let path = dir.path().join("out/default/app.yaml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.ends_with("type: \"Opaque\"\ndata:\n  \"a\": \"MQ==\"\n  \"b\": \"Mg==\"\n"),
            "{text}"
        );
        let before = std::fs::metadata(&path).unwrap();
        assert_eq!(before.permissions().mode() & 0o777, 0o600);
        let (outcome, _) = write(&output, &secret(&[("b", "2"), ("a", "1")]), "s").unwrap();
        assert_eq!(outcome, Outcome::Unchanged);
        assert_eq!(std::fs::metadata(&path).unwrap().ino(), before.ino());
    }

    #[test]
    fn a_dry_run_names_the_keys_that_would_change_and_writes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut output = Output {
            to: Some(dir.path().to_owned()),
            layout: Layout::Secrets,
            dry_run: false,
        };
        write(&output, &secret(&[("a", "1"), ("b", "2")]), "s").unwrap();
        let text = std::fs::read_to_string(dir.path().join("default/app.yaml")).unwrap();
        output.dry_run = true;
        let (outcome, keys) = write(&output, &secret(&[("a", "9"), ("c", "3")]), "s").unwrap();
        assert_eq!(outcome, Outcome::WouldUpdate);
        let changes: Vec<_> = keys.iter().map(|k| (k.name.as_str(), k.change)).collect();
        assert_eq!(
            changes,
            [
                ("a", Change::Changed),
                ("b", Change::Removed),
                ("c", Change::Added)
            ]
        );
        assert_eq!(
            std::fs::read_to_string(dir.path().join("default/app.yaml")).unwrap(),
            text
        );
    }
}
