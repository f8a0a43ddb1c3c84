//! What a store may say, and what it needs.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod desk;

use desk::{credential, key_file};
use postern_plugin_gcpsm::Gcpsm;
use postern_plugin_gcpsm::config::{EXTERNAL, FEDERATED, KEY, WORKLOAD};
use postern_sdk::{Credential, Needs, Problem, Provider, Reference};
use serde_json::{Value, json};

fn examine(config: &Value, credentials: &[Credential]) -> Result<Needs, Vec<Problem>> {
    Gcpsm::examine(&config.to_string(), credentials, &Vec::new())
}

fn origins(needs: &Needs) -> Vec<&str> {
    needs.endpoints.iter().map(|e| e.origin.as_str()).collect()
}

fn pointers(config: &Value, credentials: &[Credential]) -> Vec<String> {
    let problems = examine(config, credentials).unwrap_err();
    problems.into_iter().map(|p| p.pointer).collect()
}

fn by_key() -> Value {
    json!({"projectID": "p", "auth": {"secretRef": {"secretAccessKeySecretRef": {"name": "gcp", "key": "key.json"}}}})
}

const GOOGLE: &str = "https://oauth2.googleapis.com/token";

#[test]
fn a_key_leads_to_secret_manager_and_to_googles_token_endpoint() {
    let needs = examine(&by_key(), &[]).unwrap();
    assert_eq!(needs.references, [Reference::at(KEY)]);
    assert_eq!(origins(&needs), ["https://secretmanager.googleapis.com"]);
    let key = credential(KEY, &key_file(GOOGLE), &[]);
    let needs = examine(&by_key(), &[key]).unwrap();
    let want = [
        "https://oauth2.googleapis.com",
        "https://secretmanager.googleapis.com",
    ];
    assert_eq!(origins(&needs), want);
    assert!(!needs.per_namespace);
}

#[test]
fn a_location_has_a_server_of_its_own() {
    let mut config = by_key();
    config["location"] = json!("europe-west1");
    let needs = examine(&config, &[]).unwrap();
    assert_eq!(
        origins(&needs),
        ["https://secretmanager.europe-west1.rep.googleapis.com"]
    );
    for (field, value) in [
        ("location", "evil.com/"),
        ("location", "a.b"),
        ("projectID", "p/secrets/x"),
    ] {
        let mut config = by_key();
        config[field] = json!(value);
        assert_eq!(pointers(&config, &[]), [format!("/{field}")]);
    }
}

#[test]
fn a_key_may_not_say_where_its_assertion_goes() {
    for foreign in [
        "https://evil.example/token",
        "http://oauth2.googleapis.com/token",
        "https://evil.example/.googleapis.com",
        "https://oauth2.googleapis.com:444/token",
        "https://x@oauth2.googleapis.com/token",
    ] {
        let key = credential(KEY, &key_file(foreign), &[]);
        assert_eq!(pointers(&by_key(), &[key]), [KEY], "{foreign}");
    }
    for googles in [
        "https://accounts.google.com/o/oauth2/token",
        "https://www.googleapis.com/oauth2/v4/token",
    ] {
        let key = credential(KEY, &key_file(googles), &[]);
        assert!(examine(&by_key(), &[key]).is_ok(), "{googles}");
    }
    let mut config = by_key();
    config["endpoints"] =
        json!({"oauth2": "https://oauth2.corp", "secretManager": "https://sm.corp"});
    let key = credential(KEY, &key_file("https://universe.example/token"), &[]);
    assert_eq!(
        origins(&examine(&config, &[key]).unwrap()),
        ["https://oauth2.corp", "https://sm.corp"]
    );
}

#[test]
fn what_is_no_key_is_told_without_a_word_of_it() {
    for text in [
        "hunter2",
        r#"{"type": "authorized_user", "refresh_token": "hunter2"}"#,
        r#"{"type": "service_account", "private_key": "hunter2"}"#,
    ] {
        let problems = examine(&by_key(), &[credential(KEY, text, &[])]).unwrap_err();
        assert_eq!(problems[0].pointer, KEY);
        assert!(!format!("{problems:?}").contains("hunter2"), "{problems:?}");
    }
    let without_project = json!({"auth": by_key()["auth"].clone()});
    assert_eq!(pointers(&without_project, &[]), ["/projectID"]);
}

fn workload() -> Value {
    json!({"projectID": "p", "auth": {"workloadIdentity": {"serviceAccountRef": {"name": "reader"},
        "clusterLocation": "europe-west1", "clusterName": "c"}}})
}

#[test]
fn a_workload_of_gke_takes_a_token_for_the_pool_of_its_cluster() {
    let needs = examine(&workload(), &[]).unwrap();
    let want = Reference {
        audiences: vec!["p.svc.id.goog".to_owned()],
        expires_in_s: Some(900),
        ..Reference::at(WORKLOAD)
    };
    assert_eq!(needs.references, [want]);
    assert_eq!(
        origins(&needs),
        [
            "https://secretmanager.googleapis.com",
            "https://securetoken.googleapis.com"
        ]
    );
    let acting = credential(
        WORKLOAD,
        "jwt",
        &[(
            "annotation:iam.gke.io/gcp-service-account",
            "r@p.iam.gserviceaccount.com",
        )],
    );
    let needs = examine(&workload(), &[acting]).unwrap();
    assert_eq!(origins(&needs)[0], "https://iamcredentials.googleapis.com");

    let mut config = workload();
    config["auth"]["workloadIdentity"]["clusterProjectID"] = json!("other");
    config["auth"]["workloadIdentity"]["clusterName"] = json!("");
    let needs = examine(&config, &[]).unwrap();
    assert_eq!(needs.references[0].audiences, ["other.svc.id.goog"]);
    assert!(origins(&needs).contains(&"http://169.254.169.254"));
    let config = json!({"auth": {"workloadIdentity": {"serviceAccountRef": {"name": "reader"}}}});
    assert_eq!(
        pointers(&config, &[]),
        ["/auth/workloadIdentity/clusterProjectID"]
    );
}

