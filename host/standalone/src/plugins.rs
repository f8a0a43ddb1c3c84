//! Plugins of the folder: each is fetched, checked, compiled, held against the folder's PluginGrants, and then serves its
//! keys. The steps are those of a cluster.
//!
//! Guarantees: what serves goes on serving while a newer revision cannot; a Plugin that cannot serve leaves its keys to
//! nobody else. Absent: a trial with a fallback, and a memory of what failed, which need a status to be kept in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::join_all;
use jiff::Timestamp;
use postern_api::PluginSpec;
use postern_api::names::reason;
use postern_api::plugin::PluginKind;
use postern_core::failure::{Code, Failure, Retry, Stage, one_line};
use postern_core::grant::{self, Granted};
use postern_core::plugin::{Answering, Digest, Revision};
use postern_core::progress::{Step, Stop};
use postern_core::rollout::{
    self, Claim, DockerConfig, Overrides, Revisions, Source, Sources, Wanted,
};
use postern_core::store::Store;
use postern_sync::plugins::{self, Bringer, DOCKER_CONFIG, Fetched, Named, PullSecrets, with};
use postern_sync::{Credentials as _, Doors};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::credentials::Folder;
use crate::manifest::Manifests;
use crate::pass::AGAIN;
use crate::report::{Outcome, PluginFacts, Row};

/// The doors to plugins from outside.
#[derive(Clone)]
pub struct Outside {
    /// Registries and files.
    pub sources: Arc<dyn Sources>,
    /// Compiled revisions, and the table of what serves.
    pub revisions: Arc<dyn Revisions>,
}

/// The Plugins, and what is known of each from the passes before.
pub(crate) struct Plugins {
    outside: Outside,
    known: Mutex<BTreeMap<String, Memory>>,
}

/// What a pass has for its Plugins.
pub(crate) struct Setting<'a> {
    pub(crate) manifests: &'a Manifests,
    pub(crate) folder: &'a Folder,
    pub(crate) doors: &'a Doors,
    /// Stores that can be used now.
    pub(crate) usable: &'a [Store],
    /// Something has changed: whatever the interval says, sources are looked at.
    pub(crate) look: bool,
    pub(crate) now: Timestamp,
    pub(crate) at: Instant,
    pub(crate) deadline: Instant,
}

#[derive(Default)]
struct Memory {
    spec: Option<PluginSpec>,
    fetched: Fetched,
    /// When the source was last asked with success.
    looked: Option<Instant>,
    active: Option<Active>,
}

struct Active {
    revision: Arc<Revision>,
    limits: Overrides,
}

/// How a Plugin's turn ended.
enum Turn {
    Serves,
    Stopped(Stop),
    Late,
}

impl Plugins {
    pub(crate) fn new(outside: Outside) -> Self {
        Self {
            outside,
            known: Mutex::default(),
        }
    }

    /// Brings every Plugin of the folder as far as it comes by the deadline; a row each, ordered by name.
    pub(crate) async fn bring(&self, setting: &Setting<'_>) -> Vec<Row> {
        let mut known = self.known.lock().await;
        let plugins = &setting.manifests.plugins;
        let gone: Vec<String> = known
            .keys()
            .filter(|name| !plugins.contains_key(*name))
            .cloned()
            .collect();
        for name in gone {
            known.remove(&name);
            self.outside.revisions.withdraw(&name);
        }
        let turns = plugins.iter().map(|(name, spec)| {
            let memory = known.remove(name).unwrap_or_default();
            self.turn(setting, name, spec, memory)
        });
        let done = join_all(turns.collect::<Vec<_>>()).await;
        let mut rows = Vec::new();
        for (name, memory, row) in done {
            known.insert(name, memory);
            rows.push(row);
        }
        let digests = known.values().filter_map(|m| m.active.as_ref());
        let digests: BTreeSet<Digest> = digests.map(|a| a.revision.digest.clone()).collect();
        self.outside.revisions.keep(&digests);
        rows
    }

