//! What the contract's versions look like in Rust: one module per released version, nothing else names generated types.

pub mod v0_1;
