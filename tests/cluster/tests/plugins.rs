//! Plugins from outside against a real control plane and a real OCI registry: grants, the switch between versions, and what
//! is left when a version fails. Plugins are the cluster's, so the tests run one after another, each with a controller of
//! its own.

#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

#[path = "plugins/damage.rs"]
mod damage;
#[path = "plugins/desk.rs"]
mod desk;
#[path = "plugins/engine.rs"]
mod engine;
#[path = "plugins/grants.rs"]
mod grants;
#[path = "plugins/hand.rs"]
mod hand;
#[path = "plugins/kill.rs"]
mod kill;
#[path = "plugins/sources.rs"]
mod sources;
#[path = "plugins/swap.rs"]
mod swap;
