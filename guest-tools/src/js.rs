//! Builds a guest from a JavaScript or TypeScript project: one bundle of the author's modules and the SDK, then a
//! component with QuickJS in it, whose modules have run.
//!
//! Node and npm must be there. The two tools that do the work come from npm at pinned versions, into our cache folder; the
//! SDK comes with us, because a project needs it before it is in a registry.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use crate::project::{Project, World};
use crate::stamp::Inputs;
use crate::{command, component};

/// The tools with their versions and checksums, as npm wants them.
const PACKAGE: &str = include_str!("js/package.json");
const LOCK: &str = include_str!("js/package-lock.json");
const BUNDLE: &str = include_str!("js/bundle.mjs");

/// Oldest major version of Node that the tools and the SDK are used with.
const OLDEST_NODE: u32 = 20;
const INSTALL_NODE: &str =
    "install Node.js 20 or newer, which brings npm, from https://nodejs.org or your distribution";

/// The SDK's package in a project.
const SDK: &str = "node_modules/@postern/sdk";
/// Where a project outside this repository keeps the SDK; its `package.json` says `"@postern/sdk": "file:.postern/sdk"`.
const SDK_COPY: &str = ".postern/sdk";

macro_rules! sdk {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../sdk/js/", $name)))),*]
    };
}

/// What npm would publish of the SDK.
const SDK_FILES: &[(&str, &str)] = sdk![
    "package.json",
    "LICENSE",
    "README.md",
    "src/bytes.js",
    "src/context.js",
    "src/define.js",
    "src/failure.js",
    "src/glue.js",
    "src/guest/engine.js",
    "src/guest/globals.js",
    "src/guest/provider.js",
    "src/host.js",
    "src/http.js",
    "src/index.d.ts",
    "src/index.js",
    "src/json.js",
    "src/schema.js",
    "src/testing.d.ts",
    "src/testing.js",
    "src/values.js",
];

/// Builds a project's component.
///
/// # Errors
/// Where Node or npm is missing or too old, npm cannot get what the project needs, the modules do not bundle or throw when
/// they run, or the component would import what no host offers.
pub fn build_project(project: &Project, wit: &Path, out: &Path, scratch: &Path) -> Result<()> {
    let began = Instant::now();
    need_node()?;
    let tools = tools()?;
    install(&project.folder)?;
    let (wit, world) = crate::project::world_for(project, wit, scratch)?;
    let bundle = bundle(project, &tools, scratch)?;
    let stamp = {
        let mut inputs = Inputs::default();
        inputs.word(include_str!("js.rs"));
        inputs.word(LOCK);
        inputs.word(&world);
        inputs.path(&wit)?;
        inputs.path(&bundle)?;
        inputs.finish()
    };
    if stamp.matches(out) {
        eprintln!("{}: unchanged", project.name);
        return Ok(());
    }
    let component = componentize(&tools, &wit, &world, &bundle, scratch)?;
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

/// Puts the SDK into a project outside this repository, where its `package.json` looks for it.
///
/// # Errors
/// Where it cannot be written.
pub fn lay_sdk(folder: &Path) -> Result<()> {
    for (name, text) in SDK_FILES {
        let path = folder.join(SDK_COPY).join(name);
        if fs::read_to_string(&path).is_ok_and(|old| old == *text) {
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))?;
    }
    Ok(())
}

fn need_node() -> Result<()> {
    let version = command::text(Command::new("node").arg("--version"))
        .with_context(|| format!("JavaScript plugins need Node: {INSTALL_NODE}"))?;
    let major = version
        .trim_start_matches('v')
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok());
    if major < Some(OLDEST_NODE) {
        bail!("Node {version} is too old: {INSTALL_NODE}");
    }
    command::text(npm().arg("--version"))
        .map(drop)
        .with_context(|| format!("JavaScript plugins need npm: {INSTALL_NODE}"))
}

fn npm() -> Command {
    Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" })
}

