//! Plugins of the folder, without a cluster: the same manifests that a cluster takes, a real registry, files.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use base64::Engine as _;
use postern_core::plugin::Digest;
use postern_test_kit::kvserver::Transport;
use postern_test_kit::registry::Registry;
use serde_json::{Value, json};

use crate::common::{Place, Ran, root};

/// How the marker of the guest begins; see `tests/guests/versioned`.
const MARKER: &[u8] = b"postern-versioned:version=0;do=serve;";
const MARKER_BYTES: usize = 64;
const SENTINEL: &str = "sentinel-91c2";

/// A provider for `versioned` and `other` of this version, which answers what the store's config says.
fn component(version: &str, does: &str) -> Vec<u8> {
    let mut bytes = guest("guest_versioned");
    let at = bytes
        .windows(MARKER.len())
        .position(|window| window == MARKER)
        .unwrap();
    let mut marker = format!("postern-versioned:version={version};do={does};").into_bytes();
    marker.resize(MARKER_BYTES, b'.');
    bytes[at..at + MARKER_BYTES].copy_from_slice(&marker);
    bytes
}

fn guest(name: &str) -> Vec<u8> {
    let file = root().join(format!("target/guests/{name}.wasm"));
    assert!(
        file.is_file(),
        "{} is missing: run `cargo xtask guests`",
        file.display()
    );
    std::fs::read(&file).unwrap()
}

/// A Plugin as JSON, which is YAML.
fn plugin(name: &str, serves: &str, source: Value) -> String {
    json!({"apiVersion": "postern.dev/v1alpha1", "kind": "Plugin", "metadata": {"name": name},
        "spec": {"serves": [serves], "source": source}})
    .to_string()
}

fn oci(reference: &str) -> Value {
    json!({"oci": {"reference": reference, "plainHTTP": true}})
}

/// A store of this provider with one value, and an ExternalSecret that reads it.
fn app(provider: &str) -> String {
    format!(
        "apiVersion: external-secrets.io/v1\nkind: SecretStore\nmetadata: {{name: s}}\nspec: {{provider: {{{provider}: {{values: {{k: {SENTINEL}}}}}}}}}\n---\n\
         apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {{name: app}}\n\
         spec: {{secretStoreRef: {{name: s}}, data: [{{secretKey: password, remoteRef: {{key: k}}}}]}}\n"
    )
}

/// Syncs into `out`, and gives the document with it.
fn sync(place: &Place, further: &[&str]) -> (Ran, Value) {
    let cache = root().join("target/cli-test-cache").display().to_string();
    let arguments = [
        &["--to", "out", "-o", "json", "--cache-dir", &cache],
        further,
    ]
    .concat();
    let ran = place.sync(&arguments);
    let document = of_schema(&ran.out);
    assert_eq!(document["exitCode"], ran.code.unwrap(), "{ran:?}");
    assert!(
        !ran.out.contains(SENTINEL) && !ran.err.contains(SENTINEL),
        "{ran:?}"
    );
    (ran, document)
}

