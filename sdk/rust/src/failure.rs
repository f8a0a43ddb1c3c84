//! Why something did not work, with one constructor a code, so that no code is misspelt.

use std::fmt;

use crate::Options;

/// A failure of the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// One of the documented codes.
    pub code: String,
    /// For people; never a secret value, never a credential.
    pub message: String,
    /// How long the backend asked us to wait.
    pub retry_after_ms: Option<u64>,
    /// Facts for logs.
    pub detail: Options,
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {$(
        $(#[$doc])*
        pub fn $name(message: impl Into<String>) -> Self {
            Self { code: $code.to_owned(), message: message.into(), retry_after_ms: None, detail: Vec::new() }
        }
    )*};
}

impl Failure {
    constructors! {
        /// The backend said with authority that this does not exist: the only code that may lead to a deletion.
        absent = "absent";
        /// Anything else that is not there, such as a mount or a route.
        not_found = "not-found";
        /// The backend knows us and refuses.
        denied = "denied";
        /// The backend does not, or no longer, know us: a new login may help.
        unauthenticated = "unauthenticated";
        /// The store's config cannot work.
        invalid_config = "invalid-config";
        /// This request cannot work.
        invalid_request = "invalid-request";
        /// Somebody else wrote first.
        conflict = "conflict";
        /// The backend cannot answer now.
        unavailable = "unavailable";
        /// The backend did not answer in time.
        timeout = "timeout";
        /// This provider does not do that.
        unsupported = "unsupported";
        /// A fault of the plugin.
        internal = "internal";
    }

    /// The backend asked to slow down, perhaps for how long.
    pub fn rate_limited(message: impl Into<String>, retry_after_ms: Option<u64>) -> Self {
        Self {
            code: "rate-limited".to_owned(),
            message: message.into(),
            retry_after_ms,
            detail: Vec::new(),
        }
    }

    /// Adds a fact for logs.
    #[must_use]
    pub fn with_detail(mut self, name: &str, value: impl Into<String>) -> Self {
        self.detail.push((name.to_owned(), value.into()));
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Failure {}
