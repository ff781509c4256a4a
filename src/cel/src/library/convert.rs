//! Conversions between types.
//!
//! In: a value. Out: the value of another type that says the same, or a fault where there is none.

use super::{Host, times};
use crate::fault::Fault;
use crate::types::Type;
use crate::value::Value;

type Out<'a> = Result<Value<'a>, Fault>;

fn impossible<'a>(value: &Value<'a>, to: Type) -> Out<'a> {
    Err(Fault::new(format!("type conversion error from '{}' to '{}'", value.kind().name(), to.name())))
}

fn overflow<'a>(unsigned: bool) -> Out<'a> {
    Err(Fault::new(if unsigned { "unsigned integer overflow" } else { "integer overflow" }))
}

pub(crate) fn to_type<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [value] => Ok(Value::Type(value.kind())),
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn to_dyn<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    args.first().cloned().ok_or_else(Fault::no_overload)
}

pub(crate) fn to_bool<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Bool(is)] => Ok(Value::Bool(*is)),
        [value @ Value::Text(text)] => match &**text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            _ => impossible(value, Type::Bool),
        },
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn to_bytes<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Bytes(bytes)] => Ok(Value::Bytes(bytes.clone())),
        [Value::Text(text)] => Ok(Value::Bytes(text.as_bytes().into())),
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn to_double<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Double(number)] => Ok(Value::Double(*number)),
        [Value::Int(number)] => Ok(Value::Double(*number as f64)),
        [Value::Uint(number)] => Ok(Value::Double(*number as f64)),
        [value @ Value::Text(text)] => match text.parse() {
            Ok(number) => Ok(Value::Double(number)),
            Err(_) => impossible(value, Type::Double),
        },
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn to_int<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Int(number)] => Ok(Value::Int(*number)),
        [Value::Uint(number)] => i64::try_from(*number).map_or_else(|_| overflow(false), |n| Ok(Value::Int(n))),
        // Bounds that are exact as doubles.
        [Value::Double(number)] if *number > -9.223_372_036_854_775e18 && *number < 9.223_372_036_854_775e18 => {
            Ok(Value::Int(*number as i64))
        }
        [Value::Double(_)] => overflow(false),
        [Value::Duration(nanos)] => Ok(Value::Int(*nanos)),
        [Value::Time(time)] => Ok(Value::Int(time.seconds())),
        [value @ Value::Text(text)] => match text.parse() {
            Ok(number) => Ok(Value::Int(number)),
            Err(_) => impossible(value, Type::Int),
        },
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn to_uint<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Uint(number)] => Ok(Value::Uint(*number)),
        [Value::Int(number)] => u64::try_from(*number).map_or_else(|_| overflow(true), |n| Ok(Value::Uint(n))),
        [Value::Double(number)] if *number >= 0.0 && *number < 1.844_674_407_370_955e19 => {
            Ok(Value::Uint(*number as u64))
        }
        [Value::Double(_)] => overflow(true),
        [value @ Value::Text(text)] => match text.parse() {
            Ok(number) => Ok(Value::Uint(number)),
            Err(_) => impossible(value, Type::Uint),
        },
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn to_duration<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Duration(nanos)] | [Value::Int(nanos)] => Ok(Value::Duration(*nanos)),
        [value @ Value::Text(text)] => match times::parse_duration(text) {
            Some(nanos) => Ok(Value::Duration(nanos)),
            None => impossible(value, Type::Duration),
        },
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn to_time<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Time(time)] => Ok(Value::Time(*time)),
        [Value::Int(seconds)] => match times::Time::at(*seconds) {
            Some(time) => Ok(Value::Time(time)),
            None => Err(Fault::new("timestamp overflow")),
        },
        [value @ Value::Text(text)] => match times::Time::parse(text) {
            Some(time) => Ok(Value::Time(time)),
            None => impossible(value, Type::Time),
        },
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn to_text<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    Ok(Value::text(match args {
        [Value::Text(text)] => return Ok(Value::Text(text.clone())),
        [Value::Bool(is)] => is.to_string(),
        [Value::Bytes(bytes)] => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => return Err(Fault::new("invalid UTF-8 in bytes, cannot convert to string")),
        },
        [Value::Double(number)] => double(*number),
        [Value::Duration(nanos)] => times::duration_text(*nanos),
        [Value::Int(number)] => number.to_string(),
        [Value::Uint(number)] => number.to_string(),
        [Value::Time(time)] => time.to_string(),
        [Value::Ip(ip)] => ip.to_string(),
        [Value::Cidr(ip, bits)] => format!("{ip}/{bits}"),
        _ => return Err(Fault::no_overload()),
    }))
}

/// A double as Go writes it with `%g`.
pub(crate) fn double(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let exact = format!("{number:e}");
    let (digits, exponent) = exact.split_once('e').unwrap_or((&exact, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..21).contains(&exponent) {
        return number.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}
