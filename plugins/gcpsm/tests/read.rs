//! What is asked for, and what answers of Secret Manager mean.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod desk;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use desk::{Desk, failure, reading, request, value};
use postern_plugin_gcpsm::Gcpsm;
use postern_plugin_gcpsm::payload::crc32c;
use postern_sdk::{Answer, Failure, Find, Outcome, Part, Pick, Provider, Query, Request};
use serde_json::{Value, json};

const BASE: &str = "/v1/projects/p/secrets";

fn config() -> Value {
    json!({"projectID": "p"})
}

fn read(desk: &Desk, config: &Value, requests: &[Request]) -> Vec<Outcome> {
    Gcpsm::get_batch(desk, &reading(config), requests)
}

/// The answer to a reading of a version.
fn accessed(number: u64, data: &[u8]) -> Value {
    json!({"name": format!("projects/123/secrets/db/versions/{number}"),
        "payload": {"data": STANDARD.encode(data), "dataCrc32c": crc32c(data).to_string()}})
}

fn version(number: u64, state: &str, made: &str) -> Value {
    json!({"name": format!("projects/123/secrets/db/versions/{number}"), "state": state, "createTime": made, "etag": "\"1\""})
}

fn error(code: u16, status: &str, message: &str) -> Value {
    json!({"error": {"code": code, "message": message, "status": status}})
}

fn denied(permission: &str) -> Value {
    let message = format!(
        "Permission '{permission}' denied for resource 'projects/p/secrets/db/versions/latest' (or it may not exist)."
    );
    error(403, "PERMISSION_DENIED", &message)
}

const OLD: &str = "2025-12-31T00:00:00.5Z";

