//! Quantities such as `500m` and `1Gi`.
//!
//! In: texts and numbers. Out: exact amounts to the nano, their order, sum and difference. What is finer is rounded up.

use std::cmp::Ordering;
use std::fmt;

use super::{Host, semvers};
use crate::fault::Fault;
use crate::value::Value;

type Out<'a> = Result<Value<'a>, Fault>;

const NANOS: i128 = 1_000_000_000;

/// Kubernetes keeps what is larger as the largest.
const MOST: i128 = i64::MAX as i128 * NANOS;

/// An amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity {
    nanos: i128,
}

impl Quantity {
    /// Reads one.
    pub fn parse(text: &str) -> Option<Quantity> {
        let (sign, rest) = match text.as_bytes().first()? {
            b'-' => (-1, &text[1..]),
            b'+' => (1, &text[1..]),
            _ => (1, text),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && part.is_empty()) || part.contains('.') {
            return None;
        }
        let (binary, exponent) = scale(suffix)?;
        // Digits beyond what any amount below the largest has are counted, not kept.
        let digits: String = [whole, part].concat().trim_start_matches('0').to_owned();
        let mut point = exponent - i32::try_from(part.len()).ok()?;
        let kept = &digits[..digits.len().min(28)];
        point = point.saturating_add(i32::try_from(digits.len() - kept.len()).ok()?);
        let lost = digits[kept.len()..].bytes().any(|b| b != b'0');
        let mut amount: i128 = if kept.is_empty() { 0 } else { kept.parse().ok()? };
        if amount == 0 {
            return Some(Quantity { nanos: 0 });
        }
        let mut round_up = lost;
        for _ in 0..binary {
            amount = amount.saturating_mul(1024);
        }
        let mut shift = point + 9;
        while shift > 0 && amount < MOST {
            amount = amount.saturating_mul(10);
            shift -= 1;
        }
        while shift < 0 && (amount > 0) {
            round_up |= amount % 10 != 0;
            amount /= 10;
            shift += 1;
        }
        if round_up {
            amount = amount.saturating_add(1);
        }
        Some(Quantity { nanos: sign * amount.min(MOST) })
    }

    fn of(number: i64) -> Quantity {
        Quantity { nanos: i128::from(number) * NANOS }
    }

    fn add(self, other: Quantity) -> Quantity {
        Quantity { nanos: (self.nanos + other.nanos).clamp(-MOST, MOST) }
    }

    fn sub(self, other: Quantity) -> Quantity {
        Quantity { nanos: (self.nanos - other.nanos).clamp(-MOST, MOST) }
    }

    fn integer(self) -> Option<i64> {
        (self.nanos % NANOS == 0).then(|| i64::try_from(self.nanos / NANOS).ok()).flatten()
    }
}

/// Powers of 1024 and of ten that a suffix says.
fn scale(suffix: &str) -> Option<(u32, i32)> {
    Some(match suffix {
        "" => (0, 0),
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        "Ki" => (1, 0),
        "Mi" => (2, 0),
        "Gi" => (3, 0),
        "Ti" => (4, 0),
        "Pi" => (5, 0),
        "Ei" => (6, 0),
        other => {
            let digits = other.strip_prefix(['e', 'E'])?;
            // Further exponents are nothing or the largest anyhow.
            (0, digits.parse::<i32>().ok()?.clamp(-100, 100))
        }
    })
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut amount = self.nanos;
        for suffix in ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"] {
            if amount % 1000 != 0 || suffix == "E" || amount == 0 {
                return write!(f, "{amount}{}", if amount == 0 { "" } else { suffix });
            }
            amount /= 1000;
        }
        Ok(())
    }
}

pub(crate) fn quantity<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::Text(text)] = args else { return Err(Fault::no_overload()) };
    match Quantity::parse(text) {
        Some(quantity) => Ok(Value::Quantity(quantity)),
        None => Err(Fault::new(
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        )),
    }
}

pub(crate) fn is_quantity<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::Text(text)] = args else { return Err(Fault::no_overload()) };
    Ok(Value::Bool(Quantity::parse(text).is_some()))
}

pub(crate) fn sign<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::Quantity(quantity)] = args else { return Err(Fault::no_overload()) };
    Ok(Value::Int(quantity.nanos.signum() as i64))
}

/// Of quantities, and of versions, which share the names.
fn order(args: &[Value<'_>]) -> Result<Ordering, Fault> {
    match args {
        [Value::Quantity(a), Value::Quantity(b)] => Ok(a.cmp(b)),
        [Value::Semver(a), Value::Semver(b)] => Ok(semvers::order(a, b)),
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn is_greater<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    order(args).map(|order| Value::Bool(order.is_gt()))
}

pub(crate) fn is_less<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    order(args).map(|order| Value::Bool(order.is_lt()))
}

pub(crate) fn compare_to<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    order(args).map(|order| Value::Int(order as i64))
}

pub(crate) fn as_float<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::Quantity(quantity)] = args else { return Err(Fault::no_overload()) };
    Ok(Value::Double(quantity.nanos as f64 / NANOS as f64))
}

pub(crate) fn as_integer<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::Quantity(quantity)] = args else { return Err(Fault::no_overload()) };
    quantity.integer().map(Value::Int).ok_or_else(|| Fault::new("cannot convert value to integer"))
}

pub(crate) fn is_integer<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::Quantity(quantity)] = args else { return Err(Fault::no_overload()) };
    Ok(Value::Bool(quantity.integer().is_some()))
}

pub(crate) fn add<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Quantity(a), Value::Quantity(b)] => Ok(Value::Quantity(a.add(*b))),
        [Value::Quantity(a), Value::Int(b)] => Ok(Value::Quantity(a.add(Quantity::of(*b)))),
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn sub<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Quantity(a), Value::Quantity(b)] => Ok(Value::Quantity(a.sub(*b))),
        [Value::Quantity(a), Value::Int(b)] => Ok(Value::Quantity(a.sub(Quantity::of(*b)))),
        _ => Err(Fault::no_overload()),
    }
}
