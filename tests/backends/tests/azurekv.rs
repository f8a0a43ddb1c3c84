//! The provider `azurekv` as a component, through the network door, against the vault and the directory of the test kit.
//! Only what the config names is open to it. Microsoft's own clients ask these servers the same, in a test of their own.

#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use postern_backend_tests::{Bench, failure, request, value};
use postern_core::egress::{AllowedEndpoint, EgressPolicy, Origin, TlsSettings};
use postern_core::failure::{Code, Failure};
use postern_core::plugin::{
    Answer, Call, Credential, Outcome, Part, Pick, PluginHost as _, Query, Request,
};
use postern_core::secret::SecretValue;
use postern_test_kit::endpoint::Transport;
use postern_test_kit::keyvault::{Attributes, Fault, KeyVault};
use serde_json::{Value, json};

const CLIENT_ID: &str = "/authSecretRef/clientId";
const CLIENT_SECRET: &str = "/authSecretRef/clientSecret";
const CERTIFICATE: &str = "/authSecretRef/clientCertificate";
const ACCOUNT: &str = "/serviceAccountRef";

/// The component and what it speaks to.
struct Stage {
    bench: Bench,
    server: KeyVault,
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../kit/data")
        .join(name)
}

/// The certificate of the application, as DER.
fn certificate() -> Vec<u8> {
    let pem = std::fs::read_to_string(data("azure-application.pem")).unwrap();
    let (_, body) = pem.split_once("-----BEGIN CERTIFICATE-----").unwrap();
    let (body, _) = body.split_once("-----END").unwrap();
    let packed: String = body.split_whitespace().collect();
    STANDARD.decode(packed).unwrap()
}

fn credential(pointer: &str, value: &str) -> Credential {
    Credential {
        pointer: pointer.into(),
        value: value.into(),
        attributes: Vec::new(),
    }
}

fn application() -> Vec<Credential> {
    vec![
        credential(CLIENT_ID, KeyVault::CLIENT_ID),
        credential(CLIENT_SECRET, KeyVault::CLIENT_SECRET),
    ]
}

impl Stage {
    async fn start() -> Self {
        Self::start_with(Transport::Https).await
    }

    async fn start_with(transport: Transport) -> Self {
        Self {
            bench: Bench::load(&["azurekv"]).await,
            server: KeyVault::start_with(transport).unwrap(),
        }
    }

    /// A config that differs from that of an application with a secret.
    fn config(&self, more: Value) -> Value {
        let mut config = json!({
            "vaultUrl": self.server.url(), "tenantId": KeyVault::TENANT,
            "authSecretRef": {"clientId": {"name": "s"}, "clientSecret": {"name": "s"}},
            "useAzureSDK": true, "customCloudConfig": {
                "activeDirectoryEndpoint": self.server.directory_url(), "keyVaultEndpoint": KeyVault::RESOURCE},
        });
        let members = config.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        members.retain(|_, value| !value.is_null());
        config
    }

    /// A call that may talk to what `examine` says of the config, and to nothing else.
    async fn call(&self, config: &Value, credentials: Vec<Credential>) -> Call {
        let text = config.to_string();
        let mut call = self
            .bench
            .call(&text, &[], self.server.url(), TlsSettings::default());
        let digest = &self.bench.revision.digest;
        let needs = self
            .bench
            .runtime
            .examine(digest, &text, &credentials, &call.options)
            .await
            .unwrap()
            .unwrap();
        let allowed = |endpoint: &postern_core::plugin::Endpoint| AllowedEndpoint {
            origin: Origin::parse(&endpoint.origin).unwrap(),
            tls: TlsSettings {
                ca_pem: self.server.ca_pem().map(Into::into),
                ..TlsSettings::default()
            },
        };
        let mut egress = EgressPolicy::clone(&call.egress);
        egress.endpoints = needs.endpoints.iter().map(allowed).collect();
        call.egress = Arc::new(egress);
        call.credentials = credentials;
        call
    }

    async fn login(&self, config: &Value, credentials: Vec<Credential>) -> Result<Call, Failure> {
        let mut call = self.call(config, credentials).await;
        let session = self.bench.runtime.login(&call).await?;
        assert_eq!(session.expires_in, Some(Duration::from_secs(3599)));
        call.credentials.clear();
        call.session = Some(session.token);
        Ok(call)
    }

