//! The misdeeds of a read, by name.

use crate::exports::postern::plugin::read::{Answer, Outcome, Part, Request};
use crate::failure;
use crate::postern::plugin::types::{Context, Failure};
use crate::postern::plugin::{entropy, files, http, log};
use serde_json::Value;

pub fn read(context: &Context, config: &Value, requests: &[Request]) -> Vec<Outcome> {
    let n = usize::try_from(config["n"].as_u64().unwrap_or(1)).unwrap_or(usize::MAX);
    let url = config["url"].as_str().unwrap_or_default();
    match config["do"].as_str().unwrap_or_default() {
        "loop" => loop {
            std::hint::black_box(0);
        },
        "alloc" => alloc_for_ever(),
        "trap" => core::arch::wasm32::unreachable(),
        "recurse" => vec![value(requests, vec![recurse(n as u64) as u8])],
        "big-value" => each(requests, |_| vec![b'x'; n]),
        "many-members" => members(requests, n),
        "many-outcomes" => (0..n).map(|_| value(requests, vec![])).collect(),
        "no-outcomes" => vec![],
        "many-parts" => parts(requests, n),
        "bad-utf8" => each_failed(requests, &failure("denied", broken_text())),
        "control-text" => each_failed(requests, &failure("denied", "a\0b\u{1b}[31mred\nline")),
        "long-text" => each_failed(requests, &failure("denied", "long ".repeat(n))),
        "bad-code" => each_failed(requests, &failure("surprise", "boo")),
        "rate-limited" => {
            let slow = Failure {
                retry_after_ms: Some(1500),
                ..failure("rate-limited", "slow down")
            };
            each_failed(requests, &slow)
        }
        "leak" => each_failed(requests, &failure("denied", secrets_of(context))),
        "log-secrets" => {
            log::log(
                "error",
                &secrets_of(context),
                &[("field".into(), secrets_of(context))],
            );
            each(requests, |r| r.key.clone().into_bytes())
        }
        "log-flood" => {
            for i in 0..n {
                log::log("info", &format!("flood {i} {}", "x".repeat(4096)), &[]);
            }
            each(requests, |r| r.key.clone().into_bytes())
        }
        "http" => from_http(requests, get(url)),
        "http-text" => from_http(
            requests,
            get(&format!("{url}?token={}", secrets_of(context))),
        ),
        "headers" => from_http(requests, send("GET", url, header_flood(n), None)),
        "bad-header" => from_http(
            requests,
            send("GET", url, vec![("x\r\ny".into(), "z".into())], None),
        ),
        "host-header" => from_http(
            requests,
            send(
                "GET",
                url,
                vec![("Host".into(), "evil.example".into())],
                None,
            ),
        ),
        "upload" => from_http(requests, send("POST", url, vec![], Some(vec![b'u'; n]))),
        "follow" => from_http(requests, follow(url)),
        "many-requests" => many_requests(requests, url, n),
        "send-all" => send_all(requests, url, n),
        "read-file" => each_result(
            requests,
            &files::read(&text(config, "root"), &text(config, "path")),
        ),
        "list-dir" => {
            let names = files::list_dir(&text(config, "root"), &text(config, "path"));
            each_result(requests, &names.map(|n| n.join(",").into_bytes()))
        }
        "entropy" => each(requests, |_| {
            format!("{} {}", entropy::now_ns(), entropy::random_u64()).into_bytes()
        }),
        "echo" => each(requests, |_| echo(context)),
        "unchanged" => requests
            .iter()
            .map(|_| outcome(Answer::Unchanged))
            .collect(),
        _ => each(requests, |r| r.key.clone().into_bytes()),
    }
}

fn alloc_for_ever() -> ! {
    let mut hoard = Vec::new();
    loop {
        hoard.push(vec![1u8; 1 << 20]);
        std::hint::black_box(&hoard);
    }
}

#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let room = std::hint::black_box([depth; 64]);
    if depth == 0 {
        room[0]
    } else {
        recurse(depth - 1) + room[63]
    }
}

#[expect(
    unsafe_code,
    reason = "breaking the rule of UTF-8 is this guest's purpose"
)]
fn broken_text() -> String {
    // SAFETY: none; the text goes to the host, which must cope.
    unsafe { String::from_utf8_unchecked(vec![b'a', 0xff, 0xfe, b'b']) }
}

