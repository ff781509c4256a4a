//! `format`: values put into a text.
//!
//! In: a text with clauses such as `%s` and `%.2f`, and a list. Out: the text. Numbers are written as cel-go writes them,
//! for English.

use super::{Host, convert, fits};
use crate::fault::Fault;
use crate::value::{Map, Value};

/// Digits after the point are at most so many; a double has no more that say something.
const MOST_DIGITS: usize = 1000;

/// Where nothing is said.
const DIGITS: usize = 6;

pub(crate) fn format<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Result<Value<'a>, Fault> {
    let [Value::Text(text), Value::List(list)] = args else { return Err(Fault::no_overload()) };
    let (mut out, mut rest, mut next) = (String::new(), &**text, 0);
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let value = list.get(next).ok_or_else(|| Fault::new(format!("index {next} out of range")))??;
        next += 1;
        if rest.is_empty() {
            return Err(Fault::new("unexpected end of string"));
        }
        let (digits, after) = precision(rest)?;
        let clause = after.chars().next().ok_or_else(|| Fault::new("unexpected end of string"))?;
        rest = &after[clause.len_utf8()..];
        write(&mut out, clause, digits, &value)?;
        fits(out.len())?;
    }
    out.push_str(rest);
    Ok(Value::text(out))
}

fn precision(text: &str) -> Result<(Option<usize>, &str), Fault> {
    let Some(after) = text.strip_prefix('.') else { return Ok((None, text)) };
    let parsing = "could not parse formatting clause: error while parsing precision: ";
    let end = after.find(|c: char| !c.is_ascii_digit());
    let end = end.ok_or_else(|| Fault::new(format!("{parsing}could not find end of precision specifier")))?;
    match after[..end].parse::<usize>() {
        Ok(digits) if digits <= MOST_DIGITS => Ok((Some(digits), &after[end..])),
        _ => Err(Fault::new(format!(
            "{parsing}error while converting precision to integer: {:?}: invalid syntax or out of range",
            &after[..end]
        ))),
    }
}

fn write(out: &mut String, clause: char, digits: Option<usize>, value: &Value<'_>) -> Result<(), Fault> {
    let wrong = |which: &str, on: &str| {
        let given = value.kind();
        Err(Fault::new(format!(
            "error during formatting: {which} clause can only be used on {on}, was given {}",
            given.name()
        )))
    };
    let number = match value {
        Value::Double(number) => Some(*number),
        Value::Text(text) => match &**text {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    };
    match (clause, value) {
        ('s', value) => show(out, value, false)?,
        ('d', Value::Int(number)) => out.push_str(&number.to_string()),
        ('d', Value::Uint(number)) => out.push_str(&number.to_string()),
        ('d', _) => return wrong("decimal", "integers"),
        ('f', _) => match number {
            Some(number) => out.push_str(&fixed(number, digits.unwrap_or(DIGITS))),
            None => return wrong("fixed-point", "doubles"),
        },
        ('e', _) => match number {
            Some(number) => out.push_str(&scientific(number, digits.unwrap_or(DIGITS))),
            None => return wrong("scientific", "doubles"),
        },
        ('b', Value::Int(number)) => out.push_str(&signed(*number, |n| format!("{n:b}"))),
        ('b', Value::Uint(number)) => out.push_str(&format!("{number:b}")),
        ('b', Value::Bool(is)) => out.push(if *is { '1' } else { '0' }),
        ('b', _) => return wrong("binary", "integers and bools"),
        ('o', Value::Int(number)) => out.push_str(&signed(*number, |n| format!("{n:o}"))),
        ('o', Value::Uint(number)) => out.push_str(&format!("{number:o}")),
        ('o', _) => return wrong("octal", "integers"),
        ('x' | 'X', value) => {
            let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
            let text = match value {
                Value::Int(number) => signed(*number, |n| format!("{n:x}")),
                Value::Uint(number) => format!("{number:x}"),
                Value::Text(text) => hex(text.as_bytes()),
                Value::Bytes(bytes) => hex(bytes),
                _ => return wrong("hex", "integers, byte buffers, and strings"),
            };
            out.push_str(&if clause == 'X' { text.to_uppercase() } else { text });
        }
        (other, _) => {
            let text = format!("could not parse formatting clause: unrecognized formatting clause \"{other}\"");
            return Err(Fault::new(text));
        }
    }
    Ok(())
}

fn signed(number: i64, write: impl Fn(u64) -> String) -> String {
    format!("{}{}", if number < 0 { "-" } else { "" }, write(number.unsigned_abs()))
}

fn special(number: f64) -> Option<&'static str> {
    match number {
        n if n.is_nan() => Some("NaN"),
        n if n.is_infinite() && n > 0.0 => Some("∞"),
        n if n.is_infinite() => Some("-∞"),
        _ => None,
    }
}

