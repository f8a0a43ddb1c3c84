//! Runs other programs; a failure shows the command as one would type it.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// Runs a command. All that it says goes to our standard error: standard output is for data of our own.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("could not start {}", line(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", line(command));
    }
    Ok(())
}

/// Runs a command that talks without need: what it wrote is shown only where it failed.
pub fn quietly(command: &mut Command) -> Result<()> {
    let done = command
        .output()
        .with_context(|| format!("could not start {}", line(command)))?;
    if !done.status.success() {
        eprint!("{}", String::from_utf8_lossy(&done.stdout));
        eprint!("{}", String::from_utf8_lossy(&done.stderr));
        bail!("{} ended with {}", line(command), done.status);
    }
    Ok(())
}

/// Runs a command and answers what it wrote.
pub fn output(command: &mut Command) -> Result<Vec<u8>> {
    let done = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("could not start {}", line(command)))?;
    if !done.status.success() {
        bail!("{} ended with {}", line(command), done.status);
    }
    Ok(done.stdout)
}

/// Like [`output`], as text without the space around it.
pub fn text(command: &mut Command) -> Result<String> {
    Ok(String::from_utf8_lossy(&output(command)?).trim().to_owned())
}

fn line(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|a| a.to_string_lossy().into_owned()));
    format!("`{}`", words.join(" "))
}
