//! How a token is got, by each authentication, and what refusals come to.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod desk;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use desk::{Desk, NOW, key_file, logging_in, reading};
use postern_plugin_gcpsm::Gcpsm;
use postern_plugin_gcpsm::config::{EXTERNAL, FEDERATED, KEY, WORKLOAD};
use postern_sdk::{Context, Failure, Login, Provider, Session};
use serde_json::{Value, json};

const GOOGLE: &str = "https://oauth2.googleapis.com/token";

fn open(desk: &Desk, context: &Context) -> Result<Session, Failure> {
    Gcpsm::open(desk, context)
}

fn by_key(file: &str) -> Context {
    let config = json!({"projectID": "p", "auth": {"secretRef": {"secretAccessKeySecretRef": {"name": "gcp"}}}});
    logging_in(&config, KEY, file, &[])
}

fn granted(token: &str) -> Value {
    json!({"access_token": token, "expires_in": 3599, "token_type": "Bearer"})
}

/// The members of a form.
fn form(body: &str) -> Vec<(String, String)> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap();
        (
            name.to_owned(),
            value.replace("%3A", ":").replace("%2F", "/"),
        )
    };
    body.split('&').map(pair).collect()
}

fn jwt(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[test]
fn a_key_signs_an_assertion_that_the_public_key_verifies() {
    use rsa::pkcs1::DecodeRsaPublicKey as _;
    use rsa::signature::Verifier as _;
    let desk = Desk::new().on("/token", 200, &granted("ya29.by-key"));
    let session = open(&desk, &by_key(&key_file(GOOGLE))).unwrap();
    assert_eq!(session.token, br#"{"token":"ya29.by-key"}"#);
    assert_eq!(session.expires_in_ms, Some(3_599_000));
    let fields = form(&desk.body(0));
    assert_eq!(fields[0].1, "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let parts: Vec<&str> = fields[1].1.split('.').collect();
    assert_eq!(
        jwt(parts[0]),
        json!({"alg": "RS256", "typ": "JWT", "kid": "k1"})
    );
    let claims = json!({"iss": "reader@p.iam.gserviceaccount.com", "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": GOOGLE, "iat": NOW, "exp": NOW + 3600});
    assert_eq!(jwt(parts[1]), claims);
    let public: String = include_str!("../../../tests/kit/data/rsa-2048.public.b64")
        .split_whitespace()
        .collect();
    let public = rsa::PublicKey::from_pkcs1_der(&STANDARD.decode(public).unwrap()).unwrap();
    let public = rsa::pkcs1v15::VerifyingKey::<rsa::sha2::Sha256>::new(public);
    let signature = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
    let signature = rsa::pkcs1v15::Signature::try_from(&signature[..]).unwrap();
    let signed = format!("{}.{}", parts[0], parts[1]);
    public.verify(signed.as_bytes(), &signature).unwrap();
}

#[test]
fn a_key_that_is_named_in_endpoints_keeps_its_audience() {
    let mut context = by_key(&key_file(GOOGLE));
    let mut config: Value = serde_json::from_str(&context.config).unwrap();
    config["endpoints"] = json!({"oauth2": "https://oauth2.corp/gcp/"});
    context.config = config.to_string();
    let desk = Desk::new().on("https://oauth2.corp/gcp/token", 200, &granted("t"));
    open(&desk, &context).unwrap();
    let fields = form(&desk.body(0));
    assert_eq!(jwt(fields[1].1.split('.').nth(1).unwrap())["aud"], GOOGLE);
}

#[test]
fn a_key_that_cannot_sign_is_the_stores_fault() {
    let mut file: Value = serde_json::from_str(&key_file(GOOGLE)).unwrap();
    file["private_key"] =
        json!("-----BEGIN PRIVATE KEY-----\nhunter2=\n-----END PRIVATE KEY-----\n");
    let told = open(&Desk::new(), &by_key(&file.to_string())).unwrap_err();
    assert_eq!(told.code, "invalid-config");
    assert!(!format!("{told:?}").contains("hunter2"), "{told:?}");
}

#[test]
fn where_the_clocks_differ_googles_is_believed_once() {
    let refused = json!({"error": "invalid_grant", "error_description": "Invalid JWT: Token must be a short-lived token"});
    let desk = Desk::new()
        .on("/token", 400, &refused)
        .on("/token", 200, &granted("t"));
    desk.now.set(NOW - 7200);
    open(&desk, &by_key(&key_file(GOOGLE))).unwrap();
    let iat = |at: usize| {
        jwt(form(&desk.body(at))[1].1.split('.').nth(1).unwrap())["iat"]
            .as_u64()
            .unwrap()
    };
    assert_eq!((iat(0), iat(1)), (NOW - 7200, NOW));
    assert!(desk.logged.borrow()[0].contains("clock"));

    // The clock is right, so it is the key that is refused, and nobody tries again.
    let desk = Desk::new().on("/token", 400, &refused);
    let told = open(&desk, &by_key(&key_file(GOOGLE))).unwrap_err();
    assert_eq!(told.code, "unauthenticated");
    assert!(told.message.contains("invalid_grant"), "{told}");
    let desk = Desk::new()
        .on("/token", 400, &refused)
        .on("/token", 400, &refused);
    desk.now.set(NOW - 7200);
    assert_eq!(
        open(&desk, &by_key(&key_file(GOOGLE))).unwrap_err().code,
        "unauthenticated"
    );
}

#[test]
fn refusals_of_a_token_endpoint_are_told_apart_and_give_nothing_away() {
    for (status, body, code) in [
        (401, json!({"error": "invalid_client"}), "unauthenticated"),
        (
            403,
            json!({"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "x"}}),
            "unauthenticated",
        ),
        (429, json!({}), "rate-limited"),
        (500, json!({}), "unavailable"),
        (404, json!("<html>"), "not-found"),
        (200, json!({"token_type": "Bearer"}), "unavailable"),
        (200, json!("<html>"), "unavailable"),
    ] {
        let desk = Desk::new().on("/token", status, &body);
        let told = open(&desk, &by_key(&key_file(GOOGLE))).unwrap_err();
        assert_eq!(told.code, code, "{status} {body}");
    }
    let echo = |desk: Desk| open(&desk, &federated(json!({})));
    let desk = Desk::new().on(
        "/v1/token",
        400,
        &json!({"error": "evil word <x>", "error_description": "got subject-jwt from you"}),
    );
    let told = echo(desk).unwrap_err();
    assert!(
        !format!("{told:?}").contains("subject-jwt") && !told.message.contains("evil"),
        "{told:?}"
    );
}

fn workload(attributes: &[(&str, &str)]) -> Context {
    let config = json!({"projectID": "p", "auth": {"workloadIdentity": {"serviceAccountRef": {"name": "reader"},
        "clusterLocation": "europe-west1", "clusterName": "c"}}});
    logging_in(&config, WORKLOAD, "subject-jwt", attributes)
}

const ACTS: (&str, &str) = (
    "annotation:iam.gke.io/gcp-service-account",
    "r@p.iam.gserviceaccount.com",
);

#[test]
fn a_workload_of_gke_trades_its_token_at_the_pool() {
    let desk = Desk::new().on("/v1/identitybindingtoken", 200, &granted("ya29.pool"));
    let session = open(&desk, &workload(&[])).unwrap();
    assert_eq!(session.token, br#"{"token":"ya29.pool"}"#);
    let asked: Value = serde_json::from_str(&desk.body(0)).unwrap();
    assert_eq!(asked["subject_token"], "subject-jwt");
    let audience = "identitynamespace:p.svc.id.goog:https://container.googleapis.com/v1/projects/p/locations/europe-west1/clusters/c";
    assert_eq!(asked["audience"], audience);
    assert_eq!(
        asked["grant_type"],
        "urn:ietf:params:oauth:grant-type:token-exchange"
    );
}

#[test]
fn an_annotation_names_the_service_account_to_act_as() {
    let given = json!({"accessToken": "ya29.acting", "expireTime": "2026-01-01T00:59:00Z"});
    let url = "/v1/projects/-/serviceAccounts/r@p.iam.gserviceaccount.com:generateAccessToken";
    let desk = Desk::new()
        .on("identitybindingtoken", 200, &granted("ya29.pool"))
        .on(url, 200, &given);
    let session = open(&desk, &workload(&[ACTS])).unwrap();
    assert_eq!(session.token, br#"{"token":"ya29.acting"}"#);
    assert_eq!(session.expires_in_ms, Some(3_540_000));
    let bearer = ("authorization".to_owned(), "Bearer ya29.pool".to_owned());
    assert!(desk.asked.borrow()[1].headers.contains(&bearer));

    let message =
        "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).";
    let refused =
        json!({"error": {"code": 403, "message": message, "status": "PERMISSION_DENIED"}});
    let desk = Desk::new()
        .on("identitybindingtoken", 200, &granted("ya29.pool"))
        .on(url, 403, &refused);
    let told = open(&desk, &workload(&[ACTS])).unwrap_err();
    assert_eq!(told.code, "denied");
    assert!(
        told.message.contains("iam.serviceAccounts.getAccessToken")
            && told.message.contains("workloadIdentityUser"),
        "{told}"
    );

    let desk = Desk::new().on("identitybindingtoken", 200, &granted("ya29.pool"));
    let told = open(&desk, &workload(&[(ACTS.0, "../../x@y")])).unwrap_err();
    assert_eq!(told.code, "invalid-config");
}

#[test]
fn what_a_store_does_not_say_of_its_cluster_the_metadata_server_says() {
    let mut context = workload(&[]);
    let mut config: Value = serde_json::from_str(&context.config).unwrap();
    config["auth"]["workloadIdentity"] = json!({"serviceAccountRef": {"name": "reader"}});
    context.config = config.to_string();
    let flavour = [("metadata-flavor", "Google")];
    let desk = Desk::new()
        .on_with("attributes/cluster-location", 200, &flavour, b"us-east1-b")
        .on_with("attributes/cluster-name", 200, &flavour, b"prod\n")
        .on("identitybindingtoken", 200, &granted("t"));
    open(&desk, &context).unwrap();
    assert!(
        desk.body(2)
            .contains("/projects/p/locations/us-east1-b/clusters/prod")
    );
    let desk = Desk::new().on_with("attributes/cluster-location", 404, &[], b"<html>");
    assert!(
        open(&desk, &context)
            .unwrap_err()
            .message
            .contains("cluster-location")
    );
}

fn federated(more: Value) -> Context {
    let mut fields =
        json!({"serviceAccountRef": {"name": "reader"}, "audience": "//iam.googleapis.com/pool"});
    for (name, value) in more.as_object().unwrap() {
        fields[name] = value.clone();
    }
    let config = json!({"projectID": "p", "auth": {"workloadIdentityFederation": fields}});
    logging_in(&config, FEDERATED, "subject-jwt", &[ACTS])
}

#[test]
fn a_federated_account_acts_as_whom_the_store_names_before_the_annotation() {
    let given = json!({"accessToken": "ya29.acting", "expireTime": "2026-01-01T01:00:00Z"});
    for (more, email) in [
        (json!({}), "r@p.iam.gserviceaccount.com"),
        (
            json!({"gcpServiceAccountEmail": "s@p.iam.gserviceaccount.com"}),
            "s@p.iam.gserviceaccount.com",
        ),
    ] {
        let url = format!("{email}:generateAccessToken");
        let desk = Desk::new()
            .on(
                "https://sts.googleapis.com/v1/token",
                200,
                &granted("ya29.sts"),
            )
            .on(&url, 200, &given);
        let session = open(&desk, &federated(more)).unwrap();
        assert_eq!(session.token, br#"{"token":"ya29.acting"}"#);
        let fields = form(&desk.body(0));
        assert!(fields.contains(&(
            "audience".to_owned(),
            "//iam.googleapis.com/pool".to_owned()
        )));
        assert!(fields.contains(&("subject_token".to_owned(), "subject-jwt".to_owned())));
        assert!(fields.contains(&(
            "subject_token_type".to_owned(),
            "urn:ietf:params:oauth:token-type:jwt".to_owned()
        )));
    }
}

#[test]
fn an_external_account_takes_its_token_from_the_url_that_the_store_names() {
    let config = json!({"projectID": "p", "auth": {"workloadIdentityFederation": {
        "credConfig": {"name": "c", "key": "k"}, "externalTokenEndpoint": "https://tokens.corp/get"}}});
    let external = json!({
        "type": "external_account", "audience": "//iam.googleapis.com/pool", "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
        "credential_source": {"url": "https://tokens.corp/get", "headers": {"x-who": "me"}, "format": {"type": "json", "subject_token_field_name": "id"}},
    });
    let context = logging_in(&config, EXTERNAL, &external.to_string(), &[]);
    let desk = Desk::new()
        .on("https://tokens.corp/get", 200, &json!({"id": "theirs"}))
        .on("/v1/token", 200, &granted("ya29.sts"));
    assert_eq!(
        open(&desk, &context).unwrap().token,
        br#"{"token":"ya29.sts"}"#
    );
    assert!(
        desk.asked.borrow()[0]
            .headers
            .contains(&("x-who".to_owned(), "me".to_owned()))
    );
    let fields = form(&desk.body(1));
    assert!(fields.contains(&("subject_token".to_owned(), "theirs".to_owned())));
    let desk = Desk::new().on("get", 200, &json!({"other": "hunter2"}));
    let told = open(&desk, &context).unwrap_err();
    assert_eq!(told.code, "unavailable");
    assert!(!format!("{told:?}").contains("hunter2"));
}

#[test]
fn the_operators_own_identity_brings_its_project_along() {
    let context = Context {
        config: "{}".to_owned(),
        ..Context::default()
    };
    let desk = Desk::new()
        .on(
            "http://169.254.169.254/computeMetadata/v1/instance/service-accounts/default/token",
            200,
            &granted("ya29.own"),
        )
        .on_with("project/project-id", 200, &[], b"of-the-node");
    let session = open(&desk, &context).unwrap();
    assert_eq!(
        session.token,
        br#"{"token":"ya29.own","project":"of-the-node"}"#
    );
    let flavour = ("metadata-flavor".to_owned(), "Google".to_owned());
    assert!(
        desk.asked
            .borrow()
            .iter()
            .all(|request| request.headers.contains(&flavour))
    );

    let desk = Desk::new().on("versions/latest:access", 404, &json!({}));
    let call = Context {
        session: Some(session.token),
        ..context.clone()
    };
    Gcpsm::get_batch(&desk, &call, &[desk::request("db")]);
    assert!(desk.paths()[0].starts_with("/v1/projects/of-the-node/secrets/db"));

    let closed = Failure::denied(
        "169.254.169.254 is a metadata address; it opens only with --ambient-identity",
    );
    let desk = Desk::new().reply("default/token", Err(closed.clone()));
    assert_eq!(open(&desk, &context).unwrap_err(), closed);
    let desk = Desk::new().on_with("default/token", 404, &[], b"<html>");
    assert_eq!(open(&desk, &context).unwrap_err().code, "invalid-config");
}

#[test]
fn a_token_is_neither_prolonged_nor_taken_back() {
    let (desk, context) = (Desk::new(), reading(&json!({"projectID": "p"})));
    assert_eq!(
        Gcpsm::renew(&desk, &context).unwrap_err().code,
        "unauthenticated"
    );
    Gcpsm::close(&desk, &context).unwrap();
    Gcpsm::probe(&desk, &context).unwrap();
    assert_eq!(desk.paths(), Vec::<String>::new());
}
