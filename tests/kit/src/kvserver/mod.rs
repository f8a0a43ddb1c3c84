//! Loopback servers that speak the part of the Vault HTTP API which the vault plugin uses.
//!
//! - [`BaoReplay`] answers what a recording of a real server holds, and nothing else.
//! - [`BaoServer`] is a real server, where the machine has one.
//! - [`CountingVault`] holds what a test puts in, counts, and misbehaves on demand; the shapes of its answers are the recorded ones.

mod answers;
mod bao;
mod counting;
mod policy;
mod recording;
mod replay;
mod routes;
mod store;
#[cfg(test)]
mod tests;

use crate::http_server;
pub use crate::http_server::Transport;
pub use bao::BaoServer;
pub use counting::{CountingVault, Fault, JwtRole};
pub use recording::{RECORDED_ROLE_ID, RECORDED_SECRET_ID, Recording};
pub use replay::BaoReplay;

use crate::pki::Identity;

/// The variable that names a `bao` or `vault` binary.
pub const BAO_VARIABLE: &str = "POSTERN_TEST_BAO";

/// What answers a test.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Counterpart {
    /// A recording of a real server.
    Replay,
    /// A real server.
    Real,
    /// The counting server of this crate.
    Counting,
}

/// A server that speaks the Vault API, whatever stands behind it.
pub trait Vaultlike: Send + Sync {
    /// Where it listens, without a slash at the end.
    fn url(&self) -> &str;
    /// A token that may do everything.
    fn token(&self) -> &str;
    /// What stands behind it.
    fn counterpart(&self) -> Counterpart;
    /// What a client has to trust, where it speaks TLS.
    fn ca_pem(&self) -> Option<&str> {
        None
    }
    /// What a client has to show, where it asks for a certificate.
    fn client_identity(&self) -> Option<&Identity> {
        None
    }
    /// Requests that a replay had no answer to. A test asserts that there is none.
    fn unexpected(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The real server where [`BAO_VARIABLE`] names one, else the replay; says on stderr which of the two.
pub fn vaultlike() -> anyhow::Result<Box<dyn Vaultlike>> {
    match BaoServer::start()? {
        Some(server) => {
            eprintln!("counterpart: the real server that {BAO_VARIABLE} names");
            Ok(Box::new(server))
        }
        None => {
            eprintln!("counterpart: replay of a recorded server ({BAO_VARIABLE} is not set)");
            Ok(Box::new(BaoReplay::start()?))
        }
    }
}
