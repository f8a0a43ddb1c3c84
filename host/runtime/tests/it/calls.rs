//! Every function of the contract, honestly answered.

use std::collections::BTreeMap;
use std::sync::Arc;

use postern_core::failure::{Code, Stage};
use postern_core::plugin::{Datum, Material, PluginHost as _, Query, RenderJob, Template};
use serde_json::json;

use crate::kit::{self, SENTINELS, bench, hostile, request};

#[tokio::test]
async fn a_batch_is_answered_in_order_by_the_smallest_provider() {
    let bench = bench("minimal").await;
    assert_eq!(bench.plugin.descriptor.name, "minimal");
    assert!(!bench.plugin.has_login && !bench.plugin.has_find && !bench.plugin.is_engine);
    let requests = [request("a"), request("b")];
    let outcomes = bench
        .runtime
        .read(&bench.call(json!({})), &requests)
        .await
        .unwrap();
    assert_eq!(kit::value_of(&outcomes[..1]), "a");
    assert_eq!(kit::value_of(&outcomes[1..]), "b");
}

#[tokio::test]
async fn the_guest_gets_session_namespace_options_and_credentials() {
    let bench = hostile().await;
    let seen = bench.value(&bench.call(json!({"do": "echo"}))).await;
    assert_eq!(
        seen,
        format!(
            "{} team-a [(\"provider-key\", \"hostile\")] 1",
            SENTINELS[1]
        )
    );
}

#[tokio::test]
async fn providers_and_engines_are_found_by_key_and_an_unknown_key_names_those_there_are() {
    let bench = hostile().await;
    bench
        .runtime
        .load_bytes(&kit::guest("minimal"), false)
        .await
        .unwrap();
    assert_eq!(
        bench.runtime.provider("hostile").unwrap().digest,
        bench.plugin.digest
    );
    let failure = bench.runtime.provider("vualt").unwrap_err();
    assert_eq!(failure.code, Code::UnknownProvider);
    assert_eq!(
        failure.public,
        "no plugin serves the provider \"vualt\"; there are: hostile, minimal"
    );
    assert_eq!(
        bench.runtime.engine("go").unwrap_err().code,
        Code::UnknownProvider
    );
}

#[tokio::test]
async fn optional_interfaces_are_found_by_reflection_and_a_lack_is_said() {
    let hostile = hostile().await;
    assert!(hostile.plugin.has_login && hostile.plugin.has_find);
    let minimal = bench("minimal").await;
    let failure = minimal
        .runtime
        .login(&minimal.call(json!({})))
        .await
        .unwrap_err();
    assert_eq!(
        (failure.code, failure.stage),
        (Code::Unsupported, Stage::Login)
    );
    assert_eq!(failure.public, "the plugin minimal 0.1.0 has no login");
}

#[tokio::test]
async fn login_renew_and_close_carry_the_session() {
    let bench = hostile().await;
    let call = bench.call(json!({}));
    let session = bench.runtime.login(&call).await.unwrap();
    assert_eq!(
        session.token.expose(),
        format!("session-of-{}", SENTINELS[0]).as_bytes()
    );
    assert_eq!(session.expires_in.unwrap().as_secs(), 60);
    let renewed = bench.runtime.renew(&call).await.unwrap();
    assert_eq!(renewed.token.expose(), SENTINELS[1].as_bytes());
    bench.runtime.close(&call).await.unwrap();
}

