//! The functions of templates.
//!
//! In: a name, values. Out: a value, or why there is none. Only what is of one kind is compared, as in Go.

use std::cmp::Ordering;

use kedge_api::base64;
use serde_json::Value;

use super::run::{Val, go_quoted};

/// Every function.
pub const NAMES: [&str; 20] = [
    "and",
    "base64decode",
    "eq",
    "exists",
    "ge",
    "gt",
    "html",
    "index",
    "js",
    "le",
    "len",
    "lt",
    "ne",
    "not",
    "or",
    "print",
    "printf",
    "println",
    "slice",
    "urlquery",
];

/// Calls one; `and` and `or` are not called, for they look at no more values than they need.
pub fn call<'a>(name: &str, args: &[Val<'a>]) -> Result<Val<'a>, String> {
    let wrong_number = |wanted: usize| format!("wrong number of args for {name}: want {wanted} got {}", args.len());
    match name {
        "not" => match args {
            [one] => Ok(Val::Bool(!one.is_true())),
            _ => Err(wrong_number(1)),
        },
        "len" => match args {
            [one] => len(one),
            _ => Err(wrong_number(1)),
        },
        "base64decode" => match args {
            [Val::Text(text)] => decoded(text),
            [Val::Json(Value::String(text))] => decoded(text),
            [other] => Err(format!("error calling base64decode: {} is no text", other.text())),
            _ => Err(wrong_number(1)),
        },
        "eq" | "ne" | "lt" | "le" | "gt" | "ge" => compare(name, args),
        "index" => {
            let (first, rest) = args.split_first().ok_or_else(|| wrong_number(1))?;
            rest.iter().try_fold(first.clone(), |here, key| index(&here, key))
        }
        "slice" => slice(args),
        "exists" => {
            let (first, rest) = args.split_first().ok_or_else(|| wrong_number(1))?;
            let found = rest.iter().try_fold(first.clone(), |here, key| index(&here, key));
            Ok(Val::Bool(found.is_ok_and(|found| !matches!(found, Val::Nothing | Val::Json(Value::Null)))))
        }
        "print" => Ok(Val::Text(print(args))),
        "html" => Ok(Val::Text(print(args).chars().fold(String::new(), html))),
        "js" => Ok(Val::Text(print(args).chars().fold(String::new(), js))),
        "urlquery" => Ok(Val::Text(print(args).bytes().fold(String::new(), urlquery))),
        "println" => Ok(Val::Text(args.iter().map(Val::inner).collect::<Vec<_>>().join(" ") + "\n")),
        "printf" => match args.split_first() {
            Some((Val::Text(format), rest)) => printf(format, rest).map(Val::Text),
            Some((Val::Json(Value::String(format)), rest)) => printf(format, rest).map(Val::Text),
            Some((other, _)) => Err(format!("printf wants a format, and not {}", other.text())),
            None => Err(wrong_number(1)),
        },
        other => Err(format!("function \"{other}\" not defined")),
    }
}

/// Room stands between two of which neither is a text.
fn print(args: &[Val]) -> String {
    let mut text = String::new();
    for (at, one) in args.iter().enumerate() {
        if at > 0 && !one.is_text() && !args[at - 1].is_text() {
            text.push(' ');
        }
        text.push_str(&one.inner());
    }
    text
}

fn html(mut text: String, c: char) -> String {
    match c {
        '&' => text.push_str("&amp;"),
        '<' => text.push_str("&lt;"),
        '>' => text.push_str("&gt;"),
        '"' => text.push_str("&#34;"),
        '\'' => text.push_str("&#39;"),
        '\0' => text.push('\u{fffd}'),
        c => text.push(c),
    }
    text
}

fn js(mut text: String, c: char) -> String {
    match c {
        '\\' | '\'' | '"' => text.extend(['\\', c]),
        '<' | '>' | '&' | '=' => text.push_str(&format!("\\u{:04X}", u32::from(c))),
        c if c.is_control() => text.push_str(&format!("\\u{:04X}", u32::from(c))),
        c => text.push(c),
    }
    text
}

fn urlquery(mut text: String, byte: u8) -> String {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => text.push(char::from(byte)),
        b' ' => text.push('+'),
        byte => text.push_str(&format!("%{byte:02X}")),
    }
    text
}

fn len<'a>(one: &Val<'a>) -> Result<Val<'a>, String> {
    let count = match one {
        Val::Text(text) => text.len(),
        Val::Json(Value::String(text)) => text.len(),
        Val::Json(Value::Array(all)) => all.len(),
        Val::Items(all) => all.len(),
        Val::Json(Value::Object(map)) => map.len(),
        Val::Nothing | Val::Json(Value::Null) => return Err("error calling len: len of untyped nil".to_owned()),
        other => return Err(format!("error calling len: len of type {}", other.kind())),
    };
    Ok(Val::Int(count as i64))
}

