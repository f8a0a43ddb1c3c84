//! Providers through the operator; what their pages show is applied as it stands there.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use postern_api::SecretStore;
use postern_cluster_tests::eventually as eventually_or;
use postern_test_kit::control_plane::SERVICE_ACCOUNT_ISSUER;
use postern_test_kit::endpoint::{TestEndpoint, Transport};
use postern_test_kit::gcp::{self, SecretManager};
use postern_test_kit::keyvault::{Attributes, KeyVault};
use postern_test_kit::kvserver::{CountingVault, JwtRole, Vaultlike as _};
use serde_json::json;

use crate::harness::{Place, condition, eventually, reads, text};

/// The blocks of YAML on a provider's page, as one stream.
fn manifests(page: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/providers");
    let text = std::fs::read_to_string(docs.join(page)).unwrap();
    let mut blocks = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line {
            "```yaml" => {
                inside = true;
                blocks.push(String::new());
            }
            "```" => inside = false,
            line if inside => {
                let block = blocks.last_mut().unwrap();
                block.push_str(line);
                block.push('\n');
            }
            _ => {}
        }
    }
    blocks.join("---\n")
}

/// Applies manifests with `kubectl`, as a reader of the page would.
async fn apply(place: &Place, manifests: String) {
    run_apply(place.stage.plane.kubectl(), manifests).await;
}

/// Applies manifests that name no namespace, in that of the test.
pub async fn apply_in(place: &Place, manifests: String) {
    let mut command = place.stage.plane.kubectl();
    command.args(["-n", place.name()]);
    run_apply(command, manifests).await;
}

async fn run_apply(mut command: Command, manifests: String) {
    let ran = tokio::task::spawn_blocking(move || {
        let mut child = command
            .args(["apply", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(manifests.as_bytes())
            .unwrap();
        child.wait_with_output().unwrap()
    });
    let ran = ran.await.unwrap();
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
}

/// What a controller of a whole cluster would have made: the namespaces, and the authority of the API server in one.
fn surroundings(place: &Place, namespaces: [&str; 2]) -> String {
    let mut objects = namespaces
        .map(|name| {
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}).to_string()
        })
        .to_vec();
    objects.push(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kube-root-ca.crt", "namespace": namespaces[1]},
            "data": {"ca.crt": place.stage.plane.ca_pem()}})
        .to_string(),
    );
    objects.join("\n---\n")
}

#[tokio::test]
async fn the_page_of_the_provider_kubernetes_is_true() {
    let place = Place::new("page-kubernetes").await;
    apply(&place, surroundings(&place, ["shared", "team-a"])).await;
    let page = manifests("kubernetes.md");
    let page = page.replace("https://kubernetes.default.svc", place.stage.plane.url());
    apply(&place, page).await;
    let secrets: Api<Secret> = Api::namespaced(place.client.clone(), "team-a");
    let secret = eventually("team-a has its Secret", || async {
        secrets.get_opt("app").await.unwrap()
    })
    .await;
    let read = ["password", "pool", "team"].map(|key| text(&secret, key).unwrap());
    assert_eq!(read, ["hunter2", "5", "a"]);
}

/// Two namespaces ask one ClusterSecretStore at once, each as its own account; one of them may not read.
#[tokio::test]
async fn each_namespace_reads_another_cluster_as_its_own_account() {
    let (may, may_not) = (Place::new("k8s-may").await, Place::new("k8s-maynot").await);
    let remote = Place::new("k8s-remote").await;
    remote.secret("db", &[("password", "for-one-only")]).await;
    for place in [&may, &may_not] {
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "reader", "namespace": place.name()}});
        apply(place, account.to_string()).await;
    }
    let rights = json!([
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "read", "namespace": remote.name()},
            "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "read", "namespace": remote.name()},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "read"},
            "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": may.name()}]},
    ]);
    apply(
        &remote,
        json!({"apiVersion": "v1", "kind": "List", "items": rights}).to_string(),
    )
    .await;
    let ca = remote.stage.plane.ca_pem();
    let store = remote
        .cluster_store(json!({"kubernetes": {"remoteNamespace": remote.name(),
            "server": {"url": remote.stage.plane.url(), "caBundle": ca},
            "auth": {"serviceAccount": {"name": "reader"}}}}))
        .await;
    let mut spec = reads(&store, &[("password", "db#password")]);
    spec["secretStoreRef"]["kind"] = "ClusterSecretStore".into();
    tokio::join!(
        may.external_secret("app", spec.clone()),
        may_not.external_secret("app", spec)
    );
    may.value("app", "password", "for-one-only").await;
    let said = may_not.failed("app", "PST-1103").await;
    for part in ["\"get\"", "\"secrets\"", remote.name()] {
        assert!(said.contains(part), "{said}");
    }
    let secrets = may_not.api::<Secret>();
    assert!(secrets.get_opt("app").await.unwrap().is_none());
    assert!(condition(&may.synced("app").await).is_some());
}