#[tokio::test]
async fn examine_says_needs_or_problems_and_has_no_network() {
    let bench = hostile().await;
    let digest = &bench.plugin.digest;
    let credentials = bench.call(json!({})).credentials;
    let config = json!({"url": "https://vault:8200", "do": "per-namespace"}).to_string();
    let needs = bench
        .runtime
        .examine(digest, &config, &credentials, &Vec::new())
        .await
        .unwrap()
        .unwrap();
    assert!(needs.per_namespace);
    assert_eq!(needs.references[0].audiences, ["vault"]);
    assert_eq!(
        needs.endpoints[0].ca,
        Some(Material::Pem(SENTINELS[0].into()))
    );
    let problems = bench
        .runtime
        .examine(digest, r#"{"do":"problem"}"#, &[], &Vec::new())
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(problems[0].pointer, "/do");
    let config = json!({"url": "http://127.0.0.1:1/", "do": "examine-http"}).to_string();
    assert!(
        bench
            .runtime
            .examine(digest, &config, &[], &Vec::new())
            .await
            .unwrap()
            .is_ok()
    );
}

#[tokio::test]
async fn a_probe_that_is_denied_says_so_at_the_stage_of_checking() {
    let bench = hostile().await;
    bench.runtime.probe(&bench.call(json!({}))).await.unwrap();
    let failure = bench
        .runtime
        .probe(&bench.call(json!({"do": "probe-denied"})))
        .await
        .unwrap_err();
    assert_eq!((failure.code, failure.stage), (Code::Denied, Stage::Check));
}

#[tokio::test]
async fn a_search_is_answered_page_by_page() {
    let bench = hostile().await;
    let query = Query {
        path: Some("team/".into()),
        tags: vec![],
        name: Some("^a".into()),
        ..Query::default()
    };
    let call = bench.call(json!({}));
    let first = bench.runtime.find(&call, &query, None).await.unwrap();
    assert_eq!(first.found[0].key, "team/0");
    assert_eq!(first.found[0].value.as_ref().unwrap().expose(), b"along");
    assert!(first.names_applied && first.convert_names);
    let second = bench
        .runtime
        .find(&call, &query, first.next.as_deref())
        .await
        .unwrap();
    assert_eq!((second.next, second.convert_names), (None, false));
}

fn job(source: &str) -> RenderJob {
    RenderJob {
        templates: vec![Template {
            name: "t".into(),
            source: source.into(),
            options: vec![],
        }],
        data: vec![Datum {
            path: vec!["password".into()],
            value: SENTINELS[0].into(),
        }],
    }
}

#[tokio::test]
async fn an_engine_renders_jobs_in_order_and_its_faults_are_failures() {
    let bench = bench("engine").await;
    assert!(bench.plugin.is_engine);
    let digest = &bench.plugin.digest;
    let jobs = [
        job("pw={{ .password }}"),
        job("{{ random }}"),
        job("{{ .nothing }}"),
    ];
    let rendered = bench.runtime.render(digest, &jobs, &vec![]).await.unwrap();
    assert_eq!(
        rendered[0][0].as_ref().unwrap().expose(),
        format!("pw={}", SENTINELS[0]).as_bytes()
    );
    assert!(rendered[1][0].is_ok());
    let failure = kit::clean(rendered[2][0].clone().unwrap_err());
    assert_eq!(
        (failure.code, failure.stage),
        (Code::TemplateInvalid, Stage::Render)
    );
    for (source, code) in [("trap", Code::Trapped), ("short", Code::ContractBroken)] {
        let failure = kit::clean(
            bench
                .runtime
                .render(digest, &[job(source)], &vec![])
                .await
                .unwrap_err(),
        );
        assert_eq!(failure.code, code, "{source}");
    }
    assert!(
        bench
            .runtime
            .render(digest, &[job("fine")], &vec![])
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn entropy_is_served() {
    let bench = hostile().await;
    let call = bench.call(json!({"do": "entropy"}));
    assert_ne!(bench.value(&call).await, bench.value(&call).await);
}

#[tokio::test]
async fn only_granted_directories_are_read_and_no_link_leads_out() {
    let bench = hostile().await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    std::fs::write(dir.path().join("sub/token"), "from-file").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("out")).unwrap();
    let with = |action: &str, root: &str, path: &str| {
        let mut call = bench.call(json!({"do": action, "root": root, "path": path}));
        call.directories = Arc::new(BTreeMap::from([(
            "tokens".to_owned(),
            dir.path().to_owned(),
        )]));
        call
    };
    assert_eq!(
        bench.value(&with("read-file", "tokens", "sub/token")).await,
        "from-file"
    );
    assert_eq!(
        bench.value(&with("list-dir", "tokens", "")).await,
        "out,sub/"
    );
    let ungranted = bench.reported(&with("read-file", "elsewhere", "x")).await;
    assert_eq!(ungranted.code, Code::FilesDenied);
    assert!(
        ungranted.public.contains("--grant-files elsewhere=DIR"),
        "{ungranted}"
    );
    for path in ["out", "../../etc/passwd", "/etc/passwd"] {
        let failure = bench.reported(&with("read-file", "tokens", path)).await;
        assert!(
            matches!(
                failure.code,
                Code::Denied | Code::Unavailable | Code::NotFound
            ),
            "{path}: {failure:?}"
        );
    }
    assert_eq!(
        bench
            .reported(&with("read-file", "tokens", "none"))
            .await
            .code,
        Code::NotFound
    );
}
