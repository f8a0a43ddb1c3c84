//! Compiling in a child process with limits of its own, for components that nobody vouches for.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::process::Command;

use super::AotError;
use crate::{engine, limits};

/// The child's exit code where the component is to blame.
const REJECTED: u8 = 65;

/// How the names of folders begin in which a child's input and output lie.
const FOLDER: &str = "compiling-";

/// Removes what compilations left behind whose parent was killed. One that is younger than any compilation may last can be
/// another process's.
pub fn sweep(scratch: &Path) {
    let Ok(entries) = std::fs::read_dir(scratch) else {
        return;
    };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(FOLDER);
        let age = entry.metadata().and_then(|m| m.modified()).ok();
        let age = age.and_then(|at| at.elapsed().ok());
        if ours && age.is_some_and(|age| age > limits::COMPILE_WALL * 2) {
            // Whatever keeps it there keeps a little space, and nothing else.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Compiles in a child: the bytes go and come by files, since a pipe could fill up unread.
pub async fn compile(
    program: &Path,
    args: &[String],
    bytes: &[u8],
    scratch: Option<&Path>,
) -> Result<Vec<u8>, AotError> {
    let host = |e: std::io::Error| AotError::Host(e.to_string());
    let mut folder = tempfile::Builder::new();
    let folder = folder.prefix(FOLDER);
    let dir = scratch
        .map_or_else(|| folder.tempdir(), |scratch| folder.tempdir_in(scratch))
        .map_err(host)?;
    let (input, output) = (dir.path().join("in.wasm"), dir.path().join("out.cwasm"));
    tokio::fs::write(&input, bytes).await.map_err(host)?;
    let child = Command::new(program)
        .args(args)
        .arg(&input)
        .arg(&output)
        // No credential, token or proxy of ours is the compiler's business.
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(host)?;
    let done = tokio::time::timeout(limits::COMPILE_WALL, child.wait_with_output()).await;
    let done = done
        .map_err(|_| AotError::Limit(format!("{} s", limits::COMPILE_WALL.as_secs())))?
        .map_err(host)?;
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    match done.status.code() {
        Some(0) => tokio::fs::read(&output).await.map_err(host),
        Some(code) if code == i32::from(REJECTED) => Err(AotError::Rejected(said)),
        // Killed by a signal: out of CPU time, or out of memory, which aborts.
        None => Err(AotError::Limit(format!(
            "{} s of CPU time or {} GiB of memory",
            limits::COMPILE_CPU.as_secs(),
            limits::COMPILE_MEMORY >> 30
        ))),
        Some(code) => Err(AotError::Host(format!(
            "the compiling child ended with {code}: {said}"
        ))),
    }
}

/// The child's side: `IN OUT`. For the hidden subcommand of the operator's binary.
#[must_use]
pub fn compile_child_main(args: &[OsString]) -> ExitCode {
    let [input, output] = args else {
        eprintln!("expected IN OUT");
        return ExitCode::from(64);
    };
    match compile_here(&PathBuf::from(input), &PathBuf::from(output)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(AotError::Rejected(why)) => {
            eprintln!("{why}");
            ExitCode::from(REJECTED)
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn compile_here(input: &Path, output: &Path) -> Result<(), AotError> {
    let host = |e: &dyn std::fmt::Display| AotError::Host(e.to_string());
    limit(Resource::As, limits::COMPILE_MEMORY)?;
    limit(Resource::Cpu, limits::COMPILE_CPU.as_secs())?;
    limit(Resource::Core, 0)?;
    let bytes = std::fs::read(input).map_err(|e| host(&e))?;
    let engine = engine::compiler().map_err(|e| host(&format!("{e:#}")))?;
    let code = engine
        .precompile_component(&bytes)
        .map_err(|e| AotError::Rejected(format!("{e:#}")))?;
    std::fs::write(output, code).map_err(|e| host(&e))
}

fn limit(resource: Resource, value: u64) -> Result<(), AotError> {
    let rlimit = Rlimit {
        current: Some(value),
        maximum: Some(value),
    };
    setrlimit(resource, rlimit).map_err(|e| AotError::Host(format!("a limit cannot be set: {e}")))
}
