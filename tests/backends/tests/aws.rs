//! The provider aws as a component, through the network door, against a server of moto that checks signatures and permissions.
//! Every login and read is signed; what a user may read is decided by the policies that moto keeps.

#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::collections::BTreeSet;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postern_backend_tests::table::{self, Asker, Backend};
use postern_backend_tests::{Bench, failure, request, value};
use postern_core::failure::Code;
use postern_core::plugin::{Credential, PluginHost as _, Request};
use postern_test_kit::aws::{AccessKey, Aws, REGION, Refusal};
use serde_json::{Value, json};

/// A request of a whole object.
fn whole(key: &str) -> Request {
    request(key, None)
}

struct Account {
    aws: Aws,
    service: &'static str,
    key: AccessKey,
    made: Mutex<BTreeSet<String>>,
    role: Vec<String>,
}

fn may_read() -> Value {
    json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": "*", "Action": [
        "secretsmanager:GetSecretValue", "secretsmanager:BatchGetSecretValue",
        "secretsmanager:DescribeSecret", "secretsmanager:ListSecrets",
        "ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath",
        "ssm:DescribeParameters", "ssm:ListTagsForResource",
    ]}]})
}

fn may_assume() -> Value {
    json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": "*", "Action": "sts:AssumeRole"}]})
}

impl Account {
    fn start(service: &'static str) -> Self {
        Self::with(service, &may_read())
    }

    fn with(service: &'static str, policy: &Value) -> Self {
        let aws = Aws::start().unwrap();
        let key = aws.user("reader", policy).unwrap();
        Self {
            aws,
            service,
            key,
            made: Mutex::default(),
            role: Vec::new(),
        }
    }

    fn is_secrets(&self) -> bool {
        self.service == "SecretsManager"
    }

    fn refuse(&self, refusal: &Refusal) {
        for operation in [
            "GetSecretValue",
            "BatchGetSecretValue",
            "DescribeSecret",
            "GetParameter",
            "GetParameters",
        ] {
            self.aws.refuse(operation, refusal.clone());
        }
    }

    /// Makes something with moto's checks off, and switches them on again.
    fn unchecked<T>(&self, make: impl FnOnce(&Aws) -> T) -> T {
        self.aws.enforce(false).unwrap();
        let made = make(&self.aws);
        self.aws.enforce(true).unwrap();
        made
    }
}

fn credential(pointer: &str, value: &str) -> Credential {
    Credential {
        pointer: pointer.into(),
        value: value.into(),
        attributes: Vec::new(),
    }
}

impl Backend for Account {
    fn config(&self) -> String {
        let mut config = json!({
            "service": self.service,
            "region": REGION,
            "endpoints": {"secretsManager": self.aws.url(), "parameterStore": self.aws.url(), "sts": self.aws.url()},
            "auth": {"secretRef": {
                "accessKeyIDSecretRef": {"name": "aws", "key": "id"},
                "secretAccessKeySecretRef": {"name": "aws", "key": "secret"},
            }},
        });
        if let Some((last, hops)) = self.role.split_last() {
            config["role"] = json!(last);
            config["additionalRoles"] = json!(hops);
        }
        config.to_string()
    }

    fn credentials(&self) -> Vec<Credential> {
        vec![
            credential("/auth/secretRef/accessKeyIDSecretRef", &self.key.id),
            credential("/auth/secretRef/secretAccessKeySecretRef", &self.key.secret),
        ]
    }

    fn put(&self, key: &str, value: &[u8]) {
        let is_new = self.made.lock().unwrap().insert(key.to_owned());
        self.unchecked(|aws| {
            let text = std::str::from_utf8(value);
            if !self.is_secrets() {
                let body = json!({"Name": key, "Value": text.unwrap(), "Type": "SecureString", "Overwrite": !is_new});
                aws.json("ssm", "PutParameter", &body).unwrap();
                return;
            }
            let (id, operation) = if is_new { ("Name", "CreateSecret") } else { ("SecretId", "PutSecretValue") };
            let body = match text {
                Ok(text) => json!({id: key, "SecretString": text}),
                Err(_) => json!({id: key, "SecretBinary": STANDARD.encode(value)}),
            };
            aws.json("secretsmanager", operation, &body).unwrap();
        });
    }

    fn version(&self, key: &str) -> String {
        self.unchecked(|aws| {
            if !self.is_secrets() {
                let got = aws
                    .json("ssm", "GetParameter", &json!({"Name": key}))
                    .unwrap();
                return got["Parameter"]["Version"].to_string();
            }
            let got = aws
                .json(
                    "secretsmanager",
                    "GetSecretValue",
                    &json!({"SecretId": key}),
                )
                .unwrap();
            format!("uuid/{}", got["VersionId"].as_str().unwrap())
        })
    }