fn of_schema(text: &str) -> Value {
    let schema = std::fs::read_to_string(root().join("docs/schemas/sync.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let document: Value = serde_json::from_str(text).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator
        .iter_errors(&document)
        .map(|error| format!("{error} at {}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:?}\n{document:#}");
    document
}

/// The row of a Plugin.
fn row<'a>(document: &'a Value, name: &str) -> &'a Value {
    let mut rows = document["results"].as_array().unwrap().iter();
    rows.find(|row| row["kind"] == "Plugin" && row["name"] == name)
        .unwrap()
}

fn written(place: &Place) -> Option<String> {
    std::fs::read_to_string(place.path("out/default/app.yaml")).ok()
}

fn holds_the_value(place: &Place) {
    let encoded = base64::engine::general_purpose::STANDARD.encode(SENTINEL);
    assert!(written(place).unwrap().contains(&encoded));
}

fn message(row: &Value) -> &str {
    row["error"]["message"].as_str().unwrap()
}

/// A folder with `acme.wasm` in its `files`, and a Plugin that names it.
fn with_file(bytes: &[u8], digest: Option<&Digest>) -> Place {
    let mut source = json!({"file": {"path": "acme.wasm"}});
    if let Some(digest) = digest {
        source["file"]["digest"] = digest.as_str().into();
    }
    let place = Place::with(&[
        ("app.yaml", &app("versioned")),
        ("plugin.yaml", &plugin("acme", "versioned", source)),
    ]);
    std::fs::create_dir(place.path("files")).unwrap();
    std::fs::write(place.path("files/acme.wasm"), bytes).unwrap();
    place
}

const FILES: [&str; 2] = ["--plugin-files", "files"];

#[test]
fn a_plugin_of_the_folder_is_fetched_by_tag_or_by_digest_and_serves() {
    let registry = Registry::start().unwrap();
    let bytes = component("1", "serve");
    let manifest = registry.put("acme/versioned", "live", &bytes).unwrap();
    for name in [":live".to_owned(), format!("@{manifest}")] {
        let reference = format!("{}/acme/versioned{name}", registry.address);
        let place = Place::with(&[
            ("app.yaml", &app("versioned")),
            ("plugin.yaml", &plugin("acme", "versioned", oci(&reference))),
        ]);
        let (ran, document) = sync(&place, &[]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(
            !ran.err.contains("error") && !ran.err.contains("passed over"),
            "{ran:?}"
        );
        assert_eq!(document["ignored"], json!([]));
        let digest = Digest::of(&bytes);
        assert_eq!(
            row(&document, "acme")["plugin"],
            json!({"step": "Active", "reason": "Serving", "version": "1", "digest": digest.as_str()})
        );
        holds_the_value(&place);
        let text = place.sync(&["--cache-dir", "cache"]);
        assert!(text.out.contains("Plugin          acme  "), "{text:?}");
    }
}

#[test]
fn a_file_serves_with_the_digest_that_is_pinned_and_with_no_other() {
    let bytes = component("1", "serve");
    let place = with_file(&bytes, Some(&Digest::of(&bytes)));
    let (ran, _) = sync(&place, &FILES);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    holds_the_value(&place);
    let before = written(&place);

    std::fs::write(place.path("files/acme.wasm"), component("2", "serve")).unwrap();
    let (ran, document) = sync(&place, &FILES);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let refused = row(&document, "acme");
    assert_eq!(
        (&refused["error"]["code"], &refused["plugin"]["step"]),
        (&json!("PST-1607"), &json!("Resolved"))
    );
    assert!(
        ran.err.contains("spec.source.file.digest allows only"),
        "{ran:?}"
    );
    assert_eq!(written(&place), before);
}

#[test]
fn a_source_that_leads_nowhere_is_told_with_what_to_do() {
    let bytes = component("1", "serve");
    let place = with_file(&bytes, None);
    let (ran, document) = sync(&place, &[]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        message(row(&document, "acme")).contains("give it --plugin-files DIR"),
        "{ran:?}"
    );
    // The store says which Plugin it lacks.
    let store = &document["results"][1];
    assert_eq!(
        (&store["kind"], &store["error"]["code"]),
        (&json!("SecretStore"), &json!("PST-1606"))
    );
    assert!(
        message(store).contains("Plugin acme does not serve"),
        "{document:#}"
    );

    let outside = json!({"file": {"path": "../acme.wasm"}});
    std::fs::write(
        place.path("from/plugin.yaml"),
        plugin("acme", "versioned", outside),
    )
    .unwrap();
    let (ran, document) = sync(&place, &FILES);
    assert_eq!(
        (ran.code, &row(&document, "acme")["error"]["code"]),
        (Some(1), &json!("PST-1204"))
    );

    let neither = plugin("acme", "versioned", json!({}));
    std::fs::write(place.path("from/plugin.yaml"), neither).unwrap();
    let (_, document) = sync(&place, &FILES);
    assert!(
        message(row(&document, "acme")).contains("exactly one of oci and file"),
        "{document:#}"
    );
}

#[test]
fn a_component_that_is_not_what_the_manifest_says_does_not_serve() {
    let place = with_file(&component("1", "serve"), None);
    let file = json!({"file": {"path": "acme.wasm"}});
    std::fs::write(
        place.path("from/plugin.yaml"),
        plugin("acme", "acmeVault", file),
    )
    .unwrap();
    let (ran, document) = sync(&place, &FILES);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let acme = row(&document, "acme");
    assert!(
        message(acme).contains("does not serve \"acmeVault\""),
        "{document:#}"
    );
    assert_eq!(
        acme["plugin"],
        json!({"step": "Compiled", "reason": "Failed"})
    );
    std::fs::write(place.path("files/acme.wasm"), "no component").unwrap();
    let (_, document) = sync(&place, &FILES);
    assert_eq!(row(&document, "acme")["error"]["code"], "PST-1604");
}

#[test]
fn without_a_grant_it_waits_and_the_manifest_that_is_told_opens_it() {
    let place = with_file(&component("1", "ask"), None);
    let (ran, document) = sync(&place, &FILES);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let acme = row(&document, "acme");
    assert_eq!(
        (&acme["plugin"]["step"], &acme["plugin"]["reason"]),
        (&json!("Granted"), &json!("AwaitingGrant"))
    );
    let grant = acme["plugin"]["grant"].as_str().unwrap();
    assert!(ran.err.contains(grant), "{ran:?}");
    let table = place.sync(&["--plugin-files", "files", "--cache-dir", "cache"]);
    assert!(
        table.out.contains("failed (AwaitingGrant, PST-1501)"),
        "{table:?}"
    );

    std::fs::write(place.path("from/grant.yaml"), grant).unwrap();
    let (ran, document) = sync(&place, &FILES);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(row(&document, "acme")["plugin"]["reason"], "Serving");
    holds_the_value(&place);

    // One for another Plugin opens nothing.
    let other = grant.replace("plugin: acme", "plugin: other");
    std::fs::write(place.path("from/grant.yaml"), other).unwrap();
    let (ran, _) = sync(&place, &FILES);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    holds_the_value(&place);
}

#[test]
fn what_no_grant_opens_is_refused_when_it_is_asked_for() {
    let place = with_file(&component("1", "ask"), None);
    let grant = json!({"apiVersion": "postern.dev/v1alpha1", "kind": "PluginGrant", "metadata": {"name": "acme"},
        "spec": {"plugin": "acme", "hosts": ["127.0.0.1:1"]}});
    std::fs::write(place.path("from/grant.yaml"), grant.to_string()).unwrap();
    let store = app("versioned").replace(
        "values:",
        "url: 'http://127.0.0.1:2', fetch: 'http://127.0.0.1:2/x', values:",
    );
    std::fs::write(place.path("from/app.yaml"), store).unwrap();
    let (ran, _) = sync(&place, &FILES);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.err.contains("- 127.0.0.1:2") && ran.err.contains("PluginGrant acme"),
        "{ran:?}"
    );
}

#[test]
fn of_two_plugins_with_one_key_the_first_by_name_serves() {
    let place = with_file(&component("1", "serve"), None);
    let file = json!({"file": {"path": "acme.wasm"}});
    std::fs::write(
        place.path("from/another.yaml"),
        plugin("zeta", "versioned", file),
    )
    .unwrap();
    let (ran, document) = sync(&place, &FILES);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert_eq!(row(&document, "acme")["plugin"]["reason"], "Serving");
    let zeta = row(&document, "zeta");
    assert_eq!(zeta["plugin"]["reason"], "KeyTaken");
    assert!(
        message(zeta).contains("Plugin acme comes first by name"),
        "{document:#}"
    );
    holds_the_value(&place);
}

#[test]
fn a_plugin_with_the_key_of_a_bundled_engine_replaces_it() {
    // `{{ random }}` is no function of the bundled engine.
    let template = "data: [{secretKey: password, remoteRef: {key: k}}], \
        target: {template: {engine: go, data: {t: '{{ .password }}-{{ random }}'}}}}";
    let fake = app("fake")
        .replace(
            &format!("values: {{k: {SENTINEL}}}"),
            &format!("data: [{{key: k, value: {SENTINEL}}}]"),
        )
        .replace(
            "data: [{secretKey: password, remoteRef: {key: k}}]}",
            template,
        );
    let engine = plugin("toy", "go", json!({"file": {"path": "engine.wasm"}}))
        .replace("\"serves\"", "\"kind\":\"TemplateEngine\",\"serves\"");
    let place = Place::with(&[("app.yaml", &fake)]);
    std::fs::create_dir(place.path("files")).unwrap();
    std::fs::write(place.path("files/engine.wasm"), guest("guest_engine")).unwrap();
    let (ran, _) = sync(&place, &FILES);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("PST-13"), "{ran:?}");

    std::fs::write(place.path("from/plugin.yaml"), &engine).unwrap();
    let (ran, document) = sync(&place, &FILES);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(row(&document, "toy")["plugin"]["version"], "0.1.0");
    // Three bytes are four letters, so the value is found before what was drawn.
    let begins = base64::engine::general_purpose::STANDARD.encode(&SENTINEL[..12]);
    assert!(written(&place).unwrap().contains(&begins));
    assert_eq!(document["results"][2]["keys"][0]["name"], "t");

    // Where it cannot serve, the bundled one does not answer in its place, and what is there stays.
    let before = written(&place);
    std::fs::remove_file(place.path("files/engine.wasm")).unwrap();
    let (ran, _) = sync(&place, &FILES);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("Plugin toy does not serve"), "{ran:?}");
    assert_eq!(written(&place), before);
}

