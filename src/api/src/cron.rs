//! Schedules of CronJobs: five fields, or `@daily` and the like.
//!
//! In: text. Out: a [`Schedule`] that says which minutes are meant. Knows no time zones and no clock.

use crate::clock::GoDuration;

/// Which minutes of time are meant, as bit sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Bits 0 to 59.
    pub minutes: u64,
    /// Bits 0 to 23.
    pub hours: u32,
    /// Bits 1 to 31.
    pub days: u32,
    /// Bits 1 to 12.
    pub months: u16,
    /// Bits 0 (Sunday) to 6.
    pub weekdays: u8,
    /// The day of the month is `*` or `?`: then the weekday alone decides, and the other way round.
    pub any_day: bool,
    /// The weekday is `*` or `?`.
    pub any_weekday: bool,
    /// `@every`: seconds between runs; the other fields mean nothing.
    pub every: Option<u64>,
}

/// Why a text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// Not five fields.
    #[error("expected exactly 5 fields, found {found}: [{fields}]")]
    Fields {
        /// How many there are.
        found: usize,
        /// Which.
        fields: String,
    },
    /// `@` with an unknown word.
    #[error("unrecognized descriptor: {0}")]
    Descriptor(String),
    /// `@every` without a duration.
    #[error("failed to parse duration {0}")]
    Duration(String),
    /// No number and no name.
    #[error("failed to parse int from {0}: strconv.Atoi: parsing \"{0}\": invalid syntax")]
    Number(String),
    /// Too many dashes or slashes.
    #[error("too many {0}: {1}")]
    TooMany(&'static str, String),
    /// Outside what the field can be.
    #[error("{0}")]
    Range(String),
}

/// A field's bounds and the names that it knows.
struct Field {
    low: u64,
    high: u64,
    names: &'static [&'static str],
}

