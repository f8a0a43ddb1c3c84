//! What a store may say, which hosts it opens, and how its credentials become a session.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;

use common::*;
use postern_plugin_aws::Aws;
use postern_plugin_aws::environment as env;
use postern_plugin_aws::session::Session;
use postern_plugin_aws::sigv4::{derive, hex};
use postern_sdk::{Context, Credential, Login, Needs, Options, Problem, Provider};
use serde_json::{Value, json};

fn open() -> Options {
    vec![("ambient-identity".to_owned(), "open".to_owned())]
}

fn needs(config: &Value, credentials: &[Credential]) -> Needs {
    Aws::examine(&config.to_string(), credentials, &open()).unwrap()
}

fn problems(config: &Value) -> Vec<Problem> {
    Aws::examine(&config.to_string(), &[], &open()).unwrap_err()
}

fn hosts(config: &Value, credentials: &[Credential]) -> Vec<String> {
    needs(config, credentials)
        .endpoints
        .into_iter()
        .map(|e| e.origin)
        .collect()
}

fn pointers(config: &Value) -> Vec<String> {
    needs(config, &[])
        .references
        .into_iter()
        .map(|r| r.pointer)
        .collect()
}

fn ambient() -> Value {
    json!({"service": "SecretsManager", "region": "eu-central-1"})
}

#[test]
fn opens_exactly_the_hosts_of_its_service_and_region() {
    for (region, suffix) in [
        ("eu-central-1", "amazonaws.com"),
        ("us-gov-west-1", "amazonaws.com"),
        ("cn-north-1", "amazonaws.com.cn"),
        ("us-iso-east-1", "c2s.ic.gov"),
        ("us-isob-east-1", "sc2s.sgov.gov"),
        ("eusc-de-east-1", "amazonaws.eu"),
    ] {
        let mut config = config("SecretsManager");
        config["region"] = json!(region);
        let want = ["secretsmanager", "sts"].map(|s| format!("https://{s}.{region}.{suffix}"));
        assert_eq!(hosts(&config, &[]), want);
        config["service"] = json!("ParameterStore");
        assert_eq!(
            hosts(&config, &[])[0],
            format!("https://ssm.{region}.{suffix}")
        );
    }
}

#[test]
fn an_endpoint_comes_from_the_config_else_from_the_environment() {
    let mut config = config("ParameterStore");
    let variables = [
        credential(env::PARAMETER_STORE, "http://localstack:4566/"),
        credential(env::STS, "https://sts.corp:443"),
    ];
    assert_eq!(
        hosts(&config, &variables),
        ["http://localstack:4566", "https://sts.corp"]
    );
    config["endpoints"] =
        json!({"parameterStore": "https://vpce-1.ssm.eu-central-1.vpce.amazonaws.com"});
    assert_eq!(
        hosts(&config, &variables)[0],
        "https://vpce-1.ssm.eu-central-1.vpce.amazonaws.com"
    );
    let wrong = Aws::examine(
        &config.to_string(),
        &[credential(env::STS, "sts.corp")],
        &open(),
    );
    assert!(wrong.unwrap_err()[0].message.contains("AWS_STS_ENDPOINT"));
}

/// Who asks as Postern must not say where Postern shows its token.
#[test]
fn a_store_without_a_credential_names_no_endpoint() {
    let mut config = ambient();
    config["endpoints"] = json!({"sts": "https://evil.example"});
    assert_eq!(problems(&config)[0].pointer, "/endpoints/sts");
}

#[test]
fn says_what_is_wrong_and_where() {
    let with = |field: &str, value: Value| {
        let mut config = config("SecretsManager");
        config[field] = value;
        problems(&config)[0].pointer.clone()
    };
    for (field, value, pointer) in [
        ("service", json!("CertificateManager"), "/service"),
        ("service", json!("S3"), "/service"),
        ("region", json!("eu"), "/region"),
        ("region", json!("eu-central-1.evil.example/"), "/region"),
        ("region", json!("EU-CENTRAL-1"), "/region"),
        ("role", json!("reader"), "/role"),
        ("additionalRoles", json!(["reader"]), "/role"),
        ("auth", json!({"jwt": {}}), "/auth/jwt/serviceAccountRef"),
        (
            "auth",
            json!({"secretRef": {}}),
            "/auth/secretRef/accessKeyIDSecretRef",
        ),
        (
            "customSessionTags",
            json!({"esoNamespace": "x"}),
            "/customSessionTags/esoNamespace",
        ),
        (
            "endpoints",
            json!({"sts": "https://a/path"}),
            "/endpoints/sts",
        ),
        (
            "endpoints",
            json!({"secretsManager": "https://u:p@a"}),
            "/endpoints/secretsManager",
        ),
    ] {
        assert_eq!(with(field, value.clone()), pointer, "{field}: {value}");
    }
}

