//! Builds guests: components from projects in Rust, Go, Python and JavaScript.
//!
//! The steps are here, one module each; `main.rs` only reads the command line. Nothing here is part of what Postern
//! ships, and nothing here runs a guest but the pre-initialiser, which runs its warm-up.

pub mod adapter;
pub mod bind;
pub mod command;
pub mod component;
pub mod go;
pub mod js;
pub mod project;
pub mod python;
pub mod rust;
pub mod segments;
pub mod stamp;
pub mod wizer;