#[test]
fn the_pull_secret_and_the_authority_of_a_registry_come_from_the_folder() {
    let registry = Registry::start().unwrap();
    registry
        .put("acme/versioned", "live", &component("1", "serve"))
        .unwrap();
    let front = registry.front(Transport::Https).unwrap();
    front.require_basic("me", "hunter2");
    let ca = base64::engine::general_purpose::STANDARD.encode(front.ca_pem().unwrap());
    let reference = format!("{}/acme/versioned:live", front.address);
    let source = |ca: &str| {
        let mut oci =
            json!({"reference": reference, "pullSecretRef": {"name": "pull", "namespace": "team"}});
        if !ca.is_empty() {
            oci["caBundle"] = ca.into();
        }
        json!({"oci": oci})
    };
    let place = Place::with(&[
        ("app.yaml", &app("versioned")),
        ("plugin.yaml", &plugin("acme", "versioned", source(&ca))),
    ]);
    let (ran, document) = sync(&place, &[]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let said = message(row(&document, "acme"));
    assert!(
        said.contains("spec.source.oci.pullSecretRef")
            && said.contains("\"team/pull\" is not in the folder"),
        "{said}"
    );

    let secret = |config: &Value| {
        json!({"kind": "Secret", "metadata": {"name": "pull", "namespace": "team"},
            "type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": config.to_string()}})
        .to_string()
    };
    let wrong = json!({"auths": {&front.address: {"username": "me", "password": "wrong-hunter"}}});
    std::fs::write(place.path("from/pull.yaml"), secret(&wrong)).unwrap();
    let (ran, _) = sync(&place, &[]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        !ran.err.contains("wrong-hunter") && !ran.out.contains("wrong-hunter"),
        "{ran:?}"
    );

    let right = json!({"auths": {&front.address: {"username": "me", "password": "hunter2"}}});
    std::fs::write(place.path("from/pull.yaml"), secret(&right)).unwrap();
    let (ran, _) = sync(&place, &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    holds_the_value(&place);

    std::fs::write(
        place.path("from/plugin.yaml"),
        plugin("acme", "versioned", source("")),
    )
    .unwrap();
    let (ran, document) = sync(&place, &[]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        message(row(&document, "acme")).contains("caBundle"),
        "{document:#}"
    );
    assert!(
        !ran.err.contains("hunter2") && !ran.out.contains("hunter2"),
        "{ran:?}"
    );
}

#[test]
fn a_registry_that_hangs_does_not_hold_a_sync_beyond_its_time() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let reference = format!("{}/acme/versioned:1", silent.local_addr().unwrap());
    let place = Place::with(&[
        ("app.yaml", &app("versioned")),
        ("plugin.yaml", &plugin("acme", "versioned", oci(&reference))),
    ]);
    let (ran, document) = sync(&place, &["--timeout", "2s"]);
    assert_eq!(ran.code, Some(124), "{ran:?}");
    assert_eq!(row(&document, "acme")["result"], "timed-out");
    assert!(ran.err.contains("still lacking key \"k\""), "{ran:?}");
}

