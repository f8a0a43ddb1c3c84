//! Builds the guests of a Rust workspace: every member that is a `cdylib` becomes a component, named like the library
//! without `postern_plugin_`: `vault.wasm`, `guest_minimal.wasm`.
//!
//! Two ways lead to a module. Where rustup has the target, it is an ordinary build. Where it has not and cannot get it,
//! Debian's `rustc-web` builds the standard library too, from `rust-web-src`. The step from module to component is the
//! same.

pub mod sdk;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::project::Project;
use crate::stamp::Inputs;
use crate::{command, component};

/// What first-party plugins share in their names.
const PREFIX: &str = "postern_plugin_";

const TARGET: &str = "wasm32-unknown-unknown";
const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "rust-web-src", "cargo-web", "lld-19"];
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_LINKER: &str = "/usr/bin/wasm-ld-19";

/// The oldest compiler that guests are built with, as in their manifests.
const OLDEST: (u32, u32) = (1, 95);

/// What is built, and where from.
pub struct Workspace<'a> {
    /// The folder of the workspace's manifest.
    pub source: &'a Path,
    /// The folder of the contract, from which guests generate their bindings.
    pub wit: &'a Path,
    /// Where the components go.
    pub out_dir: &'a Path,
    /// Cargo's target folder.
    pub scratch: &'a Path,
}

/// A member of the workspace.
struct Guest {
    /// Of the component.
    name: String,
    package: String,
    /// The file that cargo writes.
    module: String,
}

/// A way to a module.
enum Way {
    Rustup,
    Debian,
}

/// Builds the components, unless all are there and their inputs have not changed.
pub fn build(workspace: &Workspace<'_>) -> Result<()> {
    let members = members(packages(workspace.source)?)?;
    if members.guests.is_empty() {
        bail!(
            "{} has no member that is a cdylib",
            workspace.source.display()
        );
    }
    build_members(workspace, &members)
}

fn build_members(workspace: &Workspace<'_>, members: &Members) -> Result<()> {
    let began = Instant::now();
    let way = choose(workspace.source)?;
    let stamp = {
        let mut inputs = Inputs::default();
        inputs.word(&way.version()?);
        let root = root(workspace.source)?;
        for file in ["Cargo.toml", "Cargo.lock", ".cargo"] {
            inputs.path(&root.join(file))?;
        }
        inputs.path(workspace.wit)?;
        for folder in &members.folders {
            inputs.path(folder)?;
        }
        inputs.finish()
    };
    let output = |guest: &Guest| workspace.out_dir.join(format!("{}.wasm", guest.name));
    if members
        .guests
        .iter()
        .all(|guest| stamp.matches(&output(guest)))
    {
        eprintln!("{}: guests unchanged", workspace.source.display());
        return Ok(());
    }

    eprintln!(
        "{}: building by way of {}",
        workspace.source.display(),
        way.describe()
    );
    fs::create_dir_all(workspace.scratch)?;
    let mut cargo = way.cargo(workspace)?;
    for guest in &members.guests {
        cargo.args(["--package", &guest.package]);
    }
    command::run(&mut cargo)?;
    for guest in &members.guests {
        let path = workspace
            .scratch
            .join(TARGET)
            .join("release")
            .join(&guest.module);
        let module =
            fs::read(&path).with_context(|| format!("could not read {}", path.display()))?;
        let component = component::encode(&module)
            .with_context(|| format!("could not make a component of {}", guest.name))?;
        stamp.write(&output(guest), &component)?;
        eprintln!("  {}: {} bytes", output(guest).display(), component.len());
    }
    eprintln!("  {:.1} s", began.elapsed().as_secs_f64());
    Ok(())
}

/// Builds the one component of a crate, which may be a member of a workspace, or of a workspace with one member that is a
/// `cdylib`.
pub fn build_project(project: &Project, wit: &Path, out: &Path, scratch: &Path) -> Result<()> {
    let workspace = Workspace {
        source: &project.folder,
        wit,
        out_dir: &scratch.join("components"),
        scratch: &scratch.join("cargo"),
    };
    // A project that another machine made has the SDK's place in its config, but perhaps not the SDK.
    if sdk::is_laid(workspace.source) {
        sdk::lay(workspace.source)?;
    }
    let mut packages = packages(workspace.source)?;
    if packages.iter().any(|p| lies_in(p, workspace.source)) {
        packages.retain(|p| lies_in(p, workspace.source));
    }
    let members = members(packages)?;
    let [guest] = members.guests.as_slice() else {
        bail!(
            "{} has {} libraries of crate-type cdylib; a project is one plugin, so `[lib] crate-type = [\"cdylib\", \"rlib\"]` stands in one Cargo.toml",
            workspace.source.display(),
            members.guests.len()
        );
    };
    build_members(&workspace, &members)?;
    let built = workspace.out_dir.join(format!("{}.wasm", guest.name));
    if let Some(folder) = out.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(&built, out)
        .map(drop)
        .with_context(|| format!("could not write {}", out.display()))
}

