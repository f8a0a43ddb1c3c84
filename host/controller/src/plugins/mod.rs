//! Plugins from outside: how one comes to serve, step by step, and how it is switched. [`reconcile`] is the table of
//! contents; what the steps decide is the core's.
//!
//! Guarantees: what serves goes on serving until a newer revision has passed every step; the switch is one pointer; no
//! Secret is touched.

mod bring;
mod hand;
mod known;
mod memory;
mod tell;

use std::sync::Arc;
use std::time::Duration;

use postern_api::names::reason;
use postern_core::failure::{Code, Failure, Stage};
use postern_core::grant::Permits;
use postern_core::plugin::{Ask, Digest, Revision};
use postern_core::progress::{Serving, Step, Stop};
use postern_core::rollout::{self, Revisions, Sources, Wanted};
use postern_sync::plugins::{self, Bringer, with};
use tokio::time::Instant;

pub use hand::{Hand, Listing};
pub(crate) use known::{Entry, Known};
pub(crate) use memory::Memories;
use memory::{Active, Memory};

use crate::context::Context;
use crate::queue::Next;

/// How long what existed at the start may take to come back, before the stores are looked at without it.
const COMEBACK: Duration = Duration::from_secs(60);

/// What the controller needs to serve plugins from outside.
#[derive(Clone)]
pub struct Plugins {
    /// Registries and files.
    pub sources: Arc<dyn Sources>,
    /// Compiled revisions, and the table of what serves.
    pub revisions: Arc<dyn Revisions>,
    /// How long a new revision must serve without a fault before it is the last good one.
    pub trial: Duration,
}

impl Plugins {
    fn bringer<'a>(&'a self, ctx: &'a Context, wanted: &'a Wanted) -> Bringer<'a> {
        Bringer {
            sources: &*self.sources,
            revisions: &*self.revisions,
            secrets: ctx,
            wanted,
        }
    }
}

/// Brings one Plugin where it shall be, and says when to look again.
#[tracing::instrument(skip_all, fields(plugin = name))]
pub(crate) async fn reconcile(ctx: &Context, name: &str) -> Next {
    let Some(doors) = &ctx.plugins else {
        return Next::OnChange;
    };
    let Some(mut entry) = ctx.world.lock().plugins.get(name) else {
        return gone(ctx, doors, name);
    };
    entry.forgive();
    let mut memory = ctx.memories.take(name, &entry);
    let switched = memory.switched_back();
    let result = advance(ctx, doors, &entry, &mut memory).await;
    let damage = std::mem::take(&mut memory.fetched.damage);
    let serving = serving(&memory, result.as_ref().err());
    claim(ctx, doors, &entry, &memory, &serving);
    let next = next(&entry, &memory, doors, result.as_ref().err());
    let written = tell::tell(
        ctx,
        name,
        &entry,
        tell::News {
            memory: &memory,
            stop: result.as_ref().err(),
            serving: &serving,
            switched: &switched,
            damage: &damage,
        },
    )
    .await;
    ctx.memories.put(name, memory);
    if written { next } else { Next::Backoff(None) }
}

/// At the start: what served last serves again, before any store is looked at.
pub(crate) async fn come_back(ctx: &Context) {
    let Some(doors) = &ctx.plugins else { return };
    let names = ctx.world.lock().plugins.names();
    let all = names.iter().map(|name| async move {
        let Some(entry) = ctx.world.lock().plugins.get(name) else {
            return;
        };
        let mut memory = ctx.memories.take(name, &entry);
        if let Ok(wanted) = &entry.wanted {
            bring::back(ctx, &doors.bringer(ctx, wanted), &entry, &mut memory).await;
        }
        let serving = serving(&memory, None);
        claim(ctx, doors, &entry, &memory, &serving);
        ctx.memories.put(name, memory);
    });
    let all = futures::future::join_all(all);
    if tokio::time::timeout(COMEBACK, all).await.is_err() {
        tracing::warn!("not every plugin came back in time; stores that need one wait for it");
    }
}

