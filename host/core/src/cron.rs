//! Schedules of cron as the peer's library reads them: five fields, descriptors, `@every`; in UTC.
//!
//! The crates at hand read other dialects: they take 7 for Sunday, `L`, `W` and `#`, or want seconds, and differ in when
//! day of month and day of week are both asked for. A schedule that means something else than before is worse than none,
//! so the rules stand here. Arithmetic with the calendar is `jiff`'s.

use std::time::Duration;

use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan as _};

use crate::failure::one_line;
use crate::go;

/// Why a text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a schedule; use five fields of cron, a descriptor such as @daily, or @every and a duration"
)]
pub struct ScheduleError(String);

/// A schedule that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// At minutes that fit.
    Fields(Fields),
    /// Again and again after that long, in whole seconds; it has no fixed place in time.
    Every(Duration),
}

/// The minutes that fit, as sets of bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    minutes: u64,
    hours: u64,
    days: Days,
    months: u64,
}

/// Day of month and day of week. Where both are asked for, one of the two is enough.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Days {
    of_month: u64,
    of_week: u64,
    both: bool,
}

/// A date fits within this many days, or the schedule never fires: five years, as the peer's library has it.
const HORIZON: usize = 5 * 366;

struct Bounds {
    min: u64,
    max: u64,
    names: &'static [&'static str],
}

const MINUTE: Bounds = Bounds {
    min: 0,
    max: 59,
    names: &[],
};
const HOUR: Bounds = Bounds {
    min: 0,
    max: 23,
    names: &[],
};
const DAY: Bounds = Bounds {
    min: 1,
    max: 31,
    names: &[],
};
const MONTH: Bounds = Bounds {
    min: 1,
    max: 12,
    names: &[
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ],
};
const WEEKDAY: Bounds = Bounds {
    min: 0,
    max: 6,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};

/// Reads a schedule.
pub fn parse(text: &str) -> Result<Schedule, ScheduleError> {
    let wrong = || ScheduleError(one_line(text, 60));
    if let Some(every) = text.strip_prefix("@every ") {
        let every = go::parse_duration(every).map_err(|_| wrong())?;
        return Ok(Schedule::Every(Duration::from_secs(every.as_secs().max(1))));
    }
    let fields = match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        other => other,
    };
    let parts: Vec<&str> = fields.split_whitespace().collect();
    let [minute, hour, day, month, weekday] = parts[..] else {
        return Err(wrong());
    };
    let read = |part, bounds| field(part, bounds).ok_or_else(wrong);
    let (of_month, any_day) = read(day, &DAY)?;
    let (of_week, any_weekday) = read(weekday, &WEEKDAY)?;
    Ok(Schedule::Fields(Fields {
        minutes: read(minute, &MINUTE)?.0,
        hours: read(hour, &HOUR)?.0,
        months: read(month, &MONTH)?.0,
        days: Days {
            of_month,
            of_week,
            both: !any_day && !any_weekday,
        },
    }))
}

/// The bits of one field, and whether it has a star that takes all.
fn field(text: &str, bounds: &Bounds) -> Option<(u64, bool)> {
    let (mut bits, mut star) = (0, false);
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (more, all) = range(part, bounds)?;
        bits |= more;
        star |= all;
    }
    Some((bits, star))
}

/// `*`, `n`, `n-m`, each with `/step`; `n/step` goes on to the end.
fn range(text: &str, bounds: &Bounds) -> Option<(u64, bool)> {
    let (span, step) = match text.split_once('/') {
        Some((span, step)) => (span, Some(number(step)?)),
        None => (text, None),
    };
    let (low, high) = match span.split_once('-') {
        Some((low, high)) => (low, Some(high)),
        None => (span, None),
    };
    let star = low == "*" || low == "?";
    let (start, end) = match (star, high) {
        (true, _) => (bounds.min, bounds.max),
        (false, Some(high)) => (named(low, bounds)?, named(high, bounds)?),
        (false, None) if step.is_some() => (named(low, bounds)?, bounds.max),
        (false, None) => (named(low, bounds)?, named(low, bounds)?),
    };
    let step = step.unwrap_or(1);
    if start < bounds.min || end > bounds.max || start > end || step == 0 {
        return None;
    }
    let bits = (start..=end)
        .step_by(usize::try_from(step).ok()?)
        .fold(0, |bits, n| bits | 1 << n);
    Some((bits, star && step == 1))
}

