//! Builds a guest from a Python project.

use std::path::Path;

use anyhow::{Result, bail};

use crate::project::Project;

/// Builds a project's component.
///
/// # Errors
/// Always, in this version.
pub fn build_project(project: &Project, _wit: &Path, _out: &Path, _scratch: &Path) -> Result<()> {
    bail!(
        "{} is written in Python, which this version does not build",
        project.folder.display()
    )
}
