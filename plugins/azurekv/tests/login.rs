//! How one logs in: what is sent where, what comes of it, and what a refusal says.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod script;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use postern_plugin_azurekv::AzureKeyVault;
use postern_sdk::{Context, Credential, Failure, Login, Provider};
use script::{Script, context, credential, json, text, with_header};
use serde_json::{Value, json};

const SECRET: &str = "hush~hush\n";

fn granted() -> Value {
    json!({"token_type": "Bearer", "expires_in": 3599, "access_token": "eyJ.token"})
}

fn application(proof: &str, value: &[u8]) -> Context {
    let config = json!({"vaultUrl": "https://v.vault.azure.net", "tenantId": "contoso.onmicrosoft.com",
        "authSecretRef": {"clientId": {"name": "s"}, proof: {"name": "s"}}});
    Context {
        credentials: vec![
            credential("/authSecretRef/clientId", b" app-1\n"),
            credential(&format!("/authSecretRef/{proof}"), value),
        ],
        session: None,
        ..context(&config.to_string())
    }
}

fn form(host: &Script) -> Vec<String> {
    let body = host.asked()[0].body.clone().unwrap();
    let body = String::from_utf8(body).unwrap();
    body.split('&').map(str::to_owned).collect()
}

fn refused(description: &str) -> Failure {
    let body = json!({"error": "invalid_client", "error_description": description});
    let host = Script::always(401, body);
    AzureKeyVault::open(&host, &application("clientSecret", SECRET.as_bytes())).unwrap_err()
}

#[test]
fn an_application_logs_in_with_its_secret() {
    let host = Script::always(200, granted());
    let session = AzureKeyVault::open(&host, &application("clientSecret", b"a+b c&d")).unwrap();
    assert_eq!(session.token, b"eyJ.token");
    assert_eq!(session.expires_in_ms, Some(3_599_000));
    let at = "POST https://login.microsoftonline.com/contoso.onmicrosoft.com/oauth2/v2.0/token";
    assert_eq!(host.urls(), [at]);
    let want = [
        "grant_type=client_credentials",
        "client_id=app-1",
        "scope=https%3A%2F%2Fvault.azure.net%2F.default",
        "client_secret=a%2Bb%20c%26d",
    ];
    assert_eq!(form(&host), want);
}

/// The parts of the assertion that was sent.
fn assertion(host: &Script) -> (Value, Value) {
    let form = form(host);
    assert_eq!(
        form[3],
        "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
    );
    let token = form[4].strip_prefix("client_assertion=").unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!(parts.len(), 3);
    let json = |part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    (json(parts[0]), json(parts[1]))
}

#[test]
fn an_application_logs_in_with_its_certificate() {
    for pem in [
        &include_bytes!("keys/pkcs8.pem")[..],
        &include_bytes!("keys/pkcs1.pem")[..],
    ] {
        let host = Script::always(200, granted());
        AzureKeyVault::open(&host, &application("clientCertificate", pem)).unwrap();
        let (header, claims) = assertion(&host);
        assert_eq!(header["alg"], "PS256");
        assert_eq!(header["x5t#S256"].as_str().map(str::len), Some(43));
        let at = "https://login.microsoftonline.com/contoso.onmicrosoft.com/oauth2/v2.0/token";
        assert_eq!(claims["aud"], at);
        assert_eq!(
            (&claims["iss"], &claims["sub"]),
            (&json!("app-1"), &json!("app-1"))
        );
        // A clock that is a little ahead makes no assertion of the future.
        assert_eq!(claims["nbf"], 1_767_225_600 - 300);
        assert_eq!(claims["exp"], 1_767_225_600 + 600);
    }
}

#[test]
fn an_ad_fs_gets_what_it_knows() {
    let host = Script::always(200, granted());
    let mut context = application("clientCertificate", include_bytes!("keys/pkcs8.pem"));
    let config = json!({"vaultUrl": "https://v.vault.stack", "tenantId": "adfs", "environmentType": "AzureStackCloud",
        "customCloudConfig": {"activeDirectoryEndpoint": "https://adfs.stack/"},
        "authSecretRef": {"clientId": {"name": "s"}, "clientCertificate": {"name": "s"}}});
    context.config = config.to_string();
    AzureKeyVault::open(&host, &context).unwrap();
    assert_eq!(host.urls(), ["POST https://adfs.stack/adfs/oauth2/token"]);
    let (header, _) = assertion(&host);
    assert_eq!(header["alg"], "RS256");
    assert_eq!(header["x5t"].as_str().map(str::len), Some(27));
}

