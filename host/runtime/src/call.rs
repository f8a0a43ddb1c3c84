//! One call of a plugin: a slot, a fresh instance, meters, an end by the clock. Nothing outlives it.

use std::sync::Arc;
use std::time::Duration;

use postern_core::failure::{Code, Failure, Stage};
use tokio::sync::{Semaphore, SemaphorePermit};
use wasmtime::{Engine, Store};

use crate::fault::{self, Reader};
use crate::limits;
use crate::state::{self, CallState};

/// What one call of a plugin has used.
#[derive(Clone, Copy, Debug)]
pub struct Usage<'a> {
    /// The plugin's name.
    pub plugin: &'a str,
    /// The function of the contract.
    pub function: &'static str,
    /// Time by the clock, waits included.
    pub wall: Duration,
    /// Time on a CPU, in ticks.
    pub cpu: Duration,
    /// Bytes of linear memory.
    pub memory: usize,
    /// Whether it ended without an answer.
    pub failed: bool,
}

/// Told of every call.
pub type OnUsage = Arc<dyn Fn(Usage<'_>) + Send + Sync>;

/// Runs calls; bounds how many run at once, first come, first served.
pub struct Caller {
    engine: Engine,
    providers: Semaphore,
    engines: Semaphore,
    on_usage: Option<OnUsage>,
}

impl Caller {
    pub fn new(engine: Engine, on_usage: Option<OnUsage>) -> Self {
        let engines = limits::POOL_ENGINES as usize;
        let providers = limits::POOL_COMPONENTS as usize - engines;
        Self {
            engine,
            providers: Semaphore::new(providers),
            engines: Semaphore::new(engines),
            on_usage,
        }
    }

    /// Runs `work` in a store of its own; gives its answer and how to read the failures in it.
    pub async fn run<T>(
        &self,
        mut state: CallState,
        work: impl AsyncFnOnce(&mut Store<CallState>) -> wasmtime::Result<T>,
    ) -> Result<(T, Reader), Failure> {
        let callee = state.callee.clone();
        let wall = state
            .until
            .saturating_duration_since(tokio::time::Instant::now());
        let _slot = self.slot(&state, wall).await?;
        if state.callee.stage == Stage::Render {
            // A render is not to pay for those before it.
            state.until = tokio::time::Instant::now() + wall;
        }
        let until = state.until;
        let mut store = self.store(state);
        let began = tokio::time::Instant::now();
        let done = tokio::time::timeout_at(until, work(&mut store)).await;
        let state = store.data_mut();
        let (memory, cpu) = state.used();
        // Heard by who measures a plugin; nobody else listens at this level.
        tracing::trace!(
            target: "usage",
            function = callee.function,
            memory = u64::try_from(memory).unwrap_or(u64::MAX),
            cpu_ms = u64::try_from(cpu.as_millis()).unwrap_or(u64::MAX),
        );
        if let Some(told) = &self.on_usage {
            let name = callee.plugin.rsplit_once(' ').map(|(name, _)| name);
            told(Usage {
                plugin: name.unwrap_or(&callee.plugin),
                function: callee.function,
                wall: began.elapsed(),
                cpu,
                memory,
                failed: !matches!(done, Ok(Ok(_))),
            });
        }
        let reader = Reader {
            stage: callee.stage,
            cleaner: std::mem::take(&mut state.cleaner),
            refused: std::mem::take(&mut state.refused),
        };
        match done {
            Ok(Ok(answer)) => Ok((answer, reader)),
            Ok(Err(error)) => Err(fault::of_error(
                &callee,
                &error,
                state.broken(),
                &state.limits,
            )),
            Err(_) => {
                let what = format!("did not finish within {:.1} s", wall.as_secs_f64());
                Err(callee.failure(late(callee.stage), what))
            }
        }
    }

    /// A place among the instances that run at once.
    async fn slot(
        &self,
        state: &CallState,
        wall: Duration,
    ) -> Result<SemaphorePermit<'_>, Failure> {
        let slots = if state.callee.stage == Stage::Render {
            &self.engines
        } else {
            &self.providers
        };
        let busy = || {
            let what = format!(
                "found no free place for an instance within {:.1} s",
                wall.as_secs_f64()
            );
            state.callee.failure(Code::Internal, what)
        };
        match tokio::time::timeout_at(state.until, slots.acquire()).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_)) | Err(_) => Err(busy()),
        }
    }

    fn store(&self, state: CallState) -> Store<CallState> {
        let hostcall = state.limits.hostcall;
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| state);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(state::on_tick);
        store.set_hostcall_fuel(hostcall);
        store.set_max_component_handles(limits::HANDLES);
        store
    }
}

/// Whose fault it is that the time by the clock ran out: a provider waits for its backend, a render only for our CPUs.
fn late(stage: Stage) -> Code {
    match stage {
        Stage::Render => Code::Internal,
        _ => Code::Timeout,
    }
}
