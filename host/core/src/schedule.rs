//! When an ExternalSecret is due again.
//!
//! Due times are aligned so that ExternalSecrets that read the same key come due together and share one fetch: each
//! reading has a phase, a hash of its store and first key, and is due where time passes that phase. The first due time
//! is never later than one interval after the last sync.

use std::time::Duration;

use jiff::Timestamp;

use crate::go;

/// The interval where the manifest names none.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(3600);

/// When the next periodic sync is due, after one that began at `last`. `seed` names what is read.
#[must_use]
pub fn next_due(last: Timestamp, interval: Duration, seed: &str) -> Timestamp {
    let interval_ms = i64::try_from(interval.as_millis())
        .unwrap_or(i64::MAX)
        .max(1);
    let last_ms = last.as_millisecond();
    let latest = last_ms.saturating_add(interval_ms);
    let phase = i64::try_from(phase(seed) % u64::try_from(interval_ms).unwrap_or(1)).unwrap_or(0);
    // The last time at or before `latest` that has our phase.
    let aligned = latest - (latest - phase).rem_euclid(interval_ms);
    // So soon after the last sync that it would only cost: wait for the whole interval, and align then.
    let due = if aligned - last_ms < interval_ms / 10 {
        latest
    } else {
        aligned
    };
    Timestamp::from_millisecond(due).unwrap_or(Timestamp::MAX)
}

fn phase(seed: &str) -> u64 {
    let hash = go::string_hash(seed);
    u64::from_str_radix(&hash[..15], 16).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    #[test]
    fn those_that_read_the_same_come_due_together_and_stay_so() {
        let hour = Duration::from_secs(3600);
        let first = next_due(at(1_000_000_000), hour, "store/key");
        let second = next_due(at(1_000_900_000), hour, "store/key");
        let again = next_due(first, hour, "store/key");
        assert_eq!(
            (again.as_millisecond() - first.as_millisecond()) % 3_600_000,
            0
        );
        assert_eq!(
            (second.as_millisecond() - first.as_millisecond()) % 3_600_000,
            0
        );
    }

    #[test]
    fn a_due_time_is_never_later_than_the_interval_nor_at_once() {
        for seed in 0..200 {
            let last = 1_700_000_000_123 + seed * 7919;
            let due = next_due(at(last), Duration::from_secs(60), &seed.to_string())
                .as_millisecond()
                - last;
            assert!((6_000..=60_000).contains(&due), "{seed}: {due}");
        }
    }
}