#[test]
fn names_the_references_of_the_credential_in_use_only() {
    let endpoints = [env::SECRETS_MANAGER, env::STS];
    let of_keys = [
        "/auth/secretRef/accessKeyIDSecretRef",
        "/auth/secretRef/secretAccessKeySecretRef",
    ];
    assert_eq!(
        pointers(&config("SecretsManager")),
        [&of_keys[..], &endpoints].concat()
    );
    let mut account = config("SecretsManager");
    // As the External Secrets Operator has it: a service account wins over keys.
    account["auth"]["jwt"] = json!({"serviceAccountRef": {"name": "app"}});
    assert_eq!(
        pointers(&account),
        [&["/auth/jwt/serviceAccountRef"][..], &endpoints].concat()
    );
    let reference = needs(&account, &[]).references.remove(0);
    assert_eq!(
        reference.audiences,
        ["{annotation:eks.amazonaws.com/audience|sts.amazonaws.com}"]
    );
    assert_eq!(
        pointers(&ambient()),
        [&env::IDENTITY[..], &endpoints].concat()
    );
}

#[test]
fn whatever_is_used_of_the_environment_is_asked_for() {
    let asks: Vec<(String, String)> = Aws::describe()
        .asks
        .into_iter()
        .map(|a| (a.kind, a.what))
        .collect();
    let asked = |kind: &str, what: &str| asks.contains(&(kind.to_owned(), what.to_owned()));
    for what in env::IDENTITY {
        assert!(asked("ambient-identity", what), "{what}");
    }
    for what in [env::SECRETS_MANAGER, env::PARAMETER_STORE, env::STS] {
        assert!(asked("environment", what), "{what}");
    }
}

#[test]
fn without_a_credential_the_flag_is_named_where_it_is_closed() {
    let closed = Aws::examine(&ambient().to_string(), &[], &Vec::new()).unwrap_err();
    assert_eq!(closed[0].pointer, "/auth");
    assert!(closed[0].message.contains("--ambient-identity"));
    // With a credential of its own a store needs no flag.
    assert!(Aws::examine(&config("SecretsManager").to_string(), &[], &Vec::new()).is_ok());
}

#[test]
fn the_metadata_service_opens_only_where_nothing_else_says_who_postern_is() {
    let metadata = "http://169.254.169.254";
    let last = |variables: &[Credential]| hosts(&ambient(), variables).pop().unwrap();
    assert_eq!(last(&[]), metadata);
    let pod = credential(env::CONTAINER_FULL, "http://169.254.170.23/v1/credentials");
    assert_eq!(last(&[pod]), "http://169.254.170.23");
    assert_eq!(
        last(&[credential(env::CONTAINER_RELATIVE, "/v2/x")]),
        "http://169.254.170.2"
    );
    let elsewhere = [
        credential(env::KEY_ID, "AKIA"),
        credential(env::WEB_IDENTITY, "jwt"),
        credential(env::METADATA_OFF, "true"),
    ];
    for variable in elsewhere {
        assert!(!hosts(&ambient(), &[variable]).contains(&metadata.to_owned()));
    }
}

#[test]
fn answers_depend_on_the_namespace_where_a_role_is_told_who_asks() {
    let mut config = config("SecretsManager");
    config["sessionTagsPolicy"] = json!("Simple");
    assert!(!needs(&config, &[]).per_namespace);
    config["role"] = json!("arn:aws:iam::1:role/r");
    assert!(needs(&config, &[]).per_namespace);
    config["sessionTagsPolicy"] = json!("None");
    assert!(!needs(&config, &[]).per_namespace);
}

fn session(opened: &postern_sdk::Session) -> Session {
    let context = Context {
        session: Some(opened.token.clone()),
        ..Context::default()
    };
    Session::of(&context).unwrap()
}