    async fn turn(
        &self,
        setting: &Setting<'_>,
        name: &str,
        spec: &PluginSpec,
        mut memory: Memory,
    ) -> (String, Memory, Row) {
        if memory.spec.as_ref() != Some(spec) {
            memory.spec = Some(spec.clone());
            memory.looked = None;
        }
        // The registry room has logged it; there is nobody else to tell.
        memory.fetched.damage.clear();
        let wanted = Wanted::parse(name, spec);
        let turn = match &wanted {
            Err(failure) => Turn::Stopped(Stop::failed(Step::Resolved, failure.clone())),
            Ok(wanted) => {
                let advance = self.advance(setting, wanted, &mut memory);
                match timeout_at(setting.deadline, advance).await {
                    Ok(Ok(())) => Turn::Serves,
                    Ok(Err(stop)) => Turn::Stopped(stop),
                    Err(_) => Turn::Late,
                }
            }
        };
        self.outside
            .revisions
            .serve(name, claim(name, spec, &memory, &turn));
        let row = row(name, wanted.as_ref().ok(), &memory, turn, setting.now);
        (name.to_owned(), memory, row)
    }

    /// Passes the steps one by one; stops at the first that cannot be passed.
    async fn advance(
        &self,
        setting: &Setting<'_>,
        wanted: &Wanted,
        memory: &mut Memory,
    ) -> Result<(), Stop> {
        if let Some((key, first)) = rival(wanted, setting.manifests) {
            memory.active = None;
            return Err(Stop::key_taken(&first, &key, "comes first by name"));
        }
        let bringer = Bringer {
            sources: &*self.outside.sources,
            revisions: &*self.outside.revisions,
            secrets: setting.folder,
            wanted,
        };
        let (named, bytes) = resolve(setting, &bringer, memory).await?;
        let active = memory.active.as_mut();
        let same =
            |a: &&mut Active| a.revision.digest == named.component && a.limits == wanted.limits;
        if let Some(active) = active.filter(same) {
            return regrant(setting.manifests, wanted, active);
        }
        let revision = bringer.compile(&mut memory.fetched, &named, bytes).await?;
        let before = memory.active.as_ref();
        let before = before.map(|a| a.revision.descriptor.asks.as_slice());
        let granted = granted(setting.manifests, wanted, &revision);
        let (permits, enough) = plugins::permitted(wanted, &revision, granted, before);
        enough?;
        let revision = with(&revision, permits, None);
        if memory.active.is_some() && !revision.is_engine {
            let stores = setting.usable.iter();
            let stores = stores.filter(|store| wanted.serves.contains(&store.provider_key));
            plugins::probe(setting.doors, &revision, stores).await?;
        }
        memory.active = Some(Active {
            revision,
            limits: wanted.limits.clone(),
        });
        Ok(())
    }
}

/// What the source names; within the interval that is what it named last.
async fn resolve(
    setting: &Setting<'_>,
    bringer: &Bringer<'_>,
    memory: &mut Memory,
) -> Result<(Named, Option<Arc<[u8]>>), Stop> {
    let interval = bringer.wanted.interval;
    let fresh = memory
        .looked
        .is_some_and(|at| !setting.look && setting.at.duration_since(at) < interval);
    if let (true, Some(named)) = (fresh, &memory.fetched.named) {
        return Ok((named.clone(), None));
    }
    memory.looked = None;
    let found = bringer.resolve(&mut memory.fetched).await?;
    memory.looked = Some(setting.at);
    Ok(found)
}

fn granted(manifests: &Manifests, wanted: &Wanted, revision: &Revision) -> Granted {
    let all = manifests.grants.iter();
    let all = all.map(|(name, spec)| (name.as_str(), spec));
    Granted::of(&wanted.name, &revision.digest, all)
}

/// What serves may do from now on what grants say now.
fn regrant(manifests: &Manifests, wanted: &Wanted, active: &mut Active) -> Result<(), Stop> {
    let revision = &active.revision;
    let granted = granted(manifests, wanted, revision);
    let asks = Some(revision.descriptor.asks.as_slice());
    let (permits, enough) = plugins::permitted(wanted, revision, granted, asks);
    if revision.permits != permits {
        active.revision = with(revision, permits, None);
    }
    enough
}

/// Files have no time of creation that means anything, so of two Plugins with one key the first by name serves.
fn rival(wanted: &Wanted, manifests: &Manifests) -> Option<(String, String)> {
    let others: Vec<Wanted> = manifests
        .plugins
        .iter()
        .filter(|(name, _)| **name != wanted.name)
        .filter_map(|(name, spec)| Wanted::parse(name, spec).ok())
        .collect();
    rollout::rival(wanted, None, others.iter().map(|other| (other, None)))
}

