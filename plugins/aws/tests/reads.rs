//! What is read, how many calls that takes, and what AWS's refusals become. The bodies of refusals are those that AWS documents.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;

use common::*;
use postern_plugin_aws::Aws;
use postern_sdk::{Answer, Find, HttpResponse, Outcome, Page, Pick, Provider, Query, Request};
use serde_json::{Value, json};

const SM: &str = "secretsmanager.";
const SSM: &str = "AmazonSSM.";

fn op(service: &str, name: &str) -> String {
    format!("{service}{name}")
}

fn arn(name: &str) -> String {
    format!("arn:aws:secretsmanager:eu-central-1:1:secret:{name}-AbCdEf")
}

fn secret(name: &str, version: &str, value: &str) -> Value {
    json!({"ARN": arn(name), "Name": name, "VersionId": version, "SecretString": value, "VersionStages": ["AWSCURRENT"]})
}

fn read(backend: &Backend, requests: &[Request]) -> Vec<Outcome> {
    Aws::get_batch(backend, &reading(&config("SecretsManager")), requests)
}

fn parameters(backend: &Backend, requests: &[Request]) -> Vec<Outcome> {
    Aws::get_batch(backend, &reading(&config("ParameterStore")), requests)
}

fn known(key: &str, tag: &Option<String>) -> Request {
    Request {
        known: tag.clone(),
        ..whole(key)
    }
}

fn denied(action: &str, resource: &str) -> HttpResponse {
    refusal(
        "AccessDeniedException",
        &format!(
            "User: arn:aws:sts::1:assumed-role/reader/s is not authorized to perform: {action} on resource: {resource} because no identity-based policy allows the {action} action"
        ),
    )
}

#[test]
fn keys_that_are_due_together_are_one_call_and_each_has_its_own_outcome() {
    let answer = json!({
        "SecretValues": [secret("b", "v1", "vb"), secret("a", "v1", "va")],
        "Errors": [
            {"SecretId": "gone", "ErrorCode": "ResourceNotFoundException", "Message": "Secrets Manager can't find the specified secret."},
            {"SecretId": "doomed", "ErrorCode": "InvalidRequestException", "Message": "You can't perform this operation on the secret because it was marked for deletion."},
            {"SecretId": "closed", "ErrorCode": "AccessDeniedException", "Message": "User: arn:aws:sts::1:assumed-role/reader/s is not authorized to perform: secretsmanager:GetSecretValue on resource: closed because no identity-based policy allows the secretsmanager:GetSecretValue action"},
            {"SecretId": "locked", "ErrorCode": "DecryptionFailure", "Message": "x"},
        ],
    });
    let backend = Backend::new().on(&op(SM, "BatchGetSecretValue"), response(200, answer));
    let by_arn = arn("b");
    let keys = ["a", by_arn.as_str(), "gone", "doomed", "closed", "locked"];
    let outcomes = read(&backend, &keys.map(whole));
    assert_eq!(backend.asked(), [op(SM, "BatchGetSecretValue")]);
    assert_eq!(
        (value(&outcomes[0]), value(&outcomes[1])),
        ("va".to_owned(), "vb".to_owned())
    );
    let codes: Vec<&str> = outcomes[2..]
        .iter()
        .map(|o| failure(o).code.as_str())
        .collect();
    assert_eq!(codes, ["absent", "absent", "denied", "denied"]);
    assert_eq!(
        failure(&outcomes[4]).message,
        "AWS denies secret \"closed\" to arn:aws:sts::1:assumed-role/reader/s: allow secretsmanager:GetSecretValue on closed (no identity-based policy allows it)"
    );
    assert!(failure(&outcomes[5]).message.contains("kms:Decrypt"));
}

#[test]
fn forty_keys_are_two_calls() {
    let backend = Backend::new().with(&op(SM, "BatchGetSecretValue"), |request| {
        let ids = sent_body(request)["SecretIdList"]
            .as_array()
            .unwrap()
            .clone();
        let all: Vec<Value> = ids
            .iter()
            .map(|id| secret(id.as_str().unwrap(), "v", "x"))
            .collect();
        response(200, json!({"SecretValues": all}))
    });
    let requests: Vec<Request> = (0..40).map(|n| whole(&format!("k{n}"))).collect();
    let outcomes = read(&backend, &requests);
    assert_eq!(backend.asked().len(), 2);
    assert!(outcomes.iter().all(|o| value(o) == "x"));
}

