//! Every verb that CI and the README use: `cargo xtask VERB`.
//!
//! It only starts other programs and says what it does and how long it took; it depends on next to nothing, so that it
//! starts at once. It decides nothing about the product.

mod quickstart;
mod steps;
mod tests;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};

use steps::Steps;

const HELP: &str = "\
cargo xtask VERB

  guests      build the WebAssembly components (plugins and test guests) into target/guests
  tools       build what tests run against and with (etcd, kube-apiserver, kubectl, helm), once per version
  bundle      compile the first-party components and lay them beside the binary postern
  quickstart  sync examples/quickstart into a folder, rotate a value, sync again
  test        all of the above and every test; closes with `N passed, N failed`
  codegen     write generated files (CRDs, roles, values of the chart, error pages); tests/arch holds them against the code
  lint        rustfmt and clippy, warnings are errors
  bench       run tests/bench
  fuzz        every parser over its corpus and random input: `fuzz [SECONDS [TARGET]]`, 60 seconds each if not said

  example: cargo xtask quickstart
";

/// First-party components that lie beside the binary; the test guests never do.
pub const FIRST_PARTY: [&str; 9] = [
    "aws",
    "azurekv",
    "fake",
    "file",
    "gcpsm",
    "kubernetes",
    "vault",
    "webhook",
    "go-template",
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let verb = arguments.next().unwrap_or_else(|| "help".to_owned());
    let rest: Vec<String> = arguments.collect();
    match run(&verb, &rest) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask {verb}: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(verb: &str, rest: &[String]) -> anyhow::Result<ExitCode> {
    let mut steps = Steps::new(root()?);
    match verb {
        "guests" => guests(&mut steps)?,
        "tools" => tools(&mut steps)?,
        "bundle" => {
            guests(&mut steps)?;
            bundle(&mut steps)?;
        }
        "quickstart" => quickstart::run(&mut steps)?,
        "test" => return tests::run(&mut steps, rest),
        "codegen" => steps.cargo(
            "write generated files",
            // Without -p, so that features are those of the whole workspace, and nothing is compiled a second time.
            &["run", "--quiet", "--bin", "postern-codegen"],
        )?,
        "lint" => lint(&mut steps)?,
        "bench" => bench(&mut steps, rest)?,
        "fuzz" => fuzz(&mut steps, rest)?,
        "help" | "--help" | "-h" => {
            eprint!("{HELP}");
            return Ok(ExitCode::SUCCESS);
        }
        other => {
            eprint!("{HELP}");
            bail!("there is no verb `{other}`");
        }
    }
    steps.summary();
    Ok(ExitCode::SUCCESS)
}

/// The repository: two levels above this crate's manifest when started by cargo, else the current directory.
fn root() -> anyhow::Result<PathBuf> {
    match std::env::var_os("CARGO_MANIFEST_DIR") {
        Some(manifest) => Ok(Path::new(&manifest)
            .parent()
            .context("xtask lies in the repository")?
            .to_owned()),
        None => Ok(std::env::current_dir()?),
    }
}

/// Builds every component. What is up to date is left alone; guest-tools says what it lacks, or installs it.
pub fn guests(steps: &mut Steps) -> anyhow::Result<()> {
    let out = steps.guests();
    std::fs::create_dir_all(&out).with_context(|| format!("making {}", out.display()))?;
    let out_dir = out.display().to_string();
    let engine = out.join("go-template.wasm").display().to_string();
    guest_tools(
        steps,
        "build the Rust plugins",
        &["rust-workspace", "plugins", "--out-dir", &out_dir],
    )?;
    guest_tools(
        steps,
        "build the test guests",
        &["rust-workspace", "tests/guests", "--out-dir", &out_dir],
    )?;
    need(
        "go",
        "it builds the template engine; install Go 1.25 or newer from https://go.dev/dl or your distribution",
    )?;
    guest_tools(
        steps,
        "build the Go template engine",
        &[
            "go",
            "plugins/go-template",
            "--world",
            "template-engine",
            "--out",
            &engine,
        ],
    )?;
    examples(steps)
}

/// Builds the example plugins, each as its author would: a folder of `examples` that holds what its language needs.
fn examples(steps: &mut Steps) -> anyhow::Result<()> {
    let root = steps.root().join("examples");
    let mut folders = std::fs::read_dir(&root)
        .with_context(|| format!("listing {}", root.display()))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    folders.sort();
    let projects = ["Cargo.toml", "go.mod", "pyproject.toml", "package.json"];
    folders.retain(|folder| projects.iter().any(|file| folder.join(file).is_file()));
    for folder in folders {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let out = steps.guests().join(format!("{name}.wasm"));
        guest_tools(
            steps,
            &format!("build the example {name}"),
            &[
                "project",
                &folder.display().to_string(),
                "--out",
                &out.display().to_string(),
            ],
        )?;
    }
    Ok(())
}

/// Builds the template of a language's SDK as it lies there.
pub fn template(steps: &mut Steps, language: &str) -> anyhow::Result<()> {
    let folder = steps.root().join("sdk").join(language).join("template");
    let out = steps.guests().join(format!("template-{language}.wasm"));
    guest_tools(
        steps,
        &format!("build the template for {language}"),
        &[
            "project",
            &folder.display().to_string(),
            "--out",
            &out.display().to_string(),
        ],
    )
}

fn guest_tools(steps: &mut Steps, what: &str, arguments: &[&str]) -> anyhow::Result<()> {
    steps.binary(what, "guest-tools", arguments)
}

/// Builds the servers of the cluster tests.
pub fn tools(steps: &mut Steps) -> anyhow::Result<()> {
    need(
        "go",
        "it builds etcd, kube-apiserver and helm for the tests; install Go 1.26 or newer",
    )?;
    steps.binary(
        "build etcd, kube-apiserver, kubectl and helm",
        "postern-test-tools",
        &[],
    )
}

/// Lays the compiled first-party components beside the binary, in `plugins`.
pub fn bundle(steps: &mut Steps) -> anyhow::Result<()> {
    let from = steps.target().join("bundle");
    std::fs::create_dir_all(&from).with_context(|| format!("making {}", from.display()))?;
    for name in FIRST_PARTY {
        let file = format!("{name}.wasm");
        let source = steps.guests().join(&file);
        if !source.is_file() {
            bail!("{} is missing: run `cargo xtask guests`", source.display());
        }
        std::fs::copy(&source, from.join(&file))
            .with_context(|| format!("copying {}", source.display()))?;
    }
    let (from, to) = (
        from.display().to_string(),
        steps.bin_dir().join("plugins").display().to_string(),
    );
    steps.binary(
        "compile the bundled components",
        "postern",
        &["bundle", "--from", &from, "--to", &to],
    )
}

/// Release builds of the bench and of what it measures, with their own bundle beside them.
fn bench(steps: &mut Steps, rest: &[String]) -> anyhow::Result<()> {
    guests(steps)?;
    tools(steps)?;
    bundle(steps)?;
    let build = [
        "build",
        "--release",
        "-p",
        "postern-operator",
        "-p",
        "postern-bench",
    ];
    steps.cargo("build the bench and postern for release", &build)?;
    let release = steps.target().join("release");
    let mut compile = Command::new(release.join("postern"));
    compile
        .arg("bundle")
        .arg("--from")
        .arg(steps.target().join("bundle"));
    compile.arg("--to").arg(release.join("plugins"));
    steps.run("compile the bundled components for release", compile)?;
    let mut run = Command::new(release.join("postern-bench"));
    run.args(rest).current_dir(steps.root());
    steps.run("run the benches", run)
}

/// The parsers' tests, for longer than the test command runs them.
fn fuzz(steps: &mut Steps, rest: &[String]) -> anyhow::Result<()> {
    let seconds = rest.first().map_or("60", String::as_str);
    if seconds.parse::<u32>().is_err() {
        bail!("{seconds:?} is no number of seconds; try `cargo xtask fuzz 600 members`");
    }
    let target = rest.get(1).map_or("", String::as_str);
    let arguments = [
        "test",
        "--workspace",
        "--locked",
        "--test",
        "parsers",
        "--",
        "--nocapture",
        target,
    ];
    let mut command = steps::cargo(steps.root(), &arguments);
    command.env("POSTERN_FUZZ_SECONDS", seconds);
    steps.run("fuzz the parsers", command)
}

fn lint(steps: &mut Steps) -> anyhow::Result<()> {
    steps.cargo("rustfmt", &["fmt", "--all", "--check"])?;
    steps.cargo(
        "clippy",
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ],
    )
}

/// Fails early, and by name, where a program that a step needs is not there.
fn need(program: &str, why: &str) -> anyhow::Result<()> {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()));
    if found {
        Ok(())
    } else {
        bail!("`{program}` is not in PATH: {why}")
    }
}
