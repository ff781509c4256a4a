//! Durations: Go's text form, and the forms that people read.
//!
//! In: text, or seconds. Out: [`GoDuration`], or `3m20s`.

use std::fmt;
use std::time::Duration;

/// A signed duration in nanoseconds, written as Go writes it: `1h0m0s`, `1.5s`, `0s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(pub i64);

const UNITS: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", 1000),
    ("\u{b5}s", 1000),
    ("\u{3bc}s", 1000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

impl GoDuration {
    /// Reads `1h30m`, `-1.5s`, `0`; `None` when it is no duration or too long for 64 bits of nanoseconds.
    pub fn parse(text: &str) -> Option<GoDuration> {
        let (negative, mut rest) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        if rest == "0" {
            return Some(GoDuration(0));
        }
        if rest.is_empty() {
            return None;
        }
        let mut total: i128 = 0;
        while !rest.is_empty() {
            let end = rest.bytes().position(|b| !b.is_ascii_digit() && b != b'.').unwrap_or(rest.len());
            let (number, tail) = rest.split_at(end);
            let end = tail.bytes().position(|b| b.is_ascii_digit() || b == b'.').unwrap_or(tail.len());
            let (unit, after) = tail.split_at(end);
            let unit = i128::from(UNITS.iter().find(|(name, _)| *name == unit)?.1);
            let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
            if whole.is_empty() && fraction.is_empty() {
                return None;
            }
            let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
            total = total.checked_add(whole.checked_mul(unit)?)?;
            // 18 digits are finer than a nanosecond of any unit.
            let digits = &fraction[..fraction.len().min(18)];
            if fraction.contains('.') {
                return None;
            }
            if !digits.is_empty() {
                let part = digits.parse::<i128>().ok()? * unit / 10i128.pow(digits.len() as u32);
                total = total.checked_add(part)?;
            }
            rest = after;
        }
        i64::try_from(if negative { -total } else { total }).ok().map(GoDuration)
    }

    /// As a `Duration`; `None` when negative.
    pub fn positive(self) -> Option<Duration> {
        u64::try_from(self.0).ok().map(Duration::from_nanos)
    }
}

/// The longest there is, where it does not fit.
impl From<Duration> for GoDuration {
    fn from(duration: Duration) -> Self {
        GoDuration(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        let decimal = |value: u64, unit: u64| {
            let (whole, rest) = (value / unit, value % unit);
            let width = unit.ilog10() as usize;
            let fraction = format!("{rest:0width$}");
            match fraction.trim_end_matches('0') {
                "" => whole.to_string(),
                digits => format!("{whole}.{digits}"),
            }
        };
        match nanos {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{sign}{nanos}ns"),
            1_000..1_000_000 => write!(f, "{sign}{}\u{b5}s", decimal(nanos, 1_000)),
            1_000_000..1_000_000_000 => write!(f, "{sign}{}ms", decimal(nanos, 1_000_000)),
            _ => {
                let minutes = nanos / 60_000_000_000;
                let seconds = decimal(nanos % 60_000_000_000, 1_000_000_000);
                match (minutes / 60, minutes % 60) {
                    (0, 0) => write!(f, "{sign}{seconds}s"),
                    (0, minutes) => write!(f, "{sign}{minutes}m{seconds}s"),
                    (hours, minutes) => write!(f, "{sign}{hours}h{minutes}m{seconds}s"),
                }
            }
        }
    }
}

/// Two or three significant parts: `45s`, `3m20s`, `2d3h`, `1y40d`.
pub fn human(seconds: i64) -> String {
    let pair = |big: i64, unit: &str, small: i64, sub: &str| match small {
        0 => format!("{big}{unit}"),
        small => format!("{big}{unit}{small}{sub}"),
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let days = hours / 24;
    match seconds {
        ..-1 => "<invalid>".to_string(),
        -1 => "0s".to_string(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => pair(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => pair(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 192 => pair(days, "d", hours % 24, "h"),
        _ if hours < 24 * 365 * 2 => format!("{days}d"),
        _ if hours < 24 * 365 * 8 => pair(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

/// One part: `3m`, `2d`.
pub fn human_short(seconds: i64) -> String {
    match seconds {
        ..-1 => "<invalid>".to_string(),
        -1 => "0s".to_string(),
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        86_400..31_536_000 => format!("{}d", seconds / 86_400),
        _ => format!("{}y", seconds / 31_536_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, written: Option<&str>) {
        assert_eq!(GoDuration::parse(text).map(|d| d.to_string()).as_deref(), written, "{text}");
    }

    #[test]
    fn go_texts() {
        check("0", Some("0s"));
        check("1h30m", Some("1h30m0s"));
        check("1.5s", Some("1.5s"));
        check("90s", Some("1m30s"));
        check("-2m", Some("-2m0s"));
        check("1500ms", Some("1.5s"));
        check("2us", Some("2\u{b5}s"));
        check(".5h", Some("30m0s"));
        for bad in ["", "-", "1", "s", "1x", "1..5s", ".s", "1h x", "9999999999h"] {
            check(bad, None);
        }
    }

    #[track_caller]
    fn reads(seconds: i64, text: &str) {
        assert_eq!(human(seconds), text);
    }

    #[test]
    fn people_read_two_parts() {
        reads(-5, "<invalid>");
        reads(-1, "0s");
        reads(119, "119s");
        reads(120, "2m");
        reads(200, "3m20s");
        reads(600, "10m");
        reads(179 * 60, "179m");
        reads(3 * 3600, "3h");
        reads(3 * 3600 + 120, "3h2m");
        reads(47 * 3600, "47h");
        reads(51 * 3600, "2d3h");
        reads(8 * 86_400, "8d");
        reads(365 * 2 * 86_400, "2y");
        reads((365 * 2 + 3) * 86_400, "2y3d");
        reads(365 * 8 * 86_400, "8y");
        assert_eq!((human_short(200).as_str(), human_short(86_400 * 400).as_str()), ("3m", "1y"));
    }

    /// Whole and fraction each fit; together they do not.
    #[test]
    fn what_is_too_long_is_refused() {
        assert_eq!(GoDuration::parse("170141183460469231731687303715884105.999us"), None);
        assert_eq!(GoDuration::parse("9223372036854775808ns"), None);
    }

    proptest! {
        #[test]
        fn texts_read_back(nanos in any::<i64>()) {
            let duration = GoDuration(nanos.max(i64::MIN + 1));
            prop_assert_eq!(GoDuration::parse(&duration.to_string()), Some(duration));
        }

        #[test]
        fn any_text_is_survived(text in ".*") {
            let _ = GoDuration::parse(&text);
        }
    }
}
