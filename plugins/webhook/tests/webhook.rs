//! What a store may say, what is asked for a pick, and what an answer means. The engine here knows one kind of template:
//! a path of names in braces.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::cell::{Cell, RefCell};

use postern_plugin_webhook::Webhook;
use postern_sdk::{
    Answer, Context, Credential, Entropy, Failure, Files, Http, HttpRequest, HttpResponse, Job,
    Log, Material, Needs, Options, Outcome, Part, Pick, Problem, Provider, Reference, Request,
    Templating,
};
use serde_json::{Value, json};

/// Answers every request alike, and counts calls of the engine.
struct Server {
    answer: HttpResponse,
    asked: RefCell<Vec<HttpRequest>>,
    renders: Cell<usize>,
}

impl Server {
    fn new(status: u16, body: &str, headers: &[(&str, &str)]) -> Self {
        Self {
            answer: HttpResponse {
                status,
                headers: headers
                    .iter()
                    .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                    .collect(),
                body: body.as_bytes().to_vec(),
                ..HttpResponse::default()
            },
            asked: RefCell::default(),
            renders: Cell::new(0),
        }
    }

    fn urls(&self) -> Vec<String> {
        self.asked.borrow().iter().map(|r| r.url.clone()).collect()
    }
}

impl Http for Server {
    fn send(&self, request: &HttpRequest) -> Result<HttpResponse, Failure> {
        self.asked.borrow_mut().push(request.clone());
        Ok(self.answer.clone())
    }
}
impl Files for Server {}
impl Log for Server {}
impl Entropy for Server {}
impl Templating for Server {
    fn render(&self, jobs: &[Job], options: &Options) -> Vec<Vec<Result<Vec<u8>, Failure>>> {
        assert_eq!(*options, [("missingkey".to_owned(), "default".to_owned())]);
        self.renders.set(self.renders.get() + 1);
        let one = |job: &Job| {
            let render = |source: &str| {
                let mut out = source.to_owned();
                for datum in &job.data {
                    let value = std::str::from_utf8(&datum.value).unwrap();
                    out = out.replace(&format!("{{{{ .{} }}}}", datum.path.join(".")), value);
                }
                if out.contains("{{ fail }}") {
                    return Err(Failure::invalid_config("does not parse"));
                }
                Ok(out.into_bytes())
            };
            job.templates.iter().map(|t| render(&t.source)).collect()
        };
        jobs.iter().map(one).collect()
    }
}

fn context(config: &Value) -> Context {
    Context {
        config: config.to_string(),
        credentials: vec![Credential {
            pointer: "/secrets/0/secretRef/token".to_owned(),
            value: b"tok+en".to_vec(),
            attributes: Vec::new(),
        }],
        ..Context::default()
    }
}

fn examine(config: &Value) -> Result<Needs, Vec<Problem>> {
    Webhook::examine(&config.to_string(), &[], &Vec::new())
}

fn request(key: &str, properties: &[&str]) -> Request {
    let pick = |p: &&str| Pick {
        property: Some((*p).to_owned()).filter(|p| !p.is_empty()),
        members: false,
    };
    Request {
        key: key.to_owned(),
        picks: properties.iter().map(pick).collect(),
        ..Request::default()
    }
}

fn values(outcome: &Outcome) -> Vec<String> {
    match &outcome.answer {
        Answer::Parts(parts) => parts
            .iter()
            .map(|part| match part {
                Part::Value(value) => String::from_utf8(value.clone()).unwrap(),
                Part::Failed(failure) => failure.code.clone(),
                Part::Members(_) => panic!("members"),
            })
            .collect(),
        Answer::Unchanged => vec!["unchanged".to_owned()],
        Answer::Failed(failure) => vec![failure.code.clone()],
    }
}

