//! A plugin's project: a folder in the author's language that becomes one component.
//!
//! The language is told by the file that its own tools need; what the contract needs besides stands in `postern.toml`.
//! How a language is built is in the module named after it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::{component, go, js, python, rust};

/// What a project says of itself to Postern; may be missing.
pub const SETTINGS: &str = "postern.toml";

/// The world that is generated where a provider has optional interfaces.
const EXTENDED: &str = "plugin";

/// In which language a project is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// A folder with `Cargo.toml`.
    Rust,
    /// A folder with `go.mod`.
    Go,
    /// A folder with `pyproject.toml`.
    Python,
    /// A folder with `package.json`.
    Js,
}

impl Language {
    /// All of them, with the file that tells them. The first that fits wins: a Rust or Go project may hold a
    /// `package.json` for tools of its own.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::Rust, "Cargo.toml"),
        (Self::Go, "go.mod"),
        (Self::Python, "pyproject.toml"),
        (Self::Js, "package.json"),
    ];

    /// As `--lang` spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Go => "go",
            Self::Python => "python",
            Self::Js => "js",
        }
    }
}

impl Language {
    /// As people write it, and the `producers` section of a component.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Go => "Go",
            Self::Python => "Python",
            Self::Js => "JavaScript",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which world of the contract a project implements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum World {
    /// Reads a backend.
    #[default]
    Provider,
    /// Renders templates.
    TemplateEngine,
}

impl World {
    /// As the contract spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::TemplateEngine => "template-engine",
        }
    }
}

/// An interface that a provider exports or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interface {
    /// Credentials to a session.
    Login,
    /// Lists objects.
    Find,
}

impl Interface {
    /// As the contract spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Find => "find",
        }
    }
}

/// A folder that becomes one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Where it lies.
    pub folder: PathBuf,
    /// What it is written in.
    pub language: Language,
    /// `name` of the settings, else the folder's. Names the component, nothing else.
    pub name: String,
    /// What it implements. Of a Rust project only the macro in its source knows.
    pub world: World,
    /// The optional interfaces that it has, each once. Of a Rust project only the macro in its source knows.
    pub interfaces: Vec<Interface>,
}

/// The settings file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Settings {
    name: Option<String>,
    world: World,
    interfaces: Vec<Interface>,
}

/// Finds out what a folder holds.
///
/// # Errors
/// Where no language fits, or the settings do not parse.
pub fn open(folder: &Path) -> Result<Project> {
    let absolute = fs::canonicalize(folder)
        .with_context(|| format!("there is no folder {}", folder.display()))?;
    let Some((language, _)) = Language::ALL
        .into_iter()
        .find(|(_, file)| absolute.join(file).is_file())
    else {
        bail!(
            "{} is no plugin project: it holds none of {}; `postern plugin new` makes one",
            absolute.display(),
            Language::ALL.map(|(_, file)| file).join(", ")
        );
    };
    let path = absolute.join(SETTINGS);
    let settings = if path.is_file() {
        let text = fs::read_to_string(&path)
            .with_context(|| format!("could not read {}", path.display()))?;
        parse(&text).with_context(|| format!("could not understand {}", path.display()))?
    } else {
        Settings::default()
    };
    let own = absolute
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    Ok(Project {
        language,
        name: settings
            .name
            .or(own)
            .context("the root of the file system is no project")?,
        world: settings.world,
        interfaces: settings.interfaces,
        folder: absolute,
    })
}

fn parse(text: &str) -> Result<Settings> {
    let mut settings: Settings = toml::from_str(text)?;
    settings.interfaces.sort();
    settings.interfaces.dedup();
    if settings.world == World::TemplateEngine && !settings.interfaces.is_empty() {
        bail!("a template engine has no optional interfaces: remove `interfaces`");
    }
    if settings.name.as_deref().is_some_and(|name| !plain(name)) {
        bail!("`name` must be of letters, digits, `-` and `_`");
    }
    Ok(settings)
}

