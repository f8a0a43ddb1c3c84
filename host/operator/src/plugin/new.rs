//! `postern plugin new`: the folder that a plugin project begins with.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use postern_guest_tools::scaffold::{self, Name};

use crate::args::New;
use crate::{print, say};

/// Runs the command.
pub fn run(new: &New) -> anyhow::Result<ExitCode> {
    let name = Name::parse(&new.name)?;
    let folder = new
        .dir
        .clone()
        .unwrap_or_else(|| PathBuf::from(name.as_str()));
    scaffold::new(new.lang.into(), &name, &folder)?;
    say(&format!(
        "a provider for spec.provider.{}; next: cd {} && postern plugin build",
        name.key(),
        quoted(&folder)
    ));
    print(&format!("{}\n", folder.display()))
}

/// For a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    if text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
    {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}
