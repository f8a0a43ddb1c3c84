//! Builds a guest from a Go module.
//!
//! The generated bindings need exports beside them, which become one main module: a plugin project takes them from the
//! SDK, an older guest from its own folder `_component`, which the go command ignores. All that is generated lies in a
//! folder of its own: a Go workspace of bindings, their runtime and the guest.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::project::{self, Interface, Project, World};
use crate::stamp::Inputs;
use crate::{bind, carried, command, component, segments, wizer};

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

/// What is laid beside the bindings.
struct Exports {
    /// Folders whose content is copied there.
    folders: Vec<PathBuf>,
    /// The text of the package `guest`, where the exports want one.
    guest: Option<String>,
}

/// Builds a component from a module with a folder `_component`, unless it is there and its inputs have not changed.
pub fn build(guest: &Guest<'_>) -> Result<()> {
    let exports = Exports {
        folders: vec![guest.source.join("_component")],
        guest: None,
    };
    make(guest, &exports, &[])
}

/// The module path of the SDK.
const SDK: &str = "postern.dev/sdk/go";

/// Builds a plugin project: a module whose root package has a function `New`, and which requires the SDK.
///
/// # Errors
/// Where the module does not require the SDK, or does not build; the go command says more on stderr.
pub fn build_project(project: &Project, wit: &Path, out: &Path, scratch: &Path) -> Result<()> {
    let (wit, world) = project::world_for(project, wit, scratch)?;
    // A project that another machine made says where the SDK lies, but perhaps does not have it.
    let module = fs::read_to_string(project.folder.join("go.mod")).unwrap_or_default();
    if module.contains(SDK_COPY) {
        lay_sdk(&project.folder)?;
    }
    let sdk = sdk_folder(&project.folder)?;
    let exports = Exports {
        folders: export_folders(project)
            .into_iter()
            .map(|name| sdk.join("_component").join(name))
            .collect(),
        guest: Some(guest_package(project, &module_path(&project.folder)?)),
    };
    let guest = Guest {
        source: &project.folder,
        wit: &wit,
        world: &world,
        out,
        scratch: &scratch.join("go"),
    };
    make(&guest, &exports, &[&sdk])
}

fn export_folders(project: &Project) -> Vec<&'static str> {
    let mut names = vec!["all"];
    names.push(match project.world {
        World::Provider => "provider",
        World::TemplateEngine => "engine",
    });
    names.extend(project.interfaces.iter().map(|interface| interface.name()));
    names
}

/// The one package that knows the plugin's module.
fn guest_package(project: &Project, module: &str) -> String {
    let kind = match project.world {
        World::Provider => "Provider",
        World::TemplateEngine => "Engine",
    };
    format!(
        "// Package guest is the plugin, and what its postern.toml says.\npackage guest\n\n\
         import (\n\tplugin {module:?}\n\t\"{SDK}\"\n)\n\n\
         // Plugin is what New answered.\nvar Plugin postern.{kind} = plugin.New()\n\n\
         // The optional interfaces that are exported.\nconst (\n\tLogin = {}\n\tFind  = {}\n)\n",
        project.interfaces.contains(&Interface::Login),
        project.interfaces.contains(&Interface::Find),
    )
}

/// Where a project outside this repository keeps the SDK: its `go.mod` replaces the SDK's module by this folder.
const SDK_COPY: &str = "./.postern/sdk";

/// How the template finds the SDK, as long as it lies beside it.
const BESIDE: &str = "replace postern.dev/sdk/go => ../\n";

/// Puts the SDK into a project outside this repository, and tells its module where it lies.
///
/// # Errors
/// Where it cannot be written, or the module neither has the template's line nor ours.
pub fn lay_sdk(folder: &Path) -> Result<()> {
    carried::lay(carried::GO_SDK, &folder.join(SDK_COPY))?;
    let path = folder.join("go.mod");
    let text =
        fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
    let ours = format!("replace {SDK} => {SDK_COPY}\n");
    if !text.contains(&ours) && !text.contains(BESIDE) {
        bail!(
            "{} does not say where the SDK lies: add `{}`",
            path.display(),
            ours.trim_end()
        );
    }
    carried::write(&path, text.replace(BESIDE, &ours).as_bytes())
}

