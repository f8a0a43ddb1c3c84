//! The interface `entropy`: time and randomness, counted.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::bindings::v0_1::entropy::Host;
use crate::state::CallState;

impl Host for CallState {
    async fn now_ns(&mut self) -> wasmtime::Result<u64> {
        self.draws += 1;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Ok(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
    }

    async fn random_u64(&mut self) -> wasmtime::Result<u64> {
        self.draws += 1;
        let mut bytes = [0u8; 8];
        getrandom::fill(&mut bytes)
            .map_err(|_| wasmtime::Error::msg("the system has no randomness"))?;
        Ok(u64::from_le_bytes(bytes))
    }
}
