//! Makes the folder that a plugin project begins with: the language's template under the project's own name, and the SDK
//! where its tools look for it, because the SDKs are in no registry yet.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::project::Language;
use crate::{carried, go, js, python, rust};

/// What a project is called, in the spellings that its files need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// `acme-vault`: the plugin, the package and the component.
    kebab: String,
    /// `acmeVault`: the key under `spec.provider`.
    camel: String,
    /// `AcmeVault`: a type.
    pascal: String,
    /// `acme_vault`: a module.
    snake: String,
}

/// What a new project's component is tested against; the templates of all languages are providers of the same.
const FIXTURE: &str = include_str!("scaffold/fixture.yaml");
const FIXTURE_PATH: &str = "conformance/fixture.yaml";

/// Longest name: it also names a manifest's object.
const LONGEST: usize = 60;

/// Words that one of the languages or its tools keeps for itself.
#[rustfmt::skip]
const KEPT: &[&str] = &[
    "abstract", "and", "as", "assert", "async", "await", "become", "box", "break", "case", "chan", "class", "const", "continue",
    "core", "crate", "def", "default", "defer", "del", "do", "dyn", "elif", "else", "enum", "except", "extern", "false", "final",
    "finally", "fn", "for", "from", "func", "gen", "global", "go", "goto", "if", "impl", "import", "in", "init", "interface", "is",
    "lambda", "let", "loop", "macro", "main", "map", "match", "mod", "move", "mut", "nonlocal", "none", "not", "or", "override",
    "package", "pass", "postern", "priv", "pub", "raise", "range", "ref", "return", "select", "self", "serde", "static", "std",
    "struct", "super", "switch", "test", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use", "var", "vendor",
    "virtual", "where", "while", "with", "yield",
];

impl Name {
    /// Reads a name in kebab case.
    ///
    /// # Errors
    /// Where it is in another form, or is a word of a language.
    pub fn parse(text: &str) -> Result<Self> {
        let words: Vec<&str> = text.split('-').collect();
        let plain = |word: &&str| {
            !word.is_empty()
                && word
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        };
        if text.len() > LONGEST
            || !words.iter().all(plain)
            || !text.starts_with(|c: char| c.is_ascii_lowercase())
        {
            bail!(
                "{text:?} cannot name a plugin: use up to {LONGEST} small letters and digits, in words joined by `-`, such as acme-vault"
            );
        }
        if KEPT.contains(&text) {
            bail!("{text:?} is a word that a language keeps for itself; {text}-provider is none");
        }
        let pascal: String = words.iter().map(|word| capital(word)).collect();
        Ok(Self {
            kebab: text.to_owned(),
            camel: format!("{}{}", words[0], &pascal[words[0].len()..]),
            pascal,
            snake: words.join("_"),
        })
    }

    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.kebab
    }

    /// The key that the project's provider serves.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.camel
    }

    fn put_into(&self, text: &str) -> String {
        text.replace("template-provider", &self.kebab)
            .replace("templateProvider", &self.camel)
            .replace("TemplateProvider", &self.pascal)
            .replace("template_provider", &self.snake)
    }
}

fn capital(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    format!("{}{rest}", first.to_ascii_uppercase())
}

/// Makes a project in a folder that does not exist or is empty.
///
/// # Errors
/// Where the folder holds something, or cannot be written.
pub fn new(language: Language, name: &Name, folder: &Path) -> Result<()> {
    let template = match language {
        Language::Rust => carried::RUST_TEMPLATE,
        Language::Go => carried::GO_TEMPLATE,
        Language::Python => carried::PYTHON_TEMPLATE,
        Language::Js => carried::JS_TEMPLATE,
    };
    if template.is_empty() {
        bail!("this version has no template for {language}");
    }
    match fs::read_dir(folder) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                bail!(
                    "{} is not empty; name another folder with --dir",
                    folder.display()
                );
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(error).with_context(|| format!("could not look into {}", folder.display()));
        }
    }
    for (file, content) in template {
        let path = folder.join(name.put_into(file));
        match std::str::from_utf8(content) {
            Ok(text) => carried::write(&path, name.put_into(text).as_bytes()),
            Err(_) => carried::write(&path, content),
        }?;
    }
    carried::write(&folder.join(FIXTURE_PATH), FIXTURE.as_bytes())?;
    match language {
        Language::Rust => rust::sdk::lay(folder),
        Language::Go => go::lay_sdk(folder),
        Language::Js => js::lay_sdk(folder),
        Language::Python => python::lay_sdk(folder),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project;

    #[test]
    fn spells_a_name_as_each_language_does() {
        let name = Name::parse("acme-vault-2").expect("should parse");
        assert_eq!(
            name.put_into("template-provider templateProvider TemplateProvider template_provider"),
            "acme-vault-2 acmeVault2 AcmeVault2 acme_vault_2"
        );
        assert_eq!(Name::parse("acme").expect("should parse").key(), "acme");
    }

    #[test]
    fn refuses_names_that_a_language_cannot_take() {
        for text in [
            "",
            "-",
            "Acme",
            "acme_vault",
            "1password",
            "acme-",
            "../x",
            "match",
            "a b",
            "ä",
        ] {
            assert!(Name::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn makes_a_project_of_each_language_under_its_own_name() {
        let name = Name::parse("acme-vault").expect("should parse");
        for (language, _) in Language::ALL {
            let folder = tempfile::tempdir().expect("should make a folder");
            let folder = folder.path().join("acme-vault");
            new(language, &name, &folder).expect("should make");
            let project = project::open(&folder).expect("should open");
            assert_eq!(project.language, language);
            assert_eq!(project.name, "acme-vault");
            assert!(folder.join(".postern/sdk").is_dir(), "{language}");
            assert!(folder.join(FIXTURE_PATH).is_file(), "{language}");
            let error = new(language, &name, &folder).expect_err("should refuse");
            assert!(error.to_string().contains("not empty"), "{error}");
        }
    }

    #[test]
    fn a_go_project_finds_the_sdk_in_its_own_folder() {
        let name = Name::parse("acme").expect("should parse");
        let folder = tempfile::tempdir().expect("should make a folder");
        new(Language::Go, &name, folder.path()).expect("should make");
        let module = fs::read_to_string(folder.path().join("go.mod")).expect("should read");
        assert!(module.starts_with("module acme\n"), "{module}");
        assert!(module.contains("replace postern.dev/sdk/go => ./.postern/sdk\n"));
        assert!(!module.contains("../"), "{module}");
    }
}