impl PullSecrets for Folder {
    fn pull_secret<'a>(&'a self, source: &'a Source) -> Answering<'a, DockerConfig> {
        Box::pin(async move {
            let Source::Oci {
                pull_secret: Some(reference),
                ..
            } = source
            else {
                return Ok(None);
            };
            let found = self
                .secret_key(&reference.namespace, &reference.name, Some(DOCKER_CONFIG))
                .await
                .map_err(|failure| failure.context("spec.source.oci.pullSecretRef"))?;
            Ok(Some(found.value))
        })
    }
}

/// A Plugin that cannot serve keeps its keys: what another plugin would answer for them is not what the folder asks for.
fn claim(name: &str, spec: &PluginSpec, memory: &Memory, turn: &Turn) -> Claim {
    let serving = match &memory.active {
        Some(active) => Ok(active.revision.clone()),
        None => Err(Failure::new(
            Stage::Plan,
            Code::PluginNotActive,
            format!("Plugin {name} does not serve: {}", why(turn)),
        )),
    };
    Claim {
        is_engine: spec.kind == PluginKind::TemplateEngine,
        keys: spec.serves.iter().cloned().collect(),
        serving,
        exclusive: true,
    }
}

/// One line; the manifest to apply stands in the Plugin's own row.
fn why(turn: &Turn) -> String {
    match turn {
        Turn::Serves => String::new(),
        Turn::Late => "it was not ready in time".to_owned(),
        Turn::Stopped(stop) if stop.reason == reason::AWAITING_GRANT => {
            let public = &stop.failure.public;
            let short = public.split("; if that is right").next().unwrap_or(public);
            format!("{short}; see what is said of the Plugin")
        }
        Turn::Stopped(stop) => one_line(&stop.failure.public, 600),
    }
}

fn row(name: &str, wanted: Option<&Wanted>, memory: &Memory, turn: Turn, now: Timestamp) -> Row {
    let active = memory.active.as_ref().map(|a| &a.revision);
    let (step, why) = match &turn {
        Turn::Serves => (Step::Active, reason::SERVING),
        Turn::Stopped(stop) => (stop.step, stop.reason),
        Turn::Late => (Step::Active, reason::NOT_SERVING),
    };
    let retry = match &turn {
        Turn::Serves => None,
        Turn::Stopped(stop) => Some(stop.failure.code.retry()),
        Turn::Late => Some(Retry::Backoff),
    };
    let wait = wanted.map(|wanted| match retry {
        Some(Retry::Backoff) => wanted.interval.min(AGAIN),
        _ => wanted.interval,
    });
    let wait = wait.and_then(|wait| jiff::SignedDuration::try_from(wait).ok());
    let grant = match &turn {
        Turn::Stopped(stop) if stop.reason == reason::AWAITING_GRANT => grant_in(&stop.failure),
        _ => None,
    };
    Row {
        kind: "Plugin",
        namespace: String::new(),
        name: name.to_owned(),
        target: None,
        keys: Vec::new(),
        outcome: match turn {
            Turn::Serves => Outcome::Ready,
            Turn::Stopped(stop) => Outcome::Failed(Box::new(stop.failure)),
            Turn::Late => Outcome::TimedOut(Box::new(late(name)), Vec::new()),
        },
        next: wait.and_then(|wait| now.checked_add(wait).ok()),
        plugin: Some(PluginFacts {
            step: step.as_str(),
            reason: why,
            digest: active.map(|r| r.digest.as_str().to_owned()),
            version: active.map(|r| one_line(&r.descriptor.version, 80)),
            grant,
        }),
    }
}

fn late(name: &str) -> Failure {
    let text = format!(
        "Plugin {name} was not fetched and compiled in time; give --timeout: what was compiled is kept for the next run"
    );
    Failure::new(Stage::Check, Code::Timeout, text)
}

/// The manifest of the text, as [`Stop::awaiting_grant`] puts it there.
fn grant_in(failure: &Failure) -> Option<String> {
    let from = failure.public.find(grant::SUGGESTION_BEGINS)?;
    failure.public.get(from..).map(str::to_owned)
}
