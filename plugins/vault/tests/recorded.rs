//! The provider against exchanges recorded from a real OpenBao server. The replay answers exactly the
//! requests that a test names, each once, and refuses all others.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod replay;

use postern_plugin_vault::Vault;
use postern_sdk::{
    Answer, Context, Credential, Failure, Find, Login, Outcome, Page, Part, Pick, Provider, Query,
    Request,
};
use replay::Replay;

const V2: &str = r#"{"server":"http://vault:8200","path":"secret","auth":{"tokenSecretRef":{"name":"t","key":"k"}}}"#;
const V1: &str = r#"{"server":"http://vault:8200/","path":"kv1","version":"v1"}"#;
const APP_ROLE: &str = r#"{"server":"http://vault:8200","path":"secret","auth":{"appRole":
    {"path":"approle","roleId":" d881137b-bd3d-c329-2ff8-590dd61524d0\n","secretRef":{"name":"s"}}}}"#;

fn context(config: &str, token: &str) -> Context {
    Context {
        config: config.to_owned(),
        session: Some(token.as_bytes().to_vec()),
        ..Context::default()
    }
}

fn whole(key: &str) -> Request {
    Request {
        key: key.to_owned(),
        picks: vec![Pick::default()],
        ..Request::default()
    }
}

fn property(key: &str, property: &str) -> Request {
    Request {
        key: key.to_owned(),
        picks: vec![Pick {
            property: Some(property.to_owned()),
            members: false,
        }],
        ..Request::default()
    }
}

fn text(outcome: &Outcome) -> String {
    match &outcome.answer {
        Answer::Parts(parts) => match &parts[0] {
            Part::Value(v) => String::from_utf8(v.clone()).unwrap(),
            other => panic!("no value: {other:?}"),
        },
        other => panic!("no parts: {other:?}"),
    }
}

fn failure(outcome: &Outcome) -> &Failure {
    match &outcome.answer {
        Answer::Failed(f) => f,
        Answer::Parts(parts) => match &parts[0] {
            Part::Failed(f) => f,
            other => panic!("no failure: {other:?}"),
        },
        Answer::Unchanged => panic!("unchanged"),
    }
}

fn credential(pointer: &str, value: &str) -> Credential {
    Credential {
        pointer: pointer.to_owned(),
        value: value.as_bytes().to_vec(),
        attributes: Vec::new(),
    }
}

#[test]
fn reads_the_latest_version_as_go_writes_json() {
    let host = Replay::of(&["KV v2 read, latest version"]);
    let outcome = Vault::get_batch(&host, &context(V2, "root"), &[whole("team-a/db")]).remove(0);
    let want = r#"{"html":"\u003ca\u0026b\u003e","nested":{"big":9007199254740992,"dotted.key":"x","hosts":["a","b"],"tls":true},"password":"second","port":5432,"username":"app"}"#;
    assert_eq!(text(&outcome), want);
    assert_eq!(
        outcome.tag.as_deref(),
        Some("2@2026-11-23T23:33:11.125982699Z")
    );
    host.all_used();
}

