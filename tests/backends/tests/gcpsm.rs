//! The provider `gcpsm` as a component, through the network door, against a server that answers as Google documents Secret
//! Manager and its token endpoints; and Google's own client library against the same server.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use postern_backend_tests::table::{self, Backend};
use postern_backend_tests::{Bench, failure, request, value};
use postern_core::egress::TlsSettings;
use postern_core::failure::{Code, Failure};
use postern_core::plugin::{
    Answer, Call, Credential, Outcome, Part, Pick, PluginHost as _, Query, Request,
};
use postern_core::secret::SecretValue;
use postern_test_kit::gcp::{Fault, SecretManager};
use postern_test_kit::tools;
use serde_json::{Value, json};

const KEY: &str = "/auth/secretRef/secretAccessKeySecretRef";

struct Stage {
    bench: Bench,
    google: SecretManager,
}

impl Stage {
    async fn start() -> Self {
        Self {
            bench: Bench::load(&["gcpsm"]).await,
            google: SecretManager::start().unwrap(),
        }
    }

    /// A store that logs in with a key, and whatever else it says.
    fn by_key(&self, more: &Value) -> Value {
        let mut config = json!({"projectID": "demo", "endpoints": self.google.endpoints(),
            "auth": {"secretRef": {"secretAccessKeySecretRef": {"name": "gcp", "key": "key.json"}}}});
        for (name, value) in more.as_object().unwrap() {
            config[name] = value.clone();
        }
        config
    }

    fn call(&self, config: &Value, credentials: &[(&str, &str)]) -> Call {
        let (config, url) = (config.to_string(), self.google.url());
        self.bench
            .call(&config, credentials, url, TlsSettings::default())
    }

    /// A call with a session of this token.
    fn with_token(&self, more: &Value, token: &str) -> Call {
        let mut call = self.call(&self.by_key(more), &[]);
        call.session = Some(session(token));
        call
    }

    fn reading(&self) -> Call {
        self.with_token(&json!({}), SecretManager::TOKEN)
    }

    async fn read(&self, call: &Call, request: Request) -> Outcome {
        self.bench
            .runtime
            .read(call, &[request])
            .await
            .unwrap()
            .remove(0)
    }

    /// What a reading comes to while the server misbehaves so.
    async fn under(&self, fault: Fault) -> Failure {
        self.google.set_fault(fault);
        let mut call = self.reading();
        call.deadline = Duration::from_secs(3);
        let outcomes = self.bench.runtime.read(&call, &[request("db", None)]).await;
        self.google.clear_fault();
        outcomes.map_or_else(|failure| failure, |outcomes| failure(&outcomes[0]).clone())
    }

    /// Logs in, and reads a secret with what came of it.
    async fn by(&self, config: &Value, credentials: &[Credential]) -> Result<String, Failure> {
        let mut call = self.call(config, &[]);
        call.credentials = credentials.to_vec();
        let session = self.bench.runtime.login(&call).await?;
        assert!(
            session
                .expires_in
                .is_some_and(|life| life > Duration::from_secs(3000))
        );
        let mut call = self.call(config, &[]);
        call.session = Some(session.token);
        self.bench.runtime.probe(&call).await?;
        let outcome = self.read(&call, request("db", None)).await;
        self.bench.runtime.close(&call).await?;
        Ok(value(&outcome))
    }
}

