//! What a plugin costs by the language it is written in: the same provider four times, and two template engines.
//!
//! Every component is measured alone: built from its sources into an empty folder, compiled in this process, then called.
//! A plugin whose component or sources are not there is left out of the table, and said so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use postern_core::egress::{AddressRules, AllowedEndpoint, EgressPolicy, Origin, TlsSettings};
use postern_core::plugin::{
    Answer, Call, Credential, Datum, Digest, IdentityId, Pick, PluginHost as _, RenderJob, Request,
    Template,
};
use postern_runtime::aot::CompileWith;
use postern_runtime::{Limits, Runtime};
use postern_test_kit::doppler::Doppler;

use crate::call::{median, micros, percentile_99};

/// Linear memory comes in pages of this size.
const PAGE: usize = 64 << 10;

/// A plugin of the table.
struct Subject {
    name: &'static str,
    /// Its folder in the repository.
    source: &'static str,
    /// What its code's files end in.
    extension: &'static str,
    /// How guest-tools builds it; the component's path follows.
    build: &'static [&'static str],
    engine: Option<&'static str>,
}

const SUBJECTS: [Subject; 6] = [
    provider(
        "provider-rust",
        "examples/provider-rust",
        "rs",
        &["project", "examples/provider-rust", "--out"],
    ),
    provider(
        "provider-go",
        "examples/provider-go",
        "go",
        &["project", "examples/provider-go", "--out"],
    ),
    provider(
        "provider-js",
        "examples/provider-js",
        "js",
        &["project", "examples/provider-js", "--out"],
    ),
    provider(
        "provider-python",
        "examples/provider-python",
        "py",
        &["project", "examples/provider-python", "--out"],
    ),
    Subject {
        name: "engine-minijinja",
        source: "examples/engine-minijinja",
        extension: "rs",
        build: &["project", "examples/engine-minijinja", "--out"],
        engine: Some("{{ user | upper }}"),
    },
    Subject {
        name: "go-template",
        source: "plugins/go-template",
        extension: "go",
        build: &[
            "go",
            "plugins/go-template",
            "--world",
            "template-engine",
            "--out",
        ],
        engine: Some("{{ .user | upper }}"),
    },
];

const fn provider(
    name: &'static str,
    source: &'static str,
    extension: &'static str,
    build: &'static [&'static str],
) -> Subject {
    Subject {
        name,
        source,
        extension,
        build,
        engine: None,
    }
}

/// Where things lie.
pub struct Places<'a> {
    /// The built components.
    pub guests: &'a Path,
    /// The program that builds them; without it build times are left out.
    pub guest_tools: Option<&'a Path>,
}

/// Prints a line a plugin, as Markdown.
pub async fn run(places: &Places<'_>, calls: usize) -> anyhow::Result<()> {
    println!(
        "| plugin | lines | build | component | compile | call, median | 99th | read, median | 99th | memory |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for subject in &SUBJECTS {
        let component = places.guests.join(format!("{}.wasm", subject.name));
        if !component.is_file() {
            eprintln!(
                "{} is missing; run `cargo xtask guests`",
                component.display()
            );
            continue;
        }
        let measured = measure(subject, &component, places, calls).await;
        println!(
            "{}",
            measured.with_context(|| format!("measuring {}", subject.name))?
        );
    }
    Ok(())
}

