//! The same sync without a cluster: manifests in a folder in, Secrets out.
//!
//! Doors 0, 1 and 7 of a sync are here; everything between them is shared with the controller. What a sync decides is
//! decided in `postern_core`. Absent: pruning of targets whose ExternalSecret is gone.

pub mod credentials;
pub mod folder;
pub mod manifest;
pub mod output;
pub mod pass;
pub mod plugins;
pub mod report;
pub mod watch;
