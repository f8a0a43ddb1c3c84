//! Sync windows: whether a periodic refresh may run, and when it may next.
//!
//! A window is open from each firing of its schedule for its duration, both ends included. A schedule that cannot be read
//! opens nothing, as with the peer: a typing error must not stop syncs for ever under `deny`, nor the first one at all.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use postern_api::external_secret::{SyncWindow, SyncWindowKind, SyncWindows};

use crate::cron::{self, Schedule};
use crate::go;

/// Windows that follow one another without a gap are gone through so many times; then the time reached is as good as any to
/// look again.
const ROUNDS: usize = 256;

/// Whether the durations can be read; the text says which cannot.
pub fn check(windows: Option<&SyncWindows>) -> Result<(), String> {
    let all = windows.iter().flat_map(|w| &w.windows);
    for (index, window) in all.enumerate() {
        go::parse_duration(&window.duration)
            .map_err(|e| format!("spec.syncWindows.windows[{index}].duration: {e}"))?;
    }
    Ok(())
}

/// Whether a periodic refresh may run at a time.
#[must_use]
pub fn allows(windows: &SyncWindows, at: Timestamp) -> bool {
    let open = windows.windows.iter().any(|window| is_open(window, at));
    match windows.kind {
        _ if windows.windows.is_empty() => true,
        SyncWindowKind::Allow => open,
        SyncWindowKind::Deny => !open,
    }
}

/// The first time from this one on at which it may; none if that never comes.
#[must_use]
pub fn next_allowed(windows: &SyncWindows, from: Timestamp) -> Option<Timestamp> {
    let mut at = from;
    for _ in 0..ROUNDS {
        if allows(windows, at) {
            return Some(at);
        }
        at = match windows.kind {
            SyncWindowKind::Allow => windows.windows.iter().filter_map(|w| opens(w, at)).min()?,
            SyncWindowKind::Deny => windows.windows.iter().find_map(|w| closes(w, at))?,
        };
    }
    Some(at)
}

/// What of a window can be read.
fn read(window: &SyncWindow) -> Option<(Schedule, Duration)> {
    let duration = go::parse_duration(&window.duration).ok()?;
    let negative = window.duration.starts_with('-');
    let schedule = cron::parse(&window.schedule).ok()?;
    (!negative).then_some((schedule, duration))
}

fn is_open(window: &SyncWindow, at: Timestamp) -> bool {
    match read(window) {
        None => false,
        // It has no place in time: seen from any moment it fired one period before the window's end.
        Some((Schedule::Every(every), duration)) => every <= duration + Duration::from_secs(1),
        Some((Schedule::Fields(_), _)) => opened(window, at).is_some(),
    }
}

/// When the window opened that is open now, and how long it is.
fn opened(window: &SyncWindow, at: Timestamp) -> Option<(Timestamp, SignedDuration)> {
    let (Schedule::Fields(fields), duration) = read(window)? else {
        return None;
    };
    let duration = SignedDuration::try_from(duration).ok()?;
    let at = Timestamp::from_second(at.as_second()).ok()?;
    let earliest = at.checked_sub(duration).unwrap_or(Timestamp::MIN);
    Some((fields.last(at, earliest)?, duration))
}

fn opens(window: &SyncWindow, after: Timestamp) -> Option<Timestamp> {
    match read(window)? {
        (Schedule::Fields(fields), _) => fields.next(after),
        (Schedule::Every(_), _) => None,
    }
}