#[test]
fn a_watching_run_follows_the_file_and_keeps_what_serves_where_a_new_one_cannot() {
    let place = with_file(&component("1", "serve"), None);
    let cache = root().join("target/cli-test-cache").display().to_string();
    let mut child = place
        .command(&[
            "--to",
            "out",
            "-o",
            "json",
            "--watch",
            "--cache-dir",
            &cache,
        ])
        .args(FILES)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut until = |version: &str, reason: &str| {
        let seen = lines.find(|line| {
            let document = of_schema(line.as_ref().unwrap());
            let plugin = &row(&document, "acme")["plugin"];
            plugin["version"] == version && plugin["reason"] == reason
        });
        assert!(seen.is_some(), "{version} {reason} never came");
    };
    until("1", "Serving");
    replace(&place.path("files/acme.wasm"), &component("2", "serve"));
    until("2", "Serving");
    replace(&place.path("files/acme.wasm"), &component("3", "strict"));
    until("2", "StoreRejected");
    replace(&place.path("files/acme.wasm"), &component("4", "ask"));
    until("2", "AwaitingGrant");
    holds_the_value(&place);
    replace(&place.path("files/acme.wasm"), &component("5", "serve"));
    until("5", "Serving");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// As an editor or a download does it: nobody reads half of it.
fn replace(file: &Path, bytes: &[u8]) {
    let new = file.with_extension("new");
    std::fs::write(&new, bytes).unwrap();
    std::fs::rename(new, file).unwrap();
}
