//! The formats of texts that schemas may name.
//!
//! In: a format's name and a text. Out: whether it fits. Formats that Kubernetes does not know are no formats.

use crate::clock;
use crate::name;
use crate::schema::custom::Form;
use serde_json::Value;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Every format of texts, without dashes.
const TEXTS: [&str; 27] = [
    "bsonobjectid",
    "uri",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "cidr",
    "mac",
    "uuid",
    "uuid3",
    "uuid4",
    "uuid5",
    "isbn",
    "isbn10",
    "isbn13",
    "creditcard",
    "ssn",
    "hexcolor",
    "rgbcolor",
    "byte",
    "password",
    "date",
    "duration",
    "datetime",
    "k8sshortname",
    "k8slongname",
    "",
];

/// Whether values of that type may have the format.
pub fn is_known(form: Form, format: &str) -> bool {
    match form {
        Form::String | Form::Untyped | Form::IntOrString => is_text(format),
        Form::Integer => matches!(format, "int32" | "int64"),
        Form::Number => matches!(format, "float" | "double"),
        Form::Object | Form::Array | Form::Boolean => false,
    }
}

/// Formats that a schema names and nobody knows, in the order in which they stand.
pub fn unknown<'v>(schema: &'v Value, out: &mut Vec<&'v str>) {
    let Some(map) = schema.as_object() else { return };
    let word = |name: &str| map.get(name).and_then(Value::as_str).unwrap_or_default();
    let form = match word("type") {
        "" | "string" => Form::String,
        "integer" => Form::Integer,
        "number" => Form::Number,
        _ => Form::Object,
    };
    if !word("format").is_empty() && !is_known(form, word("format")) {
        out.extend(map.get("format").and_then(Value::as_str));
    }
    for name in ["items", "additionalProperties", "not"] {
        map.get(name).into_iter().for_each(|below| unknown(below, out));
    }
    for name in ["allOf", "anyOf", "oneOf"] {
        map.get(name).and_then(Value::as_array).into_iter().flatten().for_each(|below| unknown(below, out));
    }
    for below in map.get("properties").and_then(Value::as_object).into_iter().flat_map(|map| map.values()) {
        unknown(below, out);
    }
}

/// Whether it is a format of texts.
pub fn is_text(format: &str) -> bool {
    let plain = format.replace('-', "");
    !plain.is_empty() && TEXTS.contains(&plain.as_str())
}

/// Whether the text has the format.
pub fn fits(format: &str, text: &str) -> bool {
    let hex = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match format.replace('-', "").as_str() {
        "bsonobjectid" => text.len() == 24 && hex(text),
        "uri" => uri(text),
        "email" => email(text),
        "hostname" => hostname(text),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.contains(':') && text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => cidr(text),
        "mac" => mac(text),
        "uuid" => uuid(text, None),
        "uuid3" => uuid(text, Some('3')),
        "uuid4" => uuid(text, Some('4')),
        "uuid5" => uuid(text, Some('5')),
        "isbn" => isbn10(text) || isbn13(text),
        "isbn10" => isbn10(text),
        "isbn13" => isbn13(text),
        "creditcard" => credit_card(text),
        "ssn" => ssn(text),
        "hexcolor" => {
            let digits = text.strip_prefix('#').unwrap_or(text);
            matches!(digits.len(), 3 | 6) && hex(digits)
        }
        "rgbcolor" => rgb(text),
        "byte" => base64(text),
        "date" => date(text),
        "duration" => duration(text),
        "datetime" => text.len() >= 20 && clock::parse(&text.to_ascii_uppercase()).is_some(),
        "k8sshortname" => name::check_label(text).is_ok(),
        "k8slongname" => name::check_subdomain(text).is_ok(),
        _ => true,
    }
}

/// What a request line may carry: an absolute URI or an absolute path.
fn uri(text: &str) -> bool {
    if text.is_empty() || text.bytes().any(|byte| byte < 0x21 || byte == 0x7f) {
        return false;
    }
    if text.starts_with('/') || text == "*" {
        return escapes(text);
    }
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let mut letters = scheme.bytes();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
        && escapes(rest)
}

