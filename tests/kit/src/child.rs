//! A server process that cannot outlive the test that started it, however that test ends.
//!
//! The kernel's parent-death signal is no help: it follows the thread that started the process, and test threads end early.
//! So a shell stands in between and waits for the end of its standard input, whose other end only the test process holds.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

/// `$1` is the folder to remove afterwards, the rest the command. A closed input ends the wait, and nothing else does: an interrupt
/// from the terminal reaches this shell too, and it must outlive the test to clean up after it.
const WATCH: &str = r#"trap '' INT HUP TERM
folder=$1; shift
exec 3<&0
"$@" </dev/null >"$folder/log" 2>&1 3<&- &
server=$!
echo $server
exec >/dev/null
cat <&3 >/dev/null
kill -KILL $server
wait $server 2>/dev/null
rm -rf "$folder""#;

/// A running server and the folder that it owns. Both are gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    watcher: Child,
    pid: u32,
    folder: PathBuf,
}

impl Server {
    /// Starts `command`, whose output goes to a file `log` in `folder`; the folder is removed with the server.
    pub(crate) fn start(folder: tempfile::TempDir, command: &mut Command) -> anyhow::Result<Self> {
        let mut watch = Command::new("sh");
        watch
            .args(["-c", WATCH, "sh"])
            .arg(folder.path())
            .arg(command.get_program())
            .args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => watch.env(key, value),
                None => watch.env_remove(key),
            };
        }
        let mut watcher = watch
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("starting the shell that watches a test server")?;
        // From here on the shell removes the folder, even if this process is killed.
        let folder = folder.keep();
        let mut line = String::new();
        let out = watcher
            .stdout
            .take()
            .context("the watching shell has no output")?;
        BufReader::new(out)
            .read_line(&mut line)
            .context("reading the process id of a test server")?;
        let pid = line
            .trim()
            .parse()
            .context("the watching shell told no process id")?;
        Ok(Self {
            watcher,
            pid,
            folder,
        })
    }

    /// Whether the server has ended by itself. Its watcher has not collected it, so it is a zombie then.
    pub(crate) fn has_ended(&self) -> bool {
        fs::read_to_string(format!("/proc/{}/stat", self.pid)).map_or(true, |stat| {
            stat.rsplit(')')
                .next()
                .is_some_and(|rest| rest.trim_start().starts_with('Z'))
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The end of what the server wrote.
    pub(crate) fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.watcher.stdin.take());
        // Nothing can be done about a failure here, and the shell needs nobody.
        let _ = self.watcher.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_neither_process_nor_folder_behind() {
        let server = Server::start(
            tempfile::tempdir().unwrap(),
            Command::new("sleep").arg("600"),
        )
        .unwrap();
        let (pid, folder) = (server.pid, server.folder().to_owned());
        assert!(!server.has_ended());
        assert!(folder.exists());
        drop(server);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
        assert!(!folder.exists());
    }

    #[test]
    fn notices_a_server_that_ended_by_itself() {
        let server = Server::start(
            tempfile::tempdir().unwrap(),
            Command::new("sh").args(["-c", "echo broken; exit 3"]),
        )
        .unwrap();
        let ended = (0..100).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            server.has_ended()
        });
        assert!(ended);
        assert_eq!(server.log_tail(), "broken");
    }
}
