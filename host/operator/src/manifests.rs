//! `postern manifests`: everything that an installation needs, as plain manifests. A test holds them against what the
//! chart renders with its defaults, so the two install the same.

use anyhow::Context as _;
use clap::Args;
use postern_controller::rbac::{self, RULES, Reach};
use serde_json::{Value, json};

/// Name of every object, and of the app in their labels.
const NAME: &str = "postern";
const RBAC_GROUP: &str = "rbac.authorization.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io/v1";
/// Port of metrics and probes.
const PORT: u16 = 8080;
/// Where plugins from outside are kept; the only place that can be written.
const CACHE: &str = "/var/cache/postern";

/// Arguments of `manifests`.
#[derive(Debug, Args)]
pub struct Manifests {
    /// Where the operator runs.
    #[arg(
        long,
        env = "POSTERN_NAMESPACE",
        default_value = "postern-system",
        value_name = "NAMESPACE"
    )]
    pub namespace: String,
    /// The image. No image is published yet: build one and name it here.
    #[arg(long, env = "POSTERN_IMAGE", default_value = concat!("postern.dev/postern:", env!("CARGO_PKG_VERSION")), value_name = "IMAGE")]
    pub image: String,
    /// Serve this namespace only, with a Role in it.
    #[arg(long, env = "POSTERN_SCOPED")]
    pub scoped: bool,
    /// Leave the CRDs out, for whoever may not install them.
    #[arg(long, env = "POSTERN_NO_CRDS")]
    pub no_crds: bool,
}

/// The manifests as YAML documents, in the order in which they can be applied.
pub fn yaml(settings: &Manifests) -> anyhow::Result<String> {
    let mut text = String::new();
    for object in objects(settings) {
        let document = serde_saphyr::to_string(&object).context("writing a manifest as YAML")?;
        text.push_str("---\n");
        text.push_str(&document);
        if !text.ends_with('\n') {
            text.push('\n');
        }
    }
    Ok(text)
}

fn objects(settings: &Manifests) -> Vec<Value> {
    let mut all = Vec::new();
    if !settings.no_crds {
        all.extend(postern_api::crds().into_iter().map(labelled));
    }
    // A namespace that is served alone was there before us, and must outlive us.
    if !settings.scoped {
        all.push(json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": settings.namespace},
        }));
    }
    all.push(labelled(json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": NAME, "namespace": settings.namespace},
    })));
    all.extend(roles(settings).into_iter().map(labelled));
    all.push(labelled(deployment(settings)));
    all
}

fn labels() -> Value {
    json!({
        "app.kubernetes.io/name": NAME,
        "app.kubernetes.io/instance": NAME,
        "app.kubernetes.io/version": env!("CARGO_PKG_VERSION"),
    })
}

/// Adds our labels to those that the object has.
fn labelled(mut object: Value) -> Value {
    let has = object["metadata"]["labels"].take();
    let mut all = labels();
    for (key, value) in has.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    object["metadata"]["labels"] = all;
    object
}

/// What the operator may do, and what people may.
fn roles(settings: &Manifests) -> Vec<Value> {
    let scoped = settings.scoped;
    let (role, binding) = if scoped {
        ("Role", "RoleBinding")
    } else {
        ("ClusterRole", "ClusterRoleBinding")
    };
    let of = |reach| {
        let wanted = move |rule: &&rbac::Rule| rule.reach == reach && rule.when.by_default();
        RULES.iter().filter(wanted)
    };
    let mut rules: Vec<Value> = of(Reach::Namespace).map(rbac::Rule::to_json).collect();
    if !scoped {
        rules.extend(of(Reach::Cluster).map(rbac::Rule::to_json));
    }
    let mut metadata = json!({"name": NAME});
    if scoped {
        metadata["namespace"] = json!(settings.namespace);
    }
    let mut all = vec![
        json!({"apiVersion": RBAC, "kind": role, "metadata": metadata, "rules": rules}),
        json!({
            "apiVersion": RBAC,
            "kind": binding,
            "metadata": metadata,
            "roleRef": {"apiGroup": RBAC_GROUP, "kind": role, "name": NAME},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": settings.namespace}],
        }),
    ];
    if !scoped {
        all.extend(roles_for_people());
    }
    all
}

fn roles_for_people() -> impl Iterator<Item = Value> {
    rbac::for_people().into_iter().map(|(end, rules)| {
        let aggregated: &[&str] = match end {
            "view" => &["view", "edit", "admin"],
            "edit" => &["edit", "admin"],
            _ => &[],
        };
        let mut labels = json!({});
        for to in aggregated {
            labels[format!("{RBAC_GROUP}/aggregate-to-{to}")] = json!("true");
        }
        if end == "servicebindings" {
            labels["servicebinding.io/controller"] = json!("true");
        }
        json!({
            "apiVersion": RBAC,
            "kind": "ClusterRole",
            "metadata": {"name": format!("{NAME}-{end}"), "labels": labels},
            "rules": rules,
        })
    })
}

fn deployment(settings: &Manifests) -> Value {
    let selector = json!({"app.kubernetes.io/name": NAME, "app.kubernetes.io/instance": NAME});
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": settings.namespace},
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": 10,
            // One operator works at a time, so the old one goes first.
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": selector},
            "template": {
                "metadata": {"labels": labels()},
                "spec": {
                    "serviceAccountName": NAME,
                    "automountServiceAccountToken": true,
                    "dnsPolicy": "ClusterFirst",
                    "containers": [container(settings)],
                    "volumes": [{"name": "cache", "emptyDir": {}}],
                },
            },
        },
    })
}

fn container(settings: &Manifests) -> Value {
    let mut args = vec![
        "run".to_owned(),
        "--log-format=json".to_owned(),
        "--log-level=info".to_owned(),
        format!("--metrics-bind-address=:{PORT}"),
        format!("--cache-dir={CACHE}"),
    ];
    if settings.scoped {
        args.push(format!("--namespace={}", settings.namespace));
    }
    json!({
        "name": NAME,
        "image": settings.image,
        "imagePullPolicy": "IfNotPresent",
        "args": args,
        "ports": [{"name": "metrics", "containerPort": PORT, "protocol": "TCP"}],
        "livenessProbe": probe("/healthz", (5, 10, 10)),
        "readinessProbe": probe("/readyz", (3, 0, 5)),
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": true,
            "runAsNonRoot": true,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [{"name": "cache", "mountPath": CACHE}],
    })
}

/// Failures that count, seconds before the first probe, seconds between probes.
fn probe(path: &str, (failures, delay, period): (u8, u8, u8)) -> Value {
    json!({
        "httpGet": {"path": path, "port": "metrics"},
        "failureThreshold": failures,
        "initialDelaySeconds": delay,
        "periodSeconds": period,
        "successThreshold": 1,
        "timeoutSeconds": 5,
    })
}
