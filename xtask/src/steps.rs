//! Steps: start a program, say before what it does and afterwards how long it took.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// Steps that took longer are listed at the end.
const SLOW: Duration = Duration::from_secs(10);

/// What has been done, and where.
pub struct Steps {
    root: PathBuf,
    done: Vec<(String, Duration)>,
    built: bool,
}

impl Steps {
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            done: Vec::new(),
            built: false,
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Cargo's target folder of the workspace.
    pub fn target(&self) -> PathBuf {
        match std::env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => self.root.join(dir),
            None => self.root.join("target"),
        }
    }

    /// Where the components lie; a fixed place, because tests look for them there.
    pub fn guests(&self) -> PathBuf {
        self.root.join("target").join("guests")
    }

    /// Where cargo lays the binaries that we run.
    pub fn bin_dir(&self) -> PathBuf {
        self.target().join("debug")
    }

    /// Says that the whole workspace has been built: binaries are started directly from now on. `cargo run -p` would
    /// select features for one package, and build half of the dependencies a second time.
    pub fn workspace_is_built(&mut self) {
        self.built = true;
    }

    /// Runs a binary of the workspace. No package is named: its dependencies then have the features that the whole
    /// workspace builds them with, and nothing is built twice.
    pub fn binary(&mut self, what: &str, name: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let path = self.bin_dir().join(name);
        if self.built && path.is_file() {
            let mut command = Command::new(path);
            command.args(arguments).current_dir(&self.root);
            return self.run(what, command);
        }
        let mut full = vec!["run", "--quiet", "--bin", name, "--"];
        full.extend(arguments);
        self.cargo(what, &full)
    }

    /// Runs cargo at the root.
    pub fn cargo(&mut self, what: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let command = cargo(&self.root, arguments);
        self.run(what, command)
    }

    /// Runs a command; its failure ends the verb.
    pub fn run(&mut self, what: &str, mut command: Command) -> anyhow::Result<()> {
        let started = self.begin(what, &command);
        let status = command
            .stdin(Stdio::null())
            .status()
            .with_context(|| format!("starting {}", shown(&command)))?;
        self.end(what, started);
        if !status.success() {
            bail!("{what}: `{}` ended with {status}", shown(&command));
        }
        Ok(())
    }

    /// Runs a command, passes its standard output on line by line, and shows each line to `see`; true if it succeeded.
    pub fn watch(
        &mut self,
        what: &str,
        mut command: Command,
        mut see: impl FnMut(&str) -> bool,
    ) -> anyhow::Result<bool> {
        let started = self.begin(what, &command);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("starting {}", shown(&command)))?;
        let output = child.stdout.take().context("the output should be piped")?;
        for line in BufReader::new(output).split(b'\n') {
            let line = line.context("reading the command's output")?;
            let line = String::from_utf8_lossy(&line);
            if see(&line) {
                // A reader that went away must not end the tests.
                let _ = writeln!(std::io::stdout(), "{line}");
            }
        }
        let status = child.wait().context("waiting for the command")?;
        self.end(what, started);
        if !status.success() {
            eprintln!("--- {what}: `{}` ended with {status}", shown(&command));
        }
        Ok(status.success())
    }

    /// Names the slow steps.
    pub fn summary(&self) {
        let slow: Vec<_> = self.done.iter().filter(|(_, took)| *took >= SLOW).collect();
        if !slow.is_empty() {
            let list: Vec<String> = slow
                .iter()
                .map(|(what, took)| format!("{what} {} s", took.as_secs()))
                .collect();
            eprintln!("--- slow steps: {}", list.join(", "));
        }
    }

    fn begin(&self, what: &str, command: &Command) -> Instant {
        eprintln!("--- {what}: {}", shown(command));
        Instant::now()
    }

    fn end(&mut self, what: &str, started: Instant) {
        let took = started.elapsed();
        eprintln!("--- {what}: {:.1} s", took.as_secs_f64());
        self.done.push((what.to_owned(), took));
    }
}

/// Cargo in a folder of the repository, without what this process inherited from the cargo that started it.
pub fn cargo(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(folder);
    for name in [
        "CARGO_MANIFEST_DIR",
        "CARGO_MANIFEST_PATH",
        "CARGO_PKG_NAME",
        "CARGO_PKG_VERSION",
    ] {
        command.env_remove(name);
    }
    command
}

fn shown(command: &Command) -> String {
    let mut text = Path::new(command.get_program())
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}
