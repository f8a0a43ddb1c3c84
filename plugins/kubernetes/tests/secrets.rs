//! What is taken from a Secret, and what answers of an API server mean.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::cell::RefCell;

use postern_plugin_kubernetes::Kubernetes;
use postern_plugin_kubernetes::object::Secret;
use postern_sdk::{
    Answer, Context, Credential, Entropy, Failure, Files, Find, Http, HttpRequest, HttpResponse,
    Log, Part, Pick, Provider, Query, Request, Templating,
};
use serde_json::{Value, json};

/// Answers in order, and keeps what was asked.
struct Server {
    answers: RefCell<Vec<Result<HttpResponse, Failure>>>,
    asked: RefCell<Vec<HttpRequest>>,
}

impl Server {
    fn with(answers: &[(u16, Value)]) -> Self {
        let answer = |(status, body): &(u16, Value)| {
            Ok(HttpResponse {
                status: *status,
                body: body.to_string().into_bytes(),
                ..HttpResponse::default()
            })
        };
        Self {
            answers: RefCell::new(answers.iter().rev().map(answer).collect()),
            asked: RefCell::default(),
        }
    }

    fn urls(&self) -> Vec<String> {
        self.asked.borrow().iter().map(|r| r.url.clone()).collect()
    }
}

impl Http for Server {
    fn send(&self, request: &HttpRequest) -> Result<HttpResponse, Failure> {
        self.asked.borrow_mut().push(request.clone());
        self.answers.borrow_mut().pop().unwrap()
    }
}
impl Files for Server {}
impl Log for Server {}
impl Entropy for Server {}
impl Templating for Server {}

fn context() -> Context {
    Context {
        config: json!({"server": {"url": "https://k"}, "auth": {"token": {"bearerToken": {"name": "t"}}},
            "remoteNamespace": "team"})
        .to_string(),
        credentials: vec![Credential {
            pointer: "/auth/token/bearerToken".to_owned(),
            value: b"tok".to_vec(),
            attributes: Vec::new(),
        }],
        ..Context::default()
    }
}

fn secret() -> Value {
    // {"user":"ada","n":1}; bytes ff fe; <&> and a line separator.
    json!({"metadata": {"name": "db", "uid": "u1", "resourceVersion": "7",
            "labels": {"app.kubernetes.io/name": "shop", "tier": "{\"a\":{\"b\":\"c\"}}"}},
        "data": {"json": "eyJ1c2VyIjoiYWRhIiwibiI6MX0=", "raw": "//4=", "text": "PCY+4oCo", "a.b": "ZG90cw=="}})
}

fn parsed() -> Secret {
    serde_json::from_value(secret()).unwrap()
}

fn one(metadata: bool, property: Option<&str>) -> String {
    let pick = Pick {
        property: property.map(str::to_owned),
        members: false,
    };
    match parsed().take(metadata, &pick) {
        Ok(Part::Value(value)) => String::from_utf8(value).unwrap(),
        Ok(other) => panic!("{other:?}"),
        Err(failure) => failure.code,
    }
}

fn members(metadata: bool, property: Option<&str>) -> Result<Vec<(String, String)>, String> {
    let pick = Pick {
        property: property.map(str::to_owned),
        members: true,
    };
    match parsed().take(metadata, &pick) {
        Ok(Part::Members(all)) => Ok(all
            .into_iter()
            .map(|(k, v)| (k, String::from_utf8_lossy(&v).into_owned()))
            .collect()),
        Ok(other) => panic!("{other:?}"),
        Err(failure) => Err(failure.code),
    }
}

#[test]
fn the_whole_is_json_without_html_escapes_and_with_lost_bytes_marked() {
    assert_eq!(
        one(false, None),
        r#"{"a.b":"dots","json":"{\"user\":\"ada\",\"n\":1}","raw":"\ufffd\ufffd","text":"<&>\u2028"}"#
    );
}

#[test]
fn a_property_is_a_key_or_a_path_into_one() {
    assert_eq!(one(false, Some("a.b")), "dots");
    assert_eq!(one(false, Some("json.user")), "ada");
    assert_eq!(one(false, Some("json.n")), "1");
    for missing in ["none", "json.none", "raw.x", "none.user", "text.x"] {
        assert_eq!(one(false, Some(missing)), "not-found", "{missing}");
    }
}