#[test]
fn takes_many_picks_of_one_object_from_one_request() {
    let host = Replay::of(&["KV v2 read, latest version"]);
    let pick = |p: &str, members| Pick {
        property: Some(p.to_owned()),
        members,
    };
    let picks = [
        "password",
        "nested.hosts.1",
        "port",
        "nested.dotted\\.key",
        "nested.big",
        "html",
        "nope",
    ];
    let mut picks: Vec<Pick> = picks.map(|p| pick(p, false)).into();
    picks.push(pick("nested", true));
    let request = Request {
        key: "secret/data/team-a/db".to_owned(),
        picks,
        ..Request::default()
    };
    let outcome = Vault::get_batch(&host, &context(V2, "root"), &[request]).remove(0);
    let Answer::Parts(parts) = outcome.answer else {
        panic!("no parts")
    };
    let value = |t: &str| Part::Value(t.as_bytes().to_vec());
    assert_eq!(parts[..3], ["second", "b", "5432"].map(value));
    assert_eq!(parts[3..6], ["x", "9007199254740992", "<a&b>"].map(value));
    let missing = Failure::not_found(r#"cannot find secret data for key: "nope""#);
    assert_eq!(parts[6], Part::Failed(missing));
    let members = [
        ("big", "9007199254740992"),
        ("dotted.key", "x"),
        ("hosts", r#"["a","b"]"#),
        ("tls", "true"),
    ];
    let members = members.map(|(k, v)| (k.to_owned(), v.as_bytes().to_vec()));
    assert_eq!(parts[7], Part::Members(members.into()));
    host.all_used();
}

#[test]
fn never_takes_a_property_for_a_path_under_the_key_open_bao() {
    let host = Replay::of(&["KV v2 read, latest version"]);
    let mut context = context(V2, "root");
    context
        .options
        .push(("provider-key".to_owned(), "openBao".to_owned()));
    let outcome =
        Vault::get_batch(&host, &context, &[property("team-a/db", "nested.tls")]).remove(0);
    assert_eq!(failure(&outcome).code, "not-found");
}

#[test]
fn reads_the_version_that_is_asked_for() {
    let host = Replay::of(&["KV v2 read, version 1"]);
    let request = Request {
        version: Some("1".to_owned()),
        ..property("team-a/db", "password")
    };
    assert_eq!(
        text(&Vault::get_batch(&host, &context(V2, "root"), &[request])[0]),
        "first"
    );
    host.all_used();
}

#[test]
fn says_unchanged_only_for_the_tag_it_gave() {
    let read = |known: &str| {
        let host = Replay::of(&["KV v2 read, latest version"]);
        let request = Request {
            known: Some(known.to_owned()),
            ..whole("team-a/db")
        };
        Vault::get_batch(&host, &context(V2, "root"), &[request])
            .remove(0)
            .answer
    };
    assert_eq!(read("2@2026-11-23T23:33:11.125982699Z"), Answer::Unchanged);
    assert!(matches!(read("2@2026-11-01T00:00:00Z"), Answer::Parts(_)));
}

#[test]
fn counts_as_absent_only_what_the_server_says_is_not_there() {
    let absent = [
        ("KV v2 read, no such secret", "team-a/missing", None),
        (
            "KV v2 read, version that does not exist",
            "team-a/db",
            Some("9"),
        ),
        ("KV v2 read, latest version deleted", "team-a/gone", None),
        (
            "KV v2 read, latest version destroyed",
            "team-a/destroyed",
            None,
        ),
    ];
    for (note, key, version) in absent {
        let host = Replay::of(&[note]);
        let request = Request {
            version: version.map(str::to_owned),
            ..whole(key)
        };
        let outcome = Vault::get_batch(&host, &context(V2, "root"), &[request]).remove(0);
        assert_eq!(failure(&outcome).code, "absent", "{note}");
    }
    let host = Replay::of(&["read under a path where nothing is mounted"]);
    let config = V2.replace("\"secret\"", "\"nomount\"");
    let outcome = Vault::get_batch(&host, &context(&config, "root"), &[whole("x")]).remove(0);
    assert_eq!(failure(&outcome).code, "not-found");
    assert!(
        failure(&outcome)
            .message
            .contains("nothing is mounted there")
    );
}

#[test]
fn never_counts_the_404_of_a_proxy_or_of_a_wrong_engine_as_absent() {
    let wrong = r#"{"data":null,"warnings":["Invalid path for a versioned K/V secrets engine."]}"#;
    for body in [
        "404 page not found",
        "",
        "{}",
        "[]",
        r#"{"message":"no Route matched"}"#,
        wrong,
    ] {
        let host = Replay::answering(404, body);
        let outcome = Vault::get_batch(&host, &context(V2, "root"), &[whole("a")]).remove(0);
        assert_eq!(failure(&outcome).code, "not-found", "{body}");
    }
}

#[test]
fn reads_keys_and_values_of_any_script_empty_and_null() {
    let host = Replay::of(&["KV v2 read, non-ASCII keys, empty and null values"]);
    let request = Request {
        picks: vec![Pick {
            property: None,
            members: true,
        }],
        ..whole("team-a/unicode")
    };
    let outcome = Vault::get_batch(&host, &context(V2, "root"), &[request]).remove(0);
    let Answer::Parts(parts) = outcome.answer else {
        panic!("no parts")
    };
    let want = [
        ("emoji", "🔑"),
        ("empty", ""),
        ("null", ""),
        ("ключ", "значение"),
    ];
    assert_eq!(
        parts,
        [Part::Members(
            want.map(|(k, v)| (k.to_owned(), v.as_bytes().to_vec()))
                .into()
        )]
    );
}

#[test]
fn overlays_custom_metadata_over_facts() {
    let host = Replay::of(&["KV v2 metadata with custom_metadata"]);
    let request = Request {
        metadata: true,
        ..whole("team-a/db")
    };
    let outcome = Vault::get_batch(&host, &context(V2, "root"), &[request]).remove(0);
    let want = r#"{"created_time":"2026-11-23T23:33:11.116928786Z","current_version":"2","delete_version_after":"0s","env":"prod","owner":"team-a"}"#;
    assert_eq!(text(&outcome), want);
    let host = Replay::of(&["KV v2 metadata, no such secret"]);
    let request = Request {
        metadata: true,
        ..whole("team-a/missing")
    };
    let outcome = Vault::get_batch(&host, &context(V2, "root"), &[request]).remove(0);
    assert_eq!(failure(&outcome).code, "absent");
}

#[test]
fn reads_the_first_engine_without_a_token_header_when_there_is_no_login() {
    let host = Replay::of(&["KV v1 read", "KV v1 read, no such secret"]).with_token("");
    let outcomes = Vault::get_batch(
        &host,
        &context(V1, ""),
        &[property("kv1/app", "pass"), whole("none")],
    );
    assert_eq!(text(&outcomes[0]), "p1");
    assert_eq!(outcomes[0].tag, None);
    assert_eq!(failure(&outcomes[1]).code, "absent");
    let host = Replay::of(&[]);
    let request = Request {
        metadata: true,
        ..whole("app")
    };
    let outcome = Vault::get_batch(&host, &context(V1, ""), &[request]).remove(0);
    assert_eq!(failure(&outcome).code, "invalid-request");
}

#[test]
fn reads_in_the_namespace_of_the_store() {
    let host = Replay::of(&["read in a namespace by header"]);
    let config = r#"{"server":"http://vault:8200","path":"kv","namespace":"tenant1","auth":{"namespace":"other",
        "tokenSecretRef":{"name":"t"}}}"#;
    assert_eq!(
        text(&Vault::get_batch(&host, &context(config, "root"), &[property("app", "k")])[0]),
        "ns"
    );
    host.all_used();
}

