//! What a Plugin's status and events say after a look at it.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Api;
use kube::api::Patch;
use postern_api::plugin::{RefusedRevision, RevisionStatus};
use postern_api::{Plugin, PluginStatus, names};
use postern_core::conclude::EventText;
use postern_core::failure::{Failure, one_line};
use postern_core::progress::{self, Serving, Stop};
use postern_core::rollout::SwitchedBack;
use serde_json::json;

use super::{Entry, Memory};
use crate::api_error;
use crate::commit::status_params;
use crate::context::Context;
use crate::events::About;

/// Revisions of which the status keeps account.
const HISTORY: usize = 3;
/// Refused digests of which the status keeps account.
const REFUSED: usize = 10;

/// What came of a look.
pub(super) struct News<'a> {
    pub(super) memory: &'a Memory,
    pub(super) stop: Option<&'a Stop>,
    pub(super) serving: &'a Serving,
    pub(super) switched: &'a [SwitchedBack],
    /// What was kept on disk and had been changed.
    pub(super) damage: &'a [Failure],
}

/// Writes the status where it changed, posts events; false where the status could not be written.
pub(super) async fn tell(ctx: &Context, name: &str, entry: &Entry, news: News<'_>) -> bool {
    let now = Timestamp::now();
    let status = status(entry, &news, now);
    // It is no matter of the status: nothing of it was used, and nothing is wrong any more.
    let damaged: Vec<_> = news.damage.iter().map(damaged).collect();
    ctx.events.post(&about(name, entry), &damaged);
    if status == entry.status {
        return true;
    }
    log(&news);
    let events = events(&entry.status, &status, &news);
    let api: Api<Plugin> = Api::all(ctx.client.clone());
    // Null removes what is no more; a merge would keep it.
    let patch = Patch::Merge(json!({"status": whole(&status)}));
    let _turn = ctx.turn().await;
    match api.patch_status(name, &status_params(), &patch).await {
        Ok(_) => ctx.world.lock().plugins.wrote_status(name, status),
        Err(error) if api_error::is_not_found(&error) => return true,
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "could not write the status"
            );
            return false;
        }
    }
    ctx.events.post(&about(name, entry), &events);
    true
}

fn status(entry: &Entry, news: &News<'_>, now: Timestamp) -> PluginStatus {
    let old = &entry.status;
    let active = news.memory.active.as_ref();
    let shown = active.map(|a| progress::revision_status(&a.revision, a.manifest.as_ref()));
    let candidate = news
        .memory
        .candidate
        .as_ref()
        .filter(|_| news.stop.is_some());
    let mut history = old.history.clone();
    if let Some(shown) = &shown {
        history.retain(|r| r.digest != shown.digest);
        history.insert(
            0,
            RevisionStatus {
                asks: Vec::new(),
                ..shown.clone()
            },
        );
    }
    history.truncate(HISTORY);
    let mut refused = old.refused.clone();
    for back in news.switched {
        refused.retain(|r| r.digest != back.digest.as_str());
        refused.insert(
            0,
            RefusedRevision {
                digest: back.digest.as_str().to_owned(),
                message: one_line(&back.failure.to_string(), 400),
                time: progress::seconds(now),
            },
        );
    }
    refused.truncate(REFUSED);
    let good = active
        .filter(|a| a.good)
        .map(|a| a.revision.digest.as_str().to_owned());
    let conditions = progress::conditions(
        old.conditions.as_deref(),
        news.stop,
        news.serving,
        entry.generation,
        now,
    );
    PluginStatus {
        observed_generation: Some(entry.generation),
        conditions: Some(conditions),
        candidate: candidate.map(|r| progress::revision_status(r, None)),
        active: shown,
        last_good_digest: good.or_else(|| old.last_good_digest.clone()),
        history,
        refused,
    }
}

/// Every field, so that a merge patch replaces what was there.
fn whole(status: &PluginStatus) -> serde_json::Value {
    json!({
        "observedGeneration": status.observed_generation,
        "conditions": status.conditions,
        "candidate": status.candidate,
        "active": status.active,
        "lastGoodDigest": status.last_good_digest,
        "history": status.history,
        "refused": status.refused,
    })
}

fn events(old: &PluginStatus, new: &PluginStatus, news: &News<'_>) -> Vec<EventText> {
    let mut events: Vec<EventText> = news.switched.iter().map(switched_back).collect();
    let digest = |status: &PluginStatus| status.active.as_ref().map(|r| r.digest.clone());
    if digest(new).is_some() && digest(old) != digest(new) && news.switched.is_empty() {
        events.push(EventText {
            warning: false,
            reason: names::reason::ACTIVATED,
            message: news.serving.message.clone(),
        });
    }
    if let Some(stop) = news.stop {
        let said = |status: &PluginStatus| {
            let all = status.conditions.iter().flatten();
            let mine = all
                .into_iter()
                .find(|c| c.type_ == stop.step.as_str())
                .cloned();
            mine.and_then(|c| c.message)
        };
        if said(old) != said(new) {
            events.push(EventText {
                warning: true,
                reason: stop.reason,
                message: one_line(&stop.failure.to_string(), 1000),
            });
        }
    }
    events
}

fn switched_back(back: &SwitchedBack) -> EventText {
    EventText {
        warning: true,
        reason: names::reason::SWITCHED_BACK,
        message: one_line(
            &format!(
                "{} failed, and {} serves again: {}",
                back.digest.as_str(),
                back.to.as_str(),
                back.failure
            ),
            1000,
        ),
    }
}

fn damaged(damage: &Failure) -> EventText {
    EventText {
        warning: true,
        reason: names::reason::CACHE_DAMAGED,
        message: one_line(&damage.to_string(), 1000),
    }
}

fn log(news: &News<'_>) {
    for back in news.switched {
        tracing::warn!(digest = back.digest.as_str(), to = back.to.as_str(), code = %back.failure.code, reason = back.failure.public, detail = back.failure.detail.as_deref(), "a revision on trial failed; the last good one serves again");
    }
    match news.stop {
        Some(stop) => {
            tracing::warn!(step = stop.step.as_str(), code = %stop.failure.code, reason = stop.failure.public, detail = stop.failure.detail.as_deref(), "the newest revision does not serve")
        }
        None => tracing::info!(serving = news.serving.message, "the plugin serves"),
    }
}

fn about(name: &str, entry: &Entry) -> About {
    About {
        object: ObjectReference {
            api_version: Some(format!(
                "{}/{}",
                names::POSTERN_GROUP,
                names::POSTERN_VERSION
            )),
            kind: Some("Plugin".to_owned()),
            name: Some(name.to_owned()),
            uid: Some(entry.uid.clone()),
            resource_version: Some(entry.resource_version.clone()),
            ..ObjectReference::default()
        },
        component: names::EVENT_COMPONENT_PLUGIN,
    }
}