#[test]
fn a_session_holds_the_derived_key_and_not_the_secret() {
    let backend = Backend::new();
    let opened = Aws::open(&backend, &context(&config("SecretsManager"), keys())).unwrap();
    let text = String::from_utf8(opened.token.clone()).unwrap();
    assert!(!text.contains(SECRET) && !text.contains(&SECRET[..20]));
    let got = session(&opened);
    let key = derive(SECRET, "20261127", "eu-central-1", "secretsmanager");
    assert_eq!((got.id.as_str(), got.key), ("AKIDEXAMPLE", hex(&key)));
    assert_eq!(
        got.base,
        "https://secretsmanager.eu-central-1.amazonaws.com"
    );
    // Twelve hours to midnight, and five minutes in which AWS still takes the day's last signature.
    assert_eq!(opened.expires_in_ms, Some((12 * 3600 + 300) * 1000));
    assert_eq!(backend.asked(), Vec::<String>::new());
    assert!(!format!("{opened:?} {:?}", session(&opened)).contains(&hex(&key)));
}

fn credentials_of(action: &str, id: &str, expires: &str) -> String {
    format!(
        "<{action}Response><{action}Result><Credentials><AccessKeyId>{id}</AccessKeyId>\
         <SecretAccessKey>{SECRET}</SecretAccessKey><SessionToken>{TOKEN}</SessionToken>\
         <Expiration>{expires}</Expiration></Credentials></{action}Result></{action}Response>"
    )
}

const IN_AN_HOUR: &str = "2026-11-27T13:00:00Z";

#[test]
fn roles_are_assumed_in_their_order_and_only_the_last_is_told_who_asks() {
    let backend = Backend::new().on(
        "sts.AssumeRole",
        response(200, credentials_of("AssumeRole", "ASIACHAIN", IN_AN_HOUR)),
    );
    let mut config = config("ParameterStore");
    config["additionalRoles"] = json!(["arn:aws:iam::1:role/hop"]);
    config["role"] = json!("arn:aws:iam::2:role/reader");
    config["externalID"] = json!("e x");
    config["sessionTagsPolicy"] = json!("Custom");
    config["customSessionTags"] = json!({"team": "pay"});
    config["transitiveTagKeys"] = json!(["team"]);
    let context = Context {
        namespace: Some("payments".to_owned()),
        options: vec![
            ("store-kind".to_owned(), "ClusterSecretStore".to_owned()),
            ("store-name".to_owned(), "corp".to_owned()),
        ],
        ..context(&config, keys())
    };
    let opened = Aws::open(&backend, &context).unwrap();
    assert_eq!(session(&opened).id, "ASIACHAIN");
    assert_eq!(session(&opened).token.as_deref(), Some(TOKEN));
    assert_eq!(opened.expires_in_ms, Some(3600 * 1000));
    let sent = backend.sent.borrow();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0].url, "https://sts.eu-central-1.amazonaws.com/");
    assert_eq!(
        sent_form(&sent[0])[2..],
        [
            "RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fhop",
            "RoleSessionName=postern-provider-aws"
        ]
    );
    let last = sent_form(&sent[1]);
    for want in [
        "RoleArn=arn%3Aaws%3Aiam%3A%3A2%3Arole%2Freader",
        "ExternalId=e%20x",
        "Tags.member.1.Key=team",
        "Tags.member.1.Value=pay",
        "Tags.member.2.Key=esoNamespace",
        "Tags.member.2.Value=payments",
        "Tags.member.3.Value=ClusterSecretStore",
        "Tags.member.4.Value=corp",
        "TransitiveTagKeys.member.1=team",
    ] {
        assert!(last.contains(&want.to_owned()), "{want} in {last:?}");
    }
    // The second hop is signed with what the first gave.
    assert_eq!(header(&sent[0], "x-amz-security-token"), "");
    assert!(
        header(&sent[1], "authorization")
            .contains("Credential=ASIACHAIN/20261127/eu-central-1/sts/")
    );
    assert_eq!(header(&sent[1], "x-amz-security-token"), TOKEN);
}