#[test]
fn tells_a_denied_object_from_a_dead_token_by_one_look_up() {
    let alive = "s.c2UQ1HsSJqJqyVx8mgX1Ub9i";
    let keys = ["team-b/key", "team-a/db"].map(whole);
    let host = Replay::of(&[
        "read denied by policy",
        "read allowed by policy",
        "service token with a TTL looks itself up",
    ]);
    let outcomes = Vault::get_batch(&host, &context(APP_ROLE, alive), &keys);
    assert_eq!(failure(&outcomes[0]).code, "denied");
    assert!(matches!(outcomes[1].answer, Answer::Parts(_)));
    host.all_used();

    let host = Replay::of(&[
        "read with a revoked token",
        "read denied by policy",
        "lookup-self with an invalid token",
    ])
    .with_token(alive);
    let outcomes = Vault::get_batch(&host, &context(APP_ROLE, alive), &keys);
    assert_eq!(
        outcomes
            .iter()
            .map(|o| failure(o).code.as_str())
            .collect::<Vec<_>>(),
        ["unauthenticated"; 2]
    );
    host.all_used();

    let host = Replay::of(&["read without a token"]);
    let outcome = Vault::get_batch(&host, &context(APP_ROLE, ""), &[whole("team-a/db")]).remove(0);
    assert_eq!(failure(&outcome).code, "denied");
    host.all_used();
}

#[test]
fn says_that_the_server_is_sealed() {
    let host = Replay::of(&["read from a sealed server"]);
    let outcome = Vault::get_batch(&host, &context(V2, "root"), &[whole("team-a/db")]).remove(0);
    assert_eq!(failure(&outcome).code, "unavailable");
    assert!(failure(&outcome).message.contains("sealed"));
}

#[test]
fn reads_statuses_as_codes() {
    let cases = [
        (429, "rate-limited"),
        (500, "unavailable"),
        (502, "unavailable"),
        (412, "unavailable"),
    ];
    for (status, code) in cases.into_iter().chain([
        (473, "unavailable"),
        (307, "unavailable"),
        (400, "invalid-request"),
    ]) {
        let host = Replay::answering(status, "<html>");
        let outcome = Vault::get_batch(&host, &context(V2, "root"), &[whole("a")]).remove(0);
        assert_eq!(failure(&outcome).code, code, "{status}");
        let wait = (status == 429).then_some(7000);
        assert_eq!(failure(&outcome).retry_after_ms, wait);
    }
    let host = Replay::answering(200, "<html>login</html>");
    let outcome = Vault::get_batch(&host, &context(V2, "root"), &[whole("a")]).remove(0);
    assert_eq!(failure(&outcome).code, "unavailable");
}

