//! Version 0.1 of the contract: generated types, and their conversions to and from core's.
//!
//! The optional interfaces are worlds of their own over the same types, so that each is found by looking at the exports.

pub mod from_guest;
pub mod to_guest;

/// The required part of a provider, and everything the host offers.
pub mod provider {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "postern:plugin/provider",
        imports: { default: async | trappable },
        exports: { default: async },
    });
}

/// The optional interface `login`.
pub mod login {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "package postern:host; world has-login { export postern:plugin/login@0.1.0; }",
        world: "postern:host/has-login",
        exports: { default: async },
        with: { "postern:plugin/types@0.1.0": super::provider::postern::plugin::types },
    });
}

/// The optional interface `find`.
pub mod find {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "package postern:host; world has-find { export postern:plugin/find@0.1.0; }",
        world: "postern:host/has-find",
        exports: { default: async },
        with: { "postern:plugin/types@0.1.0": super::provider::postern::plugin::types },
    });
}

/// A template engine.
pub mod engine {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "postern:plugin/template-engine",
        imports: { default: async | trappable },
        exports: { default: async },
        with: {
            "postern:plugin/types@0.1.0": super::provider::postern::plugin::types,
            "postern:plugin/entropy@0.1.0": super::provider::postern::plugin::entropy,
        },
    });
}

pub use provider::exports::postern::plugin::{check, describe, read};
pub use provider::postern::plugin::{entropy, files, http, log, templating, types};

/// Names of interfaces as they stand in a component.
pub mod names {
    /// Every interface a provider may import.
    pub const PROVIDER_IMPORTS: [&str; 6] = [
        "postern:plugin/types@0.1.0",
        "postern:plugin/http@0.1.0",
        "postern:plugin/log@0.1.0",
        "postern:plugin/entropy@0.1.0",
        "postern:plugin/files@0.1.0",
        "postern:plugin/templating@0.1.0",
    ];
    /// Every interface a template engine may import.
    pub const ENGINE_IMPORTS: [&str; 2] =
        ["postern:plugin/types@0.1.0", "postern:plugin/entropy@0.1.0"];
    pub const DESCRIBE: &str = "postern:plugin/describe@0.1.0";
    pub const READ: &str = "postern:plugin/read@0.1.0";
    pub const LOGIN: &str = "postern:plugin/login@0.1.0";
    pub const FIND: &str = "postern:plugin/find@0.1.0";
    pub const RENDER: &str = "postern:plugin/render@0.1.0";
}
