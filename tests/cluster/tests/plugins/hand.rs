//! `postern plugin ls` and `postern plugin rollback`, as an administrator types them, with a controller beside them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::PostParams;
use kube::{Api, Client};
use postern_api::{Plugin, SecretStore};
use postern_test_kit::ControlPlane;
use serde_json::{Value, json};

use crate::desk::Desk;

/// The binary that the build of the workspace leaves beside the tests.
fn postern() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let binary = tests.ancestors().nth(2).unwrap().join("postern");
    assert!(
        binary.is_file(),
        "{} is missing: run `cargo build --workspace --bins`",
        binary.display()
    );
    binary
}

#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs the command on a thread that may block.
async fn run(kubeconfig: &Path, arguments: &[&str]) -> Ran {
    let mut command = Command::new(postern());
    command
        .env_clear()
        .env("KUBECONFIG", kubeconfig)
        .args(arguments);
    let run = move || command.output().unwrap();
    let Output {
        status,
        stdout,
        stderr,
    } = tokio::task::spawn_blocking(run).await.unwrap();
    Ran {
        code: status.code(),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}

async fn plugin(arguments: &[&str]) -> Ran {
    let kubeconfig = ControlPlane::shared().kubeconfig_path();
    run(&kubeconfig, &[&["plugin"], arguments].concat()).await
}

/// The example at the end of the help, as it stands there.
async fn example(command: &str) -> Ran {
    let help = plugin(&[command, "--help"]).await;
    let (_, line) = help.out.split_once("Example:\n  postern plugin ").unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    plugin(&words).await
}

fn of_schema(schema: &str, text: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs/schemas")
        .join(schema);
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let document: Value = serde_json::from_str(text).unwrap();
    let errors: Vec<String> = jsonschema::validator_for(&schema)
        .unwrap()
        .iter_errors(&document)
        .map(|error| format!("{error} at {}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:?}\n{document:#}");
    document
}

async fn annotation(desk: &Desk, name: &str) -> Option<String> {
    let api: Api<Plugin> = Api::all(desk.client.clone());
    let annotations = api.get(name).await.unwrap().metadata.annotations;
    annotations.and_then(|mut all| all.remove("postern.dev/refused-digests"))
}

/// How many stores of the cluster name a provider.
async fn naming(provider: &str, client: &Client) -> usize {
    let stores: Api<SecretStore> = Api::all(client.clone());
    let stores = stores
        .list(&kube::api::ListParams::default())
        .await
        .unwrap();
    let names = |store: &&SecretStore| {
        serde_json::to_value(&store.spec).unwrap()["provider"]
            .get(provider)
            .is_some()
    };
    stores.items.iter().filter(names).count()
}

/// A folder with the provider `fake`, as it lies beside an installed binary.
fn bundle() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guests");
    std::fs::create_dir(dir.path().join("from")).unwrap();
    std::fs::copy(guests.join("fake.wasm"), dir.path().join("from/fake.wasm")).unwrap();
    let made = Command::new(postern())
        .args(["bundle", "--from"])
        .arg(dir.path().join("from"))
        .arg("--to")
        .arg(dir.path().join("plugins"))
        .status();
    assert!(made.unwrap().success());
    dir
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ls_says_where_each_plugin_stands_and_what_is_bundled() {
    let desk = Desk::new("ls").await;
    desk.publish("live", "1", "serve");
    desk.plugin("acme", "versioned").await;
    let status = desk.serves("acme", "1").await;
    let digest = status.active.unwrap().digest;
    desk.plugin("zeta", "versioned").await;
    desk.plugin_is("zeta", "Active", "False", "KeyTaken").await;
    desk.plugin_is("acme", "Active", "True", "Serving").await;
    desk.store("s", json!({"versioned": {"values": {"a": "x"}}}))
        .await;
    let bundle = bundle();
    let dir = bundle.path().join("plugins").display().to_string();
    let ls = async |form: &str| plugin(&["ls", "--plugins-dir", &dir, "-o", form]).await;

    let ran = ls("json").await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
    let all = of_schema("plugin-ls.json", &ran.out);
    let [acme, zeta] = all["plugins"].as_array().unwrap().as_slice() else {
        panic!("{all:#}");
    };
    assert_eq!(acme["state"], "Serving");
    assert_eq!(
        (&acme["active"]["digest"], &acme["active"]["version"]),
        (&json!(digest), &json!("1"))
    );
    // Stores of tests that ran before on this control plane are still there.
    let stores = naming("versioned", &desk.client).await;
    assert!(stores >= 1);
    assert_eq!(acme["stores"], json!({"naming": stores, "served": stores}));
    assert_eq!(zeta["state"], "Resolved: KeyTaken");
    assert_eq!(zeta["stores"], json!({"naming": stores, "served": 0}));
    assert!(
        zeta["stopped"]["message"]
            .as_str()
            .unwrap()
            .contains("acme")
    );
    assert_eq!(all["bundled"][0]["name"], "fake");
    assert_eq!(all["bundled"][0]["replaced"], false);

    let text = ls("text").await.out;
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("NAME  KIND "), "{text}");
    assert!(
        lines[1].contains(&digest[..19]) && !text.contains(&digest),
        "{text}"
    );
    assert!(lines[3].contains("bundled with postern "), "{text}");
    let wide = ls("wide").await.out;
    assert!(
        wide.contains(&digest) && wide.contains("is older and serves"),
        "{wide}"
    );
    assert_eq!(ls("name").await.out, "plugin/acme\nplugin/zeta\n");
    assert!(ls("yaml").await.out.starts_with("---\n"));
    assert_eq!(example("ls").await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_ls_may_not_count_for_is_listed_without_a_count() {
    let desk = Desk::new("role").await;
    desk.publish("live", "1", "serve");
    desk.plugin("acme", "versioned").await;
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, limited(&desk).await).unwrap();
    let ran = run(&kubeconfig, &["plugin", "ls", "-o", "json"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.err.contains("your role may not list the stores"),
        "{ran:?}"
    );
    let all = of_schema("plugin-ls.json", &ran.out);
    assert_eq!(all["plugins"][0].get("stores"), None, "{all:#}");
    // It may look, and not write.
    desk.serves("acme", "1").await;
    desk.publish("live", "2", "serve");
    desk.serves("acme", "2").await;
    let ran = run(&kubeconfig, &["plugin", "rollback", "acme"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
    assert!(
        ran.err.contains("annotating Plugin acme") && ran.err.contains("PST-1701"),
        "{ran:?}"
    );
    assert_eq!(annotation(&desk, "acme").await, None);
}

/// A kubeconfig of a service account that may read Plugins and nothing else.
async fn limited(desk: &Desk) -> String {
    let name = desk.namespace.name();
    create::<ServiceAccount>(&desk.api(), json!({"metadata": {"name": "reader"}})).await;
    let role = json!({"metadata": {"name": name}, "rules": [
        {"apiGroups": ["postern.dev"], "resources": ["plugins"], "verbs": ["get", "list"]}]});
    create::<ClusterRole>(&all(&desk.client), role).await;
    let binding = json!({"metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": name}]});
    create::<ClusterRoleBinding>(&all(&desk.client), binding).await;
    let request = TokenRequest {
        spec: TokenRequestSpec::default(),
        ..TokenRequest::default()
    };
    let token = desk
        .api::<ServiceAccount>()
        .create_token_request("reader", &PostParams::default(), &request)
        .await
        .unwrap();
    let token = token.status.unwrap().token;
    let plane = ControlPlane::shared();
    std::fs::read_to_string(plane.kubeconfig_path())
        .unwrap()
        .replace(plane.admin_token(), &token)
}

fn all<K: kube::Resource<Scope = k8s_openapi::ClusterResourceScope, DynamicType = ()>>(
    client: &Client,
) -> Api<K> {
    Api::all(client.clone())
}

async fn create<K>(api: &Api<K>, object: Value)
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let object = serde_json::from_value(object).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollback_goes_back_a_version_and_undo_takes_that_back() {
    let desk = Desk::new("rollback").await;
    desk.publish("live", "1", "serve");
    desk.plugin("acme-vault", "versioned").await;
    desk.store("s", json!({"versioned": {"values": {"a": "x"}}}))
        .await;
    let spec = json!({"refreshInterval": "1s", "secretStoreRef": {"name": "s"}, "data": [{"secretKey": "a", "remoteRef": {"key": "a"}}]});
    desk.external_secret("es", spec).await;
    desk.plugin_is("acme-vault", "Active", "True", "Serving")
        .await;
    desk.synced("es", "True", "").await;
    // What was asked before the plugin was there has failed.
    desk.failures.lock().unwrap().clear();
    let first = desk.serves("acme-vault", "1").await.active.unwrap().digest;

    // Nothing has served before the first one.
    let ran = plugin(&["rollback", "acme-vault"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
    assert!(
        ran.err.contains("no revision to go back to") && ran.err.contains("PST-1608"),
        "{ran:?}"
    );
    assert_eq!(annotation(&desk, "acme-vault").await, None);

    desk.publish("live", "2", "serve");
    let second = desk.serves("acme-vault", "2").await.active.unwrap().digest;
    let ran = example("rollback").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(
        ran.out,
        format!("acme-vault: {second} (version 2) is refused; {first} (version 1) serves\n")
    );
    desk.serves("acme-vault", "1").await;
    assert_eq!(annotation(&desk, "acme-vault").await, Some(second.clone()));
    let ran = plugin(&["ls", "-o", "json"]).await;
    let all = of_schema("plugin-ls.json", &ran.out);
    let listed = &all["plugins"][0];
    assert_eq!(
        listed["refused"],
        json!([{"digest": second, "by": "hand", "message": null}])
    );
    assert_eq!(listed["state"], "LastGood (Probed: Refused)");

    // The version before serves now, and there is none before it.
    let ran = plugin(&["rollback", "acme-vault"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(annotation(&desk, "acme-vault").await, Some(second.clone()));

    let ran = plugin(&["rollback", "acme-vault", "--undo", "--wait", "-o", "json"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let undone = of_schema("plugin-rollback.json", &ran.out);
    assert_eq!(undone["serves"], json!({"digest": second, "version": "2"}));
    assert_eq!(undone["serving"], true);
    desk.serves("acme-vault", "2").await;
    assert_eq!(annotation(&desk, "acme-vault").await, None);
    let ran = plugin(&["rollback", "acme-vault", "--undo"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("refused by hand"), "{ran:?}");
    assert_eq!(desk.secrets().await["es"]["a"], "x");
    assert_eq!(*desk.failures.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_that_nobody_carries_out_is_waited_for_in_vain() {
    let mut desk = Desk::new("vain").await;
    desk.publish("live", "1", "serve");
    desk.plugin("acme", "versioned").await;
    desk.plugin_is("acme", "Active", "True", "Serving").await;
    desk.publish("live", "2", "serve");
    let second = desk.serves("acme", "2").await.active.unwrap().digest;
    desk.kill().await;
    let arguments = [
        "rollback",
        "acme",
        "--wait",
        "--timeout",
        "1s",
        "-o",
        "json",
    ];
    let ran = plugin(&arguments).await;
    assert_eq!(ran.code, Some(124), "{ran:?}");
    let told = of_schema("plugin-rollback.json", &ran.out);
    assert_eq!(
        (&told["written"], &told["serving"]),
        (&json!(true), &json!(false))
    );
    assert!(ran.err.contains("does not serve after 1 s"), "{ran:?}");
    // Said twice, it is written once.
    let again = plugin(&["rollback", "acme"]).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.out.contains("was refused already"), "{again:?}");
    assert_eq!(annotation(&desk, "acme").await, Some(second));
    desk.start().await;
    desk.serves("acme", "1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_plugin_or_the_cluster_it_is_said_what_is_missing() {
    let _desk = Desk::new("none").await;
    let ran = plugin(&["rollback", "nobody"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
    assert!(
        ran.err.contains("Plugin nobody does not exist") && ran.err.contains("PST-1609"),
        "{ran:?}"
    );
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let ran = run(&kubeconfig, &["plugin", "ls"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
    assert!(
        ran.err.contains("no cluster was found; set KUBECONFIG") && ran.err.contains("PST-1701"),
        "{ran:?}"
    );
    let real = std::fs::read_to_string(ControlPlane::shared().kubeconfig_path()).unwrap();
    let url = ControlPlane::shared().url();
    std::fs::write(&kubeconfig, real.replace(url, "https://127.0.0.1:1")).unwrap();
    let ran = run(&kubeconfig, &["plugin", "ls"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
    assert!(
        ran.err.contains("the API server does not answer"),
        "{ran:?}"
    );
}
