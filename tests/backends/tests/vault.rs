//! The vault provider as a component, through the network door, against an OpenBao server: the recording of one, or with
//! `POSTERN_TEST_BAO` a live one. The replay refuses whatever was not recorded, and each test asks that nothing was.

#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use postern_backend_tests::table::{self, Backend};
use postern_core::egress::{AddressRules, AllowedEndpoint, EgressPolicy, Origin, TlsSettings};
use postern_core::failure::{Code, Failure};
use postern_core::plugin::{
    Answer, Call, Credential, IdentityId, Outcome, Part, Pick, PluginHost as _, Request, Revision,
};
use postern_core::secret::SecretValue;
use postern_runtime::Runtime;
use postern_runtime::aot::CompileWith;
use postern_test_kit::kvserver::{
    CountingVault, Fault, RECORDED_ROLE_ID, RECORDED_SECRET_ID, Vaultlike, vaultlike,
};
use serde_json::{Value, json};

struct Bench {
    server: Box<dyn Vaultlike>,
    runtime: Runtime,
    revision: Arc<Revision>,
}

async fn bench() -> Bench {
    let guests = std::env::var_os("POSTERN_GUESTS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guests"),
        Into::into,
    );
    let component = guests.join("vault.wasm");
    let bytes = std::fs::read(&component).unwrap_or_else(|_| {
        panic!(
            "{} is missing; run `cargo xtask guests`",
            component.display()
        )
    });
    let runtime = Runtime::builder()
        .cache_dir(env!("CARGO_TARGET_TMPDIR"))
        .compile_with(CompileWith::InProcess)
        .build()
        .unwrap();
    let revision = runtime.load_bytes(&bytes, true).await.unwrap();
    Bench {
        server: vaultlike().unwrap(),
        runtime,
        revision,
    }
}

impl Bench {
    fn call(
        &self,
        config: Value,
        credentials: Vec<Credential>,
        session: Option<SecretValue>,
    ) -> Call {
        let mut config = config;
        config["server"] = json!(self.server.url());
        let endpoint = AllowedEndpoint {
            origin: Origin::parse(self.server.url()).unwrap(),
            tls: TlsSettings::default(),
        };
        let rules = AddressRules {
            loopback: true,
            ..AddressRules::default()
        };
        Call {
            plugin: self.revision.digest.clone(),
            identity: IdentityId("backend-test".into()),
            config: config.to_string().into(),
            credentials,
            session,
            namespace: None,
            egress: Arc::new(EgressPolicy {
                endpoints: vec![endpoint],
                rules,
                ..EgressPolicy::default()
            }),
            directories: Arc::default(),
            deadline: Duration::from_secs(20),
            options: vec![("provider-key".into(), "vault".into())],
        }
    }

    /// Reads as the server's root.
    async fn read(&self, config: Value, requests: &[Request]) -> Vec<Outcome> {
        let call = self.call(config, Vec::new(), Some(self.server.token().into()));
        self.runtime.read(&call, requests).await.unwrap()
    }

    async fn login(
        &self,
        config: Value,
        pointer: &str,
        secret: &str,
    ) -> Result<SecretValue, Failure> {
        let credential = Credential {
            pointer: pointer.into(),
            value: secret.into(),
            attributes: Vec::new(),
        };
        let call = self.call(config, vec![credential], None);
        Ok(self.runtime.login(&call).await?.token)
    }

    fn assert_nothing_else_was_asked(&self) {
        assert_eq!(self.server.unexpected(), Vec::<String>::new());
    }
}

fn v2() -> Value {
    json!({"path": "secret", "auth": {"tokenSecretRef": {"name": "t", "key": "k"}}})
}

fn app_role() -> Value {
    json!({"path": "secret", "auth": {"appRole": {
        "path": "approle", "roleId": RECORDED_ROLE_ID, "secretRef": {"name": "s", "key": "k"},
    }}})
}

fn request(key: &str, property: Option<&str>) -> Request {
    Request {
        key: key.into(),
        version: None,
        metadata: false,
        picks: vec![Pick {
            property: property.map(str::to_owned),
            members: false,
        }],
        known: None,
    }
}

