//! Lists what `guest-tools` carries along, because it also works where this repository is not: the templates of plugin
//! projects, the Go SDK, and the package that Go's generated bindings use. The last lies in the generator's crate, whose
//! folder only cargo knows.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

type Done<T> = Result<T, Box<dyn Error>>;

fn main() -> Done<()> {
    let own = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let root = own.join("..").canonicalize()?;
    let mut text = String::new();
    for (constant, folder) in [
        ("RUST_TEMPLATE", "sdk/rust/template"),
        ("GO_TEMPLATE", "sdk/go/template"),
        ("PYTHON_TEMPLATE", "sdk/python/template"),
        ("JS_TEMPLATE", "sdk/js/template"),
    ] {
        list(&mut text, constant, &root.join(folder), &|_| true)?;
    }
    list(&mut text, "GO_SDK", &root.join("sdk/go"), &|name| {
        !name.starts_with("template/") && !name.ends_with("_test.go")
    })?;
    list(&mut text, "GO_RUNTIME", &go_runtime(&own)?, &|name| {
        name.starts_with("wit/") || name == "LICENSE"
    })?;
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("carried.rs"), text)?;
    println!("cargo::rerun-if-changed=build.rs");
    println!(
        "cargo::rerun-if-changed={}",
        root.join("Cargo.lock").display()
    );
    Ok(())
}

/// Adds a constant with the files of a folder; that of a folder that does not exist is empty.
fn list(text: &mut String, constant: &str, folder: &Path, keep: &dyn Fn(&str) -> bool) -> Done<()> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut names = Vec::new();
    walk(folder, "", &mut names)?;
    names.retain(|name| keep(name));
    names.sort();
    writeln!(
        text,
        "/// Files by their path, listed when this crate was built."
    )?;
    writeln!(text, "pub const {constant}: &[(&str, &[u8])] = &[")?;
    for name in names {
        let path = folder.join(&name).display().to_string();
        writeln!(text, "    ({name:?}, include_bytes!({path:?})),")?;
    }
    writeln!(text, "];")?;
    Ok(())
}

fn walk(folder: &Path, prefix: &str, names: &mut Vec<String>) -> Done<()> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if left_behind(name) {
            continue;
        }
        if path.is_dir() {
            walk(&path, &format!("{prefix}{name}/"), names)?;
        } else {
            names.push(format!("{prefix}{name}"));
        }
    }
    Ok(())
}

/// What tools leave in these folders.
fn left_behind(name: &str) -> bool {
    let made = ["target", "node_modules", "build", "dist", "__pycache__"];
    made.contains(&name)
        || [".wasm", ".stamp", ".egg-info", ".pyc"]
            .iter()
            .any(|end| name.ends_with(end))
        || name.starts_with('.') && ![".gitignore", ".cargo"].contains(&name)
}

fn go_runtime(own: &Path) -> Done<PathBuf> {
    let done = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version", "1", "--manifest-path"])
        .arg(own.join("Cargo.toml"))
        .output()?;
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).into());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&done.stdout)?;
    let manifest = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|package| package["name"] == "wit-bindgen-go")
        .and_then(|package| package["manifest_path"].as_str())
        .ok_or("cargo does not know wit-bindgen-go")?;
    Ok(Path::new(manifest).with_file_name("src").join("pkg"))
}