/// With commas between thousands.
fn fixed(number: f64, digits: usize) -> String {
    if let Some(text) = special(number) {
        return text.to_owned();
    }
    let text = format!("{number:.digits$}");
    let (sign, text) = text.strip_prefix('-').map_or(("", &*text), |rest| ("-", rest));
    let (whole, part) = text.split_once('.').map_or((text, None), |(whole, part)| (whole, Some(part)));
    let mut out = sign.to_owned();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(part) = part {
        out.push('.');
        out.push_str(part);
    }
    out
}

/// As `1.5×10⁰³`.
fn scientific(number: f64, digits: usize) -> String {
    if let Some(text) = special(number) {
        return text.to_owned();
    }
    let text = format!("{number:.digits$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(("", exponent), |rest| ("⁻", rest));
    let raised: String = format!("{exponent:0>2}")
        .bytes()
        .map(|digit| ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][usize::from(digit - b'0').min(9)])
        .collect();
    format!("{mantissa}×10{sign}{raised}")
}

/// A value as messages show it.
pub(crate) fn plain(value: &Value<'_>) -> String {
    let mut out = String::new();
    match show(&mut out, value, false) {
        Ok(()) => out,
        Err(_) => value.kind().name().to_owned(),
    }
}

/// Values within lists and maps are quoted.
fn show(out: &mut String, value: &Value<'_>, quoted: bool) -> Result<(), Fault> {
    fits(out.len())?;
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(is) => out.push_str(&is.to_string()),
        Value::Int(number) => out.push_str(&number.to_string()),
        Value::Uint(number) => out.push_str(&number.to_string()),
        Value::Double(number) if quoted => match special(*number) {
            Some(_) => out.push_str(&format!("{:?}", convert::double(*number))),
            None => out.push_str(&format!("{number:.DIGITS$}")),
        },
        Value::Double(number) => out.push_str(&convert::double(*number)),
        Value::Text(text) if quoted => out.push_str(&format!("{:?}", &**text)),
        Value::Text(text) => out.push_str(text),
        Value::Bytes(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            out.push_str(&if quoted { format!("b{text:?}") } else { text.into_owned() });
        }
        Value::Duration(nanos) => {
            let text = super::times::duration_text(*nanos);
            out.push_str(&if quoted { format!("duration({text:?})") } else { text });
        }
        Value::Time(time) => {
            let text = time.to_string();
            out.push_str(&if quoted { format!("timestamp({text:?})") } else { text });
        }
        Value::List(list) => {
            out.push('[');
            for (number, item) in list.iter().enumerate() {
                out.push_str(if number > 0 { ", " } else { "" });
                show(out, &item?, true)?;
            }
            out.push(']');
        }
        Value::Map(map) => show_map(out, map)?,
        Value::Type(of) => out.push_str(of.name()),
        other => {
            return Err(Fault::new(format!(
                "error during formatting: string clause can only be used on strings, bools, bytes, ints, doubles, maps, \
                 lists, types, durations, and timestamps, was given {}",
                other.kind().name()
            )));
        }
    }
    Ok(())
}

fn show_map(out: &mut String, map: &Map<'_>) -> Result<(), Fault> {
    let mut entries = Vec::new();
    for (key, value) in map.to_made()? {
        let mut text = String::new();
        show(&mut text, &key.value(), true)?;
        entries.push((text, value));
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    out.push('{');
    for (number, (key, value)) in entries.iter().enumerate() {
        out.push_str(if number > 0 { ", " } else { "" });
        out.push_str(key);
        out.push(':');
        show(out, value, true)?;
    }
    out.push('}');
    Ok(())
}
