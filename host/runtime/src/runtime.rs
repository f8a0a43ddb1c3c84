//! [`Runtime`]: the registry of loaded plugins, and the door [`PluginHost`] over it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use postern_core::failure::{Code, Failure, Stage};
use postern_core::plugin::{
    Answering, Call, Credential, Digest, Needs, Options, Outcome, Page, PluginHost, Problem, Query,
    RenderJob, Rendered, Request, Revision, Session,
};
use postern_core::rollout::{Admitted, Candidate, Claim, OnSwitchedBack, Overrides, Revisions};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::aot::{Aot, CompileWith, Compiled};
use crate::bindings::v0_1::{from_guest, to_guest};
use crate::call::{Caller, OnUsage};
use crate::capability::http::{Http, HttpSettings};
use crate::capability::templating::Templating;
use crate::check;
use crate::engine;
use crate::fault::{Callee, Cleaner};
use crate::limits::{self, Limits};
use crate::load::{self, Found, Kind, Loader, Plugin, Provider};
use crate::serving::Serving;
use crate::state::{CallState, Net};

/// How a [`Runtime`] is made.
pub struct Builder {
    http: HttpSettings,
    provider: Limits,
    engine: Limits,
    cache: Option<PathBuf>,
    compile: CompileWith,
    on_usage: Option<OnUsage>,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").finish_non_exhaustive()
    }
}

impl Builder {
    /// Told what every call of a plugin has used.
    #[must_use]
    pub fn on_usage(mut self, told: OnUsage) -> Self {
        self.on_usage = Some(told);
        self
    }

    /// Settings of the network door.
    #[must_use]
    pub fn http(mut self, settings: HttpSettings) -> Self {
        self.http = settings;
        self
    }

    /// What a call of a provider may use.
    #[must_use]
    pub fn provider_limits(mut self, limits: Limits) -> Self {
        self.provider = limits;
        self
    }

    /// What a call of a template engine may use.
    #[must_use]
    pub fn engine_limits(mut self, limits: Limits) -> Self {
        self.engine = limits;
        self
    }

    /// Where compiled code is kept; without it every start compiles again.
    #[must_use]
    pub fn cache_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cache = Some(dir.into());
        self
    }

    /// Who compiles plugins that are not bundled; this program's `compile-plugin` unless said otherwise.
    #[must_use]
    pub fn compile_with(mut self, compile: CompileWith) -> Self {
        self.compile = compile;
        self
    }

    /// Starts the engine and its ticks.
    pub fn build(self) -> Result<Runtime, Failure> {
        let internal = |e: wasmtime::Error| {
            Failure::new(
                Stage::Check,
                Code::Internal,
                "the WebAssembly engine does not start",
            )
            .with_detail(format!("{e:#}"))
        };
        let engine = engine::build().map_err(internal)?;
        let loader = Loader::new(&engine).map_err(internal)?;
        let inner = Inner {
            caller: Caller::new(engine.clone(), self.on_usage),
            aot: Aot::new(&engine, self.cache, self.compile),
            engine,
            loader,
            http: Arc::new(Http::new(self.http)),
            provider: self.provider,
            engine_limits: self.engine,
            serving: Serving::default(),
        };
        Ok(Runtime {
            inner: Arc::new(inner),
        })
    }
}

/// The runtime: cheap to clone, one for the process.
#[derive(Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    caller: Caller,
    loader: Loader,
    aot: Aot,
    http: Arc<Http>,
    provider: Limits,
    engine_limits: Limits,
    serving: Serving,
}

impl Runtime {
    /// The settings that a fresh installation has.
    #[must_use]
    pub fn builder() -> Builder {
        Builder {
            http: HttpSettings::default(),
            provider: Limits::provider(),
            engine: Limits::engine(),
            cache: None,
            compile: CompileWith::default(),
            on_usage: None,
        }
    }

    /// Loads a component; its keys are served by it from now on. What runs on an older revision finishes there.
    pub async fn load_bytes(&self, bytes: &[u8], bundled: bool) -> Result<Arc<Revision>, Failure> {
        self.load_labelled(bytes, bundled, "given as bytes").await
    }

    /// Loads a component from a file.
    pub async fn load_file(&self, path: &Path) -> Result<Arc<Revision>, Failure> {
        let label = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let bytes = tokio::fs::read(path).await.map_err(|e| {
            Failure::new(
                Stage::Check,
                Code::PluginInvalid,
                format!("the plugin {} cannot be read: {e}", path.display()),
            )
        })?;
        self.load_labelled(&bytes, false, &label).await
    }

