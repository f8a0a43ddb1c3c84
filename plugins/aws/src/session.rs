//! What a login leaves to those who read: all that a signature of one day, one region and one service needs, and nothing
//! from which the secret access key could be got back.

use postern_sdk::{Context, Failure};
use serde::{Deserialize, Serialize};

use crate::sigv4::{Key, unhex};

/// A session.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Access key id.
    pub id: String,
    /// Goes with temporary keys.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token: Option<String>,
    /// The derived key, in hexadecimal digits.
    pub key: String,
    /// A moment of the day that the key is for, in seconds since 1970.
    pub day: u64,
    /// By how many seconds AWS's time is ahead of ours.
    pub skew: i64,
    /// Scheme, host and port of the service.
    pub base: String,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session(<redacted>, {})", self.base)
    }
}

impl Session {
    /// The session of a call.
    ///
    /// # Errors
    /// `internal` where the host gave none, or another's.
    pub fn of(context: &Context) -> Result<Self, Failure> {
        let bytes = context.session.as_deref();
        let bytes = bytes.ok_or_else(|| Failure::internal("a read came without a session"))?;
        serde_json::from_slice(bytes)
            .map_err(|_| Failure::internal("the session is not one of this version"))
    }

    /// The session as the host keeps it.
    ///
    /// # Errors
    /// `internal`; texts and numbers can always be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Failure> {
        serde_json::to_vec(self).map_err(|_| Failure::internal("the session cannot be written"))
    }

    /// The derived key.
    ///
    /// # Errors
    /// `internal` for what is none.
    pub fn derived(&self) -> Result<Key, Failure> {
        unhex(&self.key).ok_or_else(|| Failure::internal("the session's key is none"))
    }
}
