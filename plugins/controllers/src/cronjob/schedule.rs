//! Schedules in the form of cron, as CronJobs have them.
//!
//! In: five fields, a word such as `@daily`, or `@every 1h30m`; a time and a zone. Out: the next time. Pure. In the hour
//! that a zone skips nothing is due; in the one that it has twice, what is due each hour is due twice.

/// A schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Bits for each value that fits.
    Fields(Fields),
    /// Every so many seconds.
    Every(i64),
}

/// What fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Neither of both days is restricted, or only one: then both must fit, else one is enough.
    both_days: bool,
}

/// The difference of local time from UTC in seconds at a time in seconds since 1970.
pub type Zone<'a> = &'a dyn Fn(i64) -> i64;

/// A schedule that has no time within so many seconds has none: February the 30th.
const HORIZON: i64 = 5 * 366 * 86_400;
const DAY: i64 = 86_400;

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Schedule {
    /// Reads a schedule.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(span) = text.strip_prefix("@every ") {
            let seconds = seconds(span).ok_or_else(|| format!("failed to parse duration {text}"))?;
            return Ok(Self::Every(seconds.max(1)));
        }
        let fields = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            word if word.starts_with('@') => return Err(format!("unrecognized descriptor: {word}")),
            fields => fields,
        };
        let parts: Vec<&str> = fields.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = parts.as_slice() else {
            return Err(format!("expected exactly 5 fields, found {}: {parts:?}", parts.len()));
        };
        let (days, every_day) = field(days, 1, 31, &[])?;
        let (weekdays, every_weekday) = field(weekdays, 0, 6, &WEEKDAYS)?;
        Ok(Self::Fields(Fields {
            minutes: field(minutes, 0, 59, &[])?.0,
            hours: field(hours, 0, 23, &[])?.0,
            days,
            months: field(months, 1, 12, &MONTHS)?.0,
            weekdays,
            both_days: every_day || every_weekday,
        }))
    }

    /// The first time after `after`; both in seconds since 1970.
    pub fn next(&self, after: i64, zone: Zone<'_>) -> Option<i64> {
        let fields = match self {
            Self::Every(seconds) => return Some(after + seconds),
            Self::Fields(fields) => fields,
        };
        let mut at = (after.div_euclid(60) + 1) * 60;
        let end = after + HORIZON;
        while at < end {
            let local = at + zone(at);
            let (of_day, days) = (local.rem_euclid(DAY), local.div_euclid(DAY));
            let (month, day, left) = civil(days);
            if fields.months >> month & 1 == 0 {
                at += left * DAY - of_day;
            } else if !fields.fits_day(day, (days + 4).rem_euclid(7)) {
                at += DAY - of_day;
            } else if fields.hours >> (of_day / 3600) & 1 == 0 {
                at += 3600 - of_day % 3600;
            } else if fields.minutes >> (of_day / 60 % 60) & 1 == 0 {
                at += 60;
            } else {
                return Some(at);
            }
        }
        None
    }
}

impl Fields {
    fn fits_day(&self, day: i64, weekday: i64) -> bool {
        let (by_day, by_weekday) = (self.days >> day & 1 != 0, self.weekdays >> weekday & 1 != 0);
        if self.both_days { by_day && by_weekday } else { by_day || by_weekday }
    }
}

/// Month, day, and the days from this one to the end of the month, of days since 1970.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    (month, day, length - day + 1)
}

/// One field: bits, and whether it says "every".
fn field(text: &str, least: u64, most: u64, names: &[&str]) -> Result<(u64, bool), String> {
    let (mut bits, mut every) = (0, false);
    for part in text.split(',') {
        let (span, step) = part.split_once('/').map_or((part, None), |(span, step)| (span, Some(step)));
        let number = |text: &str| {
            let named = names.iter().position(|name| name.eq_ignore_ascii_case(text)).map(|at| at as u64 + least);
            named.or_else(|| text.parse().ok()).ok_or_else(|| format!("failed to parse int from {text}"))
        };
        let (first, last) = match span {
            "*" | "?" => (least, most),
            _ => match span.split_once('-') {
                Some((first, last)) => (number(first)?, number(last)?),
                // From there on, if in steps.
                None => (number(span)?, if step.is_some() { most } else { number(span)? }),
            },
        };
        let step = step.map_or(Ok(1), number)?;
        if step == 0 {
            return Err(format!("step of range should be a positive number: {part}"));
        }
        if first < least {
            return Err(format!("beginning of range ({first}) below minimum ({least}): {part}"));
        }
        if last > most {
            return Err(format!("end of range ({last}) above maximum ({most}): {part}"));
        }
        if first > last {
            return Err(format!("beginning of range ({first}) beyond end of range ({last}): {part}"));
        }
        every |= matches!(span, "*" | "?") && step == 1;
        bits |= (first..=last).step_by(usize::try_from(step).unwrap_or(usize::MAX)).fold(0, |bits, at| bits | 1 << at);
    }
    Ok((bits, every))
}

