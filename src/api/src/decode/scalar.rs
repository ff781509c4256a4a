//! What words without quotes mean in YAML 1.1, as Kubernetes' reader resolves them.
//!
//! In: a text that the parser, which knows YAML 1.2, has lent out of its source. Out: the truth or the number that it
//! is to Kubernetes: `yes`, `0644`, `1_000`. Times stay texts, and so do numbers of base 60. Never resolves what stands
//! in quotes or in a block, and what a tag calls a text.

use serde_json::{Number, Value};

/// A word that is no text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scalar {
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
}

/// So far before a word its tag may begin: `!!str`, with an anchor of any sensible length beside it.
const TAG: usize = 128;

/// What a word is; `None` is a text. What the parser resolves itself never comes here.
pub(super) fn resolve(source: &[u8], word: &str) -> Option<Scalar> {
    match word.bytes().next()? {
        b'y' | b'Y' | b'n' | b'N' | b'o' | b'O' if is_plain(source, word) => truth(word).map(Scalar::Bool),
        b'0'..=b'9' | b'+' | b'-' if is_plain(source, word) => number(word),
        _ => None,
    }
}

/// Whether a word is the merge key, which has no quotes.
pub(super) fn merges(source: &[u8], word: &str) -> bool {
    word == "<<" && is_plain(source, word)
}

/// The forms that the parser does not know; the others are in both versions.
fn truth(word: &str) -> Option<bool> {
    match word {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// A number as Go reads it once the underscores are gone: a 0 in front makes it octal, `0o`, `0b` and `0x` say the base.
fn number(word: &str) -> Option<Scalar> {
    let bare = word.replace('_', "");
    let digits = bare.strip_prefix(['+', '-']).unwrap_or(&bare);
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = if let Some(digits) = lower.strip_prefix("0x") {
        (16, digits)
    } else if let Some(digits) = lower.strip_prefix("0o") {
        (8, digits)
    } else if let Some(digits) = lower.strip_prefix("0b") {
        (2, digits)
    } else if let Some(digits) = lower.strip_prefix('0').filter(|digits| !digits.is_empty()) {
        (8, digits)
    } else {
        (10, lower.as_str())
    };
    // Signs are taken by Rust as well, and a second one is none.
    if digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        let sign = if bare.starts_with('-') { "-" } else { "" };
        if let Ok(number) = i64::from_str_radix(&format!("{sign}{digits}"), base) {
            return Some(Scalar::Int(number));
        }
        if !bare.starts_with(['+', '-'])
            && let Ok(number) = u64::from_str_radix(digits, base)
        {
            return Some(Scalar::Uint(number));
        }
    }
    // Not `inf`, which Rust takes and YAML writes with a dot.
    let is_float = bare.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    bare.parse().ok().filter(|number: &f64| is_float && number.is_finite()).map(Scalar::Float)
}

/// Whether a word stands in its source without quotes and without a tag. What has escapes or several lines is not lent
/// by the parser, so a quote stands right before a word or it has none.
fn is_plain(source: &[u8], word: &str) -> bool {
    let at = (word.as_ptr() as usize).wrapping_sub(source.as_ptr() as usize);
    let Some(before) = source.get(..at) else { return false };
    match before.last() {
        Some(b'"' | b'\'') => return false,
        // A tag stands apart.
        Some(b' ' | b'\t') => {}
        _ => return true,
    }
    let near = &before[before.len().saturating_sub(TAG)..];
    let line = near.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let words = line.rsplit(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    let begin = |word: &[u8]| word.iter().find(|byte| !matches!(byte, b'[' | b'{' | b',')).copied();
    // A tag and an anchor may come in either order.
    words.map(begin).find(|first| *first != Some(b'&')).flatten() != Some(b'!')
}

/// A float as JSON has it from Kubernetes: without a fraction it is an integer, if one can hold it.
pub(super) fn float(value: f64) -> Option<Value> {
    if value.fract() == 0.0
        && let Ok(number) = value.to_string().parse::<i64>()
    {
        return Some(Value::from(number));
    }
    Number::from_f64(value).map(Value::Number)
}

/// A float as the key of a map: the shortest form of 32 bits that Go writes.
pub(super) fn float_key(value: f64) -> String {
    let value = value as f32;
    if value.is_nan() {
        return ".nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    match scientific.split_once('e').map(|(digits, exponent)| (digits, exponent.parse::<i32>())) {
        Some((digits, Ok(exponent))) if !(-4..6).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => value.to_string(),
    }
}