#[test]
fn metadata_is_given_whole_by_kind_or_by_name() {
    let labels = r#"{"app.kubernetes.io/name":"shop","tier":"{\"a\":{\"b\":\"c\"}}"}"#;
    assert_eq!(
        one(true, None),
        format!(r#"{{"annotations":null,"labels":{labels}}}"#)
    );
    assert_eq!(one(true, Some("labels")), labels);
    assert_eq!(one(true, Some("annotations")), "null");
    assert_eq!(one(true, Some("labels.app.kubernetes.io/name")), "shop");
    assert_eq!(one(true, Some("labels.tier.a.b")), "c");
    assert_eq!(one(true, Some("labels.none")), "not-found");
    assert_eq!(one(true, Some("data")), "not-found");
}

#[test]
fn members_of_the_whole_are_bytes_and_of_a_property_are_json() {
    let all = members(false, None).unwrap();
    assert_eq!(all.len(), 4);
    assert_eq!(all[0], ("a.b".to_owned(), "dots".to_owned()));
    let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
    assert_eq!(
        members(false, Some("json")).unwrap(),
        [pair("n", "1"), pair("user", "\"ada\"")]
    );
    assert_eq!(
        members(false, Some("text")),
        Err("invalid-request".to_owned())
    );
    assert_eq!(members(false, Some("none")), Err("not-found".to_owned()));
    assert_eq!(members(true, None).unwrap()[0], pair("annotations", "null"));
}

fn read(answers: &[(u16, Value)], known: Option<&str>, keys: &[&str]) -> (Vec<Answer>, Server) {
    let server = Server::with(answers);
    let requests: Vec<Request> = keys
        .iter()
        .map(|key| Request {
            key: (*key).to_owned(),
            known: known.map(str::to_owned),
            picks: vec![Pick {
                property: Some("a.b".to_owned()),
                members: false,
            }],
            ..Request::default()
        })
        .collect();
    let outcomes = Kubernetes::get_batch(&server, &context(), &requests);
    (outcomes.into_iter().map(|o| o.answer).collect(), server)
}

#[test]
fn an_object_is_read_with_the_token_and_known_by_its_version() {
    let (answers, server) = read(&[(200, secret())], None, &["db"]);
    assert_eq!(
        answers,
        [Answer::Parts(vec![Part::Value(b"dots".to_vec())])]
    );
    let asked = server.asked.borrow();
    assert_eq!(asked[0].url, "https://k/api/v1/namespaces/team/secrets/db");
    let token = ("authorization".to_owned(), "Bearer tok".to_owned());
    assert!(asked[0].headers.contains(&token));
    let (answers, _) = read(&[(200, secret())], Some("u1@7"), &["db"]);
    assert_eq!(answers, [Answer::Unchanged]);
    let (answers, _) = read(&[(200, secret())], Some("u0@7"), &["db"]);
    assert!(matches!(answers[..], [Answer::Parts(_)]));
}

#[test]
fn a_key_that_is_no_name_is_not_sent() {
    let keys = ["a/b", "..", "", "db"];
    let (answers, server) = read(&[(200, secret())], None, &keys);
    assert_eq!(
        server.urls(),
        ["https://k/api/v1/namespaces/team/secrets/db"]
    );
    assert!(matches!(answers[3], Answer::Parts(_)));
}

fn status(reason: &str, kind: &str) -> Value {
    json!({"kind": "Status", "reason": reason, "message": "said", "details": {"kind": kind}})
}

#[test]
fn only_an_api_servers_own_word_makes_a_secret_absent() {
    let table = [
        (404, status("NotFound", "secrets"), "absent"),
        (404, status("NotFound", "namespaces"), "not-found"),
        (404, json!("no such page"), "not-found"),
        (403, status("Forbidden", "secrets"), "denied"),
        (401, status("Unauthorized", ""), "unauthenticated"),
        (429, status("TooManyRequests", ""), "rate-limited"),
        (302, json!(""), "unavailable"),
        (400, status("BadRequest", ""), "invalid-request"),
        (500, status("InternalError", ""), "unavailable"),
        (200, json!("a page of a proxy"), "unavailable"),
    ];
    for (code, body, want) in table {
        let (answers, _) = read(&[(code, body.clone())], None, &["db"]);
        let Answer::Failed(failure) = &answers[0] else {
            panic!("{code} {body}")
        };
        assert_eq!(failure.code, want, "{code} {body}");
    }
}

#[test]
fn a_refusal_names_the_permission() {
    let (answers, _) = read(&[(403, status("Forbidden", "secrets"))], None, &["db"]);
    let Answer::Failed(failure) = &answers[0] else {
        panic!("{answers:?}")
    };
    for part in ["\"get\"", "\"secrets\"", "\"team\"", "\"db\""] {
        assert!(failure.message.contains(part), "{}", failure.message);
    }
}

#[test]
fn a_find_takes_values_along_and_tags_before_a_name() {
    let list = json!({"metadata": {"continue": "more+"}, "items": [secret()]});
    let server = Server::with(&[(200, list.clone()), (200, list)]);
    let query = Query {
        tags: vec![
            ("tier".to_owned(), "a b".to_owned()),
            ("x".to_owned(), "y".to_owned()),
        ],
        name: Some("nothing".to_owned()),
        ..Query::default()
    };
    let page = Kubernetes::list_page(&server, &context(), &query, None).unwrap();
    assert!(page.names_applied);
    assert_eq!(
        page.options,
        [("convert-names".to_owned(), "true".to_owned())]
    );
    assert_eq!(page.next.as_deref(), Some("more+"));
    assert_eq!(page.found[0].key, "db");
    assert_eq!(page.found[0].value, Some(parsed().json()));
    let by_name = Query {
        name: Some("^d".to_owned()),
        ..Query::default()
    };
    let page = Kubernetes::list_page(&server, &context(), &by_name, Some("more+")).unwrap();
    assert!(!page.names_applied);
    let base = "https://k/api/v1/namespaces/team/secrets?limit=128";
    let want = [
        format!("{base}&labelSelector=tier%3Da%20b%2Cx%3Dy"),
        format!("{base}&continue=more%2B"),
    ];
    assert_eq!(server.urls(), want);
    let neither = Kubernetes::list_page(&server, &context(), &Query::default(), None);
    assert_eq!(neither.unwrap_err().code, "invalid-request");
}

#[test]
fn a_page_that_is_too_large_is_asked_for_in_smaller_pieces() {
    let server = Server::with(&[(200, json!({"items": [secret()]}))]);
    let too_large = Err(Failure::invalid_request(
        "the answer is larger than 8192 KiB",
    ));
    server.answers.borrow_mut().push(too_large);
    let query = Query {
        name: Some(".".to_owned()),
        ..Query::default()
    };
    let page = Kubernetes::list_page(&server, &context(), &query, None).unwrap();
    assert_eq!(page.found.len(), 1);
    assert!(
        server.urls()[1].ends_with("limit=32"),
        "{:?}",
        server.urls()
    );
}

#[test]
fn a_probe_asks_what_its_user_may_do() {
    let rule = |verbs: Value, groups: Value| json!({"status": {"resourceRules": [{"verbs": verbs, "apiGroups": groups, "resources": ["secrets"], "resourceNames": ["a"]}]}});
    let none = json!({"status": {"resourceRules": [{"verbs": ["get"], "apiGroups": ["apps"], "resources": ["*"]}]}});
    let access = |allowed: bool| json!({"status": {"allowed": allowed}});
    let table = [
        (vec![(201, rule(json!(["get"]), json!([""])))], Ok(())),
        (vec![(201, rule(json!(["*"]), json!(["*"])))], Ok(())),
        (vec![(201, none.clone()), (201, access(true))], Ok(())),
        (vec![(201, none), (201, access(false))], Err("denied")),
        (
            vec![(403, status("Forbidden", "selfsubjectrulesreviews"))],
            Err("unsupported"),
        ),
        (
            vec![(401, status("Unauthorized", ""))],
            Err("unauthenticated"),
        ),
        (vec![(503, json!(""))], Err("unavailable")),
    ];
    for (answers, want) in table {
        let server = Server::with(&answers);
        let came = Kubernetes::probe(&server, &context()).map_err(|f| f.code);
        assert_eq!(came, want.map_err(str::to_owned), "{answers:?}");
        assert_eq!(server.asked.borrow().len(), answers.len());
    }
}
