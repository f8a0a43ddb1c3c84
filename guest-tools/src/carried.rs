//! Files that are carried along, so that plugins can be made and built where this repository is not. `build.rs` lists them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

include!(concat!(env!("OUT_DIR"), "/carried.rs"));

const CONTRACT: &[(&str, &[u8])] = &[("plugin.wit", include_bytes!("../../wit/plugin.wit"))];

/// Puts files into a folder. One that is the same is left alone: builds look at the time of files.
///
/// # Errors
/// Where one cannot be written.
pub fn lay(files: &[(&str, &[u8])], folder: &Path) -> Result<()> {
    for (name, content) in files {
        write(&folder.join(name), content)?;
    }
    Ok(())
}

/// Writes a file and makes its folder, unless its content is the same already.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("could not make {}", folder.display()))?;
    }
    fs::write(path, content).with_context(|| format!("could not write {}", path.display()))
}

/// Puts the contract into a project's scratch folder and answers where it lies.
///
/// # Errors
/// Where it cannot be written.
pub fn lay_contract(scratch: &Path) -> Result<PathBuf> {
    let folder = scratch.join("contract");
    lay(CONTRACT, &folder)?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(files: &[(&'static str, &[u8])]) -> Vec<&'static str> {
        files.iter().map(|(name, _)| *name).collect()
    }

    #[test]
    fn carries_templates_without_what_their_tools_left() {
        let template = names(RUST_TEMPLATE);
        for needed in [
            ".cargo/config.toml",
            ".gitignore",
            "Cargo.toml",
            "src/lib.rs",
        ] {
            assert!(template.contains(&needed), "{needed}");
        }
        for files in [RUST_TEMPLATE, GO_TEMPLATE, PYTHON_TEMPLATE, JS_TEMPLATE] {
            assert!(
                names(files)
                    .iter()
                    .all(|name| { !name.contains("node_modules/") && !name.contains("target/") })
            );
        }
    }

    #[test]
    fn carries_the_go_sdk_with_its_exports_and_the_runtime_with_its_license() {
        let sdk = names(GO_SDK);
        assert!(sdk.contains(&"go.mod") && sdk.contains(&"_component/all/glue/glue.go"));
        assert!(sdk.iter().all(|name| !name.starts_with("template/")));
        let runtime = names(GO_RUNTIME);
        assert!(runtime.contains(&"LICENSE") && runtime.contains(&"wit/runtime/runtime.go"));
    }
}
