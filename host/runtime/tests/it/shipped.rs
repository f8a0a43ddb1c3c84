//! The plugins that Postern ships load and answer within the limits.

use postern_core::plugin::{Datum, PluginHost as _, RenderJob, Template};
use postern_runtime::Runtime;
use postern_runtime::aot::CompileWith;

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
