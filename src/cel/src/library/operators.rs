//! Arithmetic, comparison, membership, size.
//!
//! In: one or two values. Out: a value, or a fault where numbers overflow. Never wraps around.

use std::cmp::Ordering;
use std::sync::Arc;

use super::{Host, few, fits};
use crate::declare::Keep;
use crate::fault::Fault;
use crate::value::{Key, List, Map, Value, identity};

type Out<'a> = Result<Value<'a>, Fault>;

fn overflow(what: &str) -> Fault {
    Fault::new(format!("{what} overflow"))
}

fn int<'a>(number: Option<i64>) -> Out<'a> {
    number.map(Value::Int).ok_or_else(|| overflow("integer"))
}

fn uint<'a>(number: Option<u64>) -> Out<'a> {
    number.map(Value::Uint).ok_or_else(|| overflow("unsigned integer"))
}

fn duration<'a>(nanos: Option<i64>) -> Out<'a> {
    nanos.map(Value::Duration).ok_or_else(|| overflow("duration"))
}

pub(crate) fn not<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Bool(is)] => Ok(Value::Bool(!is)),
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn negate<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Int(number)] => int(number.checked_neg()),
        [Value::Double(number)] => Ok(Value::Double(-number)),
        [Value::Duration(nanos)] => duration(nanos.checked_neg()),
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn equal<'a>(host: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let [a, b] = args else { return Err(Fault::no_overload()) };
    host.equal(a, b).map(Value::Bool)
}

pub(crate) fn not_equal<'a>(host: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let [a, b] = args else { return Err(Fault::no_overload()) };
    host.equal(a, b).map(|equal| Value::Bool(!equal))
}

fn order<'a>(args: &[Value<'a>], is: impl Fn(Ordering) -> bool) -> Out<'a> {
    let [a, b] = args else { return Err(Fault::no_overload()) };
    a.compare(b).map(|order| Value::Bool(is(order)))
}

pub(crate) fn less<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    order(args, Ordering::is_lt)
}

pub(crate) fn less_equals<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    order(args, Ordering::is_le)
}

pub(crate) fn greater<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    order(args, Ordering::is_gt)
}

pub(crate) fn greater_equals<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    order(args, Ordering::is_ge)
}

pub(crate) fn add<'a>(host: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let [a, b] = args else { return Err(Fault::no_overload()) };
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => int(a.checked_add(*b)),
        (Value::Uint(a), Value::Uint(b)) => uint(a.checked_add(*b)),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a + b)),
        (Value::Text(a), Value::Text(b)) => {
            fits(a.len() + b.len())?;
            Ok(Value::text([&**a, &**b].concat()))
        }
        (Value::Bytes(a), Value::Bytes(b)) => {
            fits(a.len() + b.len())?;
            Ok(Value::Bytes([&**a, &**b].concat().into()))
        }
        (Value::Duration(a), Value::Duration(b)) => duration(a.checked_add(*b)),
        (Value::Time(time), Value::Duration(nanos)) | (Value::Duration(nanos), Value::Time(time)) => {
            time.add(i128::from(*nanos)).map(Value::Time).ok_or_else(|| overflow("timestamp"))
        }
        (Value::List(a), Value::List(b)) => join(host, a, b),
        _ => Err(Fault::no_overload()),
    }
}

/// Lists one after the other. A set takes only what it has not; a list of objects told apart by keys takes over those
/// that it has.
fn join<'a>(host: &mut Host<'a, '_>, a: &List<'a>, b: &List<'a>) -> Out<'a> {
    few(a.len() + b.len())?;
    let mut items = a.to_vec()?;
    let keep = match a {
        List::Json(_, Some((_, keep @ (Keep::Set | Keep::Map(_))))) => keep,
        _ => {
            items.extend(b.to_vec()?);
            return Ok(Value::list(items));
        }
    };
    let mut places = std::collections::HashMap::new();
    for (at, item) in items.iter().enumerate() {
        places.insert(identity(&item.to_json()?, keep), at);
    }
    for item in b.iter() {
        let item = item?;
        match places.entry(identity(&item.to_json()?, keep)) {
            std::collections::hash_map::Entry::Occupied(at) => items[*at.get()] = item,
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(items.len());
                items.push(item);
            }
        }
        if host.work.is_over() {
            return Err(Fault::too_costly());
        }
    }
    Ok(Value::list(items))
}

pub(crate) fn subtract<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let [a, b] = args else { return Err(Fault::no_overload()) };
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => int(a.checked_sub(*b)),
        (Value::Uint(a), Value::Uint(b)) => uint(a.checked_sub(*b)),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a - b)),
        (Value::Duration(a), Value::Duration(b)) => duration(a.checked_sub(*b)),
        (Value::Time(a), Value::Duration(b)) => {
            a.add(-i128::from(*b)).map(Value::Time).ok_or_else(|| overflow("timestamp"))
        }
        (Value::Time(a), Value::Time(b)) => duration(i64::try_from(a.nanos() - b.nanos()).ok()),
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn multiply<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Int(a), Value::Int(b)] => int(a.checked_mul(*b)),
        [Value::Uint(a), Value::Uint(b)] => uint(a.checked_mul(*b)),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a * b)),
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn divide<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => Err(Fault::new("division by zero")),
        [Value::Int(a), Value::Int(b)] => int(a.checked_div(*b)),
        [Value::Uint(a), Value::Uint(b)] => uint(a.checked_div(*b)),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a / b)),
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn modulo<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => Err(Fault::new("modulus by zero")),
        [Value::Int(a), Value::Int(b)] => int(a.checked_rem(*b)),
        [Value::Uint(a), Value::Uint(b)] => uint(a.checked_rem(*b)),
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn contained<'a>(host: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [item, Value::List(list)] => contains(host, list, item).map(Value::Bool),
        [key, Value::Map(map)] => Ok(Value::Bool(map.get(key).is_some())),
        _ => Err(Fault::no_overload()),
    }
}

pub(super) fn contains<'a>(host: &mut Host<'a, '_>, list: &List<'a>, item: &Value<'a>) -> Result<bool, Fault> {
    for own in list.iter() {
        if host.equal(item, &own?)? {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(crate) fn size<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [value @ (Value::Text(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_))] => {
            int(i64::try_from(value.size()).ok())
        }
        _ => Err(Fault::no_overload()),
    }
}

/// Puts an entry, or the entries of a map, into a map.
pub(crate) fn insert<'a>(map: Value<'a>, more: &[Value<'a>]) -> Out<'a> {
    let Value::Map(map) = map else { return Err(Fault::no_overload()) };
    let mut entries = match map {
        Map::Made(entries) => entries,
        other => Arc::new(other.to_made()?),
    };
    let inner = Arc::make_mut(&mut entries);
    let mut put = |key: Value<'a>, value: Value<'a>| {
        let own = Key::of(&key).ok_or_else(|| Fault::new(format!("unsupported key type: {}", key.kind().name())))?;
        match inner.insert(own, value) {
            None => Ok(()),
            Some(_) => Err(Fault::new(format!("insert failed: key {} already exists", super::format::plain(&key)))),
        }
    };
    match more {
        [key, value] => put(key.clone(), value.clone())?,
        [Value::Map(more)] => {
            for (key, value) in more.to_made()? {
                put(key.value(), value)?;
            }
        }
        _ => return Err(Fault::no_overload()),
    }
    Ok(Value::Map(Map::Made(entries)))
}
