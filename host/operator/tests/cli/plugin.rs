//! `postern plugin` as authors use it: from an empty folder that is not in this repository.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::common::{POSTERN, Ran, root};

/// `postern plugin` in a folder, as in an author's shell: nothing of this build's cargo is in the environment.
fn plugin(folder: &Path, arguments: &[&str]) -> Ran {
    let mut command = Command::new(POSTERN);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO") && text != "CARGO_HOME" || text.starts_with("POSTERN_PLUGIN") {
            command.env_remove(&name);
        }
    }
    command.current_dir(folder).arg("plugin").args(arguments);
    Ran::from(command.output().unwrap())
}

fn inspected(folder: &Path, file: &str) -> Value {
    let ran = plugin(folder, &["inspect", file, "-o", "json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    of_schema(&ran.out, "plugin-inspect.json")
}

fn of_schema(text: &str, schema: &str) -> Value {
    let document: Value = serde_json::from_str(text).unwrap();
    let schema: Value = serde_json::from_str(
        &std::fs::read_to_string(root().join("docs/schemas").join(schema)).unwrap(),
    )
    .unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(validator.is_valid(&document), "{document:#}");
    document
}

/// Makes a project in an empty folder, builds it, looks at the component.
fn from_nothing_to_a_component(lang: &str, language: &str) {
    let dir = tempfile::tempdir().unwrap();
    let made = plugin(dir.path(), &["new", "--lang", lang, "acme-vault"]);
    assert_eq!(
        (made.code, made.out.as_str()),
        (Some(0), "acme-vault\n"),
        "{made:?}"
    );
    let project = dir.path().join("acme-vault");
    let built = plugin(&project, &["build"]);
    assert_eq!(built.code, Some(0), "{}", built.err);
    // Data is the component's name alone; what the tools say is talk.
    assert_eq!(built.out, "acme-vault.wasm\n");

    describes_itself(&project, language);
    is_tested(&project);
    let text = plugin(&project, &["inspect", "acme-vault.wasm"]);
    assert!(text.out.starts_with("name        acme-vault\n"), "{text:?}");
    let grant = plugin(
        &project,
        &[
            "grant",
            "--suggest",
            "acme",
            "--component",
            "acme-vault.wasm",
        ],
    );
    assert_eq!(grant.code, Some(0), "{grant:?}");
    assert!(
        grant
            .out
            .contains("kind: PluginGrant\nmetadata:\n  name: acme\n"),
        "{grant:?}"
    );
    assert!(grant.out.contains("  hosts:\n    - \"*\" # "), "{grant:?}");
}

/// The suite finds the fixture beside the component, and finds what differs from it.
fn is_tested(project: &Path) {
    let test = |more: &[&str]| {
        let arguments = [&["test", "acme-vault.wasm"], more].concat();
        plugin(project, &arguments)
    };
    let ran = test(&[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains(" 0 failed"), "{ran:?}");

    std::fs::create_dir(project.join("other")).unwrap();
    let fixture = std::fs::read_to_string(project.join("conformance/fixture.yaml")).unwrap();
    let changed = fixture.replace("answer: {status: 403}", "answer: {status: 404}");
    std::fs::write(project.join("other/fixture.yaml"), changed).unwrap();
    let ran = test(&["--fixture", "other", "-o", "json"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let document = of_schema(&ran.out, "plugin-test.json");
    assert_eq!(document["passed"], false);
    let failed = document["rows"].as_array().unwrap().iter();
    let failed: Vec<&Value> = failed.filter(|c| c["verdict"] == "failed").collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0]["check"], "denied");
    assert!(!ran.out.contains("ada-of-first"), "{ran:?}");
}

/// The component of the template under the name `acme-vault`.
pub fn describes_itself(project: &Path, language: &str) {
    let document = inspected(project, "acme-vault.wasm");
    let facts = (&document["name"], &document["kind"], &document["language"]);
    assert_eq!(
        facts,
        (&"acme-vault".into(), &"provider".into(), &language.into())
    );
    assert_eq!(document["serves"], serde_json::json!(["acmeVault"]));
    assert_eq!(document["configSchema"]["type"], "object");
    let exports = document["exports"].as_array().unwrap();
    assert!(
        exports.contains(&"postern:plugin/read@0.1.0".into()),
        "{exports:?}"
    );
    let size = std::fs::metadata(project.join("acme-vault.wasm"))
        .unwrap()
        .len();
    assert_eq!(document["sizeBytes"], size);
}

#[test]
fn a_go_project_builds_where_this_repository_is_not() {
    from_nothing_to_a_component("go", "Go");
}

#[test]
fn a_javascript_project_builds_where_this_repository_is_not() {
    from_nothing_to_a_component("js", "JavaScript");
}

#[test]
fn a_python_project_builds_where_this_repository_is_not() {
    from_nothing_to_a_component("python", "Python");
}

// A Rust project takes minutes; the page for Rust builds one, and `docs` looks at it.

#[test]
fn a_folder_that_holds_something_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("acme")).unwrap();
    std::fs::write(dir.path().join("acme/notes"), "mine").unwrap();
    let ran = plugin(dir.path(), &["new", "--lang", "go", "acme"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(
        ran.err.contains("acme is not empty") && ran.err.contains("--dir"),
        "{ran:?}"
    );
    assert_eq!(
        std::fs::read_dir(dir.path().join("acme")).unwrap().count(),
        1
    );
    let elsewhere = plugin(dir.path(), &["new", "--lang", "go", "--dir", "b/c", "acme"]);
    assert_eq!(
        (elsewhere.code, elsewhere.out.as_str()),
        (Some(0), "b/c\n"),
        "{elsewhere:?}"
    );
    assert!(dir.path().join("b/c/go.mod").is_file());
}

#[test]
fn a_name_that_no_language_takes_is_refused_with_one_that_fits() {
    let dir = tempfile::tempdir().unwrap();
    for (name, help) in [("AcmeVault", "acme-vault"), ("match", "match-provider")] {
        let ran = plugin(dir.path(), &["new", "--lang", "rust", name]);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.err.contains(help), "{ran:?}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn what_is_no_project_or_no_plugin_is_said() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("text.wasm"), "no component").unwrap();
    for (arguments, part) in [
        (vec!["build"], "`postern plugin new` makes one"),
        (vec!["inspect", "missing.wasm"], "missing.wasm"),
        (vec!["inspect", "text.wasm"], "PST-1604"),
        (vec!["test", "text.wasm"], "fixture.yaml"),
    ] {
        let ran = plugin(dir.path(), &arguments);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
        assert!(ran.err.contains(part), "{part}: {ran:?}");
    }
}

#[test]
fn a_plugin_that_asks_for_nothing_needs_no_grant() {
    let component = root().join("target/guests/go-template.wasm");
    let component = component.to_str().unwrap();
    let document = inspected(Path::new("/"), component);
    assert_eq!(document["kind"], "template-engine");
    let ran = plugin(
        Path::new("/"),
        &[
            "grant",
            "--suggest",
            "go-template",
            "--component",
            component,
        ],
    );
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
    assert!(ran.err.contains("asks for nothing"), "{ran:?}");
}
