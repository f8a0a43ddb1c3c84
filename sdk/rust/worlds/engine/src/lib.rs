//! Generated bindings of a template engine, and nothing else. A crate of its own, because the export macros of two worlds
//! have the same names.
#![cfg(target_arch = "wasm32")]

wit_bindgen::generate!({
    path: "wit",
    world: "postern:plugin/template-engine",
    generate_all,
    pub_export_macro: true,
});
