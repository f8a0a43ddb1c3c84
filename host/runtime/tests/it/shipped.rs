//! The plugins that Postern ships load and answer within the limits.

use std::time::Duration;

use postern_core::failure::Code;
use postern_core::plugin::{Datum, PluginHost as _, RenderJob, Template};
use postern_runtime::aot::CompileWith;
use postern_runtime::{Limits, Runtime};

use crate::kit::component;

/// Their code is kept between runs: compiling Go's takes long in a test build.
fn runtime() -> Runtime {
    Runtime::builder()
        .cache_dir(env!("CARGO_TARGET_TMPDIR"))
        .compile_with(CompileWith::InProcess)
        .build()
        .unwrap()
}

#[tokio::test]
async fn every_shipped_provider_loads() {
    let runtime = runtime();
    for name in ["fake", "file", "vault"] {
        let revision = runtime.load_bytes(&component(name), true).await.unwrap();
        assert!(!revision.is_engine, "{name}");
        for key in &revision.descriptor.serves {
            assert_eq!(runtime.provider(key).unwrap().digest, revision.digest);
        }
    }
}

#[tokio::test]
async fn the_shipped_engine_renders_within_its_limits() {
    let runtime = runtime();
    let engine = runtime
        .load_bytes(&component("go-template"), true)
        .await
        .unwrap();
    assert!(engine.is_engine);
    let template = |source: &str| Template {
        name: "t".into(),
        source: source.into(),
        options: vec![],
    };
    let job = RenderJob {
        templates: vec![
            template("{{ .user | upper }}"),
            template("{{ .user"),
            template(r#"{{ genPrivateKey "rsa" | len }}"#),
        ],
        data: vec![Datum {
            path: vec!["user".into()],
            value: "app".into(),
        }],
    };
    let rendered = runtime
        .render(&engine.digest, &[job], &vec![])
        .await
        .unwrap();
    assert_eq!(rendered[0][0].as_ref().unwrap().expose(), b"APP");
    assert!(rendered[0][1].is_err(), "an open brace");
    assert!(
        rendered[0][2].is_ok(),
        "a key of sprig's: {:?}",
        rendered[0][2]
    );
}

/// What a template can do to hurt: each ends in a failure, and says of which limit.
#[tokio::test]
async fn hostile_templates_end_within_the_limits() {
    let limits = Limits {
        cpu: Duration::from_secs(2),
        ..Limits::engine()
    };
    let runtime = Runtime::builder()
        .cache_dir(env!("CARGO_TARGET_TMPDIR"))
        .compile_with(CompileWith::InProcess)
        .engine_limits(limits)
        .build()
        .unwrap();
    let engine = runtime.load_bytes(&component("go-template"), true).await;
    let engine = engine.unwrap();
    let nested = format!("{{{{ {}1{} }}}}", "(".repeat(200_000), ")".repeat(200_000));
    let hostile = [
        ("a loop without end", "{{ range 1000000000 }}{{ end }}"),
        (
            "loops in loops",
            "{{ range until 9999 }}{{ range until 9999 }}x{{ end }}{{ end }}",
        ),
        ("a huge list", "{{ untilStep 0 1000000000 1 | len }}"),
        ("a huge repeat", r#"{{ repeat 1000000000 "x" | len }}"#),
        (
            "repeats of repeats",
            r#"{{ repeat 100000 (repeat 100000 "x") }}"#,
        ),
        (
            "a text that doubles",
            r#"{{ $x := "x" }}{{ range until 60 }}{{ $x = print $x $x }}{{ end }}"#,
        ),
        ("a huge random text", "{{ randAlphaNum 1000000000 | len }}"),
        ("huge random bytes", "{{ randBytes 2000000000 | len }}"),
        (
            "a template that calls itself",
            r#"{{ define "a" }}{{ template "a" }}{{ end }}{{ template "a" }}"#,
        ),
        ("deep brackets", &nested),
        (
            "a YAML of aliases",
            r#"{{ fromYaml "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g,*g]" | toJson | fail }}"#,
        ),
    ];
    let mut ended = Vec::new();
    for (what, source) in hostile {
        let template = Template {
            name: "t".into(),
            source: source.into(),
            options: vec![],
        };
        let job = RenderJob {
            templates: vec![template],
            data: vec![],
        };
        let failure = match runtime.render(&engine.digest, &[job], &vec![]).await {
            Err(failure) => Some(failure),
            Ok(mut rendered) => rendered.remove(0).remove(0).err(),
        };
        let how = failure.map(|f| (f.code, f.public.clone()));
        ended.push((what, how));
    }
    let clear = |(_, how): &(&str, Option<(Code, String)>)| {
        let codes = [
            Code::LimitExceeded,
            Code::Timeout,
            Code::TemplateFailed,
            Code::TemplateInvalid,
        ];
        how.as_ref().is_some_and(|(code, _)| codes.contains(code))
    };
    assert!(ended.iter().all(clear), "{ended:#?}");
    let job = RenderJob {
        templates: vec![Template {
            name: "t".into(),
            source: "{{ 1 }}".into(),
            options: vec![],
        }],
        data: vec![],
    };
    let rendered = runtime
        .render(&engine.digest, &[job], &vec![])
        .await
        .unwrap();
    assert_eq!(rendered[0][0].as_ref().unwrap().expose(), b"1");
}