#[test]
fn a_certificate_that_cannot_be_used_is_not_quoted() {
    let cases: [(&[u8], &str); 6] = [
        (b"hunter2", "is no PEM"),
        (include_bytes!("keys/encrypted.pem"), "is encrypted"),
        (include_bytes!("keys/ec.pem"), "is no RSA key"),
        (b"-----BEGIN PRIVATE KEY-----\nhunter2", "does not end"),
        (b"-----BEGIN X-----\nhunter2!\n-----END X-----", "no base64"),
        (
            b"-----BEGIN X-----\nAAAA\n-----END X-----",
            "holds no certificate",
        ),
    ];
    for (pem, want) in cases {
        let host = Script::always(200, granted());
        let context = application("clientCertificate", pem);
        let failure = AzureKeyVault::open(&host, &context).unwrap_err();
        assert_eq!(failure.code, "invalid-config");
        assert!(failure.message.contains(want), "{failure}");
        assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
        assert_eq!(host.asked(), []);
    }
}

fn account(config: Value, annotations: &[(&str, &str)]) -> (Value, Context) {
    let mut whole = json!({"vaultUrl": "https://v.vault.azure.net", "authType": "WorkloadIdentity",
        "serviceAccountRef": {"name": "a"}});
    let members = config.as_object().unwrap().clone();
    whole.as_object_mut().unwrap().extend(members);
    let attributes = annotations.iter().map(|(n, v)| {
        (
            format!("annotation:azure.workload.identity/{n}"),
            (*v).to_owned(),
        )
    });
    let account = Credential {
        attributes: attributes.collect(),
        ..credential("/serviceAccountRef", b"eyJ.of.account")
    };
    let context = Context {
        credentials: vec![
            account,
            credential("/authSecretRef/clientId", b"app-2"),
            credential("/authSecretRef/tenantId", b"tenant-2"),
        ],
        session: None,
        ..context(&whole.to_string())
    };
    (whole, context)
}

fn exchange(config: Value, annotations: &[(&str, &str)]) -> Result<(String, String), String> {
    let (_, context) = account(config, annotations);
    let host = Script::always(200, granted());
    let opened = AzureKeyVault::open(&host, &context);
    opened.map_err(|f| f.message)?;
    let form = form(&host);
    assert_eq!(form[4], "client_assertion=eyJ.of.account");
    let url = host.asked()[0].url.clone();
    let tenant = url.split('/').nth(3).unwrap().to_owned();
    Ok((tenant, form[1].clone()))
}

#[test]
fn a_service_account_stands_for_an_application() {
    let pair = |tenant: &str, client: &str| Ok((tenant.to_owned(), format!("client_id={client}")));
    let both = [("client-id", "app-1"), ("tenant-id", "tenant-1")];
    assert_eq!(exchange(json!({}), &both), pair("tenant-1", "app-1"));
    let tenant = json!({"tenantId": "tenant-3"});
    assert_eq!(
        exchange(tenant.clone(), &both[..1]),
        pair("tenant-3", "app-1")
    );
    let references =
        json!({"authSecretRef": {"clientId": {}, "tenantId": {}}, "tenantId": "tenant-3"});
    assert_eq!(exchange(references.clone(), &[]), pair("tenant-2", "app-2"));

    // What is said twice.
    let said = exchange(tenant.clone(), &both).unwrap_err();
    assert!(said.contains("tenant stands twice"), "{said}");
    let said = exchange(references.clone(), &both[..1]).unwrap_err();
    assert!(said.contains("client id stands twice"), "{said}");
    let first_wins = json!({"tenantId": "tenant-3", "useAzureSDK": true});
    assert_eq!(exchange(first_wins, &both), pair("tenant-3", "app-1"));

    // What only the environment says.
    let (_, mut fallback) = account(json!({}), &both[..1]);
    fallback
        .credentials
        .push(credential("env:AZURE_TENANT_ID", b"tenant-4"));
    let host = Script::always(200, granted());
    AzureKeyVault::open(&host, &fallback).unwrap();
    assert!(host.urls()[0].contains("/tenant-4/"), "{:?}", host.urls());

    // What is not said.
    let said = exchange(json!({}), &both[..1]).unwrap_err();
    assert!(said.contains("no tenant"), "{said}");
    let said = exchange(tenant, &[]).unwrap_err();
    assert!(said.contains("no client id"), "{said}");
    let said = exchange(json!({}), &[("client-id", "a"), ("tenant-id", "../b")]).unwrap_err();
    assert!(said.contains("must be the id of a directory"), "{said}");
}

