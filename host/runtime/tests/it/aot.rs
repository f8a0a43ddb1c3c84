//! Compiled code: kept, authenticated, made by a child; bundled code is mapped.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use postern_core::failure::Code;
use postern_runtime::Runtime;
use postern_runtime::aot::{self, CompileWith};
use serde_json::json;

use crate::kit::{bench_in, guest};

/// The child is this very test binary, asked to run [`child_entry`] only.
fn child() -> CompileWith {
    let args = [
        "aot::child_entry",
        "--exact",
        "--nocapture",
        "--test-threads=1",
    ];
    CompileWith::Child {
        program: std::env::current_exe().unwrap(),
        args: args.map(String::from).to_vec(),
    }
}

/// Compiles where this binary was started as the child; passes otherwise.
#[test]
fn child_entry() {
    let args: Vec<OsString> = std::env::args_os().collect();
    let [.., input, output] = args.as_slice() else {
        return;
    };
    if !output.to_string_lossy().ends_with("out.cwasm") {
        return;
    }
    let code = aot::compile_child_main(&[input.clone(), output.clone()]);
    // The test harness would answer with its own code.
    let failed = format!("{code:?}") != format!("{:?}", std::process::ExitCode::SUCCESS);
    std::process::exit(if failed { 65 } else { 0 });
}

fn kept_in(cache: &Path) -> Runtime {
    Runtime::builder()
        .cache_dir(cache)
        .compile_with(child())
        .build()
        .unwrap()
}

fn kept_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(kept_files(&path));
        } else if path.extension().is_some_and(|e| e == "cwasm") {
            files.push(path);
        }
    }
    files
}

#[tokio::test]
async fn a_second_start_compiles_nothing_and_a_damaged_file_is_compiled_again() {
    let cache = tempfile::tempdir().unwrap();
    let bytes = guest("minimal");
    let first = bench_in(kept_in(cache.path()), &bytes).await;
    assert_eq!(first.value(&first.call(json!({}))).await, "k1");
    assert_eq!(first.runtime.compiled(), 1);

    let second = bench_in(kept_in(cache.path()), &bytes).await;
    assert_eq!(second.value(&second.call(json!({}))).await, "k1");
    assert_eq!(
        second.runtime.compiled(),
        0,
        "what was compiled is not compiled again"
    );

    let files = kept_files(cache.path());
    assert_eq!(files.len(), 1);
    let mut forged = std::fs::read(&files[0]).unwrap();
    let middle = forged.len() / 2;
    forged[middle] ^= 1;
    std::fs::write(&files[0], &forged).unwrap();
    let third = bench_in(kept_in(cache.path()), &bytes).await;
    assert_eq!(third.runtime.compiled(), 1, "a forged file is not believed");
    assert_eq!(
        bench_in(kept_in(cache.path()), &bytes)
            .await
            .runtime
            .compiled(),
        0,
        "and is replaced"
    );

    std::fs::write(&files[0], b"short").unwrap();
    assert_eq!(
        bench_in(kept_in(cache.path()), &bytes)
            .await
            .runtime
            .compiled(),
        1
    );
}

#[tokio::test]
async fn what_a_killed_compilation_left_behind_is_removed_once_it_is_old() {
    let cache = tempfile::tempdir().unwrap();
    let folder = |name: &str, age: u64| {
        let path = cache.path().join(name);
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("in.wasm"), b"").unwrap();
        let then = std::time::SystemTime::now() - std::time::Duration::from_secs(age);
        let opened = std::fs::File::open(&path).unwrap();
        opened.set_modified(then).unwrap();
        path
    };
    let (old, young) = (folder("compiling-a", 3600), folder("compiling-b", 60));
    let other = folder("of somebody else", 3600);
    bench_in(kept_in(cache.path()), &guest("minimal")).await;
    assert!(!old.exists());
    assert!(young.exists() && other.exists());
}

#[tokio::test]
async fn code_kept_under_another_key_or_for_another_plugin_is_not_believed() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    bench_in(kept_in(ours.path()), &guest("minimal")).await;
    bench_in(kept_in(theirs.path()), &guest("minimal")).await;
    bench_in(kept_in(ours.path()), &guest("engine")).await;
    let minimal = kept_files(theirs.path()).remove(0);
    let relative = minimal.strip_prefix(theirs.path()).unwrap();
    std::fs::copy(&minimal, ours.path().join(relative)).unwrap();
    assert_eq!(
        bench_in(kept_in(ours.path()), &guest("minimal"))
            .await
            .runtime
            .compiled(),
        1,
        "another key"
    );
    let files = kept_files(ours.path());
    std::fs::copy(&files[0], &files[1]).unwrap();
    let runtime = kept_in(ours.path());
    runtime.load_bytes(&guest("minimal"), false).await.unwrap();
    runtime.load_bytes(&guest("engine"), false).await.unwrap();
    assert_eq!(runtime.compiled(), 1, "another plugin's code");
}

#[tokio::test]
async fn the_key_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let cache = tempfile::tempdir().unwrap();
    bench_in(kept_in(cache.path()), &guest("minimal")).await;
    let key = cache.path().join("aot/key");
    assert_eq!(
        std::fs::metadata(&key).unwrap().permissions().mode() & 0o777,
        0o600
    );
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(
        bench_in(kept_in(cache.path()), &guest("minimal"))
            .await
            .runtime
            .compiled(),
        1,
        "a key that others could read is no key"
    );
}

#[tokio::test]
async fn a_child_that_rejects_or_cannot_start_is_a_clear_failure() {
    let whole = guest("minimal");
    let runtime = Runtime::builder().compile_with(child()).build().unwrap();
    let failure = runtime
        .load_bytes(&whole[..whole.len() / 2], false)
        .await
        .unwrap_err();
    assert_eq!(failure.code, Code::PluginInvalid, "{failure:?}");
    let missing = CompileWith::Child {
        program: "/nonexistent/postern".into(),
        args: vec![],
    };
    let runtime = Runtime::builder().compile_with(missing).build().unwrap();
    let failure = runtime.load_bytes(&whole, false).await.unwrap_err();
    assert_eq!(failure.code, Code::Internal);
}

#[tokio::test]
async fn bundled_plugins_are_mapped_and_nothing_is_compiled() {
    let (source, bundle) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(source.path().join("minimal.wasm"), guest("minimal")).unwrap();
    std::fs::write(source.path().join("engine.wasm"), guest("engine")).unwrap();
    assert_eq!(
        aot::compile_bundled(source.path(), bundle.path()).unwrap(),
        ["engine", "minimal"]
    );
    let runtime = Runtime::builder().compile_with(child()).build().unwrap();
    let loaded = runtime.load_bundled(bundle.path()).await.unwrap();
    assert_eq!(loaded.len(), 2);
    assert!(loaded.iter().all(|r| r.bundled));
    assert_eq!(runtime.compiled(), 0);
    let bench = bench_in(runtime, &guest("minimal")).await;
    assert_eq!(bench.value(&bench.call(json!({}))).await, "k1");

    let meta = bundle.path().join("minimal.json");
    let stale = std::fs::read_to_string(&meta)
        .unwrap()
        .replace("\"engine\": \"", "\"engine\": \"0");
    std::fs::write(&meta, stale).unwrap();
    let runtime = Runtime::builder().compile_with(child()).build().unwrap();
    assert_eq!(runtime.load_bundled(bundle.path()).await.unwrap().len(), 2);
    assert_eq!(runtime.compiled(), 1, "code of another build is not mapped");
}
