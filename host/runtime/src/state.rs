//! What one call carries: its budget, its meters, what it may use. Dropped with the instance.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use postern_core::egress::EgressPolicy;
use postern_core::failure::Code;
use postern_core::plugin::IdentityId;
use tokio::time::Instant;
use wasmtime::{ResourceLimiter, StoreContextMut, UpdateDeadline};

use crate::bindings::v0_1::types;
use crate::capability::http::Http;
use crate::capability::templating::Templating;
use crate::fault::{Callee, Cleaner, Limit};
use crate::limits::{self, Limits};

/// The network side of a call; absent where the call has none.
pub struct Net {
    pub http: Arc<Http>,
    pub identity: IdentityId,
    pub egress: Arc<EgressPolicy>,
    pub requests: u32,
    pub bytes_out: usize,
    pub bytes_in: usize,
}

/// The state behind one instance.
pub struct CallState {
    pub limits: Limits,
    pub callee: Callee,
    pub cleaner: Cleaner,
    /// When the whole call must be over.
    pub until: Instant,
    pub net: Option<Net>,
    pub directories: Arc<BTreeMap<String, PathBuf>>,
    pub templating: Option<Arc<dyn Templating>>,
    /// Texts with which the host refused something, so that a failure passed on keeps its code.
    pub refused: Vec<(Code, String)>,
    pub log_lines: u32,
    /// How often entropy was drawn: a render that drew none can be kept.
    pub draws: u64,
    meter: Meter,
}

#[derive(Default)]
struct Meter {
    memory: usize,
    last_growth: usize,
    ticks: u32,
    /// The guest has waited for the host since the last tick, so the tick is not its own.
    waited: bool,
    broken: Option<Limit>,
}

impl CallState {
    pub fn new(callee: Callee, limits: Limits, cleaner: Cleaner, wall: Duration) -> Self {
        Self {
            limits,
            callee,
            cleaner,
            until: Instant::now() + wall,
            net: None,
            directories: Arc::default(),
            templating: None,
            refused: Vec::new(),
            log_lines: 0,
            draws: 0,
            meter: Meter::default(),
        }
    }

    /// The limit that was broken first.
    pub fn broken(&self) -> Option<Limit> {
        self.meter.broken
    }

    /// Bytes of memory that the call had, and the time that it took on a CPU.
    pub fn used(&self) -> (usize, std::time::Duration) {
        (self.meter.memory, limits::TICK * self.meter.ticks)
    }

    /// Notes a broken limit, and gives the error that ends the call.
    pub fn break_limit(&mut self, limit: Limit) -> wasmtime::Error {
        self.meter.broken.get_or_insert(limit);
        wasmtime::Error::msg("a limit of this call is used up")
    }

    /// Notes that the guest waited for the host.
    pub fn waited(&mut self) {
        self.meter.waited = true;
    }

    /// Keeps the text of a refusal and gives it to the guest as a failure.
    pub fn refuse(&mut self, code: Code, text: String) -> types::Failure {
        let failure = failure("denied", text.clone());
        self.refused.push((code, text));
        failure
    }
}

/// A failure of the host's own, as the guest gets it.
pub fn failure(code: &str, message: impl Into<String>) -> types::Failure {
    types::Failure {
        code: code.to_owned(),
        message: message.into(),
        retry_after_ms: None,
        detail: Vec::new(),
    }
}

/// Called when guest code notices a tick; ticks during a host call are noticed once, after it.
pub fn on_tick(mut store: StoreContextMut<'_, CallState>) -> wasmtime::Result<UpdateDeadline> {
    let state = store.data_mut();
    if std::mem::take(&mut state.meter.waited) {
        return Ok(UpdateDeadline::Continue(1));
    }
    state.meter.ticks += 1;
    if limits::TICK * state.meter.ticks > state.limits.cpu {
        state.meter.broken.get_or_insert(Limit::Cpu);
        return Ok(UpdateDeadline::Interrupt);
    }
    Ok(UpdateDeadline::Yield(1))
}

/// The limit holds for all memories together; wasmtime's own limiter counts each by itself.
impl ResourceLimiter for CallState {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let growth = desired.saturating_sub(current);
        if self.meter.memory.saturating_add(growth) > self.limits.memory {
            self.meter.broken.get_or_insert(Limit::Memory);
            return Ok(false);
        }
        self.meter.memory += growth;
        self.meter.last_growth = growth;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.meter.memory -= std::mem::take(&mut self.meter.last_growth);
        Ok(())
    }

    fn table_growing(
        &mut self,
        _: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let fits = desired <= limits::TABLE_ELEMENTS;
        if !fits {
            self.meter.broken.get_or_insert(Limit::Tables);
        }
        Ok(fits)
    }
}

impl types::Host for CallState {}