fn decoded<'a>(text: &str) -> Result<Val<'a>, String> {
    let bytes = base64::decode(text).ok_or("error calling base64decode: base64 decode failed: illegal base64 data")?;
    Ok(Val::Text(String::from_utf8_lossy(&bytes).into_owned()))
}

fn index<'a>(of: &Val<'a>, key: &Val<'a>) -> Result<Val<'a>, String> {
    let fail = |why: String| Err(format!("error calling index: {why}"));
    let place = |len: usize| match key.number() {
        Some(at) if at >= 0.0 && at < len as f64 && at.fract() == 0.0 => Ok(at as usize),
        Some(at) => fail(format!("index out of range: {at}")).map(|_: Val| 0),
        None => fail(format!("cannot index slice/array with type {}", key.kind())).map(|_: Val| 0),
    };
    match of {
        Val::Json(Value::Array(all)) => Ok(Val::Json(&all[place(all.len())?])),
        Val::Items(all) => Ok(Val::Json(&all[place(all.len())?])),
        Val::Json(Value::Object(map)) => match key {
            Val::Text(name) => Ok(map.get(name).map_or(Val::Nothing, Val::Json)),
            Val::Json(Value::String(name)) => Ok(map.get(name).map_or(Val::Nothing, Val::Json)),
            other => fail(format!("value has type {}; should be string", other.kind())),
        },
        Val::Nothing | Val::Json(Value::Null) => fail("index of untyped nil".to_owned()),
        other => match other.as_text() {
            Some(text) => Ok(Val::Int(i64::from(text.as_bytes()[place(text.len())?]))),
            None => fail(format!("can't index item of type {}", other.kind())),
        },
    }
}

fn slice<'a>(args: &[Val<'a>]) -> Result<Val<'a>, String> {
    let [of, bounds @ ..] = args else {
        return Err("wrong number of args for slice: want at least 1 got 0".to_owned());
    };
    if bounds.len() > 2 {
        return Err(format!("error calling slice: too many slice indexes: {}", bounds.len()));
    }
    let range = |len: usize| {
        let bound = |at: usize, usual: usize| match bounds.get(at).map(Val::number) {
            None => Ok(usual),
            Some(Some(at)) if at >= 0.0 && at <= len as f64 && at.fract() == 0.0 => Ok(at as usize),
            Some(_) => Err("error calling slice: index out of range".to_owned()),
        };
        let (from, to) = (bound(0, 0)?, bound(1, len)?);
        if from <= to { Ok(from..to) } else { Err(format!("error calling slice: invalid slice index: {from} > {to}")) }
    };
    match of {
        Val::Json(Value::Array(all)) => Ok(Val::Items(&all[range(all.len())?])),
        Val::Items(all) => Ok(Val::Items(&all[range(all.len())?])),
        other => match other.as_text() {
            Some(text) => {
                let bytes = &text.as_bytes()[range(text.len())?];
                Ok(Val::Text(String::from_utf8_lossy(bytes).into_owned()))
            }
            None => Err(format!("error calling slice: can't slice item of type {}", other.kind())),
        },
    }
}

/// `eq` may have several values of which one must be equal.
fn compare<'a>(name: &str, args: &[Val<'a>]) -> Result<Val<'a>, String> {
    let [first, rest @ ..] = args else { return Err(format!("error calling {name}: missing argument for comparison")) };
    if rest.is_empty() {
        return Err(format!("error calling {name}: missing argument for comparison"));
    }
    let fail = |why: &str| format!("error calling {name}: {why}");
    if name == "eq" {
        for other in rest {
            if is_equal(first, other).map_err(|why| fail(&why))? {
                return Ok(Val::Bool(true));
            }
        }
        return Ok(Val::Bool(false));
    }
    let [other] = rest else { return Err(format!("wrong number of args for {name}: want 2 got {}", args.len())) };
    if name == "ne" {
        return Ok(Val::Bool(!is_equal(first, other).map_err(|why| fail(&why))?));
    }
    let order = match (Basic::of(first), Basic::of(other)) {
        (None | Some(Basic::Bool), _) | (_, None | Some(Basic::Bool)) => {
            return Err(fail("invalid type for comparison"));
        }
        (a, b) if a != b => return Err(fail("incompatible types for comparison")),
        (Some(Basic::Text), _) => first.as_text().cmp(&other.as_text()).into(),
        (Some(Basic::Int), _) => first.whole().cmp(&other.whole()).into(),
        _ => first.number().partial_cmp(&other.number()),
    };
    Ok(Val::Bool(match name {
        "lt" => order == Some(Ordering::Less),
        "le" => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        "gt" => order == Some(Ordering::Greater),
        _ => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    }))
}

/// What can be compared.
#[derive(PartialEq)]
enum Basic {
    Bool,
    Int,
    Float,
    Text,
}

