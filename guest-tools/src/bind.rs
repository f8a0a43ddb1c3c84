//! Reads the contract, and generates the Go bindings of one of its worlds.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use wit_parser::{PackageId, Resolve, WorldId};

/// The contract, parsed.
pub struct Contract {
    /// All of it, and what it refers to.
    pub resolve: Resolve,
    /// The package of the contract itself.
    pub package: PackageId,
}

impl Contract {
    /// Reads a folder of WIT.
    pub fn read(wit: &Path) -> Result<Self> {
        let mut resolve = Resolve::default();
        let (package, _) = resolve
            .push_path(wit)
            .with_context(|| format!("could not read the contract in {}", wit.display()))?;
        Ok(Self { resolve, package })
    }

    /// A world of the contract.
    pub fn world(&self, name: &str) -> Result<WorldId> {
        self.resolve.select_world(&[self.package], Some(name))
    }

    /// An interface's full name with its version, as imports spell it.
    pub fn interface_id(&self, name: &str) -> Result<String> {
        let interface = self.resolve.packages[self.package]
            .interfaces
            .get(name)
            .with_context(|| format!("the contract has no interface {name}"))?;
        self.resolve
            .id_of(*interface)
            .with_context(|| format!("the interface {name} has no name"))
    }
}

/// Writes the Go bindings of a world into a folder, as the module `wit_component`.
pub fn go_bindings(wit: &Path, world: &str, into: &Path) -> Result<()> {
    let mut contract = Contract::read(wit)?;
    let world = contract.world(world)?;
    let mut files = Default::default();
    wit_bindgen_go::Opts::default()
        .build()
        .generate(&mut contract.resolve, world, &mut files)
        .context("could not generate the Go bindings")?;
    for (name, content) in files.iter() {
        let path = into.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, content).with_context(|| format!("could not write {}", path.display()))?;
    }
    Ok(())
}
