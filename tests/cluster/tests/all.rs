//! Postern against a real control plane, with its real runtime and its real plugins. One binary, one control plane, one
//! controller for the whole cluster; a namespace for each test.

#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

#[path = "all/access.rs"]
mod access;
#[path = "all/admission.rs"]
mod admission;
#[path = "all/advisories.rs"]
mod advisories;
#[path = "all/ces.rs"]
mod ces;
#[path = "all/contract.rs"]
mod contract;
#[path = "all/crds.rs"]
mod crds;
#[path = "all/deletion.rs"]
mod deletion;
#[path = "all/drift.rs"]
mod drift;
#[path = "all/failures.rs"]
mod failures;
#[path = "all/freshness.rs"]
mod freshness;
#[path = "all/generic.rs"]
mod generic;
#[path = "all/handover.rs"]
mod handover;
#[path = "all/harness.rs"]
mod harness;
#[path = "all/isolation.rs"]
mod isolation;
#[path = "all/lifecycle.rs"]
mod lifecycle;
#[path = "all/load.rs"]
mod load;
#[path = "all/metrics.rs"]
mod metrics;
#[path = "all/pages.rs"]
mod pages;
#[path = "all/policies.rs"]
mod policies;
#[path = "all/providers.rs"]
mod providers;
#[path = "all/sentinels.rs"]
mod sentinels;
#[path = "all/side_by_side.rs"]
mod side_by_side;
#[path = "all/stores.rs"]
mod stores;
#[path = "all/templates.rs"]
mod templates;
#[path = "all/tls.rs"]
mod tls;
#[path = "all/windows.rs"]
mod windows;