    /// A call that may read.
    async fn reader(&self) -> Call {
        self.login(&self.config(json!({})), application())
            .await
            .unwrap()
    }

    async fn read(&self, call: &Call, requests: &[Request]) -> Vec<Outcome> {
        self.bench.runtime.read(call, requests).await.unwrap()
    }

    async fn read_one(&self, call: &Call, key: &str) -> Outcome {
        self.read(call, &[request(key, None)]).await.remove(0)
    }
}

fn bytes(outcome: &Outcome) -> Vec<u8> {
    match &outcome.answer {
        Answer::Parts(parts) => match &parts[..] {
            [Part::Value(value)] => value.expose().to_vec(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn members(outcome: &Outcome) -> Vec<(String, String)> {
    let Answer::Parts(parts) = &outcome.answer else {
        panic!("{outcome:?}")
    };
    let Part::Members(members) = &parts[0] else {
        panic!("{parts:?}")
    };
    let text = |value: &SecretValue| String::from_utf8(value.expose().to_vec()).unwrap();
    members.iter().map(|(n, v)| (n.clone(), text(v))).collect()
}

fn extract(key: &str, metadata: bool) -> Request {
    Request {
        metadata,
        picks: vec![Pick {
            property: None,
            members: true,
        }],
        ..request(key, None)
    }
}

fn at_version(key: &str, version: &str) -> Request {
    Request {
        version: Some(version.into()),
        ..request(key, None)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_values_properties_versions_and_what_is_absent() {
    let stage = Stage::start().await;
    let old = stage.server.set("db", "old");
    stage
        .server
        .set("db", r#"{"user": "ada", "pool": {"size": 5}}"#);
    stage.server.set("gone", "x");
    stage.server.delete("gone");
    let call = stage.reader().await;
    let asked = [
        request("db", Some("user")),
        request("secret/db", Some("pool.size")),
        at_version("db", &old),
        extract("db", false),
        request("db", Some("nothing")),
        request("none", None),
        request("gone", None),
        at_version("db", "0123456789abcdef0123456789abcdef"),
        request("nothing/db", None),
    ];
    let outcomes = stage.read(&call, &asked).await;
    let values: Vec<String> = outcomes[..3].iter().map(value).collect();
    assert_eq!(values, ["ada", "5", "old"]);
    let pair = |n: &str, v: &str| (n.to_owned(), v.to_owned());
    let want = [pair("pool", r#"{"size": 5}"#), pair("user", "ada")];
    assert_eq!(members(&outcomes[3]), want);
    let codes: Vec<Code> = outcomes[4..].iter().map(|o| failure(o).code).collect();
    let absent = Code::Absent;
    assert_eq!(
        codes,
        [Code::NotFound, absent, absent, absent, Code::InvalidRequest]
    );
    // One login, and one request an object and version.
    assert_eq!(stage.server.tokens(), 1);
    assert_eq!(stage.server.asked("GET /secrets/none"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_was_seen_is_unchanged_until_there_is_another() {
    let stage = Stage::start().await;
    stage.server.set("db", "one");
    let call = stage.reader().await;
    let first = stage.read_one(&call, "db").await;
    let known = Request {
        known: first.tag.clone(),
        ..request("db", None)
    };
    assert!(known.known.is_some());
    let again = stage
        .read(&call, std::slice::from_ref(&known))
        .await
        .remove(0);
    assert_eq!((again.answer, again.tag), (Answer::Unchanged, first.tag));
    stage.server.set("db", "two");
    assert_eq!(value(&stage.read(&call, &[known]).await[0]), "two");
}

/// A text in base64 as users keep bytes, the PFX of a certificate as the vault keeps it, and a certificate's own bytes.
#[tokio::test(flavor = "multi_thread")]
async fn binary_values_come_through_as_far_as_a_vault_holds_them() {
    let stage = Stage::start().await;
    let all: Vec<u8> = (0..=255).collect();
    stage.server.set("bytes", &STANDARD.encode(&all));
    let pfx = std::fs::read(data("azure-application.pfx")).unwrap();
    let der = certificate();
    stage
        .server
        .set_certificate("tls", &der, &STANDARD.encode(&pfx), "application/x-pkcs12");
    let call = stage.reader().await;
    let keys = ["bytes", "secret/tls", "cert/tls"];
    let asked = keys.map(|key| request(key, None));
    let outcomes = stage.read(&call, &asked).await;
    assert_eq!(STANDARD.decode(value(&outcomes[0])).unwrap(), all);
    assert_eq!(STANDARD.decode(value(&outcomes[1])).unwrap(), pfx);
    assert_eq!(bytes(&outcomes[2]), der);
}

#[tokio::test(flavor = "multi_thread")]
async fn finds_by_name_and_tags_what_is_enabled_over_pages() {
    let stage = Stage::start().await;
    for n in 0..60 {
        let team = if n % 2 == 0 { "a" } else { "b" };
        let name = format!("app-{n:02}");
        stage
            .server
            .set_with(&name, "v", &[("team", team)], Attributes::default());
    }
    stage.server.enable("app-00", false);
    let call = stage.reader().await;
    let query = |tags: &[(&str, &str)]| Query {
        tags: tags
            .iter()
            .map(|(n, v)| ((*n).into(), (*v).into()))
            .collect(),
        ..Query::default()
    };
    let find = async |tags: &[(&str, &str)]| {
        let page = stage.bench.runtime.find(&call, &query(tags), None).await;
        let page = page.unwrap();
        assert_eq!(page.next, None);
        page.found.into_iter().map(|f| f.key).collect::<Vec<_>>()
    };
    let all = find(&[]).await;
    assert_eq!((all.len(), all[0].as_str()), (59, "app-01"));
    assert_eq!(stage.server.asked("GET /secrets"), 3);
    let of_team = find(&[("team", "a")]).await;
    assert_eq!((of_team.len(), of_team[0].as_str()), (29, "app-02"));
    stage
        .server
        .set_fault(Fault::ListGoesOnAt("https://elsewhere.example.com".into()));
    let failure = stage
        .bench
        .runtime
        .find(&call, &query(&[]), None)
        .await
        .unwrap_err();
    assert_eq!(failure.code, Code::Unavailable);
    assert!(failure.public.contains("not followed"), "{failure}");
    stage.server.clear_faults();
    stage.server.deny("secrets");
    let failure = stage
        .bench
        .runtime
        .find(&call, &query(&[]), None)
        .await
        .unwrap_err();
    assert_eq!(failure.code, Code::Denied);
    assert!(
        failure
            .public
            .contains("Microsoft.KeyVault/vaults/secrets/readMetadata/action"),
        "{failure}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_names_the_permission_and_is_no_dead_token() {
    let stage = Stage::start().await;
    for name in ["db", "closed", "off"] {
        stage.server.set(name, "PSTSENTINEL-value");
    }
    stage.server.deny("secrets/closed");
    stage.server.enable("off", false);
    let call = stage.reader().await;
    let asked = ["db", "closed", "off"].map(|key| request(key, None));
    let outcomes = stage.read(&call, &asked).await;
    assert_eq!(value(&outcomes[0]), "PSTSENTINEL-value");
    let denied = failure(&outcomes[1]);
    assert_eq!(denied.code, Code::Denied);
    for part in [
        "Microsoft.KeyVault/vaults/secrets/getSecret/action",
        "/vaults/test/secrets/closed",
    ] {
        assert!(denied.public.contains(part), "{denied}");
    }
    let off = failure(&outcomes[2]);
    assert_eq!(off.code, Code::Denied);
    assert!(off.public.contains("disabled"), "{off}");
    stage.server.use_access_policies();
    let denied = stage.read_one(&call, "closed").await;
    assert!(
        failure(&denied).public.contains("secrets get"),
        "{denied:?}"
    );
    stage.server.set_fault(Fault::Firewall);
    let denied = stage.read_one(&call, "db").await;
    assert!(failure(&denied).public.contains("firewall"), "{denied:?}");
    // None of it is a dead token, and so none of it leads to a login.
    stage.server.clear_faults();
    stage.server.end_tokens();
    let dead = stage.read_one(&call, "db").await;
    assert_eq!(failure(&dead).code, Code::Unauthenticated);
    assert_eq!(stage.server.tokens(), 1);
}

/// Whoever pastes the role of the page lacks no action, and has none that no refusal names.
#[tokio::test(flavor = "multi_thread")]
async fn the_role_of_the_page_has_the_actions_that_refusals_name() {
    let stage = Stage::start().await;
    for what in ["secrets", "secrets/a", "certificates/a", "keys/a"] {
        stage.server.deny(what);
    }
    let call = stage.reader().await;
    let asked = ["a", "cert/a", "key/a"].map(|key| request(key, None));
    let outcomes = stage.read(&call, &asked).await;
    let mut said: Vec<String> = outcomes.iter().map(|o| failure(o).public.clone()).collect();
    let query = Query::default();
    let list = stage.bench.runtime.find(&call, &query, None).await;
    said.push(list.unwrap_err().public);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/providers/azurekv.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, role) = page.split_once("```json\n").unwrap();
    let (role, _) = role.split_once("```").unwrap();
    let role: Value = serde_json::from_str(role).unwrap();
    let actions = role["DataActions"].as_array().unwrap();
    assert_eq!(actions.len(), said.len());
    for action in actions {
        let action = action.as_str().unwrap();
        assert!(
            said.iter().any(|s| s.contains(action)),
            "{action}: {said:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_trouble_of_the_vault_has_its_code() {
    let stage = Stage::start().await;
    stage.server.set("db", "v");
    let call = stage.reader().await;
    let seven = Some(Duration::from_secs(7));
    let cases = [
        (Fault::TooManyRequests(seven), Code::RateLimited),
        (Fault::TooManyRequests(None), Code::RateLimited),
        (Fault::Broken, Code::Unavailable),
        (Fault::Garbage, Code::Unavailable),
        (
            Fault::Redirect("https://elsewhere.example.com/".into()),
            Code::Unavailable,
        ),
        (
            Fault::Status(404, json!({"message": "a proxy's page"})),
            Code::NotFound,
        ),
        (Fault::Status(200, json!({"id": "x"})), Code::Unavailable),
        // More than a response may have is the host's word.
        (Fault::Huge(9 << 20), Code::InvalidRequest),
    ];
    for (fault, code) in cases {
        stage.server.set_fault(fault.clone());
        let outcome = stage.read_one(&call, "db").await;
        let failure = failure(&outcome);
        assert_eq!(failure.code, code, "{fault:?}: {failure}");
        let waits =
            matches!(fault, Fault::TooManyRequests(Some(_))).then_some(Duration::from_secs(7));
        assert_eq!(failure.retry_after, waits, "{fault:?}");
    }
    stage.server.set_fault(Fault::Hang);
    let mut hurried = call.clone();
    hurried.deadline = Duration::from_secs(1);
    let outcome = stage.read_one(&hurried, "db").await;
    assert_eq!(failure(&outcome).code, Code::Timeout);
    stage.server.clear_faults();
    assert_eq!(value(&stage.read_one(&call, "db").await), "v");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_logs_in_with_its_certificate() {
    let stage = Stage::start().await;
    stage.server.set("db", "v");
    let references =
        json!({"authSecretRef": {"clientId": {"name": "s"}, "clientCertificate": {"name": "s"}}});
    let config = stage.config(references);
    let pem = std::fs::read_to_string(data("azure-application.pem")).unwrap();
    let credentials = || {
        vec![
            credential(CLIENT_ID, KeyVault::CLIENT_ID),
            credential(CERTIFICATE, &pem),
        ]
    };
    let unknown = stage.login(&config, credentials()).await.unwrap_err();
    assert_eq!(unknown.code, Code::Unauthenticated);
    assert!(unknown.public.contains("AADSTS700027"), "{unknown}");
    stage
        .server
        .trust_certificate(KeyVault::CLIENT_ID, &certificate());
    let call = stage.login(&config, credentials()).await.unwrap();
    assert_eq!(value(&stage.read_one(&call, "db").await), "v");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_login_says_what_to_do_and_not_the_secret() {
    let stage = Stage::start().await;
    let config = stage.config(json!({}));
    let login = async |client: &str, secret: &str| {
        let credentials = vec![
            credential(CLIENT_ID, client),
            credential(CLIENT_SECRET, secret),
        ];
        stage.login(&config, credentials).await.unwrap_err()
    };
    let wrong = login(KeyVault::CLIENT_ID, "PSTSENTINEL-wrong").await;
    assert_eq!(wrong.code, Code::Unauthenticated);
    assert!(wrong.public.contains("AADSTS7000215"), "{wrong}");
    assert!(!format!("{wrong:?}").contains("PSTSENTINEL"), "{wrong:?}");
    let nobody = login("nobody", KeyVault::CLIENT_SECRET).await;
    assert!(nobody.public.contains("AADSTS700016"), "{nobody}");
    stage.server.set_directory_fault(503, json!({}));
    assert_eq!(
        login(KeyVault::CLIENT_ID, "x").await.code,
        Code::Unavailable
    );
    stage.server.set_directory_fault(429, json!({}));
    assert_eq!(
        login(KeyVault::CLIENT_ID, "x").await.code,
        Code::RateLimited
    );
}

/// A service account's token, as far as the directory of the test kit looks at it: it knows no keys of a cluster.
fn account_token(subject: &str) -> String {
    let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let claims = json!({"iss": "https://cluster.example.com", "sub": subject,
        "aud": ["api://AzureADTokenExchange"], "exp": 4_102_444_800_u64});
    format!("{}.{}.c2ln", part(json!({"alg": "RS256"})), part(claims))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_stands_for_an_application() {
    let stage = Stage::start().await;
    stage.server.set("db", "v");
    let app = "11111111-69d6-4b48-9259-8d11124e1cf1";
    let subject = "system:serviceaccount:team-a:reader";
    stage
        .server
        .trust_issuer(app, "https://cluster.example.com", subject);
    let config = stage.config(
        json!({"authType": "WorkloadIdentity", "authSecretRef": null, "tenantId": null,
        "serviceAccountRef": {"name": "reader"}}),
    );
    let annotation = |name: &str, value: &str| {
        (
            format!("annotation:azure.workload.identity/{name}"),
            value.to_owned(),
        )
    };
    let account = |subject: &str| Credential {
        attributes: vec![
            annotation("client-id", app),
            annotation("tenant-id", KeyVault::TENANT),
        ],
        ..credential(ACCOUNT, &account_token(subject))
    };
    let call = stage.login(&config, vec![account(subject)]).await.unwrap();
    assert_eq!(value(&stage.read_one(&call, "db").await), "v");
    let stranger = stage
        .login(
            &config,
            vec![account("system:serviceaccount:team-b:reader")],
        )
        .await;
    let failure = stranger.unwrap_err();
    assert_eq!(failure.code, Code::Unauthenticated);
    assert!(failure.public.contains("federated credential"), "{failure}");
}

/// The identity of Postern as an app of its own, as the platform tells it; a pod on a node asks 169.254.169.254 instead, where
/// no test can listen.
#[tokio::test(flavor = "multi_thread")]
async fn the_platform_tells_an_app_its_token() {
    let stage = Stage::start().await;
    stage.server.set("db", "v");
    stage.server.set_resource("https://127.0.0.1");
    let config = stage.config(json!({"authType": "ManagedIdentity", "identityId": "app-1", "authSecretRef": null,
        "customCloudConfig": {"activeDirectoryEndpoint": stage.server.directory_url(), "keyVaultEndpoint": "https://127.0.0.1"}}));
    let endpoint = format!("{}/msi/token", stage.server.directory_url());
    let environment = || {
        vec![
            credential("env:IDENTITY_ENDPOINT", &endpoint),
            credential("env:IDENTITY_HEADER", KeyVault::IDENTITY_HEADER),
        ]
    };
    let nobody = stage.login(&config, environment()).await.unwrap_err();
    assert_eq!(nobody.code, Code::Unauthenticated);
    assert!(nobody.public.contains("identityId"), "{nobody}");
    assert!(
        !format!("{nobody:?}").contains(KeyVault::IDENTITY_HEADER),
        "{nobody:?}"
    );
    stage.server.assign_to_node("app-1");
    let call = stage.login(&config, environment()).await.unwrap();
    assert_eq!(value(&stage.read_one(&call, "db").await), "v");
}

#[tokio::test(flavor = "multi_thread")]
async fn posterns_own_account_stands_for_an_application() {
    let stage = Stage::start().await;
    stage.server.set("db", "v");
    stage.server.set_resource("https://127.0.0.1");
    let app = "22222222-69d6-4b48-9259-8d11124e1cf1";
    let subject = "system:serviceaccount:postern:postern";
    stage
        .server
        .trust_issuer(app, "https://cluster.example.com", subject);
    let directory = stage.server.directory_url();
    let config = stage.config(json!({"authType": "WorkloadIdentity", "authSecretRef": null,
        "customCloudConfig": {"activeDirectoryEndpoint": directory, "keyVaultEndpoint": "https://127.0.0.1"}}));
    let environment = vec![
        credential("env:AZURE_CLIENT_ID", app),
        credential("env:AZURE_TENANT_ID", KeyVault::TENANT),
        credential("env:AZURE_AUTHORITY_HOST", directory),
        credential("file:AZURE_FEDERATED_TOKEN_FILE", &account_token(subject)),
    ];
    let call = stage.login(&config, environment).await.unwrap();
    assert_eq!(value(&stage.read_one(&call, "db").await), "v");
    let closed = stage.login(&config, Vec::new()).await.unwrap_err();
    assert_eq!(closed.code, Code::InvalidConfig);
    assert!(closed.public.contains("--ambient-identity"), "{closed}");
}

/// The door to the node's identity is closed unless the administrator opens it, and says how.
#[tokio::test(flavor = "multi_thread")]
async fn the_nodes_identity_is_closed_by_default() {
    let stage = Stage::start().await;
    let config = json!({"vaultUrl": "https://v.vault.azure.net", "authType": "ManagedIdentity"});
    let failure = stage.login(&config, Vec::new()).await.unwrap_err();
    assert!(failure.public.contains("--ambient-identity"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_of_a_store_logs_in_and_compares_what_the_vault_asks_for() {
    let stage = Stage::start().await;
    let probe = async |more: Value, credentials: Vec<Credential>| {
        let call = stage.call(&stage.config(more), credentials).await;
        stage.bench.runtime.probe(&call).await
    };
    assert_eq!(probe(json!({}), application()).await, Ok(()));
    // Nothing that needs a permission was asked.
    let asked = stage.server.requests();
    assert_eq!(asked.get("GET /secrets"), Some(&1), "{asked:?}");
    let wrong = vec![
        credential(CLIENT_ID, KeyVault::CLIENT_ID),
        credential(CLIENT_SECRET, "x"),
    ];
    let failure = probe(json!({}), wrong).await.unwrap_err();
    assert_eq!(failure.code, Code::Unauthenticated);
    let elsewhere = json!({"customCloudConfig": {"activeDirectoryEndpoint": stage.server.directory_url(),
        "keyVaultEndpoint": "https://vault.azure.cn"}});
    let failure = probe(elsewhere, application()).await.unwrap_err();
    assert_eq!(failure.code, Code::InvalidConfig);
    assert!(failure.public.contains(KeyVault::RESOURCE), "{failure}");
    let tenant = json!({"tenantId": "00000000-86f1-41af-91ab-2d7cd011db47"});
    let failure = probe(tenant, application()).await.unwrap_err();
    assert_eq!(failure.code, Code::InvalidConfig);
    assert!(failure.public.contains(KeyVault::TENANT), "{failure}");
}

/// What Microsoft's own clients print; see the script.
fn ask_as_the_vendor(server: &KeyVault) -> Value {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/azure");
    let python = postern_test_kit::tools::python(&tools.join("requirements.txt")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, server.ca_pem().unwrap()).unwrap();
    let given = json!({"vault": server.url(), "directory": server.directory_url(), "ca": ca,
        "tenant": KeyVault::TENANT, "client": KeyVault::CLIENT_ID, "secret": KeyVault::CLIENT_SECRET,
        "certificate": data("azure-application.pem")});
    let file = folder.path().join("given.json");
    std::fs::write(&file, given.to_string()).unwrap();
    let ran = std::process::Command::new(python)
        .arg(tools.join("vault.py"))
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    serde_json::from_slice(&ran.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn microsofts_clients_and_the_plugin_read_the_same() {
    let stage = Stage::start().await;
    let server = &stage.server;
    let attributes = Attributes {
        created: Some(1_493_938_410),
        expires: Some(1_893_456_000),
        not_before: Some(1_493_938_411),
    };
    let version = server.set_with("db", "{\"a\": \"ü<&>\"}", &[("team", "a")], attributes);
    server.set("closed", "x");
    server.deny("secrets/closed");
    for n in 0..30 {
        server.set(&format!("many-{n:02}"), "x");
    }
    let pfx = STANDARD.encode(std::fs::read(data("azure-application.pfx")).unwrap());
    server.set_certificate("tls", &certificate(), &pfx, "application/x-pkcs12");
    server.set_key(
        "sign",
        json!({"kty": "RSA", "n": "q80", "e": "AQAB", "key_ops": ["sign", "verify"]}),
    );
    server.trust_certificate(KeyVault::CLIENT_ID, &certificate());
    let told = tokio::task::block_in_place(|| ask_as_the_vendor(server));
    let call = stage.reader().await;
    assert_eq!(told["version"], version);
    values_agree(&stage, &call, &told).await;
    others_agree(&stage, &call, &told).await;
}

/// Secrets with what belongs to them, and those that the client wrote.
async fn values_agree(stage: &Stage, call: &Call, told: &Value) {
    let read = async |key: &str| stage.read_one(call, key).await;
    let db = read("db").await;
    assert_eq!(told["value"], value(&db));
    assert_eq!(told["version"].as_str(), db.tag.as_deref());
    assert_eq!(told["by-certificate"], told["value"]);
    let metadata = Request {
        metadata: true,
        ..request("db", None)
    };
    let metadata = stage.read(call, &[metadata]).await;
    let metadata: Value = serde_json::from_str(&value(&metadata[0])).unwrap();
    let of_vendor = &told["properties"];
    assert_eq!(metadata["team"], of_vendor["tags"]["team"]);
    for name in ["created", "updated", "expires", "notBefore"].map(|n| format!("attribute.{n}")) {
        assert_eq!(metadata[&name], of_vendor[&name], "{name}");
    }

    // What the client wrote.
    let versions: Vec<String> = serde_json::from_value(told["versions"].clone()).unwrap();
    let asked = [
        request("by-client", None),
        at_version("by-client", &versions[0]),
    ];
    let outcomes = stage.read(call, &asked).await;
    assert_eq!(
        (value(&outcomes[0]), outcomes[0].tag.as_deref()),
        ("second".into(), Some(versions[1].as_str()))
    );
    assert_eq!(told["of-first"], value(&outcomes[1]));
    assert_eq!(told["all-versions"].as_array().map(Vec::len), Some(2));
}

/// Lists, certificates, keys and refusals.
async fn others_agree(stage: &Stage, call: &Call, told: &Value) {
    let read = async |key: &str| stage.read_one(call, key).await;
    let query = Query::default();
    let found = stage
        .bench
        .runtime
        .find(call, &query, None)
        .await
        .unwrap()
        .found;
    let mut names: Vec<String> = found.into_iter().map(|f| f.key).collect();
    names.sort();
    assert_eq!(told["names"], json!(names));
    assert!(names.len() > 25, "{names:?}");
    assert_eq!(
        told["certificate"],
        STANDARD.encode(bytes(&read("cert/tls").await))
    );
    assert_eq!(told["pfx"], value(&read("secret/tls").await));
    let jwk: Value = serde_json::from_str(&value(&read("key/sign").await)).unwrap();
    let hex = |member: &str| {
        let bytes = URL_SAFE_NO_PAD
            .decode(jwk[member].as_str().unwrap())
            .unwrap();
        bytes.iter().map(|b| format!("{b:02x}")).collect::<String>()
    };
    let key = json!({"kid": jwk["kid"], "kty": jwk["kty"], "n": hex("n"), "e": hex("e")});
    assert_eq!(told["key"], key);

    // What is refused to one is refused to the other, for the same reason.
    let not_found =
        |code: &str| json!({"kind": "ResourceNotFoundError", "status": 404, "code": code});
    let forbidden = json!({"kind": "HttpResponseError", "status": 403, "code": "Forbidden"});
    let cases = [
        ("missing", "none", not_found("SecretNotFound"), Code::Absent),
        (
            "missing-certificate",
            "cert/none",
            not_found("CertificateNotFound"),
            Code::Absent,
        ),
        (
            "missing-key",
            "key/none",
            not_found("KeyNotFound"),
            Code::Absent,
        ),
        (
            "deleted",
            "taken-away",
            not_found("SecretNotFound"),
            Code::Absent,
        ),
        ("disabled", "switched-off", forbidden.clone(), Code::Denied),
        ("denied", "closed", forbidden, Code::Denied),
    ];
    for (name, key, of_vendor, code) in cases {
        assert_eq!(told[name], of_vendor, "{name}");
        assert_eq!(failure(&read(key).await).code, code, "{name}");
    }
    assert_eq!(told["wrong-secret"], "AADSTS7000215");
}