fn account(role: Option<&str>) -> (Value, Credential) {
    let mut config = config("SecretsManager");
    config["auth"] = json!({"jwt": {"serviceAccountRef": {"name": "app"}}});
    let mut token = credential("/auth/jwt/serviceAccountRef", "the.web.token");
    token.attributes = role
        .map(|role| {
            (
                "annotation:eks.amazonaws.com/role-arn".to_owned(),
                role.to_owned(),
            )
        })
        .into_iter()
        .collect();
    (config, token)
}

#[test]
fn a_service_account_becomes_the_role_of_its_annotation() {
    let action = "AssumeRoleWithWebIdentity";
    let backend = Backend::new().on(
        "sts.AssumeRoleWithWebIdentity",
        response(200, credentials_of(action, "ASIAWEB", IN_AN_HOUR)),
    );
    let (config, token) = account(Some("arn:aws:iam::1:role/app"));
    let opened = Aws::open(&backend, &context(&config, vec![token])).unwrap();
    assert_eq!(session(&opened).id, "ASIAWEB");
    let sent = backend.sent.borrow();
    assert_eq!(header(&sent[0], "authorization"), "");
    assert_eq!(
        sent_form(&sent[0])[2..],
        [
            "RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fapp",
            "RoleSessionName=external-secrets-provider-aws",
            "WebIdentityToken=the.web.token"
        ]
    );
    let (config, token) = account(None);
    let failure = Aws::open(&Backend::new(), &context(&config, vec![token])).unwrap_err();
    assert_eq!(failure.code, "invalid-config");
    assert!(failure.message.contains("eks.amazonaws.com/role-arn"));
}

#[test]
fn a_login_that_is_refused_says_why_and_shows_no_token() {
    let denied = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>Not authorized to perform sts:AssumeRoleWithWebIdentity with the.web.token</Message></Error></ErrorResponse>";
    let expired = "<ErrorResponse><Error><Code>ExpiredTokenException</Code><Message>Token expired: the.web.token</Message></Error></ErrorResponse>";
    for (body, code) in [
        (denied, "denied"),
        (expired, "unauthenticated"),
        ("<html>", "unavailable"),
    ] {
        let backend = Backend::new().on("sts.AssumeRoleWithWebIdentity", response(403, body));
        let (config, token) = account(Some("arn:aws:iam::1:role/app"));
        let failure = Aws::open(&backend, &context(&config, vec![token])).unwrap_err();
        assert_eq!(failure.code, code, "{failure:?}");
        assert!(
            !format!("{failure:?}").contains("the.web.token"),
            "{failure:?}"
        );
    }
}

#[test]
fn postern_is_who_its_environment_says() {
    let keys = [
        credential(env::KEY_ID, "AKIAPOD"),
        credential(env::SECRET_KEY, SECRET),
        credential(env::SESSION_TOKEN, TOKEN),
    ];
    let opened = Aws::open(&Backend::new(), &context(&ambient(), keys.to_vec())).unwrap();
    assert_eq!(session(&opened).id, "AKIAPOD");

    let action = "AssumeRoleWithWebIdentity";
    let backend = Backend::new().on(
        "sts.AssumeRoleWithWebIdentity",
        response(200, credentials_of(action, "ASIAIRSA", IN_AN_HOUR)),
    );
    let web = [
        credential(env::ROLE, "arn:aws:iam::1:role/postern"),
        credential(env::WEB_IDENTITY, "pod.token\n"),
        credential(env::ROLE_SESSION, "mine"),
    ];
    let opened = Aws::open(&backend, &context(&ambient(), web.to_vec())).unwrap();
    assert_eq!(session(&opened).id, "ASIAIRSA");
    let form = sent_form(&backend.sent.borrow()[0]);
    assert!(
        form.contains(&"WebIdentityToken=pod.token".to_owned()),
        "{form:?}"
    );
    assert!(
        form.contains(&"RoleSessionName=mine".to_owned()),
        "{form:?}"
    );

    let mut unreadable = credential(env::WEB_IDENTITY, "");
    unreadable
        .attributes
        .push(("unreadable".to_owned(), "permission denied".to_owned()));
    let broken = vec![
        credential(env::ROLE, "arn:aws:iam::1:role/postern"),
        unreadable,
    ];
    let failure = Aws::open(&Backend::new(), &context(&ambient(), broken)).unwrap_err();
    assert!(
        failure.message.contains("AWS_WEB_IDENTITY_TOKEN_FILE"),
        "{failure}"
    );
    assert!(failure.message.contains("permission denied"), "{failure}");
}

