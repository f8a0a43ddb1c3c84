//! The Rust SDK for projects outside this repository: it is carried along, because a project needs it before a registry has it.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Where a project keeps the SDK. Cargo finds it by a patch in the project's own cargo config, so that `Cargo.toml` names
/// a version alone, as it will when the SDK is published.
const COPY: &str = ".postern/sdk";
const CONFIG: &str = ".cargo/config.toml";
const PATCH: &str = "\
# Where `postern plugin` lays the SDK; without this it is taken from crates.io.
[patch.crates-io]
postern-sdk = { path = \".postern/sdk\" }
";

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../sdk/rust/", $name)))),*]
    };
}

const FILES: &[(&str, &str)] = files![
    "Cargo.toml",
    "README.md",
    "src/bindings.rs",
    "src/engine.rs",
    "src/export.rs",
    "src/failure.rs",
    "src/host.rs",
    "src/lib.rs",
    "src/provider.rs",
    "src/types.rs",
    "src/value.rs",
    "worlds/base/Cargo.toml",
    "worlds/base/src/lib.rs",
    "worlds/base/wit/plugin.wit",
    "worlds/engine/Cargo.toml",
    "worlds/engine/src/lib.rs",
    "worlds/engine/wit/plugin.wit",
    "worlds/find/Cargo.toml",
    "worlds/find/src/lib.rs",
    "worlds/find/wit/plugin.wit",
    "worlds/login/Cargo.toml",
    "worlds/login/src/lib.rs",
    "worlds/login/wit/plugin.wit",
    "worlds/login-find/Cargo.toml",
    "worlds/login-find/src/lib.rs",
    "worlds/login-find/wit/plugin.wit",
];

/// Puts the SDK into a project outside this repository, and tells its cargo where it lies.
///
/// # Errors
/// Where it cannot be written.
pub fn lay(folder: &Path) -> Result<()> {
    for (name, text) in FILES {
        write(&folder.join(COPY).join(name), text)?;
    }
    write(&folder.join(CONFIG), PATCH)
}

/// Leaves a file alone that is the same: cargo builds anew what is newer.
fn write(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, text).with_context(|| format!("could not write {}", path.display()))
}

/// Whether the project takes the SDK from where [`lay`] puts it.
#[must_use]
pub fn is_laid(folder: &Path) -> bool {
    fs::read_to_string(folder.join(CONFIG)).is_ok_and(|text| text.contains(COPY))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use super::*;

    fn below(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).expect("should list") {
            let path = entry.expect("should list").path();
            let name = path.file_name().expect("should have a name");
            let name = format!("{prefix}{}", name.to_string_lossy());
            if path.is_dir() {
                below(&path, &format!("{name}/"), found);
            } else {
                found.insert(name);
            }
        }
    }

    #[test]
    fn carries_every_file_of_the_sdk() {
        let sdk: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/rust");
        let mut there = BTreeSet::from(["Cargo.toml".to_owned(), "README.md".to_owned()]);
        below(&sdk.join("src"), "src/", &mut there);
        below(&sdk.join("worlds"), "worlds/", &mut there);
        let carried = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(there, carried);
    }

    #[test]
    fn lays_the_sdk_where_the_projects_cargo_looks_for_it() {
        let folder = tempfile::tempdir().expect("should make a folder");
        assert!(!is_laid(folder.path()));
        lay(folder.path()).expect("should lay");
        assert!(is_laid(folder.path()));
        let manifest = folder.path().join(COPY).join("Cargo.toml");
        assert!(manifest.is_file());
    }
}
