//! Builds a guest from a Python project: CPython, the author's modules and the SDK, all imported when the component is made.
//!
//! Python must be there. componentize-py comes from PyPI at a pinned version, into our cache folder; the SDK comes with us,
//! because a project needs it before it is in a registry. What a component cannot import later must be imported at the top.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::project::Project;
use crate::stamp::Inputs;
use crate::{command, component};

/// What makes the component; a wheel with CPython in it, so the version is also Python's in every plugin.
const TOOL: &str = "componentize-py==0.25.1";
const OLDEST_PYTHON: (u32, u32) = (3, 10);
const INSTALL_PYTHON: &str = "install Python 3.10 or newer from https://python.org or your distribution (Debian: apt-get install python3-venv)";

/// Where a project outside this repository finds the SDK for its tests and its editor, where `pyproject.toml` names it.
const SDK_COPY: &str = ".postern/sdk";
const SDK: &str = "postern-sdk";

macro_rules! sdk {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../sdk/python/src/postern_sdk/", $name)))),*]
    };
}

/// The package, without its metadata.
const SDK_FILES: &[(&str, &str)] = sdk![
    "__init__.py",
    "_sandbox.py",
    "calls.py",
    "component.py",
    "config.py",
    "failures.py",
    "host.py",
    "http.py",
    "provider.py",
    "py.typed",
    "testing.py",
    "types.py",
    "values.py",
];

