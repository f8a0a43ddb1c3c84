//! The in-component WASI for Go guests (`adapter.wat`), bound to the contract's `entropy`.
//!
//! It is an adapter in the sense of wit-component: what the guest does not import of it is dropped.

use std::path::Path;

use anyhow::{Context as _, Result};
use wit_component::{StringEncoding, embed_component_metadata};

use crate::bind::Contract;

/// The module name of WASI preview 1, which the adapter takes the place of.
pub const WASI: &str = "wasi_snapshot_preview1";

const TEXT: &str = include_str!("adapter.wat");

/// The adapter as a module that says which functions of the contract it imports.
pub fn adapter(wit: &Path) -> Result<Vec<u8>> {
    let mut contract = Contract::read(wit)?;
    let entropy = contract.interface_id("entropy")?;
    let text = TEXT.replace("$ENTROPY", &entropy);
    let mut module = wat::parse_str(&text).context("could not assemble the adapter")?;
    let source = format!("package postern:guest-tools;\nworld adapter {{ import {entropy}; }}\n");
    let package = contract
        .resolve
        .push_str("adapter.wit", &source)
        .context("could not make the adapter's world")?;
    let world = contract.resolve.select_world(&[package], Some("adapter"))?;
    embed_component_metadata(
        &mut module,
        &contract.resolve,
        world,
        StringEncoding::UTF8,
        false,
    )?;
    Ok(module)
}
