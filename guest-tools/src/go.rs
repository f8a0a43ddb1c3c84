//! Builds a guest from a Go module.
//!
//! The guest's folder is a Go module; its folder `_component`, which the go command ignores, is copied beside the
//! generated bindings and becomes the main module there. All that is generated lies in a folder of its own: a Go
//! workspace of bindings, their runtime and the guest.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::project::Project;
use crate::stamp::Inputs;
use crate::{bind, command, component, segments, wizer};

/// What is built, and where from.
pub struct Guest<'a> {
    /// The Go module.
    pub source: &'a Path,
    /// The folder of the contract.
    pub wit: &'a Path,
    /// A world of it.
    pub world: &'a str,
    /// Where the component goes.
    pub out: &'a Path,
    /// Where generated files go.
    pub scratch: &'a Path,
}

/// Builds a component, unless it is there and its inputs have not changed.
pub fn build(guest: &Guest<'_>) -> Result<()> {
    let began = Instant::now();
    let runtime = bind::go_runtime()?;
    let stamp = {
        let mut inputs = Inputs::default();
        inputs.word(include_str!("go.rs"));
        inputs.word(guest.world);
        inputs.word(&command::text(go().arg("version"))?);
        for path in [guest.source, guest.wit, &runtime] {
            inputs.path(path)?;
        }
        inputs.finish()
    };
    if stamp.matches(guest.out) {
        println!("{}: unchanged", guest.out.display());
        return Ok(());
    }

    println!(
        "{}: building {}",
        guest.out.display(),
        guest.source.display()
    );
    let main = prepare(guest, &runtime)?;
    report(began, "bindings");
    let module = compile(guest, &main)?;
    report(began, &format!("go build, {} bytes", module.len()));
    let (module, before, after) = segments::merge(&module)?;
    report(began, &format!("data segments, {before} to {after}"));
    let module = wizer::initialised(&module).context("could not pre-initialise the module")?;
    report(began, &format!("pre-initialised, {} bytes", module.len()));
    let component = component::encode_go(&module, guest.wit, guest.world)?;
    stamp.write(guest.out, &component)?;
    report(began, &format!("component, {} bytes", component.len()));
    Ok(())
}

/// Builds a project's component.
///
/// # Errors
/// Always, in this version.
pub fn build_project(project: &Project, _wit: &Path, _out: &Path, _scratch: &Path) -> Result<()> {
    bail!(
        "{} is written in Go, which this version does not build as a project",
        project.folder.display()
    )
}

fn report(began: Instant, what: &str) {
    println!("  {:5.1} s  {what}", began.elapsed().as_secs_f64());
}

/// Lays out the Go workspace, and answers the folder of its main module.
fn prepare(guest: &Guest<'_>, runtime: &Path) -> Result<PathBuf> {
    // Files of another time would be compiled in.
    if guest.scratch.exists() {
        fs::remove_dir_all(guest.scratch)
            .with_context(|| format!("could not clear {}", guest.scratch.display()))?;
    }
    let main = guest.scratch.join("wit_component");
    fs::create_dir_all(&main)?;
    bind::go_bindings(guest.wit, guest.world, &main)?;
    copy(&guest.source.join("_component"), &main)
        .context("a Go guest has its exports in the folder `_component`")?;

    let version = go_version(guest.source)?;
    let package = guest.scratch.join("runtime");
    copy(&runtime.join("wit"), &package.join("wit"))?;
    fs::copy(runtime.join("LICENSE"), package.join("LICENSE"))?;
    // The runtime's own go.mod asks for a newer Go than it needs, and that of the bindings for a runtime from the
    // network; in a workspace the modules find each other.
    for (folder, module) in [
        (&package, "go.bytecodealliance.org/pkg"),
        (&main, "wit_component"),
    ] {
        fs::write(
            folder.join("go.mod"),
            format!("module {module}\n\ngo {version}\n"),
        )?;
    }
    let source = fs::canonicalize(guest.source)?;
    fs::write(
        guest.scratch.join("go.work"),
        format!(
            "go {version}\n\nuse (\n\t./wit_component\n\t./runtime\n\t{:?}\n)\n",
            source.display().to_string()
        ),
    )?;
    Ok(main)
}

/// The Go version that a module asks for.
fn go_version(source: &Path) -> Result<String> {
    let path = source.join("go.mod");
    let text =
        fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
    text.lines()
        .find_map(|line| line.strip_prefix("go "))
        .map(|version| version.trim().to_owned())
        .with_context(|| format!("{} names no Go version", path.display()))
}

fn compile(guest: &Guest<'_>, main: &Path) -> Result<Vec<u8>> {
    let scratch = fs::canonicalize(guest.scratch)?;
    let module = scratch.join("module.wasm");
    let mut build = go();
    build
        .current_dir(main)
        .env("GOOS", "wasip1")
        .env("GOARCH", "wasm")
        .env("GOWORK", scratch.join("go.work"))
        // Flags of the user's environment, such as -mod=mod, contradict a workspace.
        .env("GOFLAGS", "")
        .args([
            "build",
            "-trimpath",
            "-buildvcs=false",
            "-buildmode=c-shared",
        ])
        // The runtime of the bindings reaches into Go's own by linkname.
        .args(["-ldflags", "-checklinkname=0 -s -w", "-o"])
        .arg(&module)
        .arg(".");
    command::run(&mut build)?;
    fs::read(&module).with_context(|| format!("could not read {}", module.display()))
}

fn go() -> Command {
    Command::new("go")
}

/// Copies a folder with all that is in it.
pub(crate) fn copy(from: &Path, into: &Path) -> Result<()> {
    fs::create_dir_all(into)?;
    for entry in fs::read_dir(from).with_context(|| format!("could not list {}", from.display()))? {
        let entry = entry?;
        let target = into.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)
                .with_context(|| format!("could not copy {}", entry.path().display()))?;
        }
    }
    Ok(())
}