    /// Loads every component of a directory that [`crate::aot::compile_bundled`] made; code made for this engine is mapped.
    pub async fn load_bundled(&self, dir: &Path) -> Result<Vec<Arc<Revision>>, Failure> {
        let mut revisions = Vec::new();
        for bundled in self.inner.aot.bundled(dir)? {
            let revision = match bundled.component {
                Some(component) => {
                    self.take_in(bundled.digest, true, &bundled.label, component)
                        .await?
                }
                None => {
                    tracing::warn!(
                        plugin = bundled.label,
                        "the compiled code beside this plugin is of another build; compiling it"
                    );
                    let bytes = tokio::fs::read(&bundled.wasm).await.map_err(|e| {
                        Failure::new(
                            Stage::Check,
                            Code::PluginInvalid,
                            format!("{} cannot be read: {e}", bundled.wasm.display()),
                        )
                    })?;
                    self.load_labelled(&bytes, true, &bundled.label).await?
                }
            };
            revisions.push(revision);
        }
        Ok(revisions)
    }

    /// How many components were compiled since the start; a start with a warm cache compiles none.
    #[must_use]
    pub fn compiled(&self) -> u64 {
        self.inner.aot.compiled()
    }

    /// Every revision that is loaded, ordered by name.
    #[must_use]
    pub fn revisions(&self) -> Vec<Arc<Revision>> {
        self.inner.serving.revisions()
    }

    async fn load_labelled(
        &self,
        bytes: &[u8],
        bundled: bool,
        label: &str,
    ) -> Result<Arc<Revision>, Failure> {
        let digest = Digest::of(bytes);
        if let Some(plugin) = self.inner.serving.plugin(&digest) {
            return Ok(plugin.revision.clone());
        }
        let compiled = self.compiled_from(&digest, bytes, label).await?;
        self.take_in(digest, bundled, label, compiled.component)
            .await
    }

    async fn compiled_from(
        &self,
        digest: &Digest,
        bytes: &[u8],
        label: &str,
    ) -> Result<Compiled, Failure> {
        load::check_form(bytes, label)?;
        let component = self.inner.aot.component(digest, bytes).await;
        component.map_err(|e| e.into_failure(label))
    }

    /// Links what was compiled and lets it serve its keys: for plugins that are bundled or named on the command line.
    async fn take_in(
        &self,
        digest: Digest,
        bundled: bool,
        label: &str,
        component: Component,
    ) -> Result<Arc<Revision>, Failure> {
        let found = Found {
            digest,
            bundled,
            label,
            component,
        };
        let plugin = Arc::new(self.linked(found, &Overrides::default()).await?);
        let revision = plugin.revision.clone();
        self.inner.serving.hold_and_serve(plugin);
        Ok(revision)
    }

    async fn linked(&self, found: Found<'_>, overrides: &Overrides) -> Result<Plugin, Failure> {
        let inner = &self.inner;
        let usual = (&inner.provider, &inner.engine_limits);
        inner
            .loader
            .load(&inner.caller, &inner.engine, found, |is_engine| {
                let usual = if is_engine { usual.1 } else { usual.0 };
                usual.with(overrides)
            })
            .await
    }

    async fn admit_now(&self, candidate: &Candidate) -> Result<Admitted, Failure> {
        let digest = Digest::of(&candidate.bytes);
        if let Some(revision) = self.admitted(&digest, &candidate.limits) {
            return Ok(Admitted {
                revision,
                damage: None,
            });
        }
        let label = candidate.label.as_str();
        let compiled = self.compiled_from(&digest, &candidate.bytes, label).await?;
        let found = Found {
            digest,
            bundled: false,
            label,
            component: compiled.component,
        };
        let mut plugin = self.linked(found, &candidate.limits).await?;
        plugin.overrides = candidate.limits.clone();
        let revision = plugin.revision.clone();
        self.inner.serving.hold(Arc::new(plugin));
        Ok(Admitted {
            revision,
            damage: compiled.damaged.map(|path| damaged_code(&path)),
        })
    }
}

fn damaged_code(path: &Path) -> Failure {
    let text = format!(
        "the compiled code that was kept as {} is not what this installation wrote there, so somebody or a bad disk has changed it; it was not used, and the component was compiled anew",
        path.display()
    );
    Failure::new(Stage::Check, Code::DigestMismatch, text)
}

