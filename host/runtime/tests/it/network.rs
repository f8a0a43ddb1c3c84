//! The network door: what it lets through, and each way around it that is closed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use postern_core::egress::{AddressRules, AllowedEndpoint, EgressPolicy, Origin, TlsSettings};
use postern_core::failure::Code;
use postern_core::plugin::IdentityId;
use postern_runtime::aot::CompileWith;
use postern_runtime::{HttpSettings, Runtime};
use serde_json::json;

use crate::kit::{self, Bench, SENTINELS, bench_in, guest, hostile, open_to, open_with_tls};
use crate::server::Server;

fn reaching(bench: &Bench, action: &str, url: &str, open: &[&str]) -> postern_core::plugin::Call {
    let mut call = bench.call(json!({"do": action, "url": url, "n": 3}));
    call.egress = open_to(open);
    call
}

#[tokio::test]
async fn an_endpoint_of_the_config_is_reached() {
    let (bench, server) = (hostile().await, Server::start().await);
    let call = reaching(&bench, "http", &server.url("/v1/x"), &[&server.origin()]);
    assert_eq!(bench.value(&call).await, "200 hello /v1/x");
    let call = reaching(&bench, "http", &server.url("/seen"), &[&server.origin()]);
    let seen = bench.value(&call).await;
    assert!(
        seen.contains(&format!(
            "postern/{} {}",
            env!("CARGO_PKG_VERSION"),
            server.address
        )),
        "{seen}"
    );
    let call = reaching(
        &bench,
        "http",
        &server.url("/status/503"),
        &[&server.origin()],
    );
    assert_eq!(
        bench.value(&call).await,
        "503 status",
        "a status is an answer"
    );
}

#[tokio::test]
async fn many_requests_are_answered_in_order_over_few_connections() {
    let (bench, server) = (hostile().await, Server::start().await);
    let mut call = bench.call(json!({"do": "send-all", "url": server.url("/a"), "n": 40}));
    call.egress = open_to(&[&server.origin()]);
    let expected: Vec<String> = (0..40).map(|i| format!("hello /a{i}")).collect();
    assert_eq!(bench.value(&call).await, expected.join("|"));
    let after_first = server.connections.load(Ordering::SeqCst);
    assert!(after_first <= 33, "{after_first}");
    assert_eq!(bench.value(&call).await, expected.join("|"));
    let other = postern_core::plugin::Call {
        identity: IdentityId("other".into()),
        ..call.clone()
    };
    assert_eq!(bench.value(&other).await, expected.join("|"));
    assert!(
        server.connections.load(Ordering::SeqCst) > after_first,
        "another identity has its own connections"
    );
}