/// A span such as `1h30m`, in whole seconds.
fn seconds(text: &str) -> Option<i64> {
    let (mut total, mut rest) = (0.0, text.trim());
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        let unit = &rest[end..];
        let length = unit.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(unit.len());
        total += number
            * match &unit[..length] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 0.001,
                "us" | "µs" => 0.000_001,
                "ns" => 0.000_000_001,
                _ => return None,
            };
        rest = &unit[length..];
    }
    Some(total as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{microseconds, rfc3339};

    #[track_caller]
    fn check(schedule: &str, after: &str, expected: &str) {
        let after = microseconds(after).unwrap() / 1_000_000;
        let next = Schedule::parse(schedule).unwrap().next(after, &|_| 0);
        assert_eq!(
            next.map(|at| rfc3339(at * 1_000_000)).as_deref(),
            Some(expected).filter(|t| !t.is_empty()),
            "{schedule}"
        );
    }

    #[test]
    fn the_next_time_fits_every_field() {
        for (schedule, after, expected) in [
            ("* * * * *", "2026-11-29T07:00:30Z", "2026-11-29T07:01:00Z"),
            ("* * * * *", "2026-11-29T07:01:00Z", "2026-11-29T07:02:00Z"),
            ("*/15 * * * ?", "2026-11-29T07:46:00Z", "2026-11-29T08:00:00Z"),
            ("30 6-16/4 * * 1-5", "2026-11-27T14:31:00Z", "2026-11-30T06:30:00Z"),
            ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("0 0 31 2 *", "2026-01-01T00:00:00Z", ""),
            ("0 12 1 JAN *", "2026-01-01T12:00:00Z", "2027-01-01T12:00:00Z"),
            ("0 0 13 * 5", "2026-11-29T00:00:00Z", "2026-12-04T00:00:00Z"),
            ("0 0 13 * *", "2026-11-29T00:00:00Z", "2026-12-13T00:00:00Z"),
            ("5/20 1 * * *", "2026-11-29T01:26:00Z", "2026-11-29T01:45:00Z"),
            ("@daily", "2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("@every 1h30m", "2026-11-29T07:00:01Z", "2026-11-29T08:30:01Z"),
        ] {
            check(schedule, after, expected);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "",
            "* * * *",
            "60 * * * *",
            "* * 0 * *",
            "* * * * 7",
            "*/0 * * * *",
            "5-1 * * * *",
            "a * * * *",
            "@often",
            "@every x",
        ] {
            assert!(Schedule::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn zones_move_the_clock() {
        // Berlin: an hour is skipped on 2026-03-29 at 01:00 UTC, and comes twice on 2026-10-25 at 01:00 UTC.
        let changes = ["2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z"].map(|t| microseconds(t).unwrap() / 1_000_000);
        let berlin = |at: i64| if at >= changes[0] && at < changes[1] { 7200 } else { 3600 };
        let next = |schedule: &str, after: &str| {
            let after = microseconds(after).unwrap() / 1_000_000;
            rfc3339(Schedule::parse(schedule).unwrap().next(after, &berlin).unwrap() * 1_000_000)
        };
        assert_eq!(next("30 2 * * *", "2026-03-28T02:00:00Z"), "2026-03-30T00:30:00Z");
        assert_eq!(next("0 9 * * *", "2026-06-01T08:00:00Z"), "2026-06-02T07:00:00Z");
        assert_eq!(next("0 * * * *", "2026-10-25T00:00:00Z"), "2026-10-25T01:00:00Z");
        assert_eq!(next("0 0 * * *", "2026-10-25T00:00:00Z"), "2026-10-25T23:00:00Z");
    }
}