fn named(text: &str, bounds: &Bounds) -> Option<u64> {
    let name = |name: &&str| name.eq_ignore_ascii_case(text);
    match bounds.names.iter().position(name) {
        Some(at) => Some(bounds.min + u64::try_from(at).ok()?),
        None => number(text),
    }
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok()
}

impl Fields {
    /// The last firing at or before a time, unless it is before the other.
    #[must_use]
    pub fn last(&self, at: Timestamp, not_before: Timestamp) -> Option<Timestamp> {
        let now = Offset::UTC.to_datetime(at);
        let first = Offset::UTC.to_datetime(not_before).date();
        let mut date = now.date();
        let mut until = minute_of(now);
        for _ in 0..HORIZON {
            if date < first {
                return None;
            }
            if let Some(found) = self.in_day(date, (0..=until).rev()) {
                return (found >= not_before).then_some(found);
            }
            until = LAST_MINUTE;
            date = date.checked_sub(1.day()).ok()?;
        }
        None
    }

    /// The first firing after a time.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let now = Offset::UTC.to_datetime(after);
        let mut date = now.date();
        let mut from = minute_of(now) + 1;
        for _ in 0..HORIZON {
            if let Some(found) = self.in_day(date, from..=LAST_MINUTE) {
                return Some(found);
            }
            from = 0;
            date = date.checked_add(1.day()).ok()?;
        }
        None
    }

    fn in_day(&self, date: Date, mut minutes: impl Iterator<Item = i16>) -> Option<Timestamp> {
        if !has(self.months, date.month()) || !self.days.fit(date) {
            return None;
        }
        let minute =
            minutes.find(|m| has_minute(self.hours, m / 60) && has_minute(self.minutes, m % 60))?;
        let (hour, minute) = (
            i8::try_from(minute / 60).ok()?,
            i8::try_from(minute % 60).ok()?,
        );
        Offset::UTC.to_timestamp(date.at(hour, minute, 0, 0)).ok()
    }
}

impl Days {
    fn fit(&self, date: Date) -> bool {
        let of_month = has(self.of_month, date.day());
        let of_week = has(self.of_week, date.weekday().to_sunday_zero_offset());
        if self.both {
            of_month || of_week
        } else {
            of_month && of_week
        }
    }
}

const LAST_MINUTE: i16 = 24 * 60 - 1;

fn minute_of(time: DateTime) -> i16 {
    i16::from(time.hour()) * 60 + i16::from(time.minute())
}

fn has(bits: u64, n: i8) -> bool {
    bits >> n & 1 == 1
}