#[test]
fn sends_nothing_for_a_key_that_steps_out_of_the_path() {
    let host = Replay::of(&[]);
    for key in ["../sys/mounts", "a/../../b", "", "./a"] {
        let outcome = Vault::get_batch(&host, &context(V2, "root"), &[whole(key)]).remove(0);
        assert_eq!(failure(&outcome).code, "invalid-request", "{key}");
    }
}

fn login(
    note: &str,
    config: &str,
    credentials: Vec<Credential>,
) -> Result<postern_sdk::Session, Failure> {
    let host = Replay::of(&[note]);
    let context = Context {
        config: config.to_owned(),
        credentials,
        ..Context::default()
    };
    let opened = Vault::open(&host, &context);
    host.all_used();
    opened
}

#[test]
fn logs_in_by_app_role() {
    let secret = "701c196e-f705-9118-d46b-cb982efd70f1";
    let session = login(
        "AppRole login",
        APP_ROLE,
        vec![credential("/auth/appRole/secretRef", secret)],
    )
    .unwrap();
    assert_eq!(session.token, b"s.c2UQ1HsSJqJqyVx8mgX1Ub9i");
    assert_eq!(session.expires_in_ms, Some(600_000));
    let refused = login(
        "AppRole login, wrong secret id",
        APP_ROLE,
        vec![credential("/auth/appRole/secretRef", "wrong")],
    );
    assert_eq!(refused.unwrap_err().code, "unauthenticated");
}

#[test]
fn logs_in_by_password() {
    let config = r#"{"server":"http://vault:8200","auth":{"userPass":{"username":"ada","secretRef":{"name":"s"}}}}"#;
    let pointer = "/auth/userPass/secretRef";
    let session = login(
        "userpass login",
        config,
        vec![credential(pointer, "correct horse")],
    )
    .unwrap();
    assert_eq!(session.token, b"s.PqLvKuBhXqucJGtGiKTKqpx4");
    let refused = login(
        "userpass login, wrong password",
        config,
        vec![credential(pointer, "nope")],
    )
    .unwrap_err();
    assert_eq!(refused.code, "unauthenticated");
}

#[test]
fn logs_in_by_service_account_and_by_jwt() {
    let kubernetes = r#"{"server":"http://vault:8200","auth":{"kubernetes":{"role":"ROLE","serviceAccountRef":{"name":"app"}}}}"#;
    let jwt = r#"{"server":"http://vault:8200","auth":{"jwt":{"role":" ROLE ","kubernetesServiceAccountToken":
        {"serviceAccountRef":{"name":"app"}}}}}"#;
    let account = "/auth/kubernetes/serviceAccountRef";
    let token = "/auth/jwt/kubernetesServiceAccountToken/serviceAccountRef";
    let cases = [
        (
            "Kubernetes login",
            kubernetes,
            account,
            Ok("s.FQ5NcOc3yep6SwrdefLnNnap"),
        ),
        (
            "Kubernetes login, no such role",
            kubernetes,
            account,
            Err("unauthenticated"),
        ),
        (
            "Kubernetes login, other service account",
            kubernetes,
            account,
            Err("unauthenticated"),
        ),
        (
            "Kubernetes login, not a token",
            kubernetes,
            account,
            Err("unauthenticated"),
        ),
        (
            "JWT login with a service account token for audience vault",
            jwt,
            token,
            Ok("s.oFFSUNuKBCFxGR58CI1SrXUr"),
        ),
        (
            "JWT login, wrong audience",
            jwt,
            token,
            Err("unauthenticated"),
        ),
        (
            "JWT login, bad signature",
            jwt,
            token,
            Err("unauthenticated"),
        ),
    ];
    for (note, config, pointer, want) in cases {
        let sent = replay::recorded_body(note);
        let (role, jwt) = (
            sent["role"].as_str().unwrap(),
            sent["jwt"].as_str().unwrap(),
        );
        let opened = login(
            note,
            &config.replace("ROLE", role),
            vec![credential(pointer, jwt)],
        );
        let got = opened.map(|s| String::from_utf8(s.token).unwrap());
        if let Err(failure) = &got {
            assert!(!format!("{failure:?}").contains(jwt), "{note}");
        }
        assert_eq!(got.as_deref().map_err(|f| f.code.as_str()), want, "{note}");
    }
}

