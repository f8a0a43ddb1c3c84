//! The one door to plugins, and the only crate that names wasmtime: engine, bindings, what the host offers to guests,
//! limits, compiled code, calls.
//!
//! [`Runtime`] implements [`postern_core::plugin::PluginHost`]. Every call runs in a fresh instance; nothing survives it.
//! Deliberately absent: WASI (plugins get our interfaces only), retries, coalescing and sessions (the rooms above hold
//! them), and any decision where a plugin may connect to (`postern_core::egress` decides).

pub mod aot;
mod bindings;
mod call;
mod capability;
mod check;
mod engine;
mod fault;
mod limits;
mod load;
mod runtime;
mod serving;
mod state;

pub use call::{OnUsage, Usage};
pub use capability::http::{Http, HttpSettings};
pub use engine::build_id;
pub use limits::Limits;
pub use runtime::{Builder, Runtime};