fn has_minute(bits: u64, n: i16) -> bool {
    bits >> n & 1 == 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(text: &str) -> Fields {
        match parse(text).unwrap() {
            Schedule::Fields(fields) => fields,
            Schedule::Every(_) => panic!("{text} has no fields"),
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn schedules_fire_when_the_peers_library_says() {
        // Text, a time, the last firing at or before it, the first after it.
        let table = [
            (
                "0 2 * * *",
                "2026-03-01T01:59:59Z",
                "2026-02-28T02:00:00Z",
                "2026-03-01T02:00:00Z",
            ),
            (
                "0 2 * * *",
                "2026-03-01T02:00:00Z",
                "2026-03-01T02:00:00Z",
                "2026-03-02T02:00:00Z",
            ),
            (
                "*/15 9-17 * * MON-FRI",
                "2026-03-01T12:00:00Z",
                "2026-02-27T17:45:00Z",
                "2026-03-02T09:00:00Z",
            ),
            (
                "5/20 * * * *",
                "2026-03-01T12:00:00Z",
                "2026-03-01T11:45:00Z",
                "2026-03-01T12:05:00Z",
            ),
            (
                "0 0 29 2 *",
                "2026-03-01T12:00:00Z",
                "2024-02-29T00:00:00Z",
                "2028-02-29T00:00:00Z",
            ),
            // Either day is enough where both are asked for, and a star with a step asks for its days.
            (
                "0 0 13 * 5",
                "2026-03-01T12:00:00Z",
                "2026-02-27T00:00:00Z",
                "2026-03-06T00:00:00Z",
            ),
            (
                "0 0 */2 * 1",
                "2026-03-01T12:00:00Z",
                "2026-03-01T00:00:00Z",
                "2026-03-02T00:00:00Z",
            ),
            (
                "0 0 ? * 1",
                "2026-03-01T12:00:00Z",
                "2026-02-23T00:00:00Z",
                "2026-03-02T00:00:00Z",
            ),
            (
                "@hourly",
                "2026-03-01T12:30:00Z",
                "2026-03-01T12:00:00Z",
                "2026-03-01T13:00:00Z",
            ),
            (
                "@weekly",
                "2026-03-02T12:30:00Z",
                "2026-03-01T00:00:00Z",
                "2026-03-08T00:00:00Z",
            ),
            (
                "@yearly",
                "2026-03-02T12:30:00Z",
                "2026-01-01T00:00:00Z",
                "2027-01-01T00:00:00Z",
            ),
            (
                "0,,30 * * * *",
                "2026-03-02T12:31:00Z",
                "2026-03-02T12:30:00Z",
                "2026-03-02T13:00:00Z",
            ),
        ];
        for (text, now, last, next) in table {
            let schedule = fields(text);
            assert_eq!(
                schedule.last(at(now), Timestamp::UNIX_EPOCH),
                Some(at(last)),
                "{text}"
            );
            assert_eq!(schedule.next(at(now)), Some(at(next)), "{text}");
        }
    }

    #[test]
    fn what_the_peers_library_refuses_is_refused() {
        for text in [
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 7",
            "*/0 * * * *",
            "5-1 * * * *",
            "1-2-3 * * * *",
            "1/2/3 * * * *",
            "L * * * *",
            "* * L * *",
            "* * * * 5#2",
            "* * * * MONDAY",
            "-1 * * * *",
            "@reboot",
            "@every",
            "@every 1d",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(
            fields("0 0 30 2 *")
                .next(at("2026-03-02T12:31:00Z"))
                .is_none()
        );
    }

    #[test]
    fn every_has_whole_seconds_and_at_least_one() {
        let table = [("90s", 90), ("1h30m", 5400), ("1500ms", 1), ("10ms", 1)];
        for (text, seconds) in table {
            let every = Schedule::Every(Duration::from_secs(seconds));
            assert_eq!(parse(&format!("@every {text}")), Ok(every), "{text}");
        }
    }

    /// A field of numbers, ranges and steps within bounds.
    fn part(min: u64, max: u64) -> impl Strategy<Value = String> {
        let number = min..=max;
        prop_oneof![
            Just("*".to_owned()),
            number.clone().prop_map(|n| n.to_string()),
            (number.clone(), number.clone()).prop_map(|(a, b)| format!(
                "{}-{}",
                a.min(b),
                a.max(b)
            )),
            (1..=max).prop_map(|n| format!("*/{n}")),
            (number.clone(), number).prop_map(|(a, b)| format!("{a},{b}")),
        ]
    }

    fn schedule() -> impl Strategy<Value = String> {
        (
            part(0, 59),
            part(0, 23),
            part(1, 31),
            part(1, 12),
            part(0, 6),
        )
            .prop_map(|(m, h, d, n, w)| format!("{m} {h} {d} {n} {w}"))
    }

    proptest! {
        #[test]
        fn reading_never_fails_otherwise_than_with_an_error(text in ".{0,40}") {
            let _ = parse(&text);
        }

        #[test]
        fn last_and_next_enclose_a_time_and_nothing_fires_between(text in schedule(), second in 0_i64..4_000_000_000) {
            let (schedule, now) = (fields(&text), Timestamp::from_second(second).unwrap());
            if let Some(next) = schedule.next(now) {
                prop_assert!(next > now);
                prop_assert_eq!(schedule.last(next, next), Some(next));
                let before = next - 1.second();
                prop_assert_eq!(schedule.last(before, now), schedule.last(now, now));
            }
            if let Some(last) = schedule.last(now, Timestamp::UNIX_EPOCH) {
                prop_assert!(last <= now);
                prop_assert_eq!(schedule.next(last), schedule.next(now));
            }
        }
    }
}
