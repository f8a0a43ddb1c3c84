//! Tells whether an output is newer than everything that it was made from, by content and not by time.
//!
//! The stamp lies beside the output and holds a hash of the inputs, of this tool's own recipe and of the compiler's
//! version. It does not notice that somebody has changed the output itself.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

/// The recipe is the source of this tool: a change of it makes every output stale. A language's own module adds itself,
/// so that a change there makes only the outputs of that language stale.
const RECIPE: &[&str] = &[
    include_str!("adapter.rs"),
    include_str!("adapter.wat"),
    include_str!("bind.rs"),
    include_str!("component.rs"),
    include_str!("segments.rs"),
    include_str!("wizer.rs"),
];

/// A hash under construction.
pub struct Inputs(Sha256);

impl Default for Inputs {
    fn default() -> Self {
        let mut inputs = Self(Sha256::new());
        for text in RECIPE {
            inputs.word(text);
        }
        inputs
    }
}

impl Inputs {
    /// Adds a word, such as a version.
    pub fn word(&mut self, word: &str) {
        self.bytes(word.as_bytes());
    }

    /// Adds a file, or a folder with everything in it but `target`, components, and what starts with a dot. A path that does not
    /// exist counts as such.
    pub fn path(&mut self, path: &Path) -> Result<()> {
        let mut files = Vec::new();
        collect(path, &mut files).with_context(|| format!("could not list {}", path.display()))?;
        files.sort();
        for file in files {
            self.word(&file.strip_prefix(path).unwrap_or(&file).to_string_lossy());
            let content =
                fs::read(&file).with_context(|| format!("could not read {}", file.display()))?;
            self.bytes(&content);
        }
        Ok(())
    }

    /// The hash.
    pub fn finish(self) -> Stamp {
        Stamp(hex::encode(self.0.finalize()))
    }

    /// Adds bytes, such as a file that is carried along.
    pub fn bytes(&mut self, bytes: &[u8]) {
        // The length first, or `ab`, `c` and `a`, `bc` would be the same.
        self.0.update(bytes.len().to_le_bytes());
        self.0.update(bytes);
    }
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if path.is_file() {
        files.push(path.to_owned());
    } else if path.is_dir() {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let name = entry.file_name();
            let text = name.to_string_lossy();
            // A component in its own project's folder is no input of it.
            if name != "target" && !text.starts_with('.') && !text.ends_with(".wasm") {
                collect(&entry.path(), files)?;
            }
        }
    }
    Ok(())
}

/// What an output was made from.
pub struct Stamp(String);

impl Stamp {
    /// Whether the output is there and was made from just this.
    pub fn matches(&self, output: &Path) -> bool {
        output.is_file() && fs::read_to_string(beside(output)).is_ok_and(|old| old == self.0)
    }

    /// Writes an output, then its stamp: a build that breaks off leaves a stale one.
    pub fn write(&self, output: &Path, content: &[u8]) -> Result<()> {
        if let Some(folder) = output.parent() {
            fs::create_dir_all(folder)?;
        }
        // Another process may be reading the old one: it is replaced, not overwritten.
        let part = output.with_extension("part");
        fs::write(&part, content).with_context(|| format!("could not write {}", part.display()))?;
        fs::rename(&part, output)
            .with_context(|| format!("could not write {}", output.display()))?;
        fs::write(beside(output), &self.0).context("could not write the stamp")
    }
}

fn beside(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".stamp");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(folder: &Path) -> Stamp {
        let mut inputs = Inputs::default();
        inputs.path(folder).expect("should read");
        inputs.finish()
    }

    #[test]
    fn is_stale_when_an_input_changes_appears_or_moves() {
        let folder = tempfile::tempdir().expect("should make a folder");
        let input = folder.path().join("in");
        fs::create_dir_all(input.join("target")).expect("should make a folder");
        fs::write(input.join("a"), "1").expect("should write");
        let output = folder.path().join("out.wasm");

        assert!(!stamp(&input).matches(&output));
        stamp(&input).write(&output, b"x").expect("should write");
        assert!(stamp(&input).matches(&output));

        fs::write(input.join("target/ignored"), "1").expect("should write");
        assert!(stamp(&input).matches(&output));

        fs::write(input.join("a"), "2").expect("should write");
        assert!(!stamp(&input).matches(&output));
        fs::write(input.join("a"), "1").expect("should write");
        fs::write(input.join("b"), "").expect("should write");
        assert!(!stamp(&input).matches(&output));
        fs::remove_file(input.join("b")).expect("should remove");
        fs::rename(input.join("a"), input.join("c")).expect("should rename");
        assert!(!stamp(&input).matches(&output));
    }

    #[test]
    fn is_stale_when_the_output_is_gone() {
        let folder = tempfile::tempdir().expect("should make a folder");
        let output = folder.path().join("out.wasm");
        stamp(folder.path())
            .write(&output, b"x")
            .expect("should write");
        let kept = fs::read_to_string(beside(&output)).expect("should read");
        fs::remove_file(&output).expect("should remove");
        assert!(!Stamp(kept).matches(&output));
    }
}
