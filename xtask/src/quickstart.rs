//! `cargo xtask quickstart`: the example synced into a folder, a value rotated, synced again.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use crate::steps::Steps;

/// Builds the binary postern, and lays the compiled plugins beside it.
fn prepare(steps: &mut Steps) -> anyhow::Result<()> {
    steps.cargo(
        "build postern",
        &[
            "build",
            "-p",
            "postern-operator",
            "-p",
            "postern-guest-tools",
            "--bins",
        ],
    )?;
    steps.workspace_is_built();
    crate::guests(steps)?;
    if !is_bundled(steps) {
        crate::bundle(steps)?;
    }
    Ok(())
}

/// Builds what it needs, and runs the example on a copy of its backend, so that a rotation leaves no trace in the sources.
pub fn run(steps: &mut Steps) -> anyhow::Result<()> {
    prepare(steps)?;
    let example = steps.root().join("examples/quickstart");
    let work = steps.target().join("quickstart");
    let (vault, out) = (work.join("vault"), work.join("out"));
    if work.exists() {
        fs::remove_dir_all(&work).with_context(|| format!("clearing {}", work.display()))?;
    }
    copy(&example.join("vault"), &vault)?;

    say("First sync: every key is new (+).");
    sync(steps, &example.join("manifests"), &vault, &out)?;
    show(&out)?;
    say("Second sync: nothing has changed, nothing is written.");
    sync(steps, &example.join("manifests"), &vault, &out)?;
    let rotated = vault.join("app/database.json");
    fs::write(
        &rotated,
        "{\"username\": \"app\", \"password\": \"example-2\"}\n",
    )
    .context("rotating the password")?;
    say("The password was rotated at the backend. Third sync: one key is another (~).");
    sync(steps, &example.join("manifests"), &vault, &out)?;
    say(&format!(
        "The Secrets lie in {}; `kubectl apply -f` takes them.",
        out.display()
    ));
    Ok(())
}

fn sync(steps: &mut Steps, manifests: &Path, vault: &Path, out: &Path) -> anyhow::Result<()> {
    let (from, to) = (manifests.display().to_string(), out.display().to_string());
    let grant = format!("vault={}", vault.display());
    let arguments = [
        "sync",
        "--from",
        &from,
        "--to",
        &to,
        "--grant-files",
        &grant,
    ];
    steps.binary("postern sync", "postern", &arguments)
}

/// The bundle is newer than what it was made of.
fn is_bundled(steps: &Steps) -> bool {
    let time = |path: &Path| fs::metadata(path).and_then(|m| m.modified()).ok();
    let plugins = steps.bin_dir().join("plugins");
    let binary = time(&steps.bin_dir().join("postern"));
    crate::FIRST_PARTY.iter().all(|name| {
        let code = time(&plugins.join(format!("{name}.cwasm")));
        code.is_some()
            && code >= binary
            && code >= time(&steps.guests().join(format!("{name}.wasm")))
    })
}

/// Key names and nothing else.
fn show(out: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(out.join("default")).context("reading the results")? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        let data = text
            .split_once("\ndata:\n")
            .map(|(_, data)| data)
            .unwrap_or_default();
        let keys: Vec<&str> = data
            .lines()
            .filter_map(|line| Some(line.split_once(':')?.0.trim().trim_matches('"')))
            .collect();
        say(&format!(
            "  {}: {}",
            path.file_name().unwrap_or_default().to_string_lossy(),
            keys.join(", ")
        ));
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| format!("making {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)
                .with_context(|| format!("copying {}", target.display()))?;
        }
    }
    Ok(())
}

fn say(text: &str) {
    println!("\n{text}");
}
