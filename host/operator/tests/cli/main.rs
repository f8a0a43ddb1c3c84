//! The binary `postern` as users start it. One test binary, so that the bundle is compiled once.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod aws;
mod chart;
mod common;
mod docs;
mod external_secret;
mod outside;
mod plugin;
mod quickstart;
mod registry;
mod store_access;
mod sync;
mod target;
mod templates;
