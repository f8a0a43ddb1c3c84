//! `cargo xtask quickstart`: the example synced into a folder, a value rotated, synced again.

use anyhow::bail;

use crate::steps::Steps;

/// Runs it.
pub fn run(_steps: &mut Steps) -> anyhow::Result<()> {
    bail!("not there yet")
}
