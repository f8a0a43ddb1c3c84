//! The provider against answers as Doppler documents them. The host's doors are traits, so no component is needed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a helper of a test cannot read is a failed test"
)]

use std::cell::RefCell;

use postern_sdk::{
    Answer, Context, Credential, Entropy, Failure, Files, Http, HttpRequest, HttpResponse, Log,
    Outcome, Part, Pick, Provider as _, Request, Templating,
};
use provider_rust::Doppler;

const TOKEN: &str = "dp.st.dev.sentinel-token";
const BODY: &str =
    r#"{"PLAIN":"sentinel-value","JSON":"{\"a\":{\"b\":[1,\"x\"]},\"s\":\"t\",\"n\":1.50}"}"#;

/// Answers every request the same way, and remembers what was asked and logged.
struct Fake {
    answer: Result<HttpResponse, Failure>,
    asked: RefCell<Vec<HttpRequest>>,
    logged: RefCell<Vec<String>>,
}

impl Fake {
    fn of(answer: Result<HttpResponse, Failure>) -> Self {
        Self {
            answer,
            asked: RefCell::default(),
            logged: RefCell::default(),
        }
    }

    fn status(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let headers = headers.iter();
        Self::of(Ok(HttpResponse {
            status,
            headers: headers
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
            body: body.as_bytes().to_vec(),
            options: Vec::new(),
        }))
    }

    fn read(&self, config: &str, requests: &[Request]) -> Vec<Outcome> {
        Doppler::get_batch(self, &context(config), requests)
    }
}

impl Http for Fake {
    fn send(&self, request: &HttpRequest) -> Result<HttpResponse, Failure> {
        self.asked.borrow_mut().push(request.clone());
        self.answer.clone()
    }
}

impl Log for Fake {
    fn log(&self, level: &str, message: &str, fields: &[(String, String)]) {
        let line = format!("{level} {message} {fields:?}");
        self.logged.borrow_mut().push(line);
    }
}

impl Files for Fake {}
impl Entropy for Fake {}
impl Templating for Fake {}