/// Passes the steps one by one; stops at the first that cannot be passed.
async fn advance(
    ctx: &Context,
    doors: &Plugins,
    entry: &Entry,
    memory: &mut Memory,
) -> Result<(), Stop> {
    let wanted = entry.wanted.as_ref();
    let wanted = wanted.map_err(|f| Stop::failed(Step::Resolved, f.clone()))?;
    memory.candidate = None;
    memory.drop_refused(&entry.refused);
    let bringer = doors.bringer(ctx, wanted);
    if memory.active.is_none() {
        bring::back(ctx, &bringer, entry, memory).await;
    }
    uncontested(ctx, entry, wanted, memory)?;
    let (named, bytes) = bringer.resolve(&mut memory.fetched).await?;
    not_refused(entry, memory, &named.component)?;
    if memory.serves(&named.component, wanted) {
        settle(doors, memory);
        return regrant(ctx, wanted, memory);
    }
    let revision = bringer.compile(&mut memory.fetched, &named, bytes).await?;
    memory.candidate = Some(revision.clone());
    let served = memory.active.as_ref();
    let before = served.map(|a| a.revision.descriptor.asks.as_slice());
    let (permits, enough) = permitted(ctx, wanted, &revision, before);
    enough?;
    let revision = with(&revision, permits, None);
    bring::probe(ctx, wanted, memory, &revision).await?;
    activate(ctx, doors, wanted, memory, (revision, named.manifest));
    Ok(())
}

/// Two Plugins with one key: the older serves.
fn uncontested(
    ctx: &Context,
    entry: &Entry,
    wanted: &Wanted,
    memory: &mut Memory,
) -> Result<(), Stop> {
    let Some((key, older)) = ctx.world.lock().plugins.rival(wanted, entry.created) else {
        return Ok(());
    };
    memory.active = None;
    Err(Stop::key_taken(&older, &key, "is older"))
}

fn not_refused(entry: &Entry, memory: &Memory, digest: &Digest) -> Result<(), Stop> {
    let said = memory.refusal(digest);
    let said =
        said.or_else(|| rollout::refusal(&entry.status, &entry.refused, digest).map(str::to_owned));
    let Some(why) = said else { return Ok(()) };
    Err(Stop {
        step: Step::Probed,
        reason: reason::REFUSED,
        failure: Failure::new(
            Stage::Check,
            Code::PluginNotActive,
            format!("{} does not serve: {why}", digest.as_str()),
        ),
    })
}

/// What serves may do from now on what grants say now.
fn regrant(ctx: &Context, wanted: &Wanted, memory: &mut Memory) -> Result<(), Stop> {
    let Some(active) = &mut memory.active else {
        return Ok(());
    };
    let asks = &active.revision.descriptor.asks;
    let (permits, enough) = permitted(ctx, wanted, &active.revision, Some(asks));
    if active.revision.permits != permits {
        active.revision = with(&active.revision, permits, active.revision.fallback.clone());
    }
    enough
}

/// What grants allow a revision now, and whether that answers all it asks for. `before` is what the revision that serves
/// asks for.
fn permitted(
    ctx: &Context,
    wanted: &Wanted,
    revision: &Revision,
    before: Option<&[Ask]>,
) -> (Permits, Result<(), Stop>) {
    let known = &ctx.world.lock().plugins;
    let granted = known.granted(&wanted.name, &revision.digest);
    plugins::permitted(wanted, revision, granted, before)
}

/// The switch. What served before is asked what the new revision cannot answer, until its trial is over.
fn activate(
    ctx: &Context,
    doors: &Plugins,
    wanted: &Wanted,
    memory: &mut Memory,
    (revision, manifest): (Arc<Revision>, Option<Digest>),
) {
    let fallback = match &memory.active {
        Some(active) if active.good => Some(with(
            &active.revision,
            active.revision.permits.clone(),
            None,
        )),
        Some(active) => active.revision.fallback.clone(),
        None => bring::bundled(ctx, wanted),
    };
    let successes = doors.revisions.successes(&revision.digest);
    memory.candidate = None;
    memory.previous = memory.active.take();
    memory.active = Some(Active {
        good: fallback.is_none(),
        revision: with(&revision, revision.permits.clone(), fallback),
        manifest,
        since: Instant::now(),
        successes,
        limits: wanted.limits.clone(),
    });
}

