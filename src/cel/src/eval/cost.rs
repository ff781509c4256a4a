//! What calls cost when they run, as cel-go and Kubernetes count.
//!
//! In: a function, its arguments, its result. Out: the cost. The estimate in `estimate.rs` must never be below it.

use crate::value::{List, Value};

/// A list that is written down.
pub(super) const LIST: u64 = 10;
/// A map that is written down.
pub(super) const MAP: u64 = 30;
/// An object that is written down.
pub(super) const STRUCT: u64 = 40;

/// One character or item of what is walked over.
pub(crate) const WALK: f64 = 0.1;
/// One character of a pattern.
pub(crate) const PATTERN: f64 = 0.25;

fn walk(value: &Value<'_>) -> u64 {
    share(value.size(), WALK)
}

fn share(size: u64, factor: f64) -> u64 {
    (size as f64 * factor).ceil() as u64
}

/// What is known before the call.
pub(super) fn before(name: &str, args: &[Value<'_>]) -> u64 {
    let first = args.first();
    let second = args.get(1);
    let walked = first.map_or(1, walk);
    match (name, first, second) {
        ("check", ..) => 350_000,
        ("fieldSelector" | "labelSelector", _, Some(text)) => selector(text.size()),
        ("isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf", Some(of), _) => traversal(of),
        (
            "url"
            | "lowerAscii"
            | "upperAscii"
            | "substring"
            | "trim"
            | "jsonpatch.escapeKey"
            | "cidr"
            | "isIP"
            | "isCIDR"
            | "strings.quote"
            | "quantity"
            | "isQuantity"
            | "semver"
            | "isSemver"
            | "startsWith"
            | "endsWith"
            | "format",
            ..,
        ) => walked,
        ("bytes", Some(Value::Text(_)), _) | ("string", Some(Value::Bytes(_)), _) => walked,
        ("ip", Some(Value::Text(_)), _) => walked,
        ("replace" | "split" | "ip.isCanonical", Some(of), _) => share(of.size(), 2.0 * WALK),
        ("matches" | "find" | "findAll", Some(text), Some(pattern)) => {
            share(text.size() + 1, WALK).saturating_mul(share(pattern.size(), PATTERN))
        }
        ("contains", Some(text), Some(part)) => walk(text).saturating_mul(walk(part)),
        ("containsIP", Some(network), Some(other)) => {
            let parse = if matches!(other, Value::Text(_)) { walk(other) } else { 0 };
            share(network.size() * 2, WALK) + parse
        }
        ("containsCIDR", Some(network), Some(other)) => {
            let parse = if matches!(other, Value::Text(_)) { walk(other) } else { 0 };
            share(network.size() * 2, WALK) + walk(network) + 1 + parse
        }
        ("validate", Some(Value::Format(format)), Some(text)) => {
            share(text.size() + 1, WALK).saturating_mul(share(format.size, PATTERN))
        }
        ("@in", _, Some(Value::List(list))) => list.len() as u64,
        ("_==_" | "_!=_", Some(a), Some(b)) => match a {
            Value::Quantity(_)
            | Value::Ip(_)
            | Value::Cidr(..)
            | Value::Format(_)
            | Value::Url(_)
            | Value::Semver(_)
            | Value::Access(_) => 1,
            _ => share(a.size().min(b.size()), WALK),
        },
        ("_<_" | "_<=_" | "_>_" | "_>=_", Some(a @ (Value::Text(_) | Value::Bytes(_))), Some(b)) => {
            share(a.size().min(b.size()), WALK)
        }
        ("_+_", Some(a @ (Value::Text(_) | Value::Bytes(_))), Some(b)) => share(a.size() + b.size(), WALK),
        ("sets.contains" | "sets.intersects", Some(a), Some(b)) => 1 + a.size().saturating_mul(b.size()),
        ("sets.equivalent", Some(a), Some(b)) => 1 + a.size().saturating_mul(b.size()).saturating_mul(2),
        ("flatten", Some(of), depth) => {
            let depth = if let Some(Value::Int(depth)) = depth { (*depth).max(0) as u64 } else { 1 };
            of.size().saturating_mul(depth) + 1 + LIST
        }
        ("distinct" | "sort", Some(Value::List(list)), _) => compared(list),
        ("@sortByAssociatedKeys", _, Some(Value::List(keys))) => compared(keys),
        // What its result is sized by is told from its argument, before there is a result.
        ("lists.range", Some(Value::Int(count)), _) => (*count).max(0) as u64 + 1 + LIST,
        ("join" | "slice" | "reverse", ..) => 0,
        _ => 1,
    }
}

/// What is known after the call.
pub(super) fn after(name: &str, _args: &[Value<'_>], result: &Value<'_>) -> u64 {
    match name {
        "join" => share(result.size(), 2.0 * WALK),
        "slice" | "reverse" => result.size() + 1 + LIST,
        _ => 0,
    }
}

fn compared(list: &List<'_>) -> u64 {
    let size = list.len() as u64;
    let is_text = matches!(list.get(0), Some(Ok(Value::Text(_) | Value::Bytes(_))));
    let factor = 2.0 + if is_text { WALK } else { 0.0 };
    (size.saturating_mul(size) as f64 * factor) as u64 + 1 + LIST
}

fn selector(length: u64) -> u64 {
    LIST + share(length, WALK) + share(share(length, 0.5), (LIST + STRUCT) as f64)
}

/// Walking over all of a value.
fn traversal(value: &Value<'_>) -> u64 {
    match value {
        Value::Text(text) => (text.len() as f64 * WALK) as u64,
        Value::Bytes(bytes) => (bytes.len() as f64 * WALK) as u64,
        Value::List(list) => list.iter().map(|item| item.map_or(1, |item| traversal(&item))).sum(),
        Value::Map(map) => {
            let each = map.keys().into_iter().map(|key| {
                let value = map.get(&key).map_or(1, |value| value.map_or(1, |value| traversal(&value)));
                traversal(&key) + value
            });
            each.sum()
        }
        _ => 1,
    }
}
