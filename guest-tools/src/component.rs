//! From a core module to a component.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use wasm_encoder::{Encode as _, ProducersField, ProducersSection};
use wasmparser::{ComponentExternalKind, KnownCustom, Parser, Payload};
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

/// What can be told of a component without running it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surface {
    /// Interfaces that it needs, as `postern:plugin/http@0.1.0`.
    pub imports: Vec<String>,
    /// Interfaces that it offers.
    pub exports: Vec<String>,
    /// In what it is written, where its makers wrote that down.
    pub language: Option<String>,
}

/// Reads the surface of a component.
///
/// # Errors
/// Where it does not parse.
pub fn surface(component: &[u8]) -> Result<Surface> {
    let mut surface = Surface::default();
    let mut inner = None;
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    surface.imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(exports) if depth == 0 => {
                for export in exports {
                    let export = export?;
                    if export.kind == ComponentExternalKind::Instance {
                        surface.exports.push(export.name.name.to_owned());
                    }
                }
            }
            Payload::CustomSection(section) => {
                let KnownCustom::Producers(fields) = section.as_known() else {
                    continue;
                };
                // What stands in the component itself was written by who made it of modules, which may be runtimes.
                let found = if depth == 0 {
                    &mut surface.language
                } else {
                    &mut inner
                };
                for field in fields {
                    let field = field?;
                    if field.name == "language"
                        && let Some(value) = field.values.into_iter().next()
                    {
                        *found = found.take().or(Some(value?.name.to_owned()));
                    }
                }
            }
            _ => {}
        }
    }
    surface.language = surface.language.or(inner);
    Ok(surface)
}

/// Notes in a component in what it is written: what its modules say is the language of an interpreter where there is one.
pub fn sign(component: &mut Vec<u8>, language: &str) {
    let mut languages = ProducersField::new();
    languages.value(language, "");
    let mut section = ProducersSection::new();
    section.field("language", &languages);
    component.push(0);
    section.encode(component);
}
