//! The chart, linted and rendered by a real Helm: it installs what `postern manifests` prints, with flags that the binary
//! takes; it takes a values file of the peer's; and it refuses what it does not know.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use crate::common::{POSTERN, Ran, root};

fn helm(arguments: &[&str]) -> Ran {
    static HELM: OnceLock<PathBuf> = OnceLock::new();
    let helm = HELM.get_or_init(|| postern_test_kit::tools::helm().unwrap());
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(helm);
    // Nobody's configuration, and no cluster.
    for (name, folder) in [
        ("HELM_CACHE_HOME", "cache"),
        ("HELM_CONFIG_HOME", "config"),
        ("HELM_DATA_HOME", "data"),
        ("KUBECONFIG", "none"),
    ] {
        command.env(name, home.path().join(folder));
    }
    Ran::from(command.args(arguments).output().unwrap())
}

fn chart() -> String {
    root().join("deploy/chart").display().to_string()
}

/// Renders with values as a file.
fn template(values: &Value, more: &[&str]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values.yaml");
    std::fs::write(&file, values.to_string()).unwrap();
    let (chart, file) = (chart(), file.display().to_string());
    let mut arguments = vec!["template", "postern", &chart, "--values", &file];
    arguments.extend(["--namespace", "postern-system"]);
    arguments.extend(more);
    helm(&arguments)
}

type Objects = BTreeMap<String, Value>;

/// Objects by kind and name, without what only Helm writes.
fn objects(text: &str) -> Objects {
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    let all: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options).unwrap();
    let named = all.into_iter().filter(|object| !object.is_null());
    named
        .map(|mut object| {
            whole_numbers(&mut object);
            without_helm(&mut object["metadata"]);
            let template = "/spec/template/metadata";
            if let Some(metadata) = object.pointer_mut(template) {
                without_helm(metadata);
            }
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            (
                format!("{} {name}", object["kind"].as_str().unwrap_or_default()),
                object,
            )
        })
        .collect()
}

/// A whole number is one, however it is written: Go drops the fraction of `4096.0`.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Object(map) => map.values_mut().for_each(whole_numbers),
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Number(number) => {
            let whole = number
                .as_f64()
                .filter(|n| n.fract() == 0.0 && n.abs() < 1e15);
            if let Some(whole) = whole {
                *value = json!(whole as i64);
            }
        }
        _ => {}
    }
}

fn without_helm(metadata: &mut Value) {
    let Some(metadata) = metadata.as_object_mut() else {
        return;
    };
    for (field, keys) in [
        (
            "labels",
            ["helm.sh/chart", "app.kubernetes.io/managed-by"].as_slice(),
        ),
        ("annotations", &["helm.sh/resource-policy"]),
    ] {
        let Some(all) = metadata.get_mut(field).and_then(Value::as_object_mut) else {
            continue;
        };
        for key in keys {
            all.remove(*key);
        }
        if all.is_empty() {
            metadata.remove(field);
        }
    }
}

fn rendered(values: &Value) -> Objects {
    let ran = template(values, &[]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    objects(&ran.out)
}

fn printed(arguments: &[&str]) -> Objects {
    let out = Command::new(POSTERN)
        .arg("manifests")
        .args(arguments)
        .output()
        .unwrap();
    let ran = Ran::from(out);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let mut all = objects(&ran.out);
    // Helm makes it, or finds it there. One that is served alone is its owner's.
    let namespace = all.remove("Namespace postern-system");
    assert_eq!(namespace.is_none(), arguments.contains(&"--scoped"));
    all
}

fn assert_same(chart: &Objects, plain: &Objects) {
    let names = |all: &Objects| all.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(chart), names(plain));
    for (name, object) in chart {
        assert_eq!(difference(object, &plain[name]), None, "{name}");
    }
}

