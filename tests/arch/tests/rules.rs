//! Rules of the tree: who may import whom, what is generated is current, and what a reader would trip over.

use std::collections::BTreeSet;
use std::path::Path;

use postern_arch_tests::{files, generated, root};

/// What each room may depend on: rooms of ours, and the libraries that make a room what it is. A library that is listed
/// for one room and used by another is what this test is for; small ones that do no I/O are in `LEAVES`.
const ROOMS: [(&str, &[&str]); 8] = [
    ("api", &["k8s-openapi", "kube", "schemars"]),
    ("core", &["postern-api", "k8s-openapi", "kube-core", "jsonschema"]),
    (
        "runtime",
        &[
            "postern-core", "wasmtime", "cap-std", "futures", "getrandom", "http", "http-body-util", "hyper", "hyper-util", "jsonschema", "rustix",
            "rustls", "rustls-native-certs", "tempfile", "tokio", "tokio-rustls", "tower-service", "tracing", "webpki-roots",
        ],
    ),
    ("sync", &["postern-api", "postern-core", "futures", "getrandom", "tokio", "tracing"]),
    ("controller", &["postern-api", "postern-core", "postern-sync", "futures", "k8s-openapi", "kube", "tokio", "tracing"]),
    ("standalone", &["postern-api", "postern-core", "postern-sync", "futures", "k8s-openapi", "kube-core", "serde-saphyr", "tempfile", "tokio", "tracing"]),
    ("telemetry", &["postern-core", "prometheus-client", "tokio", "tracing", "tracing-subscriber"]),
    (
        "operator",
        &[
            "postern-api", "postern-core", "postern-sync", "postern-runtime", "postern-controller", "postern-standalone", "postern-telemetry", "anyhow",
            "clap", "clap_complete", "futures", "http", "http-body-util", "hyper", "hyper-util", "ipnet", "kube", "rustls", "tokio", "tracing",
        ],
    ),
];

/// Libraries without I/O that any room may use.
const LEAVES: [&str; 11] =
    ["base64", "hex", "hmac", "ipnet", "jiff", "serde", "serde_json", "sha2", "sha3", "thiserror", "zeroize"];

fn dependencies(manifest: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(manifest).unwrap();
    let mut inside = false;
    let mut names = BTreeSet::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line == "[dependencies]";
        } else if inside && !line.is_empty() && !line.starts_with('#') {
            names.insert(line.split(['=', '.', ' ']).next().unwrap().to_owned());
        }
    }
    names
}

#[test]
fn every_room_imports_only_what_it_may() {
    for (room, allowed) in ROOMS {
        let used = dependencies(&root().join("host").join(room).join("Cargo.toml"));
        assert!(!used.is_empty(), "host/{room} has no dependencies; is the path right?");
        for name in used {
            let may = allowed.contains(&name.as_str()) || LEAVES.contains(&name.as_str());
            assert!(may, "host/{room} may not depend on {name}; see ARCHITECTURE.md, and write a decision record to change it");
        }
    }
}

#[test]
fn every_room_is_in_the_table() {
    let listed: BTreeSet<String> = ROOMS.iter().map(|(room, _)| (*room).to_owned()).collect();
    let there: BTreeSet<String> = std::fs::read_dir(root().join("host"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(listed, there);
}

#[test]
fn only_the_runtime_names_wasmtime_and_only_the_controller_talks_to_kubernetes() {
    for path in files(&root().join("host"), ".rs").unwrap() {
        let text = std::fs::read_to_string(&path).unwrap();
        let shown = path.display().to_string();
        if !shown.contains("host/runtime/") {
            assert!(!text.contains("wasmtime::"), "{shown} names wasmtime");
        }
        if !shown.contains("host/controller/") && !shown.contains("host/operator/") {
            assert!(!text.contains("kube::Client") && !text.contains("kube::Api"), "{shown} talks to Kubernetes");
        }
    }
}

#[test]
fn the_core_has_no_async_clock_environment_file_or_socket() {
    let banned = ["async fn", ".await", "std::fs", "std::env", "std::net::Tcp", "SystemTime::now", "Timestamp::now", "Instant::now", "tokio"];
    for path in files(&root().join("host/core/src"), ".rs").unwrap() {
        let text = std::fs::read_to_string(&path).unwrap();
        for word in banned {
            assert!(!text.contains(word), "{} has {word}", path.display());
        }
    }
}

#[test]
fn generated_files_are_current() {
    for file in generated().unwrap() {
        let there = std::fs::read_to_string(root().join(&file.path)).unwrap_or_default();
        assert!(there == file.content, "{} is not what the code says; run `cargo xtask codegen`", file.path);
    }
}

#[test]
fn every_crd_is_small_enough_for_client_side_apply() {
    for crd in postern_api::crds() {
        let size = crd.to_string().len();
        assert!(size < 262_144, "{size} bytes");
    }
}

#[test]
fn every_module_says_what_it_does() {
    for path in files(&root(), ".rs").unwrap() {
        let text = std::fs::read_to_string(&path).unwrap();
        let shown = path.display().to_string();
        assert!(text.starts_with("//!"), "{shown} does not begin with a line that says what it does");
        let ignored = concat!("#[", "ignore");
        assert!(!text.contains(ignored), "{shown} has an ignored test");
    }
}