fn value(outcome: &Outcome) -> String {
    match &outcome.answer {
        Answer::Parts(parts) => match &parts[..] {
            [Part::Value(value)] => String::from_utf8(value.expose().to_vec()).unwrap(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn failure(outcome: &Outcome) -> &Failure {
    match &outcome.answer {
        Answer::Failed(failure) => failure,
        Answer::Parts(parts) => match &parts[..] {
            [Part::Failed(failure)] => failure,
            other => panic!("{other:?}"),
        },
        Answer::Unchanged => panic!("unchanged"),
    }
}

#[tokio::test]
async fn reads_properties_versions_and_metadata_of_the_second_engine() {
    let bench = bench().await;
    let mut first = request("team-a/db", Some("password"));
    first.version = Some("1".into());
    let asked = [
        request("team-a/db", Some("password")),
        first,
        request("team-a/unicode", Some("empty")),
    ];
    let outcomes = bench.read(v2(), &asked).await;
    assert_eq!(
        outcomes.iter().map(value).collect::<Vec<_>>(),
        ["second", "first", ""]
    );
    let mut metadata = request("team-a/db", None);
    metadata.metadata = true;
    let outcomes = bench.read(v2(), &[metadata]).await;
    let facts: Value = serde_json::from_str(&value(&outcomes[0])).unwrap();
    assert_eq!(facts["current_version"], json!("2"), "{facts}");
    bench.assert_nothing_else_was_asked();
}

#[tokio::test]
async fn tells_what_is_absent_from_what_is_not_found() {
    let bench = bench().await;
    let asked = [
        request("team-a/missing", None),
        request("team-a/gone", None),
        request("team-a/db", Some("nothing")),
    ];
    let outcomes = bench.read(v2(), &asked).await;
    let codes: Vec<Code> = outcomes.iter().map(|o| failure(o).code).collect();
    assert_eq!(codes, [Code::Absent, Code::Absent, Code::NotFound]);
    let nowhere = json!({"path": "nomount", "auth": {"tokenSecretRef": {"name": "t", "key": "k"}}});
    let outcomes = bench.read(nowhere, &[request("x", None)]).await;
    assert_eq!(failure(&outcomes[0]).code, Code::NotFound);
    bench.assert_nothing_else_was_asked();
}

#[tokio::test]
async fn reads_the_first_engine() {
    let bench = bench().await;
    let v1 = json!({"path": "kv1", "version": "v1", "auth": {"tokenSecretRef": {"name": "t", "key": "k"}}});
    let outcomes = bench
        .read(v1, &[request("app", Some("pass")), request("none", None)])
        .await;
    assert_eq!(value(&outcomes[0]), "p1");
    assert_eq!(failure(&outcomes[1]).code, Code::Absent);
    bench.assert_nothing_else_was_asked();
}

#[tokio::test]
async fn logs_in_by_app_role_and_tells_a_denied_object_from_a_dead_token() {
    let bench = bench().await;
    let session = bench
        .login(app_role(), "/auth/appRole/secretRef", RECORDED_SECRET_ID)
        .await
        .unwrap();
    let call = bench.call(app_role(), Vec::new(), Some(session));
    let asked = [
        request("team-a/db", Some("password")),
        request("team-b/key", None),
    ];
    let outcomes = bench.runtime.read(&call, &asked).await.unwrap();
    assert_eq!(value(&outcomes[0]), "second");
    assert_eq!(failure(&outcomes[1]).code, Code::Denied);
    let wrong = bench
        .login(app_role(), "/auth/appRole/secretRef", "wrong")
        .await
        .unwrap_err();
    assert_eq!(wrong.code, Code::Unauthenticated);
    bench.assert_nothing_else_was_asked();
}

#[tokio::test]
async fn logs_in_by_password_and_says_nothing_of_a_wrong_one() {
    let bench = bench().await;
    let config = json!({"path": "secret", "auth": {"userPass": {
        "path": "userpass", "username": "ada", "secretRef": {"name": "s", "key": "k"},
    }}});
    let pointer = "/auth/userPass/secretRef";
    assert!(
        bench
            .login(config.clone(), pointer, "correct horse")
            .await
            .is_ok()
    );
    let wrong = bench.login(config, pointer, "nope").await.unwrap_err();
    assert_eq!(wrong.code, Code::Unauthenticated);
    assert!(!format!("{wrong:?}").contains("nope"), "{wrong:?}");
    bench.assert_nothing_else_was_asked();
}

/// A KV engine as the rows of all providers want it: what is no JSON object is its member `value`.
struct Rows {
    vault: CountingVault,
    numbers: RefCell<BTreeMap<String, u64>>,
}

impl Backend for Rows {
    fn config(&self) -> String {
        let mut config = v2();
        config["server"] = json!(self.vault.url());
        config.to_string()
    }

    fn credentials(&self) -> Vec<Credential> {
        vec![Credential {
            pointer: "/auth/tokenSecretRef".into(),
            value: CountingVault::ROOT_TOKEN.into(),
            attributes: Vec::new(),
        }]
    }

    fn put(&self, key: &str, value: &[u8]) {
        let object = serde_json::from_slice(value).ok().filter(Value::is_object);
        let data = object.unwrap_or_else(|| json!({"value": String::from_utf8_lossy(value)}));
        let number = self.vault.put("secret", key, data);
        self.numbers.borrow_mut().insert(key.to_owned(), number);
    }

    fn version(&self, key: &str) -> String {
        self.numbers.borrow()[key].to_string()
    }

    fn deny(&self, key: &str) {
        let place = format!("secret/data/{key}");
        self.vault.set_fault_at(&place, Fault::Forbidden);
    }

    fn permission(&self) -> &'static str {
        "the token may not read"
    }

    fn throttle(&self, seconds: u64) {
        let pause = Duration::from_secs(seconds);
        self.vault
            .set_fault_at("secret/", Fault::TooManyRequests(pause));
    }

    fn fail(&self) {
        self.vault.set_fault(Fault::Sealed);
    }

    fn recover(&self) {
        self.vault.clear_faults();
    }

    fn member(&self) -> Option<&'static str> {
        Some("value")
    }

    fn cannot(&self, row: &str) -> Option<&'static str> {
        (row == "binary").then_some("the values of a KV engine are JSON texts")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn does_what_every_provider_does() {
    let bench = postern_backend_tests::Bench::load(&["vault"]).await;
    let rows = Rows {
        vault: CountingVault::start().unwrap(),
        numbers: RefCell::default(),
    };
    table::play(&bench, &rows, &["binary"]).await;
}