    /// moto asks its policies about operations and not about objects, so the gate speaks for one object, in AWS's words.
    fn deny(&self, key: &str) {
        let refuse = |operation: &str, action: &str| {
            let refusal = Refusal {
                status: 400,
                name: "AccessDeniedException".to_owned(),
                words: format!(
                    "User: arn:aws:iam::123456789012:user/reader is not authorized to perform: {action} on resource: {key} because no identity-based policy allows the {action} action"
                ),
                retry_after: None,
            };
            self.aws.refuse(operation, refusal);
        };
        if self.is_secrets() {
            refuse(
                &format!("GetSecretValue {key}"),
                "secretsmanager:GetSecretValue",
            );
            refuse("BatchGetSecretValue", "secretsmanager:BatchGetSecretValue");
        } else {
            refuse(&format!("GetParameter {key}"), "ssm:GetParameter");
            refuse("GetParameters", "ssm:GetParameters");
        }
    }

    fn permission(&self) -> &'static str {
        if self.is_secrets() {
            "allow secretsmanager:GetSecretValue on closed"
        } else {
            "allow ssm:GetParameter on closed"
        }
    }

    fn throttle(&self, seconds: u64) {
        self.refuse(&Refusal {
            status: 400,
            name: "ThrottlingException".to_owned(),
            words: "Rate exceeded".to_owned(),
            retry_after: Some(seconds),
        });
    }

    fn fail(&self) {
        self.refuse(&Refusal {
            status: 503,
            name: "ServiceUnavailableException".to_owned(),
            words: String::new(),
            retry_after: None,
        });
    }

    fn recover(&self) {
        self.aws.recover();
    }

    fn cannot(&self, row: &str) -> Option<&'static str> {
        (row == "binary" && !self.is_secrets()).then_some("a parameter is a text")
    }
}

async fn bench() -> Bench {
    Bench::load(&["aws"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_manager_behaves_as_every_backend() {
    let account = Account::start("SecretsManager");
    account.aws.enforce(true).unwrap();
    table::play(&bench().await, &account, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parameter_store_behaves_as_every_backend() {
    let account = Account::start("ParameterStore");
    account.aws.enforce(true).unwrap();
    table::play(&bench().await, &account, &["binary"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_are_checked_and_a_wrong_key_is_told_from_a_missing_permission() {
    let mut account = Account::with("SecretsManager", &may_assume());
    account.put("a", b"v");
    let bench = bench().await;
    let denied = Asker::new(&bench, &account).await.read(whole("a")).await;
    assert_eq!(failure(&denied).code, Code::Denied);
    assert!(
        failure(&denied)
            .public
            .contains("secretsmanager:GetSecretValue"),
        "{denied:?}"
    );
    account.key.secret.push('x');
    let wrong = Asker::new(&bench, &account).await.read(whole("a")).await;
    assert_eq!(failure(&wrong).code, Code::Unauthenticated);
    let call = table::call(&bench, &account.config(), account.credentials()).await;
    let probed = bench.runtime.probe(&call).await.unwrap_err();
    assert_eq!(probed.code, Code::Unauthenticated);
    assert!(!format!("{probed:?}{wrong:?}").contains(&account.key.secret));
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_assumed_in_a_chain() {
    let mut account = Account::with("ParameterStore", &may_assume());
    let hop = account.aws.role("hop", &may_assume()).unwrap();
    let reader = account.aws.role("target", &may_read()).unwrap();
    account.put("/a", b"v");
    let bench = bench().await;
    account.role = vec![hop, reader];
    assert_eq!(
        value(&Asker::new(&bench, &account).await.read(whole("/a")).await),
        "v"
    );
    account.role.pop();
    let denied = Asker::new(&bench, &account).await.read(whole("/a")).await;
    assert_eq!(failure(&denied).code, Code::Denied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_reads_as_its_role() {
    let account = Account::start("SecretsManager");
    let role = account.aws.role("app", &may_read()).unwrap();
    account.put("a", b"v");
    let mut config: Value = serde_json::from_str(&account.config()).unwrap();
    config["auth"] = json!({"jwt": {"serviceAccountRef": {"name": "app"}}});
    let mut token = credential("/auth/jwt/serviceAccountRef", "web.identity.token");
    token.attributes = vec![("annotation:eks.amazonaws.com/role-arn".into(), role)];
    let bench = bench().await;
    let mut call = table::call(&bench, &config.to_string(), vec![token]).await;
    // moto wants a signature also where AWS takes none, so the login comes before its checks, and the read after them.
    account.aws.enforce(false).unwrap();
    let session = bench.runtime.login(&call).await.unwrap();
    account.aws.enforce(true).unwrap();
    call.session = Some(session.token);
    call.credentials.clear();
    let outcomes = bench.runtime.read(&call, &[whole("a")]).await.unwrap();
    assert_eq!(value(&outcomes[0]), "v");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_costs_what_the_documents_say() {
    let account = Account::start("SecretsManager");
    let keys: Vec<String> = (0..20).map(|n| format!("k{n}")).collect();
    for key in &keys {
        account.put(key, b"v");
    }
    let bench = bench().await;
    let asker = Asker::new(&bench, &account).await;
    let requests: Vec<Request> = keys.iter().map(|key| whole(key)).collect();
    account.aws.asked();
    let outcomes = asker.read_all(&requests).await;
    assert!(outcomes.iter().all(|o| value(o) == "v"));
    assert_eq!(account.aws.asked(), ["BatchGetSecretValue"]);
    let known = Request {
        known: outcomes[0].tag.clone(),
        ..whole("k0")
    };
    asker.read(known).await;
    assert_eq!(account.aws.asked(), ["DescribeSecret"]);
}
