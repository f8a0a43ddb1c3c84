//! Logins by the shape of their requests, as the methods document them: those that no recording has, and what goes along
//! with all of them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../../gcpsm/tests/desk/mod.rs"]
mod desk;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use desk::{Desk, NOW, key_file, logging_in};
use postern_plugin_vault::Vault;
use postern_plugin_vault::config::{GOOGLE_KEY, GOOGLE_WORKLOAD};
use postern_sdk::{Context, Failure, Find, Login, Pick, Provider, Query, Request, Session};
use serde_json::{Value, json};

fn store(auth: Value) -> Value {
    json!({"server": "https://vault.corp:8200", "path": "secret", "auth": auth})
}

fn granted() -> Value {
    json!({"auth": {"client_token": "hvs.token", "lease_duration": 3600, "renewable": true}})
}

fn open(desk: &Desk, context: &Context) -> Result<Session, Failure> {
    Vault::open(desk, context)
}

fn sent(desk: &Desk, at: usize) -> Value {
    serde_json::from_str(&desk.body(at)).unwrap()
}

fn header(desk: &Desk, at: usize, name: &str) -> Option<String> {
    let asked = desk.asked.borrow();
    let found = asked[at]
        .headers
        .iter()
        .find(|(n, _)| n.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.clone())
}

#[test]
fn ldap_puts_the_name_into_the_path_and_the_password_into_the_body() {
    for (auth, pointer, path) in [
        (
            json!({"ldap": {"username": " ada@corp\n", "secretRef": {"name": "s"}}}),
            "/auth/ldap/secretRef",
            "/v1/auth/ldap/login/ada@corp",
        ),
        (
            json!({"ldap": {"path": "ldap/eu/", "username": "a/b", "secretRef": {"name": "s"}}}),
            "/auth/ldap/secretRef",
            "/v1/auth/ldap/eu/login/a%2Fb",
        ),
        (
            json!({"userPass": {"username": "ada", "secretRef": {"name": "s"}}}),
            "/auth/userPass/secretRef",
            "/v1/auth/userpass/login/ada",
        ),
    ] {
        let desk = Desk::new().on(path, 200, &granted());
        let session = open(&desk, &logging_in(&store(auth), pointer, "pa ss\n", &[])).unwrap();
        assert_eq!(session.token, b"hvs.token");
        assert_eq!(session.expires_in_ms, Some(3_600_000));
        assert_eq!(sent(&desk, 0), json!({"password": "pa ss\n"}));
    }
}

#[test]
fn a_certificate_is_presented_by_the_host_and_its_role_named_in_the_body() {
    let auth = json!({"cert": {"vaultRole": "web", "clientCert": {"name": "c"}, "secretRef": {"name": "c"}}});
    let context = Context {
        config: store(auth).to_string(),
        ..Context::default()
    };
    let desk = Desk::new().on("/v1/auth/cert/login", 200, &granted());
    open(&desk, &context).unwrap();
    assert_eq!(sent(&desk, 0), json!({"name": "web"}));
    let needs = Vault::examine(&context.config, &[], &Vec::new()).unwrap();
    assert!(needs.references.is_empty() && needs.endpoints[0].client_key.is_some());
}

