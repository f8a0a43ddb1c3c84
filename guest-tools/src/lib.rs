//! Builds guests: components from projects in Rust, Go, Python and JavaScript.
//!
//! The steps are here, one module each; `main.rs` only reads the command line. `postern plugin`
//! uses them too, where this repository is not: what they need of it is carried along. Nothing here runs a guest but the
//! pre-initialiser, which runs its warm-up.

pub mod adapter;
pub mod bind;
pub mod carried;
pub mod command;
pub mod component;
pub mod go;
pub mod js;
pub mod project;
pub mod python;
pub mod rust;
pub mod scaffold;
pub mod segments;
pub mod stamp;
pub mod wizer;
