//! (2) A first sync on a real API server, beside a bare client that makes the same writes on the same server: create
//! the Secret, patch the status, post the event, 32 in flight.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Event, Secret};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use postern_api::{ExternalSecret, SecretStore};
use postern_test_kit::control_plane::Options;
use postern_test_kit::kvserver::CountingVault;
use postern_test_kit::{ControlPlane, Namespace};
use serde_json::json;

use crate::process;

/// How much.
#[derive(Clone, Copy)]
pub struct Size {
    /// ExternalSecrets.
    pub objects: usize,
    /// Objects at the backend that they share.
    pub keys: usize,
}

/// Requests of the bare client at once, and of our set-up.
const IN_FLIGHT: usize = 32;

/// Measures and prints.
pub async fn run(postern: &Path, size: Size) -> anyhow::Result<()> {
    anyhow::ensure!(
        postern.is_file(),
        "{} is missing; build it with the same profile",
        postern.display()
    );
    let plane = ControlPlane::start_with(&Options {
        for_load: true,
        ..Options::default()
    })?;
    let client = plane.client()?;
    apply_crds(&plane)?;
    let bare = bare_client(&client, size).await?;
    println!(
        "bare client: {} objects in {:.2} s ({} requests in flight)",
        size.objects,
        bare.as_secs_f64(),
        IN_FLIGHT
    );

    let vault = backend(size.keys)?;
    let namespace = Namespace::create(&client, "bench").await?;
    manifests(&client, &namespace, vault_url(&vault), size).await?;
    let mut operator = start(postern, &plane)?;
    let start = Instant::now();
    let measured = wait_until_synced(&client, &namespace, size.objects).await;
    let took = start.elapsed();
    let usage = process::usage(operator.id());
    let _ = operator.kill();
    let _ = operator.wait();
    measured?;
    let usage = usage?;
    let objects = u32::try_from(size.objects)?;
    println!(
        "postern: {} objects over {} keys in {:.2} s from its start",
        size.objects,
        size.keys,
        took.as_secs_f64()
    );
    println!(
        "ratio to the bare client: {:.2}",
        took.as_secs_f64() / bare.as_secs_f64()
    );
    println!(
        "CPU: {:.2} s, {:.2} ms an object",
        usage.cpu.as_secs_f64(),
        usage.cpu.as_secs_f64() * 1e3 / f64::from(objects)
    );
    println!("peak memory: {:.1} MB", usage.peak as f64 / 1e6);
    println!(
        "backend: {} reads, {} logins",
        vault.reads(),
        vault.logins()
    );
    Ok(())
}

fn vault_url(vault: &CountingVault) -> &str {
    use postern_test_kit::kvserver::Vaultlike as _;
    vault.url()
}

fn backend(keys: usize) -> anyhow::Result<CountingVault> {
    let vault = CountingVault::start()?;
    for key in 0..keys {
        vault.put(
            "secret",
            &format!("app/{key}"),
            json!({"user": format!("user-{key}"), "password": format!("pw-{key}")}),
        );
    }
    vault.policy("app", &["secret/data/app/*"]);
    vault.approle("bench-role", "bench-secret-id", &["app"]);
    Ok(vault)
}

