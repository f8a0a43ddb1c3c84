//! The one engine: Cranelift for a fixed baseline of instructions, pooled instances, epoch ticks.
//!
//! Code is made for the baseline and never for the machine at hand, so that what one machine compiled runs on another.

use std::hash::Hash;

use sha2::{Digest as _, Sha256};
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, ModuleVersionStrategy, PoolingAllocationConfig,
};

use crate::limits;

/// Compiled code is bound to this: the engine's full version and ours. A patch release must not load what an older
/// compiler made.
#[must_use]
pub fn build_id() -> String {
    format!("wasmtime-48.0.8 postern-{}", env!("CARGO_PKG_VERSION"))
}

/// Builds the engine; where the pool's address space cannot be had, instances are allocated one by one.
pub fn build() -> wasmtime::Result<Engine> {
    let mut config = base()?;
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
    let engine = match Engine::new(&config) {
        Ok(engine) => engine,
        Err(error) => {
            tracing::warn!(%error, "no address space for a pool of instances; allocating them one by one, which is slower");
            config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
            Engine::new(&config)?
        }
    };
    start_ticking(&engine)?;
    Ok(engine)
}

/// An engine that compiles and never runs anything; its code loads into [`build`]'s.
pub fn compiler() -> wasmtime::Result<Engine> {
    Engine::new(&base()?)
}

fn base() -> wasmtime::Result<Config> {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(limits::WASM_STACK)
        .async_stack_size(limits::ASYNC_STACK)
        // Stacks are used again for another tenant's call.
        .async_stack_zeroing(true)
        .module_version(ModuleVersionStrategy::Custom(build_id()))?;
    baseline(&mut config)?;
    Ok(config)
}

#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "cranelift's flags have no safe setter; these only name instructions of x86-64-v2, which the engine checks for at start"
)]
fn baseline(config: &mut Config) -> wasmtime::Result<()> {
    config.target("x86_64-unknown-linux-gnu")?;
    for flag in [
        "has_cmpxchg16b",
        "has_sse3",
        "has_ssse3",
        "has_sse41",
        "has_sse42",
        "has_popcnt",
    ] {
        // SAFETY: the flags allow instructions and relax no check; loading code fails on a machine without them.
        unsafe { config.cranelift_flag_enable(flag) };
    }
    Ok(())
}

#[cfg(not(target_arch = "x86_64"))]
fn baseline(config: &mut Config) -> wasmtime::Result<()> {
    config.target("aarch64-unknown-linux-gnu")?;
    Ok(())
}

fn pool() -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(limits::POOL_COMPONENTS)
        // As many of each as the components together may have: who got a slot never finds the pool empty.
        .total_core_instances(limits::POOL_COMPONENTS * limits::CORE_INSTANCES_PER_COMPONENT)
        .total_memories(limits::POOL_COMPONENTS * limits::MEMORIES_PER_COMPONENT)
        .total_tables(limits::POOL_COMPONENTS * limits::TABLES_PER_COMPONENT)
        .total_stacks(limits::POOL_COMPONENTS)
        .max_core_instances_per_component(limits::CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_component(limits::MEMORIES_PER_COMPONENT)
        .max_tables_per_component(limits::TABLES_PER_COMPONENT)
        .max_memories_per_module(limits::MEMORIES_PER_COMPONENT)
        .max_tables_per_module(limits::TABLES_PER_COMPONENT)
        .table_elements(limits::TABLE_ELEMENTS)
        .max_core_instance_size(4 << 20)
        .max_component_instance_size(4 << 20)
        // Nothing of a guest stays in memory after its call.
        .linear_memory_keep_resident(0)
        .table_keep_resident(0)
        .async_stack_keep_resident(0);
    pool
}

/// Ticks come from a thread of their own: a busy executor must not stop the clock that interrupts guests.
fn start_ticking(engine: &Engine) -> wasmtime::Result<()> {
    let weak = engine.weak();
    std::thread::Builder::new()
        .name("postern-ticks".into())
        .spawn(move || {
            while let Some(engine) = weak.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(limits::TICK);
            }
        })?;
    Ok(())
}

/// Names what compiled code must have been made by and for.
pub fn compatibility(engine: &Engine) -> String {
    let mut hasher = HashInto(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hex::encode(hasher.0.finalize())
}

/// Feeds what is hashed into SHA-256, whose result is the same in every process.
struct HashInto(Sha256);

impl std::hash::Hasher for HashInto {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_that_code_is_bound_to_is_the_engines_own() {
        let lock = include_str!("../../../Cargo.lock");
        let version = lock
            .split("name = \"wasmtime\"\nversion = \"")
            .nth(1)
            .and_then(|r| r.split('"').next());
        assert!(
            build_id().contains(&format!("wasmtime-{} ", version.unwrap_or("?"))),
            "{} {version:?}",
            build_id()
        );
    }

    #[test]
    fn the_compiler_and_the_engine_that_runs_agree() {
        let running = build().unwrap();
        assert_eq!(compatibility(&running), compatibility(&compiler().unwrap()));
    }
}
