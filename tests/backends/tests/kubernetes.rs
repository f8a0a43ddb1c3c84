//! The provider `kubernetes` as a component, through the network door, against a real API server.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::io::Write as _;
use std::process::Stdio;

use postern_backend_tests::{Bench, failure, request, value};
use postern_core::egress::TlsSettings;
use postern_core::failure::Code;
use postern_core::plugin::{Answer, Call, Part, Pick, PluginHost as _, Query};
use postern_test_kit::ControlPlane;
use serde_json::{Value, json};

const TOKEN: &str = "/auth/token/bearerToken";

fn plane() -> &'static ControlPlane {
    ControlPlane::shared()
}

/// What a command of `kubectl` prints; `input` is what it reads.
fn kubectl(arguments: &[&str], input: &str) -> String {
    let mut command = plane().kubectl();
    let mut child = command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A namespace with two Secrets, an account that may read and list them, and one that may not.
fn prepare(namespace: &str) {
    let manifests = r#"
apiVersion: v1
kind: Namespace
metadata: {name: NS}
---
apiVersion: v1
kind: Secret
metadata: {name: db, namespace: NS, labels: {team: a, app.kubernetes.io/name: shop}}
stringData: {password: "p<&>", "json": '{"pool": {"size": 5}}'}
data: {raw: //4=}
---
apiVersion: v1
kind: Secret
metadata: {name: mail, namespace: NS, labels: {team: b}}
stringData: {password: q}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader, namespace: NS}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: stranger, namespace: NS}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: read, namespace: NS}
rules: [{apiGroups: [""], resources: [secrets], verbs: [get, list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: read, namespace: NS}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: read}
subjects:
  - {kind: ServiceAccount, name: reader, namespace: NS}
  - {apiGroup: rbac.authorization.k8s.io, kind: User, name: ada-NS}
"#;
    kubectl(&["apply", "-f", "-"], &manifests.replace("NS", namespace));
}

fn token(namespace: &str, account: &str) -> String {
    kubectl(&["create", "token", account, "-n", namespace], "")
}

fn tls() -> TlsSettings {
    TlsSettings {
        ca_pem: Some(plane().ca_pem().into()),
        ..TlsSettings::default()
    }
}

fn config(namespace: &str, auth: &Value) -> String {
    json!({"server": {"url": plane().url()}, "remoteNamespace": namespace, "auth": auth})
        .to_string()
}