fn session(token: &str) -> SecretValue {
    json!({"token": token}).to_string().as_str().into()
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

fn versioned(key: &str, version: &str) -> Request {
    Request {
        version: Some(version.into()),
        ..request(key, None)
    }
}

fn about(key: &str, property: &str) -> Request {
    Request {
        metadata: true,
        ..request(key, Some(property))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_values_versions_properties_members_and_metadata() {
    let stage = Stage::start().await;
    stage.google.put("db", b"old");
    stage
        .google
        .put("db", br#"{"user": "ada", "pool": {"size": 5}, "a.b": 1}"#);
    stage.google.label("db", "team", "a");
    stage.google.annotate("db", "example.com/why", "because");
    let mut members = request("db", Some("pool"));
    members.picks[0].members = true;
    let asked = [
        request("db", Some("user")),
        request("db", Some("pool.size")),
        request("db", Some("a.b")),
        versioned("db", "1"),
        about("db", "labels.team"),
        about("db", "annotations.example.com/why"),
        members,
        request("db", Some("none")),
        versioned("db", "9"),
        request("none", None),
        request("../db", None),
    ];
    let outcomes = stage
        .bench
        .runtime
        .read(&stage.reading(), &asked)
        .await
        .unwrap();
    let values: Vec<String> = outcomes[..6].iter().map(value).collect();
    assert_eq!(values, ["ada", "5", "1", "old", "a", "because"]);
    let Answer::Parts(parts) = &outcomes[6].answer else {
        panic!("{outcomes:?}")
    };
    let Part::Members(pool) = &parts[0] else {
        panic!("{parts:?}")
    };
    assert_eq!(
        (pool[0].0.as_str(), pool[0].1.expose()),
        ("size", &b"5"[..])
    );
    let codes: Vec<Code> = outcomes[7..].iter().map(|o| failure(o).code).collect();
    assert_eq!(
        codes,
        [
            Code::NotFound,
            Code::Absent,
            Code::Absent,
            Code::InvalidRequest
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_location_has_secrets_of_its_own() {
    let stage = Stage::start().await;
    stage.google.put("db", b"global");
    stage.google.put_at(Some("europe-west1"), "db", b"regional");
    let regional = json!({"location": "europe-west1"});
    for (more, want) in [(json!({}), "global"), (regional.clone(), "regional")] {
        let call = stage.with_token(&more, SecretManager::TOKEN);
        assert_eq!(value(&stage.read(&call, request("db", None)).await), want);
        let by_name = Query {
            path: None,
            tags: Vec::new(),
            name: Some("^d".into()),
            ..Query::default()
        };
        let page = stage
            .bench
            .runtime
            .find(&call, &by_name, None)
            .await
            .unwrap();
        assert_eq!(page.found.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_come_back_as_they_were_put_in() {
    let stage = Stage::start().await;
    let mut random = vec![0u8; 65_536];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for byte in &mut random {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        *byte = (state >> 56) as u8;
    }
    let pfx = include_bytes!("../../kit/data/keystore.p12").to_vec();
    for (key, data) in [
        ("random", random),
        ("keystore", pfx),
        ("empty", Vec::new()),
        ("text", "ä\0\n".into()),
    ] {
        stage.google.put(key, &data);
        let outcome = stage.read(&stage.reading(), request(key, None)).await;
        assert_eq!(bytes(&outcome), data, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_secret_moves_no_value_and_a_rotated_one_does() {
    let stage = Stage::start().await;
    let (google, call) = (&stage.google, stage.reading());
    google.put("db", b"one");
    google.age(Duration::from_secs(3600));
    let first = stage.read(&call, request("db", None)).await;
    let known = |tag: &Option<String>| Request {
        known: tag.clone(),
        ..request("db", None)
    };
    google.reset_counts();
    let again = stage.read(&call, known(&first.tag)).await;
    assert!(matches!(again.answer, Answer::Unchanged), "{again:?}");
    assert_eq!(again.tag, first.tag);
    assert_eq!(
        (
            google.asked("versions.get"),
            google.asked("versions.access")
        ),
        (1, 0)
    );

    google.put("db", b"two");
    let rotated = stage.read(&call, known(&first.tag)).await;
    assert_eq!(value(&rotated), "two");
    // So new a version might still be another by the next time, so it is read once more.
    assert_eq!(value(&stage.read(&call, known(&rotated.tag)).await), "two");

    // Deleted and made anew: the number is that of before, and the value is not.
    google.remove("db");
    google.put("db", b"three");
    assert_eq!(value(&stage.read(&call, known(&first.tag)).await), "three");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_ask_about_versions_reads_them_and_asks_once() {
    let stage = Stage::start().await;
    stage
        .google
        .add_token("ya29.accessor", &["secretmanager.versions.access"]);
    let call = stage.with_token(&json!({}), "ya29.accessor");
    stage.google.put("db", b"one");
    stage.google.age(Duration::from_secs(3600));
    let mut tag = stage.read(&call, request("db", None)).await.tag;
    stage.google.reset_counts();
    for _ in 0..3 {
        let asked = Request {
            known: tag,
            ..request("db", None)
        };
        let outcome = stage.read(&call, asked).await;
        assert_eq!(value(&outcome), "one");
        tag = outcome.tag;
    }
    assert_eq!(
        (
            stage.google.asked("versions.get"),
            stage.google.asked("versions.access")
        ),
        (1, 3)
    );
    let outcome = stage.read(&call, about("db", "labels")).await;
    let told = failure(&outcome);
    assert_eq!(told.code, Code::Denied);
    let want = "Permission secretmanager.secrets.get denied on resource projects/demo/secrets/db";
    assert!(told.public.contains(want), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_up_quota_of_one_kind_does_not_stop_the_other() {
    let stage = Stage::start().await;
    stage.google.put("db", b"one");
    stage.google.age(Duration::from_secs(3600));
    let tag = stage.read(&stage.reading(), request("db", None)).await.tag;
    stage.google.throttle("secretmanager.versions.get");
    let asked = Request {
        known: tag,
        ..request("db", None)
    };
    assert_eq!(
        value(&stage.read(&stage.reading(), asked.clone()).await),
        "one"
    );
    stage.google.throttle("secretmanager.versions.access");
    let outcome = stage.read(&stage.reading(), asked).await;
    let told = failure(&outcome);
    assert_eq!(
        (told.code, told.retry_after),
        (Code::RateLimited, Some(Duration::from_secs(30)))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_version_is_passed_over_where_the_store_says_so() {
    let stage = Stage::start().await;
    for data in ["one", "two", "three"] {
        stage.google.put("db", data.as_bytes());
    }
    stage.google.set_state("db", 3, "DISABLED");
    stage.google.set_state("db", 2, "DESTROYED");
    let outcome = stage.read(&stage.reading(), request("db", None)).await;
    assert_eq!(failure(&outcome).code, Code::NotFound);
    let fetch = json!({"secretVersionSelectionPolicy": "LatestOrFetch"});
    let call = stage.with_token(&fetch, SecretManager::TOKEN);
    assert_eq!(value(&stage.read(&call, request("db", None)).await), "one");
    stage.google.set_state("db", 1, "DISABLED");
    let outcome = stage.read(&call, request("db", None)).await;
    assert!(
        failure(&outcome).public.contains("no version"),
        "{outcome:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_at_google_is_told_apart_and_nothing_is_taken_for_absent() {
    let stage = Stage::start().await;
    stage.google.put("db", b"PSTSENTINEL");
    for (fault, code) in [
        (
            Fault::TooManyRequests(Duration::from_secs(7)),
            Code::RateLimited,
        ),
        (Fault::Broken, Code::Unavailable),
        (Fault::Unauthenticated, Code::Unauthenticated),
        (Fault::Page, Code::NotFound),
        (Fault::Garbage, Code::Unavailable),
        (Fault::Damaged, Code::Unavailable),
        (Fault::Huge, Code::InvalidRequest),
        (Fault::Hang, Code::Timeout),
    ] {
        let told = stage.under(fault.clone()).await;
        assert_eq!(told.code, code, "{fault:?}: {told:?}");
        assert!(!format!("{told:?}").contains("PSTSENTINEL"), "{told:?}");
    }
    let told = stage
        .under(Fault::TooManyRequests(Duration::from_secs(7)))
        .await;
    assert_eq!(told.retry_after, Some(Duration::from_secs(7)));
    let other = stage.with_token(
        &json!({"projectID": "of-somebody-else"}),
        SecretManager::TOKEN,
    );
    let outcome = stage.read(&other, request("db", None)).await;
    let told = failure(&outcome);
    assert_eq!(told.code, Code::Denied);
    let want = "Permission secretmanager.versions.access denied on resource projects/of-somebody-else/secrets/db/versions/latest";
    assert!(told.public.contains(want), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn finds_by_name_and_by_labels_over_all_pages() {
    let stage = Stage::start().await;
    stage.google.set_page(2);
    for at in 0..5 {
        let id = format!("app-{at}");
        stage.google.put(&id, b"v");
        stage
            .google
            .label(&id, "team", if at % 2 == 0 { "a" } else { "b" });
    }
    stage.google.put("other", b"v");
    let call = stage.reading();
    let all = async |query: Query| {
        let (mut keys, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = stage
                .bench
                .runtime
                .find(&call, &query, after.as_deref())
                .await
                .unwrap();
            keys.extend(page.found.into_iter().map(|f| f.key));
            pages += 1;
            match page.next {
                None => break,
                next => after = next,
            }
        }
        keys.sort();
        (keys, pages)
    };
    let by_name = Query {
        path: Some("app".into()),
        tags: Vec::new(),
        name: Some(".".into()),
        ..Query::default()
    };
    let (keys, pages) = all(by_name).await;
    assert_eq!(
        (keys.join(" "), pages),
        ("app-0 app-1 app-2 app-3 app-4".to_owned(), 3)
    );
    let by_tags = Query {
        path: None,
        tags: vec![("team".into(), "a".into())],
        name: None,
        ..Query::default()
    };
    assert_eq!(all(by_tags).await.0, ["app-0", "app-2", "app-4"]);

    stage
        .google
        .add_token("ya29.accessor", &["secretmanager.versions.access"]);
    let call = stage.with_token(&json!({}), "ya29.accessor");
    let by_tags = Query {
        path: None,
        tags: vec![("team".into(), "a".into())],
        name: None,
        ..Query::default()
    };
    let told = stage
        .bench
        .runtime
        .find(&call, &by_tags, None)
        .await
        .unwrap_err();
    assert_eq!(told.code, Code::Denied);
    assert!(told.public.contains("secretmanager.secrets.list"), "{told}");
}

fn credential(pointer: &str, value: &str, attributes: &[(&str, &str)]) -> Credential {
    Credential {
        pointer: pointer.into(),
        value: value.into(),
        attributes: attributes
            .iter()
            .map(|(n, v)| ((*n).into(), (*v).into()))
            .collect(),
    }
}

const ACTS: (&str, &str) = (
    "annotation:iam.gke.io/gcp-service-account",
    "acting@demo.iam.gserviceaccount.com",
);

#[tokio::test(flavor = "multi_thread")]
async fn logs_in_by_each_authentication() {
    let stage = Stage::start().await;
    let google = &stage.google;
    google.put("db", b"v");
    google.add_account(ACTS.1);
    let key = credential(KEY, &google.key_file(), &[]);
    assert_eq!(
        stage.by(&stage.by_key(&json!({})), &[key]).await.unwrap(),
        "v"
    );

    let workload = json!({"projectID": "demo", "endpoints": google.endpoints(),
        "auth": {"workloadIdentity": {"serviceAccountRef": {"name": "reader"}}}});
    let audience = "identitynamespace:demo.svc.id.goog:https://container.googleapis.com/v1/projects/demo/locations/europe-west1/clusters/c1";
    google.trust(audience, "workload-jwt");
    let pointer = "/auth/workloadIdentity/serviceAccountRef";
    let token = credential(pointer, "workload-jwt", &[]);
    assert_eq!(stage.by(&workload, &[token]).await.unwrap(), "v");
    let token = credential(pointer, "workload-jwt", &[ACTS]);
    assert_eq!(stage.by(&workload, &[token]).await.unwrap(), "v");
    let stranger = credential(
        pointer,
        "workload-jwt",
        &[(ACTS.0, "stranger@demo.iam.gserviceaccount.com")],
    );
    let told = stage.by(&workload, &[stranger]).await.unwrap_err();
    assert_eq!(told.code, Code::Denied);
    assert!(
        told.public.contains("iam.serviceAccounts.getAccessToken"),
        "{told}"
    );

    google.trust("//iam.googleapis.com/pool", "federated-jwt");
    let federated = |fields: Value| json!({"projectID": "demo", "endpoints": google.endpoints(), "auth": {"workloadIdentityFederation": fields}});
    let fields =
        json!({"serviceAccountRef": {"name": "reader"}, "audience": "//iam.googleapis.com/pool"});
    let pointer = "/auth/workloadIdentityFederation/serviceAccountRef";
    let token = credential(pointer, "federated-jwt", &[ACTS]);
    assert_eq!(
        stage
            .by(&federated(fields.clone()), &[token])
            .await
            .unwrap(),
        "v"
    );
    let told = stage
        .by(&federated(fields), &[credential(pointer, "stranger", &[])])
        .await
        .unwrap_err();
    assert_eq!(told.code, Code::Unauthenticated);
    assert!(
        told.public.contains("invalid_grant") && !told.public.contains("stranger"),
        "{told}"
    );

    let own = json!({"endpoints": google.endpoints()});
    assert_eq!(stage.by(&own, &[]).await.unwrap(), "v");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_does_not_lock_the_store_out() {
    let stage = Stage::start().await;
    stage.google.put("db", b"v");
    let key = credential(KEY, &stage.google.key_file(), &[]);
    for hours in [-6, 6] {
        stage.google.set_ahead(hours * 3600);
        stage.google.reset_counts();
        let read = stage
            .by(&stage.by_key(&json!({})), std::slice::from_ref(&key))
            .await;
        assert_eq!(read.unwrap(), "v", "{hours}");
        assert_eq!(stage.google.asked("token"), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_somebody_else_is_refused_without_a_word_of_it() {
    let stage = Stage::start().await;
    let foreign = stage.google.key_file().replace("keyed@", "unknown@");
    let told = stage
        .by(&stage.by_key(&json!({})), &[credential(KEY, &foreign, &[])])
        .await
        .unwrap_err();
    assert_eq!(told.code, Code::Unauthenticated);
    assert!(told.public.contains("invalid_grant"), "{told}");
    let text = format!("{told:?}");
    assert!(!text.contains("PRIVATE") && !text.contains("eyJ"), "{text}");
}

/// Secret Manager as the rows of all providers want it: secrets are an hour old, so that what is unchanged is sure to be.
struct Rows {
    google: SecretManager,
    numbers: RefCell<BTreeMap<String, u64>>,
}

impl Backend for Rows {
    fn config(&self) -> String {
        json!({"projectID": "demo", "endpoints": self.google.endpoints(),
            "auth": {"secretRef": {"secretAccessKeySecretRef": {"name": "gcp", "key": "key.json"}}}})
        .to_string()
    }

    fn credentials(&self) -> Vec<Credential> {
        vec![credential(KEY, &self.google.key_file(), &[])]
    }

    fn put(&self, key: &str, value: &[u8]) {
        let number = self.google.put(key, value);
        self.google.age(Duration::from_secs(3600));
        self.numbers.borrow_mut().insert(key.to_owned(), number);
    }

    fn version(&self, key: &str) -> String {
        self.numbers.borrow()[key].to_string()
    }

    fn deny(&self, key: &str) {
        self.google.deny(key);
    }

    fn permission(&self) -> &'static str {
        "Permission secretmanager.versions.access denied on resource projects/demo/secrets/closed"
    }

    fn throttle(&self, seconds: u64) {
        self.google
            .set_fault(Fault::TooManyRequests(Duration::from_secs(seconds)));
    }

    fn fail(&self) {
        self.google.set_fault(Fault::Broken);
    }

    fn recover(&self) {
        self.google.clear_fault();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn does_what_every_provider_does() {
    let bench = Bench::load(&["gcpsm"]).await;
    let rows = Rows {
        google: SecretManager::start().unwrap(),
        numbers: RefCell::default(),
    };
    table::play(&bench, &rows, &[]).await;
}

/// One batch, one trip: 60 objects are read in the time that one takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_read_at_the_speed_of_one() {
    let stage = Stage::start().await;
    let keys: Vec<String> = (0..60).map(|at| format!("k{at}")).collect();
    for key in &keys {
        stage.google.put(key, key.as_bytes());
    }
    stage
        .google
        .set_fault(Fault::Delay(Duration::from_millis(200)));
    let requests: Vec<Request> = keys.iter().map(|key| request(key, None)).collect();
    let began = Instant::now();
    let outcomes = stage
        .bench
        .runtime
        .read(&stage.reading(), &requests)
        .await
        .unwrap();
    assert!(
        outcomes
            .iter()
            .zip(&keys)
            .all(|(outcome, key)| value(outcome) == *key)
    );
    assert!(
        began.elapsed() < Duration::from_secs(6),
        "{:?}",
        began.elapsed()
    );
    let pick = Pick {
        property: None,
        members: false,
    };
    assert_eq!(requests[0].picks, [pick]);
}

/// The server is a reading of the documentation; so Google's own library asks it the same, and must be content.
#[test]
fn googles_own_library_gets_along_with_the_server_of_these_tests() {
    let google = SecretManager::start().unwrap();
    google.put("seed", b"seed");
    google.set_page(2);
    google.add_token("ya29.accessor", &["secretmanager.versions.access"]);
    google.trust("//iam.googleapis.com/pool", "subject-of-the-sdk");
    google.add_account("acting@demo.iam.gserviceaccount.com");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/gcp");
    let python = tools::python(&folder.join("requirements.txt")).unwrap();
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), google.key_file()).unwrap();
    let ran = Command::new(python)
        .arg(folder.join("same_calls.py"))
        .arg(google.url())
        .arg(key.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    let asked = google.requests();
    for verb in [
        "versions.access",
        "versions.get",
        "versions.list",
        "secrets.get",
        "secrets.list",
        "token",
    ] {
        assert!(
            asked.contains_key(verb),
            "{verb} was not asked for: {asked:?}"
        );
    }
}