/// Each store of the page logs in its own way; a token of the API server vouches for two of them.
#[tokio::test]
async fn the_page_of_the_provider_gcpsm_is_true() {
    let place = Place::new("page-gcpsm").await;
    apply(&place, surroundings(&place, ["shared-g", "team-g"])).await;
    let google = SecretManager::start().unwrap();
    google.put("database", br#"{"password": "of-before"}"#);
    let document = r#"{"password": "correct horse", "pool": {"size": 5}}"#;
    google.put("database", document.as_bytes());
    google.label("database", "team", "g");
    let account = "system:serviceaccount:team-g:reader";
    let cluster =
        "https://container.googleapis.com/v1/projects/demo/locations/europe-west1/clusters/prod";
    google.trust(
        &format!("identitynamespace:demo.svc.id.goog:{cluster}"),
        account,
    );
    let pool =
        "projects/123456789012/locations/global/workloadIdentityPools/clusters/providers/prod";
    google.trust(&format!("//iam.googleapis.com/{pool}"), account);
    google.add_account("reader@demo.iam.gserviceaccount.com");
    let endpoints = google.endpoints();
    let page = manifests("gcpsm.md")
        .replace(
            r#"'{"type": "service_account"}'"#,
            &json!(google.key_file()).to_string(),
        )
        .replace("gcpsm: {", &format!("gcpsm: {{endpoints: {endpoints}, "))
        .replace(
            "gcpsm:\n",
            &format!("gcpsm:\n      endpoints: {endpoints}\n"),
        );
    apply(&place, page).await;
    let secrets: Api<Secret> = Api::namespaced(place.client.clone(), "team-g");
    let made = async |name: &str| {
        eventually(&format!("team-g has {name}"), || async {
            secrets.get_opt(name).await.unwrap()
        })
        .await
    };
    let secret = made("app").await;
    let read = ["password", "size", "team", "first"].map(|key| text(&secret, key).unwrap());
    assert_eq!(read, ["correct horse", "5", "g", "of-before"]);
    for store in ["by-workload", "by-federation", "by-node"] {
        let mut spec = reads(store, &[("password", "database#password")]);
        spec["target"] = json!({"name": store});
        let manifest = json!({"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
            "metadata": {"name": store, "namespace": "team-g"}, "spec": spec});
        apply(&place, manifest.to_string()).await;
        assert_eq!(
            text(&made(store).await, "password").unwrap(),
            "correct horse",
            "{store}"
        );
    }
}

/// Each store of the page logs in its own way; tokens of the API server vouch for two of them.
#[tokio::test]
async fn the_page_of_the_provider_vault_is_true() {
    let place = Place::new("page-vault").await;
    apply(&place, surroundings(&place, ["shared-v", "team-v"])).await;
    let vault = CountingVault::start().unwrap();
    vault.put(
        "secret",
        "team-v/database",
        json!({"password": "of-before"}),
    );
    vault.put(
        "secret",
        "team-v/database",
        json!({"password": "correct horse", "pool": {"size": 5}}),
    );
    let owner = json!({"owner": "team-v"}).as_object().cloned().unwrap();
    vault.put_custom_metadata("secret", "team-v/database", owner);
    for service in ["mail", "web"] {
        vault.put(
            "secret",
            &format!("team-v/services/{service}"),
            json!({"of": service}),
        );
    }
    vault.policy(
        "team-v",
        &["secret/data/team-v/*", "secret/metadata/team-v/*"],
    );
    vault.approle("role-of-team-v", "secret-id-of-team-v", &["team-v"]);
    vault.userpass("team-v", "password-of-team-v", &["team-v"]);
    let role = |subject: &str, audience: Option<&str>| JwtRole {
        policies: vec!["team-v".to_owned()],
        subject: Some(subject.to_owned()),
        audience: audience.map(str::to_owned),
    };
    let account = "system:serviceaccount:team-v:reader";
    vault.kubernetes_role("kubernetes", "team-v", role(account, None));
    vault.jwt_role("jwt", "team-v", role(account, Some("vault")));
    vault.jwt_role("gcp", "team-v", role(gcp::ACCOUNT, Some("vault/team-v")));
    let key = json!(gcp::key_file("https://oauth2.googleapis.com/token")).to_string();
    let page = manifests("vault.md")
        .replace("hvs.example", &vault.issue_token(&["team-v"]))
        .replace(r#"'{"type": "service_account"}'"#, &key)
        .replace("https://vault.example.com:8200", vault.url());
    apply(&place, page).await;
    let secrets: Api<Secret> = Api::namespaced(place.client.clone(), "team-v");
    let made = async |name: &str| {
        eventually(&format!("team-v has {name}"), || async {
            secrets.get_opt(name).await.unwrap()
        })
        .await
    };
    let secret = made("app").await;
    let keys = ["password", "size", "first", "owner", "mail", "web"];
    let read = keys.map(|key| text(&secret, key).unwrap_or_default());
    let want = [
        "correct horse",
        "5",
        "of-before",
        "team-v",
        r#"{"of":"mail"}"#,
        r#"{"of":"web"}"#,
    ];
    assert_eq!(read, want, "{:?}", secret.data);
    for store in ["by-approle", "by-kubernetes", "by-jwt", "by-ldap", "by-gcp"] {
        let mut spec = reads(store, &[("password", "team-v/database#password")]);
        spec["target"] = json!({"name": store});
        let manifest = json!({"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
            "metadata": {"name": store, "namespace": "team-v"}, "spec": spec});
        apply(&place, manifest.to_string()).await;
        assert_eq!(
            text(&made(store).await, "password").unwrap(),
            "correct horse",
            "{store}"
        );
    }
    assert_eq!(vault.logins(), 5);
}

#[tokio::test]
async fn the_page_of_the_provider_webhook_is_true() {
    let place = Place::new("page-webhook").await;
    apply(&place, surroundings(&place, ["shared", "team-b"])).await;
    let endpoint = TestEndpoint::start(Transport::Http).unwrap();
    endpoint.want("authorization", "Bearer hunter2");
    let document = r#"{"values": {"password": "correct horse", "host": "db.example.com"}}"#;
    endpoint.put("/team-b/database", 200, document, None);
    let page = manifests("webhook.md").replace("https://secrets.example.com", endpoint.url());
    apply(&place, page).await;
    let secrets: Api<Secret> = Api::namespaced(place.client.clone(), "team-b");
    let secret = eventually("team-b has its Secret", || async {
        secrets.get_opt("app").await.unwrap()
    })
    .await;
    let read = ["password", "host"].map(|key| text(&secret, key).unwrap());
    assert_eq!(read, ["correct horse", "db.example.com"]);
    assert_eq!(endpoint.seen().len(), 1, "{:?}", endpoint.seen());
}

/// The URL carries the namespace: two namespaces that ask one store for the same key at once get an answer each.
#[tokio::test]
async fn namespaces_that_stand_in_a_url_share_no_answer() {
    let (one, two) = (Place::new("hook-one").await, Place::new("hook-two").await);
    let endpoint = TestEndpoint::start(Transport::Http).unwrap();
    for place in [&one, &two] {
        let target = format!("/{}/db", place.name());
        endpoint.put(&target, 200, &format!("of-{}", place.name()), None);
    }
    let url = format!(
        "{}/{{{{ .remoteRef.namespace }}}}/{{{{ .remoteRef.key }}}}",
        endpoint.url()
    );
    let store = one.cluster_store(json!({"webhook": {"url": url}})).await;
    let mut spec = reads(&store, &[("password", "db")]);
    spec["secretStoreRef"]["kind"] = "ClusterSecretStore".into();
    tokio::join!(
        one.external_secret("app", spec.clone()),
        two.external_secret("app", spec)
    );
    for place in [&one, &two] {
        place
            .value("app", "password", &format!("of-{}", place.name()))
            .await;
    }
}

/// A store is no way to send any Secret of its namespace anywhere: only one that is labelled for it.
#[tokio::test]
async fn a_secret_without_the_label_is_sent_nowhere() {
    let place = Place::new("hook-label").await;
    let endpoint = TestEndpoint::start(Transport::Http).unwrap();
    endpoint.put("/db", 200, "v", None);
    place
        .secret("plain", &[("token", "PSTSENTINEL-plain")])
        .await;
    let provider = json!({"webhook": {"url": format!("{}/{{{{ .remoteRef.key }}}}", endpoint.url()),
        "headers": {"X-Token": "{{ .api.token }}"},
        "secrets": [{"name": "api", "secretRef": {"name": "plain"}}]}});
    place.store("hook", provider).await;
    place
        .external_secret("app", reads("hook", &[("password", "db")]))
        .await;
    place
        .store_is("hook", "False", "external-secrets.io/type: webhook")
        .await;
    assert_eq!(endpoint.seen(), []);
    let label = json!({"metadata": {"labels": {"external-secrets.io/type": "webhook"}}});
    place
        .api::<Secret>()
        .patch("plain", &PatchParams::default(), &Patch::Merge(label))
        .await
        .unwrap();
    place.value("app", "password", "v").await;
}

/// Every store of the page, against a vault and a directory of the test kit; the token of the account is the API server's.
#[tokio::test]
async fn the_page_of_the_provider_azurekv_is_true() {
    let place = Place::new("page-azurekv").await;
    apply(&place, surroundings(&place, ["shared", "payments"])).await;
    let server = vault_of_the_page();
    let custom = format!(
        "vaultUrl: {}\n      customCloudConfig: {{activeDirectoryEndpoint: \"{}\"}}",
        server.url(),
        server.directory_url()
    );
    let (node, rest): (Vec<String>, Vec<String>) = manifests("azurekv.md")
        .split("---\n")
        .map(str::to_owned)
        .partition(|manifest| manifest.contains("ManagedIdentity"));
    let pem = AZURE_APPLICATION.trim_end().replace('\n', "\n    ");
    let page = rest
        .join("---\n")
        .replace("vaultUrl: https://payments.vault.azure.net", &custom)
        .replace("PRIVATE KEY AND CERTIFICATE", &pem);
    apply(&place, page).await;
    // As it stands: it is refused before anybody is asked.
    apply(&place, node.join("---\n")).await;
    let secrets: Api<Secret> = Api::namespaced(place.client.clone(), "payments");
    let secret = eventually("payments has its Secret", || async {
        secrets.get_opt("app").await.unwrap()
    })
    .await;
    let read = ["password", "team", "shop-mail"].map(|key| text(&secret, key).unwrap());
    assert_eq!(read, ["correct horse", "a", "m"]);
    assert!(text(&secret, "public.jwk").unwrap().contains("AQAB"));
    let data = secret.data.unwrap();
    assert_eq!(data["tls.der"].0, b"\x30\x82der");
    assert_eq!(data["tls.pfx"].0, b"\x30\x82pfx");
    assert_eq!(data.len(), 6, "{:?}", data.keys());
    let stores: Api<SecretStore> = Api::namespaced(place.client.clone(), "payments");
    let said = async |name: &str, status: &str| {
        let last = std::cell::RefCell::default();
        let what = || format!("{name} is {status}, but {:?}", last.borrow());
        let message = eventually_or(&what, || async {
            let conditions = stores.get(name).await.unwrap().status?.conditions?;
            let ready = conditions.into_iter().find(|c| c.type_ == "Ready")?;
            *last.borrow_mut() = Some(ready.clone());
            (ready.status == status).then_some(ready.message)
        });
        message.await.unwrap_or_default()
    };
    for store in ["vault", "vault-by-certificate", "vault-by-account"] {
        said(store, "True").await;
    }
    let closed = said("vault-by-node", "False").await;
    assert!(closed.contains("--ambient-identity"), "{closed}");
}

const AZURE_APPLICATION: &str = include_str!("../../../kit/data/azure-application.pem");

/// What the page takes, and who may take it.
fn vault_of_the_page() -> KeyVault {
    let server = KeyVault::start().unwrap();
    let none = Attributes::default();
    let database = r#"{"login": {"password": "correct horse"}}"#;
    server.set_with("database", database, &[("team", "a")], none);
    server.set_with("shop-mail", "m", &[("env", "prod")], none);
    server.set_with("shop-test", "t", &[("env", "test")], none);
    server.set_certificate(
        "shop",
        b"\x30\x82der",
        &STANDARD.encode(b"\x30\x82pfx"),
        "application/x-pkcs12",
    );
    let key = json!({"kty": "RSA", "n": "q80", "e": "AQAB", "key_ops": ["verify"]});
    server.set_key("signing", key);
    let (_, certificate) = AZURE_APPLICATION
        .split_once("-----BEGIN CERTIFICATE-----")
        .unwrap();
    let packed: String = certificate
        .lines()
        .filter(|l| !l.starts_with('-'))
        .collect();
    server.trust_certificate(KeyVault::CLIENT_ID, &STANDARD.decode(packed).unwrap());
    let subject = "system:serviceaccount:payments:vault-reader";
    server.trust_issuer(KeyVault::CLIENT_ID, SERVICE_ACCOUNT_ISSUER, subject);
    server
}