impl Basic {
    fn of(value: &Val) -> Option<Basic> {
        match value.kind() {
            "bool" => Some(Basic::Bool),
            "int" | "int64" => Some(Basic::Int),
            "float64" => Some(Basic::Float),
            "string" => Some(Basic::Text),
            _ => None,
        }
    }
}

fn is_equal(a: &Val, b: &Val) -> Result<bool, String> {
    if a.is_nothing() || b.is_nothing() {
        return Ok(a.is_nothing() && b.is_nothing());
    }
    match (Basic::of(a), Basic::of(b)) {
        (Some(Basic::Bool), Some(Basic::Bool)) => Ok(a.truth() == b.truth()),
        (Some(Basic::Int), Some(Basic::Int)) => Ok(a.whole() == b.whole()),
        (Some(Basic::Float), Some(Basic::Float)) => Ok(a.number() == b.number()),
        (Some(Basic::Text), Some(Basic::Text)) => Ok(a.as_text() == b.as_text()),
        (None, None) => {
            let told = |value: &Val| format!("{}: {}", value.kind(), value.inner());
            Err(format!("non-comparable types {}, {}", told(a), told(b)))
        }
        _ => Err("incompatible types for comparison".to_owned()),
    }
}

/// The widest that a word may be made.
const WIDEST: usize = 1000;

fn printf(format: &str, args: &[Val]) -> Result<String, String> {
    let (mut text, mut args, mut chars) = (String::new(), args.iter(), format.chars().peekable());
    while let Some(c) = chars.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        let mut flags = String::new();
        while let Some(flag) = chars.next_if(|c| matches!(c, '-' | '+' | '#' | ' ' | '0')) {
            flags.push(flag);
        }
        let digits = |chars: &mut std::iter::Peekable<std::str::Chars>| {
            let mut digits = String::new();
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            digits.parse::<usize>().ok()
        };
        let width = digits(&mut chars);
        let precision = chars.next_if_eq(&'.').map(|_| digits(&mut chars).unwrap_or(0));
        if width.max(precision).is_some_and(|wide| wide > WIDEST) {
            return Err(format!("error calling printf: wider than {WIDEST}"));
        }
        let Some(verb) = chars.next() else {
            text.push_str("%!(NOVERB)");
            break;
        };
        if verb == '%' {
            text.push('%');
            continue;
        }
        let Some(one) = args.next() else {
            text.push_str(&format!("%!{verb}(MISSING)"));
            continue;
        };
        let shown = shown(verb, &flags, precision, one);
        let gap = " ".repeat(width.unwrap_or(0).saturating_sub(shown.chars().count()));
        if flags.contains('-') {
            text.push_str(&(shown + &gap));
        } else if flags.contains('0') && one.number().is_some() {
            let (sign, digits) = shown.strip_prefix('-').map_or(("", shown.as_str()), |digits| ("-", digits));
            text.push_str(&format!("{sign}{}{digits}", gap.replace(' ', "0")));
        } else {
            text.push_str(&(gap + &shown));
        }
    }
    let rest: Vec<String> = args.map(|one| format!("{}={}", one.kind(), one.inner())).collect();
    if !rest.is_empty() {
        text.push_str(&format!("%!(EXTRA {})", rest.join(", ")));
    }
    Ok(text)
}

fn shown(verb: char, flags: &str, precision: Option<usize>, one: &Val) -> String {
    let wrong = || format!("%!{verb}({}={})", one.kind(), one.inner());
    let cut = |text: String| precision.map_or(text.clone(), |most| text.chars().take(most).collect());
    let whole =
        one.number().filter(|number| number.fract() == 0.0 && number.abs() < 9.0e15).map(|number| number as i64);
    let plus = |text: String| if flags.contains('+') && !text.starts_with('-') { format!("+{text}") } else { text };
    match verb {
        'v' => one.inner(),
        'T' => one.kind().to_owned(),
        's' => one
            .as_text()
            .map_or_else(|| if one.number().is_some() { wrong() } else { one.inner() }, |t| cut(t.to_owned())),
        'q' => one.as_text().map_or_else(wrong, |text| go_quoted(&cut(text.to_owned()))),
        'd' => whole.map_or_else(wrong, |number| plus(number.to_string())),
        'f' | 'F' => one.number().map_or_else(wrong, |number| plus(format!("{number:.*}", precision.unwrap_or(6)))),
        'g' => one.number().map_or_else(wrong, |_| one.inner()),
        't' => one.truth().map_or_else(wrong, |truth| truth.to_string()),
        'x' | 'X' => {
            let text = match (one.as_text(), whole) {
                (Some(text), _) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
                (None, Some(number)) if number < 0 => format!("-{:x}", number.unsigned_abs()),
                (None, Some(number)) => format!("{number:x}"),
                _ => return wrong(),
            };
            if verb == 'X' { text.to_uppercase() } else { text }
        }
        'c' => whole
            .and_then(|code| char::from_u32(u32::try_from(code).ok()?))
            .map_or_else(wrong, |letter| letter.to_string()),
        _ => wrong(),
    }
}
