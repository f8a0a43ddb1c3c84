//! The servers answer as the recording does, and refuse what it does not hold.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::http_server::call;
use super::*;

fn ask(
    server: &dyn Vaultlike,
    method: &str,
    path: &str,
    token: &str,
    body: &Value,
) -> (u16, Value) {
    let address = server.url().trim_start_matches("http://").parse().unwrap();
    call(address, method, path, &[("X-Vault-Token", token)], body).unwrap()
}

fn get(server: &dyn Vaultlike, path: &str, token: &str) -> (u16, Value) {
    ask(server, "GET", path, token, &Value::Null)
}

#[test]
fn replays_every_exchange_in_its_order() {
    let replay = BaoReplay::start().unwrap();
    let address = replay.url().trim_start_matches("http://").parse().unwrap();
    let recording = Recording::openbao();
    let sealed = recording.position("health of a sealed server").unwrap();
    for exchange in &recording.exchanges[..=sealed] {
        let headers: Vec<_> = exchange
            .request
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let answer = call(
            address,
            &exchange.request.method,
            &exchange.request.path,
            &headers,
            &exchange.request.body,
        )
        .unwrap();
        assert_eq!(
            answer,
            (exchange.response.status, exchange.response.body.clone()),
            "{}",
            exchange.note
        );
    }
    assert_eq!(replay.unexpected(), Vec::<String>::new());
    assert_eq!(replay.requests().len(), sealed + 1);
}

#[test]
fn refuses_and_remembers_what_was_not_recorded() {
    let replay = BaoReplay::start().unwrap();
    assert_eq!(get(&replay, "/v1/secret/data/team-a/db", "root").0, 200);
    assert_eq!(
        get(&replay, "/v1/secret/data/team-a/db?version=7", "root").0,
        599
    );
    assert_eq!(get(&replay, "/v1/secret/data/team-a/db", "stranger").0, 599);
    assert_eq!(
        replay.unexpected(),
        [
            "GET /v1/secret/data/team-a/db?version=7",
            "GET /v1/secret/data/team-a/db"
        ]
    );
}

#[test]
fn lets_a_fresh_kubernetes_token_in_and_its_session_read() {
    let replay = BaoReplay::start().unwrap();
    let (status, answer) = ask(
        &replay,
        "POST",
        "/v1/auth/kubernetes/login",
        "",
        &json!({"role": "app", "jwt": "a.fresh.one"}),
    );
    // An empty token is a header that the recording does not have.
    assert_eq!(status, 599, "{answer}");
    let address = replay.url().trim_start_matches("http://").parse().unwrap();
    let login =
        |body: Value| call(address, "POST", "/v1/auth/kubernetes/login", &[], &body).unwrap();
    let (status, answer) = login(json!({"role": "app", "jwt": "a.fresh.one"}));
    assert_eq!(status, 200);
    let token = answer["auth"]["client_token"].as_str().unwrap();
    assert_eq!(get(&replay, "/v1/secret/data/team-a/db", token).0, 200);
    assert_eq!(get(&replay, "/v1/secret/data/team-b/key", token).0, 403);
    assert_eq!(login(json!({"role": "none", "jwt": "a.fresh.one"})).0, 400);
    assert_eq!(login(json!({"role": "app", "jwt": "x.y.z"})).0, 403);
}

#[test]
fn tells_allowed_denied_missing_and_expired_apart() {
    let vault = CountingVault::start().unwrap();
    vault.put("secret", "team-a/db", json!({"password": "one"}));
    vault.put("secret", "team-a/db", json!({"password": "two"}));
    vault.policy("team-a", &["secret/data/team-a/*"]);
    vault.approle("id", "secret", &["team-a"]);
    let login = |secret: &str| {
        ask(
            &vault,
            "POST",
            "/v1/auth/approle/login",
            "",
            &json!({"role_id": "id", "secret_id": secret}),
        )
    };
    assert_eq!(
        login("wrong"),
        (400, json!({"errors": ["invalid role or secret ID"]}))
    );
    let token = login("secret").1["auth"]["client_token"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        get(&vault, "/v1/secret/data/team-a/db", &token).1["data"]["data"],
        json!({"password": "two"})
    );
    assert_eq!(
        get(&vault, "/v1/secret/data/team-a/db?version=1", &token).1["data"]["data"],
        json!({"password": "one"})
    );
    assert_eq!(
        get(&vault, "/v1/secret/data/team-a/none", &token),
        (404, json!({"errors": []}))
    );
    assert_eq!(get(&vault, "/v1/secret/data/team-b/db", &token).0, 403);
    assert_eq!(
        get(&vault, "/v1/auth/token/lookup-self", &token).1["data"]["policies"],
        json!(["default", "team-a"])
    );
    assert_eq!(
        ask(
            &vault,
            "POST",
            "/v1/auth/token/revoke-self",
            &token,
            &json!({})
        )
        .0,
        204
    );
    assert_eq!(
        get(&vault, "/v1/secret/data/team-a/db", &token),
        (403, json!({"errors": ["permission denied"]}))
    );
    assert_eq!(
        (vault.logins(), vault.requests_to("secret/data/team-a/db")),
        (2, 3)
    );

    vault.set_token_ttl(Duration::ZERO);
    let expired = vault.issue_token(&["team-a"]);
    assert_eq!(get(&vault, "/v1/secret/data/team-a/db", &expired).0, 403);
    assert_eq!(vault.live_tokens(), 0);
}