impl Revisions for Runtime {
    fn admit<'a>(&'a self, candidate: &'a Candidate) -> Answering<'a, Admitted> {
        Box::pin(self.admit_now(candidate))
    }

    fn admitted(&self, digest: &Digest, limits: &Overrides) -> Option<Arc<Revision>> {
        let plugin = self.inner.serving.plugin(digest);
        plugin
            .filter(|plugin| plugin.overrides == *limits)
            .map(|plugin| plugin.revision.clone())
    }

    fn serve(&self, plugin: &str, claim: Claim) {
        self.inner.serving.serve(plugin, claim);
    }

    fn withdraw(&self, plugin: &str) {
        self.inner.serving.withdraw(plugin);
    }

    fn successes(&self, digest: &Digest) -> u64 {
        let plugin = self.inner.serving.plugin(digest);
        plugin.map_or(0, |p| p.successes.load(Ordering::Relaxed))
    }

    fn keep(&self, digests: &BTreeSet<Digest>) {
        self.inner.serving.keep(digests);
    }

    fn on_switched_back(&self, told: OnSwitchedBack) {
        self.inner.serving.tell(told);
    }
}

impl Inner {
    fn plugin(&self, digest: &Digest) -> Result<Arc<Plugin>, Failure> {
        self.serving.plugin(digest).ok_or_else(|| {
            Failure::new(
                Stage::Plan,
                Code::Internal,
                format!("no plugin with the digest {} is loaded", digest.as_str()),
            )
        })
    }

    fn state(
        &self,
        plugin: &Plugin,
        function: &'static str,
        stage: Stage,
        call: &Call,
    ) -> CallState {
        let callee = Callee {
            plugin: plugin.name.clone(),
            function,
            stage,
        };
        let secrets = call
            .credentials
            .iter()
            .map(|c| c.value.expose())
            .chain(call.session.iter().map(|s| s.expose()));
        let mut state = CallState::new(
            callee,
            plugin.limits.clone(),
            Cleaner::of(secrets),
            call.deadline,
        );
        state.directories = call.directories.clone();
        state.net = Some(Net {
            http: self.http.clone(),
            identity: call.identity.clone(),
            egress: call.egress.clone(),
            requests: 0,
            bytes_out: 0,
            bytes_in: 0,
        });
        state
    }
}

/// The provider in a plugin, or why there is none.
fn provider(plugin: &Plugin, stage: Stage) -> Result<&Provider, Failure> {
    match &plugin.kind {
        Kind::Provider(provider) => Ok(provider),
        Kind::Engine(_) => {
            let what = format!(
                "the plugin {} is a template engine, not a provider",
                plugin.name
            );
            Err(Failure::new(stage, Code::Unsupported, what))
        }
    }
}

fn lacks(plugin: &Plugin, stage: Stage, what: &str) -> Failure {
    Failure::new(
        stage,
        Code::Unsupported,
        format!("the plugin {} has no {what}", plugin.name),
    )
}

impl PluginHost for Runtime {
    fn provider(&self, key: &str) -> Result<Arc<Revision>, Failure> {
        self.inner.serving.find(false, key)
    }

    fn engine(&self, name: &str) -> Result<Arc<Revision>, Failure> {
        self.inner.serving.find(true, name)
    }

    fn distrust(&self, revision: &Digest, failure: &Failure) -> bool {
        self.inner.serving.distrust(revision, failure)
    }

    fn examine<'a>(
        &'a self,
        plugin: &'a Digest,
        config: &'a str,
        credentials: &'a [Credential],
        options: &'a Options,
    ) -> Answering<'a, Result<Needs, Vec<Problem>>> {
        Box::pin(self.examine_now(plugin, config, credentials, options))
    }

    fn probe<'a>(&'a self, call: &'a Call) -> Answering<'a, ()> {
        Box::pin(self.probe_now(call))
    }

    fn login<'a>(&'a self, call: &'a Call) -> Answering<'a, Session> {
        Box::pin(self.session(call, "login.open"))
    }

    fn renew<'a>(&'a self, call: &'a Call) -> Answering<'a, Session> {
        Box::pin(self.session(call, "login.renew"))
    }

    fn close<'a>(&'a self, call: &'a Call) -> Answering<'a, ()> {
        Box::pin(self.close_now(call))
    }

    fn read<'a>(&'a self, call: &'a Call, requests: &'a [Request]) -> Answering<'a, Vec<Outcome>> {
        Box::pin(self.read_now(call, requests))
    }

    fn find<'a>(
        &'a self,
        call: &'a Call,
        query: &'a Query,
        after: Option<&'a str>,
    ) -> Answering<'a, Page> {
        Box::pin(self.find_now(call, query, after))
    }

    fn render<'a>(
        &'a self,
        engine: &'a Digest,
        jobs: &'a [RenderJob],
        options: &'a Options,
    ) -> Answering<'a, Vec<Rendered>> {
        Box::pin(self.render_now(engine, jobs, options))
    }
}

