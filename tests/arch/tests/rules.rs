//! The rules of the repository: who may import whom, what every file begins with, and that generated files are current.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use postern_arch_tests::{generated, root};

/// Rooms, and what each may import besides crates of the registry that [`GUARDED`] does not name.
const ROOMS: [(&str, &[&str]); 9] = [
    ("api", &["kube", "kube-core"]),
    ("core", &["postern-api", "kube-core"]),
    (
        "runtime",
        &[
            "postern-core",
            "wasmtime",
            "hyper",
            "rustls",
            "cap-std",
            "tokio",
            "tracing",
        ],
    ),
    (
        "registry",
        &["postern-core", "oci-client", "rustls", "tokio", "tracing"],
    ),
    ("sync", &["postern-api", "postern-core", "tokio", "tracing"]),
    (
        "controller",
        &[
            "postern-api",
            "postern-core",
            "postern-sync",
            "kube",
            "kube-core",
            "tokio",
            "tracing",
        ],
    ),
    (
        "standalone",
        &[
            "postern-api",
            "postern-core",
            "postern-sync",
            "tokio",
            "tracing",
        ],
    ),
    (
        "telemetry",
        &["postern-core", "tracing", "tracing-subscriber"],
    ),
    (
        "operator",
        &[
            "postern-api",
            "postern-core",
            "postern-sync",
            "postern-registry",
            "postern-runtime",
            "postern-controller",
            "postern-standalone",
            "postern-telemetry",
            "postern-guest-tools",
            "postern-conformance-plugin",
            "kube",
            "hyper",
            "tokio",
            "tracing",
            "anyhow",
        ],
    ),
];

/// Crates that only the rooms may import that name them above.
const GUARDED: [&str; 12] = [
    "kube",
    "kube-core",
    "wasmtime",
    "hyper",
    "rustls",
    "cap-std",
    "tokio",
    "tracing",
    "tracing-subscriber",
    "anyhow",
    "reqwest",
    "async-trait",
];

#[test]
fn rooms_import_only_what_the_design_allows() {
    let mut wrong = Vec::new();
    let folders: BTreeSet<String> = std::fs::read_dir(root().join("host"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(
        folders,
        ROOMS.iter().map(|(room, _)| (*room).to_owned()).collect(),
        "a room without rules"
    );
    for (room, allowed) in ROOMS {
        for name in dependencies(&root().join("host").join(room).join("Cargo.toml")) {
            let ours = name.starts_with("postern-");
            if (ours || GUARDED.contains(&name.as_str())) && !allowed.contains(&name.as_str()) {
                wrong.push(format!("host/{room} imports {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn guests_and_sdk_never_import_the_host() {
    for manifest in files("Cargo.toml")
        .iter()
        .filter(|p| starts(p, &["plugins", "sdk", "tests/guests"]))
    {
        let text = std::fs::read_to_string(manifest).unwrap();
        assert!(!text.contains("/host/"), "{}", manifest.display());
    }
}

fn dependencies(manifest: &Path) -> BTreeSet<String> {
    let table: toml::Table = std::fs::read_to_string(manifest).unwrap().parse().unwrap();
    let own = table.get("dependencies").and_then(toml::Value::as_table);
    own.into_iter().flat_map(|t| t.keys().cloned()).collect()
}

#[test]
fn generated_files_are_current() {
    let stale: Vec<String> = generated::files()
        .unwrap()
        .into_iter()
        .filter(|(name, text)| {
            std::fs::read_to_string(root().join(name)).ok().as_ref() != Some(text)
        })
        .map(|(name, _)| name)
        .collect();
    assert!(stale.is_empty(), "run `cargo xtask codegen`: {stale:?}");
}

#[test]
fn every_module_says_what_it_does() {
    let silent: Vec<PathBuf> = sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!") && !text.starts_with("#!["))
        .map(|(path, _)| path)
        .collect();
    assert!(silent.is_empty(), "{silent:#?}");
}

#[test]
fn no_test_is_ignored_and_no_path_is_of_one_machine() {
    // Put together here, so that this file does not find itself.
    let unwanted: BTreeMap<String, &str> = [
        ("#[ig", "nore"),
        ("/ro", "ot/"),
        ("/wo", "rk/"),
        ("/home", "/"),
        ("to", "do!("),
    ]
    .map(|(a, b)| (format!("{a}{b}"), a))
    .into();
    let mut found = Vec::new();
    for (path, text) in sources() {
        for pattern in unwanted
            .keys()
            .filter(|pattern| text.contains(pattern.as_str()))
        {
            found.push(format!("{}: {pattern}", path.display()));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

fn sources() -> Vec<(PathBuf, String)> {
    let all = files(".rs");
    assert!(all.len() > 50, "the search found only {} files", all.len());
    all.into_iter()
        .map(|path| (path.clone(), std::fs::read_to_string(&path).unwrap()))
        .collect()
}

fn starts(path: &Path, folders: &[&str]) -> bool {
    folders
        .iter()
        .any(|folder| path.starts_with(root().join(folder)))
}

/// Files of the repository whose name ends so, without what builds leave behind.
fn files(end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = ["host", "plugins", "sdk", "tests", "guest-tools", "xtask"]
        .iter()
        .map(|f| root().join(f))
        .collect();
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') && name != "node_modules"
            {
                open.push(path);
            } else if path.is_file() && name.ends_with(end) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
