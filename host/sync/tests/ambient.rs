//! What a plugin sees of Postern's own environment: what it asks for, what is open, what the config uses, and no reader.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![expect(dead_code, reason = "the common fakes offer more than this test needs")]

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use common::*;
use postern_core::egress::AddressRules;
use postern_core::failure::{Code, Failure, Stage};
use postern_core::plugin::{Answering, Call};
use postern_core::secret::SecretValue;
use postern_sync::{Environment, Settings};
use serde_json::{Value, json};

/// Variables, and the files that they name.
#[derive(Debug, Default)]
struct Fake {
    variables: BTreeMap<&'static str, &'static str>,
    files: Mutex<BTreeMap<&'static str, &'static str>>,
}

impl Environment for Fake {
    fn variable(&self, name: &str) -> Option<SecretValue> {
        self.variables.get(name).map(|v| (*v).into())
    }

    fn file<'a>(&'a self, path: &'a str) -> Answering<'a, SecretValue> {
        Box::pin(async move {
            let files = self.files.lock().unwrap();
            let content = files.get(path).map(|c| SecretValue::from(*c));
            content.ok_or_else(|| Failure::new(Stage::Login, Code::CredentialMissing, "not found"))
        })
    }
}

fn open(flag: bool) -> (Desk, Arc<Fake>) {
    let environment = Arc::new(Fake {
        variables: BTreeMap::from([
            ("WHO", "postern"),
            ("TOKEN_FILE", "/token"),
            ("ENDPOINT", "https://b.corp:8200"),
            ("HOME", "/root"),
        ]),
        files: Mutex::new(BTreeMap::from([("/token", "t1")])),
    });
    let desk = desk_with(Settings {
        rules: AddressRules {
            ambient_identity: flag,
            ..AddressRules::default()
        },
        environment: Some(environment.clone()),
        ..Settings::default()
    });
    desk.host.world().values = BTreeMap::from([("db".into(), "v".into())]);
    (desk, environment)
}

fn all() -> Value {
    json!({"corp": {"ambient": ["env:WHO", "file:TOKEN_FILE", "env:ENDPOINT", "env:UNSET"]}})
}

fn given(call: &Call) -> Vec<(String, String)> {
    let text = |v: &SecretValue| String::from_utf8(v.expose().to_vec()).unwrap();
    let credentials = call.credentials.iter();
    credentials
        .map(|c| (c.pointer.clone(), text(&c.value)))
        .collect()
}

fn pair(pointer: &str, value: &str) -> (String, String) {
    (pointer.into(), value.into())
}

fn told(call: &Call) -> bool {
    call.options
        .contains(&("ambient-identity".into(), "open".into()))
}

#[tokio::test(start_paused = true)]
async fn a_login_gets_what_the_config_uses_and_a_reader_nothing() {
    let (desk, _) = open(true);
    let mut config = all();
    config["corp"]["ambient"].as_array_mut().unwrap().pop();
    assert_eq!(desk.read(&own(config), "team", &["db"]).await, [ok("v")]);
    let world = desk.host.world();
    let want = [
        pair("env:WHO", "postern"),
        pair("file:TOKEN_FILE", "t1"),
        pair("env:ENDPOINT", "https://b.corp:8200"),
    ];
    assert_eq!(given(&world.logins[0]), want);
    assert!(told(&world.logins[0]));
    assert_eq!(given(&world.reads[0].0), []);
    // Endpoints may stand there, so `examine` sees them the second time.
    assert_eq!(
        world.examined.iter().map(Vec::len).collect::<Vec<_>>(),
        [0, 3]
    );
}

#[tokio::test(start_paused = true)]
async fn without_the_flag_only_settings_are_given() {
    let (desk, _) = open(false);
    let config = json!({"corp": {"ambient": ["env:WHO", "file:TOKEN_FILE", "env:ENDPOINT"]}});
    desk.read(&own(config), "team", &["db"]).await;
    let world = desk.host.world();
    let want = [pair("env:ENDPOINT", "https://b.corp:8200")];
    assert_eq!(given(&world.logins[0]), want);
    assert!(!told(&world.logins[0]));
}

#[tokio::test(start_paused = true)]
async fn a_store_with_a_credential_of_its_own_gets_nothing_else() {
    let (desk, _) = open(true);
    desk.credentials.set("team", "s", "pw");
    let config = json!({"corp": {"password": {"name": "s", "key": "k"}}});
    desk.read(&own(config), "team", &["db"]).await;
    let world = desk.host.world();
    assert_eq!(given(&world.logins[0]), [pair("/password", "pw")]);
}

#[tokio::test(start_paused = true)]
async fn a_file_is_read_anew_for_the_next_login() {
    let (desk, environment) = open(true);
    desk.host.world().life = Some(10 * MINUTE);
    let store = own(json!({"corp": {"ambient": ["file:TOKEN_FILE"]}}));
    desk.read(&store, "team", &["db"]).await;
    environment.files.lock().unwrap().insert("/token", "t2");
    tokio::time::advance(11 * MINUTE).await;
    assert_eq!(desk.read(&store, "team", &["db"]).await, [ok("v")]);
    environment.files.lock().unwrap().clear();
    tokio::time::advance(11 * MINUTE).await;
    desk.read(&store, "team", &["db"]).await;
    let world = desk.host.world();
    let tokens: Vec<_> = world.logins.iter().map(given).collect();
    assert_eq!(
        tokens,
        ["t1", "t2", ""].map(|t| vec![pair("file:TOKEN_FILE", t)])
    );
    let unreadable = ("unreadable".to_owned(), "not found".to_owned());
    assert_eq!(world.logins[2].credentials[0].attributes, [unreadable]);
}

#[tokio::test(start_paused = true)]
async fn what_the_plugin_does_not_ask_for_is_never_given() {
    let (desk, _) = open(true);
    for pointer in ["env:HOME", "file:WHO", "env:UNSET"] {
        let store = own(json!({"corp": {"ambient": [pointer]}}));
        let store = Arc::new(postern_core::store::Store {
            uid: pointer.into(),
            ..(*store).clone()
        });
        let read = desk.read(&store, "team", &["db"]).await;
        assert_eq!(read, [Err(Code::ContractBroken)], "{pointer}");
    }
    assert_eq!(desk.host.world().logins.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn no_config_opens_a_metadata_address() {
    let (desk, _) = open(true);
    let config = json!({"corp": {"url": "http://169.254.169.254"}});
    let read = desk.read(&own(config), "team", &["db"]).await;
    assert_eq!(read, [Err(Code::EgressDenied)]);
}
