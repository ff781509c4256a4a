//! Times and durations in Kubernetes' texts.
//!
//! In: a given time or text. Out: RFC 3339 with seconds or microseconds, Go's durations, ages as people read them.
//! Never asks for the time.

mod duration;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use duration::{GoDuration, human, human_short};

const DAY: i64 = 86_400;
/// 9999-12-31T23:59:59Z: later times have no RFC 3339 text.
const LAST: i64 = 253_402_300_799;

/// Seconds since 1970 and nanoseconds within the second.
fn parts(time: SystemTime) -> (i64, u32) {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos()),
        Err(before) => {
            let before = before.duration();
            let seconds = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
            match before.subsec_nanos() {
                0 => (-seconds, 0),
                nanos => (-seconds - 1, 1_000_000_000 - nanos),
            }
        }
    }
}

/// Days since 1970 of a civil date.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The civil date of days since 1970.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn seconds_text(seconds: i64) -> String {
    let seconds = seconds.clamp(-62_135_596_800, LAST);
    let (year, month, day) = civil(seconds.div_euclid(DAY));
    let rest = seconds.rem_euclid(DAY);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

/// `2026-11-21T07:00:00Z`, as `metav1.Time` is written.
pub fn rfc3339(time: SystemTime) -> String {
    format!("{}Z", seconds_text(parts(time).0))
}

/// `2026-11-21T07:00:00.123456Z`, as `metav1.MicroTime` is written.
pub fn micro(time: SystemTime) -> String {
    let (seconds, nanos) = parts(time);
    format!("{}.{:06}Z", seconds_text(seconds), nanos / 1000)
}

/// With nine digits, as container logs have it.
pub fn nano(time: SystemTime) -> String {
    let (seconds, nanos) = parts(time);
    format!("{}.{nanos:09}Z", seconds_text(seconds))
}

/// Reads RFC 3339 with any fraction and offset.
pub fn parse(text: &str) -> Option<SystemTime> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let part = text.get(range)?;
        part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok()).flatten()
    };
    let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    let bytes = text.as_bytes();
    if separators.iter().any(|(i, b)| bytes.get(*i) != Some(b)) || !matches!(bytes.get(10), Some(b'T' | b't')) {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    if !(1..=12).contains(&month)
        || hour > 23
        || minute > 59
        || second > 60
        || !(1..=days_in(year, month)).contains(&day)
    {
        return None;
    }
    let mut rest = text.get(19..)?;
    let mut nanos = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let end = fraction.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(fraction.len());
        if end == 0 {
            return None;
        }
        let digits = &fraction[..end.min(9)];
        nanos = digits.parse::<u32>().ok()? * 10u32.pow(9 - digits.len() as u32);
        rest = &fraction[end..];
    }
    let offset = match rest.as_bytes() {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] if [h1, h2, m1, m2].iter().all(|b| b.is_ascii_digit()) => {
            let two = |a: &u8, b: &u8| i64::from(a - b'0') * 10 + i64::from(b - b'0');
            let seconds = two(h1, h2) * 3600 + two(m1, m2) * 60;
            if *sign == b'+' { seconds } else { -seconds }
        }
        _ => return None,
    };
    let seconds = days(year, month, day) * DAY + hour * 3600 + minute * 60 + second - offset;
    let whole = match u64::try_from(seconds) {
        Ok(after) => UNIX_EPOCH.checked_add(Duration::from_secs(after)),
        Err(_) => UNIX_EPOCH.checked_sub(Duration::from_secs(seconds.unsigned_abs())),
    };
    whole?.checked_add(Duration::from_nanos(nanos.into()))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Whole seconds from `text` to `now`, negative for the future; `None` when `text` is no time.
pub fn seconds_since(now: SystemTime, text: &str) -> Option<i64> {
    let then = parse(text)?;
    let (a, b) = (parts(now), parts(then));
    let nanos = (i128::from(a.0) - i128::from(b.0)) * 1_000_000_000 + i128::from(a.1) - i128::from(b.1);
    i64::try_from(nanos / 1_000_000_000).ok()
}

/// The age of `text` at `now` as `kubectl get` shows it: `3m20s`; `<unknown>` when there is no time.
pub fn age(now: SystemTime, text: &str) -> String {
    seconds_since(now, text).map_or_else(|| "<unknown>".to_string(), human)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64, nanos: u32) -> SystemTime {
        UNIX_EPOCH + Duration::new(seconds.unsigned_abs(), nanos)
    }

    #[track_caller]
    fn check(text: &str, written: Option<&str>) {
        assert_eq!(parse(text).map(nano).as_deref(), written, "{text}");
    }

    #[test]
    fn texts_of_times() {
        assert_eq!(rfc3339(at(0, 0)), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(at(1_795_244_400, 999)), "2026-11-21T07:00:00Z");
        assert_eq!(micro(at(951_782_400, 123_456_789)), "2000-02-29T00:00:00.123456Z");
        check("2026-11-21T07:00:00Z", Some("2026-11-21T07:00:00.000000000Z"));
        check("2026-11-21T07:00:00.5+02:30", Some("2026-11-21T04:30:00.500000000Z"));
        check("1969-12-31T23:59:59.25Z", Some("1969-12-31T23:59:59.250000000Z"));
        check("2026-02-29T00:00:00Z", None);
        check("2026-11-21 07:00:00Z", None);
        check("2026-11-21T07:00:00", None);
        check("2026-11-21T07:00:00.Z", None);
        check("", None);
    }

    #[test]
    fn ages() {
        let now = at(1_000_000, 0);
        assert_eq!(age(now, &rfc3339(at(999_995, 0))), "5s");
        assert_eq!(age(now, "x"), "<unknown>");
        assert_eq!(age(now, &rfc3339(at(1_000_100, 0))), "<invalid>");
    }

    proptest! {
        #[test]
        fn round_trip(seconds in 0i64..250_000_000_000, nanos in 0u32..1_000_000_000) {
            let time = at(seconds, nanos);
            prop_assert_eq!(parse(&nano(time)), Some(time));
        }

        #[test]
        fn any_text_is_survived(text in ".*", near in "[0-9TZ:.+-]{0,30}") {
            let _ = (parse(&text), parse(&near));
        }
    }
}
