//! Pre-initialises a module: runs its start and its warm-up, and keeps the memory as it is then.
//!
//! What the module sees of the world meanwhile is made up and the same in every build: a clock that counts and a
//! sequence of numbers that looks random. Whatever a guest drew then is part of the component and known to everybody
//! who has it, so no guest may keep a secret from its start.

use std::future::Future;
use std::io::Write as _;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use anyhow::{Result, anyhow, bail};
use wasmtime::{Caller, Config, Engine, Instance, Linker, Memory, Module, OptLevel, Store, Val};
use wasmtime_wizer::{InstanceState, SnapshotVal, ValType, Wizer};

use crate::adapter::WASI;

/// What a guest exports to be warmed up; without it only its start is run.
pub const WARM_UP: &str = "wizer-initialize";
const START: &str = "_initialize";

/// EBADF of WASI preview 1.
const NO_SUCH_FILE: i32 = 8;

/// The module as it is after its start.
pub fn initialised(module: &[u8]) -> Result<Vec<u8>> {
    let mut config = Config::new();
    // It runs for a moment; compiling it well would take longer than that.
    config.cranelift_opt_level(OptLevel::None);
    let engine = plain(Engine::new(&config))?;
    let mut wizer = Wizer::new();
    let (context, instrumented) = plain(wizer.init_func(START).instrument(module))?;
    let compiled = plain(Module::new(&engine, &instrumented))?;
    if compiled.get_export(WARM_UP).is_some() {
        wizer.init_func(WARM_UP);
    }
    let mut store = Store::new(&engine, World::default());
    let instance = plain(start(&mut store, &compiled))?;
    let mut state = State { store, instance };
    plain(at_once(wizer.snapshot(&context, &mut state))?)
}

fn start(store: &mut Store<World>, module: &Module) -> wasmtime::Result<Instance> {
    let mut linker = Linker::new(store.engine());
    offer(&mut linker)?;
    linker.define_unknown_imports_as_traps(module)?;
    let instance = linker.instantiate(&mut *store, module)?;
    for name in [START, WARM_UP] {
        if let Some(function) = instance.get_func(&mut *store, name) {
            function.typed::<(), ()>(&*store)?.call(&mut *store, ())?;
        }
    }
    Ok(instance)
}

/// The made-up world.
struct World {
    nanoseconds: u64,
    random: u64,
}

impl Default for World {
    fn default() -> Self {
        Self {
            nanoseconds: 1_700_000_000_000_000_000,
            random: 0x9e37_79b9_7f4a_7c15,
        }
    }
}

impl World {
    /// Xorshift: enough to seed hash tables.
    fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

/// The part of WASI that Go uses before `main` would run. A call of anything else is a trap that names it.
fn offer(linker: &mut Linker<World>) -> wasmtime::Result<()> {
    for name in ["args_sizes_get", "environ_sizes_get"] {
        linker.func_wrap(
            WASI,
            name,
            |mut caller: Caller<'_, World>, count: u32, size: u32| {
                write(&mut caller, count, &0_u32.to_le_bytes())?;
                write(&mut caller, size, &0_u32.to_le_bytes())
            },
        )?;
    }
    for name in ["args_get", "environ_get"] {
        linker.func_wrap(WASI, name, |_: u32, _: u32| 0)?;
    }
    linker.func_wrap(
        WASI,
        "clock_time_get",
        |mut caller: Caller<'_, World>, _clock: u32, _precision: u64, out: u32| {
            caller.data_mut().nanoseconds += 1000;
            let now = caller.data().nanoseconds;
            write(&mut caller, out, &now.to_le_bytes())
        },
    )?;
    linker.func_wrap(
        WASI,
        "random_get",
        |mut caller: Caller<'_, World>, out: u32, length: u32| {
            let bytes: Vec<u8> = (0..length)
                .map(|_| caller.data_mut().next().to_le_bytes()[7])
                .collect();
            write(&mut caller, out, &bytes)
        },
    )?;
    linker.func_wrap(
        WASI,
        "poll_oneoff",
        |mut caller: Caller<'_, World>, _: u32, _: u32, _: u32, events: u32| {
            write(&mut caller, events, &0_u32.to_le_bytes())
        },
    )?;
    linker.func_wrap(WASI, "fd_write", to_stderr)?;
    linker.func_wrap(WASI, "fd_prestat_get", |_: u32, _: u32| NO_SUCH_FILE)?;
    linker.func_wrap(WASI, "fd_fdstat_get", |_: u32, _: u32| NO_SUCH_FILE)?;
    linker.func_wrap(WASI, "fd_fdstat_set_flags", |_: u32, _: u32| 0)?;
    linker.func_wrap(WASI, "sched_yield", || 0)?;
    linker.func_wrap(WASI, "adapter_monotonic_clock_set_paused", |_: u32| ())?;
    Ok(())
}