async fn measure(
    subject: &Subject,
    component: &Path,
    places: &Places<'_>,
    calls: usize,
) -> anyhow::Result<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let lines = lines(&root.join(subject.source), subject.extension)?;
    let build = match places.guest_tools {
        Some(tools) => format!("{:.1} s", build(&root, tools, subject)?.as_secs_f64()),
        None => "-".to_owned(),
    };
    let bytes = fs::read(component)?;
    let cache = tempfile::tempdir()?;
    let started = Instant::now();
    let bench = Bench::new(subject, &bytes, cache.path(), None).await?;
    let compile = started.elapsed();
    let mut pure = bench.time(calls, Kind::Pure).await?;
    let mut read = match subject.engine {
        Some(_) => Vec::new(),
        None => bench.time(calls, Kind::Read).await?,
    };
    pure.sort_unstable();
    read.sort_unstable();
    let memory = memory(subject, &bytes, cache.path()).await?;
    let read = match read.as_slice() {
        [] => "- | -".to_owned(),
        read => format!("{} | {}", time(median(read)), time(percentile_99(read))),
    };
    Ok(format!(
        "| {} | {lines} | {build} | {:.2} MB | {:.2} s | {} | {} | {read} | {:.1} MB |",
        subject.name,
        bytes.len() as f64 / 1e6,
        compile.as_secs_f64(),
        time(median(&pure)),
        time(percentile_99(&pure)),
        memory as f64 / 1e6,
    ))
}

fn time(time: Duration) -> String {
    match micros(time) {
        us if us < 1000.0 => format!("{us:.0} µs"),
        us => format!("{:.1} ms", us / 1000.0),
    }
}

/// Lines of code that are not empty, without tests, generated files and what other packages brought.
fn lines(folder: &Path, extension: &str) -> anyhow::Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() {
            let left_out = [
                "target",
                "test",
                "tests",
                "node_modules",
                "build",
                "__pycache__",
            ];
            if !left_out.contains(&name.as_str()) && !name.starts_with('.') {
                count += lines(&path, extension)?;
            }
        } else if path.extension().is_some_and(|e| e == extension) && !name.contains("_test.") {
            let text = fs::read_to_string(&path)?;
            count += text.lines().filter(|line| !line.trim().is_empty()).count();
        }
    }
    Ok(count)
}

/// From sources to component with an empty scratch folder, the language's tools and their downloads being there.
fn build(root: &Path, tools: &Path, subject: &Subject) -> anyhow::Result<Duration> {
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(tools);
    command
        .args(subject.build)
        .arg(folder.path().join("component.wasm"))
        .current_dir(root)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let started = Instant::now();
    let status = command.status().context("starting guest-tools")?;
    anyhow::ensure!(
        status.success(),
        "building {} failed: {status}",
        subject.name
    );
    Ok(started.elapsed())
}

#[derive(Clone, Copy)]
enum Kind {
    /// `examine` of a provider, `render` of an engine: nothing but the plugin.
    Pure,
    /// A read of one key from a server on loopback.
    Read,
}

/// One plugin, ready to be called.
struct Bench {
    runtime: Runtime,
    digest: Digest,
    server: Doppler,
    template: Option<&'static str>,
}

impl Bench {
    async fn new(
        subject: &Subject,
        bytes: &[u8],
        cache: &Path,
        memory: Option<usize>,
    ) -> anyhow::Result<Self> {
        let limits = |limits: Limits| Limits {
            memory: memory.unwrap_or(limits.memory),
            ..limits
        };
        let runtime = Runtime::builder()
            .compile_with(CompileWith::InProcess)
            .cache_dir(cache)
            .provider_limits(limits(Limits::provider()))
            .engine_limits(limits(Limits::engine()))
            .build()
            .map_err(|f| anyhow!(f))?;
        let revision = runtime
            .load_bytes(bytes, true)
            .await
            .map_err(|f| anyhow!(f))?;
        let server = Doppler::start()?;
        server.set(
            Doppler::PROJECT,
            Doppler::CONFIG,
            "PASSWORD",
            "not a secret",
        );
        Ok(Self {
            digest: revision.digest.clone(),
            runtime,
            server,
            template: subject.engine,
        })
    }

    async fn time(&self, calls: usize, kind: Kind) -> anyhow::Result<Vec<Duration>> {
        let call = self.call()?;
        let mut times = Vec::with_capacity(calls);
        for turn in 0..calls + calls / 10 {
            let started = Instant::now();
            self.once(&call, kind).await?;
            // The first tenth warms caches and pools up.
            if turn >= calls / 10 {
                times.push(started.elapsed());
            }
        }
        Ok(times)
    }