/// What we read of `pyproject.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Manifest {
    project: Metadata,
    tool: Tools,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: Option<String>,
    dependencies: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Tools {
    postern: Settings,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Settings {
    module: Option<String>,
}

/// Builds a project's component.
///
/// # Errors
/// Where Python is missing or too old, PyPI cannot give what the project needs, the modules raise when they are imported, or
/// the component would import what no host offers.
pub fn build_project(project: &Project, wit: &Path, out: &Path, scratch: &Path) -> Result<()> {
    let began = Instant::now();
    let path = project.folder.join("pyproject.toml");
    let text =
        fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
    let manifest: Manifest = toml::from_str(&text)
        .with_context(|| format!("could not understand {}", path.display()))?;
    if text.contains(SDK_COPY) {
        lay_sdk(&project.folder)?;
    }
    let (wit, world) = crate::project::world_for(project, wit, scratch)?;
    let app = scratch.join("app");
    prepare(project, &manifest, &app)?;
    let dependencies = manifest.others();
    let stamp = {
        let mut inputs = Inputs::default();
        inputs.word(include_str!("python.rs"));
        inputs.word(&world);
        inputs.word(&dependencies.join("\n"));
        inputs.path(&wit)?;
        inputs.path(&app)?;
        inputs.finish()
    };
    if stamp.matches(out) {
        eprintln!("{}: unchanged", project.name);
        return Ok(());
    }
    let tools = tools()?;
    install(&tools, &dependencies, &scratch.join("dependencies"))?;
    let component = componentize(&tools, &wit, &world, scratch)?;
    component::only_imports_the_contract(&component)?;
    stamp.write(out, &component)?;
    eprintln!(
        "{}: {} bytes, {:.1} s",
        project.name,
        component.len(),
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Puts the SDK into a project outside this repository, where its tests look for it.
///
/// # Errors
/// Where it cannot be written.
pub fn lay_sdk(folder: &Path) -> Result<()> {
    write_sdk(&folder.join(SDK_COPY))
}

fn write_sdk(folder: &Path) -> Result<()> {
    let package = folder.join("postern_sdk");
    fs::create_dir_all(&package)
        .with_context(|| format!("could not make {}", package.display()))?;
    for (name, text) in SDK_FILES {
        let path = package.join(name);
        if !fs::read_to_string(&path).is_ok_and(|old| old == *text) {
            fs::write(&path, text)
                .with_context(|| format!("could not write {}", path.display()))?;
        }
    }
    Ok(())
}

impl Manifest {
    /// The author's module that holds `provider` or `engine`.
    fn module(&self) -> Result<String> {
        let named = self.tool.postern.module.clone();
        let own = || Some(self.project.name.as_deref()?.replace('-', "_"));
        let module = named
            .or_else(own)
            .context("pyproject.toml names no module: write `module` under [tool.postern]")?;
        let plain = |part: &str| {
            part.starts_with(|c: char| c.is_alphabetic() || c == '_')
                && part.chars().all(|c| c.is_alphanumeric() || c == '_')
        };
        if !module.split('.').all(plain) {
            bail!("pyproject.toml: `{module}` is no name of a module");
        }
        Ok(module)
    }

    /// What the project depends on besides the SDK.
    fn others(&self) -> Vec<String> {
        let is_sdk = |requirement: &&String| requirement.replace('_', "-").starts_with(SDK);
        let all = self.project.dependencies.iter();
        all.filter(|requirement| !is_sdk(requirement))
            .cloned()
            .collect()
    }
}

/// Lays out what the component is made from: the modules and packages at the top of the project, the JSON beside them, the
/// SDK, and the module that joins them. The tool looks into every folder it is given, so it gets no other.
fn prepare(project: &Project, manifest: &Manifest, app: &Path) -> Result<()> {
    if app.exists() {
        fs::remove_dir_all(app).with_context(|| format!("could not clear {}", app.display()))?;
    }
    fs::create_dir_all(app)?;
    for entry in fs::read_dir(&project.folder)? {
        let (path, name) = entry.map(|e| (e.path(), e.file_name()))?;
        let kind = path.extension().and_then(OsStr::to_str);
        let shown = name.to_string_lossy();
        if path.join("__init__.py").is_file() && shown != "tests" {
            copy_package(&path, &app.join(&name))?;
        } else if path.is_file()
            && matches!(kind, Some("py" | "json"))
            && !shown.starts_with("test_")
        {
            fs::copy(&path, app.join(&name))
                .with_context(|| format!("could not copy {}", path.display()))?;
        }
    }
    write_sdk(app)?;
    let module = manifest.module()?;
    // The SDK comes first: it puts the host's clock and randomness where the standard library has none.
    let text = format!(
        "from postern_sdk import component\n\ncomponent.prepare()\n\nfrom importlib import import_module\n\nglobals().update(component.exports(import_module({module:?})))\n"
    );
    fs::write(app.join("postern_app.py"), text).context("could not write the module of the app")
}

/// Copies a package without what Python compiled of it elsewhere.
fn copy_package(from: &Path, into: &Path) -> Result<()> {
    fs::create_dir_all(into)?;
    for entry in fs::read_dir(from).with_context(|| format!("could not list {}", from.display()))? {
        let (path, name) = entry.map(|e| (e.path(), e.file_name()))?;
        if !path.is_dir() {
            fs::copy(&path, into.join(name))
                .with_context(|| format!("could not copy {}", path.display()))?;
        } else if name != "__pycache__" {
            copy_package(&path, &into.join(name))?;
        }
    }
    Ok(())
}

/// The folder of a virtual environment with the tool in it, keyed by its version and Python's.
fn tools() -> Result<PathBuf> {
    let (python, version) = python()?;
    let folder = cache()?
        .join("python")
        .join(format!("{}-python{version}", TOOL.replace("==", "-")));
    fs::create_dir_all(&folder).with_context(|| format!("could not make {}", folder.display()))?;
    // A virtual environment cannot be moved, so it is made in its place, by one build at a time.
    let lock = fs::File::create(folder.join(".lock")).context("could not open the lock")?;
    lock.lock()
        .context("could not wait for another build that gets the tools")?;
    let ready = folder.join(".ready");
    if !ready.is_file() {
        eprintln!("getting {TOOL} from PyPI (about 75 MB on disk, once)");
        command::quietly(
            python_command(&python)
                .args(["-m", "venv", "--clear"])
                .arg(folder.join("venv")),
        )
        .with_context(|| format!("Python cannot make a virtual environment: {INSTALL_PYTHON}"))?;
        command::quietly(pip(&folder).args([
            "install",
            "--only-binary",
            ":all:",
            "--no-deps",
            TOOL,
        ]))
        .with_context(|| format!("could not get {TOOL} from PyPI"))?;
        fs::write(&ready, "").context("could not finish the tools' folder")?;
    }
    Ok(folder)
}

/// The first Python that is new enough, with its version.
fn python() -> Result<(String, String)> {
    let mut seen = Vec::new();
    for name in ["python3", "python"] {
        let mut ask = python_command(name);
        ask.args(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]);
        let Ok(done) = ask.output() else { continue };
        let version = String::from_utf8_lossy(&done.stdout).trim().to_owned();
        let numbers = version
            .split_once('.')
            .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        if numbers >= Some(OLDEST_PYTHON) {
            return Ok((name.to_owned(), version));
        }
        seen.push(format!("{name} is {version}"));
    }
    bail!(
        "a Python plugin needs Python ({}): {INSTALL_PYTHON}",
        if seen.is_empty() {
            "there is none in PATH".to_owned()
        } else {
            seen.join(", ")
        }
    )
}

/// A Python that sees nothing of the environment it is called from.
fn python_command(program: impl AsRef<OsStr>) -> Command {
    let mut python = Command::new(program);
    for name in ["PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_TARGET"] {
        python.env_remove(name);
    }
    python
}

fn in_venv(tools: &Path, program: &str) -> Command {
    let scripts = if cfg!(windows) { "Scripts" } else { "bin" };
    python_command(tools.join("venv").join(scripts).join(program))
}

fn pip(tools: &Path) -> Command {
    let mut pip = in_venv(tools, "python");
    pip.args(["-m", "pip", "--disable-pip-version-check", "--no-input"]);
    pip
}

fn cache() -> Result<PathBuf> {
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("POSTERN_CACHE")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("postern")))
        .or_else(|| Some(set("HOME")?.join(".cache/postern")))
        .context(
            "none of POSTERN_CACHE, XDG_CACHE_HOME and HOME is set, so there is no place for tools",
        )
}

