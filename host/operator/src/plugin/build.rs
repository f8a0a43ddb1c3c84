//! `postern plugin build`: the component of a project, by the tools of its language.

use std::path::PathBuf;
use std::process::ExitCode;

use postern_guest_tools::{carried, project};

use crate::args::Build;
use crate::print;

/// Where generated files go, in the project's folder: the tools of no language look into it.
const SCRATCH: &str = ".postern/build";

/// Runs the command.
pub fn run(build: &Build) -> anyhow::Result<ExitCode> {
    let project = project::open(&build.dir)?;
    let out = build
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{}.wasm", project.name)));
    let scratch = project.folder.join(SCRATCH);
    let contract = carried::lay_contract(&scratch)?;
    project::build(&project, &contract, &out, &scratch)?;
    print(&format!("{}\n", out.display()))
}