/// Every percent sign begins two hexadecimal digits.
fn escapes(text: &str) -> bool {
    text.split('%').skip(1).all(|part| {
        let digits = part.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

fn email(text: &str) -> bool {
    let address = match (text.rfind('<'), text.strip_suffix('>')) {
        (Some(open), Some(rest)) => &rest[open + 1..],
        _ => text,
    };
    let Some((local, domain)) = address.rsplit_once('@') else { return false };
    let atom = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || !c.is_ascii())
    };
    let is_quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
    (is_quoted || local.split('.').all(atom)) && (domain.starts_with('[') || domain.split('.').all(atom))
}

fn hostname(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part.len() <= 63
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_' || !c.is_ascii())
    };
    !text.is_empty() && text.len() <= 255 && text.split('.').all(part)
}

fn cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    let length: u32 = length.parse().unwrap_or(u32::MAX);
    digits
        && (address.parse::<Ipv4Addr>().is_ok() && length <= 32 || address.parse::<Ipv6Addr>().is_ok() && length <= 128)
}

/// 6, 8 or 20 bytes, in pairs by `:` or `-`, or in fours by `.`.
fn mac(text: &str) -> bool {
    let parts = |by: char, width: usize, counts: [usize; 3]| {
        let parts: Vec<&str> = text.split(by).collect();
        counts.contains(&parts.len())
            && parts.iter().all(|part| part.len() == width && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    parts(':', 2, [6, 8, 20]) || parts('-', 2, [6, 8, 20]) || parts('.', 4, [3, 4, 10])
}

fn uuid(text: &str, version: Option<char>) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    for (group, width) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if group > 0 && bytes.get(at) == Some(&b'-') {
            at += 1;
        }
        let Some(part) = bytes.get(at..at + width) else { return false };
        if !part.iter().all(u8::is_ascii_hexdigit) {
            return false;
        }
        let first = char::from(part[0]).to_ascii_lowercase();
        let fits = match (group, version) {
            (2, Some(version)) => first == version,
            (3, Some('4' | '5')) => matches!(first, '8' | '9' | 'a' | 'b'),
            _ => true,
        };
        if !fits {
            return false;
        }
        at += width;
    }
    at == bytes.len()
}

fn bare(text: &str) -> String {
    text.chars().filter(|c| *c != '-' && *c != ' ').collect()
}

fn isbn10(text: &str) -> bool {
    let text = bare(text);
    let digit = |(at, c): (usize, char)| match c {
        'X' if at == 9 => Some(10),
        c => c.to_digit(10),
    };
    let digits: Option<Vec<u32>> = text.chars().enumerate().map(digit).collect();
    digits.is_some_and(|digits| {
        digits.len() == 10 && (1u32..).zip(&digits).map(|(at, digit)| at * digit).sum::<u32>() % 11 == 0
    })
}

fn isbn13(text: &str) -> bool {
    let digits: Option<Vec<u32>> = bare(text).chars().map(|c| c.to_digit(10)).collect();
    digits.is_some_and(|digits| {
        let sum: u32 = digits.iter().enumerate().map(|(at, digit)| digit * if at % 2 == 0 { 1 } else { 3 }).sum();
        digits.len() == 13 && sum.is_multiple_of(10)
    })
}

fn credit_card(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    let doubled = |(at, digit): (usize, &u32)| match digit * if at % 2 == 1 { 2 } else { 1 } {
        big if big > 9 => big - 9,
        small => small,
    };
    (13..=16).contains(&digits.len()) && digits.iter().rev().enumerate().map(doubled).sum::<u32>() % 10 == 0
}

fn ssn(text: &str) -> bool {
    let (mut rest, mut ok) = (text, true);
    for (index, width) in [3, 2, 4].into_iter().enumerate() {
        if index > 0 {
            rest = rest.strip_prefix(['-', ' ']).unwrap_or(rest);
        }
        let Some((part, after)) = rest.split_at_checked(width) else { return false };
        ok &= part.bytes().all(|byte| byte.is_ascii_digit());
        rest = after;
    }
    ok && rest.is_empty()
}

fn rgb(text: &str) -> bool {
    let Some(inner) = text.strip_prefix("rgb(").and_then(|rest| rest.strip_suffix(')')) else { return false };
    let parts: Vec<&str> = inner.split(',').map(str::trim).collect();
    parts.len() == 3 && parts.iter().all(|part| part.len() <= 3 && part.parse::<u8>().is_ok())
}

fn base64(text: &str) -> bool {
    let bare: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    let digits = bare.iter().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')).count();
    let padding = bare.len() - digits;
    padding <= 2 && bare.len().is_multiple_of(4) && bare[digits..].iter().all(|byte| *byte == b'=')
}

fn date(text: &str) -> bool {
    text.len() == 10 && clock::parse(&format!("{text}T00:00:00Z")).is_some()
}