fn federated(fields: Value) -> Value {
    json!({"projectID": "p", "auth": {"workloadIdentityFederation": fields}})
}

#[test]
fn a_federated_identity_has_one_source_and_its_audience() {
    let account = json!({"serviceAccountRef": {"name": "reader", "audiences": ["a"]}, "audience": "//iam.googleapis.com/x"});
    let needs = examine(&federated(account.clone()), &[]).unwrap();
    assert_eq!(needs.references[0].pointer, FEDERATED);
    assert_eq!(
        origins(&needs),
        [
            "https://secretmanager.googleapis.com",
            "https://sts.googleapis.com"
        ]
    );
    let mut acting = account;
    acting["gcpServiceAccountEmail"] = json!("r@p.iam.gserviceaccount.com");
    let needs = examine(&federated(acting), &[]).unwrap();
    assert!(origins(&needs).contains(&"https://iamcredentials.googleapis.com"));

    let at = "/auth/workloadIdentityFederation";
    for (fields, problems) in [
        (json!({}), vec![at.to_owned(), format!("{at}/audience")]),
        (
            json!({"serviceAccountRef": {"name": "a"}}),
            vec![format!("{at}/audience")],
        ),
        (
            json!({"serviceAccountRef": {"name": "a"}, "credConfig": {"name": "c", "key": "k"}, "audience": "x"}),
            vec![at.to_owned()],
        ),
        (
            json!({"awsSecurityCredentials": {"region": "x", "awsCredentialsSecretRef": {"name": "a"}}, "audience": "x"}),
            vec![format!("{at}/awsSecurityCredentials")],
        ),
    ] {
        assert_eq!(
            pointers(&federated(fields.clone()), &[]),
            problems,
            "{fields}"
        );
    }
}

#[test]
fn an_external_account_leads_nowhere_that_the_store_does_not_name() {
    let store = federated(
        json!({"credConfig": {"name": "c", "key": "k"}, "externalTokenEndpoint": "https://tokens.corp/get"}),
    );
    let good = json!({
        "type": "external_account", "audience": "//iam.googleapis.com/x", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.googleapis.com/v1/token",
        "service_account_impersonation_url": "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/r@p.iam.gserviceaccount.com:generateAccessToken",
        "credential_source": {"url": "https://tokens.corp/get", "format": {"type": "json", "subject_token_field_name": "id_token"}},
    });
    let with = |json: &Value| examine(&store, &[credential(EXTERNAL, &json.to_string(), &[])]);
    let needs = with(&good).unwrap();
    let want = [
        "https://iamcredentials.googleapis.com",
        "https://secretmanager.googleapis.com",
        "https://sts.googleapis.com",
        "https://tokens.corp",
    ];
    assert_eq!(origins(&needs), want);
    for (pointer, value) in [
        ("/type", json!("service_account")),
        ("/token_url", json!("https://sts.evil/v1/token")),
        (
            "/service_account_impersonation_url",
            json!("https://evil/v1/projects/-/serviceAccounts/r@p:generateAccessToken"),
        ),
        (
            "/service_account_impersonation_url",
            json!(
                "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/../x@y:generateAccessToken"
            ),
        ),
        ("/credential_source/url", json!("https://evil/get")),
        ("/credential_source/format/type", json!("xml")),
        (
            "/credential_source",
            json!({"file": "/var/run/secrets/kubernetes.io/serviceaccount/token"}),
        ),
        (
            "/credential_source",
            json!({"executable": {"command": "id"}, "url": "https://tokens.corp/get"}),
        ),
        (
            "/credential_source",
            json!({"environment_id": "aws1", "url": "https://tokens.corp/get"}),
        ),
    ] {
        let mut wrong = good.clone();
        *wrong.pointer_mut(pointer).unwrap() = value.clone();
        let problems = with(&wrong).unwrap_err();
        assert_eq!(problems[0].pointer, EXTERNAL, "{pointer} {value}");
    }
}

#[test]
fn the_operators_own_token_goes_to_google_alone() {
    let own = json!({"projectID": "p"});
    let needs = examine(&own, &[]).unwrap();
    assert_eq!(needs.references, []);
    assert_eq!(
        origins(&needs),
        [
            "http://169.254.169.254",
            "https://secretmanager.googleapis.com"
        ]
    );
    for foreign in [
        "https://evil.example",
        "http://secretmanager.googleapis.com",
        "https://evil/secretmanager.googleapis.com",
    ] {
        let config = json!({"projectID": "p", "endpoints": {"secretManager": foreign}});
        assert_eq!(
            pointers(&config, &[]),
            ["/endpoints/secretManager"],
            "{foreign}"
        );
    }
    for open in [
        json!({"endpoints": {"secretManager": "https://secretmanager-psc.p.googleapis.com"}}),
        json!({"endpoints": {"secretManager": "https://emulator", "metadata": "https://emulator"}}),
    ] {
        assert!(examine(&open, &[]).is_ok(), "{open}");
    }
}
