//! The doors that a sync has with and without a cluster: fetch and render.
//!
//! Everything that talks to a plugin on behalf of a store passes here: who asks ([`Doors`] prepares an identity), with
//! which session, and together with whom. Values are not kept between syncs. No Kubernetes and no wasmtime: credentials
//! come through [`Credentials`], plugins through `postern_core::plugin::PluginHost`.

mod absence;
mod ambient;
pub mod audit;
mod credentials;
mod doors;
mod fetcher;
mod find;
mod identity;
mod pinned;
pub mod plugins;
mod policy;
mod prepare;
mod read;
mod retry;
mod session;
mod settings;
mod stats;
mod trial;

pub use ambient::Environment;
pub use credentials::{Credentials, ObjectKind, ObjectName, Resolved, Version, Whole};
pub use doors::{Checked, Doors, Pending};
pub use settings::Settings;
pub use stats::{Calls, End, Fetches, Stats, Task};
