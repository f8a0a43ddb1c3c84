//! The chart as Helm installs it, and the controller as the ServiceAccount that came with it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, Role};
use kube::api::PostParams;
use kube::{Api, Client};
use postern_cluster_tests::{PATIENCE, established, guest};
use postern_controller::{Options, Plugins};
use postern_core::egress::AddressRules;
use postern_registry::Registry as Sources;
use postern_runtime::Runtime;
use postern_runtime::aot::CompileWith;
use postern_test_kit::control_plane::{self, ControlPlane};
use postern_test_kit::{Namespace, tools};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// One release at a time, since each has a controller.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A release of the chart in a namespace of its own.
pub struct Installed {
    pub plane: &'static ControlPlane,
    /// The administrator's.
    pub client: Client,
    pub namespace: Namespace,
    release: &'static str,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    _turn: tokio::sync::MutexGuard<'static, ()>,
}

impl Installed {
    /// Installs the chart, with these further values.
    pub async fn new(release: &'static str, values: &[&str]) -> Self {
        let turn = TURN.lock().await;
        let plane = tokio::task::spawn_blocking(plane).await.unwrap();
        let client = plane.client().unwrap();
        let namespace = Namespace::create(&client, release).await.unwrap();
        let installed = Self {
            plane,
            client,
            namespace,
            release,
            running: None,
            _turn: turn,
        };
        let class = format!("controllerClass={}", installed.namespace.name());
        let scope = format!("scopedNamespace={}", installed.namespace.name());
        let mut all = vec![class.as_str(), "podDisruptionBudget.enabled=true"];
        all.extend(["networkPolicy.enabled=true", "metrics.service.enabled=true"]);
        if values.contains(&"scopedRBAC=true") {
            all.push(&scope);
        }
        all.extend(values);
        let chart = chart().display().to_string();
        // CRDs that an uninstalled release has left, or another operator.
        let mut arguments = vec!["install", release, &chart, "--take-ownership"];
        for value in all {
            arguments.extend(["--set", value]);
        }
        installed.helm(&arguments);
        established(&installed.client).await;
        installed
    }

    fn helm(&self, arguments: &[&str]) -> String {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new(tools::helm().unwrap());
        for (name, folder) in [
            ("HELM_CACHE_HOME", "cache"),
            ("HELM_CONFIG_HOME", "config"),
            ("HELM_DATA_HOME", "data"),
        ] {
            command.env(name, home.path().join(folder));
        }
        command
            .env("KUBECONFIG", self.plane.kubeconfig_path())
            .args(arguments)
            .args(["--namespace", self.namespace.name()]);
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "helm {arguments:?}: {error}\n{text}"
        );
        text
    }

    fn account(&self) -> String {
        format!("{}-postern", self.release)
    }

    /// The controller, as the API server names it.
    pub fn user(&self) -> String {
        format!(
            "system:serviceaccount:{}:{}",
            self.namespace.name(),
            self.account()
        )
    }

    /// What the release's role grants, as the API server has it.
    pub async fn rights(&self) -> BTreeSet<String> {
        let name = self.account();
        let roles: Api<Role> = self.namespace.api(&self.client);
        let rules = match roles.get_opt(&name).await.unwrap() {
            Some(role) => role.rules,
            None => {
                Api::<ClusterRole>::all(self.client.clone())
                    .get(&name)
                    .await
                    .unwrap()
                    .rules
            }
        };
        crate::record::granted(&rules.unwrap_or_default())
    }

    /// A client with a token of the release's ServiceAccount.
    async fn as_account(&self) -> Client {
        let accounts: Api<ServiceAccount> = self.namespace.api(&self.client);
        let request = TokenRequest {
            spec: TokenRequestSpec::default(),
            ..TokenRequest::default()
        };
        let answer = accounts
            .create_token_request(&self.account(), &PostParams::default(), &request)
            .await
            .unwrap();
        self.plane
            .client_for(&answer.status.unwrap().token)
            .unwrap()
    }

    /// Starts the controller as the ServiceAccount, for the whole cluster or one namespace.
    pub async fn start(&mut self, namespace: Option<String>, plugin_files: &Path) {
        let client = self.as_account().await;
        let runtime = runtime().await;
        let mut options = Options {
            namespace,
            controller_class: self.namespace.name().to_owned(),
            plugins: Some(Plugins {
                sources: Arc::new(Sources::new(None, Some(plugin_files.to_owned()))),
                revisions: runtime.clone(),
                trial: Duration::from_secs(2),
            }),
            ..Options::default()
        };
        options.doors.rules = AddressRules {
            loopback: true,
            ..AddressRules::default()
        };
        options.doors.store_interval = Duration::from_secs(2);
        let readiness = options.readiness.clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let shutdown = async {
                // Dropped is stopped, too.
                let _ = stopped.await;
            };
            postern_controller::run(client, runtime, options, shutdown)
                .await
                .unwrap();
        });
        let ready = tokio::time::timeout(PATIENCE, readiness.wait()).await;
        assert!(ready.is_ok(), "{}", self.seen("the controller is ready"));
        self.running = Some((stop, task));
    }

    /// What was waited for, and what the API server refused meanwhile.
    pub fn seen(&self, what: &str) -> String {
        format!(
            "{what}; the API server said {:#?}",
            crate::record::errors(self)
        )
    }

    /// Ends the controller as a pod ends.
    pub async fn stop(&mut self) {
        if let Some((stop, task)) = self.running.take() {
            drop(stop);
            task.await.unwrap();
        }
    }

    /// After `helm uninstall` the operator and its rights are gone; CRDs, ExternalSecrets and Secrets are not.
    pub async fn uninstall_keeps_what_people_have(&self) {
        let names = || async {
            let secrets: Api<Secret> = self.namespace.api(&self.client);
            let all = secrets
                .list(&kube::api::ListParams::default())
                .await
                .unwrap();
            let names = all.into_iter().filter_map(|s| s.metadata.name);
            // Helm keeps its own record in one.
            names
                .filter(|n| !n.starts_with("sh.helm"))
                .collect::<BTreeSet<_>>()
        };
        let before = names().await;
        assert!(!before.is_empty());
        self.helm(&["uninstall", self.release]);
        established(&self.client).await;
        assert_eq!(names().await, before);
        let deployments: Api<Deployment> = self.namespace.api(&self.client);
        assert!(
            deployments
                .get_opt(&self.account())
                .await
                .unwrap()
                .is_none()
        );
        let roles: Api<ClusterRole> = Api::all(self.client.clone());
        assert!(roles.get_opt(&self.account()).await.unwrap().is_none());
    }
}

fn plane() -> &'static ControlPlane {
    static PLANE: OnceLock<ControlPlane> = OnceLock::new();
    PLANE.get_or_init(|| {
        ControlPlane::start_with(&control_plane::Options {
            audit: true,
            // As OpenShift has it: whoever blocks the deletion of an owner must be allowed to change its finalizers.
            extra_apiserver_flags: vec![
                "--enable-admission-plugins=OwnerReferencesPermissionEnforcement".to_owned(),
            ],
            ..control_plane::Options::default()
        })
        .unwrap()
    })
}

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/chart")
}

async fn runtime() -> Arc<Runtime> {
    let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    std::fs::create_dir_all(&cache).unwrap();
    let runtime = Runtime::builder()
        .cache_dir(cache)
        .compile_with(CompileWith::InProcess)
        .build()
        .unwrap();
    for name in ["fake", "vault"] {
        let bytes = std::fs::read(guest(name)).unwrap();
        runtime.load_bytes(&bytes, true).await.unwrap();
    }
    Arc::new(runtime)
}
