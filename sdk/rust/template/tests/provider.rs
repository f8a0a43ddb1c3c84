//! The provider against a host that a test plays. Run with `cargo test`.

use std::cell::RefCell;

use postern_sdk::{
    Answer, Context, Credential, Entropy, Failure, Files, Http, HttpRequest, HttpResponse, Log,
    Outcome, Part, Pick, Provider as _, Request, Templating,
};
use template_provider::TemplateProvider;

/// Answers by the end of the URL, and remembers what was asked.
struct Fake {
    answers: Vec<(&'static str, u16, &'static str)>,
    asked: RefCell<Vec<HttpRequest>>,
}

impl Http for Fake {
    fn send(&self, request: &HttpRequest) -> Result<HttpResponse, Failure> {
        self.asked.borrow_mut().push(request.clone());
        let found = self
            .answers
            .iter()
            .find(|(end, ..)| request.url.ends_with(end));
        let (_, status, body) = found.copied().unwrap_or(("", 404, "not here"));
        Ok(HttpResponse {
            status,
            headers: vec![("etag".to_owned(), "\"7\"".to_owned())],
            body: body.as_bytes().to_vec(),
            options: Vec::new(),
        })
    }
}

impl Files for Fake {}
impl Log for Fake {}
impl Entropy for Fake {}
impl Templating for Fake {}

fn read(
    answers: &[(&'static str, u16, &'static str)],
    requests: &[Request],
) -> (Vec<Outcome>, Vec<HttpRequest>) {
    let host = Fake {
        answers: answers.to_vec(),
        asked: RefCell::default(),
    };
    let context = Context {
        config: r#"{"url":"http://127.0.0.1:1/app/","auth":{"secretRef":{"token":{"name":"s"}}}}"#
            .to_owned(),
        credentials: vec![Credential {
            pointer: "/auth/secretRef/token".to_owned(),
            value: b"the-token".to_vec(),
            attributes: Vec::new(),
        }],
        ..Context::default()
    };
    let outcomes = TemplateProvider::get_batch(&host, &context, requests);
    (outcomes, host.asked.into_inner())
}

fn request(key: &str, property: Option<&str>, members: bool) -> Request {
    Request {
        key: key.to_owned(),
        picks: vec![Pick {
            property: property.map(str::to_owned),
            members,
        }],
        ..Request::default()
    }
}

fn code(outcome: &Outcome) -> &str {
    match &outcome.answer {
        Answer::Failed(failure) => &failure.code,
        other => panic!("{other:?}"),
    }
}

fn part(outcome: &Outcome) -> &Part {
    match &outcome.answer {
        Answer::Parts(parts) => &parts[0],
        other => panic!("{other:?}"),
    }
}

#[test]
fn reads_values_properties_and_members() {
    let answers = [
        ("/db%20x/p", 200, "plain"),
        ("/json", 200, r#"{"a":{"b":1,"c":"t"}}"#),
    ];
    let requests = [
        request("db x/p", None, false),
        request("json", Some("a.c"), false),
        request("json", Some("a"), true),
        request("gone", None, false),
    ];
    let (outcomes, asked) = read(&answers, &requests);
    assert_eq!(part(&outcomes[0]), &Part::Value(b"plain".to_vec()));
    assert_eq!(part(&outcomes[1]), &Part::Value(b"t".to_vec()));
    let members = [("b", "1"), ("c", "t")].map(|(n, v)| (n.to_owned(), v.as_bytes().to_vec()));
    assert_eq!(part(&outcomes[2]), &Part::Members(members.to_vec()));
    assert_eq!(code(&outcomes[3]), "absent");
    assert_eq!(outcomes[0].tag.as_deref(), Some("\"7\""));
    assert_eq!(asked[0].url, "http://127.0.0.1:1/app/db%20x/p");
    assert_eq!(
        asked[0].headers,
        [("authorization".to_owned(), "Bearer the-token".to_owned())]
    );
}

#[test]
fn answers_unchanged_where_the_tag_holds() {
    let known = Request {
        known: Some("\"7\"".to_owned()),
        ..request("a", None, false)
    };
    let (outcomes, asked) = read(&[("/a", 304, "")], &[known]);
    assert_eq!(outcomes[0].answer, Answer::Unchanged);
    assert!(
        asked[0]
            .headers
            .contains(&("if-none-match".to_owned(), "\"7\"".to_owned()))
    );
}

#[test]
fn tells_failures_apart_without_the_servers_words() {
    for (status, want) in [
        (401, "unauthenticated"),
        (403, "denied"),
        (429, "rate-limited"),
        (503, "unavailable"),
        (418, "internal"),
    ] {
        let (outcomes, _) = read(&[("/a", status, "sentinel")], &[request("a", None, false)]);
        assert_eq!(code(&outcomes[0]), want);
        assert!(!format!("{outcomes:?}").contains("sentinel"));
    }
}

#[test]
fn asks_for_nothing_outside_of_the_url() {
    let requests = ["../a", "a//b", "", "b"].map(|key| request(key, None, false));
    let (outcomes, asked) = read(&[("", 200, "x")], &requests);
    for outcome in &outcomes[..3] {
        assert_eq!(code(outcome), "invalid-request");
    }
    assert_eq!(part(&outcomes[3]), &Part::Value(b"x".to_vec()));
    assert_eq!(asked.len(), 1);
}

#[test]
fn examines_the_url() {
    let examine = |url: &str| {
        let config = format!(r#"{{"url":"{url}"}}"#);
        TemplateProvider::examine(&config, &[], &Vec::new())
    };
    let needs = examine("http://127.0.0.1:8080/app").unwrap();
    assert_eq!(needs.endpoints[0].origin, "http://127.0.0.1:8080");
    assert!(needs.references.is_empty());
    for bad in ["ftp://a", "https://", "https://u@a/b", "a"] {
        assert_eq!(examine(bad).unwrap_err()[0].pointer, "/url", "{bad}");
    }
}