#[test]
fn a_config_needs_its_origin_its_secrets_and_sometimes_the_namespace() {
    let config = json!({"url": "https://api.corp:8443/{{ .remoteRef.key }}", "caProvider": {"type": "Secret", "name": "c"},
        "secrets": [{"name": "a", "secretRef": {"name": "x"}}, {"name": "b", "secretRef": {"name": "y"}}]});
    let needs = examine(&config).unwrap();
    assert_eq!(needs.endpoints[0].origin, "https://api.corp:8443");
    assert_eq!(
        needs.endpoints[0].ca,
        Some(Material::Pointer("/caProvider".to_owned()))
    );
    let references = ["/secrets/0/secretRef", "/secrets/1/secretRef"].map(Reference::at);
    assert_eq!(needs.references, references);
    assert!(!needs.per_namespace);
    for field in ["url", "body"] {
        let mut config = config.clone();
        config[field] = json!("https://api.corp:8443/{{ .remoteRef.namespace }}");
        assert!(examine(&config).unwrap().per_namespace, "{field}");
    }
    let mut config = config.clone();
    config["headers"] = json!({"X-Team": "{{ .remoteRef.namespace }}"});
    assert!(examine(&config).unwrap().per_namespace);
}

#[test]
fn wrong_configs_are_told_by_field() {
    let table = [
        (json!({"url": "{{ .x.url }}/a"}), "/url"),
        (json!({"url": "ftp://x/a"}), "/url"),
        (json!({"url": "https://{{ .remoteRef.key }}.corp/"}), "/url"),
        (json!({"url": "https://corp{{ .remoteRef.key }}"}), "/url"),
        (json!({"url": "https://u:p@corp/"}), "/url"),
        (json!({"url": "https:///a"}), "/url"),
        (json!({"url": "https://x/", "timeout": "soon"}), "/timeout"),
        (json!({"url": "https://x/", "caBundle": "no"}), "/caBundle"),
        (
            json!({"url": "https://x/", "auth": {"ntlm": {}}}),
            "/auth/ntlm",
        ),
    ];
    for (config, pointer) in table {
        let problems = examine(&config).unwrap_err();
        assert_eq!(problems[0].pointer, pointer, "{config}");
    }
}