/// A revision that has served for long enough without a fault needs no fallback any more.
fn settle(doors: &Plugins, memory: &mut Memory) {
    let Some(active) = &mut memory.active else {
        return;
    };
    let answered = doors.revisions.successes(&active.revision.digest) > active.successes;
    if !active.good && answered && active.since.elapsed() >= doors.trial {
        active.good = true;
        active.revision = with(&active.revision, active.revision.permits.clone(), None);
    }
}

/// What the condition `Active` says.
fn serving(memory: &Memory, stop: Option<&Stop>) -> Serving {
    let Some(active) = &memory.active else {
        let why = stop.map_or_else(
            || "it is on its way".to_owned(),
            |s| s.failure.public.clone(),
        );
        return Serving {
            is: false,
            reason: stop.map_or(reason::NOT_SERVING, |s| s.reason),
            message: format!("no revision serves: {why}"),
        };
    };
    let descriptor = &active.revision.descriptor;
    let what = format!("{} {} serves", descriptor.name, descriptor.version);
    let (reason, message) = match stop {
        Some(stop) => (
            reason::LAST_GOOD,
            format!(
                "{what}; a newer revision does not: see {}",
                stop.step.as_str()
            ),
        ),
        None if active.good => (reason::SERVING, what),
        None => (
            reason::ON_TRIAL,
            format!("{what}, and the last good revision takes over if it fails"),
        ),
    };
    Serving {
        is: true,
        reason,
        message,
    }
}

/// Puts what the memory says into the table, and wakes who may be served better now.
fn claim(ctx: &Context, doors: &Plugins, entry: &Entry, memory: &Memory, serving: &Serving) {
    let Ok(wanted) = &entry.wanted else { return };
    let claim = rollout::Claim {
        is_engine: known::is_engine(wanted),
        keys: wanted.serves.clone(),
        serving: match &memory.active {
            Some(active) => Ok(active.revision.clone()),
            None => Err(Failure::new(
                Stage::Plan,
                Code::PluginNotActive,
                format!("Plugin {}: {}", wanted.name, serving.message),
            )),
        },
        exclusive: entry.status.last_good_digest.is_some(),
    };
    let changed = ctx.memories.claimed(&wanted.name, &claim);
    doors.revisions.serve(&wanted.name, claim);
    if changed {
        let touched = ctx
            .world
            .lock()
            .users_of_keys(known::is_engine(wanted), &wanted.serves);
        ctx.queue.touch(touched);
    }
    doors.revisions.keep(&ctx.memories.digests(memory));
}

fn next(entry: &Entry, memory: &Memory, doors: &Plugins, stop: Option<&Stop>) -> Next {
    let Ok(wanted) = &entry.wanted else {
        return Next::OnChange;
    };
    let on_trial = memory.active.as_ref().is_some_and(|a| !a.good);
    let interval = if on_trial {
        wanted.interval.min(doors.trial)
    } else {
        wanted.interval
    };
    match stop {
        Some(stop) if stop.reason == reason::FAILED && stop.step <= Step::Compiled => {
            Next::Backoff(stop.failure.retry_after)
        }
        Some(_) | None => Next::After(interval.max(Duration::from_millis(200))),
    }
}

fn gone(ctx: &Context, doors: &Plugins, name: &str) -> Next {
    doors.revisions.withdraw(name);
    if let Some((is_engine, keys)) = ctx.memories.forget(name) {
        let touched = ctx.world.lock().users_of_keys(is_engine, &keys);
        ctx.queue.touch(touched);
    }
    Next::OnChange
}
