//! `postern plugin test`: the conformance suite, run on a component with the fixture beside it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use postern_conformance_plugin::run_with_cache;

use crate::args::{Shown, Test};
use crate::{plugins, print, threads};

/// The folder beside the component.
const FIXTURE: &str = "conformance";

/// Runs the command.
pub fn run(test: &Test) -> anyhow::Result<ExitCode> {
    let bytes = super::source::file(&test.file)?;
    let fixture = test.fixture.clone().unwrap_or_else(|| beside(&test.file));
    let cache = test.compiled.cache_dir.clone();
    let cache = cache.or_else(plugins::default_cache);
    let suite = run_with_cache(&bytes, &fixture, cache.as_deref());
    let report = threads()?.block_on(suite)?;
    let code = if report.passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    };
    print(&match test.output {
        Shown::Text => report.table(),
        Shown::Json => format!("{:#}\n", report.json()),
    })?;
    Ok(code)
}

fn beside(file: &Path) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(FIXTURE)
}