#[test]
fn a_node_tells_its_pods_a_token() {
    let body =
        json!({"access_token": "eyJ.of.node", "expires_in": "86399", "expires_on": "1767312000"});
    let ask = |identity: Value| {
        let config = json!({"vaultUrl": "https://v.vault.azure.net", "authType": "ManagedIdentity", "identityId": identity});
        let host = Script::always(200, body.clone());
        let session = AzureKeyVault::open(&host, &context(&config.to_string())).unwrap();
        assert_eq!(session.expires_in_ms, Some(86_399_000));
        let asked = host.asked().remove(0);
        assert!(
            asked
                .headers
                .contains(&("metadata".to_owned(), "true".to_owned()))
        );
        asked.url
    };
    let base = "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net";
    assert_eq!(ask(Value::Null), base);
    assert_eq!(ask(json!("app-1")), format!("{base}&client_id=app-1"));
    assert_eq!(
        ask(json!("/subscriptions/1")),
        format!("{base}&msi_res_id=%2Fsubscriptions%2F1")
    );
}

#[test]
fn an_app_of_its_own_asks_where_its_environment_says() {
    let config = r#"{"vaultUrl":"https://v.vault.azure.net","authType":"ManagedIdentity","identityId":"app-1"}"#;
    let context = Context {
        credentials: vec![
            credential("env:IDENTITY_ENDPOINT", b"http://127.0.0.1:41/msi/token"),
            credential("env:IDENTITY_HEADER", b"the-header"),
        ],
        ..context(config)
    };
    let host = Script::always(200, granted());
    AzureKeyVault::open(&host, &context).unwrap();
    let url = "GET http://127.0.0.1:41/msi/token?api-version=2019-08-01&resource=https%3A%2F%2Fvault.azure.net&client_id=app-1";
    assert_eq!(host.urls(), [url]);
    let shown = ("x-identity-header".to_owned(), "the-header".to_owned());
    assert_eq!(host.asked()[0].headers, [shown]);
}

#[test]
fn posterns_own_account_stands_for_an_application() {
    let config = r#"{"vaultUrl":"https://v.vault.azure.net","authType":"WorkloadIdentity"}"#;
    let open = |credentials: Vec<Credential>, option: Option<&str>| {
        let options = option.map(|o| ("ambient-identity".to_owned(), o.to_owned()));
        let context = Context {
            credentials,
            options: options.into_iter().collect(),
            ..context(config)
        };
        let host = Script::always(200, granted());
        let opened = AzureKeyVault::open(&host, &context);
        opened
            .map(|_| (host.urls(), form(&host)))
            .map_err(|f| f.message)
    };
    let parts = || {
        vec![
            credential("env:AZURE_CLIENT_ID", b"app-3"),
            credential("env:AZURE_TENANT_ID", b"tenant-3"),
            credential("file:AZURE_FEDERATED_TOKEN_FILE", b"eyJ.of.postern\n"),
        ]
    };
    let (urls, form) = open(parts(), Some("open")).unwrap();
    assert_eq!(
        urls,
        ["POST https://login.microsoftonline.com/tenant-3/oauth2/v2.0/token"]
    );
    assert_eq!(
        (form[1].as_str(), form[4].as_str()),
        ("client_id=app-3", "client_assertion=eyJ.of.postern")
    );
    let closed = open(parts().split_off(1), None).unwrap_err();
    assert!(closed.contains("--ambient-identity"), "{closed}");
    let unset = open(parts().split_off(1), Some("open")).unwrap_err();
    assert!(unset.contains("AZURE_CLIENT_ID is not set"), "{unset}");
    let mut unreadable = parts();
    unreadable[2]
        .attributes
        .push(("unreadable".to_owned(), "not found".to_owned()));
    let said = open(unreadable, Some("open")).unwrap_err();
    assert!(
        said.contains("AZURE_FEDERATED_TOKEN_FILE names cannot be read: not found"),
        "{said}"
    );
}

#[test]
fn a_node_without_the_identity_says_what_to_do() {
    let config = r#"{"vaultUrl":"https://v.vault.azure.net","authType":"ManagedIdentity"}"#;
    let open = |status, body| AzureKeyVault::open(&Script::always(status, body), &context(config));
    let body = json!({"error": "invalid_request", "error_description": "Identity not found"});
    let failure = open(400, body).unwrap_err();
    assert_eq!(failure.code, "unauthenticated");
    assert!(failure.message.contains("identityId"), "{failure}");
    assert_eq!(open(404, json!({})).unwrap_err().code, "unavailable");
    // What the host says of a closed door comes through as it is.
    let closed = Failure::denied("169.254.169.254 is closed; --ambient-identity opens it");
    let said = closed.clone();
    let host = Script::failing(move |_| Err(said.clone()));
    assert_eq!(
        AzureKeyVault::open(&host, &context(config)).unwrap_err(),
        closed
    );
}