fn claims(jwt: &str) -> Value {
    let part = jwt.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

const ACTS: (&str, &str) = (
    "annotation:iam.gke.io/gcp-service-account",
    "app@p.iam.gserviceaccount.com",
);

#[test]
fn the_key_of_a_google_service_account_signs_for_the_role() {
    let auth =
        json!({"gcp": {"role": "app", "secretRef": {"secretAccessKeySecretRef": {"name": "k"}}}});
    let desk = Desk::new().on("https://vault.corp:8200/v1/auth/gcp/login", 200, &granted());
    let context = logging_in(
        &store(auth),
        GOOGLE_KEY,
        &key_file("https://oauth2.googleapis.com/token"),
        &[],
    );
    open(&desk, &context).unwrap();
    let body = sent(&desk, 0);
    assert_eq!(body["role"], "app");
    let want =
        json!({"sub": "reader@p.iam.gserviceaccount.com", "aud": "vault/app", "exp": NOW + 900});
    assert_eq!(claims(body["jwt"].as_str().unwrap()), want);
    let needs = Vault::examine(&context.config, &[], &Vec::new()).unwrap();
    assert_eq!(needs.references[0].pointer, GOOGLE_KEY);
    assert_eq!(needs.endpoints.len(), 1);
    let broken = logging_in(
        &serde_json::from_str(&context.config).unwrap(),
        GOOGLE_KEY,
        "hunter2",
        &[],
    );
    let told = open(&Desk::new(), &broken).unwrap_err();
    assert_eq!(told.code, "invalid-config");
    assert!(!told.message.contains("hunter2"));
}

#[test]
fn google_signs_for_a_workload_of_gke() {
    let auth = json!({"gcp": {"role": "app", "path": "gcp-prod", "workloadIdentity": {"serviceAccountRef": {"name": "a"},
        "clusterProjectID": "p", "clusterLocation": "europe-west1", "clusterName": "c"}}});
    let config = store(auth);
    let needs = Vault::examine(&config.to_string(), &[], &Vec::new()).unwrap();
    assert_eq!(needs.references[0].audiences, ["p.svc.id.goog"]);
    let origins: Vec<&str> = needs.endpoints.iter().map(|e| e.origin.as_str()).collect();
    assert_eq!(
        origins,
        [
            "https://vault.corp:8200",
            "https://securetoken.googleapis.com",
            "https://iamcredentials.googleapis.com"
        ]
    );

    let sign = "/v1/projects/-/serviceAccounts/app@p.iam.gserviceaccount.com:signJwt";
    let traded = json!({"access_token": "ya29.pool", "expires_in": 3599});
    let desk = Desk::new()
        .on(
            "https://securetoken.googleapis.com/v1/identitybindingtoken",
            200,
            &traded,
        )
        .on(
            sign,
            200,
            &json!({"keyId": "1", "signedJwt": "a.signed.token"}),
        )
        .on("/v1/auth/gcp-prod/login", 200, &granted());
    open(
        &desk,
        &logging_in(&config, GOOGLE_WORKLOAD, "subject-jwt", &[ACTS]),
    )
    .unwrap();
    assert_eq!(
        header(&desk, 1, "authorization").as_deref(),
        Some("Bearer ya29.pool")
    );
    let payload: Value = serde_json::from_str(sent(&desk, 1)["payload"].as_str().unwrap()).unwrap();
    assert_eq!(
        payload,
        json!({"sub": ACTS.1, "aud": "vault/app", "exp": NOW + 900})
    );
    assert_eq!(
        sent(&desk, 2),
        json!({"role": "app", "jwt": "a.signed.token"})
    );
    assert_eq!(header(&desk, 2, "authorization"), None);

    let desk = Desk::new()
        .on("identitybindingtoken", 200, &traded)
        .on(sign, 403, &json!({}));
    let told = open(
        &desk,
        &logging_in(&config, GOOGLE_WORKLOAD, "subject-jwt", &[ACTS]),
    )
    .unwrap_err();
    assert_eq!(told.code, "denied");
    assert!(
        told.message.contains("iam.serviceAccounts.signJwt"),
        "{told}"
    );
    let told = open(
        &Desk::new(),
        &logging_in(&config, GOOGLE_WORKLOAD, "subject-jwt", &[]),
    )
    .unwrap_err();
    assert!(told.message.contains("gcp-service-account"), "{told}");
}

#[test]
fn nobody_logs_in_as_postern_itself() {
    for (auth, pointer) in [
        (json!({"gcp": {"role": "app"}}), "/auth/gcp"),
        (
            json!({"gcp": {"role": "app", "serviceAccountRef": {"name": "a"}}}),
            "/auth/gcp",
        ),
        (json!({"kubernetes": {"role": "app"}}), "/auth/kubernetes"),
    ] {
        let problems = Vault::examine(&store(auth).to_string(), &[], &Vec::new()).unwrap_err();
        assert_eq!(problems[0].pointer, pointer);
    }
    let auth =
        json!({"gcp": {"role": "app", "workloadIdentity": {"serviceAccountRef": {"name": "a"}}}});
    let problems = Vault::examine(&store(auth).to_string(), &[], &Vec::new()).unwrap_err();
    let pointers: Vec<&str> = problems
        .iter()
        .map(|p| p.pointer.rsplit('/').next().unwrap())
        .collect();
    assert_eq!(
        pointers,
        ["clusterProjectID", "clusterLocation", "clusterName"]
    );
}

/// A config with all that goes along, its login, and what the session looks like.
fn session_of(more: &Value) -> (Value, Session) {
    let mut config = store(json!({"userPass": {"username": "ada", "secretRef": {"name": "s"}}}));
    for (name, value) in more.as_object().unwrap() {
        config[name] = value.clone();
    }
    let headers = [("x-vault-index", "v1:cluster:1:2")];
    let desk = Desk::new().on_with("login/ada", 200, &headers, granted().to_string().as_bytes());
    let context = logging_in(&config, "/auth/userPass/secretRef", "p", &[]);
    (config, open(&desk, &context).unwrap())
}

#[test]
fn a_node_that_has_not_seen_the_login_is_told_how_far_it_must_have_come() {
    for (more, index, forwards) in [
        (json!({}), None, None),
        (
            json!({"readYourWrites": true}),
            Some("v1:cluster:1:2"),
            None,
        ),
        (
            json!({"readYourWrites": true, "forwardInconsistent": true}),
            Some("v1:cluster:1:2"),
            Some("forward-active-node"),
        ),
    ] {
        let (config, session) = session_of(&more);
        let context = Context {
            config: config.to_string(),
            session: Some(session.token),
            ..Context::default()
        };
        let read = json!({"data": {"data": {"k": "v"}, "metadata": {"version": 1}}});
        let desk = Desk::new()
            .on("secret/data/db", 200, &read)
            .on("metadata", 404, &json!({"errors": []}))
            .on("lookup-self", 200, &json!({}))
            .on("renew-self", 200, &granted())
            .on("revoke-self", 204, &json!({}));
        let request = Request {
            key: "db".to_owned(),
            picks: vec![Pick::default()],
            ..Request::default()
        };
        assert_eq!(
            desk::value(&Vault::get_batch(&desk, &context, &[request])[0]),
            r#"{"k":"v"}"#
        );
        let query = Query {
            name: Some(".".to_owned()),
            ..Query::default()
        };
        assert_eq!(
            Vault::list_page(&desk, &context, &query, None)
                .unwrap_err()
                .code,
            "absent"
        );
        Vault::probe(&desk, &context).unwrap();
        Vault::renew(&desk, &context).unwrap();
        Vault::close(&desk, &context).unwrap();
        for at in 0..5 {
            assert_eq!(header(&desk, at, "x-vault-index").as_deref(), index, "{at}");
            assert_eq!(
                header(&desk, at, "x-vault-token").as_deref(),
                Some("hvs.token")
            );
            assert_eq!(
                header(&desk, at, "x-vault-inconsistent").as_deref(),
                forwards
            );
        }
    }
    let (config, session) = session_of(&json!({"readYourWrites": true}));
    let context = Context {
        config: config.to_string(),
        session: Some(session.token),
        ..Context::default()
    };
    let request = Request {
        key: "db".to_owned(),
        picks: vec![Pick::default()],
        ..Request::default()
    };
    let desk = Desk::new().on(
        "secret/data/db",
        412,
        &json!({"errors": ["required index state not present"]}),
    );
    assert_eq!(
        desk::failure(&Vault::get_batch(&desk, &context, &[request])[0]).code,
        "unavailable"
    );
}

#[test]
fn a_login_may_be_in_another_namespace_than_the_data() {
    let mut config = store(
        json!({"namespace": "admin", "userPass": {"username": "ada", "secretRef": {"name": "s"}}}),
    );
    config["namespace"] = json!("team/a");
    let desk = Desk::new().on("login/ada", 200, &granted());
    let session = open(
        &desk,
        &logging_in(&config, "/auth/userPass/secretRef", "p", &[]),
    )
    .unwrap();
    assert_eq!(
        header(&desk, 0, "x-vault-namespace").as_deref(),
        Some("admin")
    );
    let context = Context {
        config: config.to_string(),
        session: Some(session.token),
        ..Context::default()
    };
    let read = json!({"data": {"data": {"k": "v"}}});
    let desk = Desk::new()
        .on("secret/data/db", 200, &read)
        .on("revoke-self", 204, &json!({}));
    let request = Request {
        key: "db".to_owned(),
        picks: vec![Pick::default()],
        ..Request::default()
    };
    Vault::get_batch(&desk, &context, &[request]);
    Vault::close(&desk, &context).unwrap();
    let namespaces = [0, 1].map(|at| header(&desk, at, "x-vault-namespace").unwrap());
    assert_eq!(namespaces, ["team/a", "admin"]);
}
