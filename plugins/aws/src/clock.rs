//! Moments as SigV4 writes them. Seconds since 1970-01-01 UTC; no clock.

use postern_sdk::Entropy;

/// Seconds of a day.
const DAY: u64 = 86_400;

/// How long after the end of its day a signature is still accepted: AWS allows for clocks that differ by five minutes.
pub const GRACE: u64 = 300;

/// The host's time.
#[must_use]
pub fn now(host: &dyn Entropy) -> u64 {
    host.now_ns() / 1_000_000_000
}

/// A time that is off by so many seconds.
#[must_use]
pub fn shifted(seconds: u64, skew: i64) -> u64 {
    seconds.saturating_add_signed(skew)
}

/// The date of a moment: `YYYYMMDD`.
#[must_use]
pub fn date(seconds: u64) -> String {
    let (year, month, day) = civil(seconds / DAY);
    format!("{year:04}{month:02}{day:02}")
}

/// The moment as `YYYYMMDDTHHMMSSZ`.
#[must_use]
pub fn stamp(seconds: u64) -> String {
    let of_day = seconds % DAY;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{}T{hour:02}{minute:02}{second:02}Z", date(seconds))
}

/// A moment within a day, as near to `seconds` as that day has one; `start` is any moment of the day.
#[must_use]
pub fn clamped(seconds: u64, start: u64) -> u64 {
    let first = start / DAY * DAY;
    seconds.clamp(first, first + DAY - 1)
}

/// The end of the day of a moment.
#[must_use]
pub fn end_of_day(seconds: u64) -> u64 {
    (seconds / DAY + 1) * DAY
}

/// Year, month and day of a day's number. Eras of 400 years are counted from the first of March of the year 0, so that
/// a leap day is the last of its year.
fn civil(day: u64) -> (u64, u64, u64) {
    const ERA: u64 = 146_097;
    let shifted = day + 719_468;
    let of_era = shifted % ERA;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / (ERA - 1)) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = shifted / ERA * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_plugin_shared::time::rfc3339;

    #[test]
    fn writes_every_date_as_it_is_read() {
        // Each day of 130 years, with 2000 (a leap year) and 2100 (none) among them.
        for day in 0..130 * 366 {
            let text = stamp(day * DAY + 3 * 3600 + 25 * 60 + 45);
            let (date, time) = text.split_once('T').unwrap();
            assert_eq!(time, "032545Z");
            let dashed = format!("{}-{}-{}T03:25:45Z", &date[..4], &date[4..6], &date[6..]);
            assert_eq!(rfc3339(&dashed), Some(day * DAY + 12_345), "{text}");
        }
    }

    #[test]
    fn keeps_to_the_day_of_the_key() {
        let noon = rfc3339("2026-11-27T12:00:00Z").unwrap();
        let later = rfc3339("2026-11-28T00:04:00Z").unwrap();
        assert_eq!(stamp(clamped(later, noon)), "20261127T235959Z");
        assert_eq!(stamp(clamped(noon - DAY, noon)), "20261127T000000Z");
        assert_eq!(clamped(noon + 1, noon), noon + 1);
        assert_eq!(end_of_day(noon), rfc3339("2026-11-28T00:00:00Z").unwrap());
    }
}
