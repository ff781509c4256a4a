//! Values that may be absent.
//!
//! In: values and optionals. Out: the same. `or` and `orValue` are the interpreter's: they do not evaluate both sides.

use super::Host;
use crate::fault::Fault;
use crate::value::{List, Value};

type Out<'a> = Result<Value<'a>, Fault>;

pub(crate) fn of<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    args.first().cloned().map(Value::some).ok_or_else(Fault::no_overload)
}

pub(crate) fn of_non_zero<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let [value] = args else { return Err(Fault::no_overload()) };
    let is_zero = match value {
        Value::Null | Value::Bool(false) | Value::Int(0) | Value::Uint(0) | Value::Duration(0) => true,
        Value::Double(number) => *number == 0.0,
        Value::Time(time) => time.is_zero(),
        Value::Text(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_) => value.size() == 0,
        Value::Optional(inner) => inner.is_none(),
        _ => false,
    };
    Ok(if is_zero { Value::Optional(None) } else { Value::some(value.clone()) })
}

pub(crate) fn none<'a>(_: &mut Host<'a, '_>, _: &[Value<'a>]) -> Out<'a> {
    Ok(Value::Optional(None))
}

pub(crate) fn value<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Optional(Some(value))] => Ok((**value).clone()),
        [Value::Optional(None)] => Err(Fault::new("optional.none() dereference")),
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn has_value<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Optional(value)] => Ok(Value::Bool(value.is_some())),
        _ => Err(Fault::no_overload()),
    }
}

fn item<'a>(list: &List<'a>, at: Option<usize>) -> Out<'a> {
    at.and_then(|at| list.get(at)).map_or(Ok(Value::Optional(None)), |item| item.map(Value::some))
}

pub(crate) fn first<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::List(list)] => item(list, Some(0)),
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn last<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::List(list)] => item(list, list.len().checked_sub(1)),
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn unwrap<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::List(list)] = args else { return Err(Fault::no_overload()) };
    let mut items = Vec::new();
    for item in list.iter() {
        match item? {
            Value::Optional(Some(value)) => items.push((*value).clone()),
            Value::Optional(None) => {}
            other => return Err(Fault::new(format!("value {} is not optional", super::format::plain(&other)))),
        }
    }
    Ok(Value::list(items))
}
