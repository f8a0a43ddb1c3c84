//! The binary `postern`: arguments, wiring, exit codes. What a command does is in the rooms; here they are put together.

mod args;
mod bundle;
mod cluster;
mod crds;
mod environment;
mod http;
mod manifests;
mod metering;
mod plugin;
mod plugins;
mod run;
mod signals;
mod sync;

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser as _};

use args::{Color, Command, Logging, Postern};

/// A command could not run: usage, unreadable input, no cluster.
const COULD_NOT_RUN: u8 = 2;

fn main() -> ExitCode {
    // The child that compiles plugins has an environment of its own, and must not depend on our flags.
    let mut raw = std::env::args_os().skip(1);
    if raw.next().is_some_and(|first| first == "compile-plugin") {
        return postern_runtime::aot::compile_child_main(&raw.collect::<Vec<OsString>>());
    }
    let arguments = Postern::parse();
    match dispatch(arguments) {
        Ok(code) => code,
        Err(error) => {
            say(&format!("error: {}", chain(&error)));
            ExitCode::from(COULD_NOT_RUN)
        }
    }
}

/// The error and its causes; a cause that the text before it says already is not said again.
fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn dispatch(arguments: Postern) -> anyhow::Result<ExitCode> {
    match arguments.command {
        Command::Sync(sync) => {
            log(&arguments.logging, "warn")?;
            threads()?.block_on(sync::run(sync))
        }
        Command::Run(run) => {
            log(&arguments.logging, "info")?;
            threads()?.block_on(run::run(run))
        }
        Command::Plugin { task } => {
            log(&arguments.logging, "warn")?;
            plugin::run(task)
        }
        Command::Crds(asked) => print(&crds::yaml(&asked)),
        Command::Manifests(settings) => print(&manifests::yaml(&settings)?),
        Command::Bundle(bundle) => bundle::run(&bundle),
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Postern::command(), "postern", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
        Command::Version => print(&format!(
            "postern {} ({})\n",
            env!("CARGO_PKG_VERSION"),
            postern_runtime::build_id()
        )),
    }
}

fn threads() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting threads")
}

fn log(logging: &Logging, default: &str) -> anyhow::Result<()> {
    let color = match logging.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
                && std::io::stderr().is_terminal()
        }
    };
    let filter = logging.log_level.as_deref().unwrap_or(default);
    postern_telemetry::install(logging.log_format.into(), filter, color)?;
    Ok(())
}

/// Data goes to standard output; a reader that has gone away is no error of ours.
fn print(text: &str) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(e).context("writing to standard output")
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Talk goes to standard error.
fn say(text: &str) {
    // Nowhere to complain about a closed standard error.
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::chain;

    #[test]
    fn a_cause_is_said_once() {
        let error = anyhow::anyhow!("no such file")
            .context("reading x: no such file")
            .context("starting");
        assert_eq!(chain(&error), "starting: reading x: no such file");
    }
}
