//! `guest-tools`: builds guests. See the library for how.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use postern_guest_tools::{go, project, rust};

/// Build guests: components from Rust workspaces and from projects in Rust, Go, Python and JavaScript.
#[derive(Parser)]
#[command(name = "guest-tools", version)]
struct Arguments {
    /// Folder of the plugin contract.
    #[arg(long, global = true, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../wit"))]
    wit: PathBuf,
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build all members of a Rust workspace that are a cdylib; each component is named after its library.
    RustWorkspace {
        /// Folder of the workspace's manifest.
        source: PathBuf,
        /// Folder for the components.
        #[arg(long)]
        out_dir: PathBuf,
    },
    /// Build the plugin project in a folder, whatever its language.
    Project {
        /// The folder.
        folder: PathBuf,
        /// The component.
        #[arg(long)]
        out: PathBuf,
    },
    /// Build a guest from a Go module whose exports lie in its folder `_component`.
    Go {
        /// Folder of the Go module.
        source: PathBuf,
        /// World of the contract that the guest implements.
        #[arg(long)]
        world: String,
        /// The component.
        #[arg(long)]
        out: PathBuf,
    },
}

fn main() -> Result<()> {
    let Arguments { wit, task } = Arguments::parse();
    match task {
        Task::RustWorkspace { source, out_dir } => rust::build(&rust::Workspace {
            source: &source,
            wit: &wit,
            out_dir: &out_dir,
            scratch: &out_dir.join("build").join("rust"),
        }),
        Task::Project { folder, out } => {
            let scratch = scratch(&out)?;
            project::build(&project::open(&folder)?, &wit, &out, &scratch)
        }
        Task::Go { source, world, out } => go::build(&go::Guest {
            source: &source,
            wit: &wit,
            world: &world,
            out: &out,
            scratch: &scratch(&out)?,
        }),
    }
}

/// A folder beside the component, of its own.
fn scratch(out: &Path) -> Result<PathBuf> {
    let name = out.file_stem().context("--out names no file")?;
    let folder = out.parent().unwrap_or(Path::new(""));
    Ok(folder.join("build").join(name))
}
