//! The page about the way from the External Secrets Operator and back: its commands, as they stand there, with a chart that
//! installs what matters of the other operator. A control plane of its own, whose CRDs no other test needs.

#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, PostParams};
use postern_api::ExternalSecret;
use postern_test_kit::control_plane::{ControlPlane, Options};
use postern_test_kit::{Namespace, tools};
use serde_json::json;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The blocks of commands of the page, in order.
fn commands() -> Vec<String> {
    let page = std::fs::read_to_string(root().join("docs/migrate.md")).unwrap();
    let blocks = page.split("```sh\n").skip(1);
    blocks
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

/// A chart with the CRDs as templates and a Deployment, as the other operator's has them.
fn stand_in(folder: &Path) {
    let templates = folder.join("templates");
    std::fs::create_dir_all(&templates).unwrap();
    std::fs::write(
        folder.join("Chart.yaml"),
        "apiVersion: v2\nname: external-secrets\nversion: 1.0.0\n",
    )
    .unwrap();
    std::fs::write(folder.join("values.yaml"), "crds: {annotations: {}}\n").unwrap();
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "external-secrets"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "eso"}}, "template": {
            "metadata": {"labels": {"app": "eso"}}, "spec": {"containers": [{"name": "eso", "image": "eso"}]}}}});
    std::fs::write(templates.join("deployment.yaml"), deployment.to_string()).unwrap();
    for name in [
        "externalsecrets",
        "clusterexternalsecrets",
        "secretstores",
        "clustersecretstores",
    ] {
        let crd = root().join(format!("deploy/chart/files/crds/{name}.yaml"));
        let crd = std::fs::read_to_string(crd).unwrap();
        // Braces of the texts in it are no actions of the chart.
        let crd = crd.replace("{{", "{{ `{{` }}");
        let head = "metadata:\n  annotations: {{- toYaml .Values.crds.annotations | nindent 4 }}\n";
        std::fs::write(
            templates.join(format!("{name}.yaml")),
            annotated(&crd, head),
        )
        .unwrap();
    }
}

/// Puts the values' annotations into a CRD, which is JSON or YAML of one document.
fn annotated(crd: &str, head: &str) -> String {
    let object: serde_json::Value = serde_saphyr::from_str(crd).unwrap();
    let name = &object["metadata"]["name"];
    format!(
        "{head}  name: {name}\napiVersion: {}\nkind: {}\nspec: {}\n",
        object["apiVersion"], object["kind"], object["spec"]
    )
}

/// Runs a block of the page from the root of the repository.
fn run(plane: &ControlPlane, at: &Path, block: &str) -> String {
    let block = block
        .replace(
            "external-secrets/external-secrets",
            &at.join("chart").display().to_string(),
        )
        .replace("--version VERSION", "")
        .replace(
            "values-of-eso.yaml",
            &at.join("values-of-eso.yaml").display().to_string(),
        );
    let kubectl = plane.kubectl().get_program().to_owned();
    let helm = tools::helm().unwrap();
    let tools = [Path::new(&kubectl), helm.as_path()].map(|tool| tool.parent().unwrap());
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{}:{path}", tools[0].display(), tools[1].display());
    let mut command = Command::new("sh");
    command
        .args(["-eu", "-c", &block])
        .current_dir(root())
        .env("PATH", path)
        .env("KUBECONFIG", plane.kubeconfig_path());
    for (name, folder) in [
        ("HELM_CACHE_HOME", "cache"),
        ("HELM_CONFIG_HOME", "config"),
        ("HELM_DATA_HOME", "data"),
    ] {
        command.env(name, at.join(folder));
    }
    let ran = command.output().unwrap();
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    let error = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{block}\n{text}\n{error}");
    text
}

#[tokio::test]
async fn the_steps_of_the_page_lose_nothing_and_lead_back() {
    let plane = ControlPlane::start_with(&Options::default()).unwrap();
    let client = plane.client().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    stand_in(&at.join("chart"));
    let install = "helm install external-secrets external-secrets/external-secrets --namespace external-secrets --create-namespace";
    run(&plane, at, install);
    let wait = "kubectl wait --for condition=established --timeout 30s crd/externalsecrets.external-secrets.io";
    run(&plane, at, wait);
    let namespace = Namespace::create(&client, "migrate").await.unwrap();
    let objects: Api<ExternalSecret> = namespace.api(&client);
    let object = json!({"metadata": {"name": "app"}, "spec": {"secretStoreRef": {"name": "s"},
        "data": [{"secretKey": "a", "remoteRef": {"key": "k"}}]}});
    let object: ExternalSecret = serde_json::from_value(object).unwrap();
    let before = objects
        .create(&PostParams::default(), &object)
        .await
        .unwrap();
    let secrets: Api<Secret> = namespace.api(&client);
    let secret = serde_json::from_value(json!({"metadata": {"name": "app"}})).unwrap();
    secrets
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();

    let blocks = commands();
    assert_eq!(blocks.len(), 6);
    let [look, keep, take_away, install, see, back] = &blocks[..] else {
        unreachable!("counted above")
    };
    run(&plane, at, look);
    let kept = run(&plane, at, keep);
    assert_eq!(kept.matches(" keep\n").count(), 3, "{kept}");
    let peer: Api<Deployment> = Api::namespaced(client.clone(), "external-secrets");
    assert!(peer.get_opt("external-secrets").await.unwrap().is_some());
    run(&plane, at, take_away);
    assert!(peer.get_opt("external-secrets").await.unwrap().is_none());
    run(&plane, at, install);
    let ours: Api<Deployment> = Api::namespaced(client.clone(), "postern-system");
    assert!(ours.get_opt("postern").await.unwrap().is_some());
    let listed = run(&plane, at, see);
    assert!(listed.contains("ENTRIES"), "{listed}");
    run(&plane, at, back);
    assert!(ours.get_opt("postern").await.unwrap().is_none());
    assert!(peer.get_opt("external-secrets").await.unwrap().is_some());

    let after = objects.get("app").await.unwrap();
    assert_eq!(after.metadata.uid, before.metadata.uid);
    assert!(secrets.get_opt("app").await.unwrap().is_some());
}
