//! Postern in a cluster: watches, reconciles, writes Secrets and statuses. The only crate that talks to Kubernetes.
//!
//! The path of a sync: `watch` → `queue` → `observe` → plan (core) → doors (`postern-sync`) → `target` →
//! conclude (core) → `commit`; `reconcile` shows it on one screen. `stores` is the same for stores,
//! `cluster` for ClusterExternalSecrets, `plugins` for plugins from outside. It is not
//! here what a sync decides, nor what a plugin is.

mod api_error;
mod bereft;
mod cluster;
mod commit;
mod context;
mod credentials;
mod events;
mod manifest;
mod observe;
mod plugins;
mod preflight;
mod queue;
pub mod rbac;
mod reconcile;
mod report;
mod run;
mod stores;
mod target;
mod watch;
mod world;

pub use plugins::{Hand, Listing, Plugins};
pub use report::{OnReport, Reading, Readings, Report, Subject};
pub use run::{Error, Options, Readiness, run};
