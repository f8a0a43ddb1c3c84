//! `postern bundle`: compiles components for the baseline of this build.

use std::process::ExitCode;

use crate::args::Bundle;
use crate::{print, say};

/// Runs the command.
pub fn run(bundle: &Bundle) -> anyhow::Result<ExitCode> {
    say(&format!(
        "compiling the components of {} into {}",
        bundle.from.display(),
        bundle.to.display()
    ));
    let names = postern_runtime::aot::compile_bundled(&bundle.from, &bundle.to)?;
    print(&format!("{}\n", names.join("\n")))
}
