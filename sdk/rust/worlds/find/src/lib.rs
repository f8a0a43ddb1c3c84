//! Generated bindings of one combination of a provider's optional interfaces, and nothing else. A crate of
//! its own, because the export macros of two worlds have the same names.
#![cfg(target_arch = "wasm32")]

wit_bindgen::generate!({
    path: "wit",
    inline: "package postern:guest; world with-find { include postern:plugin/provider@0.1.0; export postern:plugin/find@0.1.0; }",
    world: "postern:guest/with-find",
    generate_all,
    pub_export_macro: true,
});