impl Runtime {
    async fn examine_now(
        &self,
        digest: &Digest,
        config: &str,
        credentials: &[Credential],
        options: &Options,
    ) -> Result<Result<Needs, Vec<Problem>>, Failure> {
        let plugin = self.inner.plugin(digest)?;
        let provider = provider(&plugin, Stage::Check)?;
        let callee = Callee {
            plugin: plugin.name.clone(),
            function: "check.examine",
            stage: Stage::Check,
        };
        let cleaner = Cleaner::of(credentials.iter().map(|c| c.value.expose()));
        let state = CallState::new(callee, plugin.limits.clone(), cleaner, limits::PURE_CALL);
        let mut given = to_guest::credentials(credentials);
        let config = config.to_owned();
        let answer = self.inner.caller.run(state, async |store| {
            let instance = provider.pre.instantiate_async(&mut *store).await?;
            instance
                .postern_plugin_check()
                .call_examine(&mut *store, &config, &given, options)
                .await
        });
        let answer = answer.await;
        to_guest::wipe_credentials(&mut given);
        let (answer, reader) = answer?;
        Ok(answer.map(from_guest::needs).map_err(|problems| {
            problems
                .into_iter()
                .map(|p| from_guest::problem(p, &reader))
                .collect()
        }))
    }

    async fn probe_now(&self, call: &Call) -> Result<(), Failure> {
        let plugin = self.inner.plugin(&call.plugin)?;
        let provider = provider(&plugin, Stage::Check)?;
        let state = self.inner.state(&plugin, "check.probe", Stage::Check, call);
        let mut context = to_guest::context(call);
        let answer = self.inner.caller.run(state, async |store| {
            let instance = provider.pre.instantiate_async(&mut *store).await?;
            instance
                .postern_plugin_check()
                .call_probe(&mut *store, &context)
                .await
        });
        let answer = answer.await;
        to_guest::wipe(&mut context);
        let (answer, reader) = answer?;
        answer.map_err(|f| from_guest::failure(f, &reader))
    }

    async fn session(&self, call: &Call, function: &'static str) -> Result<Session, Failure> {
        let plugin = self.inner.plugin(&call.plugin)?;
        let login = provider(&plugin, Stage::Login)?
            .login
            .as_ref()
            .ok_or_else(|| lacks(&plugin, Stage::Login, "login"))?;
        let state = self.inner.state(&plugin, function, Stage::Login, call);
        let limits = state.limits.clone();
        let callee = state.callee.clone();
        let mut context = to_guest::context(call);
        let answer = self.inner.caller.run(state, async |store| {
            let instance = login.instantiate_async(&mut *store).await?;
            let login = instance.postern_plugin_login();
            match function {
                "login.renew" => login.call_renew(&mut *store, &context).await,
                _ => login.call_open(&mut *store, &context).await,
            }
        });
        let answer = answer.await;
        to_guest::wipe(&mut context);
        let (answer, reader) = answer?;
        let session = answer
            .map(from_guest::session)
            .map_err(|f| from_guest::failure(f, &reader))?;
        if session.token.len() > limits.value {
            return Err(callee.failure(
                Code::LimitExceeded,
                "answered with a session larger than a value may be",
            ));
        }
        Ok(session)
    }

    async fn close_now(&self, call: &Call) -> Result<(), Failure> {
        let plugin = self.inner.plugin(&call.plugin)?;
        let login = provider(&plugin, Stage::Login)?
            .login
            .as_ref()
            .ok_or_else(|| lacks(&plugin, Stage::Login, "login"))?;
        let state = self.inner.state(&plugin, "login.close", Stage::Login, call);
        let mut context = to_guest::context(call);
        let answer = self.inner.caller.run(state, async |store| {
            let instance = login.instantiate_async(&mut *store).await?;
            instance
                .postern_plugin_login()
                .call_close(&mut *store, &context)
                .await
        });
        let answer = answer.await;
        to_guest::wipe(&mut context);
        let (answer, reader) = answer?;
        answer.map_err(|f| from_guest::failure(f, &reader))
    }

