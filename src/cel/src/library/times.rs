//! Times and durations.
//!
//! In: texts as RFC 3339 and Go write them, zones as UTC, offsets or names. Out: points in time from year 1 to 9999,
//! parts of dates. What names of zones mean is asked of whoever said that they know; else they are unknown.

use std::fmt;
use std::sync::OnceLock;

use super::Host;
use crate::fault::Fault;
use crate::value::Value;

type Out<'a> = Result<Value<'a>, Fault>;

const NANOS: i128 = 1_000_000_000;
/// From the year 1 to the end of 9999, as CEL has it.
const FIRST: i64 = -62_135_596_800;
const LAST: i64 = 253_402_300_799;

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    seconds: i64,
    nanos: u32,
}

/// A date and time of day in a zone.
struct Civil {
    year: i64,
    month: i64,
    day: i64,
    second: i64,
    days: i64,
}

impl Time {
    /// So many seconds after 1970.
    pub fn at(seconds: i64) -> Option<Time> {
        (FIRST..=LAST).contains(&seconds).then_some(Time { seconds, nanos: 0 })
    }

    /// Whether it is the first there is, which says nothing.
    pub fn is_zero(self) -> bool {
        self.seconds == FIRST && self.nanos == 0
    }

    /// Seconds after 1970.
    pub fn seconds(self) -> i64 {
        self.seconds
    }

    /// Nanoseconds after 1970.
    pub fn nanos(self) -> i128 {
        i128::from(self.seconds) * NANOS + i128::from(self.nanos)
    }

    /// Later by so many nanoseconds.
    pub fn add(self, nanos: i128) -> Option<Time> {
        let sum = self.nanos() + nanos;
        let time = Time::at(i64::try_from(sum.div_euclid(NANOS)).ok()?)?;
        Some(Time { nanos: sum.rem_euclid(NANOS) as u32, ..time })
    }

