//! What a login leaves for those who read: the token, and the project where the store names none.

use postern_sdk::{Context, Failure, Session};
use serde::{Deserialize, Serialize};

/// What is kept between calls, by the host.
#[derive(Serialize, Deserialize)]
pub struct Kept {
    /// The access token.
    pub token: String,
    /// The project that the metadata server named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
}

impl Kept {
    /// The session of a call.
    ///
    /// # Errors
    /// `unauthenticated` where there is none.
    pub fn of(context: &Context) -> Result<Self, Failure> {
        let session = context.session.as_deref();
        let session = session.ok_or_else(|| Failure::unauthenticated("there is no session yet"))?;
        serde_json::from_slice(session).map_err(|_| Failure::internal("the session cannot be read"))
    }

    /// The session as the host keeps it.
    #[must_use]
    pub fn session(&self, life_s: Option<u64>) -> Session {
        Session {
            token: serde_json::to_vec(self).unwrap_or_default(),
            expires_in_ms: life_s.map(|s| s.saturating_mul(1000)),
            options: Vec::new(),
        }
    }
}
