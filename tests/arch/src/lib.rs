//! Generated files, and what holds the repository to its own rules.
//!
//! [`generated`] says what every generated file must contain; `postern-codegen` writes it, the tests compare.

mod chart;
pub mod errors;
pub mod generated;

use std::path::{Path, PathBuf};

/// The repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
