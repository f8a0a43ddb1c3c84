//! `postern plugin inspect`: what a component is, and what it says of itself.

use std::fmt::Write as _;
use std::process::ExitCode;

use postern_core::plugin::Revision;
use postern_guest_tools::component::{self, Surface};
use serde_json::{Value, json};

use super::source::{self, Found};
use crate::args::{Inspect, Shown};
use crate::print;

/// Where nobody wrote the language down.
const UNKNOWN: &str = "unknown";

/// Runs the command.
pub fn run(inspect: &Inspect) -> anyhow::Result<ExitCode> {
    let found = source::read(&inspect.component, &inspect.registry)?;
    let revision = super::described(&inspect.component, &found.bytes, &inspect.compiled)?;
    let surface = component::surface(&found.bytes)?;
    print(&match inspect.output {
        Shown::Text => text(&revision, &surface, &found),
        Shown::Json => format!("{:#}\n", document(&revision, &surface, &found)),
    })
}

fn kind(revision: &Revision) -> &'static str {
    if revision.is_engine {
        "template-engine"
    } else {
        "provider"
    }
}

fn language(surface: &Surface) -> &str {
    surface.language.as_deref().unwrap_or(UNKNOWN)
}

fn text(revision: &Revision, surface: &Surface, found: &Found) -> String {
    let d = &revision.descriptor;
    let batch = match d.batch_size {
        0 => "any number".to_owned(),
        n => n.to_string(),
    };
    let mut text = String::new();
    for (name, value) in [
        ("name", d.name.clone()),
        ("version", d.version.clone()),
        ("kind", kind(revision).to_owned()),
        ("serves", d.serves.join(", ")),
        ("summary", d.summary.clone()),
        ("language", language(surface).to_owned()),
        ("exports", surface.exports.join(", ")),
        ("imports", surface.imports.join(", ")),
        ("batch size", batch),
        ("size", format!("{} bytes", found.bytes.len())),
        ("digest", revision.digest.as_str().to_owned()),
        (
            "manifest",
            found
                .manifest
                .as_ref()
                .map_or_else(String::new, |m| m.as_str().to_owned()),
        ),
    ] {
        let value = if value.is_empty() { "-" } else { &value };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<12}{}", printable(value));
    }
    if d.asks.is_empty() {
        text.push_str("asks for    -\n");
    }
    for ask in &d.asks {
        let what = if ask.what.is_empty() {
            ask.kind.clone()
        } else {
            format!("{} {}", ask.kind, ask.what)
        };
        let _ = writeln!(
            text,
            "{:<12}{}",
            "asks for",
            printable(&format!("{what}: {}", ask.why))
        );
    }
    text
}

/// The plugin's words go to a terminal.
fn printable(text: &str) -> String {
    postern_core::failure::one_line(text, 2000)
}

fn document(revision: &Revision, surface: &Surface, found: &Found) -> Value {
    let d = &revision.descriptor;
    let asks: Vec<Value> = d
        .asks
        .iter()
        .map(|ask| json!({"kind": ask.kind, "what": ask.what, "why": ask.why}))
        .collect();
    let mut document = json!({
        "schemaVersion": 1,
        "name": d.name,
        "version": d.version,
        "kind": kind(revision),
        "serves": d.serves,
        "summary": d.summary,
        "language": language(surface),
        "exports": surface.exports,
        "imports": surface.imports,
        "asks": asks,
        "batchSize": d.batch_size,
        "sizeBytes": found.bytes.len(),
        "digest": revision.digest.as_str(),
        "configSchema": d.config_schema,
    });
    if let Some(manifest) = &found.manifest {
        document["manifestDigest"] = manifest.as_str().into();
    }
    document
}
