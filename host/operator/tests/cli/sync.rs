//! `postern sync` as users start it: the built binary, real plugins, folders.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{POSTERN, Place, Ran, fake, root};
use base64::Engine as _;

const SENTINEL: &str = "sentinel-7f3a";

#[test]
fn a_value_becomes_a_secret_manifest_and_no_output_shows_it() {
    let place = Place::with(&[("all.yaml", &fake(SENTINEL, "k"))]);
    let ran = place.sync(&["--to", "out", "--log-level", "debug"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.out
            .contains("ExternalSecret  default/app  app     +password  created\n"),
        "{}",
        ran.out
    );
    let path = place.path("out/default/app.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(
        text.contains(&base64::engine::general_purpose::STANDARD.encode(SENTINEL)),
        "{text}"
    );
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    for stream in [&ran.out, &ran.err] {
        assert!(!stream.contains(SENTINEL), "{stream}");
    }
    let again = place.sync(&["--to", "out"]);
    assert!(again.out.contains("unchanged"), "{again:?}");
}

#[test]
fn a_failure_keeps_what_is_there_and_names_code_and_blame() {
    let place = Place::with(&[("all.yaml", &fake("one", "k"))]);
    place.sync(&["--to", "out", "--as", "files"]);
    std::fs::write(place.path("from/all.yaml"), fake("one", "gone")).unwrap();
    let ran = place.sync(&["--to", "out", "--as", "files"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.err.contains("ExternalSecret \"default/app\": ") && ran.err.contains("PST-11"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("backend to blame"), "{}", ran.err);
    assert_eq!(
        std::fs::read_to_string(place.path("out/default/app/password")).unwrap(),
        "one"
    );
}

#[test]
fn a_broken_manifest_is_named_and_the_good_ones_sync() {
    let broken = "kind: Secret\nmetadata: {name: x}\nstringData: {a: [unfinished\n";
    let place = Place::with(&[
        ("all.yaml", &fake("one", "k")),
        ("broken.yaml", &format!("kind: Other\n---\n{broken}")),
    ]);
    let ran = place.sync(&["--to", "out"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(
        ran.err.contains("broken.yaml, document 2, line "),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("passed over (Other)"), "{}", ran.err);
    assert!(place.path("out/default/app.yaml").exists());
}

#[test]
fn a_dry_run_says_what_would_change_and_writes_nothing() {
    let place = Place::with(&[("all.yaml", &fake("one", "k"))]);
    let ran = place.sync(&["--to", "out", "--dry-run"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("+password  would-create"), "{}", ran.out);
    assert!(!place.path("out").exists());
    place.sync(&["--to", "out"]);
    let same = place.sync(&["--to", "out", "--dry-run"]);
    assert_eq!(same.code, Some(0), "{same:?}");
}

#[test]
fn what_cannot_run_ends_with_2_and_says_what_to_do() {
    let place = Place::with(&[]);
    let empty = place.sync(&[]);
    assert_eq!(empty.code, Some(2), "{empty:?}");
    assert!(
        empty.err.contains("holds no ExternalSecret"),
        "{}",
        empty.err
    );
    let usage = place.sync(&["--no-such-flag"]);
    assert_eq!(usage.code, Some(2), "{usage:?}");
    std::fs::write(place.path("from/all.yaml"), fake("one", "k")).unwrap();
    let inside = place.sync(&["--to", "from/out"]);
    assert_eq!(inside.code, Some(2), "{inside:?}");
    let grant = place.sync(&["--grant-files", "vault=nowhere"]);
    assert_eq!(grant.code, Some(2), "{grant:?}");
    std::fs::remove_dir_all(place.path("from")).unwrap();
    let gone = place.sync(&[]);
    assert_eq!(gone.code, Some(2), "{gone:?}");
}

#[test]
fn a_directory_of_plugin_files_that_cannot_be_used_is_told_at_the_start() {
    let place = Place::with(&[("all.yaml", &fake("one", "k"))]);
    let file = place.path("from/all.yaml").display().to_string();
    for (dir, text) in [
        (
            "nowhere",
            "--plugin-files nowhere cannot be used; make the directory",
        ),
        (file.as_str(), "is a file; give the directory"),
    ] {
        let ran = place.sync(&["--plugin-files", dir]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
        assert!(ran.err.contains(text), "{ran:?}");
        // The operator says it before it looks for a cluster.
        let mut run = Command::new(POSTERN);
        run.env_clear().current_dir(place.path(""));
        run.args(["run", "--metrics-bind-address", "0", "--plugin-files", dir]);
        let ran = Ran::from(run.output().unwrap());
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.err.contains(text), "{ran:?}");
    }
}

#[test]
fn the_json_form_fits_its_schema() {
    let schema: serde_json::Value = serde_json::from_str(
        &std::fs::read_to_string(root().join("docs/schemas/sync.json")).unwrap(),
    )
    .unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let place = Place::with(&[
        ("good.yaml", &fake(SENTINEL, "k")),
        ("bad.yaml", "kind: Secret\n"),
        ("other.yaml", "kind: Other\n"),
    ]);
    let unknown = fake("x", "k")
        .replace("fake", "nobody")
        .replace("name: s}", "name: t}")
        .replace("name: app", "name: lost");
    std::fs::write(place.path("from/unknown.yaml"), unknown).unwrap();
    let ran = place.sync(&["--to", "out", "-o", "json"]);
    let document: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let errors: Vec<String> = validator
        .iter_errors(&document)
        .map(|e| format!("{e} at {}", e.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:?}\n{document:#}");
    assert_eq!(document["exitCode"], 3);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(!ran.out.contains(SENTINEL));
}

#[test]
fn names_and_yaml_are_for_scripts_and_carry_no_value() {
    let place = Place::with(&[("good.yaml", &fake(SENTINEL, "k"))]);
    let names = place.sync(&["-o", "name"]);
    assert!(
        names.out.lines().any(|l| l == "externalsecret/default/app"),
        "{names:?}"
    );
    let yaml = place.sync(&["-o", "yaml"]);
    assert!(yaml.out.starts_with("---\n"), "{yaml:?}");
    let wide = place.sync(&["-o", "wide"]);
    assert!(
        wide.out.lines().next().unwrap().ends_with("NEXT"),
        "{wide:?}"
    );
    for ran in [names, yaml, wide] {
        assert!(
            !ran.out.contains(SENTINEL) && !ran.err.contains(SENTINEL),
            "{ran:?}"
        );
    }
}

#[test]
fn once_ends_in_time_and_names_every_key_it_lacks() {
    // A backend that takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", silent.local_addr().unwrap());
    let place = Place::with(&[]);
    let store = format!(
        "apiVersion: external-secrets.io/v1\nkind: SecretStore\nmetadata: {{name: s}}\n\
         spec: {{provider: {{vault: {{server: '{server}', path: secret, version: v2, auth: {{tokenSecretRef: {{name: token, key: t}}}}}}}}}}\n---\n\
         kind: Secret\nmetadata: {{name: token}}\nstringData: {{t: x}}\n---\n"
    );
    let external = fake("x", "db/creds")
        .split_once("---\n")
        .unwrap()
        .1
        .to_owned();
    std::fs::write(place.path("from/all.yaml"), store + &external).unwrap();
    let vault = root().join("target/guests/vault.wasm");
    let cache = place.path("cache");
    let arguments = [
        "--timeout",
        "2s",
        "--plugin",
        vault.to_str().unwrap(),
        "--cache-dir",
        cache.to_str().unwrap(),
    ];
    let started = Instant::now();
    let ran = place.sync(&arguments);
    assert_eq!(ran.code, Some(124), "{ran:?}");
    assert!(
        ran.err.contains("still lacking key \"db/creds\""),
        "{}",
        ran.err
    );
    assert!(
        started.elapsed() < Duration::from_secs(60),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn watching_follows_a_change_and_ends_with_the_signals_number() {
    let place = Place::with(&[("all.yaml", &fake("one", "k"))]);
    let mut child = place
        .command(&["--to", "out", "--as", "files", "--watch"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let file = place.path("out/default/app/password");
    wait_for(|| std::fs::read_to_string(&file).is_ok_and(|text| text == "one"));
    std::fs::write(place.path("from/all.yaml"), fake("another", "k")).unwrap();
    wait_for(|| std::fs::read_to_string(&file).is_ok_and(|text| text == "another"));
    let pid = child.id().to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

fn wait_for(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "it did not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}