#[test]
fn the_platform_hands_credentials_to_pods_and_instances() {
    let handed = json!({"Code": "Success", "AccessKeyId": "ASIAPOD", "SecretAccessKey": SECRET,
        "Token": TOKEN, "Expiration": IN_AN_HOUR});
    let backend = Backend::new().on(
        "GET http://169.254.170.23/v1/credentials",
        response(200, &handed),
    );
    let pod = [
        credential(env::CONTAINER_FULL, "http://169.254.170.23/v1/credentials"),
        credential(env::CONTAINER_TOKEN_FILE, "pod.token"),
    ];
    let opened = Aws::open(&backend, &context(&ambient(), pod.to_vec())).unwrap();
    assert_eq!(
        (session(&opened).id.as_str(), opened.expires_in_ms),
        ("ASIAPOD", Some(3_600_000))
    );
    assert_eq!(
        header(&backend.sent.borrow()[0], "authorization"),
        "pod.token"
    );

    let meta = "http://169.254.169.254/latest";
    let roles = format!("{meta}/meta-data/iam/security-credentials/");
    let backend = Backend::new()
        .on(&format!("PUT {meta}/api/token"), response(200, "v2token"))
        .on(&format!("GET {roles}"), response(200, "node\n"))
        .on(&format!("GET {roles}node"), response(200, &handed));
    let opened = Aws::open(&backend, &context(&ambient(), Vec::new())).unwrap();
    assert_eq!(session(&opened).id, "ASIAPOD");
    assert_eq!(
        header(&backend.sent.borrow()[2], "x-aws-ec2-metadata-token"),
        "v2token"
    );

    let bare = Backend::new()
        .on(&format!("PUT {meta}/api/token"), response(200, "v2token"))
        .on(&format!("GET {roles}"), response(404, ""));
    let failure = Aws::open(&bare, &context(&ambient(), Vec::new())).unwrap_err();
    assert_eq!(failure.code, "invalid-config", "{failure}");
    let off = vec![credential(env::METADATA_OFF, "true")];
    let failure = Aws::open(&Backend::new(), &context(&ambient(), off)).unwrap_err();
    assert_eq!(failure.code, "invalid-config", "{failure}");
}

#[test]
fn a_clock_that_is_wrong_is_corrected_by_the_answer() {
    let backend = Backend::new().with("sts.AssumeRole", |request| {
        if header(request, "x-amz-date") == "20261128T001000Z" {
            let keys = credentials_of("AssumeRole", "ASIALATE", "2026-11-28T01:10:00Z");
            return response(200, keys);
        }
        let mut late = response(403, "<E><Code>SignatureDoesNotMatch</Code><Message>Signature expired: 1 is now earlier than 2</Message></E>");
        late.headers.push(("date".to_owned(), "Sat, 28 Nov 2026 00:10:00 GMT".to_owned()));
        late
    });
    let mut config = config("SecretsManager");
    config["role"] = json!("arn:aws:iam::1:role/r");
    let opened = Aws::open(&backend, &context(&config, keys())).unwrap();
    let got = session(&opened);
    assert_eq!(got.skew, 12 * 3600 + 600);
    assert_eq!(
        got.key,
        hex(&derive(
            SECRET,
            "20261128",
            "eu-central-1",
            "secretsmanager"
        ))
    );
    assert_eq!(opened.expires_in_ms, Some(3_600_000));
    assert_eq!(backend.sent.borrow().len(), 2);
}

#[test]
fn a_probe_asks_whose_the_keys_are_and_blames_nobody_where_it_cannot() {
    let probe = |answer| {
        let backend = Backend::new().on("sts.GetCallerIdentity", answer);
        Aws::probe(&backend, &context(&config("SecretsManager"), keys())).map_err(|f| f.code)
    };
    assert_eq!(probe(response(200, "<GetCallerIdentityResponse/>")), Ok(()));
    let wrong = "<E><Code>InvalidClientTokenId</Code><Message>no</Message></E>";
    assert_eq!(
        probe(response(403, wrong)),
        Err("unauthenticated".to_owned())
    );
    assert_eq!(probe(response(503, "")), Ok(()));
}
