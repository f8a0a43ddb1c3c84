//! The binary `postern` as users start it. One test binary, so that the bundle is compiled once.

mod common;
mod quickstart;
mod sync;