/// Go's `1h30m`, and words as Scala writes them: `22 ns`, `3 days`.
fn duration(text: &str) -> bool {
    const UNITS: [&str; 8] = ["ns", "us", "µs", "μs", "ms", "s", "m", "h"];
    const WORDS: [&str; 35] = [
        "ns",
        "nano",
        "nanos",
        "nanosecond",
        "nanoseconds",
        "us",
        "µs",
        "μs",
        "micro",
        "micros",
        "microsecond",
        "microseconds",
        "ms",
        "milli",
        "millis",
        "millisecond",
        "milliseconds",
        "s",
        "sec",
        "secs",
        "second",
        "seconds",
        "m",
        "min",
        "mins",
        "minute",
        "minutes",
        "h",
        "hr",
        "hrs",
        "hour",
        "hours",
        "d",
        "day",
        "days",
    ];
    let number = |text: &str| text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    let spaced = {
        let end = number(rest);
        let word = rest[end..].trim();
        end > 0 && (WORDS.contains(&word) || matches!(word, "w" | "wk" | "wks" | "week" | "weeks"))
    };
    let mut parts = 0;
    while !rest.is_empty() {
        let end = number(rest);
        let unit = rest[end..].find(|c: char| c.is_ascii_digit() || c == '.').map_or(rest.len(), |at| end + at);
        if end == 0 || !UNITS.contains(&&rest[end..unit]) {
            return spaced;
        }
        parts += 1;
        rest = &rest[unit..];
    }
    parts > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(format: &str, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(fits(format, text), "{format} {text}");
        }
        for text in bad {
            assert!(!fits(format, text), "{format} {text}");
        }
    }

    #[test]
    fn texts_have_their_format() {
        check("uri", &["http://a/b?c=d", "/a", "mailto:a@b"], &["a b", "", "a", "http://a/%zz"]);
        check("email", &["a@b.c", "A <a@b>"], &["a", "@b", "a@"]);
        check("hostname", &["a.b-c", "x"], &["", "-a", "a..b"]);
        check("ipv4", &["1.2.3.4"], &["1.2.3", "::1"]);
        check("ipv6", &["::1"], &["1.2.3.4", "x"]);
        check("cidr", &["1.2.3.4/8", "::/0"], &["1.2.3.4", "1.2.3.4/33", "1.2.3.4/"]);
        check("mac", &["01:23:45:67:89:ab", "0123.4567.89ab"], &["01:23", "zz:23:45:67:89:ab"]);
        check("uuid", &["0123456789ab-cdef0123-456789abcdef", "6c84fb90-12c4-11e1-840d-7b25c5ee775a"], &["x"]);
        check("uuid4", &["25769c6c-d34d-4bfe-ba98-e0ee856f3e7a"], &["6c84fb90-12c4-11e1-840d-7b25c5ee775a"]);
        check("isbn", &["0321751043", "978-0321751041"], &["0321751044"]);
        check("creditcard", &["4111-1111-1111-1111"], &["4111"]);
        check("ssn", &["111-11-1111"], &["111-11-111"]);
        check("hexcolor", &["#fff", "AABBCC"], &["#ff"]);
        check("rgbcolor", &["rgb(1, 2,255)"], &["rgb(1,2,256)"]);
        check("byte", &["aGk=", ""], &["a", "=aaa"]);
        check("date", &["2026-02-28"], &["2026-02-30", "x"]);
        check("duration", &["1h30m", "22 ns", "3 days", "-1.5s", "0"], &["", "1", "h"]);
        check("date-time", &["2026-02-28T10:00:00Z", "2026-02-28t10:00:00.5+01:00"], &["2026-02-28"]);
        check("k8s-short-name", &["a-b"], &["A", "a.b"]);
        check("password", &["anything"], &[]);
    }

    #[test]
    fn unknown_formats_are_told() {
        let schema = serde_json::json!({"properties": {"a": {"type": "string", "format": "mine"}, "b": {"type": "integer", "format": "int32"},
            "c": {"type": "array", "items": {"type": "boolean", "format": "date"}}}});
        let mut out = Vec::new();
        unknown(&schema, &mut out);
        assert_eq!(out, ["mine", "date"]);
    }

    #[test]
    fn only_known_formats_count() {
        assert!(
            is_known(Form::String, "date-time") && is_known(Form::Integer, "int32") && is_known(Form::Number, "float")
        );
        assert!(!is_known(Form::String, "int32") && !is_known(Form::Boolean, "date") && !is_known(Form::String, "x"));
    }
}