#[test]
fn what_a_batch_leaves_open_is_asked_for_by_itself() {
    let single = |backend: Backend| {
        backend.with(&op(SM, "GetSecretValue"), |request| {
            let id = sent_body(request)["SecretId"].as_str().unwrap().to_owned();
            response(200, secret(&id, "v", &format!("v-{id}")))
        })
    };
    // A page that ends early, and a policy that allows no batches.
    let short = json!({"SecretValues": [secret("a", "v", "v-a")], "NextToken": "more"});
    let table = [
        (response(200, short), 2),
        (denied("secretsmanager:BatchGetSecretValue", "*"), 3),
        (
            refusal("InvalidParameterException", "one name is too long"),
            3,
        ),
    ];
    for (answer, calls) in table {
        let backend = single(Backend::new().on(&op(SM, "BatchGetSecretValue"), answer));
        let outcomes = read(&backend, &[whole("a"), whole("b")]);
        assert_eq!(
            (value(&outcomes[0]), value(&outcomes[1])),
            ("v-a".to_owned(), "v-b".to_owned())
        );
        assert_eq!(backend.asked().len(), calls);
    }
    // An outage is everybody's, and nobody asks again.
    for (answer, code) in [
        (
            refusal("ThrottlingException", "Rate exceeded"),
            "rate-limited",
        ),
        (
            refusal("ExpiredTokenException", "expired"),
            "unauthenticated",
        ),
        (response(503, ""), "unavailable"),
    ] {
        let backend = single(Backend::new().on(&op(SM, "BatchGetSecretValue"), answer));
        let outcomes = read(&backend, &[whole("a"), whole("b")]);
        assert!(
            outcomes.iter().all(|o| failure(o).code == code),
            "{outcomes:?}"
        );
        assert_eq!(backend.asked().len(), 1);
    }
}

#[test]
fn an_unchanged_secret_that_is_alone_costs_no_value() {
    let described = |version: &str| {
        response(
            200,
            json!({"ARN": arn("a"), "VersionIdsToStages": {"old": ["AWSPREVIOUS"], version: ["AWSCURRENT"]}}),
        )
    };
    let first = Backend::new().on(
        &op(SM, "GetSecretValue"),
        response(200, secret("a", "v1", "x")),
    );
    let tag = read(&first, &[whole("a")])[0].tag.clone();
    let same = Backend::new().on(&op(SM, "DescribeSecret"), described("v1"));
    let outcome = read(&same, &[known("a", &tag)]).remove(0);
    assert_eq!((outcome.answer, &outcome.tag), (Answer::Unchanged, &tag));
    let rotated = Backend::new()
        .on(&op(SM, "DescribeSecret"), described("v2"))
        .on(
            &op(SM, "GetSecretValue"),
            response(200, secret("a", "v2", "y")),
        );
    let outcome = read(&rotated, &[known("a", &tag)]).remove(0);
    assert_eq!(value(&outcome), "y");
    assert_ne!(outcome.tag, tag);
}

#[test]
fn a_refused_check_costs_one_call_a_day() {
    let backend = Backend::new()
        .on(
            &op(SM, "DescribeSecret"),
            denied("secretsmanager:DescribeSecret", "a"),
        )
        .on(
            &op(SM, "GetSecretValue"),
            response(200, secret("a", "v1", "x")),
        );
    let next = |tag: &Option<String>| {
        backend.sent.borrow_mut().clear();
        let outcome = read(&backend, &[known("a", tag)]).remove(0);
        (
            outcome.answer == Answer::Unchanged,
            outcome.tag,
            backend.asked().len(),
        )
    };
    let tag = read(&backend, &[whole("a")])[0].tag.clone();
    let (unchanged, tag, calls) = next(&tag);
    assert!(unchanged && calls == 2);
    for _ in 0..2 {
        assert_eq!(next(&tag), (true, tag.clone(), 1));
    }
    backend.now.set(noon() + 86_400);
    assert_eq!(next(&tag).2, 2);
}