fn plain(name: &str) -> bool {
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// Builds a project's component into the file `out`. Generated files go to `scratch`, which is this project's alone
/// and may be kept from one build to the next; what is up to date there is not built again.
///
/// # Errors
/// What the language's module says.
pub fn build(project: &Project, wit: &Path, out: &Path, scratch: &Path) -> Result<()> {
    fs::create_dir_all(scratch).with_context(|| format!("could not make {}", scratch.display()))?;
    // Beside `out` there would be stamps and leftovers in the author's own folder.
    let built = scratch.join("component.wasm");
    match project.language {
        Language::Rust => rust::build_project(project, wit, &built, scratch),
        Language::Go => go::build_project(project, wit, &built, scratch),
        Language::Python => python::build_project(project, wit, &built, scratch),
        Language::Js => js::build_project(project, wit, &built, scratch),
    }?;
    let mut content =
        fs::read(&built).with_context(|| format!("could not read {}", built.display()))?;
    component::sign(&mut content, project.language.title());
    place(&content, out)
}

/// Puts a component in place at once: somebody may be reading the old one.
fn place(content: &[u8], out: &Path) -> Result<()> {
    if fs::read(out).is_ok_and(|old| old == content) {
        return Ok(());
    }
    if let Some(folder) = out.parent() {
        fs::create_dir_all(folder)?;
    }
    let part = out.with_extension("part");
    fs::write(&part, content).with_context(|| format!("could not write {}", part.display()))?;
    fs::rename(&part, out).with_context(|| format!("could not write {}", out.display()))
}

/// The folder of WIT and the name of the world in it that a project implements. A provider with optional interfaces
/// gets a world of its own in a copy of the contract under `scratch`, for the contract has no world for each choice.
///
/// # Errors
/// Where the copy cannot be written.
pub fn world_for(project: &Project, wit: &Path, scratch: &Path) -> Result<(PathBuf, String)> {
    if project.interfaces.is_empty() {
        return Ok((wit.to_owned(), project.world.name().to_owned()));
    }
    let copy = scratch.join("wit");
    if copy.exists() {
        fs::remove_dir_all(&copy).with_context(|| format!("could not clear {}", copy.display()))?;
    }
    go::copy(wit, &copy)?;
    let exports: String = project
        .interfaces
        .iter()
        .map(|interface| format!("  export {};\n", interface.name()))
        .collect();
    let text = format!(
        "world {EXTENDED} {{\n  include {};\n{exports}}}\n",
        project.world.name()
    );
    let path = copy.join("generated-world.wit");
    fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))?;
    Ok((copy, EXTENDED.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bind::Contract;

    fn wit() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit")
    }

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("should make a folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("should write");
        }
        folder
    }

    #[test]
    fn tells_the_language_by_the_file_that_its_tools_need() {
        for (language, file) in Language::ALL {
            let folder = folder(&[(file, "")]);
            let project = open(folder.path()).expect("should open");
            assert_eq!(project.language, language);
            assert_eq!(project.world, World::Provider);
            assert!(project.interfaces.is_empty());
        }
    }

    #[test]
    fn names_the_files_it_looked_for_in_a_folder_of_something_else() {
        let folder = folder(&[("README.md", "")]);
        let error = open(folder.path()).expect_err("should fail").to_string();
        assert!(error.contains("go.mod"), "{error}");
    }

    #[test]
    fn reads_the_settings() {
        let text =
            "name = \"acme\"\nworld = \"provider\"\ninterfaces = [\"find\", \"login\", \"find\"]\n";
        let folder = folder(&[("go.mod", ""), (SETTINGS, text)]);
        let project = open(folder.path()).expect("should open");
        assert_eq!(project.name, "acme");
        assert_eq!(project.interfaces, [Interface::Login, Interface::Find]);
    }

    #[test]
    fn refuses_settings_that_it_does_not_know() {
        for text in [
            "wrold = \"provider\"",
            "world = \"engine\"",
            "interfaces = [\"write\"]",
            "world = \"template-engine\"\ninterfaces = [\"find\"]",
            "name = \"../x\"",
        ] {
            let folder = folder(&[("go.mod", ""), (SETTINGS, text)]);
            assert!(open(folder.path()).is_err(), "{text}");
        }
    }

    #[test]
    fn makes_a_world_with_just_the_interfaces_that_a_provider_has() {
        let scratch = tempfile::tempdir().expect("should make a folder");
        for (interfaces, expected) in [
            (vec![], vec!["check", "describe", "read"]),
            (
                vec![Interface::Login],
                vec!["check", "describe", "login", "read"],
            ),
            (
                vec![Interface::Login, Interface::Find],
                vec!["check", "describe", "find", "login", "read"],
            ),
        ] {
            let project = Project {
                folder: PathBuf::new(),
                language: Language::Go,
                name: "x".to_owned(),
                world: World::Provider,
                interfaces,
            };
            let (folder, world) =
                world_for(&project, &wit(), scratch.path()).expect("should make a world");
            let contract = Contract::read(&folder).expect("should read");
            let world = contract.world(&world).expect("should hold the world");
            let mut exports: Vec<String> = contract.resolve.worlds[world]
                .exports
                .keys()
                .map(|key| contract.resolve.name_world_key(key))
                .filter_map(|name| Some(name.split_once('/')?.1.split('@').next()?.to_owned()))
                .collect();
            exports.sort();
            assert_eq!(exports, expected);
        }
    }
}
