//! What is read and found: each kind of object, each pick, and what an answer means that is no success.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod script;

use postern_plugin_azurekv::AzureKeyVault;
use postern_sdk::{
    Answer, Context, Failure, Find, HttpResponse, Outcome, Part, Pick, Provider, Query, Request,
};
use script::{Script, json, text, with_header};
use serde_json::{Value, json};

const VERSION: &str = "4387e9f3d6e14c459867679a90fd0f79";

fn context() -> Context {
    script::context(r#"{"vaultUrl":"https://v.vault.azure.net","authType":"ManagedIdentity"}"#)
}

fn request(key: &str, picks: &[(Option<&str>, bool)]) -> Request {
    let pick = |(property, members): &(Option<&str>, bool)| Pick {
        property: property.map(str::to_owned),
        members: *members,
    };
    Request {
        key: key.to_owned(),
        picks: picks.iter().map(pick).collect(),
        ..Request::default()
    }
}

fn whole(key: &str) -> Request {
    request(key, &[(None, false)])
}

fn metadata(key: &str, picks: &[(Option<&str>, bool)]) -> Request {
    Request {
        metadata: true,
        ..request(key, picks)
    }
}

fn secret(value: &str) -> Value {
    json!({
        "value": value,
        "id": format!("https://v.vault.azure.net/secrets/db/{VERSION}"),
        "attributes": {"enabled": true, "created": 1_493_938_410, "updated": 1_493_938_411, "exp": 1_893_456_000},
        "tags": {"team": "a", "none": null, "facts": r#"{"owner":"ada","n":null}"#, "mixed": r#"{"n":1}"#},
    })
}

fn read(host: &Script, request: Request) -> Outcome {
    AzureKeyVault::get_batch(host, &context(), &[request]).remove(0)
}

fn parts(body: Value, request: Request) -> Vec<Part> {
    match read(&Script::always(200, body), request).answer {
        Answer::Parts(parts) => parts,
        other => panic!("no parts: {other:?}"),
    }
}

fn texts(parts: Vec<Part>) -> Vec<String> {
    let text = |part| match part {
        Part::Value(value) => String::from_utf8(value).unwrap(),
        Part::Members(members) => {
            let pair = |(n, v): (String, Vec<u8>)| format!("{n}={}", String::from_utf8(v).unwrap());
            members.into_iter().map(pair).collect::<Vec<_>>().join(" ")
        }
        Part::Failed(failure) => failure.to_string(),
    };
    parts.into_iter().map(text).collect()
}

fn failed(response: HttpResponse) -> Failure {
    failed_for("db", response)
}

fn failed_for(key: &str, response: HttpResponse) -> Failure {
    let host = Script::of(move |_| response.clone());
    match read(&host, whole(key)).answer {
        Answer::Failed(failure) => failure,
        other => panic!("no failure: {other:?}"),
    }
}

fn refusal(status: u16, code: &str, message: &str, inner: &str) -> HttpResponse {
    json(
        status,
        &json!({"error": {"code": code, "message": message, "innererror": {"code": inner}}}),
    )
}

#[test]
fn each_prefix_is_a_collection() {
    let host = Script::always(404, json!({}));
    let keys = [
        "db",
        "secret/db",
        "cert/tls",
        "key/sign",
        "secret/db/rest/of/it",
    ];
    let mut asked: Vec<Request> = keys.into_iter().map(whole).collect();
    asked.push(Request {
        version: Some(VERSION.to_owned()),
        ..whole("cert/tls")
    });
    let outcomes = AzureKeyVault::get_batch(&host, &context(), &asked);
    assert_eq!(outcomes.len(), 6);
    let url = |path: &str| format!("GET https://v.vault.azure.net/{path}?api-version=7.4");
    let paths = [
        "secrets/db",
        "secrets/db",
        "certificates/tls",
        "keys/sign",
        "secrets/db",
        &format!("certificates/tls/{VERSION}"),
    ];
    assert_eq!(host.urls(), paths.map(url));
    let bearer = ("authorization".to_owned(), "Bearer the-token".to_owned());
    assert!(host.asked().iter().all(|r| r.headers.contains(&bearer)));
}

#[test]
fn what_can_name_nothing_is_never_asked() {
    let host = Script::always(200, secret("x"));
    for key in [
        "",
        "secret/",
        "/db",
        "cert/a b",
        "../keys",
        "secret/..",
        "storage/a",
        "a?b",
        "ä",
    ] {
        let Answer::Failed(failure) = read(&host, whole(key)).answer else {
            panic!("{key:?} was read")
        };
        assert_eq!(failure.code, "invalid-request", "{key:?}");
    }
    let version = Request {
        version: Some("../x".to_owned()),
        ..whole("db")
    };
    assert!(
        matches!(read(&host, version).answer, Answer::Failed(f) if f.code == "invalid-request")
    );
    assert_eq!(host.asked(), []);
}

#[test]
fn one_bad_key_is_no_others() {
    let host = Script::always(200, secret("x"));
    let asked = [whole("a b"), whole("db")];
    let outcomes = AzureKeyVault::get_batch(&host, &context(), &asked);
    assert!(matches!(&outcomes[0].answer, Answer::Failed(_)));
    assert_eq!(
        outcomes[1].answer,
        Answer::Parts(vec![Part::Value(b"x".to_vec())])
    );
}

#[test]
fn properties_are_paths_before_they_are_names_with_dots() {
    let body = r#"{"a":{"b":"path","n":1.50},"a.b":"name","c.d":"dotted","e":[{"f":"<"}],"t":true,"z":null}"#;
    let asked = ["a.b", "c.d", "a.n", "e.0.f", "e.0", "t", "z", "x", "x.y"];
    let picks: Vec<_> = asked.iter().map(|p| (Some(*p), false)).collect();
    let got = texts(parts(secret(body), request("db", &picks)));
    let absent = |p: &str| format!(r#"not-found: property "{p}" does not exist in "db""#);
    let want = ["path", "dotted", "1.5", "<", r#"{"f":"<"}"#, "true", ""].map(str::to_owned);
    assert_eq!(got[..7], want);
    assert_eq!(got[7..], ["x", "x.y"].map(absent));
    // An empty property is none.
    let empty = request("db", &[(Some(""), false)]);
    assert_eq!(texts(parts(secret(body), empty)), [body]);
}

#[test]
fn members_keep_their_text() {
    let body = r#"{"b": { "x" : 1.0 }, "a": "q\"", "n": null}"#;
    let got = texts(parts(
        secret(body),
        request("db", &[(None, true), (Some("b"), true)]),
    ));
    assert_eq!(got, ["a=q\" b={ \"x\" : 1.0 } n=", "x=1.0"]);
    let plain = texts(parts(secret("hunter2"), request("db", &[(None, true)])));
    assert!(plain[0].starts_with("invalid-request: "), "{plain:?}");
    assert!(!plain[0].contains("hunter2"), "{plain:?}");
}

#[test]
fn a_certificate_is_its_der_and_a_key_its_jwk() {
    let certificate =
        json!({"id": format!("https://v/certificates/tls/{VERSION}"), "cer": "MIIA/w=="});
    let asked = request(
        "cert/tls",
        &[(None, false), (Some("ignored"), false), (None, true)],
    );
    let got = parts(certificate, asked);
    let der = Part::Value(vec![0x30, 0x82, 0x00, 0xff]);
    assert_eq!(got[..2], [der.clone(), der]);
    assert!(matches!(&got[2], Part::Failed(f) if f.code == "invalid-request"));
    let key = json!({"key": {"kty": "RSA", "n": "AQ", "e": "AQAB", "kid": "https://v/keys/k/1", "key_ops": ["sign"]}});
    let asked = request("key/k", &[(None, false), (Some("n"), false), (None, true)]);
    let got = parts(key, asked);
    let jwk = r#"{"e":"AQAB","key_ops":["sign"],"kid":"https://v/keys/k/1","kty":"RSA","n":"AQ"}"#;
    assert_eq!(texts(got[..2].to_vec()), [jwk, "AQ"]);
    assert!(matches!(&got[2], Part::Failed(f) if f.code == "invalid-request"));
}

#[test]
fn tags_and_attributes_are_the_metadata() {
    let picks = [
        (None, false),
        (Some("team"), false),
        (Some("attribute.expires"), false),
        (Some("facts.owner"), false),
        (Some("none"), false),
        (Some("nope"), false),
        (Some("facts.nope"), false),
    ];
    let got = texts(parts(secret("x"), metadata("db", &picks)));
    let all: Value = serde_json::from_str(&got[0]).unwrap();
    let want = json!({"team": "a", "facts": r#"{"owner":"ada","n":null}"#, "mixed": r#"{"n":1}"#,
        "attribute.created": "2017-05-04T22:53:30Z", "attribute.updated": "2017-05-04T22:53:31Z",
        "attribute.expires": "2030-01-01T00:00:00Z"});
    assert_eq!(all, want);
    assert_eq!(got[1..5], ["a", "2030-01-01T00:00:00Z", "ada", ""]);
    assert!(
        got[5..].iter().all(|f| f.starts_with("not-found: ")),
        "{got:?}"
    );
}

#[test]
fn extracted_metadata_is_named_after_the_object() {
    let got = texts(parts(secret("x"), metadata("secret/db", &[(None, true)])));
    let want = "db_attribute.created=2017-05-04T22:53:30Z db_attribute.expires=2030-01-01T00:00:00Z \
        db_attribute.updated=2017-05-04T22:53:31Z db_facts_n= db_facts_owner=ada db_mixed={\"n\":1} db_team=a";
    assert_eq!(got, [want]);
    let picks = [
        (Some("team"), true),
        (Some("facts.owner"), true),
        (Some("nope"), true),
    ];
    let got = texts(parts(secret("x"), metadata("db", &picks)));
    assert_eq!(got[..2], ["db_team=a", "db_facts.owner=ada"]);
    assert!(got[2].starts_with("not-found: "), "{got:?}");
    let key = metadata("key/k", &[(None, true)]);
    let refused = texts(parts(json!({"key": {"kty": "RSA"}}), key));
    assert!(refused[0].starts_with("invalid-request: "), "{refused:?}");
}

#[test]
fn a_version_that_is_known_is_unchanged() {
    let known = |tag: &str| Request {
        known: Some(tag.to_owned()),
        ..whole("db")
    };
    let host = Script::always(200, secret("x"));
    let first = read(&host, whole("db"));
    assert_eq!(first.tag.as_deref(), Some(VERSION));
    let again = read(&host, known(VERSION));
    assert_eq!(
        (again.answer, again.tag.as_deref()),
        (Answer::Unchanged, Some(VERSION))
    );
    assert!(matches!(
        read(&host, known("other")).answer,
        Answer::Parts(_)
    ));
    // What may change within a version has no tag.
    assert_eq!(read(&host, metadata("db", &[(None, false)])).tag, None);
    let key = json!({"key": {"kid": format!("https://v/keys/k/{VERSION}"), "kty": "RSA"}, "id": format!("https://v/keys/k/{VERSION}")});
    assert_eq!(read(&Script::always(200, key), whole("key/k")).tag, None);
    let unnamed = json!({"value": "x", "id": "https://v/secrets/db"});
    assert_eq!(read(&Script::always(200, unnamed), whole("db")).tag, None);
}

#[test]
fn only_the_vaults_own_words_make_an_object_absent() {
    for (key, code) in [
        ("db", "SecretNotFound"),
        ("cert/c", "CertificateNotFound"),
        ("key/k", "KeyNotFound"),
    ] {
        assert_eq!(failed_for(key, refusal(404, code, "", "")).code, "absent");
    }
    assert_eq!(failed(text(404, "<html>not found")).code, "not-found");
    assert_eq!(
        failed(refusal(404, "ResourceNotFound", "", "")).code,
        "not-found"
    );
}

#[test]
fn a_refusal_names_what_is_missing_in_the_vaults_words() {
    let words = "Caller is not authorized to perform action on resource.\r\nCaller: appid=1;oid=2\r\n\
        Action: 'Microsoft.KeyVault/vaults/secrets/getSecret/action'\r\nResource: '/subscriptions/1/vaults/v/secrets/db'\r\n";
    let by_role = failed(refusal(403, "Forbidden", words, "ForbiddenByRbac"));
    assert_eq!(by_role.code, "denied");
    let want = "it needs the action Microsoft.KeyVault/vaults/secrets/getSecret/action on /subscriptions/1/vaults/v/secrets/db";
    assert!(by_role.message.ends_with(want), "{by_role}");
    let words = "The user, group or application 'appid=1' does not have secrets get permission on key vault 'v'.";
    let by_policy = failed(refusal(403, "Forbidden", words, "ForbiddenByPolicy"));
    assert!(
        by_policy.message.contains("the permission secrets get"),
        "{by_policy}"
    );
    let firewall = failed(refusal(403, "Forbidden", "x", "ForbiddenByFirewall"));
    assert!(firewall.message.contains("firewall"), "{firewall}");
    let closed = failed(refusal(403, "Forbidden", "x", "ForbiddenByConnection"));
    assert!(closed.message.contains("private endpoint"), "{closed}");
    let disabled = failed(refusal(403, "Forbidden", "x", "SecretDisabled"));
    assert_eq!(disabled.code, "denied");
    assert!(disabled.message.contains("disabled"), "{disabled}");
    let unknown = failed(refusal(403, "Forbidden", "x", "Brandnew"));
    assert!(unknown.message.contains("(Brandnew)"), "{unknown}");
    let proxy = failed(text(403, "<html>"));
    assert!(proxy.message.contains("not that of a key vault"), "{proxy}");
}

#[test]
fn no_text_of_the_vault_gets_into_a_message_unseen() {
    let words = "Action: 'hunter2 \u{1b}[31m' Resource: '<script>'";
    let failure = failed(refusal(403, "Forbidden", words, "hunter2 hunter2"));
    assert!(!failure.message.contains("hunter2"), "{failure}");
    let words = "the token the-token was sent";
    let failure = failed(refusal(403, "Forbidden", words, "ForbiddenByRbac"));
    assert!(!format!("{failure:?}").contains("the-token"), "{failure:?}");
}

#[test]
fn a_dead_token_is_told_from_a_missing_permission() {
    let dead = failed(refusal(
        401,
        "Unauthorized",
        "Error validating token: 'S2S12086'.",
        "",
    ));
    assert_eq!(dead.code, "unauthenticated");
    assert_eq!(failed(text(401, "")).code, "unauthenticated");
    // Alive, and no other token of the same kind would do.
    let audience = failed(refusal(
        401,
        "Unauthorized",
        "AKV10022: Invalid audience.",
        "",
    ));
    assert_eq!(audience.code, "denied");
    assert!(audience.message.contains("environmentType"), "{audience}");
    let issuer = failed(refusal(
        401,
        "Unauthorized",
        "AKV10032: Invalid issuer.",
        "",
    ));
    assert_eq!(issuer.code, "denied");
    assert!(issuer.message.contains("tenant"), "{issuer}");
}

#[test]
fn each_trouble_has_its_code() {
    let throttled = with_header(refusal(429, "Throttled", "x", ""), "retry-after", "7");
    let throttled = failed(throttled);
    assert_eq!(
        (throttled.code.as_str(), throttled.retry_after_ms),
        ("rate-limited", Some(7000))
    );
    assert_eq!(
        failed(refusal(429, "Throttled", "x", "")).retry_after_ms,
        None
    );
    assert_eq!(failed(text(503, "")).code, "unavailable");
    assert_eq!(failed(text(500, "<html>")).code, "unavailable");
    assert_eq!(
        failed(with_header(text(302, ""), "location", "https://x")).code,
        "unavailable"
    );
    assert_eq!(
        failed(refusal(400, "BadParameter", "x", "")).code,
        "invalid-request"
    );
    assert_eq!(failed(text(200, "<html>")).code, "unavailable");
    // A success without a value is no empty value.
    for body in [json!({}), json!({"value": null}), json!({"id": "x"})] {
        assert_eq!(failed(json(200, &body)).code, "unavailable", "{body}");
    }
    assert_eq!(
        failed_for("cert/c", json(200, &json!({"cer": "%"}))).code,
        "unavailable"
    );
    assert_eq!(
        failed_for("key/k", json(200, &json!({"key": {}}))).code,
        "unavailable"
    );
    assert_eq!(texts(parts(secret(""), whole("db"))), [""]);
    let out = Failure::timeout("no answer");
    let said = out.clone();
    let host = Script::failing(move |_| Err(said.clone()));
    assert_eq!(read(&host, whole("db")).answer, Answer::Failed(out));
}

#[test]
fn a_read_without_a_session_asks_nothing() {
    let host = Script::always(200, secret("x"));
    let context = Context {
        session: None,
        ..context()
    };
    let outcome = AzureKeyVault::get_batch(&host, &context, &[whole("db")]).remove(0);
    assert!(matches!(outcome.answer, Answer::Failed(f) if f.code == "internal"));
    assert_eq!(host.asked(), []);
}

fn item(name: &str, enabled: bool, tags: Value) -> Value {
    json!({"id": format!("https://v.vault.azure.net/secrets/{name}"), "attributes": {"enabled": enabled}, "tags": tags})
}

fn list(
    host: &Script,
    tags: &[(&str, &str)],
    after: Option<&str>,
) -> Result<(Vec<String>, Option<String>), Failure> {
    let query = Query {
        tags: tags
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect(),
        name: Some("x".to_owned()),
        ..Query::default()
    };
    let page = AzureKeyVault::list_page(host, &context(), &query, after)?;
    // Names and tags both count.
    assert!(!page.names_applied);
    Ok((page.found.into_iter().map(|f| f.key).collect(), page.next))
}

#[test]
fn finds_what_is_enabled_and_has_all_tags() {
    let items = json!({"value": [
        item("a", true, json!({"team": "a", "env": "prod"})),
        item("b", true, json!({"team": "a"})),
        item("c", false, json!({"team": "a", "env": "prod"})),
        item("d", true, json!(null)),
        {"id": "https://v.vault.azure.net/secrets/e", "tags": {"team": "a", "env": "prod"}},
    ], "nextLink": null});
    let host = Script::always(200, items);
    let names = |tags: &[(&str, &str)]| list(&host, tags, None).unwrap().0;
    assert_eq!(names(&[]), ["a", "b", "d"]);
    assert_eq!(names(&[("team", "a"), ("env", "prod")]), ["a"]);
    assert_eq!(names(&[("team", "b")]), [""; 0]);
    let url = "GET https://v.vault.azure.net/secrets?api-version=7.4&maxresults=25";
    assert_eq!(host.urls()[0], url);
}

#[test]
fn follows_pages_of_the_same_list_and_gives_the_rest_back() {
    let host = Script::of(|request| {
        let at: usize = request
            .url
            .rsplit_once("skip=")
            .map_or(0, |(_, n)| n.parse().unwrap());
        let next = format!(
            "https://v.vault.azure.net:443/secrets?api-version=7.4&skip={}",
            at + 1
        );
        let next = (at < 49).then_some(next);
        json(
            200,
            &json!({"value": [item(&format!("n{at}"), true, json!({}))], "nextLink": next}),
        )
    });
    let (first, next) = list(&host, &[], None).unwrap();
    assert_eq!(
        (first.len(), next.as_deref()),
        (40, Some("api-version=7.4&skip=40"))
    );
    let (rest, next) = list(&host, &[], next.as_deref()).unwrap();
    assert_eq!((rest.len(), next), (10, None));
    assert_eq!(host.urls().len(), 50);
}

#[test]
fn a_list_that_goes_on_elsewhere_is_not_followed() {
    for elsewhere in [
        "https://evil.example.com/secrets?api-version=7.4",
        "https://v.vault.azure.net:8443/secrets?api-version=7.4",
        "http://v.vault.azure.net/secrets?api-version=7.4",
        "https://v.vault.azure.net/keys?api-version=7.4",
        "https://v.vault.azure.net/secretsx?a=b",
        "https://v.vault.azure.net/secrets?a=b#c",
        "/secrets?a=b",
    ] {
        let host = Script::of(move |_| json(200, &json!({"value": [], "nextLink": elsewhere})));
        let failure = list(&host, &[], None).unwrap_err();
        assert_eq!(failure.code, "unavailable", "{elsewhere}");
        assert_eq!(host.asked().len(), 1, "{elsewhere}");
    }
}

#[test]
fn a_list_that_is_refused_names_the_action() {
    let host = Script::of(|_| refusal(403, "Forbidden", "x", "ForbiddenByRbac"));
    let failure = list(&host, &[], None).unwrap_err();
    assert_eq!(failure.code, "denied");
    assert!(
        failure.message.contains("secrets/readMetadata/action"),
        "{failure}"
    );
}