#[test]
fn what_is_sent_is_rendered_and_only_the_url_is_escaped() {
    let config = json!({"url": "https://x/{{ .remoteRef.key }}?p={{ .remoteRef.property }}&v={{ .remoteRef.version }}",
        "method": "POST", "timeout": "2s",
        "headers": {"Authorization": "Bearer {{ .auth.token }}", "X-Key": "{{ .remoteRef.key }}", "X-Fix": "as is"},
        "body": "{\"k\":\"{{ .remoteRef.key }}\"}", "result": {"jsonPath": "$['{{ .remoteRef.property }}']"},
        "secrets": [{"name": "auth", "secretRef": {"name": "s"}}]});
    let server = Server::new(200, r#"{"a b":"one"}"#, &[]);
    let mut asked = request("a/b c", &["a b"]);
    asked.version = Some("2".to_owned());
    let outcomes = Webhook::get_batch(&server, &context(&config), &[asked]);
    assert_eq!(values(&outcomes[0]), ["one"]);
    let sent = server.asked.borrow();
    let want = HttpRequest {
        method: "POST".to_owned(),
        url: "https://x/a%2Fb+c?p=a+b&v=2".to_owned(),
        headers: [
            ("Authorization", "Bearer tok+en"),
            ("X-Fix", "as is"),
            ("X-Key", "a/b c"),
        ]
        .map(|(n, v)| (n.to_owned(), v.to_owned()))
        .to_vec(),
        body: Some(br#"{"k":"a/b c"}"#.to_vec()),
        options: vec![("timeout-ms".to_owned(), "2000".to_owned())],
    };
    assert_eq!(*sent, [want]);
    assert_eq!(server.renders.get(), 1);
}

#[test]
fn equal_requests_are_sent_once_and_the_engine_is_asked_once_or_never() {
    let plain = json!({"url": "https://x/all", "result": {"jsonPath": "$.a"}});
    let server = Server::new(200, r#"{"a":"one"}"#, &[]);
    let asked = [request("a", &["", "p"]), request("b", &[""])];
    let outcomes = Webhook::get_batch(&server, &context(&plain), &asked);
    let all: Vec<_> = outcomes.iter().map(values).collect();
    assert_eq!(all, [vec!["one", "one"], vec!["one"]]);
    assert_eq!(server.urls(), ["https://x/all"]);
    assert_eq!(server.renders.get(), 0);

    let by_property = json!({"url": "https://x/{{ .remoteRef.property }}"});
    let server = Server::new(200, "v", &[("etag", "\"1\"")]);
    let outcomes = Webhook::get_batch(&server, &context(&by_property), &asked);
    assert_eq!(server.urls(), ["https://x/", "https://x/p"]);
    assert_eq!(server.renders.get(), 1);
    // Two answers have no tag in common; the single one has its own.
    let tags: Vec<_> = outcomes.iter().map(|o| o.tag.as_deref()).collect();
    assert_eq!(tags, [None, Some("\"1\"")]);
}

#[test]
fn a_template_that_fails_is_its_picks_failure_only() {
    let config = json!({"url": "https://x/{{ .remoteRef.key }}"});
    let server = Server::new(200, "v", &[]);
    let asked = [request("{{ fail }}", &[""]), request("good", &[""])];
    // The key is escaped in the URL, so the engine sees no braces of its own making.
    let outcomes = Webhook::get_batch(&server, &context(&config), &asked);
    assert_eq!(values(&outcomes[0]), ["v"]);
    let config = json!({"url": "https://x/{{ .remoteRef.key }}", "body": "{{ fail }}"});
    let outcomes = Webhook::get_batch(&server, &context(&config), &asked);
    assert_eq!(values(&outcomes[1]), ["invalid-config"]);
}

#[test]
fn a_known_tag_is_offered_and_304_means_unchanged() {
    let config = json!({"url": "https://x/a"});
    let mut asked = request("a", &[""]);
    asked.known = Some("W/\"1\"".to_owned());
    let server = Server::new(304, "", &[]);
    let outcomes = Webhook::get_batch(&server, &context(&config), &[asked.clone()]);
    assert_eq!(outcomes[0].answer, Answer::Unchanged);
    assert_eq!(outcomes[0].tag, asked.known);
    let offered = ("if-none-match".to_owned(), "W/\"1\"".to_owned());
    assert!(server.asked.borrow()[0].headers.contains(&offered));
    let outcomes = Webhook::get_batch(&server, &context(&config), &[request("a", &[""])]);
    assert_eq!(values(&outcomes[0]), ["invalid-request"]);
}

#[test]
fn statuses_are_codes_and_nothing_of_the_answer_is_quoted() {
    let table = [
        (404, "absent"),
        (401, "unauthenticated"),
        (403, "denied"),
        (429, "rate-limited"),
        (302, "invalid-request"),
        (400, "invalid-request"),
        (408, "timeout"),
        (500, "unavailable"),
    ];
    for (status, code) in table {
        let server = Server::new(status, "hunter2", &[("retry-after", "7")]);
        let config = json!({"url": "https://x/a"});
        let outcomes = Webhook::get_batch(&server, &context(&config), &[request("a", &[""])]);
        let Answer::Failed(failure) = &outcomes[0].answer else {
            panic!("{status}")
        };
        assert_eq!(failure.code, code, "{status}");
        assert!(!format!("{failure:?}").contains("hunter2"));
        assert_eq!(
            failure.retry_after_ms.is_some(),
            [429, 500].contains(&status),
            "{status}"
        );
    }
}

#[test]
fn an_extract_takes_members() {
    let server = Server::new(200, r#"{"data":{"a":"x","n":1.5}}"#, &[]);
    let config = json!({"url": "https://x/a", "result": {"jsonPath": "$.data"}});
    let mut asked = request("a", &[""]);
    asked.picks[0].members = true;
    let outcomes = Webhook::get_batch(&server, &context(&config), &[asked]);
    let want = [("a", "x"), ("n", "1.5")].map(|(k, v)| (k.to_owned(), v.as_bytes().to_vec()));
    assert_eq!(
        outcomes[0].answer,
        Answer::Parts(vec![Part::Members(want.to_vec())])
    );
}

#[test]
fn the_namespace_is_there_where_it_is_told() {
    let config = json!({"url": "https://x/{{ .remoteRef.namespace }}/a"});
    let server = Server::new(200, "v", &[]);
    let told = Context {
        namespace: Some("team-a".to_owned()),
        ..context(&config)
    };
    Webhook::get_batch(&server, &told, &[request("a", &[""])]);
    assert_eq!(server.urls(), ["https://x/team-a/a"]);
}

#[test]
fn a_probe_asks_for_nothing() {
    let server = Server::new(404, "", &[]);
    let config = json!({"url": "https://x:8443/{{ .remoteRef.key }}"});
    Webhook::probe(&server, &context(&config)).unwrap();
    let sent = server.asked.borrow();
    assert_eq!(
        (sent[0].method.as_str(), sent[0].url.as_str()),
        ("HEAD", "https://x:8443/")
    );
}