    /// Reads RFC 3339.
    pub fn parse(text: &str) -> Option<Time> {
        let bytes = text.as_bytes();
        let number = |from: usize, to: usize| -> Option<i64> {
            let digits = bytes.get(from..to)?;
            digits.iter().all(u8::is_ascii_digit).then(|| digits.iter().fold(0, |n, b| n * 10 + i64::from(b - b'0')))
        };
        let is = |at: usize, wanted: &[u8]| bytes.get(at).is_some_and(|b| wanted.contains(b));
        if !(is(4, b"-") && is(7, b"-") && is(10, b"Tt") && is(13, b":") && is(16, b":")) {
            return None;
        }
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        if !(1..=12).contains(&month)
            || day < 1
            || day > days_in(year, month)
            || hour > 23
            || minute > 59
            || second > 59
        {
            return None;
        }
        let mut at = 19;
        let mut nanos = 0;
        if is(at, b".,") {
            let digits = bytes[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
            if digits == 0 {
                return None;
            }
            for place in 0..9 {
                let digit = if place < digits { bytes[at + 1 + place] - b'0' } else { 0 };
                nanos = nanos * 10 + u32::from(digit);
            }
            at += 1 + digits;
        }
        let offset = match bytes.get(at)? {
            b'Z' | b'z' if bytes.len() == at + 1 => 0,
            sign @ (b'+' | b'-') if bytes.len() == at + 6 && is(at + 3, b":") => {
                let (hours, minutes) = (number(at + 1, at + 3)?, number(at + 4, at + 6)?);
                if hours > 23 || minutes > 59 {
                    return None;
                }
                (hours * 3600 + minutes * 60) * if *sign == b'+' { 1 } else { -1 }
            }
            _ => return None,
        };
        let seconds = days_before(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
        Time::at(seconds).map(|time| Time { nanos, ..time })
    }

    fn civil(self, offset: i64) -> Civil {
        let local = self.seconds + offset;
        let (days, second) = (local.div_euclid(86400), local.rem_euclid(86400));
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let months = (5 * of_year + 2) / 153;
        let day = of_year - (153 * months + 2) / 5 + 1;
        let month = if months < 10 { months + 3 } else { months - 9 };
        Civil { year: year_of_era + era * 400 + i64::from(month <= 2), month, day, second, days }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { year, month, day, second, .. } = self.civil(0);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if self.nanos > 0 {
            let digits = format!("{:09}", self.nanos);
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970 to a date.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Reads a duration as Go writes it: `1h30m`, `-1.5s`, `0`. In nanoseconds.
pub fn parse_duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut sum: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && part.is_empty()) || part.contains('.') || whole.len() > 20 {
            return None;
        }
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let unit: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => NANOS,
            "m" => 60 * NANOS,
            "h" => 3600 * NANOS,
            _ => return None,
        };
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        sum = sum.checked_add(whole.checked_mul(unit)?)?;
        // Finer digits than a nanosecond of an hour has say nothing.
        let kept = &part[..part.len().min(15)];
        if !kept.is_empty() {
            sum += kept.parse::<i128>().ok()? * unit / 10i128.pow(kept.len() as u32);
        }
        rest = after;
    }
    i64::try_from(sum * sign).ok()
}

/// A duration as CEL writes it: in seconds.
pub(crate) fn duration_text(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let (whole, part) = (nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000);
    if part == 0 {
        return format!("{sign}{whole}s");
    }
    let digits = format!("{part:09}");
    format!("{sign}{whole}.{}s", digits.trim_end_matches('0'))
}

/// Says how many seconds a named zone is ahead of UTC at a time in seconds since 1970.
pub type Zones = fn(&str, i64) -> Option<i32>;

static ZONES: OnceLock<Zones> = OnceLock::new();

/// Has named time zones looked up there, from now on: this crate reads no files. The first one counts.
pub fn look_up_zones(zones: Zones) {
    let _ = ZONES.set(zones);
}

/// The offset of a zone in seconds, at a time.
fn zone(name: &str, at: &Time) -> Result<i64, Fault> {
    let unknown = || Fault::new(format!("unknown time zone {name}"));
    if matches!(name, "" | "UTC" | "Z" | "GMT" | "Etc/UTC") {
        return Ok(0);
    }
    let (sign, digits) = match name.as_bytes().first() {
        Some(b'-') => (-1, &name[1..]),
        Some(b'+') => (1, &name[1..]),
        _ => (1, name),
    };
    let Some((hours, minutes)) = digits.split_once(':') else {
        let offset = ZONES.get().and_then(|zones| zones(name, at.seconds));
        return offset.map(i64::from).ok_or_else(unknown);
    };
    let number = |text: &str, most: i64| text.parse::<i64>().ok().filter(|n| (0..=most).contains(n) && text.len() == 2);
    let (hours, minutes) = (number(hours, 23).ok_or_else(unknown)?, number(minutes, 59).ok_or_else(unknown)?);
    Ok(sign * (hours * 3600 + minutes * 60))
}

fn date<'a>(args: &[Value<'a>], part: impl FnOnce(Civil) -> i64) -> Out<'a> {
    let (time, offset) = match args {
        [Value::Time(time)] => (time, 0),
        [Value::Time(time), Value::Text(name)] => (time, zone(name, time)?),
        _ => return Err(Fault::no_overload()),
    };
    Ok(Value::Int(part(time.civil(offset))))
}

pub(crate) fn year<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    date(args, |civil| civil.year)
}

pub(crate) fn month<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    date(args, |civil| civil.month - 1)
}

pub(crate) fn day_of_year<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    date(args, |civil| civil.days - days_before(civil.year, 1, 1))
}

pub(crate) fn day_of_month<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    date(args, |civil| civil.day - 1)
}

pub(crate) fn day_of_month_1_based<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    date(args, |civil| civil.day)
}

pub(crate) fn day_of_week<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    // 1970 began on a Thursday.
    date(args, |civil| (civil.days + 4).rem_euclid(7))
}

/// A part of a time of day, or the whole of a duration in that unit.
fn clock<'a>(args: &[Value<'a>], unit: i64, part: impl FnOnce(i64) -> i64) -> Out<'a> {
    match args {
        [Value::Duration(nanos)] => Ok(Value::Int(nanos / unit)),
        _ => date(args, |civil| part(civil.second)),
    }
}

pub(crate) fn hours<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    clock(args, 3_600_000_000_000, |second| second / 3600)
}

pub(crate) fn minutes<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    clock(args, 60_000_000_000, |second| second / 60 % 60)
}

pub(crate) fn seconds<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    clock(args, 1_000_000_000, |second| second % 60)
}

pub(crate) fn milliseconds<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Duration(nanos)] => Ok(Value::Int(nanos / 1_000_000 % 1000)),
        [Value::Time(time)] | [Value::Time(time), Value::Text(_)] => Ok(Value::Int(i64::from(time.nanos / 1_000_000))),
        _ => Err(Fault::no_overload()),
    }
}