/// Where the go command has the SDK that a module requires.
fn sdk_folder(source: &Path) -> Result<PathBuf> {
    let mut list = go();
    list.current_dir(source)
        .args(["list", "-m", "-f", "{{.Dir}}", SDK]);
    let folder = command::text(&mut list).with_context(|| {
        format!(
            "{} does not require the SDK: `go get {SDK}` adds it",
            source.join("go.mod").display()
        )
    })?;
    if folder.is_empty() {
        bail!(
            "the SDK is not downloaded: run `go mod download` in {}",
            source.display()
        );
    }
    Ok(PathBuf::from(folder))
}

/// The path of a module.
fn module_path(source: &Path) -> Result<String> {
    command::text(
        go().current_dir(source)
            .args(["list", "-m"])
            .env("GOWORK", "off"),
    )
}

fn make(guest: &Guest<'_>, exports: &Exports, more: &[&Path]) -> Result<()> {
    let began = Instant::now();
    let stamp = {
        let mut inputs = Inputs::default();
        inputs.word(include_str!("go.rs"));
        inputs.word(guest.world);
        inputs.word(&command::text(go().arg("version"))?);
        inputs.word(exports.guest.as_deref().unwrap_or_default());
        for (name, content) in carried::GO_RUNTIME {
            inputs.word(name);
            inputs.bytes(content);
        }
        for path in [guest.source, guest.wit]
            .into_iter()
            .chain(more.iter().copied())
        {
            inputs.path(path)?;
        }
        inputs.finish()
    };
    if stamp.matches(guest.out) {
        eprintln!("{}: unchanged", guest.out.display());
        return Ok(());
    }

    eprintln!(
        "{}: building {}",
        guest.out.display(),
        guest.source.display()
    );
    let main = prepare(guest, exports)?;
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

fn report(began: Instant, what: &str) {
    eprintln!("  {:5.1} s  {what}", began.elapsed().as_secs_f64());
}

/// Lays out the Go workspace, and answers the folder of its main module.
fn prepare(guest: &Guest<'_>, exports: &Exports) -> Result<PathBuf> {
    // Files of another time would be compiled in.
    if guest.scratch.exists() {
        fs::remove_dir_all(guest.scratch)
            .with_context(|| format!("could not clear {}", guest.scratch.display()))?;
    }
    let main = guest.scratch.join("wit_component");
    fs::create_dir_all(&main)?;
    bind::go_bindings(guest.wit, guest.world, &main)?;
    for folder in &exports.folders {
        copy(folder, &main).context("could not lay the exports beside the bindings")?;
    }
    if let Some(text) = &exports.guest {
        fs::create_dir_all(main.join("guest"))?;
        fs::write(main.join("guest").join("guest.go"), text)?;
    }

    let version = go_version(guest.source)?;
    let package = guest.scratch.join("runtime");
    carried::lay(carried::GO_RUNTIME, &package)?;
    round_up(&package.join("wit/runtime/runtime.go"))?;
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

/// The runtime refuses an area whose size is no multiple of its alignment, which the generator itself asks for where a
/// result of 8-byte alignment has an odd number of pointers, as that of `login` and of `check` have together. A larger
/// area does no harm.
fn round_up(file: &Path) -> Result<()> {
    const REFUSES: &str = "\tif size%align != 0 {\n\t\tpanic(fmt.Sprintf(\"size %v is not compatible with alignment %v\", size, align))\n\t}\n";
    let text =
        fs::read_to_string(file).with_context(|| format!("could not read {}", file.display()))?;
    let mended = text.replace(REFUSES, "\tsize = (size + align - 1) / align * align\n");
    if mended == text {
        bail!(
            "{} is not the runtime that this recipe knows",
            file.display()
        );
    }
    fs::write(file, mended).with_context(|| format!("could not write {}", file.display()))
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