fn secrets_of(context: &Context) -> String {
    let session = context.session.clone().unwrap_or_default();
    let credentials = context
        .credentials
        .iter()
        .map(|c| String::from_utf8_lossy(&c.value).into_owned());
    format!(
        "session {} credentials {}",
        String::from_utf8_lossy(&session),
        credentials.collect::<Vec<_>>().join(",")
    )
}

fn echo(context: &Context) -> Vec<u8> {
    let session =
        String::from_utf8_lossy(context.session.as_deref().unwrap_or_default()).into_owned();
    let namespace = context.namespace.as_deref().unwrap_or("-");
    format!(
        "{session} {namespace} {:?} {}",
        context.options,
        context.credentials.len()
    )
    .into_bytes()
}

fn text(config: &Value, member: &str) -> String {
    config[member].as_str().unwrap_or_default().to_owned()
}

pub fn get(url: &str) -> Result<http::Response, Failure> {
    send("GET", url, vec![], None)
}

fn send(
    method: &str,
    url: &str,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
) -> Result<http::Response, Failure> {
    http::send(&http::Request {
        method: method.into(),
        url: url.into(),
        headers,
        body,
        options: vec![],
    })
}

fn header_flood(n: usize) -> Vec<(String, String)> {
    (0..n)
        .map(|i| (format!("x-flood-{i}"), "y".repeat(64)))
        .collect()
}

fn follow(url: &str) -> Result<http::Response, Failure> {
    let response = get(url)?;
    let location = response
        .headers
        .iter()
        .find(|(name, _)| name == "location")
        .map(|(_, value)| value.clone());
    match location {
        Some(location) if (300..400).contains(&response.status) => get(&location),
        _ => Ok(response),
    }
}

fn many_requests(requests: &[Request], url: &str, n: usize) -> Vec<Outcome> {
    let mut last = Err(failure("internal", "nothing was sent"));
    for _ in 0..n {
        last = get(url);
    }
    from_http(requests, last)
}

fn send_all(requests: &[Request], url: &str, n: usize) -> Vec<Outcome> {
    let all: Vec<_> = (0..n)
        .map(|i| http::Request {
            method: "GET".into(),
            url: format!("{url}{i}"),
            headers: vec![],
            body: None,
            options: vec![],
        })
        .collect();
    let bodies: Result<Vec<_>, Failure> = http::send_all(&all)
        .into_iter()
        .map(|r| r.map(|r| r.body))
        .collect();
    each_result(requests, &bodies.map(|b| b.join(&b"|"[..])))
}

fn from_http(requests: &[Request], response: Result<http::Response, Failure>) -> Vec<Outcome> {
    each_result(
        requests,
        &response.map(|r| [format!("{} ", r.status).as_bytes(), &r.body].concat()),
    )
}

fn outcome(answer: Answer) -> Outcome {
    Outcome {
        answer,
        tag: Some("t1".into()),
        options: vec![],
    }
}

fn value(requests: &[Request], bytes: Vec<u8>) -> Outcome {
    let picks = requests.first().map_or(1, |r| r.picks.len());
    outcome(Answer::Parts(
        (0..picks).map(|_| Part::Value(bytes.clone())).collect(),
    ))
}

fn each(requests: &[Request], f: impl Fn(&Request) -> Vec<u8>) -> Vec<Outcome> {
    let one = |r: &Request| {
        outcome(Answer::Parts(
            r.picks.iter().map(|_| Part::Value(f(r))).collect(),
        ))
    };
    requests.iter().map(one).collect()
}

fn each_failed(requests: &[Request], failure: &Failure) -> Vec<Outcome> {
    requests
        .iter()
        .map(|_| outcome(Answer::Failed(failure.clone())))
        .collect()
}

fn each_result(requests: &[Request], result: &Result<Vec<u8>, Failure>) -> Vec<Outcome> {
    match result {
        Ok(bytes) => each(requests, |_| bytes.clone()),
        Err(failure) => each_failed(requests, failure),
    }
}

fn members(requests: &[Request], n: usize) -> Vec<Outcome> {
    let members: Vec<_> = (0..n).map(|i| (i.to_string(), vec![])).collect();
    requests
        .iter()
        .map(|_| outcome(Answer::Parts(vec![Part::Members(members.clone())])))
        .collect()
}

fn parts(requests: &[Request], n: usize) -> Vec<Outcome> {
    let parts = || (0..n).map(|_| Part::Value(vec![])).collect();
    requests
        .iter()
        .map(|_| outcome(Answer::Parts(parts())))
        .collect()
}
