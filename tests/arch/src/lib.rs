//! Generated files, and the tree as the tests of its rules see it. No rule stands here; they are in `tests/`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use postern_core::failure::Code;
use postern_core::help;

/// A file that is generated, relative to the root.
pub struct Generated {
    /// Where it lies.
    pub path: String,
    /// What it holds.
    pub content: String,
}

/// The root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All generated files.
pub fn generated() -> anyhow::Result<Vec<Generated>> {
    let mut files = Vec::new();
    for crd in postern_api::crds() {
        let name = crd.pointer("/spec/names/plural").and_then(|n| n.as_str()).context("a CRD without a plural name")?;
        files.push(Generated { path: format!("deploy/crds/{name}.json"), content: format!("{crd:#}\n") });
    }
    for code in Code::ALL {
        files.push(Generated { path: format!("docs/errors/{code}.md"), content: help::page(*code) });
    }
    Ok(files)
}

/// Files of the repository with this ending, below a folder; build output is passed over.
pub fn files(below: &Path, ending: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![below.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
            if path.is_dir() {
                if !matches!(name.as_str(), "target" | ".git" | "out") {
                    folders.push(path);
                }
            } else if name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