fn context(config: &str) -> Context {
    Context {
        config: format!(
            r#"{{"auth":{{"secretRef":{{"dopplerToken":{{"name":"doppler"}}}}}}{config}}}"#
        ),
        credentials: vec![Credential {
            pointer: "/auth/secretRef/dopplerToken".to_owned(),
            value: TOKEN.as_bytes().to_vec(),
            attributes: Vec::new(),
        }],
        ..Context::default()
    }
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

fn part(outcome: &Outcome) -> Part {
    match &outcome.answer {
        Answer::Parts(parts) => parts[0].clone(),
        other => panic!("{other:?}"),
    }
}

fn text(outcome: &Outcome) -> String {
    match part(outcome) {
        Part::Value(bytes) => String::from_utf8(bytes).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn failure(outcome: &Outcome) -> Failure {
    match &outcome.answer {
        Answer::Failed(failure) => failure.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn reads_a_whole_batch_with_one_request() {
    let host = Fake::status(200, &[("etag", "W/\"7\"")], BODY);
    let config = r#","project":"a b","config":"dev","nameTransformer":"camel","baseUrl":"http://127.0.0.1:1""#;
    let outcomes = host.read(
        config,
        &[
            request("PLAIN", None, false),
            request("JSON", Some("a.b.1"), false),
            request("JSON", Some("a.b"), false),
            request("GONE", None, false),
        ],
    );
    assert_eq!(text(&outcomes[0]), "sentinel-value");
    assert_eq!(text(&outcomes[1]), "x");
    assert_eq!(text(&outcomes[2]), r#"[1,"x"]"#);
    assert_eq!(failure(&outcomes[3]).code, "absent");
    assert_eq!(outcomes[0].tag.as_deref(), Some("W/\"7\""));
    let asked = host.asked.borrow();
    assert_eq!(asked.len(), 1);
    assert_eq!(
        asked[0].url,
        "http://127.0.0.1:1/v3/configs/config/secrets/download?format=json&project=a%20b&config=dev&name_transformer=camel"
    );
    let bearer = format!("Bearer {TOKEN}");
    let want = [
        ("accept", "application/json"),
        ("authorization", bearer.as_str()),
    ];
    assert_eq!(
        asked[0].headers,
        want.map(|(n, v)| (n.to_owned(), v.to_owned()))
    );
}

#[test]
fn takes_members_of_a_json_object_and_of_nothing_else() {
    let host = Fake::status(200, &[], BODY);
    let outcomes = host.read(
        "",
        &[
            request("JSON", None, true),
            request("JSON", Some("a"), true),
            request("PLAIN", None, true),
            request("PLAIN", Some("a"), false),
            request("JSON", Some("x.y"), false),
        ],
    );
    let members = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter();
        Part::Members(
            pairs
                .map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec()))
                .collect(),
        )
    };
    let want = members(&[("a", r#"{"b":[1,"x"]}"#), ("n", "1.50"), ("s", "t")]);
    assert_eq!(part(&outcomes[0]), want);
    assert_eq!(part(&outcomes[1]), members(&[("b", r#"[1,"x"]"#)]));
    let code = |outcome: &Outcome| match part(outcome) {
        Part::Failed(failure) => failure.code,
        other => panic!("{other:?}"),
    };
    assert_eq!(code(&outcomes[2]), "invalid-request");
    assert_eq!(code(&outcomes[3]), "invalid-request");
    assert_eq!(code(&outcomes[4]), "absent");
}

#[test]
fn sends_a_tag_only_if_all_know_the_same() {
    let knows = |tag: Option<&str>| Request {
        known: tag.map(str::to_owned),
        ..request("PLAIN", None, false)
    };
    let sent = |requests: &[Request]| {
        let host = Fake::status(200, &[], BODY);
        host.read("", requests);
        let asked = host.asked.borrow();
        asked[0]
            .headers
            .iter()
            .find(|(n, _)| n == "if-none-match")
            .map(|(_, v)| v.clone())
    };
    assert_eq!(
        sent(&[knows(Some("7")), knows(Some("7"))]),
        Some("7".to_owned())
    );
    assert_eq!(sent(&[knows(Some("7")), knows(Some("8"))]), None);
    assert_eq!(sent(&[knows(Some("7")), knows(None)]), None);

    let host = Fake::status(304, &[], "");
    let outcomes = host.read("", &[knows(Some("7"))]);
    assert_eq!(outcomes[0].answer, Answer::Unchanged);
    assert_eq!(outcomes[0].tag.as_deref(), Some("7"));
    assert_eq!(failure(&host.read("", &[knows(None)])[0]).code, "internal");
}

#[test]
fn tells_why_it_could_not_read_without_words_of_the_server() {
    let body = r#"{"messages":["sentinel-body"],"success":false}"#;
    for (status, code) in [
        (401, "unauthenticated"),
        (403, "denied"),
        (404, "not-found"),
        (429, "rate-limited"),
        (500, "unavailable"),
        (503, "unavailable"),
        (302, "internal"),
        (418, "internal"),
    ] {
        let host = Fake::status(status, &[("retry-after", "7")], body);
        let config = r#","project":"p","config":"c""#;
        let got = failure(&host.read(config, &[request("PLAIN", None, false)])[0]);
        assert_eq!(got.code, code, "{status}");
        assert!(got.message.contains("p/c"), "{got}");
        assert!(
            !format!("{got:?}{:?}", host.logged).contains("sentinel"),
            "{got:?}"
        );
        assert_eq!(got.retry_after_ms, (status == 429).then_some(7000));
        let probed = Doppler::probe(&host, &context(config)).unwrap_err();
        assert_eq!(probed.code, code, "{status}");
    }
    let host = Fake::status(200, &[], r#"["sentinel"]"#);
    let got = failure(&host.read("", &[request("PLAIN", None, false)])[0]);
    assert_eq!(got.code, "internal");
    assert!(!got.message.contains("sentinel"));
}

#[test]
fn passes_on_what_the_host_says() {
    let refusal = Failure::denied("add 127.0.0.1 to the grant");
    let host = Fake::of(Err(refusal.clone()));
    assert_eq!(
        failure(&host.read("", &[request("PLAIN", None, false)])[0]),
        refusal
    );
    assert_eq!(Doppler::probe(&host, &context("")), Err(refusal));
}

#[test]
fn asks_nothing_for_an_empty_batch_and_logs_one_line_for_another() {
    let host = Fake::status(200, &[], BODY);
    assert_eq!(host.read("", &[]), []);
    assert!(host.asked.borrow().is_empty() && host.logged.borrow().is_empty());
    host.read(
        "",
        &[request("PLAIN", None, false), request("JSON", None, false)],
    );
    let want = r#"debug read [("status", "200"), ("objects", "2")]"#;
    assert_eq!(*host.logged.borrow(), [want]);
}

#[test]
fn refuses_versions_and_metadata_alone() {
    let host = Fake::status(200, &[], BODY);
    let versioned = Request {
        version: Some("3".to_owned()),
        ..request("PLAIN", None, false)
    };
    let metadata = Request {
        metadata: true,
        ..request("PLAIN", None, false)
    };
    let outcomes = host.read("", &[versioned, metadata, request("PLAIN", None, false)]);
    assert_eq!(failure(&outcomes[0]).code, "unsupported");
    assert_eq!(failure(&outcomes[1]).code, "unsupported");
    assert_eq!(text(&outcomes[2]), "sentinel-value");
}

#[test]
fn probes_who_the_token_is() {
    let host = Fake::status(200, &[], "{}");
    Doppler::probe(&host, &context("")).unwrap();
    assert_eq!(host.asked.borrow()[0].url, "https://api.doppler.com/v3/me");
}

#[test]
fn examines_what_the_schema_cannot() {
    let examine = |config: &str| Doppler::examine(&context(config).config, &[], &Vec::new());
    let needs = examine("").unwrap();
    assert_eq!(needs.endpoints[0].origin, "https://api.doppler.com");
    assert_eq!(needs.references[0].pointer, "/auth/secretRef/dopplerToken");
    assert_eq!(
        needs.references[0].options,
        [("default-key".to_owned(), "dopplerToken".to_owned())]
    );
    let problems = examine(r#","format":"yaml","baseUrl":"https://a/b""#).unwrap_err();
    let pointers: Vec<_> = problems.iter().map(|p| p.pointer.as_str()).collect();
    assert_eq!(pointers, ["/format", "/baseUrl"]);
    assert!(examine(r#","format":"json","baseUrl":"http://a:1""#).is_ok());
}

#[test]
fn marks_the_reference_in_its_schema() {
    let schema: serde_json::Value =
        serde_json::from_str(&Doppler::describe().config_schema).unwrap();
    let token = "/properties/auth/properties/secretRef/properties/dopplerToken/x-postern-ref";
    assert_eq!(schema.pointer(token).unwrap(), "secret-key");
}