fn by_token(bench: &Bench, namespace: &str, token: &str) -> Call {
    let config = config(namespace, &json!({"token": {"bearerToken": {"name": "t"}}}));
    bench.call(&config, &[(TOKEN, token)], plane().url(), tls())
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_values_properties_members_and_metadata() {
    let bench = Bench::load(&["kubernetes"]).await;
    prepare("values");
    let call = by_token(&bench, "values", &token("values", "reader"));
    let mut labels = request("db", Some("labels.app.kubernetes.io/name"));
    labels.metadata = true;
    let mut members = request("db", None);
    members.picks = vec![Pick {
        property: None,
        members: true,
    }];
    let asked = [
        request("db", None),
        request("db", Some("password")),
        request("db", Some("json.pool.size")),
        labels,
        members,
    ];
    let outcomes = bench.runtime.read(&call, &asked).await.unwrap();
    let whole = r#"{"json":"{\"pool\": {\"size\": 5}}","password":"p<&>","raw":"\ufffd\ufffd"}"#;
    let values: Vec<String> = outcomes[..4].iter().map(value).collect();
    assert_eq!(values, [whole, "p<&>", "5", "shop"]);
    let Answer::Parts(parts) = &outcomes[4].answer else {
        panic!("{outcomes:?}")
    };
    let Part::Members(members) = &parts[0] else {
        panic!("{parts:?}")
    };
    let raw = members.iter().find(|(name, _)| name == "raw").unwrap();
    assert_eq!(raw.1.expose(), [0xff, 0xfe]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tells_what_is_unchanged_absent_denied_or_not_accepted() {
    let bench = Bench::load(&["kubernetes"]).await;
    prepare("outcomes");
    let call = by_token(&bench, "outcomes", &token("outcomes", "reader"));
    let first = bench.runtime.read(&call, &[request("db", None)]).await;
    let mut again = request("db", None);
    again.known = first.unwrap()[0].tag.clone();
    let asked = [
        again.clone(),
        request("none", None),
        request("db", Some("none")),
    ];
    let outcomes = bench.runtime.read(&call, &asked).await.unwrap();
    assert!(
        matches!(outcomes[0].answer, Answer::Unchanged),
        "{outcomes:?}"
    );
    assert_eq!(failure(&outcomes[1]).code, Code::Absent);
    assert_eq!(failure(&outcomes[2]).code, Code::NotFound);
    bench.runtime.probe(&call).await.unwrap();

    kubectl(&["label", "secret", "db", "-n", "outcomes", "new=1"], "");
    let outcomes = bench.runtime.read(&call, &[again]).await.unwrap();
    assert!(
        matches!(outcomes[0].answer, Answer::Parts(_)),
        "{outcomes:?}"
    );

    let stranger = by_token(&bench, "outcomes", &token("outcomes", "stranger"));
    let outcomes = bench
        .runtime
        .read(&stranger, &[request("none", None)])
        .await;
    let outcomes = outcomes.unwrap();
    let denied = failure(&outcomes[0]);
    assert_eq!(denied.code, Code::Denied);
    for part in ["\"get\"", "\"secrets\"", "\"outcomes\""] {
        assert!(denied.public.contains(part), "{denied:?}");
    }
    let denied = bench.runtime.probe(&stranger).await.unwrap_err();
    assert_eq!(denied.code, Code::Denied, "{denied:?}");

    let wrong = by_token(&bench, "outcomes", "wrong");
    let outcomes = bench.runtime.read(&wrong, &[request("db", None)]).await;
    assert_eq!(failure(&outcomes.unwrap()[0]).code, Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn finds_by_labels_and_lists_for_a_name() {
    let bench = Bench::load(&["kubernetes"]).await;
    prepare("finding");
    let call = by_token(&bench, "finding", &token("finding", "reader"));
    let by_tags = Query {
        path: None,
        tags: vec![("team".into(), "b".into())],
        name: None,
        ..Query::default()
    };
    let page = bench.runtime.find(&call, &by_tags, None).await.unwrap();
    let keys: Vec<&str> = page.found.iter().map(|f| f.key.as_str()).collect();
    assert_eq!(keys, ["mail"]);
    let brought = page.found[0].value.as_ref().unwrap();
    assert_eq!(brought.expose(), br#"{"password":"q"}"#);
    assert!(page.names_applied);
    let by_name = Query {
        path: None,
        tags: Vec::new(),
        name: Some("^d".into()),
        ..Query::default()
    };
    let page = bench.runtime.find(&call, &by_name, None).await.unwrap();
    let keys: Vec<&str> = page.found.iter().map(|f| f.key.as_str()).collect();
    assert_eq!(keys, ["db", "mail"]);
    assert!(!page.names_applied && page.next.is_none());
    let stranger = by_token(&bench, "finding", &token("finding", "stranger"));
    let denied = bench.runtime.find(&stranger, &by_tags, None).await;
    let denied = denied.unwrap_err();
    assert_eq!(denied.code, Code::Denied);
    assert!(denied.public.contains("\"list\""), "{denied:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_and_a_kubeconfig_open_the_door_too() {
    let bench = Bench::load(&["kubernetes"]).await;
    prepare("others");
    let user = plane().client_certificate("ada-others").unwrap();
    let reference = json!({"name": "c"});
    let config = config(
        "others",
        &json!({"cert": {"clientCert": reference, "clientKey": reference}}),
    );
    let client_pem = Some((
        user.certificate_pem.as_str().into(),
        user.key_pem.as_str().into(),
    ));
    let with_certificate = TlsSettings {
        client_pem,
        ..tls()
    };
    let call = bench.call(&config, &[], plane().url(), with_certificate);
    let asked = [request("db", Some("password"))];
    let outcomes = bench.runtime.read(&call, &asked).await.unwrap();
    assert_eq!(value(&outcomes[0]), "p<&>");

    // The endpoint is what `examine` finds in the kubeconfig, as in the operator.
    let kubeconfig = std::fs::read_to_string(plane().kubeconfig_path()).unwrap();
    let config = json!({"authRef": {"name": "k"}, "remoteNamespace": "others"}).to_string();
    let mut call = bench.call(&config, &[("/authRef", &kubeconfig)], plane().url(), tls());
    let needs = bench
        .runtime
        .examine(&call.plugin, &call.config, &call.credentials, &call.options)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(needs.endpoints[0].origin, plane().url());
    call.identity.0.push_str("-kubeconfig");
    let outcomes = bench.runtime.read(&call, &asked).await.unwrap();
    assert_eq!(value(&outcomes[0]), "p<&>");
}
