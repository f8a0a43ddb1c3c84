//! When a sync is due, and what it is due together with.

use std::time::Duration;

use jiff::Timestamp;
use kube_core::ResourceExt as _;
use postern_api::ExternalSecret;
use postern_api::external_secret::{DataFrom, RefreshPolicy};

use super::target::is_in_order;
use super::{Observed, invalid, stores_of};
use crate::failure::Failure;
use crate::{go, schedule, windows};

/// `Some` where nothing is due: until when.
pub(super) fn idle(observed: &Observed) -> Option<Option<Timestamp>> {
    let status = observed.object.status.as_ref()?;
    let last = last_refresh(&observed.object)?;
    let synced = status
        .synced_resource_version
        .as_deref()
        .filter(|v| !v.is_empty())?;
    if !is_in_order(&observed.object, observed.target.as_ref()) {
        return None;
    }
    let changed = synced != current_version(&observed.object);
    match observed.object.spec.refresh_policy.unwrap_or_default() {
        RefreshPolicy::CreatedOnce => Some(None),
        RefreshPolicy::OnChange => (!changed).then_some(None),
        RefreshPolicy::Periodic => {
            let interval = interval(&observed.object).ok()?;
            if interval.is_zero() {
                return Some(None);
            }
            if changed || last > observed.now {
                return None;
            }
            let due = schedule::next_due(last, interval, &seed(&observed.object));
            let at = due.max(observed.now);
            let open = match &observed.object.spec.sync_windows {
                Some(windows) => windows::next_allowed(windows, at),
                None => Some(at),
            };
            (open != Some(observed.now)).then_some(open)
        }
    }
}

/// When the last sync that succeeded began.
#[must_use]
pub fn last_refresh(object: &ExternalSecret) -> Option<Timestamp> {
    object.status.as_ref()?.refresh_time.as_ref()?.parse().ok()
}

/// Generation, labels and annotations of the object as one text.
#[must_use]
pub fn current_version(object: &ExternalSecret) -> String {
    go::synced_resource_version(
        object.metadata.generation.unwrap_or(0),
        object.annotations(),
        object.labels(),
    )
}

/// The refresh interval; zero means once.
pub fn interval(object: &ExternalSecret) -> Result<Duration, Failure> {
    match object.spec.refresh_interval.as_deref() {
        None => Ok(schedule::DEFAULT_INTERVAL),
        Some(text) => {
            go::parse_duration(text).map_err(|e| invalid(format!("spec.refreshInterval: {e}")))
        }
    }
}

/// What names the reading, so that those who read the same come due together.
#[must_use]
pub fn seed(object: &ExternalSecret) -> String {
    let store = stores_of(object)
        .into_iter()
        .next()
        .map(|s| format!("{s}/{}", s.namespace))
        .unwrap_or_default();
    let spec = &object.spec;
    let from = |d: &DataFrom| match (&d.extract, &d.find) {
        (Some(extract), _) => Some(extract.key.clone()),
        (None, Some(find)) => {
            let name = find.name.as_ref().and_then(|n| n.regexp.as_deref());
            let path = find.path.as_deref().unwrap_or_default();
            Some(format!("find {path} {}", name.unwrap_or_default()))
        }
        (None, None) => None,
    };
    let key = spec
        .data
        .iter()
        .flatten()
        .next()
        .map(|d| d.remote_ref.key.clone())
        .or_else(|| spec.data_from.iter().flatten().find_map(from));
    format!("{store}/{}", key.unwrap_or_default())
}
