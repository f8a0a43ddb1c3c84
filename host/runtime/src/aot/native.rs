//! The only place where machine code is taken from outside the compiler.
#![expect(
    unsafe_code,
    reason = "loading compiled code is unsafe by nature: forged code is arbitrary code. Both callers have \
    authenticated it: by the cache's key, or because it lies beside the binary and could as well be the binary"
)]

use std::path::Path;

use wasmtime::Engine;
use wasmtime::component::Component;

/// Code from memory; nobody can change it after it was authenticated.
pub fn from_bytes(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: made by our compiler, as the caller has verified by key or received from the child it started.
    unsafe { Component::deserialize(engine, code) }
}

/// Code from a file that is mapped: pages are read when they are used.
pub fn from_file(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: bundled files are written at build time and are as trusted, and as unchanging, as the binary beside them.
    unsafe { Component::deserialize_file(engine, path) }
}
