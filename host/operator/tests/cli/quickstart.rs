//! The quickstart example and the examples of every `--help`, run.

use std::process::Command;

use crate::common::{POSTERN, Ran, plugins, root};

#[test]
fn the_example_makes_a_tls_secret_and_an_opaque_one() {
    let example = root().join("examples/quickstart");
    let out = tempfile::tempdir().unwrap();
    let mut command = Command::new(POSTERN);
    command
        .env_clear()
        .args(["sync", "--as", "files", "--from"])
        .arg(example.join("manifests"));
    command
        .arg("--to")
        .arg(out.path())
        .arg("--plugins-dir")
        .arg(plugins());
    command
        .arg("--grant-files")
        .arg(format!("vault={}", example.join("vault").display()));
    let ran = Ran::from(command.output().unwrap());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let read = |key: &str| std::fs::read_to_string(out.path().join("default").join(key)).unwrap();
    assert!(read("web-tls/tls.crt").starts_with("-----BEGIN CERTIFICATE-----\n"));
    assert!(read("web-tls/tls.key").starts_with("-----BEGIN PRIVATE KEY-----\n"));
    assert_eq!(
        (read("app/password"), read("app/token")),
        ("example-1".to_owned(), "example-token".to_owned())
    );
}

#[test]
fn commands_that_print_print() {
    for (arguments, part) in [
        (vec!["crds"], "\"kind\": \"CustomResourceDefinition\""),
        (vec!["completion", "bash"], "_postern()"),
        (vec!["completion", "zsh"], "#compdef postern"),
        (vec!["completion", "fish"], "complete -c postern"),
        (
            vec!["completion", "powershell"],
            "Register-ArgumentCompleter",
        ),
        (vec!["version"], "postern 0."),
        (vec!["sync", "--help"], "Example:\n  postern sync"),
    ] {
        let ran = Ran::from(
            Command::new(POSTERN)
                .env_clear()
                .args(&arguments)
                .output()
                .unwrap(),
        );
        assert_eq!(ran.code, Some(0), "{arguments:?} {ran:?}");
        assert!(ran.out.contains(part), "{arguments:?}: {}", ran.out);
    }
}
