//! `postern plugin grant`: what an administrator would sign for a plugin to get all it asks for.

use std::process::ExitCode;

use postern_core::grant::suggestion;

use super::source;
use crate::args::Grant;
use crate::{print, say};

/// Runs the command.
pub fn run(grant: &Grant) -> anyhow::Result<ExitCode> {
    let found = source::read(&grant.component, &grant.registry)?;
    let revision = super::described(&grant.component, &found.bytes, &grant.compiled)?;
    let asks = &revision.descriptor.asks;
    if asks.is_empty() {
        say(&format!(
            "note: {} asks for nothing, so {} needs no PluginGrant",
            grant.component, grant.suggest
        ));
        return Ok(ExitCode::FAILURE);
    }
    print(&suggestion(&grant.suggest, asks))
}