fn apply_crds(plane: &ControlPlane) -> anyhow::Result<()> {
    let file = tempfile::Builder::new().suffix(".json").tempfile()?;
    let list = json!({"apiVersion": "v1", "kind": "List", "items": postern_api::crds()});
    std::fs::write(file.path(), serde_json::to_vec(&list)?)?;
    let output = plane
        .kubectl()
        .args(["apply", "--server-side", "-f"])
        .arg(file.path())
        .output()?;
    anyhow::ensure!(
        output.status.success(),
        "kubectl apply: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let wait = [
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "crd/externalsecrets.external-secrets.io",
        "crd/secretstores.external-secrets.io",
    ];
    let output = plane.kubectl().args(wait).output()?;
    anyhow::ensure!(
        output.status.success(),
        "kubectl wait: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

async fn manifests(
    client: &Client,
    namespace: &Namespace,
    url: &str,
    size: Size,
) -> anyhow::Result<()> {
    let post = PostParams::default();
    let credential =
        json!({"metadata": {"name": "approle"}, "stringData": {"secret-id": "bench-secret-id"}});
    namespace
        .api::<Secret>(client)
        .create(&post, &serde_json::from_value(credential)?)
        .await?;
    let store = json!({
        "apiVersion": "external-secrets.io/v1", "kind": "SecretStore", "metadata": {"name": "vault"},
        "spec": {"provider": {"vault": {
            "server": url, "path": "secret", "version": "v2",
            "auth": {"appRole": {"path": "approle", "roleId": "bench-role", "secretRef": {"name": "approle", "key": "secret-id"}}},
        }}},
    });
    namespace
        .api::<SecretStore>(client)
        .create(&post, &serde_json::from_value(store)?)
        .await?;
    create_external_secrets(client, namespace, size).await
}

async fn create_external_secrets(
    client: &Client,
    namespace: &Namespace,
    size: Size,
) -> anyhow::Result<()> {
    let api = namespace.api::<ExternalSecret>(client);
    let results: Vec<anyhow::Result<()>> = futures::stream::iter(0..size.objects)
        .map(|index| {
            let api = api.clone();
            async move {
                let entry = |property: &str| json!({"secretKey": property, "remoteRef": {"key": format!("app/{}", index % size.keys), "property": property}});
                let object = json!({
                    "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "metadata": {"name": format!("es-{index}")},
                    "spec": {"secretStoreRef": {"name": "vault"}, "refreshInterval": "1h", "data": [entry("user"), entry("password")]},
                });
                api.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
                Ok(())
            }
        })
        .buffer_unordered(IN_FLIGHT)
        .collect()
        .await;
    results.into_iter().collect()
}

/// The same writes without any thought: what the API server itself takes.
async fn bare_client(client: &Client, size: Size) -> anyhow::Result<Duration> {
    let namespace = Namespace::create(client, "bare").await?;
    create_external_secrets(client, &namespace, size).await?;
    let start = Instant::now();
    let results: Vec<anyhow::Result<()>> = futures::stream::iter(0..size.objects)
        .map(|index| bare_writes(client, &namespace, index))
        .buffer_unordered(IN_FLIGHT)
        .collect()
        .await;
    results.into_iter().collect::<anyhow::Result<()>>()?;
    let took = start.elapsed();
    // Gone before the operator starts: it would serve them too.
    let (delete, all) = (DeleteParams::default(), ListParams::default());
    namespace
        .api::<ExternalSecret>(client)
        .delete_collection(&delete, &all)
        .await?;
    namespace
        .api::<Secret>(client)
        .delete_collection(&delete, &all)
        .await?;
    Ok(took)
}

async fn bare_writes(client: &Client, namespace: &Namespace, index: usize) -> anyhow::Result<()> {
    let name = format!("es-{index}");
    let post = PostParams::default();
    let secret = json!({
        "metadata": {
            "name": name,
            "labels": {"reconcile.external-secrets.io/managed": "true", "reconcile.external-secrets.io/created-by": "0".repeat(56)},
            "annotations": {"reconcile.external-secrets.io/data-hash": "0".repeat(56)},
        },
        "stringData": {"user": format!("user-{index}"), "password": format!("pw-{index}")},
    });
    namespace
        .api::<Secret>(client)
        .create(&post, &serde_json::from_value(secret)?)
        .await?;
    let status = json!({"status": {
        "refreshTime": "2026-01-01T00:00:00Z", "syncedResourceVersion": format!("1-{}", "0".repeat(56)), "binding": {"name": name},
        "conditions": [{"type": "Ready", "status": "True", "reason": "SecretSynced", "message": "secret synced",
            "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1}],
    }});
    let api = namespace.api::<ExternalSecret>(client);
    api.patch_status(&name, &PatchParams::default(), &Patch::Merge(status))
        .await?;
    let event = json!({
        "metadata": {"generateName": format!("{name}.")}, "type": "Normal", "reason": "Created", "message": "secret created",
        "involvedObject": {"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "name": name, "namespace": namespace.name()},
        "source": {"component": "external-secrets"}, "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z", "count": 1,
    });
    namespace
        .api::<Event>(client)
        .create(&post, &serde_json::from_value(event)?)
        .await?;
    Ok(())
}

fn start(postern: &Path, plane: &ControlPlane) -> anyhow::Result<Child> {
    Command::new(postern)
        .args([
            "run",
            "--allow-egress",
            "127.0.0.0/8",
            "--log-level",
            "warn",
        ])
        .env("KUBECONFIG", plane.kubeconfig_path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("could not start {}", postern.display()))
}

async fn wait_until_synced(
    client: &Client,
    namespace: &Namespace,
    objects: usize,
) -> anyhow::Result<()> {
    let api: Api<ExternalSecret> = namespace.api(client);
    let deadline = Instant::now() + Duration::from_secs(300);
    // A light question to the server: how many managed Secrets there are; the statuses are looked at once at the end.
    let managed = ListParams::default().labels("reconcile.external-secrets.io/managed=true");
    let secrets = namespace.api::<Secret>(client);
    while Instant::now() < deadline {
        if secrets.list_metadata(&managed).await?.items.len() >= objects && all_ready(&api).await? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(anyhow!(
        "not all of {objects} ExternalSecrets were synced within 300 s"
    ))
}

async fn all_ready(api: &Api<ExternalSecret>) -> anyhow::Result<bool> {
    let list = api.list(&ListParams::default()).await?;
    Ok(list.items.iter().all(|es| {
        let conditions = es.status.iter().flat_map(|s| s.conditions.iter().flatten());
        let ready = conditions
            .into_iter()
            .any(|c| c.type_ == "Ready" && c.status == "True");
        ready || es.name_any().is_empty()
    }))
}