/// A secret that was deleted and made anew may have a version of the same id: whoever writes it chooses the id.
#[test]
fn a_secret_that_was_made_anew_is_changed() {
    let first = Backend::new().on(
        &op(SM, "GetSecretValue"),
        response(200, secret("a", "v1", "x")),
    );
    let tag = read(&first, &[whole("a")])[0].tag.clone();
    let other = arn("a").replace("AbCdEf", "GhIjKl");
    let mut entry = secret("a", "v1", "y");
    entry["ARN"] = json!(other);
    let backend = Backend::new()
        .on(
            &op(SM, "DescribeSecret"),
            response(
                200,
                json!({"ARN": other, "VersionIdsToStages": {"v1": ["AWSCURRENT"]}}),
            ),
        )
        .on(&op(SM, "GetSecretValue"), response(200, entry));
    assert_eq!(value(&read(&backend, &[known("a", &tag)])[0]), "y");
}

#[test]
fn versions_metadata_and_properties_are_taken_as_asked() {
    let backend = Backend::new()
        .with(&op(SM, "GetSecretValue"), |request| {
            let body = sent_body(request);
            let shown = body["VersionId"]
                .as_str()
                .or(body["VersionStage"].as_str())
                .unwrap();
            response(
                200,
                secret(
                    "a",
                    shown,
                    &json!({"v": shown, "a.b": 1, "n": {"k": "<"}}).to_string(),
                ),
            )
        })
        .on(
            &op(SM, "DescribeSecret"),
            response(
                200,
                json!({"Tags": [{"Key": "team", "Value": "pay"}, {"Key": "b"}]}),
            ),
        );
    let version = |version: &str, property: &str, members| Request {
        version: Some(version.to_owned()),
        picks: vec![Pick {
            property: Some(property.to_owned()),
            members,
        }],
        ..whole("a")
    };
    let tags = Request {
        metadata: true,
        ..whole("a")
    };
    let requests = [
        version("AWSPREVIOUS", "v", false),
        version("uuid/0123", "v", false),
        version("AWSPENDING", "a.b", false),
        tags,
        version("x", "nope", false),
    ];
    let outcomes = read(&backend, &requests);
    let values: Vec<String> = outcomes[..4].iter().map(value).collect();
    assert_eq!(
        values,
        ["AWSPREVIOUS", "0123", "1", r#"{"b":"","team":"pay"}"#]
    );
    assert_eq!(failure(&outcomes[4]).code, "not-found");
}

#[test]
fn bytes_are_bytes_and_tags_of_nothing_are_no_absence() {
    let entry = json!({"ARN": arn("a"), "Name": "a", "VersionId": "v", "SecretBinary": "AP8Bgg=="});
    let backend = Backend::new()
        .on(&op(SM, "GetSecretValue"), response(200, entry))
        .on(
            &op(SM, "DescribeSecret"),
            refusal("ResourceNotFoundException", "x"),
        );
    let outcome = read(&backend, &[whole("a")]).remove(0);
    let Answer::Parts(parts) = outcome.answer else {
        panic!()
    };
    assert_eq!(parts, [postern_sdk::Part::Value(vec![0, 255, 1, 130])]);
    let tags = Request {
        metadata: true,
        ..whole("a")
    };
    assert_eq!(failure(&read(&backend, &[tags])[0]).code, "not-found");
    let empty = Backend::new().on(
        &op(SM, "GetSecretValue"),
        response(200, json!({"ARN": arn("a"), "VersionId": "v"})),
    );
    assert_eq!(failure(&read(&empty, &[whole("a")])[0]).code, "internal");
}

#[test]
fn a_prefix_stands_before_names_and_not_before_arns() {
    let mut store = config("SecretsManager");
    store["prefix"] = json!("team/");
    let backend = Backend::new().with(&op(SM, "GetSecretValue"), |request| {
        let id = sent_body(request)["SecretId"].as_str().unwrap().to_owned();
        response(200, secret(&id, "v", &id))
    });
    let context = reading(&store);
    assert_eq!(
        value(&Aws::get_batch(&backend, &context, &[whole("db")])[0]),
        "team/db"
    );
    assert_eq!(
        value(&Aws::get_batch(&backend, &context, &[whole(&arn("x"))])[0]),
        arn("x")
    );
}

#[test]
fn refusals_are_told_apart_by_their_names() {
    let html = response(403, "<html>blocked</html>");
    let table = [
        (refusal("ResourceNotFoundException", "x"), "absent"),
        (
            refusal("InvalidRequestException", "it was marked for deletion."),
            "absent",
        ),
        (refusal("InvalidRequestException", "x"), "invalid-request"),
        (denied("secretsmanager:GetSecretValue", "a"), "denied"),
        (
            refusal("AccessDeniedException", "Access to KMS is not allowed"),
            "denied",
        ),
        (
            refusal("UnrecognizedClientException", "x"),
            "unauthenticated",
        ),
        (refusal("ExpiredTokenException", "x"), "unauthenticated"),
        (refusal("InvalidSignatureException", "x"), "unauthenticated"),
        (refusal("ThrottlingException", "x"), "rate-limited"),
        (refusal("TooManyRequestsException", "x"), "rate-limited"),
        (response(429, ""), "rate-limited"),
        (refusal("InternalServiceError", "x"), "invalid-request"),
        (
            response(500, json!({"__type": "InternalServiceError"})),
            "unavailable",
        ),
        (response(503, "<html>"), "unavailable"),
        (html, "unavailable"),
        (response(404, "{}"), "unavailable"),
        (response(200, "<html>"), "unavailable"),
        (response(200, "[]"), "unavailable"),
        (refusal("\u{7}bell\n", "x"), "unavailable"),
        (refusal("Unknown_Thing", "x"), "invalid-request"),
    ];
    for (answer, code) in table {
        let shown = String::from_utf8(answer.body.clone()).unwrap();
        let backend = Backend::new().on(&op(SM, "GetSecretValue"), answer);
        let outcome = read(&backend, &[whole("a")]).remove(0);
        assert_eq!(failure(&outcome).code, code, "{shown}");
        assert_eq!(backend.asked().len(), 1);
    }
    let mut slow = refusal("ThrottlingException", "Rate exceeded");
    slow.headers
        .push(("retry-after".to_owned(), "7".to_owned()));
    let backend = Backend::new().on(&op(SM, "GetSecretValue"), slow);
    let failed = read(&backend, &[whole("a")]).remove(0);
    assert_eq!(failure(&failed).retry_after_ms, Some(7000));
}

#[test]
fn no_failure_shows_the_session() {
    let words = format!("the token {TOKEN} is bad\nindeed");
    let backend = Backend::new().on(
        &op(SM, "GetSecretValue"),
        refusal("UnrecognizedClientException", &words),
    );
    let outcome = read(&backend, &[whole("a")]).remove(0);
    let shown = format!("{:?}", failure(&outcome));
    assert!(
        !shown.contains(TOKEN) && shown.contains("<redacted>"),
        "{shown}"
    );
}

#[test]
fn a_reader_keeps_to_the_day_of_its_key_and_to_the_time_of_aws() {
    let backend = Backend::new().on(
        &op(SM, "GetSecretValue"),
        response(200, secret("a", "v", "x")),
    );
    backend.now.set(noon() + 12 * 3600 + 240);
    read(&backend, &[whole("a")]);
    assert_eq!(
        header(&backend.sent.borrow()[0], "x-amz-date"),
        "20261127T235959Z"
    );

    let backend = Backend::new().with(&op(SM, "GetSecretValue"), |request| {
        if header(request, "x-amz-date") == "20261127T123000Z" {
            return response(200, secret("a", "v", "x"));
        }
        let mut late = refusal(
            "InvalidSignatureException",
            "Signature expired: 20261127T120000Z is now earlier than 20261127T122500Z",
        );
        late.headers.push((
            "date".to_owned(),
            "Fri, 27 Nov 2026 12:30:00 GMT".to_owned(),
        ));
        late
    });
    assert_eq!(value(&read(&backend, &[whole("a")])[0]), "x");
    assert_eq!(backend.asked().len(), 2);
}

fn parameter(name: &str, version: u64, value: &str) -> Value {
    json!({"Name": name, "Type": "SecureString", "Value": value, "Version": version,
        "LastModifiedDate": 1764244800.123, "ARN": format!("arn:aws:ssm:eu-central-1:1:parameter{name}")})
}

#[test]
fn ten_parameters_are_one_call_and_absence_is_asked_for_by_itself() {
    let backend = Backend::new()
        .with(&op(SSM, "GetParameters"), |request| {
            let body = sent_body(request);
            assert_eq!(body["WithDecryption"], true);
            let names = body["Names"].as_array().unwrap().clone();
            assert!(names.len() <= 10);
            let (found, missing): (Vec<_>, Vec<_>) = names
                .into_iter()
                .partition(|n| n != "/p/none" && n != "/p/v:9");
            let found: Vec<Value> = found
                .iter()
                .map(|n| parameter(n.as_str().unwrap(), 1, "x"))
                .collect();
            response(
                200,
                json!({"Parameters": found, "InvalidParameters": missing}),
            )
        })
        .with(&op(SSM, "GetParameter"), |request| {
            match sent_body(request)["Name"].as_str() {
                Some("/p/none") => refusal("ParameterNotFound", ""),
                _ => refusal("ParameterVersionNotFound", ""),
            }
        });
    let mut requests: Vec<Request> = (0..18).map(|n| whole(&format!("/p/{n}"))).collect();
    requests.push(whole("/p/none"));
    requests.push(Request {
        version: Some("9".to_owned()),
        ..whole("/p/v")
    });
    let outcomes = parameters(&backend, &requests);
    assert!(outcomes[..18].iter().all(|o| value(o) == "x"));
    assert_eq!(failure(&outcomes[18]).code, "absent");
    assert_eq!(failure(&outcomes[19]).code, "not-found");
    let count = |name: &str| {
        backend
            .asked()
            .iter()
            .filter(|a| **a == op(SSM, name))
            .count()
    };
    assert_eq!((count("GetParameters"), count("GetParameter")), (2, 2));
}

#[test]
fn two_versions_of_a_parameter_are_not_mixed_up() {
    let backend = Backend::new().with(&op(SSM, "GetParameters"), |request| {
        let names = sent_body(request)["Names"].as_array().unwrap().clone();
        let one = |full: &Value| {
            let (name, selector) = full.as_str().unwrap().split_once(':').unwrap();
            let mut entry = parameter(name, 1, selector);
            entry["Selector"] = json!(format!(":{selector}"));
            entry
        };
        response(
            200,
            json!({"Parameters": names.iter().map(one).collect::<Vec<_>>()}),
        )
    });
    let of = |version: &str| Request {
        version: Some(version.to_owned()),
        ..whole("/p/a")
    };
    let outcomes = parameters(&backend, &[of("1"), of("2"), of("prod")]);
    let values: Vec<String> = outcomes.iter().map(value).collect();
    assert_eq!(values, ["1", "2", "prod"]);
}

#[test]
fn one_closed_parameter_closes_no_other() {
    let backend = Backend::new()
        .on(
            &op(SSM, "GetParameters"),
            denied(
                "ssm:GetParameters",
                "arn:aws:ssm:eu-central-1:1:parameter/closed",
            ),
        )
        .with(&op(SSM, "GetParameter"), |request| {
            match sent_body(request)["Name"].as_str() {
                Some("/closed") => denied(
                    "ssm:GetParameter",
                    "arn:aws:ssm:eu-central-1:1:parameter/closed",
                ),
                Some(name) => response(200, json!({"Parameter": parameter(name, 3, "open")})),
                None => panic!(),
            }
        });
    let outcomes = parameters(&backend, &[whole("/closed"), whole("/open")]);
    assert_eq!(value(&outcomes[1]), "open");
    assert!(
        failure(&outcomes[0])
            .message
            .contains("allow ssm:GetParameter on arn:aws:ssm:eu-central-1:1:parameter/closed")
    );
}

#[test]
fn a_parameter_is_unchanged_by_version_and_time() {
    let of = |version| {
        Backend::new().on(
            &op(SSM, "GetParameter"),
            response(200, json!({"Parameter": parameter("/a", version, "x")})),
        )
    };
    let tag = parameters(&of(1), &[whole("/a")])[0].tag.clone();
    assert!(tag.is_some());
    let again = parameters(&of(1), &[known("/a", &tag)]).remove(0);
    assert_eq!((again.answer, again.tag), (Answer::Unchanged, tag.clone()));
    assert_eq!(value(&parameters(&of(2), &[known("/a", &tag)])[0]), "x");
}

#[test]
fn tags_of_a_parameter_are_a_json_object() {
    let backend = Backend::new().with(&op(SSM, "ListTagsForResource"), |request| {
        assert_eq!(
            sent_body(request),
            json!({"ResourceType": "Parameter", "ResourceId": "/a"})
        );
        response(200, json!({"TagList": [{"Key": "team", "Value": "pay"}]}))
    });
    let tags = Request {
        metadata: true,
        ..whole("/a")
    };
    assert_eq!(
        value(&parameters(&backend, &[tags])[0]),
        r#"{"team":"pay"}"#
    );
}

fn query(name: Option<&str>, path: Option<&str>, tags: &[(&str, &str)]) -> Query {
    Query {
        name: name.map(str::to_owned),
        path: path.map(str::to_owned),
        tags: tags
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
        ..Query::default()
    }
}

fn find(backend: &Backend, store: &Value, query: &Query, after: Option<&str>) -> Page {
    Aws::list_page(backend, &reading(store), query, after).unwrap()
}

fn keys_of(page: &Page) -> Vec<(&str, Option<&str>)> {
    page.found
        .iter()
        .map(|f| (f.key.as_str(), f.name.as_deref()))
        .collect()
}

#[test]
fn secrets_are_found_by_name_path_and_pairs_of_tags() {
    let list = json!({"NextToken": "n2", "SecretList": [
        {"Name": "team/a", "ARN": arn("team/a"), "Tags": [{"Key": "env", "Value": "prod"}, {"Key": "x", "Value": "y"}]},
        {"Name": "other", "ARN": arn("other"), "Tags": [{"Key": "env", "Value": "production"}]},
    ]});
    let backend = Backend::new().on(&op(SM, "ListSecrets"), response(200, list));
    let store = config("SecretsManager");
    let page = find(&backend, &store, &query(Some(".*"), None, &[]), None);
    assert_eq!(keys_of(&page), [("team/a", None), ("other", None)]);
    assert_eq!(
        (page.next.as_deref(), page.names_applied),
        (Some("n2"), false)
    );
    let page = find(
        &backend,
        &store,
        &query(None, Some("team"), &[("env", "prod")]),
        Some("n1"),
    );
    assert_eq!(keys_of(&page), [("team/a", None)]);
    assert_eq!(
        sent_body(&backend.sent.borrow()[1]),
        json!({"MaxResults": 100, "NextToken": "n1", "Filters": [
            {"Key": "tag-key", "Values": ["env"]},
            {"Key": "tag-value", "Values": ["prod"]},
            {"Key": "name", "Values": ["team"]},
        ]})
    );
    // With a prefix names stay whole, and are read without it.
    let mut prefixed = store.clone();
    prefixed["prefix"] = json!("team/");
    let page = find(&backend, &prefixed, &query(Some(".*"), None, &[]), None);
    assert_eq!(
        keys_of(&page),
        [
            ("a", Some("team/a")),
            (arn("other").as_str(), Some("other"))
        ]
    );
    let neither = Aws::list_page(&backend, &reading(&store), &query(None, None, &[]), None);
    assert_eq!(neither.unwrap_err().code, "invalid-request");
}

#[test]
fn parameters_are_found_with_their_values_or_without_where_a_policy_wants_it() {
    let store = config("ParameterStore");
    let below = json!({"Parameters": [parameter("/p/a", 1, "va")], "NextToken": "n2"});
    let backend = Backend::new().on(&op(SSM, "GetParametersByPath"), response(200, below));
    let page = find(
        &backend,
        &store,
        &query(Some("a"), None, &[("t", "1")]),
        None,
    );
    assert_eq!(page.found[0].value.as_deref(), Some(&b"va"[..]));
    let body = sent_body(&backend.sent.borrow()[0]);
    assert_eq!(
        (&body["Path"], &body["Recursive"]),
        (&json!("/"), &json!(true))
    );
    find(
        &backend,
        &store,
        &query(Some("a"), Some("/p"), &[]),
        page.next.as_deref(),
    );
    let body = sent_body(&backend.sent.borrow()[1]);
    assert_eq!(
        (&body["Path"], &body["NextToken"]),
        (&json!("/p"), &json!("n2"))
    );

    let described = json!({"Parameters": [{"Name": "/p/a"}], "NextToken": "d2"});
    let backend = Backend::new()
        .on(
            &op(SSM, "GetParametersByPath"),
            denied("ssm:GetParametersByPath", "/p"),
        )
        .on(&op(SSM, "DescribeParameters"), response(200, described));
    let page = find(&backend, &store, &query(Some("a"), Some("/p"), &[]), None);
    assert_eq!(
        (keys_of(&page), &page.found[0].value),
        (vec![("/p/a", None)], &None)
    );
    find(
        &backend,
        &store,
        &query(Some("a"), Some("/p"), &[]),
        page.next.as_deref(),
    );
    assert_eq!(backend.asked()[2], op(SSM, "DescribeParameters"));
    find(&backend, &store, &query(None, None, &[("t", "1")]), None);
    assert_eq!(
        sent_body(&backend.sent.borrow()[3])["ParameterFilters"],
        json!([{"Key": "tag:t", "Option": "Equals", "Values": ["1"]}])
    );
}
