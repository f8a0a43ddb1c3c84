//! What the tests of Postern stand on: a real Kubernetes control plane, and loopback servers that answer as real vaults do.
//!
//! Nothing here knows a crate of Postern itself, so any of them may use it, and a mistake in Postern cannot hide in its own test kit.
//! Servers run on threads of their own: a test may be synchronous, or bring whatever runtime it likes.

pub mod aws;
mod child;
pub mod control_plane;
pub mod doppler;
pub mod endpoint;
pub mod gcp;
mod http_server;
pub mod keyvault;
pub mod kvserver;
pub mod namespace;
pub mod pki;
pub mod registry;
pub mod sentinel;
pub mod tools;

pub use control_plane::ControlPlane;
pub use namespace::Namespace;