#[tokio::test]
async fn a_host_that_the_config_does_not_name_is_refused() {
    let (bench, server) = (hostile().await, Server::start().await);
    let failure = bench
        .reported(&reaching(
            &bench,
            "http",
            &server.url("/"),
            &["http://vault.corp"],
        ))
        .await;
    assert_eq!(failure.code, Code::EgressDenied);
    assert_eq!(
        failure.public,
        format!(
            "{} is not an endpoint of the store's config; name it there, or grant it to the plugin",
            server.origin()
        )
    );
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_following_it_elsewhere_is_refused() {
    let (bench, server, other) = (
        hostile().await,
        Server::start().await,
        Server::start().await,
    );
    let url = server.url(&format!("/redirect?{}", other.url("/stolen")));
    let call = reaching(&bench, "http", &url, &[&server.origin()]);
    assert_eq!(bench.value(&call).await, "302 moved");
    let failure = bench
        .reported(&reaching(&bench, "follow", &url, &[&server.origin()]))
        .await;
    assert_eq!(failure.code, Code::EgressDenied, "{failure:?}");
    assert_eq!(other.connections.load(Ordering::SeqCst), 0);
    let both = [server.origin(), other.origin()];
    let call = reaching(&bench, "follow", &url, &[&both[0], &both[1]]);
    assert_eq!(bench.value(&call).await, "200 hello /stolen");
}

#[tokio::test]
async fn metadata_addresses_stay_closed_even_where_the_config_names_them() {
    let bench = hostile().await;
    for host in [
        "169.254.169.254",
        "[::ffff:169.254.169.254]",
        "[fe80::1]",
        "[64:ff9b::a9fe:a9fe]",
    ] {
        let origin = format!("http://{host}");
        let failure = bench
            .reported(&reaching(
                &bench,
                "http",
                &format!("{origin}/latest/meta-data"),
                &[&origin],
            ))
            .await;
        assert_eq!(failure.code, Code::EgressDenied, "{host}: {failure:?}");
        assert!(failure.public.contains("--ambient-identity"), "{failure}");
        assert!(
            !failure.public.contains("latest"),
            "no path in a message: {failure}"
        );
    }
}

#[tokio::test]
async fn loopback_in_any_dress_needs_its_flag() {
    let (bench, server) = (hostile().await, Server::start().await);
    let port = server.address.port();
    for host in ["127.0.0.1", "[::ffff:127.0.0.1]", "localhost", "2130706433"] {
        let origin = format!("http://{host}:{port}");
        let mut call = bench.call(json!({"do": "http", "url": origin}));
        let endpoint = AllowedEndpoint {
            origin: Origin::parse(&origin).unwrap(),
            tls: TlsSettings::default(),
        };
        call.egress = Arc::new(EgressPolicy {
            endpoints: vec![endpoint],
            rules: AddressRules::default(),
            ..EgressPolicy::default()
        });
        let failure = bench.reported(&call).await;
        assert!(
            matches!(failure.code, Code::EgressDenied | Code::Unavailable),
            "{host}: {failure:?}"
        );
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_slow_backend_is_a_timeout_before_the_call_ends() {
    let (bench, server) = (hostile().await, Server::start().await);
    let mut call = reaching(&bench, "http", &server.url("/slow"), &[&server.origin()]);
    call.deadline = Duration::from_millis(500);
    let started = Instant::now();
    let failure = bench.reported(&call).await;
    assert_eq!(failure.code, Code::Timeout, "{failure:?}");
    assert!(
        failure
            .public
            .contains(&format!("{} did not answer within 0.", server.origin())),
        "{failure}"
    );
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(bench.value(&bench.call(json!({}))).await, "k1");
}

#[tokio::test]
async fn the_first_byte_has_a_limit_of_its_own() {
    let http = HttpSettings {
        first_byte: Duration::from_millis(100),
        ..HttpSettings::default()
    };
    let runtime = Runtime::builder()
        .http(http)
        .compile_with(CompileWith::InProcess)
        .build()
        .unwrap();
    let (bench, server) = (
        bench_in(runtime, &guest("hostile")).await,
        Server::start().await,
    );
    let failure = bench
        .reported(&reaching(
            &bench,
            "http",
            &server.url("/slow"),
            &[&server.origin()],
        ))
        .await;
    assert_eq!(failure.code, Code::Timeout, "{failure:?}");
}

#[tokio::test]
async fn a_backend_that_is_away_is_unavailable() {
    let bench = hostile().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let failure = bench
        .reported(&reaching(&bench, "http", &origin, &[&origin]))
        .await;
    assert_eq!(failure.code, Code::Unavailable);
    assert!(
        failure
            .public
            .starts_with(&format!("{origin} does not accept the connection")),
        "{failure}"
    );
}

#[tokio::test]
async fn answers_and_uploads_are_limited() {
    let (bench, server) = (hostile().await, Server::start().await);
    let origin = server.origin();
    let failure = bench
        .reported(&reaching(
            &bench,
            "http",
            &server.url("/big/8388609"),
            &[&origin],
        ))
        .await;
    assert!(
        failure.public.contains("is larger than 8192 KiB"),
        "{failure}"
    );
    let failure = bench
        .reported(&reaching(
            &bench,
            "http",
            &server.url("/many-headers"),
            &[&origin],
        ))
        .await;
    assert!(
        matches!(failure.code, Code::InvalidRequest | Code::Unavailable),
        "{failure:?}"
    );
    let with = |action: &str, n: usize| {
        let mut call = bench.call(json!({"do": action, "url": server.url("/x"), "n": n}));
        call.egress = open_to(&[&origin]);
        call
    };
    assert_eq!(bench.value(&with("upload", 1 << 20)).await, "200 hello /x");
    let failure = bench.broken(&with("upload", (1 << 20) + 1)).await;
    assert_eq!(failure.code, Code::LimitExceeded);
    assert!(
        failure.public.contains("sent more than 1024 KiB"),
        "{failure}"
    );
    let failure = bench.broken(&with("many-requests", 257)).await;
    assert!(
        failure.public.contains("sent more than 256 requests"),
        "{failure}"
    );
    let failure = bench.broken(&with("send-all", 100_000)).await;
    assert!(
        failure.public.contains("sent more than 256 requests"),
        "{failure}"
    );
    let failure = bench.reported(&with("headers", 1000)).await;
    assert!(
        failure.public.contains("more than 128 headers"),
        "{failure}"
    );
    for action in ["bad-header", "host-header"] {
        assert_eq!(
            bench.reported(&with(action, 1)).await.code,
            Code::InvalidRequest
        );
    }
}

#[tokio::test]
async fn all_answers_of_a_call_together_are_limited() {
    let limits = postern_runtime::Limits {
        bytes_in: 1 << 20,
        ..postern_runtime::Limits::provider()
    };
    let runtime = Runtime::builder()
        .provider_limits(limits)
        .compile_with(CompileWith::InProcess)
        .build()
        .unwrap();
    let (bench, server) = (
        bench_in(runtime, &guest("hostile")).await,
        Server::start().await,
    );
    let call = reaching(
        &bench,
        "many-requests",
        &server.url("/big/600000"),
        &[&server.origin()],
    );
    let failure = bench.broken(&call).await;
    assert!(
        failure.public.contains("received more than 1 MiB"),
        "{failure}"
    );
}

#[tokio::test]
async fn a_query_with_secrets_is_in_no_failure_and_no_log() {
    let bench = hostile().await;
    let (logged, _guard) = kit::Logged::start();
    let failure = bench
        .reported(&reaching(
            &bench,
            "http-text",
            "http://vault.corp/x",
            &["http://other"],
        ))
        .await;
    assert_eq!(failure.code, Code::EgressDenied);
    assert!(!failure.public.contains("token="), "{failure}");
    kit::assert_no_sentinel(&logged.text());
}

fn server_config(name: &str) -> (rustls::ServerConfig, String) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(vec![cert.der().clone()], key)
    .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    (config, cert.pem())
}

#[tokio::test]
async fn the_host_presents_the_stores_client_certificate() {
    let bench = hostile().await;
    let client = rcgen::generate_simple_self_signed(vec!["client".to_owned()]).unwrap();
    let own = rcgen::generate_simple_self_signed(vec!["vault.internal".to_owned()]).unwrap();
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(client.cert.der().clone()).unwrap();
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), ring.clone())
            .build()
            .unwrap();
    let config = rustls::ServerConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![own.cert.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap(),
        )
        .unwrap();
    let server = Server::start_tls(config).await;
    let pair = (
        client.cert.pem().into(),
        client.signing_key.serialize_pem().into(),
    );
    let call = |client_pem| {
        let tls = TlsSettings {
            ca_pem: Some(own.cert.pem().into()),
            server_name: Some("vault.internal".into()),
            client_pem,
        };
        let mut call = bench.call(json!({"do": "http", "url": server.url("/in")}));
        call.egress = open_with_tls(&[&server.origin()], tls);
        call
    };
    assert_eq!(bench.value(&call(Some(pair))).await, "200 hello /in");
    assert_eq!(bench.reported(&call(None)).await.code, Code::Unavailable);
}