/// The folder of the installed tools, keyed by their lock file.
fn tools() -> Result<PathBuf> {
    let key = hex::encode(&Sha256::digest(LOCK)[..8]);
    let folder = cache()?.join("js").join(key);
    if folder.is_dir() {
        return Ok(folder);
    }
    eprintln!("getting componentize-qjs and esbuild from npm (about 50 MB, once)");
    let part = folder.with_extension(format!("part{}", std::process::id()));
    fs::create_dir_all(&part).with_context(|| format!("could not make {}", part.display()))?;
    fs::write(part.join("package.json"), PACKAGE)?;
    fs::write(part.join("package-lock.json"), LOCK)?;
    // Nothing of these packages runs at installation; both bring ready binaries.
    command::run(
        npm()
            .current_dir(&part)
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .args(["--loglevel", "error"]),
    )
    .context("could not get the tools for JavaScript from npm")?;
    if let Err(error) = fs::rename(&part, &folder) {
        // Another build was quicker, and what it got is the same.
        fs::remove_dir_all(&part).ok();
        if !folder.is_dir() {
            return Err(error).with_context(|| format!("could not make {}", folder.display()));
        }
    }
    Ok(folder)
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

/// Makes the SDK and whatever else the project depends on resolvable.
fn install(folder: &Path) -> Result<()> {
    let path = folder.join("package.json");
    let text =
        fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
    if text.contains(&format!("file:{SDK_COPY}")) {
        lay_sdk(folder)?;
    }
    if folder.join(SDK).join("package.json").is_file() {
        return Ok(());
    }
    eprintln!("running npm install in {}", folder.display());
    command::run(npm().current_dir(folder).args([
        "install",
        "--no-audit",
        "--no-fund",
        "--loglevel",
        "error",
    ]))?;
    if !folder.join(SDK).join("package.json").is_file() {
        bail!(
            "{} does not depend on the SDK: add `\"@postern/sdk\": \"file:{SDK_COPY}\"` to its dependencies and build again, which puts the SDK there",
            path.display()
        );
    }
    Ok(())
}

/// One file of all modules: the snapshot's own way to find modules knows no npm package and no link out of the folder.
fn bundle(project: &Project, tools: &Path, scratch: &Path) -> Result<PathBuf> {
    let sdk = fs::canonicalize(project.folder.join(SDK)).context("could not find the SDK")?;
    let entry = scratch.join("entry.js");
    fs::write(&entry, entry_text(project, &sdk)?)?;
    let bundle = scratch.join("bundle.js");
    let script = scratch.join("bundle.mjs");
    fs::write(&script, BUNDLE)?;
    let mut node = Command::new("node");
    node.current_dir(&project.folder)
        .arg(fs::canonicalize(&script)?)
        .arg(tools.join("node_modules/esbuild/lib/main.js"))
        .arg(fs::canonicalize(&entry)?)
        .arg(std::path::absolute(&bundle)?);
    command::run(&mut node).context("could not bundle the modules of the plugin")?;
    Ok(bundle)
}

/// The module that the component starts with. The SDK comes first: it brings what the engine lacks.
fn entry_text(project: &Project, sdk: &Path) -> Result<String> {
    let (world, mut exports) = match project.world {
        World::Provider => ("provider", vec!["describe", "check", "read"]),
        World::TemplateEngine => ("engine", vec!["describe", "render"]),
    };
    let interfaces: Vec<&str> = project.interfaces.iter().map(|i| i.name()).collect();
    exports.extend(&interfaces);
    let quoted = |path: &Path| serde_json::to_string(&path.display().to_string());
    Ok(format!(
        "import {{ component }} from {};\nimport plugin from {};\nexport const {{ {} }} = component(plugin, {});\n",
        quoted(&sdk.join(format!("src/guest/{world}.js")))?,
        quoted(&project.folder)?,
        exports.join(", "),
        serde_json::to_string(&interfaces)?,
    ))
}

fn componentize(
    tools: &Path,
    wit: &Path,
    world: &str,
    bundle: &Path,
    scratch: &Path,
) -> Result<Vec<u8>> {
    let made = scratch.join("unchecked.wasm");
    let mut tool = Command::new("node");
    tool.arg(tools.join("node_modules/componentize-qjs/bin/componentize-qjs"))
        // No async ABI, which the host does not offer to guests, and no WASI.
        .args(["--sync", "--stub-wasi", "--world", world, "--wit"])
        .arg(wit)
        .arg("--js")
        .arg(bundle)
        .arg("--output")
        .arg(&made);
    command::quietly(&mut tool).context("could not make a component of the plugin")?;
    fs::read(&made).with_context(|| format!("could not read {}", made.display()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn files_below(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).expect("should list") {
            let entry = entry.expect("should list");
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                files_below(&entry.path(), &format!("{name}/"), found);
            } else {
                found.insert(name);
            }
        }
    }

    #[test]
    fn carries_every_module_of_the_sdk() {
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/js/src");
        let mut there = BTreeSet::new();
        files_below(&sdk, "src/", &mut there);
        let carried = SDK_FILES
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .filter(|name| name.starts_with("src/"))
            .collect();
        assert_eq!(there, carried);
    }

    #[test]
    fn lays_the_sdk_where_a_project_looks_for_it() {
        let folder = tempfile::tempdir().expect("should make a folder");
        lay_sdk(folder.path()).expect("should lay");
        let package = folder.path().join(SDK_COPY).join("package.json");
        let text = fs::read_to_string(package).expect("should be there");
        assert!(text.contains("@postern/sdk"));
    }

    #[test]
    fn exports_what_the_settings_name() {
        let project = Project {
            folder: PathBuf::from("/p"),
            language: crate::project::Language::Js,
            name: "p".to_owned(),
            world: World::Provider,
            interfaces: vec![crate::project::Interface::Find],
        };
        let text = entry_text(&project, Path::new("/sdk")).expect("should write");
        assert!(
            text.contains(
                "export const { describe, check, read, find } = component(plugin, [\"find\"]);"
            ),
            "{text}"
        );
    }
}
