//! Runs the pages of `docs/write-a-plugin` as they are written: every block of `sh`, from top to bottom, in one shell, in an
//! empty folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::steps::Steps;

/// The pages, sorted.
pub fn all(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let folder = root.join("docs/write-a-plugin");
    let mut pages = fs::read_dir(&folder)
        .with_context(|| format!("listing {}", folder.display()))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    pages.retain(|page| page.extension().is_some_and(|e| e == "md"));
    pages.sort();
    Ok(pages)
}

/// Runs one page; an error names it. The binary postern and the plugins beside it have been built.
pub fn run(steps: &mut Steps, page: &Path) -> anyhow::Result<()> {
    let name = page.file_stem().unwrap_or_default().to_string_lossy();
    let text = fs::read_to_string(page).with_context(|| format!("reading {}", page.display()))?;
    let folder = steps.target().join("pages").join(&*name);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("clearing {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    // What runs in the background ends with the shell, also where a command fails; -x shows how far it got.
    let script = format!(
        "trap 'kill $(jobs -p) 2>/dev/null || :' EXIT\nset -eux\n{}",
        blocks(&text)
    );
    let path = std::env::join_paths(
        std::iter::once(steps.bin_dir()).chain(std::env::split_paths(
            &std::env::var_os("PATH").unwrap_or_default(),
        )),
    )
    .context("making a PATH")?;
    let mut shell = Command::new("bash");
    shell
        .arg("-c")
        .arg(script)
        .current_dir(&folder)
        .env("PATH", path);
    // A project of its own builds into a folder of its own.
    for name in ["CARGO_TARGET_DIR", "CARGO", "CARGO_MANIFEST_DIR"] {
        shell.env_remove(name);
    }
    steps.run(&format!("run docs/write-a-plugin/{name}.md"), shell)
}

/// The blocks of `sh`, one after another.
fn blocks(page: &str) -> String {
    let mut script = String::new();
    let mut inside = false;
    for line in page.lines() {
        match line.trim_end() {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside => {
                script.push_str(line);
                script.push('\n');
            }
            _ => {}
        }
    }
    script
}

#[cfg(test)]
mod cases {
    use super::blocks;

    #[test]
    fn takes_blocks_of_sh_and_nothing_else() {
        let page =
            "a\n```sh\none\n\ntwo <<EOF\n```\ntext\n```yaml\nno: 1\n```\n```sh\nthree\n```\n";
        assert_eq!(blocks(page), "one\n\ntwo <<EOF\nthree\n");
    }
}