/// What a guest writes while it starts is the reason why it failed. It says that it wrote the first vector only; the
/// caller goes on with the rest.
fn to_stderr(
    mut caller: Caller<'_, World>,
    _fd: u32,
    vectors: u32,
    count: u32,
    written: u32,
) -> wasmtime::Result<i32> {
    if count == 0 {
        return write(&mut caller, written, &0_u32.to_le_bytes());
    }
    let memory = memory(&mut caller)?;
    let mut vector = [0; 8];
    memory.read(&caller, usize::try_from(vectors)?, &mut vector)?;
    let [a, b, c, d, length @ ..] = vector;
    let from = usize::try_from(u32::from_le_bytes([a, b, c, d]))?;
    let mut text = vec![0; usize::try_from(u32::from_le_bytes(length))?];
    memory.read(&caller, from, &mut text)?;
    std::io::stderr().write_all(&text)?;
    write(&mut caller, written, &length)
}

fn write(caller: &mut Caller<'_, World>, at: u32, bytes: &[u8]) -> wasmtime::Result<i32> {
    memory(caller)?.write(caller, usize::try_from(at)?, bytes)?;
    Ok(0)
}

fn memory(caller: &mut Caller<'_, World>) -> wasmtime::Result<Memory> {
    caller
        .get_export("memory")
        .and_then(|export| export.into_memory())
        .ok_or_else(|| wasmtime::Error::msg("the guest exports no memory"))
}

/// What the snapshot is taken from. wasmtime-wizer has one of its own, whose feature would bring half of wasmtime's
/// optional parts into every build of this workspace.
struct State {
    store: Store<World>,
    instance: Instance,
}

#[expect(
    clippy::panic,
    reason = "the trait has no way to fail, and asks only for what the snapshot has exported itself"
)]
impl InstanceState for State {
    async fn global_get(&mut self, name: &str, _: ValType) -> SnapshotVal {
        let Some(global) = self.instance.get_global(&mut self.store, name) else {
            panic!("the instrumented module exports no global {name}");
        };
        match global.get(&mut self.store) {
            Val::I32(value) => SnapshotVal::I32(value),
            Val::I64(value) => SnapshotVal::I64(value),
            Val::F32(bits) => SnapshotVal::F32(bits),
            Val::F64(bits) => SnapshotVal::F64(bits),
            Val::V128(value) => SnapshotVal::V128(value.as_u128()),
            other => panic!("the global {name} holds a reference: {other:?}"),
        }
    }

    async fn memory_contents(&mut self, name: &str, contents: impl FnOnce(&[u8]) + Send) {
        let Some(memory) = self.instance.get_memory(&mut self.store, name) else {
            panic!("the instrumented module exports no memory {name}");
        };
        contents(memory.data(&self.store));
    }
}

/// The snapshot is asynchronous for instances that are elsewhere; ours is at hand, so it never waits.
fn at_once<F: Future>(future: F) -> Result<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Ok(value),
        Poll::Pending => bail!("the snapshot waits for something"),
    }
}

fn plain<T>(result: wasmtime::Result<T>) -> Result<T> {
    result.map_err(|error| anyhow!("{error:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_start_and_warm_up_wrote_and_drops_both() {
        let module = wat::parse_str(
            r#"(module (memory (export "memory") 1) (global $g (mut i32) (i32.const 0))
               (func (export "_initialize") (global.set $g (i32.const 7)))
               (func (export "wizer-initialize") (i32.store (i32.const 0) (global.get $g)))
               (func (export "read") (result i32) (i32.load (i32.const 0))))"#,
        )
        .expect("should assemble");
        let out = initialised(&module).expect("should initialise");
        let engine = Engine::default();
        let compiled = Module::new(&engine, &out).expect("should compile");
        assert!(compiled.get_export(WARM_UP).is_none());
        assert!(compiled.get_export(START).is_none());
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &compiled, &[]).expect("should instantiate");
        let read = instance
            .get_typed_func::<(), i32>(&mut store, "read")
            .expect("should export");
        assert_eq!(read.call(&mut store, ()).expect("should run"), 7);
    }

    #[test]
    fn names_the_import_that_a_start_may_not_call() {
        let module = wat::parse_str(
            r#"(module (import "wasi_snapshot_preview1" "path_open" (func $f)) (memory (export "memory") 1)
               (func (export "_initialize") (call $f)))"#,
        )
        .expect("should assemble");
        let error = initialised(&module).expect_err("should trap").to_string();
        assert!(error.contains("path_open"), "{error}");
    }
}
