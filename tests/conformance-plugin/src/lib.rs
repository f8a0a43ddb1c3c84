//! Holds any plugin against the contract: runs a component in the host's own runtime, beside a scripted backend, and
//! reports check by check.
//!
//! [`run`] takes the component's bytes and a folder with `fixture.yaml`, which `docs/conformance.md` describes. It writes
//! nothing but a temporary folder and the compiled code, and reaches nothing but loopback.

mod backend;
mod bench;
mod engine;
mod fixture;
mod judge;
mod provider;
mod recorder;
mod report;
mod rows;
mod secrecy;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use postern_core::failure::Failure;
use postern_core::plugin::Revision;
use postern_runtime::aot::CompileWith;
use postern_runtime::{Limits, Runtime};
use tracing::instrument::WithSubscriber as _;

use crate::backend::Backend;
use crate::bench::{Bench, Stop};
use crate::recorder::Recorder;
pub use crate::report::{Report, Row, Verdict};
use crate::rows::Rows;

/// Why a run could not begin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no fixture.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The fixture is not one.
    #[error("{path} is no fixture: {why}")]
    Fixture {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        why: String,
    },
    /// The scripted backend or the temporary folder could not be made.
    #[error("cannot prepare the run")]
    Prepare(#[source] std::io::Error),
    /// The engine of the host does not start.
    #[error("{0}")]
    Runtime(Failure),
}

/// CPU time of a template engine: enough for what a fixture asks, and an endless template ends soon.
const ENGINE_CPU: Duration = Duration::from_secs(4);

/// Checks a component against the contract, with the help of the fixture in this folder.
pub async fn run(component: &[u8], fixture: &Path) -> Result<Report, Error> {
    run_with_cache(component, fixture, None).await
}

/// The same, with a folder in which compiled code is kept, so that the next run of the same component starts at once.
pub async fn run_with_cache(
    component: &[u8],
    fixture: &Path,
    cache: Option<&Path>,
) -> Result<Report, Error> {
    let recorder = Recorder::default();
    let whole = whole(component, fixture, cache, recorder.clone());
    whole.with_subscriber(recorder).await
}

async fn whole(
    component: &[u8],
    folder: &Path,
    cache: Option<&Path>,
    recorder: Recorder,
) -> Result<Report, Error> {
    let backend = Backend::start().await.map_err(Error::Prepare)?;
    let fixture = fixture::read(folder, backend.origin())?;
    let own = tempfile::tempdir().map_err(Error::Prepare)?;
    let cache = cache.unwrap_or(own.path());
    let (runtime, loaded) = load(component, cache).await?;
    let revision = match loaded {
        Ok(revision) => revision,
        Err(failure) => return Ok(not_loaded(&failure)),
    };
    let again = load(component, cache).await?.1;
    let mut rows = Rows::new(recorder);
    let bench = Bench::new(runtime, revision, (fixture, folder), backend)?;
    let descriptor = &bench.revision.descriptor;
    rows.add(&bench, "loads", Ok(()));
    let same = again
        .map_err(|failure| judge::said(&failure))
        .and_then(|again| judge::same(descriptor, &again.descriptor));
    rows.add(&bench, "describe is pure", same.map_err(Stop::from));
    let asks = judge::asks(descriptor).map_err(Stop::from);
    rows.add(&bench, "asks are of known kinds", asks);
    let limits = if bench.revision.is_engine {
        engine::run(&bench, &mut rows).await;
        engine_limits()
    } else {
        provider::run(&bench, &mut rows).await;
        Limits::provider()
    };
    let cpu_ms = u64::try_from(limits.cpu.as_millis()).unwrap_or(u64::MAX);
    rows.finish(limits.memory, cpu_ms);
    Ok(Report {
        plugin: format!("{} {}", descriptor.name, descriptor.version),
        rows: rows.rows,
    })
}

fn engine_limits() -> Limits {
    Limits {
        cpu: ENGINE_CPU,
        ..Limits::engine()
    }
}

type Loaded = Result<Arc<Revision>, Failure>;

/// A runtime of its own for each load: one that has the component already would not ask it again.
async fn load(component: &[u8], cache: &Path) -> Result<(Runtime, Loaded), Error> {
    let runtime = Runtime::builder()
        .cache_dir(cache)
        .compile_with(CompileWith::InProcess)
        .engine_limits(engine_limits())
        .build()
        .map_err(Error::Runtime)?;
    let loaded = runtime.load_bytes(component, false).await;
    Ok((runtime, loaded))
}

/// What the host knows goes along whole: the author of the plugin is who reads it, and no value was given yet.
fn not_loaded(failure: &Failure) -> Report {
    let detail = failure.detail.as_deref();
    let detail = detail.map(|text| format!(" ({text})")).unwrap_or_default();
    Report {
        plugin: String::new(),
        rows: vec![Row {
            check: "loads".to_owned(),
            verdict: Verdict::Failed(format!("{}{detail}", judge::said(failure))),
            note: None,
        }],
    }
}