    async fn once(&self, call: &Call, kind: Kind) -> anyhow::Result<()> {
        let well = match (self.template, kind) {
            (Some(source), _) => {
                let options = Vec::new();
                let rendered = self
                    .runtime
                    .render(&self.digest, &[job(source)], &options)
                    .await;
                let rendered = rendered.map_err(|f| anyhow!(f))?;
                rendered.iter().flatten().all(Result::is_ok)
            }
            (None, Kind::Pure) => {
                let needs = self
                    .runtime
                    .examine(&self.digest, &call.config, &[], &call.options);
                needs.await.map_err(|f| anyhow!(f))?.is_ok()
            }
            (None, Kind::Read) => {
                let outcomes = self.runtime.read(call, &[request()]).await;
                let outcomes = outcomes.map_err(|f| anyhow!(f))?;
                matches!(outcomes.first().map(|o| &o.answer), Some(Answer::Parts(_)))
            }
        };
        anyhow::ensure!(well, "the plugin did not answer");
        Ok(())
    }

    fn call(&self) -> anyhow::Result<Call> {
        let config = serde_json::json!({
            "baseUrl": self.server.url(), "project": Doppler::PROJECT, "config": Doppler::CONFIG,
            "auth": {"secretRef": {"dopplerToken": {"name": "doppler"}}},
        });
        let endpoint = AllowedEndpoint {
            origin: Origin::parse(self.server.url())?,
            tls: TlsSettings::default(),
        };
        Ok(Call {
            plugin: self.digest.clone(),
            identity: IdentityId("bench".to_owned()),
            config: config.to_string().into(),
            credentials: vec![Credential {
                pointer: "/auth/secretRef/dopplerToken".to_owned(),
                value: Doppler::TOKEN.into(),
                attributes: Vec::new(),
            }],
            session: None,
            namespace: None,
            egress: Arc::new(EgressPolicy {
                endpoints: vec![endpoint],
                rules: AddressRules {
                    loopback: true,
                    ..AddressRules::default()
                },
                ..EgressPolicy::default()
            }),
            directories: Arc::default(),
            deadline: Duration::from_secs(30),
            options: vec![("provider-key".to_owned(), "doppler".to_owned())],
        })
    }
}

/// The least linear memory with which the plugin is loaded and answers one call, found by halving: what a call takes.
async fn memory(subject: &Subject, bytes: &[u8], cache: &Path) -> anyhow::Result<usize> {
    let (mut fails, mut works) = (0, Limits::engine().memory / PAGE);
    while works - fails > 1 {
        let middle = usize::midpoint(fails, works);
        let fits = match Bench::new(subject, bytes, cache, Some(middle * PAGE)).await {
            Ok(bench) => bench.once(&bench.call()?, Kind::Read).await.is_ok(),
            Err(_) => false,
        };
        if fits {
            works = middle;
        } else {
            fails = middle;
        }
    }
    Ok(works * PAGE)
}

fn job(source: &str) -> RenderJob {
    RenderJob {
        templates: vec![Template {
            name: "user".to_owned(),
            source: source.to_owned(),
            options: vec![],
        }],
        data: vec![Datum {
            path: vec!["user".to_owned()],
            value: "app".into(),
        }],
    }
}

fn request() -> Request {
    Request {
        key: "PASSWORD".to_owned(),
        version: None,
        metadata: false,
        picks: vec![Pick {
            property: None,
            members: false,
        }],
        known: None,
    }
}

/// Where cargo lays guest-tools, if it has been built.
pub fn guest_tools() -> Option<PathBuf> {
    let profile = std::env::current_exe().ok()?.parent()?.to_owned();
    let beside = profile.parent()?.join("debug").join("guest-tools");
    [profile.join("guest-tools"), beside]
        .into_iter()
        .find(|path| path.is_file())
}
