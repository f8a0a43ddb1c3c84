//! Signals that end the process, and the exit code that says which one did.

use std::process::ExitCode;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT and SIGTERM.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From now on the process ends in order.
    pub fn new() -> anyhow::Result<Self> {
        let catch = |kind| signal(kind).context("setting up signals");
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
        })
    }

    /// Waits for one, and gives 128 + its number.
    pub async fn wait(&mut self) -> ExitCode {
        tokio::select! {
            _ = self.interrupt.recv() => ExitCode::from(128 + 2),
            _ = self.terminate.recv() => ExitCode::from(128 + 15),
        }
    }
}
