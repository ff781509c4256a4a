//! Inputs of several parts: one line of JSON for each.
//!
//! In: bytes. Out: exactly so many values, or nothing.

use serde_json::{Map, Value};

/// The values of so many lines; `None` where there are fewer or one is no JSON. What follows is not looked at.
pub fn values<const N: usize>(bytes: &[u8]) -> Option<[Value; N]> {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut all = [const { Value::Null }; N];
    for one in &mut all {
        *one = serde_json::from_slice(lines.next()?).ok()?;
    }
    Some(all)
}

/// Objects and arrays inside each other.
pub fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Values in all.
pub fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Object(map) => 1 + map.values().map(count).sum::<usize>(),
        _ => 1,
    }
}

/// Takes out what is null, at any depth of objects: what a merge patch cannot say.
pub fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            *map = std::mem::take(map).into_iter().filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>();
            map.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}