struct Members {
    guests: Vec<Guest>,
    /// Of all members, and of what they depend on by path.
    folders: BTreeSet<PathBuf>,
}

fn members(packages: Vec<Value>) -> Result<Members> {
    let mut members = Members {
        guests: packages.iter().filter_map(guest).collect(),
        folders: BTreeSet::new(),
    };
    let mut open: Vec<Value> = packages;
    while let Some(package) = open.pop() {
        let Some(folder) = folder(&package) else {
            continue;
        };
        if !members.folders.insert(folder) {
            continue;
        }
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            if let Some(path) = dependency["path"].as_str().map(Path::new)
                && !members.folders.contains(path)
            {
                open.extend(packages_in(path)?);
            }
        }
    }
    Ok(members)
}

fn packages_in(folder: &Path) -> Result<Vec<Value>> {
    let mut all = packages(folder)?;
    all.retain(|package| lies_in(package, folder));
    Ok(all)
}

fn lies_in(package: &Value, folder: &Path) -> bool {
    self::folder(package).as_deref() == Some(folder)
}

/// The folder with the workspace's manifest and lock.
fn root(folder: &Path) -> Result<PathBuf> {
    Ok(metadata(folder)?["workspace_root"]
        .as_str()
        .map_or_else(|| folder.to_owned(), PathBuf::from))
}

fn packages(folder: &Path) -> Result<Vec<Value>> {
    let packages = metadata(folder)?["packages"].take();
    Ok(packages.as_array().cloned().unwrap_or_default())
}

fn metadata(folder: &Path) -> Result<Value> {
    // Reading manifests needs no particular toolchain; the one that runs us is at hand.
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--manifest-path",
        ])
        .arg(folder.join("Cargo.toml"));
    Ok(serde_json::from_slice(&command::output(&mut cargo)?)?)
}

fn folder(package: &Value) -> Option<PathBuf> {
    let manifest = Path::new(package["manifest_path"].as_str()?);
    manifest.parent().map(Path::to_owned)
}

fn guest(package: &Value) -> Option<Guest> {
    let target = package["targets"].as_array()?.iter().find(|target| {
        target["crate_types"]
            .as_array()
            .is_some_and(|types| types.iter().any(|t| t == "cdylib"))
    })?;
    let library = target["name"].as_str()?.replace('-', "_");
    Some(Guest {
        name: library.trim_start_matches(PREFIX).to_owned(),
        package: package["name"].as_str()?.to_owned(),
        module: format!("{library}.wasm"),
    })
}

/// Prefers rustup; gets what Debian has where it may.
fn choose(source: &Path) -> Result<Way> {
    if rustup_has_target(source) {
        return Ok(Way::Rustup);
    }
    let missing = debian_missing();
    if missing.is_empty() {
        return Ok(Way::Debian);
    }
    let install = format!(
        "apt-get install -y --no-install-recommends {}",
        DEBIAN_PACKAGES.join(" ")
    );
    if !may_install() {
        bail!(
            "guests need `rustup target add {TARGET}`, or on Debian `{install}` (missing: {})",
            missing.join(", ")
        );
    }
    eprintln!("missing {}: running {install}", missing.join(", "));
    command::run(Command::new("apt-get").arg("update"))?;
    command::run(
        Command::new("apt-get")
            .args(["install", "-y", "--no-install-recommends"])
            .args(DEBIAN_PACKAGES),
    )?;
    let missing = debian_missing();
    if !missing.is_empty() {
        bail!(
            "after `{install}` these are still missing: {}",
            missing.join(", ")
        );
    }
    Ok(Way::Debian)
}