/// The first place where two values differ, and both.
fn difference(one: &Value, other: &Value) -> Option<String> {
    let (Some(a), Some(b)) = (one.as_object(), other.as_object()) else {
        return (one != other).then(|| format!(": {one} and {other}"));
    };
    let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    keys.into_iter()
        .find_map(|key| difference(&one[key], &other[key]).map(|found| format!("/{key}{found}")))
}

#[test]
fn the_chart_and_the_manifests_install_the_same() {
    assert_same(&rendered(&json!({})), &printed(&[]));
}

#[test]
fn the_chart_and_the_manifests_install_the_same_for_one_namespace() {
    let values = json!({"scopedNamespace": "postern-system", "installCRDs": false, "image": {"repository": "r.example/p", "tag": "1"}});
    let plain = printed(&["--scoped", "--no-crds", "--image", "r.example/p:1"]);
    assert_same(&rendered(&values), &plain);
    let cluster: Vec<&String> = plain.keys().filter(|k| k.starts_with("Cluster")).collect();
    assert!(cluster.is_empty(), "{cluster:?}");
}

#[test]
fn helm_finds_nothing_to_complain_of() {
    let ran = helm(&["lint", "--strict", &chart()]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
}

#[test]
fn a_value_that_is_unknown_is_refused_by_name() {
    for (values, name) in [
        (json!({"replicas": 1}), "replicas"),
        (json!({"image": {"repo": "x"}}), "repo"),
        (json!({"replicaCount": "one"}), "replicaCount"),
        (json!({"log": {"level": "loud"}}), "level"),
    ] {
        let ran = template(&values, &[]);
        assert_ne!(ran.code, Some(0));
        assert!(ran.err.contains(name), "{name}: {}", ran.err);
    }
    let ran = template(&json!({"scopedRBAC": true}), &[]);
    assert!(
        ran.err.contains("scopedRBAC needs scopedNamespace"),
        "{}",
        ran.err
    );
}

/// A values file as the peer's users have it: what they set, and defaults that they copied.
fn of_the_peer() -> Value {
    serde_saphyr::from_str(include_str!("chart/values-of-the-peer.yaml")).unwrap()
}

#[test]
fn a_values_file_of_the_peer_installs_and_its_idle_values_are_named() {
    let chart = chart();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values.yaml");
    std::fs::write(&file, of_the_peer().to_string()).unwrap();
    let file = file.display().to_string();
    let dry = [
        "--dry-run=client",
        "--values",
        &file,
        "--namespace",
        "other",
    ];
    let mut arguments = vec!["install", "external-secrets", chart.as_str()];
    arguments.extend(dry);
    let ran = helm(&arguments);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let (_, notes) = ran.out.split_once("NOTES:").unwrap();
    assert!(
        notes.contains("replicaCount is 2, and one replica runs"),
        "{notes}"
    );
    for named in [
        "webhook: ",
        "certController: ",
        "leaderElect: ",
        "vault: ",
        "livenessProbe.spec.httpGet: ",
    ] {
        assert!(
            notes.contains(&format!("\n  {named}")),
            "{named} in {notes}"
        );
    }
    assert!(!notes.contains("  startupProbe"), "{notes}");
}

#[test]
fn every_value_reaches_the_object_that_it_is_about() {
    let all = rendered(&of_the_peer());
    let deployment = &all["Deployment postern"]["spec"];
    assert_eq!(deployment["replicas"], 1);
    let pod = &deployment["template"]["spec"];
    assert_eq!(pod["securityContext"], json!({"fsGroup": 2000}));
    assert_eq!(pod["nodeSelector"], json!({"a": "b"}));
    assert_eq!(pod["hostUsers"], false);
    let container = &pod["containers"][0];
    let image = container["image"].as_str().unwrap();
    assert!(image.starts_with("mirror.example/postern:"), "{image}");
    assert_eq!(container["securityContext"]["runAsUser"], 1000);
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(
        container["livenessProbe"]["httpGet"],
        json!({"path": "/healthz", "port": "metrics"})
    );
    assert_eq!(container["livenessProbe"]["periodSeconds"], 20);
    assert_eq!(container["volumeMounts"][1]["name"], "files");
    let args: Vec<&str> = container["args"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a.as_str().unwrap())
        .collect();
    for arg in [
        "--log-level=error",
        "--controller-class=blue",
        "--deny-egress=10.1.0.0/16",
        "--ambient-identity",
    ] {
        assert!(args.contains(&arg), "{arg} in {args:?}");
    }
    for name in [
        "Service postern-metrics",
        "ServiceMonitor postern-metrics",
        "PodDisruptionBudget postern",
        "NetworkPolicy postern",
        "ConfigMap postern-more",
    ] {
        assert!(all.contains_key(name), "{name} in {:?}", all.keys());
    }
    let annotation = &all["ServiceAccount postern"]["metadata"]["annotations"];
    assert!(annotation["eks.amazonaws.com/role-arn"].is_string());
}

#[test]
fn the_binary_takes_every_flag_that_the_chart_gives() {
    for values in [json!({}), of_the_peer(), json!({"scopedNamespace": "team"})] {
        let all = rendered(&values);
        let args = &all["Deployment postern"]["spec"]["template"]["spec"]["containers"][0]["args"];
        let args = args.as_array().unwrap().iter().map(|a| a.as_str().unwrap());
        // Help comes last, so that all before it is read, and refused where it is wrong.
        let out = Command::new(POSTERN)
            .args(args)
            .arg("--help")
            .output()
            .unwrap();
        let ran = Ran::from(out);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        assert!(ran.out.contains("Usage: postern run"), "{}", ran.out);
    }
}

#[test]
fn a_right_that_is_switched_off_is_not_granted() {
    let rights = |values: Value| {
        let all = rendered(&values);
        let rules = all["ClusterRole postern"]["rules"]
            .as_array()
            .unwrap()
            .clone();
        let names = rules
            .iter()
            .map(|rule| rule["resources"][0].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    let with = rights(json!({}));
    let without =
        rights(json!({"openshiftFinalizers": false, "rbac": {"serviceAccountTokenCreate": false}}));
    let gone: Vec<_> = with.iter().filter(|name| !without.contains(name)).collect();
    assert_eq!(
        gone,
        [
            "externalsecrets/finalizers",
            "serviceaccounts/token",
            "clusterexternalsecrets/finalizers"
        ]
    );
}

#[test]
fn crds_outlive_the_chart_unless_somebody_says_otherwise() {
    let kept = |values: Value| {
        let ran = template(&values, &[]);
        ran.out.matches("helm.sh/resource-policy: keep").count()
    };
    assert_eq!(kept(json!({})), postern_api::crds().len());
    assert_eq!(kept(json!({"crds": {"keep": false}})), 0);
    assert_eq!(
        kept(json!({"crds": {"createSecretStore": false}})),
        postern_api::crds().len() - 1
    );
    let none = rendered(&json!({"createOperator": false, "installCRDs": false}));
    assert!(
        !none
            .keys()
            .any(|name| name.starts_with("Deployment") || name.starts_with("Custom"))
    );
}

#[test]
fn every_default_fits_the_schema_and_every_value_is_described() {
    let text = std::fs::read_to_string(root().join("deploy/chart/values.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    let mut wrong = Vec::new();
    look(&schema, "", &mut wrong);
    assert!(wrong.is_empty(), "{wrong:?}");
}

fn look(schema: &Value, path: &str, wrong: &mut Vec<String>) {
    let none = Map::new();
    for (name, property) in schema["properties"].as_object().unwrap_or(&none) {
        let path = format!("{path}.{name}");
        if property.get("x-unneeded").is_some() {
            continue;
        }
        let nested = property.get("properties").is_some();
        let closed = property["additionalProperties"] == false || path == ".global";
        if nested != property.get("default").is_none() || nested && !closed {
            wrong.push(path.clone());
        }
        if !nested && property.get("description").is_none() {
            wrong.push(path.clone());
        }
        look(property, &path, wrong);
    }
}