    async fn read_now(&self, call: &Call, requests: &[Request]) -> Result<Vec<Outcome>, Failure> {
        let plugin = self.inner.plugin(&call.plugin)?;
        let provider = provider(&plugin, Stage::Fetch)?;
        let mut state = self
            .inner
            .state(&plugin, "read.get-batch", Stage::Fetch, call);
        state.templating = Some(Arc::new(self.clone()));
        let (callee, limits) = (state.callee.clone(), state.limits.clone());
        let mut context = to_guest::context(call);
        let asked: Vec<_> = requests.iter().map(to_guest::request).collect();
        let answer = self.inner.caller.run(state, async |store| {
            let instance = provider.pre.instantiate_async(&mut *store).await?;
            instance
                .postern_plugin_read()
                .call_get_batch(&mut *store, &context, &asked)
                .await
        });
        let answer = answer.await;
        to_guest::wipe(&mut context);
        let (answer, reader) = answer?;
        let outcomes: Vec<Outcome> = answer
            .into_iter()
            .map(|o| from_guest::outcome(o, &reader))
            .collect();
        check::outcomes(&callee, &limits, requests, &outcomes)?;
        plugin.successes.fetch_add(1, Ordering::Relaxed);
        Ok(outcomes)
    }

    async fn find_now(
        &self,
        call: &Call,
        query: &Query,
        after: Option<&str>,
    ) -> Result<Page, Failure> {
        let plugin = self.inner.plugin(&call.plugin)?;
        let find = provider(&plugin, Stage::Fetch)?
            .find
            .as_ref()
            .ok_or_else(|| lacks(&plugin, Stage::Fetch, "find"))?;
        let mut state = self
            .inner
            .state(&plugin, "find.list-page", Stage::Fetch, call);
        state.templating = Some(Arc::new(self.clone()));
        let (callee, limits) = (state.callee.clone(), state.limits.clone());
        let mut context = to_guest::context(call);
        let asked = to_guest::query(query);
        let answer = self.inner.caller.run(state, async |store| {
            let instance = find.instantiate_async(&mut *store).await?;
            instance
                .postern_plugin_find()
                .call_list_page(&mut *store, &context, &asked, after)
                .await
        });
        let answer = answer.await;
        to_guest::wipe(&mut context);
        let (answer, reader) = answer?;
        let page = answer
            .map(from_guest::page)
            .map_err(|f| from_guest::failure(f, &reader))?;
        check::page(&callee, &limits, &page)?;
        Ok(page)
    }

    async fn render_now(
        &self,
        digest: &Digest,
        jobs: &[RenderJob],
        options: &Options,
    ) -> Result<Vec<Rendered>, Failure> {
        let plugin = self.inner.plugin(digest)?;
        let Kind::Engine(pre) = &plugin.kind else {
            let what = format!(
                "the plugin {} is a provider, not a template engine",
                plugin.name
            );
            return Err(Failure::new(Stage::Render, Code::Unsupported, what));
        };
        let callee = Callee {
            plugin: plugin.name.clone(),
            function: "render",
            stage: Stage::Render,
        };
        let limits = plugin.limits.clone();
        let data = jobs.iter().flat_map(|j| &j.data).map(|d| d.value.expose());
        let state = CallState::new(
            callee.clone(),
            limits.clone(),
            Cleaner::of(data),
            limits::RENDER_WALL,
        );
        let mut given: Vec<_> = jobs.iter().map(to_guest::job).collect();
        let answer = self.inner.caller.run(state, async |store| {
            let instance = pre.instantiate_async(&mut *store).await?;
            instance
                .postern_plugin_render()
                .call_render(&mut *store, &given, options)
                .await
        });
        let answer = answer.await;
        to_guest::wipe_jobs(&mut given);
        let (answer, reader) = answer?;
        let results: Vec<Rendered> = answer
            .into_iter()
            .map(|r| from_guest::rendered(r, &reader))
            .collect();
        check::rendered(&callee, &limits, jobs, &results)?;
        plugin.successes.fetch_add(1, Ordering::Relaxed);
        Ok(results)
    }
}

/// The engine that providers render with.
const PROVIDERS_ENGINE: &str = "go";

impl Templating for Runtime {
    fn render(&self, jobs: Vec<RenderJob>, options: Options) -> Answering<'_, Vec<Rendered>> {
        Box::pin(async move {
            let engine = self.engine(PROVIDERS_ENGINE)?;
            self.render_now(&engine.digest, &jobs, &options).await
        })
    }
}
