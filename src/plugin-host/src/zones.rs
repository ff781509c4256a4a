//! Time zones, from the device's own database.
//!
//! In: a zone's name and a time; the last few files are kept. Out: how far local time is ahead of UTC. Never trusts the name, which comes from a
//! plugin, nor the file: whatever is not understood is an unknown zone.

use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// Where the database is.
const DATABASE: &str = "/usr/share/zoneinfo";
/// The largest zones have about 4 KiB.
const FILE_MOST: u64 = 256 << 10;
/// The longest names are about 30 bytes.
const NAME_MOST: usize = 64;
const DAY: i64 = 86_400;

/// Seconds that a zone is ahead of UTC at a time in seconds since 1970.
pub fn offset(zone: &str, at: i64) -> Option<i32> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '+');
    let path = Path::new(zone);
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    if zone.is_empty() || zone.len() > NAME_MOST || !zone.chars().all(fits) || !plain {
        return None;
    }
    let path = Path::new(DATABASE).join(path);
    let found = std::fs::metadata(&path).ok()?;
    if found.len() > FILE_MOST {
        return None;
    }
    let changed = found.modified().ok();
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = known().iter().find(|kept| kept.path == path && kept.changed == changed).map(|kept| kept.file.clone());
    if let Some(file) = kept {
        return read(&file, at);
    }
    let file: Arc<[u8]> = std::fs::read(&path).ok()?.into();
    let offset = read(&file, at)?;
    let mut known = known();
    known.retain(|kept| kept.path != path);
    known.truncate(KEPT - 1);
    known.insert(0, Kept { path, changed, file });
    Some(offset)
}

/// Files that are kept: an expression may ask for one zone again and again. At 1 to 4 KiB each.
const KEPT: usize = 4;
static KNOWN: Mutex<Vec<Kept>> = Mutex::new(Vec::new());

struct Kept {
    path: PathBuf,
    changed: Option<SystemTime>,
    file: Arc<[u8]>,
}

/// Of a file of the database in its second form or later (RFC 9636).
fn read(file: &[u8], at: i64) -> Option<i32> {
    let first = Counts::of(file)?;
    if *file.get(4)? < b'2' {
        return None;
    }
    let file = file.get(44 + first.length(4)..)?;
    let counts = Counts::of(file)?;
    let times = file.get(44..)?;
    let which = times.get(8 * counts.times..)?;
    let types = which.get(counts.times..)?;
    let time = |i: usize| Some(i64::from_be_bytes(times.get(8 * i..8 * i + 8)?.try_into().ok()?));
    let of_type = |i: usize| Some(i32::from_be_bytes(types.get(6 * i..6 * i + 4)?.try_into().ok()?));
    let (mut low, mut high) = (0, counts.times);
    while low < high {
        let middle = low.midpoint(high);
        if time(middle)? <= at { low = middle + 1 } else { high = middle }
    }
    if low == counts.times {
        let rule = file.get(44 + counts.length(8)..)?.strip_prefix(b"\n")?;
        let end = rule.iter().position(|byte| *byte == b'\n')?;
        let rule = std::str::from_utf8(&rule[..end]).ok()?;
        if !rule.is_empty() {
            return by_rule(rule, at);
        }
    }
    // Before the first change the first kind of time holds.
    of_type(if low == 0 { 0 } else { usize::from(*which.get(low - 1)?) })
}

struct Counts {
    utc: usize,
    standard: usize,
    leaps: usize,
    times: usize,
    types: usize,
    chars: usize,
}

impl Counts {
    fn of(file: &[u8]) -> Option<Self> {
        let head = file.strip_prefix(b"TZif")?;
        let count = |i: usize| {
            let bytes = head.get(16 + 4 * i..20 + 4 * i)?;
            // A count beyond the largest file is nonsense, and must not overflow what is made of it.
            usize::try_from(u32::from_be_bytes(bytes.try_into().ok()?)).ok().filter(|n| *n as u64 <= FILE_MOST)
        };
        Some(Self {
            utc: count(0)?,
            standard: count(1)?,
            leaps: count(2)?,
            times: count(3)?,
            types: count(4)?,
            chars: count(5)?,
        })
    }

    /// Of the data behind the header, with times of `wide` bytes.
    fn length(&self, wide: usize) -> usize {
        self.times * (wide + 1) + self.types * 6 + self.chars + self.leaps * (wide + 4) + self.standard + self.utc
    }
}

/// By a rule as in `CET-1CEST,M3.5.0,M10.5.0/3`.
fn by_rule(rule: &str, at: i64) -> Option<i32> {
    let mut rest = rule;
    name(&mut rest)?;
    let standard = -span(&mut rest)?;
    if rest.is_empty() {
        return i32::try_from(standard).ok();
    }
    name(&mut rest)?;
    let summer = if rest.starts_with(',') { standard + 3600 } else { -span(&mut rest)? };
    let mut dates = rest.strip_prefix(',')?.split(',');
    let year = year_of(at + standard);
    let begins = date(dates.next()?, year)? - standard;
    let ends = date(dates.next()?, year)? - summer;
    let is_summer = if begins < ends { (begins..ends).contains(&at) } else { !(ends..begins).contains(&at) };
    i32::try_from(if is_summer { summer } else { standard }).ok()
}

fn name(rest: &mut &str) -> Option<()> {
    let end = match rest.strip_prefix('<') {
        Some(inner) => inner.find('>')? + 2,
        None => rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len()),
    };
    *rest = rest.get(end..)?;
    (end >= 3).then_some(())
}

