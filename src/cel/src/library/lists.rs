//! Functions of lists, and `indexOf`, which texts have too.
//!
//! In: lists. Out: items, numbers, lists. What compares each with each is what its cost says.

use std::cmp::Ordering;

use super::{Host, few, operators, strings};
use crate::fault::Fault;
use crate::value::{List, Value};

type Out<'a> = Result<Value<'a>, Fault>;

pub(crate) fn index_of<'a>(host: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Text(text), Value::Text(part)] => strings::index_of(text, part, 0),
        [Value::Text(text), Value::Text(part), Value::Int(from)] => strings::index_of(text, part, *from),
        [Value::List(list), item] => find(host, list, item, false),
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn last_index_of<'a>(host: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Text(text), Value::Text(part)] => strings::last_index_of(text, part, None),
        [Value::Text(text), Value::Text(part), Value::Int(from)] => strings::last_index_of(text, part, Some(*from)),
        [Value::List(list), item] => find(host, list, item, true),
        _ => Err(Fault::no_overload()),
    }
}

fn find<'a>(host: &mut Host<'a, '_>, list: &List<'a>, item: &Value<'a>, last: bool) -> Out<'a> {
    let count = list.len();
    for number in 0..count {
        let at = if last { count - 1 - number } else { number };
        if let Some(own) = list.get(at)
            && host.equal(&own?, item)?
        {
            return Ok(Value::Int(at as i64));
        }
    }
    Ok(Value::Int(-1))
}

fn only_list<'s, 'a>(args: &'s [Value<'a>]) -> Result<&'s List<'a>, Fault> {
    match args {
        [Value::List(list)] => Ok(list),
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn is_sorted<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let mut before: Option<Value<'a>> = None;
    for item in only_list(args)?.iter() {
        let item = item?;
        if let Some(before) = &before
            && before.compare(&item)? == Ordering::Greater
        {
            return Ok(Value::Bool(false));
        }
        before = Some(item);
    }
    Ok(Value::Bool(true))
}

/// The sum of nothing, by the overload that adds it up.
pub(crate) fn nothing<'a>(overload: Option<&str>) -> Value<'a> {
    match overload {
        Some("list_uint_sum_uint") => Value::Uint(0),
        Some("list_double_sum_double") => Value::Double(0.0),
        Some("list_duration_sum_duration") => Value::Duration(0),
        _ => Value::Int(0),
    }
}

pub(crate) fn sum<'a>(host: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let mut sum: Option<Value<'a>> = None;
    for item in only_list(args)?.iter() {
        let item = item?;
        sum = Some(match sum {
            None => item,
            Some(before) => operators::add(host, &[before, item])?,
        });
    }
    Ok(sum.unwrap_or(Value::Int(0)))
}

fn extreme<'a>(args: &[Value<'a>], prefer: Ordering, name: &str) -> Out<'a> {
    let mut best: Option<Value<'a>> = None;
    for item in only_list(args)?.iter() {
        let item = item?;
        best = match best {
            Some(before) if item.compare(&before)? != prefer => Some(before),
            _ => Some(item),
        };
    }
    best.ok_or_else(|| Fault::new(format!("{name} called on empty list")))
}

pub(crate) fn max<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    extreme(args, Ordering::Greater, "max")
}

pub(crate) fn min<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    extreme(args, Ordering::Less, "min")
}

pub(crate) fn slice<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::List(list), Value::Int(start), Value::Int(end)] = args else { return Err(Fault::no_overload()) };
    let wrong = |why: String| Err(Fault::new(format!("cannot slice({start}, {end}), {why}")));
    match (usize::try_from(*start), usize::try_from(*end)) {
        (Ok(from), Ok(to)) if from > to => wrong("start index must be less than or equal to end index".to_owned()),
        (Ok(_), Ok(to)) if to > list.len() => wrong(format!("list is length {}", list.len())),
        (Ok(from), Ok(to)) => match list {
            List::Json(items, of) => Ok(Value::List(List::Json(&items[from..to], *of))),
            List::Made(items) => Ok(Value::list(items[from..to].to_vec())),
        },
        _ => wrong("negative indexes not supported".to_owned()),
    }
}

