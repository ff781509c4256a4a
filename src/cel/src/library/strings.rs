//! Functions of texts.
//!
//! In: texts, counted in characters. Out: texts, numbers, lists of texts.

use super::{Host, few, fits};
use crate::fault::Fault;
use crate::value::Value;

type Out<'a> = Result<Value<'a>, Fault>;

fn out_of_range<'a>(index: i64) -> Out<'a> {
    Err(Fault::new(format!("index out of range: {index}")))
}

/// The byte at which a character begins; `None` beyond the end.
fn byte_at(text: &str, index: i64) -> Option<usize> {
    let index = usize::try_from(index).ok()?;
    text.char_indices().map(|(at, _)| at).chain([text.len()]).nth(index)
}

pub(crate) fn contains<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Text(text), Value::Text(part)] => Ok(Value::Bool(text.contains(&**part))),
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn ends_with<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Text(text), Value::Text(part)] => Ok(Value::Bool(text.ends_with(&**part))),
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn starts_with<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Text(text), Value::Text(part)] => Ok(Value::Bool(text.starts_with(&**part))),
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn char_at<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::Text(text), Value::Int(index)] = args else { return Err(Fault::no_overload()) };
    match byte_at(text, *index) {
        Some(at) => Ok(Value::text(text[at..].chars().next().map_or_else(String::new, String::from))),
        None => out_of_range(*index),
    }
}

/// The place of a part in a text, from `from` on.
pub(super) fn index_of<'a>(text: &str, part: &str, from: i64) -> Out<'a> {
    if part.is_empty() {
        return Ok(Value::Int(from));
    }
    if from < 0 {
        return out_of_range(from);
    }
    let found = byte_at(text, from).and_then(|start| text[start..].find(part).map(|at| start + at));
    Ok(Value::Int(found.map_or(-1, |at| text[..at].chars().count() as i64)))
}

/// The last place of a part in a text that is not after `from`.
pub(super) fn last_index_of<'a>(text: &str, part: &str, from: Option<i64>) -> Out<'a> {
    let length = text.chars().count() as i64;
    if part.is_empty() {
        return Ok(Value::Int(from.unwrap_or(length)));
    }
    match from {
        Some(from) if from < 0 => return out_of_range(from),
        Some(from) if from >= length => return Ok(Value::Int(-1)),
        _ => {}
    }
    // The part may end after the place it begins at.
    let end = from.and_then(|from| byte_at(text, from + part.chars().count() as i64)).unwrap_or(text.len());
    Ok(Value::Int(text[..end].rfind(part).map_or(-1, |at| text[..at].chars().count() as i64)))
}

pub(crate) fn lower_ascii<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Text(text)] => Ok(Value::text(text.to_ascii_lowercase())),
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn upper_ascii<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Text(text)] => Ok(Value::text(text.to_ascii_uppercase())),
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn replace<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let (text, old, new, times) = match args {
        [Value::Text(text), Value::Text(old), Value::Text(new)] => (text, old, new, -1),
        [Value::Text(text), Value::Text(old), Value::Text(new), Value::Int(times)] => (text, old, new, *times),
        _ => return Err(Fault::no_overload()),
    };
    let times = usize::try_from(times).unwrap_or(usize::MAX);
    let count = text.matches(&**old).take(times).count();
    fits(text.len().saturating_add(count.saturating_mul(new.len())))?;
    Ok(Value::text(text.replacen(&**old, new, times)))
}

pub(crate) fn split<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let (text, by, most) = match args {
        [Value::Text(text), Value::Text(by)] => (text, by, -1),
        [Value::Text(text), Value::Text(by), Value::Int(most)] => (text, by, *most),
        _ => return Err(Fault::no_overload()),
    };
    if most == 0 {
        return Ok(Value::list(Vec::new()));
    }
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let parts: Vec<Value<'a>> = if by.is_empty() {
        few(text.len())?;
        let mut rest = &**text;
        let mut parts = Vec::new();
        while let Some(c) = rest.chars().next() {
            let end = if parts.len() + 1 == most { rest.len() } else { c.len_utf8() };
            parts.push(Value::text(&rest[..end]));
            rest = &rest[end..];
        }
        parts
    } else {
        few(text.len() / by.len())?;
        text.splitn(most, &**by).map(Value::text).collect()
    };
    Ok(Value::list(parts))
}

pub(crate) fn substring<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Text(text), Value::Int(start)] => match byte_at(text, *start) {
            Some(at) => Ok(Value::text(&text[at..])),
            None => out_of_range(*start),
        },
        [Value::Text(_), Value::Int(start), Value::Int(end)] if start > end => {
            Err(Fault::new(format!("invalid substring range. start: {start}, end: {end}")))
        }
        [Value::Text(text), Value::Int(start), Value::Int(end)] => match (byte_at(text, *start), byte_at(text, *end)) {
            (Some(from), Some(to)) => Ok(Value::text(&text[from..to])),
            (None, _) => out_of_range(*start),
            _ => out_of_range(*end),
        },
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn trim<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Text(text)] => Ok(Value::text(text.trim())),
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn quote<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::Text(text)] = args else { return Err(Fault::no_overload()) };
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            other => out.push(other),
        }
    }
    out.push('"');
    Ok(Value::text(out))
}

pub(crate) fn join<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let (list, by) = match args {
        [Value::List(list)] => (list, ""),
        [Value::List(list), Value::Text(by)] => (list, &**by),
        _ => return Err(Fault::no_overload()),
    };
    let mut out = String::new();
    for (number, item) in list.iter().enumerate() {
        let item = item?;
        let Value::Text(text) = &item else {
            return Err(Fault::new(format!("join: invalid input: {}", super::format::plain(&item))));
        };
        fits(out.len() + by.len() + text.len())?;
        if number > 0 {
            out.push_str(by);
        }
        out.push_str(text);
    }
    Ok(Value::text(out))
}

/// A key as a JSON pointer writes it.
pub(crate) fn escape_key<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Text(text)] => Ok(Value::text(text.replace('~', "~0").replace('/', "~1"))),
        _ => Err(Fault::no_overload()),
    }
}