#[test]
fn answers_in_the_recorded_shapes() {
    let vault = CountingVault::start().unwrap();
    let recording = Recording::openbao();
    for note in ["KV v2 read, version 1", "KV v2 read, latest version"] {
        vault.put(
            "secret",
            "team-a/db",
            recording.answer(note).unwrap().body["data"]["data"].clone(),
        );
    }
    vault.put_custom_metadata(
        "secret",
        "team-a/db",
        json!({"env": "prod", "owner": "team-a"})
            .as_object()
            .cloned()
            .unwrap(),
    );
    vault.put("kv1", "app", json!({"pass": "p1", "user": "u1"}));
    for note in [
        "root token looks itself up",
        "KV v2 read, version that does not exist",
        "KV v2 read, latest version",
        "KV v2 metadata, no such secret",
        "read under a path where nothing is mounted",
        "KV v1 read",
        "KV v1 read, no such secret",
        "KV v2 list, nothing there",
    ] {
        let exchange = &recording.exchanges[recording.position(note).unwrap()];
        let mut answer = ask(
            &vault,
            &exchange.request.method,
            &exchange.request.path,
            "root",
            &Value::Null,
        );
        let mut expected = exchange.response.body.clone();
        for body in [&mut answer.1, &mut expected] {
            if let Some(body) = body.as_object_mut() {
                body.remove("request_id");
            }
        }
        assert_eq!(answer, (exchange.response.status, expected), "{note}");
    }
    assert_eq!(
        get(&vault, "/v1/secret/metadata/team-a/db", "root").1["data"]["versions"]
            .as_object()
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn holds_a_signed_login_to_its_role() {
    use base64::Engine as _;
    let vault = CountingVault::start().unwrap();
    let account = "system:serviceaccount:ns:app".to_owned();
    vault.kubernetes_role(
        "kubernetes",
        "app",
        JwtRole {
            subject: Some(account.clone()),
            ..JwtRole::default()
        },
    );
    vault.jwt_role(
        "jwt",
        "app",
        JwtRole {
            audience: Some("vault".into()),
            ..JwtRole::default()
        },
    );
    let jwt = |claims: Value| {
        format!(
            "h.{}.s",
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims.to_string())
        )
    };
    let login = |mount: &str, role: &str, jwt: &str| {
        ask(
            &vault,
            "POST",
            &format!("/v1/auth/{mount}/login"),
            "",
            &json!({"role": role, "jwt": jwt}),
        )
        .0
    };
    let good = jwt(json!({"sub": account, "aud": ["vault"]}));
    assert_eq!(login("kubernetes", "app", &good), 200);
    assert_eq!(login("kubernetes", "other", &good), 400);
    assert_eq!(
        login("kubernetes", "app", &jwt(json!({"sub": "someone"}))),
        403
    );
    assert_eq!(login("kubernetes", "app", "x.y.z"), 403);
    assert_eq!(login("jwt", "app", &good), 200);
    assert_eq!(
        login(
            "jwt",
            "app",
            &jwt(json!({"sub": account, "aud": ["other"]}))
        ),
        400
    );
    assert_eq!(vault.logins(), 6);
}

#[test]
fn misbehaves_as_told_and_where_told() {
    let vault = CountingVault::start().unwrap();
    vault.put("secret", "a", json!({"k": "v"}));
    let read = || get(&vault, "/v1/secret/data/a", "root");
    for (fault, status) in [
        (Fault::NotFound, 404),
        (Fault::Forbidden, 403),
        (Fault::Sealed, 503),
        (Fault::TooManyRequests(Duration::from_secs(3)), 429),
        (Fault::Garbage, 200),
        (Fault::Redirect("http://127.0.0.1:1/".into()), 302),
        (Fault::Status(418, json!({})), 418),
    ] {
        vault.set_fault(fault.clone());
        let answer = read();
        assert_eq!(answer.0, status, "{fault:?}");
        assert_ne!(answer.1["data"]["data"], json!({"k": "v"}), "{fault:?}");
    }
    vault.set_fault(Fault::Oversize(1 << 20));
    assert!(read().1["data"]["data"]["value"].as_str().unwrap().len() > 1_000_000);
    vault.set_fault_at("secret/data/a", Fault::Delay(Duration::from_millis(50)));
    let started = std::time::Instant::now();
    assert_eq!(read().1["data"]["data"], json!({"k": "v"}));
    assert!(started.elapsed() >= Duration::from_millis(50));
    vault.clear_faults();
    assert_eq!(read().0, 200);
}

#[tokio::test]
async fn asks_for_a_client_certificate_where_told() {
    let vault = CountingVault::start_with(Transport::HttpsClientCertificate).unwrap();
    assert!(vault.url().starts_with("https://"));
    let with = speak_tls(&vault, true).await.unwrap();
    assert!(with.starts_with("HTTP/1.1 200"), "{with}");
    assert!(speak_tls(&vault, false).await.is_err());
}

async fn speak_tls(server: &CountingVault, show_certificate: bool) -> std::io::Result<String> {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(server.ca_pem().unwrap().as_bytes()).unwrap())
        .unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_root_certificates(roots);
    let config = if show_certificate {
        let identity = server.client_identity().unwrap();
        let certificate =
            CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
        builder
            .with_client_auth_cert(vec![certificate], key)
            .unwrap()
    } else {
        builder.with_no_client_auth()
    };
    let stream =
        tokio::net::TcpStream::connect(server.url().trim_start_matches("https://")).await?;
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await?;
    stream
        .write_all(b"GET /v1/sys/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}
