//! One sync of an ExternalSecret, from key to status. This file is the table of contents; each step is elsewhere.

use std::time::Duration;

use jiff::Timestamp;
use postern_core::absence::{Fate, Missing, Produced};
use postern_core::conclude::{
    Conclusion, Written, conclude, left_over_event, missing_events, say_omitted,
};
use postern_core::failure::{Code, Failure, Stage};
use postern_core::plan::{Observed, Plan, SyncPlan, plan};
use postern_core::provenance;
use postern_core::shape::{EntryFate, Omitted};
use postern_core::target::Rule;
use postern_sync::audit;
use tokio::time::Instant;

use crate::bereft;
use crate::commit;
use crate::context::Context;
use crate::manifest;
use crate::observe::observe;
use crate::queue::Next;
use crate::report;
use crate::target;
use crate::world::ObjectKey;

/// Brings one ExternalSecret where it shall be, and says when to look again. `due` is the moment that made it due: no
/// older answer is used.
#[tracing::instrument(skip_all, fields(namespace = key.namespace, name = key.name))]
pub(crate) async fn reconcile(ctx: &Context, key: &ObjectKey, due: Instant) -> Next {
    let began = Instant::now();
    let next = bring(ctx, key, due).await;
    report::external_secret(ctx, key, began.elapsed());
    next
}

async fn bring(ctx: &Context, key: &ObjectKey, due: Instant) -> Next {
    let observed = match observe(ctx, key).await {
        Ok(Some(observed)) => observed,
        Ok(None) => return bereft::end(ctx, key).await,
        Err(failure) => return commit::unobserved(&failure),
    };
    let mut entries = None;
    let result = match decide(ctx, key, &observed) {
        Plan::Idle { until } => return wait_until(until, observed.now),
        Plan::Ignore => return Next::OnChange,
        Plan::Remove => return commit::release(ctx, &observed).await,
        Plan::Refuse(failure) => Err(failure),
        Plan::Deny(denied) => {
            audit::denied(&key.namespace, &key.name, &denied);
            Err(denied.failure())
        }
        Plan::Sync(plan) => {
            let (fates, result) = sync(ctx, &observed, &plan, due).await;
            entries = Some((plan, fates));
            result.inspect_err(|failure| audit::search(&key.namespace, &key.name, failure))
        }
    };
    let (result, synced) = match result {
        Ok(synced) => (Ok(synced.written), Some(synced)),
        Err(failure) => (Err(failure), None),
    };
    let mut conclusion = conclude(&observed, result.as_ref().copied());
    if let Some(synced) = synced {
        synced.tell(&observed, &mut conclusion);
    }
    if let Some((plan, fates)) = &entries {
        provenance::tell(&mut conclusion.status, plan, fates, observed.now);
    }
    commit::commit(ctx, &observed, conclusion, &result).await
}

/// What a sync that succeeded did.
struct Synced {
    written: Written,
    missing: Vec<Missing>,
    omitted: Omitted,
    left_over: bool,
}

impl Synced {
    /// Adds what is to be told beyond the result.
    fn tell(self, observed: &Observed, conclusion: &mut Conclusion) {
        let left_over = self.left_over.then(left_over_event);
        conclusion.events.extend(left_over);
        let missing = missing_events(observed, self.written, &self.missing);
        conclusion.events.extend(missing);
        say_omitted(conclusion, self.omitted);
    }
}

async fn sync(
    ctx: &Context,
    observed: &Observed,
    plan: &SyncPlan,
    due: Instant,
) -> (Vec<EntryFate>, Result<Synced, Failure>) {
    match ctx.doors.produce(plan, due).await {
        Err(unshaped) => (unshaped.fates, Err(*unshaped.failure)),
        Ok(mut produced) => {
            let fates = std::mem::take(&mut produced.fates);
            (fates, write(ctx, observed, plan, produced).await)
        }
    }
}

/// Brings the target where it shall be.
async fn write(
    ctx: &Context,
    observed: &Observed,
    plan: &SyncPlan,
    produced: Produced,
) -> Result<Synced, Failure> {
    let rule = Rule::of(plan, observed.object.metadata.uid.as_deref());
    let written = match &produced.target {
        Fate::Written(desired) => target::write(ctx, &rule, desired).await?,
        Fate::Manifested(desired) => manifest::write(ctx, &rule, desired).await?,
        Fate::Deleted => match &plan.manifest {
            None => target::remove(ctx, plan, &rule).await?,
            Some(kind) => manifest::remove(ctx, kind, plan, &rule).await?,
        },
        Fate::Retained => Written::Retained,
    };
    let left_over = match (&plan.left_over, &produced.target) {
        (Some(name), Fate::Written(_)) => target::remove_left_over(ctx, &rule, name).await?,
        _ => false,
    };
    Ok(Synced {
        written,
        missing: produced.missing,
        omitted: produced.omitted,
        left_over,
    })
}

fn decide(ctx: &Context, key: &ObjectKey, observed: &Observed) -> Plan {
    if ctx.world.lock().is_malformed(key) && observed.object.metadata.deletion_timestamp.is_none() {
        return Plan::Refuse(Failure::new(
            Stage::Observe,
            Code::InvalidSpec,
            "the ExternalSecret does not fit its schema; apply Postern's CRDs, and correct it as kubectl then says",
        ));
    }
    plan(observed)
}

/// How long to wait for a time of the wall clock.
pub(crate) fn wait_until(until: Option<Timestamp>, now: Timestamp) -> Next {
    match until {
        None => Next::OnChange,
        Some(until) => {
            Next::After(Duration::try_from(until.duration_since(now)).unwrap_or_default())
        }
    }
}
