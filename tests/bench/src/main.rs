//! Measures what the budgets speak of, as ratios within one run: a call of a plugin beside the same code natively, and
//! a first sync on a real API server beside a bare client that makes the same writes.
//!
//! Figures are printed, never asserted: a machine's mood is no test.

mod call;
mod cluster;
mod plugins;
mod process;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Measure Postern on this machine.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    /// Folder of the built guests.
    #[arg(long, global = true, default_value = "target/guests")]
    guests: PathBuf,
    /// The binary to measure; built with the same profile as this one.
    #[arg(long, global = true)]
    postern: Option<PathBuf>,
}

#[derive(Clone, Copy, Subcommand)]
enum What {
    /// A provider call through a fresh instance, beside the same code natively.
    Call {
        /// Calls that are timed.
        #[arg(long, default_value_t = 5000)]
        calls: usize,
    },
    /// The example provider in every language, and two template engines: size, times, memory.
    Plugins {
        /// Calls that are timed.
        #[arg(long, default_value_t = 500)]
        calls: usize,
    },
    /// A first sync on a real API server, beside a bare client with the same writes.
    Cluster {
        /// ExternalSecrets.
        #[arg(long, default_value_t = 1000)]
        objects: usize,
        /// Objects at the backend that they share.
        #[arg(long, default_value_t = 100)]
        keys: usize,
    },
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let beside = std::env::current_exe()?.with_file_name("postern");
    let postern = arguments.postern.unwrap_or(beside);
    let runtime = tokio::runtime::Runtime::new()?;
    let all = [
        What::Call { calls: 5000 },
        What::Plugins { calls: 500 },
        What::Cluster {
            objects: 1000,
            keys: 100,
        },
    ];
    for what in arguments.what.map_or(all.to_vec(), |one| vec![one]) {
        match what {
            What::Call { calls } => runtime.block_on(call::run(&arguments.guests, calls))?,
            What::Plugins { calls } => {
                let tools = plugins::guest_tools();
                let places = plugins::Places {
                    guests: &arguments.guests,
                    guest_tools: tools.as_deref(),
                };
                runtime.block_on(plugins::run(&places, calls))?;
            }
            What::Cluster { objects, keys } => {
                runtime.block_on(cluster::run(&postern, cluster::Size { objects, keys }))?
            }
        }
    }
    Ok(())
}
