//! Guests, a runtime over them, and calls with sentinels where secrets are.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use postern_core::egress::{AddressRules, AllowedEndpoint, EgressPolicy, Origin, TlsSettings};
use postern_core::failure::Failure;
use postern_core::plugin::{
    Answer, Call, Credential, Digest, IdentityId, Outcome, Part, Pick, PluginHost as _, Request,
    Revision,
};
use postern_runtime::Runtime;
use postern_runtime::aot::CompileWith;

/// Values that must never appear in a failure or a log.
pub const SENTINELS: [&str; 2] = ["sentinel-credential-5d41402a", "sentinel-session-7b52009b"];

pub fn guest(name: &str) -> Vec<u8> {
    component(&format!("guest_{name}"))
}

/// A component that `cargo xtask guests` built.
pub fn component(name: &str) -> Vec<u8> {
    let dir = std::env::var_os("POSTERN_GUESTS").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/guests")),
        PathBuf::from,
    );
    let path = dir.join(format!("{name}.wasm"));
    std::fs::read(&path)
        .unwrap_or_else(|e| panic!("{}: {e}; run `cargo xtask guests` first", path.display()))
}

/// A runtime that compiles in this process: these guests are ours.
pub fn runtime() -> Runtime {
    Runtime::builder()
        .compile_with(CompileWith::InProcess)
        .build()
        .unwrap()
}

pub struct Bench {
    pub runtime: Runtime,
    pub plugin: Arc<Revision>,
}

/// A runtime with one guest in it.
pub async fn bench(name: &str) -> Bench {
    bench_in(runtime(), &guest(name)).await
}

pub async fn hostile() -> Bench {
    bench("hostile").await
}

pub async fn bench_in(runtime: Runtime, bytes: &[u8]) -> Bench {
    let plugin = runtime.load_bytes(bytes, false).await.unwrap();
    Bench { runtime, plugin }
}

pub fn call(plugin: &Digest, config: serde_json::Value) -> Call {
    Call {
        plugin: plugin.clone(),
        identity: IdentityId("identity".into()),
        config: config.to_string().into(),
        credentials: vec![Credential {
            pointer: "/auth".into(),
            value: SENTINELS[0].into(),
            attributes: vec![],
        }],
        session: Some(SENTINELS[1].into()),
        namespace: Some("team-a".into()),
        egress: Arc::new(EgressPolicy::default()),
        directories: Arc::new(BTreeMap::new()),
        deadline: Duration::from_secs(20),
        options: vec![("provider-key".into(), "hostile".into())],
    }
}

/// A policy that opens loopback and these origins.
pub fn open_to(origins: &[&str]) -> Arc<EgressPolicy> {
    open_with_tls(origins, TlsSettings::default())
}

pub fn open_with_tls(origins: &[&str], tls: TlsSettings) -> Arc<EgressPolicy> {
    let endpoint = |o: &&str| AllowedEndpoint {
        origin: Origin::parse(o).unwrap(),
        tls: tls.clone(),
    };
    Arc::new(EgressPolicy {
        endpoints: origins.iter().map(endpoint).collect(),
        rules: AddressRules {
            loopback: true,
            ..AddressRules::default()
        },
        ..EgressPolicy::default()
    })
}

pub fn request(key: &str) -> Request {
    let picks = vec![Pick {
        property: None,
        members: false,
    }];
    Request {
        key: key.into(),
        version: None,
        metadata: false,
        picks,
        known: None,
    }
}

impl Bench {
    pub fn call(&self, config: serde_json::Value) -> Call {
        call(&self.plugin.digest, config)
    }

    pub async fn read(&self, call: &Call) -> Result<Vec<Outcome>, Failure> {
        self.runtime.read(call, &[request("k1")]).await
    }

    /// The one value of the one request.
    pub async fn value(&self, call: &Call) -> String {
        value_of(&self.read(call).await.unwrap())
    }

    /// The failure that the guest reported for the one request.
    pub async fn reported(&self, call: &Call) -> Failure {
        match self.read(call).await.unwrap().remove(0).answer {
            Answer::Failed(failure) => clean(failure),
            other => panic!("{other:?}"),
        }
    }

    /// The failure of the call, after which the next call must work.
    pub async fn broken(&self, call: &Call) -> Failure {
        let failure = clean(self.read(call).await.unwrap_err());
        assert_eq!(
            self.value(&self.call(serde_json::json!({}))).await,
            "k1",
            "the next call works"
        );
        failure
    }
}

pub fn value_of(outcomes: &[Outcome]) -> String {
    match &outcomes[0].answer {
        Answer::Parts(parts) => match &parts[0] {
            Part::Value(value) => String::from_utf8(value.expose().to_vec()).unwrap(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// Nothing secret is in any form of a failure.
pub fn clean(failure: Failure) -> Failure {
    assert_no_sentinel(&format!("{failure} {failure:?}"));
    failure
}

pub fn assert_no_sentinel(text: &str) {
    for sentinel in SENTINELS {
        assert!(!text.contains(sentinel), "{text}");
    }
}

/// Collects what is logged while it lives, in this thread.
#[derive(Clone, Default)]
pub struct Logged(Arc<Mutex<Vec<u8>>>);

impl Logged {
    pub fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let logged = Self::default();
        let sink = logged.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || sink.clone())
            .finish();
        (logged, tracing::subscriber::set_default(subscriber))
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
