//! The recorded exchanges with a real OpenBao, read once. Decides nothing.

use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::Value;

const TEXT: &str = include_str!("../../recordings/openbao.json");

/// The role id that the recorded AppRole login shows.
pub const RECORDED_ROLE_ID: &str = "d881137b-bd3d-c329-2ff8-590dd61524d0";
/// The secret id that the recorded AppRole login shows.
pub const RECORDED_SECRET_ID: &str = "701c196e-f705-9118-d46b-cb982efd70f1";

/// All exchanges, in the order in which they happened.
#[derive(Debug, Deserialize)]
pub struct Recording {
    /// The exchanges.
    pub exchanges: Vec<Exchange>,
}

/// One request and its answer.
#[derive(Debug, Deserialize)]
pub struct Exchange {
    /// What it shows.
    pub note: String,
    /// What was asked.
    pub request: Asked,
    /// What came back.
    pub response: Answered,
}

/// What was asked.
#[derive(Debug, Deserialize)]
pub struct Asked {
    /// HTTP method; listing has one of its own, LIST.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers, by the names that the client wrote.
    pub headers: std::collections::BTreeMap<String, String>,
    /// JSON body, null if none.
    pub body: Value,
}

/// What came back.
#[derive(Debug, Deserialize)]
pub struct Answered {
    /// HTTP status.
    pub status: u16,
    /// Headers that matter.
    pub headers: std::collections::BTreeMap<String, String>,
    /// JSON body, null if none.
    pub body: Value,
}

impl Recording {
    /// The recording of OpenBao.
    ///
    /// # Panics
    /// Where the file in this repository is broken.
    #[allow(clippy::expect_used, reason = "the file is part of this crate")]
    pub fn openbao() -> &'static Self {
        static READ: OnceLock<Recording> = OnceLock::new();
        READ.get_or_init(|| {
            serde_json::from_str(TEXT).expect("should parse: the recording is part of this crate")
        })
    }

    /// The position of the exchange with this note.
    pub fn position(&self, note: &str) -> Option<usize> {
        self.exchanges
            .iter()
            .position(|exchange| exchange.note == note)
    }

    /// The answer of the exchange with this note.
    pub fn answer(&self, note: &str) -> Option<&Answered> {
        Some(&self.exchanges.get(self.position(note)?)?.response)
    }
}