/// The first second after the window that is open now.
fn closes(window: &SyncWindow, at: Timestamp) -> Option<Timestamp> {
    let (opened, duration) = opened(window, at)?;
    let end = opened.checked_add(duration).ok()?;
    Timestamp::from_second(end.as_second().checked_add(1)?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn windows(kind: SyncWindowKind, all: &[(&str, &str)]) -> SyncWindows {
        let window = |(schedule, duration): &(&str, &str)| SyncWindow {
            schedule: (*schedule).to_owned(),
            duration: (*duration).to_owned(),
        };
        SyncWindows {
            kind,
            windows: all.iter().map(window).collect(),
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_window_is_open_from_its_firing_to_its_end_with_both() {
        let night = windows(SyncWindowKind::Allow, &[("0 22 * * *", "8h")]);
        let table = [
            ("2026-03-01T21:59:59Z", false),
            ("2026-03-01T22:00:00Z", true),
            ("2026-03-02T03:00:00Z", true),
            ("2026-03-02T06:00:00Z", true),
            ("2026-03-02T06:00:01Z", false),
        ];
        let day = SyncWindows {
            kind: SyncWindowKind::Deny,
            ..night.clone()
        };
        for (time, open) in table {
            assert_eq!(allows(&night, at(time)), open, "{time}");
            assert_eq!(allows(&day, at(time)), !open, "{time}");
        }
    }

    #[test]
    fn one_open_window_is_enough_and_no_window_closes_nothing() {
        let two = [("0 1 * * *", "1h"), ("0 13 * * *", "1h")];
        let noon = at("2026-03-01T13:30:00Z");
        assert!(allows(&windows(SyncWindowKind::Allow, &two), noon));
        assert!(!allows(&windows(SyncWindowKind::Deny, &two), noon));
        for kind in [SyncWindowKind::Allow, SyncWindowKind::Deny] {
            assert!(allows(&windows(kind, &[]), noon));
        }
    }

    #[test]
    fn what_cannot_be_read_is_never_open() {
        for broken in [
            ("nonsense", "1h"),
            ("* * * * 7", "1h"),
            ("* * * * *", "-1h"),
        ] {
            let now = at("2026-03-01T13:30:00Z");
            assert!(
                !allows(&windows(SyncWindowKind::Allow, &[broken]), now),
                "{broken:?}"
            );
            assert!(
                allows(&windows(SyncWindowKind::Deny, &[broken]), now),
                "{broken:?}"
            );
        }
        let odd = windows(SyncWindowKind::Allow, &[("@daily", "an hour")]);
        assert!(
            check(Some(&odd))
                .unwrap_err()
                .starts_with("spec.syncWindows.windows[0].duration")
        );
        assert_eq!(check(None), Ok(()));
    }

    #[test]
    fn every_is_open_always_or_never() {
        let table = [
            ("@every 1h", "1h", true),
            ("@every 1h", "30m", false),
            ("@every 61s", "1m", true),
        ];
        for (schedule, duration, open) in table {
            let allow = windows(SyncWindowKind::Allow, &[(schedule, duration)]);
            let now = at("2026-03-01T13:30:00Z");
            assert_eq!(allows(&allow, now), open, "{schedule} {duration}");
            assert_eq!(
                next_allowed(&allow, now),
                open.then_some(now),
                "{schedule} {duration}"
            );
        }
    }

    #[test]
    fn a_closed_window_says_when_it_opens() {
        let night = windows(SyncWindowKind::Allow, &[("0 22 * * *", "8h")]);
        let noon = at("2026-03-01T12:00:00Z");
        assert_eq!(next_allowed(&night, noon), Some(at("2026-03-01T22:00:00Z")));
        let work = [("0 8 * * *", "4h"), ("0 12 * * *", "6h")];
        let never_at_work = windows(SyncWindowKind::Deny, &work);
        let morning = at("2026-03-01T09:00:00Z");
        assert_eq!(
            next_allowed(&never_at_work, morning),
            Some(at("2026-03-01T18:00:01Z"))
        );
        let never = windows(SyncWindowKind::Allow, &[("0 0 30 2 *", "1h")]);
        assert_eq!(next_allowed(&never, noon), None);
    }

    proptest! {
        #[test]
        fn the_next_time_is_allowed_and_none_before_it_is(
            minute in 0_u8..60, hour in 0_u8..24, open in 0_u32..2000, deny in any::<bool>(), second in 0_i64..2_000_000_000,
        ) {
            let kind = if deny { SyncWindowKind::Deny } else { SyncWindowKind::Allow };
            let schedule = format!("{minute} {hour} * * *");
            let duration = format!("{open}m");
            let windows = windows(kind, &[(schedule.as_str(), duration.as_str())]);
            let now = Timestamp::from_second(second).unwrap();
            let next = next_allowed(&windows, now).unwrap();
            prop_assert!(next >= now);
            // A day and longer is never closed.
            if open < 1440 || !deny {
                prop_assert!(allows(&windows, next));
            }
            if next > now {
                prop_assert!(!allows(&windows, now));
                prop_assert!(!allows(&windows, Timestamp::from_second(next.as_second() - 1).unwrap()));
            }
        }
    }
}
