//! What is refused when it is loaded, and in which words.

use postern_core::failure::{Code, Failure};

use crate::kit::{guest, runtime};
use crate::wat_guest;

async fn refused(bytes: &[u8]) -> Failure {
    let runtime = runtime();
    let failure = runtime.load_bytes(bytes, false).await.unwrap_err();
    assert!(runtime.revisions().is_empty());
    failure
}

async fn refused_wat(text: &str) -> Failure {
    refused(&wat::parse_str(text).unwrap()).await
}

#[tokio::test]
async fn a_core_module_is_told_what_to_do() {
    let failure = refused_wat("(module)").await;
    assert_eq!(failure.code, Code::PluginInvalid);
    assert!(
        failure
            .public
            .contains("core module, not a component; make a component of it"),
        "{failure}"
    );
}

#[tokio::test]
async fn what_is_no_webassembly_is_said_to_be_none() {
    let failure = refused(b"#!/bin/sh\necho hello\n").await;
    assert_eq!(failure.code, Code::PluginInvalid);
    assert!(
        failure.public.contains("not a WebAssembly component"),
        "{failure}"
    );
    assert_eq!(refused(b"").await.code, Code::PluginInvalid);
}

#[tokio::test]
async fn a_truncated_file_is_said_to_be_damaged() {
    let whole = guest("hostile");
    let failure = refused(&whole[..whole.len() / 2]).await;
    assert_eq!(failure.code, Code::PluginInvalid);
    assert!(failure.public.contains("cut off or damaged"), "{failure}");
}

#[tokio::test]
async fn a_file_above_the_size_limit_is_not_even_parsed() {
    let mut bytes = guest("minimal");
    bytes.resize((40 << 20) + 1, 0);
    let failure = refused(&bytes).await;
    assert!(failure.public.contains("larger than 40 MiB"), "{failure}");
}

#[tokio::test]
async fn the_wrong_world_is_named() {
    let failure = refused_wat("(component)").await;
    assert_eq!(failure.code, Code::PluginInvalid);
    assert!(
        failure
            .public
            .contains("neither the world provider nor the world template-engine"),
        "{failure}"
    );
}

#[tokio::test]
async fn a_foreign_import_is_refused_by_name() {
    let wasi = r#"(component (import "wasi:cli/environment@0.2.0" (instance)))"#;
    let failure = refused_wat(wasi).await;
    assert_eq!(failure.code, Code::PluginInvalid);
    assert!(
        failure
            .public
            .contains("it imports wasi:cli/environment@0.2.0"),
        "{failure}"
    );
}

#[tokio::test]
async fn an_engine_that_wants_the_network_is_refused() {
    let greedy = r#"(component
        (import "postern:plugin/http@0.1.0" (instance))
        (instance $r) (export "postern:plugin/render@0.1.0" (instance $r)))"#;
    let failure = refused_wat(greedy).await;
    assert!(
        failure.public.contains(
            "imports postern:plugin/http@0.1.0, and a template engine may import only entropy"
        ),
        "{failure}"
    );
}

#[tokio::test]
async fn an_export_of_another_shape_is_another_version_of_the_contract() {
    let other = r#"(component
        (instance $e)
        (export "postern:plugin/describe@0.1.0" (instance $e))
        (export "postern:plugin/read@0.1.0" (instance $e)))"#;
    let failure = refused_wat(other).await;
    assert_eq!(failure.code, Code::PluginInvalid);
    assert!(
        failure.public.contains("another version of the contract"),
        "{failure}"
    );
}

#[tokio::test]
async fn a_description_must_be_usable() {
    let table: [(&[u8], &str, &str); 4] = [
        (b"", "{}", "neither its name nor its version"),
        (b"a b", "{}", "plain characters"),
        (b"wat", "{", "not JSON"),
        (b"wat", r#"{"type": 7}"#, "not valid JSON Schema 2020-12"),
    ];
    for (name, schema, text) in table {
        let failure = refused(&wat_guest::described(name, schema)).await;
        assert_eq!(failure.code, Code::PluginInvalid);
        assert!(failure.public.contains(text), "{failure}");
    }
    let failure = refused(&wat_guest::described(b"\xff\xfe", "{}")).await;
    assert_eq!(failure.code, Code::ContractBroken, "{failure:?}");
    assert!(
        runtime()
            .load_bytes(&wat_guest::described(b"wat", "{}"), false)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn the_same_bytes_are_one_revision() {
    let runtime = runtime();
    let bytes = guest("minimal");
    let first = runtime.load_bytes(&bytes, false).await.unwrap();
    let second = runtime.load_bytes(&bytes, false).await.unwrap();
    assert_eq!(first.digest, second.digest);
    assert_eq!((runtime.revisions().len(), runtime.compiled()), (1, 1));
}
