//! Equality and order.
//!
//! In: two values. Out: whether they are equal, or which is less. Numbers of different types compare by what they say.

use std::cmp::Ordering;
use std::collections::HashMap;

use serde_json::Value as Json;

use super::{List, Map, Value};
use crate::declare::Keep;
use crate::fault::Fault;

/// How much comparing an evaluation may still do, in values. Costs count containers as one, so this is counted apart:
/// 20 million comparisons are about half a second on a small device.
#[derive(Debug)]
pub struct Work(u32);

impl Default for Work {
    fn default() -> Self {
        Work(20_000_000)
    }
}

impl Work {
    /// Whether nothing is left. What was compared last was not compared to its end.
    pub fn is_over(&self) -> bool {
        self.0 == 0
    }

    fn spend(&mut self, much: usize) -> bool {
        self.0 = self.0.saturating_sub(u32::try_from(much).unwrap_or(u32::MAX));
        self.0 > 0
    }
}

impl<'a> Value<'a> {
    /// Whether they are equal. Values of different types are not, and nothing is once `work` is over.
    pub fn equals(&self, other: &Value<'a>, work: &mut Work) -> bool {
        if !work.spend(1) {
            return false;
        }
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Text(a), Value::Text(b)) => a.len() == b.len() && work.spend(a.len() / 64) && **a == **b,
            (Value::Bytes(a), Value::Bytes(b)) => a == b,
            (Value::Duration(a), Value::Duration(b)) => a == b,
            (Value::Time(a), Value::Time(b)) => a == b,
            (Value::List(a), Value::List(b)) => lists(a, b, work),
            (Value::Map(a), Value::Map(b)) => maps(a, b, work),
            (Value::Struct(a), Value::Struct(b)) => {
                a.name == b.name
                    && a.fields.len() == b.fields.len()
                    && a.fields.iter().zip(&b.fields).all(|((k, v), (l, w))| k == l && v.equals(w, work))
            }
            (Value::Optional(a), Value::Optional(b)) => match (a, b) {
                (Some(a), Some(b)) => a.equals(b, work),
                (a, b) => a.is_none() && b.is_none(),
            },
            (Value::Type(a), Value::Type(b)) => a.name() == b.name(),
            (Value::Ip(a), Value::Ip(b)) => a == b,
            (Value::Cidr(a, m), Value::Cidr(b, n)) => a == b && m == n,
            (Value::Url(a), Value::Url(b)) => a.text == b.text,
            (Value::Quantity(a), Value::Quantity(b)) => a == b,
            (Value::Semver(a), Value::Semver(b)) => a.compare(b) == Ordering::Equal,
            (Value::Format(a), Value::Format(b)) => a.name == b.name,
            _ => matches!(numbers(self, other), Some(Some(Ordering::Equal))),
        }
    }

    /// Which is less.
    pub(crate) fn compare(&self, other: &Value<'a>) -> Result<Ordering, Fault> {
        Ok(match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Value::Text(a), Value::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
            (Value::Duration(a), Value::Duration(b)) => a.cmp(b),
            (Value::Time(a), Value::Time(b)) => a.cmp(b),
            _ => match numbers(self, other) {
                Some(Some(order)) => order,
                Some(None) => return Err(Fault::new("NaN values cannot be ordered")),
                None => return Err(Fault::no_overload()),
            },
        })
    }
}

/// The order of two numbers, which is none if one is not a number; `None` if they are something else.
fn numbers(a: &Value<'_>, b: &Value<'_>) -> Option<Option<Ordering>> {
    let whole = |value: &Value<'_>| match value {
        Value::Int(number) => Some(i128::from(*number)),
        Value::Uint(number) => Some(i128::from(*number)),
        _ => None,
    };
    Some(match (a, b) {
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Double(a), b) => fraction(*a, whole(b)?),
        (a, Value::Double(b)) => fraction(*b, whole(a)?).map(Ordering::reverse),
        (a, b) => Some(whole(a)?.cmp(&whole(b)?)),
    })
}

fn fraction(a: f64, b: i128) -> Option<Ordering> {
    if a.is_nan() {
        return None;
    }
    // Whole numbers are below 2^65, so a double beyond that is more; the rest converts exactly.
    if a.abs() > 1e30 {
        return Some(if a > 0.0 { Ordering::Greater } else { Ordering::Less });
    }
    Some((a.floor() as i128).cmp(&b).then(if a.fract() == 0.0 { Ordering::Equal } else { Ordering::Greater }))
}

fn lists<'a>(a: &List<'a>, b: &List<'a>, work: &mut Work) -> bool {
    if a.len() != b.len() {
        return false;
    }
    // Sets are equal in any order; so are lists of objects told apart by keys.
    if let List::Json(items, Some((of, keep @ (Keep::Set | Keep::Map(_))))) = a
        && let List::Json(others, _) = b
    {
        let others: HashMap<String, &'a Json> = others.iter().map(|other| (identity(other, keep), other)).collect();
        return items.iter().all(|item| {
            let Some(other) = others.get(&identity(item, keep)) else { return false };
            match (Value::of(item, Some(of)), Value::of(other, Some(of))) {
                (Ok(item), Ok(other)) => item.equals(&other, work),
                _ => false,
            }
        });
    }
    a.iter().zip(b.iter()).all(|pair| match pair {
        (Ok(a), Ok(b)) => a.equals(&b, work),
        _ => false,
    })
}

/// What tells an item of a set or of a list of objects from others.
pub(crate) fn identity(item: &Json, keep: &Keep) -> String {
    match keep {
        Keep::Map(keys) => {
            keys.iter().map(|key| item.get(&**key).map_or_else(String::new, Json::to_string) + "\n").collect()
        }
        _ => item.to_string(),
    }
}

fn maps<'a>(a: &Map<'a>, b: &Map<'a>, work: &mut Work) -> bool {
    a.len() == b.len()
        && a.keys().iter().all(|key| match (a.get(key), b.get(key)) {
            (Some(Ok(a)), Some(Ok(b))) => a.equals(&b, work),
            // What the declaration does not show is compared as it is.
            (None, None) => match (a, b, key.as_text()) {
                (Map::Json(a, _), Map::Json(b, _), Some(key)) => a.get(key) == b.get(key),
                _ => false,
            },
            _ => false,
        })
}