const MINUTE: Field = Field { low: 0, high: 59, names: &[] };
const HOUR: Field = Field { low: 0, high: 23, names: &[] };
const DAY: Field = Field { low: 1, high: 31, names: &[] };
const MONTH: Field = Field {
    low: 1,
    high: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const WEEKDAY: Field = Field { low: 0, high: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

impl Schedule {
    /// Reads a schedule.
    pub fn parse(text: &str) -> Result<Schedule, CronError> {
        let text = text.trim();
        if let Some(word) = text.strip_prefix('@') {
            return descriptor(text, word);
        }
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(CronError::Fields { found: fields.len(), fields: fields.join(" ") });
        };
        let (minutes, hours) = (MINUTE.parse(minute)?.0, HOUR.parse(hour)?.0 as u32);
        let (days, any_day) = DAY.parse(day)?;
        let months = MONTH.parse(month)?.0 as u16;
        let (weekdays, any_weekday) = WEEKDAY.parse(weekday)?;
        Ok(Schedule {
            minutes,
            hours,
            days: days as u32,
            months,
            weekdays: weekdays as u8,
            any_day,
            any_weekday,
            every: None,
        })
    }

    /// A minute given by its parts is meant (weekday 0 is Sunday).
    pub fn matches(&self, minute: u32, hour: u32, day: u32, month: u32, weekday: u32) -> bool {
        let bit = |set: u64, n: u32| n < 64 && set & (1 << n) != 0;
        let (on_day, on_weekday) = (bit(self.days.into(), day), bit(self.weekdays.into(), weekday));
        let fits = if self.any_day || self.any_weekday { on_day && on_weekday } else { on_day || on_weekday };
        fits && bit(self.minutes, minute) && bit(self.hours.into(), hour) && bit(self.months.into(), month)
    }
}

fn descriptor(text: &str, word: &str) -> Result<Schedule, CronError> {
    let plain = match word {
        "yearly" | "annually" => "0 0 1 1 *",
        "monthly" => "0 0 1 * *",
        "weekly" => "0 0 * * 0",
        "daily" | "midnight" => "0 0 * * *",
        "hourly" => "0 * * * *",
        _ => {
            let Some(duration) = word.strip_prefix("every ") else {
                return Err(CronError::Descriptor(text.to_string()));
            };
            let parsed = GoDuration::parse(duration).and_then(GoDuration::positive);
            let seconds = parsed.ok_or_else(|| CronError::Duration(text.to_string()))?.as_secs().max(1);
            return Ok(Schedule { every: Some(seconds), ..Schedule::parse("* * * * *")? });
        }
    };
    Schedule::parse(plain)
}

impl Field {
    /// The bits of a list, and whether it starts with `*` or `?`.
    fn parse(&self, text: &str) -> Result<(u64, bool), CronError> {
        let (mut bits, mut any) = (0, false);
        for part in text.split(',').filter(|p| !p.is_empty()) {
            let (more, star) = self.range(part)?;
            bits |= more;
            any |= star;
        }
        if bits == 0 {
            return Err(CronError::Number(text.to_string()));
        }
        Ok((bits, any))
    }

    /// `*`, `n`, `a-b`, each with `/step`.
    fn range(&self, text: &str) -> Result<(u64, bool), CronError> {
        let (span, step) = match text.split_once('/') {
            Some((_, step)) if step.contains('/') => return Err(CronError::TooMany("slashes", text.to_string())),
            Some((span, step)) => (span, Some(step)),
            None => (text, None),
        };
        let (low, mut high, star) = match span.split_once('-') {
            Some((_, end)) if end.contains('-') => return Err(CronError::TooMany("hyphens", text.to_string())),
            Some((start, end)) => (self.value(start)?, self.value(end)?, false),
            None if matches!(span, "*" | "?") => (self.low, self.high, true),
            None => (self.value(span)?, self.value(span)?, false),
        };
        let step = match step {
            None => 1,
            Some(step) => {
                // `n/step` runs to the end.
                if !span.contains('-') && !star {
                    high = self.high;
                }
                number(step)?
            }
        };
        // With a step the field counts as restricted.
        let any = star && step <= 1;
        let beyond = |what: &str, value: u64, than: &str, bound: u64| {
            Err(CronError::Range(format!("{what} of range ({value}) {than} ({bound}): {text}")))
        };
        if low < self.low {
            return beyond("beginning", low, "below minimum", self.low);
        }
        if high > self.high {
            return beyond("end", high, "above maximum", self.high);
        }
        if low > high {
            return beyond("beginning", low, "beyond end of range", high);
        }
        if step == 0 {
            return Err(CronError::Range(format!("step of range should be a positive number: {text}")));
        }
        let mut bits = 0;
        let mut at = low;
        while at <= high {
            bits |= 1 << at;
            at = at.saturating_add(step);
        }
        Ok((bits, any))
    }

    fn value(&self, text: &str) -> Result<u64, CronError> {
        let lower = text.to_ascii_lowercase();
        match self.names.iter().position(|name| *name == lower) {
            Some(index) => Ok(index as u64 + self.low),
            None => number(text),
        }
    }
}

fn number(text: &str) -> Result<u64, CronError> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().ok_or_else(|| CronError::Number(text.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 10:30 on Wednesday, 15 July.
    #[track_caller]
    fn check(text: &str, expected: bool) {
        assert_eq!(Schedule::parse(text).unwrap().matches(30, 10, 15, 7, 3), expected, "{text}");
    }

    #[test]
    fn fields_restrict() {
        check("* * * * *", true);
        check("*/15 * * * *", true);
        check("*/20 * * * *", false);
        check("30 10 15 jul wed", true);
        check("0-40/10 8-12 * * mon-fri", true);
        check("1,30 * * * *", true);
        check("20/5 * * * *", true);
        check("@hourly", false);
        check("30 10 1 * wed", true);
        check("30 10 1 * *", false);
        check("30 10 * * sun", false);
    }

    #[track_caller]
    fn refuse(text: &str, message: &str) {
        assert_eq!(Schedule::parse(text).unwrap_err().to_string(), message);
    }

    #[test]
    fn nonsense_is_refused() {
        refuse("* * * *", "expected exactly 5 fields, found 4: [* * * *]");
        refuse("60 * * * *", "end of range (60) above maximum (59): 60");
        refuse("* * 0 * *", "beginning of range (0) below minimum (1): 0");
        refuse("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1");
        refuse("*/0 * * * *", "step of range should be a positive number: */0");
        refuse("a * * * *", "failed to parse int from a: strconv.Atoi: parsing \"a\": invalid syntax");
        refuse("@never", "unrecognized descriptor: @never");
        refuse("@every x", "failed to parse duration @every x");
        assert_eq!(Schedule::parse("@every 1h30m").unwrap().every, Some(5400));
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in ".*", near in "[0-9*,/?a-z -]{0,20}") {
            let _ = (Schedule::parse(&text), Schedule::parse(&near));
        }
    }
}