#[test]
fn a_refusal_says_what_to_do_and_never_the_credential() {
    let said = |number: u32| {
        let failure = refused(&format!(
            "AADSTS{number}: secret {SECRET} was sent. Trace ID: 1"
        ));
        assert_eq!(failure.code, "unauthenticated");
        assert!(!format!("{failure:?}").contains("hush~hush"), "{failure:?}");
        assert!(
            failure.message.contains(&format!("(AADSTS{number})")),
            "{failure}"
        );
        failure.message
    };
    assert!(said(7_000_215).contains("ends in a line break"));
    assert!(said(7_000_222).contains("expired"));
    assert!(said(700_016).contains("client id"));
    assert!(said(90_002).contains("no such tenant"));
    assert!(said(700_024).contains("clock"));
    assert!(said(700_213).contains("federated credential"));
    assert!(said(500_011).contains("environmentType"));
    assert!(said(1).contains("refused"));
}

#[test]
fn each_trouble_of_the_directory_has_its_code() {
    let open = |response: postern_sdk::HttpResponse| {
        let host = Script::of(move |_| response.clone());
        let context = application("clientSecret", SECRET.as_bytes());
        AzureKeyVault::open(&host, &context).unwrap_err()
    };
    let limited = open(with_header(text(429, ""), "retry-after", "7"));
    assert_eq!(
        (limited.code.as_str(), limited.retry_after_ms),
        ("rate-limited", Some(7000))
    );
    assert_eq!(open(text(503, "<html>")).code, "unavailable");
    assert_eq!(open(text(302, "")).code, "unavailable");
    assert_eq!(open(text(404, "<html>")).code, "not-found");
    let later = json!({"error": "temporarily_unavailable"});
    assert_eq!(open(json(400, &later)).code, "unavailable");
    assert_eq!(open(text(200, "<html>")).code, "unavailable");
    assert_eq!(
        open(json(200, &json!({"access_token": ""}))).code,
        "unavailable"
    );
    assert_eq!(
        open(json(200, &json!({"access_token": "a\nb"}))).code,
        "unavailable"
    );
}

#[test]
fn the_check_of_a_store_compares_what_the_vault_asks_for() {
    let ours = "72f988bf-86f1-41af-91ab-2d7cd011db47";
    let probe = |tenant: &str, challenge: &str| {
        let config = json!({"vaultUrl": "https://v.vault.azure.net", "tenantId": tenant,
            "authSecretRef": {"clientId": {}, "clientSecret": {}}});
        let challenge = challenge.to_owned();
        let host =
            Script::of(move |_| with_header(text(401, "{}"), "www-authenticate", &challenge));
        let checked = AzureKeyVault::probe(&host, &context(&config.to_string()));
        // Without a token, and nowhere else.
        let asked = host.asked();
        assert_eq!(
            host.urls(),
            ["GET https://v.vault.azure.net/secrets?api-version=7.4&maxresults=1"]
        );
        assert!(asked[0].headers.iter().all(|(n, _)| n != "authorization"));
        checked
    };
    let right = format!(
        r#"Bearer authorization="https://login.windows.net/{ours}", resource="https://vault.azure.net""#
    );
    assert_eq!(probe(ours, &right), Ok(()));
    assert_eq!(probe("contoso.onmicrosoft.com", &right), Ok(()));
    let other = "00000000-86f1-41af-91ab-2d7cd011db47";
    let failure = probe(other, &right).unwrap_err();
    assert_eq!(failure.code, "invalid-config");
    assert!(
        failure.message.contains(ours) && failure.message.contains(other),
        "{failure}"
    );
    let elsewhere = right.replace("vault.azure.net", "vault.usgovcloudapi.net");
    let failure = probe(ours, &elsewhere).unwrap_err();
    assert_eq!(failure.code, "invalid-config");
    assert!(
        failure.message.contains("https://vault.usgovcloudapi.net"),
        "{failure}"
    );
}

#[test]
fn what_answers_without_a_token_is_no_vault() {
    let config = r#"{"vaultUrl":"https://v.vault.azure.net","authType":"ManagedIdentity"}"#;
    let probe = |status, body: &str| {
        let body = body.to_owned();
        let host = Script::of(move |_| text(status, &body));
        AzureKeyVault::probe(&host, &context(config)).unwrap_err()
    };
    assert_eq!(probe(200, "<html>").code, "unavailable");
    assert_eq!(probe(404, "<html>").code, "not-found");
    assert_eq!(probe(503, "").code, "unavailable");
    let firewall = r#"{"error":{"code":"Forbidden","message":"","innererror":{"code":"ForbiddenByFirewall"}}}"#;
    let failure = probe(403, firewall);
    assert_eq!(failure.code, "denied");
    assert!(failure.message.contains("firewall"), "{failure}");
}
