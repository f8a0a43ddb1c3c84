//! The provider aws through the binary: what its page shows, and Postern's own identity out of its environment.

use postern_test_kit::aws::{Aws, REGION};
use serde_json::{Value, json};

use crate::common::{Place, root};

/// The blocks of a language on the provider's page.
fn blocks(language: &str) -> Vec<String> {
    let page = std::fs::read_to_string(root().join("docs/providers/aws.md")).unwrap();
    let begin = format!("```{language}\n");
    let blocks = page.split(&begin).skip(1);
    blocks
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

/// A secret with two versions.
fn account() -> Aws {
    let aws = Aws::start().unwrap();
    let ask = |operation: &str, body: Value| aws.json("secretsmanager", operation, &body).unwrap();
    let value =
        |password: &str| json!({"password": password, "settings": {"port": 5432}}).to_string();
    ask(
        "CreateSecret",
        json!({"Name": "team-a/database", "SecretString": value("first")}),
    );
    ask(
        "PutSecretValue",
        json!({"SecretId": "team-a/database", "SecretString": value("second")}),
    );
    aws
}

#[test]
fn the_page_of_the_provider_aws_is_true() {
    let aws = account();
    let yaml = blocks("yaml");
    let (at, url) = (format!("region: {REGION}\n"), aws.url());
    let with_endpoints =
        format!("{at}      endpoints: {{secretsManager: \"{url}\", sts: \"{url}\"}}\n");
    let place = Place::with(&[("page.yaml", &yaml[0].replacen(&at, &with_endpoints, 1))]);
    let ran = place.sync(&["--to", "out", "--as", "files"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let read = |key: &str| std::fs::read_to_string(place.path("out/team-a/app").join(key)).unwrap();
    assert_eq!(
        ["password", "port", "before"].map(read),
        ["second", "5432", "first"]
    );
    for stream in [&ran.out, &ran.err] {
        assert!(!stream.contains("EXAMPLEKEY"), "{stream}");
    }
    let policy: Value = serde_json::from_str(&blocks("json")[0]).unwrap();
    assert_eq!(policy["Statement"].as_array().unwrap().len(), 2);
}

/// Accounts have tokens in a cluster only; everything else of the store is taken.
#[test]
fn the_store_by_role_on_the_page_lacks_nothing_but_a_cluster() {
    let external = "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {name: app, namespace: team-a}\n\
        spec: {secretStoreRef: {name: by-role}, data: [{secretKey: p, remoteRef: {key: /p}}]}\n";
    let place = Place::with(&[
        ("store.yaml", &blocks("yaml")[1]),
        ("external.yaml", external),
    ]);
    let ran = place.sync(&["--to", "out"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("ServiceAccount"), "{}", ran.err);
}

#[test]
fn postern_asks_as_itself_with_the_flag_only() {
    let aws = account();
    let key = aws
        .user("postern", &json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}))
        .unwrap();
    aws.enforce(true).unwrap();
    let manifests = "apiVersion: external-secrets.io/v1\nkind: SecretStore\nmetadata: {name: aws}\n\
        spec: {provider: {aws: {service: SecretsManager, region: eu-central-1}}}\n---\n\
        apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {name: app}\n\
        spec: {secretStoreRef: {name: aws}, data: [{secretKey: p, remoteRef: {key: team-a/database, property: password}}]}\n";
    let place = Place::with(&[("all.yaml", manifests)]);
    let sync = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        command
            .env("AWS_ACCESS_KEY_ID", &key.id)
            .env("AWS_SECRET_ACCESS_KEY", &key.secret)
            .env("AWS_SECRETSMANAGER_ENDPOINT", aws.url());
        crate::common::Ran::from(command.output().unwrap())
    };
    let closed = sync(&["--to", "out"]);
    assert_eq!(closed.code, Some(1), "{closed:?}");
    assert!(closed.err.contains("--ambient-identity"), "{}", closed.err);
    assert_eq!(aws.asked(), Vec::<String>::new());
    let open = sync(&[
        "--to",
        "out",
        "--as",
        "files",
        "--ambient-identity",
        "--log-level",
        "debug",
    ]);
    assert_eq!(open.code, Some(0), "{open:?}");
    let read = std::fs::read_to_string(place.path("out/default/app/p")).unwrap();
    assert_eq!(read, "second");
    for stream in [&open.out, &open.err] {
        assert!(!stream.contains(&key.secret), "{stream}");
    }
}
