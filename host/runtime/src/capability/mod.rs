//! What the host offers to guests, a file for each interface. Everything is denied by default.

pub mod entropy;
pub mod files;
pub mod http;
pub mod log;
pub mod templating;
