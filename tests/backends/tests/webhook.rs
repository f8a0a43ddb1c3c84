//! The provider `webhook` as a component, with the real template engine beside it, against an endpoint on loopback.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::time::{Duration, Instant};

use postern_backend_tests::{Bench, failure, request, value};
use postern_core::egress::TlsSettings;
use postern_core::failure::Code;
use postern_core::plugin::{Answer, Call, Part, PluginHost as _};
use postern_test_kit::endpoint::{Seen, TestEndpoint, Transport};
use serde_json::json;

async fn bench() -> Bench {
    Bench::load(&["webhook", "go-template"]).await
}

/// A store whose request uses everything that a template can see.
fn config(endpoint: &TestEndpoint) -> String {
    json!({
        "url": format!("{}/{{{{ .remoteRef.namespace }}}}/{{{{ .remoteRef.key }}}}?v={{{{ .remoteRef.version }}}}", endpoint.url()),
        "method": "POST",
        "headers": {"Authorization": "Basic {{ printf \"%s:%s\" .api.user .api.password | b64enc }}"},
        "body": "{{ dict \"key\" .remoteRef.key \"lost\" (.api.none | toString) | toJson }}",
        "result": {"jsonPath": "$.{{ .remoteRef.property }}"},
        "secrets": [{"name": "api", "secretRef": {"name": "s"}}],
    })
    .to_string()
}

fn call(bench: &Bench, endpoint: &TestEndpoint, config: &str) -> Call {
    let credentials = [
        ("/secrets/0/secretRef/user", "ada"),
        ("/secrets/0/secretRef/password", "hunter2"),
    ];
    let tls = TlsSettings {
        ca_pem: endpoint.ca_pem().map(Into::into),
        ..TlsSettings::default()
    };
    let mut call = bench.call(config, &credentials, endpoint.url(), tls);
    call.namespace = Some("team-a".into());
    call
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_rendered_by_the_real_engine_and_answers_read_by_path() {
    let bench = bench().await;
    let endpoint = TestEndpoint::start(Transport::Https).unwrap();
    // ada:hunter2
    endpoint.want("authorization", "Basic YWRhOmh1bnRlcjI=");
    let body = r#"{"password":"over-tls","port":5432,"ratio":1.5}"#;
    endpoint.put("/team-a/db%2Fone+two?v=3", 200, body, None);
    let mut asked = request("db/one two", Some("password"));
    asked.version = Some("3".into());
    let mut port = asked.clone();
    port.picks[0].property = Some("ratio".into());
    let call = call(&bench, &endpoint, &config(&endpoint));
    let outcomes = bench.runtime.read(&call, &[asked, port]).await.unwrap();
    let values: Vec<String> = outcomes.iter().map(value).collect();
    assert_eq!(values, ["over-tls", "2"]);
    let seen = Seen {
        method: "POST".into(),
        target: "/team-a/db%2Fone+two?v=3".into(),
        body: r#"{"key":"db/one two","lost":"\u003cno value\u003e"}"#.into(),
    };
    // Two properties of one answer: one request.
    assert_eq!(endpoint.seen().len(), 1, "{:?}", endpoint.seen());
    assert_eq!(endpoint.seen()[0].target, seen.target);
    assert!(
        endpoint.seen()[0]
            .body
            .starts_with(r#"{"key":"db/one two","lost":"#)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etag_is_offered_and_believed() {
    let bench = bench().await;
    let endpoint = TestEndpoint::start(Transport::Http).unwrap();
    endpoint.put("/a", 200, "one", Some("\"1\""));
    let config = json!({"url": format!("{}/{{{{ .remoteRef.key }}}}", endpoint.url())}).to_string();
    let call = bench.call(&config, &[], endpoint.url(), TlsSettings::default());
    let outcomes = bench.runtime.read(&call, &[request("a", None)]).await;
    let outcomes = outcomes.unwrap();
    assert_eq!(value(&outcomes[0]), "one");
    let mut again = request("a", None);
    again.known = outcomes[0].tag.clone();
    assert_eq!(again.known.as_deref(), Some("\"1\""));
    let outcomes = bench.runtime.read(&call, &[again.clone()]).await.unwrap();
    assert!(
        matches!(outcomes[0].answer, Answer::Unchanged),
        "{outcomes:?}"
    );
    endpoint.put("/a", 200, "two", Some("\"2\""));
    let outcomes = bench.runtime.read(&call, &[again]).await.unwrap();
    assert_eq!(value(&outcomes[0]), "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_keep_to_their_picks_and_say_nothing_secret() {
    let bench = bench().await;
    let endpoint = TestEndpoint::start(Transport::Http).unwrap();
    endpoint.put("/good", 200, "v", None);
    endpoint.put("/closed", 403, "hunter2 may not", None);
    let url = |rest: &str| json!({"url": format!("{}/{rest}", endpoint.url())}).to_string();
    let by_key = call(&bench, &endpoint, &url("{{ .remoteRef.key }}"));
    let asked = ["good", "none", "closed"].map(|key| request(key, None));
    let outcomes = bench.runtime.read(&by_key, &asked).await.unwrap();
    assert_eq!(value(&outcomes[0]), "v");
    assert_eq!(failure(&outcomes[1]).code, Code::Absent);
    assert_eq!(failure(&outcomes[2]).code, Code::Denied);
    assert!(!format!("{outcomes:?}").contains("hunter2"));

    let broken = call(&bench, &endpoint, &url("{{ .remoteRef.key"));
    let outcomes = bench.runtime.read(&broken, &[request("good", None)]).await;
    let outcomes = outcomes.unwrap();
    let told = failure(&outcomes[0]);
    assert_eq!(told.code, Code::InvalidConfig, "{told:?}");
    assert!(told.public.contains("url"), "{told:?}");
    bench.runtime.probe(&by_key).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_ends_when_the_store_says_so() {
    let bench = bench().await;
    // A listener that takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let config = json!({"url": format!("{url}/a"), "timeout": "300ms"}).to_string();
    let call = bench.call(&config, &[], &url, TlsSettings::default());
    let began = Instant::now();
    let outcomes = bench.runtime.read(&call, &[request("a", None)]).await;
    assert_eq!(failure(&outcomes.unwrap()[0]).code, Code::Timeout);
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extract_takes_the_members_of_an_object() {
    let bench = bench().await;
    let endpoint = TestEndpoint::start(Transport::Http).unwrap();
    endpoint.put("/a", 200, r#"{"d":"{\"x\":1.5,\"y\":[\"<\"]}"}"#, None);
    let config = json!({"url": format!("{}/a", endpoint.url()), "result": {"jsonPath": "$.d"}});
    let call = bench.call(
        &config.to_string(),
        &[],
        endpoint.url(),
        TlsSettings::default(),
    );
    let mut asked = request("any", None);
    asked.picks[0].members = true;
    let outcomes = bench.runtime.read(&call, &[asked]).await.unwrap();
    let Answer::Parts(parts) = &outcomes[0].answer else {
        panic!("{outcomes:?}")
    };
    let Part::Members(members) = &parts[0] else {
        panic!("{parts:?}")
    };
    let members: Vec<(&str, &[u8])> = members
        .iter()
        .map(|(name, value)| (name.as_str(), value.expose()))
        .collect();
    assert_eq!(members, [("x", &b"1.5"[..]), ("y", br#"["\u003c"]"#)]);
}
