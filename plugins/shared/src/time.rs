//! Moments as backends write them, in seconds since 1970-01-01 UTC. No clock.

/// The moment of a `Date` header (RFC 9110, the form that servers must send): `Sun, 06 Nov 1994 08:49:37 GMT`.
#[must_use]
pub fn http_date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (_, rest) = text.trim().split_once(", ")?;
    let mut parts = rest.split(' ');
    let day = number(parts.next()?)?;
    let name = parts.next()?;
    let month = MONTHS.iter().position(|m| *m == name)? as u64 + 1;
    let year = number(parts.next()?)?;
    let seconds = clock(parts.next()?)?;
    (parts.next() == Some("GMT")).then_some(())?;
    Some(days(year, month, day)? * 86_400 + seconds)
}

/// The moment of a timestamp (RFC 3339), its fraction cut off: `2014-10-02T15:01:23.045123456Z`.
#[must_use]
pub fn rfc3339(text: &str) -> Option<u64> {
    let (date, time) = text.split_once(['T', 't'])?;
    let mut parts = date.split('-');
    let (year, month, day) = (
        number(parts.next()?)?,
        number(parts.next()?)?,
        number(parts.next()?)?,
    );
    let seconds = days(year, month, day)? * 86_400 + clock(time.get(..8)?)?;
    let zone = time
        .get(8..)?
        .trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let shift = |offset: &str| clock(&format!("{offset}:00"));
    match zone.get(..1)? {
        "Z" | "z" => Some(seconds),
        "+" => seconds.checked_sub(shift(&zone[1..])?),
        "-" => seconds.checked_add(shift(&zone[1..])?),
        _ => None,
    }
}

fn number(text: &str) -> Option<u64> {
    (!text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())?
}

/// Seconds of `08:49:37`.
fn clock(text: &str) -> Option<u64> {
    let mut parts = text.split(':');
    let (h, m, s) = (
        number(parts.next()?)?,
        number(parts.next()?)?,
        number(parts.next()?)?,
    );
    (h < 24 && m < 60 && s <= 60 && parts.next().is_none()).then_some(h * 3600 + m * 60 + s)
}

/// Days since 1970-01-01 of a date of the Gregorian calendar: years are counted from March, so that a leap day is the last.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leaps = year / 4 - year / 100 + year / 400;
    let of_year = (153 * month + 2) / 5 + day - 1;
    // 719_468 days lie between the first of March of the year 0 and 1970-01-01.
    (365 * year + leaps + of_year).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_date_header() {
        assert_eq!(
            http_date("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(784_111_777)
        );
        assert_eq!(http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(
            http_date("Thu, 29 Feb 2024 23:59:59 GMT"),
            Some(1_709_251_199)
        );
        for wrong in [
            "",
            "yesterday",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 25:49:37 GMT",
        ] {
            assert_eq!(http_date(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn reads_timestamps_in_any_zone() {
        assert_eq!(rfc3339("1994-11-06T08:49:37Z"), Some(784_111_777));
        assert_eq!(rfc3339("1994-11-06T08:49:37.999999999Z"), Some(784_111_777));
        assert_eq!(rfc3339("1994-11-06T10:49:37+02:00"), Some(784_111_777));
        assert_eq!(rfc3339("1994-11-06T03:19:37.5-05:30"), Some(784_111_777));
        for wrong in [
            "",
            "1994-11-06",
            "1994-11-06T08:49:37",
            "1994-13-06T08:49:37Z",
            "é",
        ] {
            assert_eq!(rfc3339(wrong), None, "{wrong}");
        }
    }
}
