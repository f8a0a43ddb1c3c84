//! From a core module to a component.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

use crate::adapter;
use crate::bind::Contract;

/// A component of a module that carries its world with it, as Rust guests do. There must be no other import than the
/// world's.
pub fn encode(module: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = ComponentEncoder::default();
    encoder
        .validate(true)
        .module(module)
        .context("the module is not a guest of this contract")?;
    encoder.encode().context("could not encode the component")
}

/// A component of a Go module: adds the world, and the WASI of `adapter`.
pub fn encode_go(module: &[u8], wit: &Path, world: &str) -> Result<Vec<u8>> {
    let contract = Contract::read(wit)?;
    let mut module = module.to_vec();
    embed_component_metadata(
        &mut module,
        &contract.resolve,
        contract.world(world)?,
        StringEncoding::UTF8,
        false,
    )?;
    let mut encoder = ComponentEncoder::default();
    encoder
        .validate(true)
        .module(&module)
        .context("the module does not fit its world")?
        .adapter(adapter::WASI, &adapter::adapter(wit)?)
        .context("the adapter does not fit")?;
    encoder.encode().context("could not encode the component")
}

/// Refuses a component that would need more than the contract offers, such as WASI.
pub fn only_imports_the_contract(component: &[u8]) -> Result<()> {
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    let name = import?.name.name.to_owned();
                    if !name.starts_with("postern:plugin/") {
                        bail!("the component imports {name}, which no host offers to a plugin");
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}