/// `[+-]hh[:mm[:ss]]` in seconds.
fn span(rest: &mut &str) -> Option<i64> {
    let end = rest.find(|c: char| !c.is_ascii_digit() && !matches!(c, '+' | '-' | ':')).unwrap_or(rest.len());
    let (text, left) = rest.split_at(end);
    *rest = left;
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut seconds = 0;
    let mut unit = 3600;
    for part in digits.split(':') {
        // A week of hours at most; unit ends at 0, so a fourth part counts nothing.
        seconds += part.parse::<i64>().ok().filter(|n| (0..=167).contains(n))? * unit;
        unit /= 60;
    }
    Some(sign * seconds)
}

/// The moment of a date of a year, in seconds of local time since 1970.
fn date(text: &str, year: i64) -> Option<i64> {
    let (day, mut time) = text.split_once('/').unwrap_or((text, "2"));
    let new_year = days(year, 1, 1);
    let day = if let Some(month_rule) = day.strip_prefix('M') {
        let mut parts = month_rule.split('.').map(str::parse::<i64>);
        let (month, week, weekday) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
        if !(1..=12).contains(&month) || !(1..=5).contains(&week) || !(0..=6).contains(&weekday) {
            return None;
        }
        let first = days(year, month, 1);
        let length = if month == 12 { 31 } else { days(year, month + 1, 1) - first };
        // 1970-01-01 was a Thursday.
        let mut day = (weekday - (first + 4)).rem_euclid(7) + 7 * (week - 1);
        while day >= length {
            day -= 7;
        }
        first + day
    } else if let Some(julian) = day.strip_prefix('J') {
        let day: i64 = julian.parse().ok().filter(|day| (1..=365).contains(day))?;
        let leap = days(year, 3, 1) - new_year == 60;
        new_year + day - 1 + i64::from(leap && day >= 60)
    } else {
        new_year + day.parse::<i64>().ok().filter(|day| (0..=365).contains(day))?
    };
    Some(day * DAY + span(&mut time)?)
}

/// Days from 1970 to a date.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // March-based years put the leap day last.
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, of_era) = (y.div_euclid(400), y.rem_euclid(400));
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * m + 2) / 5 + day - 1 - 719_468
}

fn year_of(seconds: i64) -> i64 {
    // Far beyond any date that means something, and far below what overflows.
    let day = seconds.div_euclid(DAY).clamp(-1_000_000_000, 1_000_000_000);
    let mut year = 1970 + day.div_euclid(366);
    while days(year + 1, 1, 1) <= day {
        year += 1;
    }
    year
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-03-29T01:00:00Z and 2026-10-25T01:00:00Z.
    const BERLIN: [i64; 2] = [1_774_746_000, 1_792_890_000];

    #[test]
    fn rules_know_summer() {
        let berlin = |at: i64| by_rule("CET-1CEST,M3.5.0,M10.5.0/3", at).unwrap();
        let [begins, ends] = BERLIN;
        assert_eq!([begins - 1, begins, ends - 1, ends].map(berlin), [3600, 7200, 7200, 3600]);
        // The southern summer goes over the new year.
        let sydney = |at: i64| by_rule("AEST-10AEDT,M10.1.0,M4.1.0/3", at).unwrap();
        assert_eq!([begins, BERLIN[1], 1_780_000_000].map(sydney), [39_600, 39_600, 36_000]);
        assert_eq!(by_rule("<-03>3", 0), Some(-10_800));
        assert_eq!(by_rule("IST-5:30", 0), Some(19_800));
        for text in ["", "X", "CET", "CET-1CEST", "CET-1CEST,M13.1.0,M1.1.0", "CET-999", "<"] {
            assert_eq!(by_rule(text, 0), None, "{text}");
        }
    }

    /// A file with one change at time 100 from +1 h to +2 h, and a rule for what comes after.
    fn file(rule: &str) -> Vec<u8> {
        let header = |counts: [u32; 6]| {
            let mut bytes = b"TZif2".to_vec();
            bytes.extend([0; 15]);
            counts.iter().for_each(|count| bytes.extend(count.to_be_bytes()));
            bytes
        };
        let mut bytes = header([0; 6]);
        bytes.extend(header([0, 0, 0, 1, 2, 4]));
        bytes.extend(100i64.to_be_bytes());
        bytes.push(1);
        for offset in [3600i32, 7200] {
            bytes.extend(offset.to_be_bytes());
            bytes.extend([0, 0]);
        }
        bytes.extend(b"ABC\0");
        bytes.extend(format!("\n{rule}\n").bytes());
        bytes
    }

    #[test]
    fn files_are_read_to_their_rule() {
        let plain = file("");
        assert_eq!([99, 100].map(|at| read(&plain, at)), [Some(3600), Some(7200)]);
        assert_eq!([99, 100].map(|at| read(&file("UTC0"), at)), [Some(3600), Some(0)]);
        for cut in 0..plain.len() - 1 {
            let _ = read(&plain[..cut], 100);
        }
        let mut huge = plain;
        huge[76..80].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(read(&huge, 100), None);
    }

    #[test]
    fn names_stay_within_the_database() {
        for name in
            ["", "../../etc/passwd", "/etc/passwd", "Europe/../../../etc/passwd", "a b", &"x".repeat(65), "No/Where"]
        {
            assert_eq!(offset(name, 0), None, "{name}");
        }
        if Path::new(DATABASE).join("Europe/Berlin").exists() {
            assert_eq!(BERLIN.map(|at| offset("Europe/Berlin", at).unwrap()), [7200, 3600]);
        } else {
            eprintln!("SKIPPED: this machine has no {DATABASE}");
        }
    }
}