/// Gets what the project depends on, as wheels; only those without compiled code work in a component.
fn install(tools: &Path, dependencies: &[String], into: &Path) -> Result<()> {
    if into.exists() {
        fs::remove_dir_all(into).with_context(|| format!("could not clear {}", into.display()))?;
    }
    fs::create_dir_all(into)?;
    if dependencies.is_empty() {
        return Ok(());
    }
    eprintln!("getting {} from PyPI", dependencies.join(", "));
    let mut install = pip(tools);
    install
        .args(["install", "--only-binary", ":all:", "--no-compile"])
        .arg("--target")
        .arg(into)
        .arg("--")
        .args(dependencies);
    command::quietly(&mut install).context("could not get what the plugin depends on")
}

fn componentize(tools: &Path, wit: &Path, world: &str, scratch: &Path) -> Result<Vec<u8>> {
    let made = std::path::absolute(scratch.join("unchecked.wasm"))?;
    let mut tool = in_venv(tools, "componentize-py");
    tool.current_dir(scratch)
        // An author wants the trace of Python, not that of the tool.
        .env("RUST_BACKTRACE", "0")
        .arg("-q")
        .arg("-d")
        .arg(fs::canonicalize(wit)?)
        .args(["-w", world, "componentize", "postern_app"])
        // No host has WASI; what the standard library wants of it, the SDK takes from the contract.
        .args(["--stub-wasi", "-p", "app", "-p", "dependencies", "-o"])
        .arg(&made);
    command::quietly(&mut tool).context("could not make a component of the plugin")?;
    fs::read(&made).with_context(|| format!("could not read {}", made.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(text: &str) -> Manifest {
        toml::from_str(text).expect("should parse")
    }

    #[test]
    fn carries_every_module_of_the_sdk() {
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/python/src/postern_sdk");
        let mut there: Vec<String> = fs::read_dir(sdk)
            .expect("should list")
            .map(|entry| entry.expect("should list").file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .filter(|name| name != "__pycache__")
            .collect();
        there.sort();
        let carried: Vec<&str> = SDK_FILES.iter().map(|(name, _)| *name).collect();
        assert_eq!(there, carried);
    }

    #[test]
    fn takes_the_module_from_the_settings_else_from_the_name() {
        let named = manifest("[project]\nname = \"a-b\"\n[tool.postern]\nmodule = \"x.y\"\n");
        assert_eq!(named.module().expect("should be one"), "x.y");
        let own = manifest("[project]\nname = \"a-b\"\n");
        assert_eq!(own.module().expect("should be one"), "a_b");
        assert!(manifest("").module().is_err());
        assert!(
            manifest("[tool.postern]\nmodule = \"x\\\"; y\"")
                .module()
                .is_err()
        );
    }

    #[test]
    fn gets_the_sdk_from_nowhere_else() {
        let all =
            manifest("[project]\ndependencies = [\"postern_sdk>=0.1\", \"postern-sdk\", \"idna\"]");
        assert_eq!(all.others(), ["idna"]);
    }

    #[test]
    fn takes_modules_and_packages_but_neither_tests_nor_environments() {
        let folder = tempfile::tempdir().expect("should make a folder");
        let own = folder.path().join("project");
        for file in [
            "plugin.py",
            "schema.json",
            "test_plugin.py",
            "tests/__init__.py",
            "helpers/__init__.py",
            "helpers/__pycache__/x.pyc",
            ".venv/x.py",
            "values/password",
        ] {
            let path = own.join(file);
            fs::create_dir_all(path.parent().expect("should have one")).expect("should make");
            fs::write(path, "").expect("should write");
        }
        let project = Project {
            folder: own,
            language: crate::project::Language::Python,
            name: "p".to_owned(),
            world: crate::project::World::Provider,
            interfaces: Vec::new(),
        };
        let app = folder.path().join("app");
        prepare(&project, &manifest("[project]\nname = \"plugin\""), &app).expect("should prepare");
        let mut laid: Vec<String> = fs::read_dir(&app)
            .expect("should list")
            .map(|entry| {
                entry
                    .expect("should list")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        laid.sort();
        assert!(!app.join("helpers/__pycache__").exists());
        assert_eq!(
            laid,
            [
                "helpers",
                "plugin.py",
                "postern_app.py",
                "postern_sdk",
                "schema.json"
            ]
        );
    }
}
