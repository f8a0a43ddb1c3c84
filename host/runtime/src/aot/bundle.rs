//! Bundled plugins: compiled when Postern is built, mapped when it starts.
//!
//! A plugin `x` is three files: `x.wasm`, `x.cwasm`, and `x.json`, which says what the code was made from and for.

use std::path::{Path, PathBuf};

use postern_core::failure::{Code, Failure, Stage};
use postern_core::plugin::Digest;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::{AotError, native};
use crate::{engine, load};

/// A bundled plugin as found.
pub struct Bundled {
    pub label: String,
    pub wasm: PathBuf,
    pub digest: Digest,
    /// Nothing where the code was made for another engine.
    pub component: Option<Component>,
}

/// Compiles every `*.wasm` of a directory for the baseline of this architecture; gives the names that were written.
pub fn compile_bundled(wasm_dir: &Path, out_dir: &Path) -> Result<Vec<String>, AotError> {
    let engine = engine::compiler().map_err(|e| AotError::Host(format!("{e:#}")))?;
    let compatibility = engine::compatibility(&engine);
    std::fs::create_dir_all(out_dir).map_err(|e| host(out_dir, &e))?;
    let mut names = Vec::new();
    for wasm in with_extension(wasm_dir, "wasm").map_err(|e| host(wasm_dir, &e))? {
        let name = stem(&wasm);
        let bytes = std::fs::read(&wasm).map_err(|e| host(&wasm, &e))?;
        load::check_form(&bytes, &name).map_err(|f| AotError::Rejected(f.public))?;
        let code = engine
            .precompile_component(&bytes)
            .map_err(|e| AotError::Rejected(format!("{name}: {e:#}")))?;
        let meta = serde_json::json!({ "digest": Digest::of(&bytes).as_str(), "engine": compatibility, "build": engine::build_id() });
        let files = [
            ("wasm", bytes),
            ("cwasm", code),
            ("json", format!("{meta:#}\n").into_bytes()),
        ];
        for (extension, content) in files {
            let path = out_dir.join(format!("{name}.{extension}"));
            std::fs::write(&path, content).map_err(|e| host(&path, &e))?;
        }
        names.push(name);
    }
    Ok(names)
}

/// What lies in a directory that [`compile_bundled`] wrote.
pub fn list(dir: &Path, engine: &Engine, compatibility: &str) -> Result<Vec<Bundled>, Failure> {
    let unreadable = |path: &Path, why: &dyn std::fmt::Display| {
        let what = format!(
            "the bundled plugins in {} cannot be read: {why}",
            path.display()
        );
        Failure::new(Stage::Check, Code::PluginInvalid, what)
    };
    let mut all = Vec::new();
    for path in with_extension(dir, "json").map_err(|e| unreadable(dir, &e))? {
        let text = std::fs::read(&path).map_err(|e| unreadable(&path, &e))?;
        let meta: serde_json::Value =
            serde_json::from_slice(&text).map_err(|e| unreadable(&path, &e))?;
        let digest = meta["digest"].as_str().and_then(Digest::parse);
        let digest = digest.ok_or_else(|| unreadable(&path, &"it names no digest"))?;
        let component = if meta["engine"] == compatibility {
            let code = path.with_extension("cwasm");
            native::from_file(engine, &code)
                .inspect_err(|error| tracing::warn!(path = %code.display(), error = %format!("{error:#}"), "bundled code does not load"))
                .ok()
        } else {
            None
        };
        all.push(Bundled {
            label: stem(&path),
            wasm: path.with_extension("wasm"),
            digest,
            component,
        });
    }
    Ok(all)
}

fn with_extension(dir: &Path, extension: &str) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == extension) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn host(path: &Path, error: &std::io::Error) -> AotError {
    AotError::Host(format!("{}: {error}", path.display()))
}