/// Asks in the folder of the guests, whose toolchain file may name another compiler.
fn rustup_has_target(source: &Path) -> bool {
    command::text(Command::new("rustc").current_dir(source).args([
        "--print",
        "target-libdir",
        "--target",
        TARGET,
    ]))
    .is_ok_and(|folder| {
        fs::read_dir(folder).is_ok_and(|files| {
            files
                .flatten()
                .any(|file| file.file_name().to_string_lossy().starts_with("libstd-"))
        })
    })
}

fn debian_missing() -> Vec<&'static str> {
    let mut missing = Vec::new();
    let version = fs::exists(DEBIAN_RUSTC)
        .is_ok_and(|exists| exists)
        .then(|| command::text(Command::new(DEBIAN_RUSTC).arg("--version")).ok())
        .flatten();
    if version.as_deref().and_then(parse_version) < Some(OLDEST) {
        missing.push("rustc-web");
    }
    for (file, package) in [
        (
            "/usr/lib/rustlib/src/rust/library/Cargo.lock",
            "rust-web-src",
        ),
        (DEBIAN_CARGO, "cargo-web"),
        (DEBIAN_LINKER, "lld-19"),
    ] {
        if !Path::new(file).exists() {
            missing.push(package);
        }
    }
    missing
}

/// `rustc 1.96.0 (…)` is 1.96.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split_whitespace().nth(1)?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn may_install() -> bool {
    let root = command::text(Command::new("id").arg("-u")).is_ok_and(|id| id == "0");
    root && Path::new("/usr/bin/apt-get").exists()
}

impl Way {
    fn describe(&self) -> &'static str {
        match self {
            Self::Rustup => "rustup's target",
            Self::Debian => "Debian's rustc-web, with its standard library built from source",
        }
    }

    fn version(&self) -> Result<String> {
        let rustc = match self {
            Self::Rustup => "rustc",
            Self::Debian => DEBIAN_RUSTC,
        };
        command::text(Command::new(rustc).arg("--version"))
    }

    fn cargo(&self, workspace: &Workspace<'_>) -> Result<Command> {
        let target_dir = fs::canonicalize(workspace.scratch)?;
        let mut cargo = match self {
            Self::Rustup => {
                let mut cargo = Command::new("cargo");
                cargo.arg("build");
                cargo
            }
            Self::Debian => debian_cargo(),
        };
        cargo
            .current_dir(workspace.source)
            .env("CARGO_TARGET_DIR", target_dir)
            .args(["--release", "--target", TARGET]);
        // What the build of this very tool was told is not meant for guests.
        for name in [
            "RUSTFLAGS",
            "CARGO",
            "CARGO_BUILD_TARGET",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
        ] {
            cargo.env_remove(name);
        }
        Ok(cargo)
    }
}

fn debian_cargo() -> Command {
    let mut cargo = Command::new(DEBIAN_CARGO);
    cargo
        .args([
            "build",
            "-Zbuild-std=std,panic_abort",
            "-Zbuild-std-features=",
        ])
        .env("RUSTC", DEBIAN_RUSTC)
        // Building the standard library is unstable; the compiler is pinned by what Debian has.
        .env("RUSTC_BOOTSTRAP", "1")
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            format!("-Clinker={DEBIAN_LINKER}\u{1f}-Clinker-flavor=wasm-ld"),
        )
        // Debian's cargo knows no toolchain file, but a rustup that a build script meets does.
        .env_remove("RUSTUP_TOOLCHAIN");
    cargo
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_version_of_a_compiler() {
        assert_eq!(
            parse_version("rustc 1.96.0 (ac68 2026-05-25)"),
            Some((1, 96))
        );
        assert_eq!(parse_version("rustc 1.63.0"), Some((1, 63)));
        assert_eq!(parse_version(""), None);
    }

    #[test]
    fn takes_cdylibs_only_and_names_them_after_their_library() {
        let package = serde_json::json!({
            "name": "postern-plugin-vault", "manifest_path": "/x/plugins/vault/Cargo.toml",
            "targets": [{"name": "postern-plugin-vault", "crate_types": ["cdylib", "rlib"]}],
        });
        let found = guest(&package).expect("should be a guest");
        assert_eq!(found.name, "vault");
        assert_eq!(found.package, "postern-plugin-vault");
        assert_eq!(found.module, "postern_plugin_vault.wasm");
        let library = serde_json::json!({
            "name": "lib", "manifest_path": "/x/lib/Cargo.toml",
            "targets": [{"name": "lib", "crate_types": ["lib"]}],
        });
        assert!(guest(&library).is_none());
    }
}