#[tokio::test]
async fn tls_trusts_the_stores_ca_and_verifies_the_stores_name() {
    let bench = hostile().await;
    let (config, pem) = server_config("vault.internal");
    let server = Server::start_tls(config).await;
    let call = |ca: Option<&str>, name: Option<&str>| {
        let tls = TlsSettings {
            ca_pem: ca.map(Into::into),
            server_name: name.map(Into::into),
            client_pem: None,
        };
        let mut call = bench.call(json!({"do": "http", "url": server.url("/seen")}));
        call.egress = open_with_tls(&[&server.origin()], tls);
        call
    };
    let seen = bench.value(&call(Some(&pem), Some("vault.internal"))).await;
    assert!(seen.starts_with("200 HTTP/2"), "{seen}");
    for (ca, name) in [
        (None, Some("vault.internal")),
        (Some(pem.as_str()), None),
        (Some(pem.as_str()), Some("other.internal")),
    ] {
        let failure = bench.reported(&call(ca, name)).await;
        assert_eq!(failure.code, Code::Unavailable, "{ca:?} {name:?}");
        assert!(failure.public.contains("TLS handshake"), "{failure}");
    }
    let failure = bench.reported(&call(Some(SENTINELS[0]), None)).await;
    assert_eq!(failure.code, Code::InvalidRequest);
    assert!(
        failure.public.contains("holds no certificate in PEM form"),
        "{failure}"
    );
}