pub(crate) fn flatten<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let (list, depth) = match args {
        [Value::List(list)] => (list, 1),
        [Value::List(list), Value::Int(depth)] => (list, *depth),
        _ => return Err(Fault::no_overload()),
    };
    if depth < 0 {
        return Err(Fault::new("level must be non-negative"));
    }
    let mut out = Vec::new();
    flatten_into(list, depth, &mut out)?;
    Ok(Value::list(out))
}

/// Values are nested no deeper than trees and JSON are.
fn flatten_into<'a>(list: &List<'a>, depth: i64, out: &mut Vec<Value<'a>>) -> Result<(), Fault> {
    for item in list.iter() {
        match item? {
            Value::List(inner) if depth > 0 => flatten_into(&inner, depth - 1, out)?,
            other => out.push(other),
        }
        few(out.len())?;
    }
    Ok(())
}

pub(crate) fn sort<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let list = only_list(args)?;
    by_keys(list, list)
}

pub(crate) fn sort_by<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::List(list), Value::List(keys)] => by_keys(list, keys),
        _ => Err(Fault::no_overload()),
    }
}

fn by_keys<'a>(list: &List<'a>, keys: &List<'a>) -> Out<'a> {
    if list.len() != keys.len() {
        return Err(Fault::new(format!(
            "@sortByAssociatedKeys() expected a list of the same size as the associated keys list, but got {} and {} \
             elements respectively",
            list.len(),
            keys.len()
        )));
    }
    let keys = keys.to_vec()?;
    let kind = keys.first().map(Value::kind);
    for key in &keys {
        if Some(key.kind().name()) != kind.as_ref().map(|kind| kind.name()) {
            return Err(Fault::new("list elements must have the same type"));
        }
    }
    if let Some(key) = keys.first()
        && key.compare(key).is_err()
        && !matches!(key, Value::Double(_))
    {
        return Err(Fault::new("list elements must be comparable"));
    }
    let mut pairs: Vec<(Value<'a>, Value<'a>)> = keys.into_iter().zip(list.to_vec()?).collect();
    pairs.sort_by(|(a, _), (b, _)| order(a, b));
    Ok(Value::list(pairs.into_iter().map(|(_, value)| value).collect()))
}

/// A total order, also of what is not a number.
fn order<'a>(a: &Value<'a>, b: &Value<'a>) -> Ordering {
    match (a, b) {
        (Value::Double(a), Value::Double(b)) => a.total_cmp(b),
        (a, b) => a.compare(b).unwrap_or(Ordering::Equal),
    }
}

pub(crate) fn range<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::Int(count)] = args else { return Err(Fault::no_overload()) };
    few(usize::try_from((*count).max(0)).unwrap_or(usize::MAX))?;
    Ok(Value::list((0..*count).map(Value::Int).collect()))
}

pub(crate) fn reverse<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let mut items = only_list(args)?.to_vec()?;
    items.reverse();
    Ok(Value::list(items))
}

pub(crate) fn distinct<'a>(host: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let mut out: Vec<Value<'a>> = Vec::new();
    for item in only_list(args)?.iter() {
        let item = item?;
        let mut seen = false;
        for own in &out {
            if host.equal(&item, own)? {
                seen = true;
                break;
            }
        }
        if !seen {
            out.push(item);
        }
    }
    Ok(Value::list(out))
}

fn two_lists<'s, 'a>(args: &'s [Value<'a>]) -> Result<(&'s List<'a>, &'s List<'a>), Fault> {
    match args {
        [Value::List(a), Value::List(b)] => Ok((a, b)),
        _ => Err(Fault::no_overload()),
    }
}

fn contains_all<'a>(host: &mut Host<'a, '_>, list: &List<'a>, part: &List<'a>) -> Result<bool, Fault> {
    for item in part.iter() {
        if !operators::contains(host, list, &item?)? {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(crate) fn sets_contains<'a>(host: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let (list, part) = two_lists(args)?;
    contains_all(host, list, part).map(Value::Bool)
}

pub(crate) fn sets_equivalent<'a>(host: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let (a, b) = two_lists(args)?;
    Ok(Value::Bool(contains_all(host, a, b)? && contains_all(host, b, a)?))
}

pub(crate) fn sets_intersects<'a>(host: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let (a, b) = two_lists(args)?;
    for item in a.iter() {
        if operators::contains(host, b, &item?)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}
