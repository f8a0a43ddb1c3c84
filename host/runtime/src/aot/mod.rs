//! Compiled code: made at build time for bundled plugins, in a child process for others, kept under what made it.
//!
//! Code from a file is machine code that will run unchecked, so it is loaded only from where the binary itself lies
//! (bundled), or with a code of authenticity made by a key of this cache. Compiling never happens in this process unless
//! asked for: a hostile component can make a compiler use any amount of memory and time.

mod bundle;
mod cache;
mod child;
mod native;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use postern_core::failure::{Code, Failure, Stage};
use postern_core::plugin::Digest;
use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::Component;

pub use bundle::compile_bundled;
pub use child::compile_child_main;

use crate::{engine, load};
use bundle::Bundled;
use cache::{Cache, Kept};

/// Who compiles plugins that are not bundled.
#[derive(Clone, Debug)]
pub enum CompileWith {
    /// A child process: this program and these arguments, followed by IN and OUT; it calls [`compile_child_main`].
    Child {
        /// The program.
        program: PathBuf,
        /// What stands before IN and OUT.
        args: Vec<String>,
    },
    /// This process: for components that are trusted, as in tests.
    InProcess,
}

impl Default for CompileWith {
    /// This program's own `compile-plugin`.
    fn default() -> Self {
        let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("postern"));
        Self::Child {
            program,
            args: vec!["compile-plugin".into()],
        }
    }
}

/// Why there is no compiled code.
#[derive(Debug, thiserror::Error)]
pub enum AotError {
    /// The component is to blame.
    #[error("{0}")]
    Rejected(String),
    /// A limit on compiling was broken.
    #[error("compiling it took more than {0}")]
    Limit(String),
    /// The host is to blame.
    #[error("{0}")]
    Host(String),
}

impl AotError {
    pub(crate) fn into_failure(self, label: &str) -> Failure {
        match self {
            Self::Rejected(why) => load::uncompiled(label, &why),
            Self::Limit(_) => Failure::new(
                Stage::Check,
                Code::LimitExceeded,
                format!("the plugin {label} cannot be loaded: {self}"),
            ),
            Self::Host(_) => Failure::new(
                Stage::Check,
                Code::Internal,
                format!("the plugin {label} cannot be compiled"),
            )
            .with_detail(self.to_string()),
        }
    }
}

/// A component with its code.
pub(crate) struct Compiled {
    pub component: Component,
    /// Where kept code lay that was damaged or forged, and was not used.
    pub damaged: Option<PathBuf>,
}

/// Where compiled code comes from.
pub(crate) struct Aot {
    engine: Engine,
    compatibility: String,
    cache: Option<Cache>,
    /// Where a child's input and output lie: the cache, since that is writable where the rest of the disk may not be.
    scratch: Option<PathBuf>,
    compile: CompileWith,
    /// One compilation at a time: each may take the memory limit for itself.
    turn: Semaphore,
    compiled: AtomicU64,
}

impl Aot {
    pub fn new(engine: &Engine, cache: Option<PathBuf>, compile: CompileWith) -> Self {
        let compatibility = engine::compatibility(engine);
        let scratch = cache.clone();
        if let Some(scratch) = &scratch {
            child::sweep(scratch);
        }
        let cache = cache.and_then(|dir| Cache::open(&dir, &compatibility));
        Self {
            engine: engine.clone(),
            compatibility,
            cache,
            scratch,
            compile,
            turn: Semaphore::new(1),
            compiled: AtomicU64::new(0),
        }
    }

    /// How many components were compiled since the start.
    pub fn compiled(&self) -> u64 {
        self.compiled.load(Ordering::Relaxed)
    }

    /// The compiled component: kept, or compiled now.
    pub async fn component(&self, digest: &Digest, bytes: &[u8]) -> Result<Compiled, AotError> {
        let mut damaged = None;
        if let Some(component) = self.kept(digest, &mut damaged) {
            return Ok(Compiled { component, damaged });
        }
        let _turn = self.turn.acquire().await;
        // Another may have compiled it while we waited for our turn.
        if let Some(component) = self.kept(digest, &mut damaged) {
            return Ok(Compiled { component, damaged });
        }
        let component = self.compile(digest, bytes).await?;
        Ok(Compiled { component, damaged })
    }

    async fn compile(&self, digest: &Digest, bytes: &[u8]) -> Result<Component, AotError> {
        self.compiled.fetch_add(1, Ordering::Relaxed);
        let code = match &self.compile {
            CompileWith::Child { program, args } => {
                child::compile(program, args, bytes, self.scratch.as_deref()).await?
            }
            CompileWith::InProcess => {
                let (engine, bytes) = (self.engine.clone(), bytes.to_vec());
                let compile = move || {
                    engine
                        .precompile_component(&bytes)
                        .map_err(|e| AotError::Rejected(format!("{e:#}")))
                };
                tokio::task::spawn_blocking(compile)
                    .await
                    .map_err(|e| AotError::Host(e.to_string()))??
            }
        };
        if let Some(cache) = &self.cache {
            cache.put(digest, &code);
        }
        native::from_bytes(&self.engine, &code).map_err(|e| AotError::Host(format!("{e:#}")))
    }

    fn kept(&self, digest: &Digest, damaged: &mut Option<PathBuf>) -> Option<Component> {
        let code = match self.cache.as_ref()?.get(digest) {
            Kept::Code(code) => code,
            Kept::Nothing => return None,
            Kept::Damaged(path) => {
                *damaged = Some(path);
                return None;
            }
        };
        match native::from_bytes(&self.engine, &code) {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(digest = digest.as_str(), error = %format!("{error:#}"), "kept code does not load; compiling again");
                None
            }
        }
    }

    /// The bundled components of a directory, each with its code where that was made for this engine.
    pub fn bundled(&self, dir: &Path) -> Result<Vec<Bundled>, Failure> {
        bundle::list(dir, &self.engine, &self.compatibility)
    }
}
