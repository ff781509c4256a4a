//! Semantic versions.
//!
//! In: texts. Out: versions, their parts and their order. Build metadata does not order.

use std::cmp::Ordering;
use std::sync::Arc;

use super::Host;
use crate::fault::Fault;
use crate::value::Value;

type Out<'a> = Result<Value<'a>, Fault>;

/// A version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Semver {
    numbers: [u64; 3],
    pre: Vec<Part>,
}

/// One part of a pre-release; numbers come before words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u64),
    Word(String),
}

impl Semver {
    /// Reads it; every part must be there.
    pub fn parse(text: &str) -> Result<Semver, String> {
        if text.is_empty() {
            return Err("Version string empty".to_owned());
        }
        let mut parts = text.splitn(3, '.');
        let (Some(major), Some(minor), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
            return Err("No Major.Minor.Patch elements found".to_owned());
        };
        let (rest, build) = match rest.split_once('+') {
            Some((rest, build)) => (rest, Some(build)),
            None => (rest, None),
        };
        let (patch, pre) = match rest.split_once('-') {
            Some((patch, pre)) => (patch, Some(pre)),
            None => (rest, None),
        };
        let number = |text: &str, which: &str| {
            if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
                return Err(format!("Invalid character(s) found in {which} number {text:?}"));
            }
            if text.len() > 1 && text.starts_with('0') {
                return Err(format!("{which} number must not contain leading zeroes {text:?}"));
            }
            text.parse::<u64>().map_err(|_| format!("Invalid {which} number {text:?}"))
        };
        let numbers = [number(major, "major")?, number(minor, "minor")?, number(patch, "patch")?];
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let mut list = Vec::new();
        for word in pre.into_iter().flat_map(|pre| pre.split('.')) {
            if !is_word(word) {
                return Err(format!("Invalid character(s) found in prerelease {word:?}"));
            }
            list.push(if word.bytes().all(|b| b.is_ascii_digit()) {
                Part::Number(number(word, "Numeric PreRelease version")?)
            } else {
                Part::Word(word.to_owned())
            });
        }
        if let Some(word) = build.into_iter().flat_map(|build| build.split('.')).find(|word| !is_word(word)) {
            return Err(format!("Invalid character(s) found in build meta data {word:?}"));
        }
        Ok(Semver { numbers, pre: list })
    }

    /// Reads it without its `v`, with missing parts as 0 and without leading zeros.
    fn parse_loosely(text: &str) -> Result<Semver, String> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let mut parts: Vec<String> = text.splitn(3, '.').map(str::to_owned).collect();
        for part in &mut parts {
            if part.len() > 1 {
                let trimmed = part.trim_start_matches('0');
                let digit = trimmed.starts_with(|c: char| c.is_ascii_digit());
                *part = if digit { trimmed.to_owned() } else { format!("0{trimmed}") };
            }
        }
        if parts.len() < 3 {
            if parts.last().is_some_and(|last| last.contains(['+', '-'])) {
                return Err("Short version cannot contain PreRelease/Build meta data".to_owned());
            }
            parts.resize(3, "0".to_owned());
        }
        Semver::parse(&parts.join("."))
    }

    /// Which is earlier.
    pub fn compare(&self, other: &Semver) -> Ordering {
        order(self, other)
    }
}

pub(super) fn order(a: &Semver, b: &Semver) -> Ordering {
    a.numbers.cmp(&b.numbers).then_with(|| match (a.pre.is_empty(), b.pre.is_empty()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => a.pre.cmp(&b.pre),
    })
}

fn read(args: &[Value<'_>]) -> Result<Result<Semver, String>, Fault> {
    match args {
        [Value::Text(text)] | [Value::Text(text), Value::Bool(false)] => Ok(Semver::parse(text)),
        [Value::Text(text), Value::Bool(true)] => Ok(Semver::parse_loosely(text)),
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn semver<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    read(args)?.map(|version| Value::Semver(Arc::new(version))).map_err(Fault::new)
}

pub(crate) fn is_semver<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    read(args).map(|version| Value::Bool(version.is_ok()))
}

fn number<'a>(args: &[Value<'a>], which: usize) -> Out<'a> {
    let [Value::Semver(version)] = args else { return Err(Fault::no_overload()) };
    Ok(Value::Int(i64::try_from(version.numbers[which]).unwrap_or(i64::MAX)))
}

pub(crate) fn major<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    number(args, 0)
}

pub(crate) fn minor<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    number(args, 1)
}

pub(crate) fn patch<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    number(args, 2)
}
