//! The server answers as Doppler's documentation says, and misbehaves as it is told.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::{DOWNLOAD, Doppler, Fault, ME};

/// Status, headers in lower case, body.
struct Got {
    status: u16,
    head: String,
    body: Value,
}

impl Got {
    fn header(&self, name: &str) -> Option<&str> {
        let line = self
            .head
            .lines()
            .find(|l| l.starts_with(&format!("{name}: ")))?;
        Some(&line[name.len() + 2..])
    }

    fn message(&self) -> &str {
        assert_eq!(self.body["success"], json!(false));
        self.body["messages"][0].as_str().unwrap()
    }
}

fn ask(server: &Doppler, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Got {
    let mut stream = TcpStream::connect(server.url().trim_start_matches("http://")).unwrap();
    let mut request = format!("{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Got {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_owned(),
        body: serde_json::from_str(body).unwrap_or_default(),
    }
}

fn get(server: &Doppler, query: &str, token: &str) -> Got {
    let bearer = format!("Bearer {token}");
    let target = format!("{DOWNLOAD}?format=json{query}");
    ask(server, "GET", &target, &[("authorization", &bearer)], "")
}

fn demo() -> Doppler {
    let server = Doppler::start().unwrap();
    server.set("demo", "dev", "DB_PASSWORD", "päss");
    server
}

#[test]
fn downloads_the_config_of_a_service_token_with_the_facts_that_doppler_adds() {
    let server = demo();
    let want = json!({"DB_PASSWORD": "päss", "DOPPLER_PROJECT": "demo", "DOPPLER_ENVIRONMENT": "dev", "DOPPLER_CONFIG": "dev"});
    for query in ["", "&project=demo", "&project=demo&config=dev"] {
        let got = get(&server, query, Doppler::TOKEN);
        assert_eq!((got.status, got.body), (200, want.clone()), "{query}");
    }
    assert_eq!(server.downloads(), 3);
}

#[test]
fn answers_304_while_the_tag_holds_and_another_tag_after_a_change() {
    let server = demo();
    let bearer = format!("Bearer {}", Doppler::TOKEN);
    let tag = get(&server, "", Doppler::TOKEN)
        .header("etag")
        .unwrap()
        .to_owned();
    let headers = [("authorization", bearer.as_str()), ("if-none-match", &tag)];
    let target = format!("{DOWNLOAD}?format=json");
    let got = ask(&server, "GET", &target, &headers, "");
    assert_eq!((got.status, got.body), (304, Value::Null));
    server.set("demo", "dev", "DB_PASSWORD", "other");
    let got = ask(&server, "GET", &target, &headers, "");
    assert_eq!(got.status, 200);
    assert_ne!(got.header("etag"), Some(tag.as_str()));
    assert_eq!((server.downloads(), server.unchanged()), (3, 1));
}

#[test]
fn refuses_a_token_that_it_does_not_know_before_it_looks_at_the_request() {
    let server = demo();
    for got in [
        get(&server, "&project=nothing", "wrong"),
        ask(&server, "GET", DOWNLOAD, &[], ""),
        ask(&server, "GET", ME, &[], ""),
    ] {
        assert_eq!((got.status, got.message()), (401, "Invalid Auth token"));
    }
    server.revoke(Doppler::TOKEN);
    assert_eq!(get(&server, "", Doppler::TOKEN).status, 401);
}

#[test]
fn tells_a_config_that_is_not_there_from_one_that_the_token_may_not_read() {
    let server = demo();
    server.add_config("other", "prd");
    server.add_account_token("account", &["demo", "gone"]);
    let status = |query: &str, token: &str| get(&server, query, token).status;
    assert_eq!(status("&project=other&config=prd", Doppler::TOKEN), 403);
    assert_eq!(status("&config=prd", Doppler::TOKEN), 403);
    assert_eq!(status("&project=demo&config=dev", "account"), 200);
    assert_eq!(status("&project=other&config=prd", "account"), 403);
    let missing = get(&server, "&project=demo&config=qa", "account");
    assert_eq!(
        (missing.status, missing.message()),
        (404, "Could not find requested config 'qa'")
    );
    assert_eq!(status("&project=gone&config=dev", "account"), 404);
    assert_eq!(status("&config=dev", "account"), 400);
    assert_eq!(status("&project=demo", "account"), 400);
    server.remove_config("demo", "dev");
    assert_eq!(status("", Doppler::TOKEN), 404);
}

#[test]
fn rewrites_names_as_asked() {
    let server = Doppler::start().unwrap();
    server.set("demo", "dev", "SMTP__USER_NAME", "u");
    for (transformer, name) in [
        ("upper-camel", "SmtpUserName"),
        ("camel", "smtpUserName"),
        ("lower-snake", "smtp__user_name"),
        ("tf-var", "TF_VAR_smtp__user_name"),
        ("dotnet-env", "Smtp__UserName"),
        ("lower-kebab", "smtp--user-name"),
    ] {
        let got = get(
            &server,
            &format!("&name_transformer={transformer}"),
            Doppler::TOKEN,
        );
        assert_eq!(got.body[name], json!("u"), "{transformer}: {}", got.body);
    }
    assert_eq!(
        get(&server, "&name_transformer=no", Doppler::TOKEN).status,
        400
    );
}

#[test]
fn says_who_a_token_is() {
    let server = demo();
    let bearer = format!("Bearer {}", Doppler::TOKEN);
    let got = ask(&server, "GET", ME, &[("authorization", &bearer)], "");
    assert_eq!(
        (got.status, &got.body["type"]),
        (200, &json!("service_token"))
    );
    assert_eq!(server.requests()[ME], 1);
}

#[test]
fn misbehaves_as_told_until_told_to_stop() {
    let server = demo();
    let status = || get(&server, "", Doppler::TOKEN).status;
    server.set_fault(Fault::TooManyRequests(Duration::from_secs(7)));
    let throttled = get(&server, "", Doppler::TOKEN);
    assert_eq!(
        (throttled.status, throttled.header("retry-after")),
        (429, Some("7"))
    );
    assert!(throttled.message().contains("rate limit"));
    for (fault, want) in [
        (Fault::Broken, 503),
        (Fault::Denied, 403),
        (Fault::Unauthenticated, 401),
        (Fault::Delay(Duration::ZERO), 200),
        (Fault::Status(418, Value::Null), 418),
    ] {
        server.set_fault(fault);
        assert_eq!(status(), want);
    }
    server.clear_fault();
    assert_eq!(status(), 200);
    assert_eq!(server.downloads(), 7);
}

#[test]
fn is_steered_over_http_by_a_shell() {
    let server = Doppler::start().unwrap();
    let post = |target: &str, body: &str| ask(&server, "POST", target, &[], body);
    post("/_test/set?project=shop&config=prd&name=A_B", "a value\n");
    post(
        "/_test/service-token?token=dp.st.prd%2Fx&project=shop&config=prd",
        "",
    );
    assert_eq!(
        get(&server, "", "dp.st.prd/x").body["A_B"],
        json!("a value\n")
    );
    assert_eq!(post("/_test/fault?kind=throttle&seconds=3", "").status, 200);
    assert_eq!(
        get(&server, "", "dp.st.prd/x").header("retry-after"),
        Some("3")
    );
    assert_eq!(post("/_test/fault?kind=none", "").status, 200);
    assert_eq!(post("/_test/fault?kind=mistyped", "").status, 400);
    post("/_test/remove?project=shop&config=prd&name=A_B", "");
    assert_eq!(get(&server, "", "dp.st.prd/x").body.get("A_B"), None);
    let counts = post("/_test/counts", "").body;
    assert_eq!(counts, json!({"requests": {DOWNLOAD: 3}, "unchanged": 0}));
    post("/_test/revoke?token=dp.st.prd%2Fx", "");
    assert_eq!(get(&server, "", "dp.st.prd/x").status, 401);
}
