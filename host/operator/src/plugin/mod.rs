//! `postern plugin`: for those who write plugins, and those who decide which may run. Only `ls` and `rollback` need a cluster.

mod build;
mod grant;
mod inspect;
mod ls;
mod new;
mod push;
mod rollback;
mod source;
mod table;
mod test;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use postern_core::plugin::Revision;
use postern_runtime::Runtime;

use crate::args::{Compiled, Plugin};
use crate::{plugins, threads};

/// Runs the command.
pub fn run(task: Plugin) -> anyhow::Result<ExitCode> {
    match task {
        Plugin::New(new) => new::run(&new),
        Plugin::Build(build) => build::run(&build),
        Plugin::Inspect(inspect) => inspect::run(&inspect),
        Plugin::Test(test) => test::run(&test),
        Plugin::Push(push) => push::run(&push),
        Plugin::Grant(grant) => grant::run(&grant),
        Plugin::Ls(ls) => threads()?.block_on(ls::run(ls)),
        Plugin::Rollback(rollback) => threads()?.block_on(rollback::run(rollback)),
    }
}

/// Lets the plugin describe itself, as it does when it is loaded.
fn described(name: &str, bytes: &[u8], compiled: &Compiled) -> anyhow::Result<Arc<Revision>> {
    let mut builder = Runtime::builder();
    if let Some(cache) = compiled.cache_dir.clone().or_else(plugins::default_cache) {
        builder = builder.cache_dir(cache);
    }
    let loading = async {
        // The engine's clock runs on the threads.
        let runtime = builder.build()?;
        runtime.load_bytes(bytes, false).await
    };
    threads()?
        .block_on(loading)
        .with_context(|| format!("{name} is no plugin that Postern loads"))
}