#[test]
fn keeps_what_it_sent_out_of_every_failure() {
    let host = Replay::answering(
        400,
        r#"{"errors":["invalid secret id hunter2 for role-id-77"]}"#,
    );
    let config = r#"{"server":"http://vault:8200","auth":{"appRole":{"roleRef":{"name":"r"},"secretRef":{"name":"s"}}}}"#;
    let credentials = vec![
        credential("/auth/appRole/roleRef", "role-id-77"),
        credential("/auth/appRole/secretRef", "hunter2"),
    ];
    let context = Context {
        config: config.to_owned(),
        credentials,
        ..Context::default()
    };
    let refused = format!("{:?}", Vault::open(&host, &context).unwrap_err());
    assert!(
        refused.contains("invalid secret id <redacted> for <redacted>"),
        "{refused}"
    );
    assert!(
        !refused.contains("hunter2") && !refused.contains("role-id-77"),
        "{refused}"
    );
    assert!(!format!("{context:?}").contains("hunter2"));
    let host = Replay::answering(403, r#"{"errors":["token hvs.sentinel is bad"]}"#);
    let outcome =
        Vault::get_batch(&host, &self::context(V2, "hvs.sentinel"), &[whole("a")]).remove(0);
    assert!(!format!("{outcome:?}").contains("hvs.sentinel"));
}

#[test]
fn renews_and_revokes_its_own_tokens_and_never_a_static_one() {
    let token = "s.c2UQ1HsSJqJqyVx8mgX1Ub9i";
    let host = Replay::of(&["renew-self", "revoke-self"]);
    let session = Vault::renew(&host, &context(APP_ROLE, token)).unwrap();
    assert_eq!(
        (session.token.as_slice(), session.expires_in_ms),
        (token.as_bytes(), Some(600_000))
    );
    Vault::close(&host, &context(APP_ROLE, token)).unwrap();
    host.all_used();

    let host = Replay::of(&[]);
    let opening = Context {
        credentials: vec![credential("/auth/tokenSecretRef", "root")],
        ..context(V2, "")
    };
    let session = Vault::open(&host, &opening).unwrap();
    assert_eq!(
        (session.token.as_slice(), session.expires_in_ms),
        ("root".as_bytes(), None)
    );
    assert_eq!(Vault::renew(&host, &context(V2, "root")).unwrap(), session);
    Vault::close(&host, &context(V2, "root")).unwrap();
}

#[test]
fn probes_by_looking_the_token_up() {
    let host = Replay::of(&["root token looks itself up"]);
    Vault::probe(&host, &context(V2, "root")).unwrap();
    host.all_used();
    let host = Replay::of(&["lookup-self with an invalid token"]);
    assert_eq!(
        Vault::probe(&host, &context(V2, "hvs.wrong"))
            .unwrap_err()
            .code,
        "unauthenticated"
    );
}

fn find(host: &Replay, config: &str, query: &Query) -> Result<Page, Failure> {
    let page = Vault::list_page(host, &context(config, "root"), query, None);
    host.all_used();
    page
}

fn below(path: &str) -> Query {
    Query {
        path: Some(path.to_owned()),
        ..Query::default()
    }
}

#[test]
fn finds_all_keys_below_a_path_folder_by_folder() {
    let host = Replay::of(&["KV v2 list, with a folder", "KV v2 list of a folder"]);
    let page = find(&host, V2, &below("team-a")).unwrap();
    let keys: Vec<_> = page.found.iter().map(|f| f.key.as_str()).collect();
    let want =
        ["db", "destroyed", "gone", "sub/one", "sub/two", "unicode"].map(|k| format!("team-a/{k}"));
    assert_eq!(keys, want);
    assert!(!page.names_applied && page.next.is_none());
}

#[test]
fn finds_by_tags_in_custom_metadata() {
    let host = Replay::of(&["KV v2 metadata with custom_metadata"]).listing("team-a", r#"["db"]"#);
    let tags = |owner: &str| Query {
        tags: vec![("owner".to_owned(), owner.to_owned())],
        ..below("team-a")
    };
    let page = find(&host, V2, &tags("team-a")).unwrap();
    assert_eq!((page.found.len(), page.names_applied), (1, true));
    let host = Replay::of(&["KV v2 metadata with custom_metadata"]).listing("team-a", r#"["db"]"#);
    assert_eq!(find(&host, V2, &tags("team-b")).unwrap().found, []);
    let host = Replay::of(&[]);
    let first = V2.replace("\"path\"", "\"version\":\"v1\",\"path\"");
    assert_eq!(
        find(&host, &first, &tags("team-a")).unwrap_err().code,
        "unsupported"
    );
}

#[test]
fn says_absent_where_there_is_nothing_to_list() {
    let host = Replay::of(&["KV v2 list, nothing there"]);
    assert_eq!(find(&host, V2, &below("none")).unwrap_err().code, "absent");
    let host = Replay::of(&[]);
    assert_eq!(
        find(&host, V2, &below("../sys")).unwrap_err().code,
        "invalid-request"
    );
}