#[test]
fn the_latest_version_is_read_with_the_token_and_all_picks_come_from_it() {
    let desk = Desk::new().on(
        "db/versions/latest:access",
        200,
        &accessed(7, br#"{"a.b": "name", "n": {"x": 1.50}}"#),
    );
    let mut asked = request("db");
    asked.picks.push(Pick {
        property: Some("a.b".to_owned()),
        members: false,
    });
    asked.picks.push(Pick {
        property: Some("n".to_owned()),
        members: true,
    });
    asked.picks.push(Pick {
        property: Some("none".to_owned()),
        members: false,
    });
    let outcomes = read(&desk, &config(), &[asked]);
    let Answer::Parts(parts) = &outcomes[0].answer else {
        panic!("{outcomes:?}")
    };
    assert_eq!(
        parts[0],
        Part::Value(br#"{"a.b": "name", "n": {"x": 1.50}}"#.to_vec())
    );
    assert_eq!(parts[1], Part::Value(b"name".to_vec()));
    assert_eq!(
        parts[2],
        Part::Members(vec![("x".to_owned(), b"1.50".to_vec())])
    );
    assert!(
        matches!(&parts[3], Part::Failed(f) if f.code == "not-found"),
        "{parts:?}"
    );
    assert_eq!(outcomes[0].tag.as_deref(), Some("7@1767225600"));
    assert_eq!(desk.paths(), [format!("{BASE}/db/versions/latest:access")]);
    let sent = &desk.asked.borrow()[0];
    assert!(
        sent.url
            .starts_with("https://secretmanager.googleapis.com/")
    );
    assert!(
        sent.headers
            .contains(&("authorization".to_owned(), "Bearer ya29.token".to_owned()))
    );
}

#[test]
fn regional_secrets_and_versions_have_their_own_paths() {
    let config = json!({"projectID": "p", "location": "europe-west1"});
    let desk = Desk::new().on("versions/blue:access", 200, &accessed(2, b"x"));
    let asked = Request {
        version: Some("blue".to_owned()),
        ..request("db")
    };
    assert_eq!(value(&read(&desk, &config, &[asked])[0]), "x");
    assert_eq!(
        desk.asked.borrow()[0].url,
        "https://secretmanager.europe-west1.rep.googleapis.com/v1/projects/p/locations/europe-west1/secrets/db/versions/blue:access"
    );
}

#[test]
fn a_key_that_is_no_id_is_asked_for_nowhere() {
    let desk = Desk::new();
    let long = "a".repeat(256);
    let keys = [
        "",
        "../other/secrets/x",
        "a/b",
        "a:access",
        "a?x",
        "a b",
        "é",
        &long,
    ];
    let requests: Vec<Request> = keys.map(request).to_vec();
    for outcome in read(&desk, &config(), &requests) {
        assert_eq!(failure(&outcome).code, "invalid-request");
    }
    let asked = Request {
        version: Some("1/../../x".to_owned()),
        ..request("db")
    };
    assert_eq!(
        failure(&read(&desk, &config(), &[asked])[0]).code,
        "invalid-request"
    );
    assert_eq!(desk.paths(), Vec::<String>::new());
}

#[test]
fn bytes_come_as_they_are_and_what_was_damaged_does_not() {
    let bytes: Vec<u8> = (0..=255).cycle().take(65_536).collect();
    let desk = Desk::new().on("access", 200, &accessed(1, &bytes));
    let outcome = &read(&desk, &config(), &[request("db")])[0];
    assert_eq!(outcome.answer, Answer::Parts(vec![Part::Value(bytes)]));

    let empty = json!({"name": "projects/1/secrets/db/versions/1", "payload": {"dataCrc32c": "0"}});
    let desk = Desk::new().on("access", 200, &empty);
    assert_eq!(value(&read(&desk, &config(), &[request("db")])[0]), "");

    let mut damaged = accessed(1, b"hunter2");
    damaged["payload"]["dataCrc32c"] = json!("1");
    let mut cut = accessed(1, b"hunter2");
    cut["payload"]["data"] = json!("aHVudGV");
    for body in [
        damaged,
        cut,
        json!({"name": "x"}),
        json!([1]),
        json!("<html>"),
    ] {
        let desk = Desk::new().on("access", 200, &body);
        let outcome = &read(&desk, &config(), &[request("db")])[0];
        assert_eq!(failure(outcome).code, "unavailable", "{body}");
        assert!(!format!("{outcome:?}").contains("hunter2"));
    }
}

fn known(tag: &str) -> Request {
    Request {
        known: Some(tag.to_owned()),
        ..request("db")
    }
}

#[test]
fn a_version_that_is_known_moves_no_value() {
    let desk = Desk::new().on("versions/latest", 200, &version(7, "ENABLED", OLD));
    let outcome = &read(&desk, &config(), &[known("7@1767225600")])[0];
    assert_eq!(outcome.answer, Answer::Unchanged);
    assert_eq!(outcome.tag.as_deref(), Some("7@1767225600"));
    assert_eq!(desk.paths(), [format!("{BASE}/db/versions/latest")]);
}

#[test]
fn a_secret_that_was_made_anew_is_read_again_though_its_number_is_the_same() {
    for (number, state, made) in [
        (8, "ENABLED", OLD),
        (7, "ENABLED", "2026-01-01T00:00:01Z"),
        // Too close to the reading to be sure.
        (7, "ENABLED", "2025-12-31T23:59:00Z"),
        (7, "DISABLED", OLD),
    ] {
        let desk = Desk::new()
            .on("versions/latest", 200, &version(number, state, made))
            .on("versions/latest:access", 200, &accessed(number, b"new"));
        let outcome = &read(&desk, &config(), &[known("7@1767225600")])[0];
        assert_eq!(value(outcome), "new", "{number} {state} {made}");
    }
}

#[test]
fn where_versions_may_not_be_asked_about_the_value_is_read_and_nobody_asks_again() {
    let desk = Desk::new()
        .on(
            "versions/latest",
            403,
            &denied("secretmanager.versions.get"),
        )
        .on("versions/latest:access", 200, &accessed(7, b"v"))
        .on("versions/latest:access", 200, &accessed(7, b"v"));
    let first = read(&desk, &config(), &[known("7@1767225600")]).remove(0);
    assert_eq!(value(&first), "v");
    let tag = first.tag.unwrap();
    assert_eq!(tag, "7@1767225600!");
    let second = &read(&desk, &config(), &[known(&tag)])[0];
    assert_eq!(value(second), "v");
    assert_eq!(second.tag.as_deref(), Some("7@1767225600!"));
    assert_eq!(desk.paths().len(), 3);
}

#[test]
fn a_throttled_question_is_no_reason_to_wait_because_values_have_a_quota_of_their_own() {
    for status in [429, 500, 503, 404] {
        let desk = Desk::new().on("versions/latest", status, &json!({})).on(
            "versions/latest:access",
            200,
            &accessed(7, b"v"),
        );
        let outcome = &read(&desk, &config(), &[known("7@1767225600")])[0];
        assert_eq!(value(outcome), "v", "{status}");
        assert_eq!(outcome.tag.as_deref(), Some("7@1767225600"));
    }
    let desk = Desk::new().on("versions/latest", 401, &json!({}));
    let outcome = &read(&desk, &config(), &[known("7@1767225600")])[0];
    assert_eq!(failure(outcome).code, "unauthenticated");
}

#[test]
fn without_googles_clock_there_is_no_tag() {
    let body = accessed(7, b"v").to_string();
    let desk = Desk::new().on_with("access", 200, &[], body.as_bytes());
    assert_eq!(read(&desk, &config(), &[request("db")])[0].tag, None);
    let desk = Desk::new().on("access", 200, &accessed(7, b"v"));
    assert_eq!(
        value(&read(&desk, &config(), &[known("a-tag-of-another-make")])[0]),
        "v"
    );
}

fn closed(state: &str) -> Value {
    let message =
        format!("Secret Version [projects/123/secrets/db/versions/9] is in {state} state.");
    error(400, "FAILED_PRECONDITION", &message)
}

fn versions() -> Value {
    json!({"versions": [
        version(9, "DESTROYED", "2025-12-31T09:00:00Z"),
        version(8, "ENABLED", "2025-12-31T08:00:00Z"),
        version(3, "ENABLED", OLD),
    ], "totalSize": 3})
}

fn or_fetch() -> Value {
    json!({"projectID": "p", "secretVersionSelectionPolicy": "LatestOrFetch"})
}

#[test]
fn a_closed_version_fails_unless_the_store_wants_the_newest_open_one() {
    for state in ["DISABLED", "DESTROYED"] {
        let desk = Desk::new().on("access", 400, &closed(state));
        let outcome = &read(&desk, &config(), &[request("db")])[0];
        assert_eq!(failure(outcome).code, "not-found");
        assert!(
            failure(outcome).message.contains("LatestOrFetch"),
            "{outcome:?}"
        );

        let desk = Desk::new()
            .on("latest:access", 400, &closed(state))
            .on(
                "versions?filter=state%3AENABLED&pageSize=100",
                200,
                &versions(),
            )
            .on("versions/8:access", 200, &accessed(8, b"eight"));
        let outcome = &read(&desk, &or_fetch(), &[request("db")])[0];
        assert_eq!(value(outcome), "eight");
        assert_eq!(outcome.tag.as_deref(), Some("8@1767225600"));
    }
    // A version that was named is the one that is meant.
    let desk = Desk::new().on("9:access", 400, &closed("DISABLED"));
    let asked = Request {
        version: Some("9".to_owned()),
        ..request("db")
    };
    let outcome = &read(&desk, &or_fetch(), &[asked])[0];
    assert_eq!(failure(outcome).code, "not-found");
    // A key that is closed is no version that is.
    let desk = Desk::new().on(
        "access",
        400,
        &error(400, "FAILED_PRECONDITION", "The KMS key is disabled"),
    );
    let outcome = &read(&desk, &or_fetch(), &[request("db")])[0];
    assert_eq!(failure(outcome).code, "invalid-request");
}

#[test]
fn the_newest_open_version_is_known_again_too() {
    let desk = Desk::new()
        .on(
            "versions/latest",
            200,
            &version(9, "DISABLED", "2025-12-31T09:00:00Z"),
        )
        .on("pageSize=100", 200, &versions());
    let outcome = &read(&desk, &or_fetch(), &[known("8@1767225600")])[0];
    assert_eq!(outcome.answer, Answer::Unchanged);
    let desk = Desk::new()
        .on("latest:access", 400, &closed("DISABLED"))
        .on("pageSize=100", 200, &json!({}));
    let outcome = &read(&desk, &or_fetch(), &[request("db")])[0];
    assert_eq!(failure(outcome).code, "not-found");
    let desk = Desk::new()
        .on("latest:access", 400, &closed("DISABLED"))
        .on("pageSize=100", 403, &denied("secretmanager.versions.list"));
    let outcome = &read(&desk, &or_fetch(), &[request("db")])[0];
    assert!(
        failure(outcome)
            .message
            .contains("secretmanager.versions.list")
    );
}

/// What a reading comes to where this is answered.
fn coming_to(status: u16, body: &Value) -> Failure {
    let desk = Desk::new().on("access", status, body);
    failure(&read(&desk, &config(), &[request("db")])[0]).clone()
}

#[test]
fn only_googles_own_words_about_the_secret_make_it_absent() {
    for message in [
        "Secret [projects/123/secrets/db] not found or has no versions.",
        "Secret Version [projects/123/secrets/db/versions/9] not found.",
        "Secret [projects/123/locations/europe-west1/secrets/db] not found.",
    ] {
        assert_eq!(
            coming_to(404, &error(404, "NOT_FOUND", message)).code,
            "absent"
        );
    }
    for body in [
        json!("<html>404</html>"),
        json!({}),
        error(404, "NOT_FOUND", "Requested entity was not found."),
        error(404, "NOT_FOUND", "Project [projects/db] not found"),
        error(
            404,
            "NOT_FOUND",
            "Secret [projects/123/secrets/db-of-another] not found",
        ),
        error(
            404,
            "",
            "Secret [projects/123/secrets/db] not found or has no versions.",
        ),
    ] {
        assert_eq!(coming_to(404, &body).code, "not-found", "{body}");
    }
}

#[test]
fn a_refusal_names_the_permission_and_the_resource() {
    let told = coming_to(403, &denied("secretmanager.versions.access"));
    assert_eq!(told.code, "denied");
    let want = "Permission secretmanager.versions.access denied on resource projects/p/secrets/db/versions/latest";
    assert!(told.message.starts_with(want), "{told}");
    assert!(
        told.message.contains("roles/secretmanager.secretAccessor"),
        "{told}"
    );
    // Google's word counts where it names another than we thought of.
    let of_key = json!({"error": {"code": 403, "message": "no", "status": "PERMISSION_DENIED", "details": [
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "IAM_PERMISSION_DENIED", "domain": "iam.googleapis.com",
            "metadata": {"permission": "cloudkms.cryptoKeyVersions.useToDecrypt"}}]}});
    assert!(
        coming_to(403, &of_key)
            .message
            .contains("cloudkms.cryptoKeyVersions.useToDecrypt")
    );
    for (reason, word) in [
        ("SERVICE_DISABLED", "enable secretmanager.googleapis.com"),
        ("BILLING_DISABLED", "billing"),
        ("ACCESS_TOKEN_SCOPE_INSUFFICIENT", "cloud-platform"),
        ("SECURITY_POLICY_VIOLATED", "VPC Service Controls"),
    ] {
        let body = json!({"error": {"details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}]}});
        let told = coming_to(403, &body);
        assert_eq!(told.code, "denied");
        assert!(told.message.contains(word), "{told}");
    }
}

#[test]
fn other_answers_are_told_apart() {
    for (status, code) in [
        (401, "unauthenticated"),
        (400, "invalid-request"),
        (302, "unavailable"),
        (500, "unavailable"),
        (503, "unavailable"),
    ] {
        assert_eq!(
            coming_to(status, &error(status, "X", "y")).code,
            code,
            "{status}"
        );
    }
    let body = json!({"error": {"status": "RESOURCE_EXHAUSTED", "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.5s"}]}});
    let told = coming_to(429, &body);
    assert_eq!(
        (told.code.as_str(), told.retry_after_ms),
        ("rate-limited", Some(1500))
    );
    let headers = [("retry-after", "7")];
    let desk = Desk::new().on_with("access", 429, &headers, body.to_string().as_bytes());
    let outcome = &read(&desk, &config(), &[request("db")])[0];
    assert_eq!(failure(outcome).retry_after_ms, Some(7000));
    let closed = Failure::denied("10.0.0.1 is closed by --deny-egress");
    let desk = Desk::new().reply("access", Err(closed.clone()));
    assert_eq!(
        failure(&read(&desk, &config(), &[request("db")])[0]),
        &closed
    );
}

#[test]
fn the_backends_words_go_to_the_log_without_the_token() {
    let told = coming_to(
        400,
        &error(400, "INVALID_ARGUMENT", "bad Bearer ya29.token\nin it"),
    );
    let said = told
        .detail
        .iter()
        .find(|(n, _)| n == "server-said")
        .unwrap();
    assert_eq!(said.1, "bad Bearer <redacted> in it");
    assert!(!told.message.contains("ya29"), "{told}");
}

fn about(property: Option<&str>, members: bool) -> Request {
    Request {
        metadata: true,
        picks: vec![Pick {
            property: property.map(str::to_owned),
            members,
        }],
        ..request("db")
    }
}

#[test]
fn labels_and_annotations_are_read_without_the_value() {
    let secret = json!({"name": "projects/123/secrets/db", "etag": "\"e1\"", "labels": {"team": "a"}, "annotations": {"x.y/z": "<1>"}});
    let take = |property: Option<&str>| {
        let desk = Desk::new().on("secrets/db", 200, &secret);
        let outcome = read(&desk, &config(), &[about(property, false)]).remove(0);
        assert_eq!(outcome.tag.as_deref(), Some("\"e1\""));
        assert_eq!(desk.paths(), [format!("{BASE}/db")]);
        outcome
    };
    assert_eq!(
        value(&take(None)),
        r#"{"annotations":{"x.y/z":"\u003c1\u003e"},"labels":{"team":"a"}}"#
    );
    assert_eq!(value(&take(Some("labels"))), r#"{"team":"a"}"#);
    assert_eq!(value(&take(Some("labels.team"))), "a");
    assert_eq!(value(&take(Some("annotations.x.y/z"))), "<1>");
    assert_eq!(failure(&take(Some("labels.none"))).code, "not-found");
    assert_eq!(failure(&take(Some("etag"))).code, "invalid-request");

    let desk = Desk::new().on("secrets/db", 200, &secret);
    let outcome = &read(&desk, &config(), &[about(Some("labels"), true)])[0];
    let want = Part::Members(vec![("team".to_owned(), b"a".to_vec())]);
    assert_eq!(outcome.answer, Answer::Parts(vec![want]));

    let desk = Desk::new().on("secrets/db", 200, &json!({"name": "x"})).on(
        "secrets/db",
        200,
        &json!({"name": "x"}),
    );
    assert_eq!(
        value(&read(&desk, &config(), &[about(None, false)])[0]),
        r#"{"annotations":null,"labels":null}"#
    );
    let outcome = &read(&desk, &config(), &[about(Some("labels"), true)])[0];
    assert_eq!(
        outcome.answer,
        Answer::Parts(vec![Part::Members(Vec::new())])
    );

    let desk = Desk::new().on("secrets/db", 200, &secret);
    let same = Request {
        known: Some("\"e1\"".to_owned()),
        ..about(None, false)
    };
    assert_eq!(read(&desk, &config(), &[same])[0].answer, Answer::Unchanged);
}

#[test]
fn one_objects_failure_is_no_others() {
    let desk = Desk::new()
        .on("a/versions/latest:access", 200, &accessed(1, b"one"))
        .on(
            "b/versions/latest:access",
            403,
            &denied("secretmanager.versions.access"),
        )
        .on("c/versions/latest", 200, &version(1, "ENABLED", OLD))
        .on("d/versions/latest:access", 200, &accessed(1, b"four"));
    let c = Request {
        known: Some("1@1767225600".to_owned()),
        ..request("c")
    };
    let outcomes = read(
        &desk,
        &config(),
        &[request("a"), request("b"), c, request("d")],
    );
    assert_eq!(value(&outcomes[0]), "one");
    assert_eq!(failure(&outcomes[1]).code, "denied");
    assert_eq!(outcomes[2].answer, Answer::Unchanged);
    assert_eq!(value(&outcomes[3]), "four");
}

fn find(
    desk: &Desk,
    query: &Query,
    after: Option<&str>,
) -> Result<(Vec<String>, Option<String>, bool), Failure> {
    let page = Gcpsm::list_page(desk, &reading(&config()), query, after)?;
    let keys = page.found.into_iter().map(|f| f.key).collect();
    Ok((keys, page.next, page.names_applied))
}

fn listed(next: &str) -> Value {
    json!({"secrets": [
        {"name": "projects/123/secrets/app-db", "labels": {"team": "a", "env": "prod"}},
        {"name": "projects/123/secrets/db-app", "labels": {"team": "ab"}},
        {"name": "projects/123/locations/x/secrets/app-mail"},
    ], "nextPageToken": next, "totalSize": 3})
}

#[test]
fn finds_by_name_in_pages_and_by_labels_exactly() {
    let by_name = Query {
        name: Some("^app".to_owned()),
        tags: vec![("team".to_owned(), "a".to_owned())],
        ..Query::default()
    };
    let desk = Desk::new().on("labels%29", 200, &listed("next page")).on(
        "&pageToken=next%20page",
        200,
        &listed(""),
    );
    let (keys, next, applied) = find(&desk, &by_name, None).unwrap();
    assert_eq!(
        (keys.len(), next.as_deref(), applied),
        (3, Some("next page"), false)
    );
    assert_eq!(find(&desk, &by_name, next.as_deref()).unwrap().1, None);

    let by_path = Query {
        path: Some("app".to_owned()),
        ..by_name
    };
    let desk = Desk::new().on("&filter=name%3Aapp", 200, &listed(""));
    assert_eq!(
        find(&desk, &by_path, None).unwrap().0,
        ["app-db", "app-mail"]
    );

    let by_tags = Query {
        tags: vec![
            ("team".to_owned(), "a".to_owned()),
            ("env".to_owned(), "prod".to_owned()),
        ],
        ..Query::default()
    };
    let desk = Desk::new().on(
        "&filter=labels.team%3Da%20labels.env%3Dprod",
        200,
        &listed(""),
    );
    let (keys, _, applied) = find(&desk, &by_tags, None).unwrap();
    assert_eq!((keys, applied), (vec!["app-db".to_owned()], true));
}

#[test]
fn nothing_gets_into_a_filter_that_would_be_another_word() {
    let desk = Desk::new();
    let tag = |name: &str, value: &str| Query {
        tags: vec![(name.to_owned(), value.to_owned())],
        ..Query::default()
    };
    let path = |path: &str| Query {
        path: Some(path.to_owned()),
        name: Some(".".to_owned()),
        ..Query::default()
    };
    for query in [
        tag("a b", "c"),
        tag("a", "c OR labels.x=y"),
        tag("a", "(b)"),
        tag("", "x"),
        path("a/b"),
        path("a OR b"),
        Query::default(),
    ] {
        assert_eq!(
            find(&desk, &query, None).unwrap_err().code,
            "invalid-request",
            "{query:?}"
        );
    }
    let desk = Desk::new().on("labels%29", 403, &denied("secretmanager.secrets.list"));
    let by_name = Query {
        name: Some(".".to_owned()),
        ..Query::default()
    };
    let told = find(&desk, &by_name, None).unwrap_err();
    assert!(
        told.message.contains("secretmanager.secrets.list"),
        "{told}"
    );
}
