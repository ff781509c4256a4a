//! Mutations of lines of JSON that leave them JSON.
//!
//! In: an input of which one line at least is JSON. Out: that line with one of its values changed.

use fastrand::Rng;
use serde_json::{Map, Value};

/// A value with more parts than this is not made larger.
const MOST: usize = 400;

/// Changes one value of one line; false if there is no JSON.
pub fn change(input: &mut Vec<u8>, words: &[String], others: &[Vec<u8>], rng: &mut Rng) -> bool {
    let lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    let at = rng.usize(..lines.len());
    let Ok(mut value) = serde_json::from_slice::<Value>(lines[at]) else { return false };
    let lender = donor(&lines, others, rng);
    let parts = crate::lines::count(&value);
    let mut left = rng.usize(..parts);
    change_at(&mut value, &mut left, &Lent { words, lender: lender.as_ref(), full: parts > MOST }, rng);
    let mut out: Vec<Vec<u8>> = lines.iter().map(|line| line.to_vec()).collect();
    out[at] = value.to_string().into_bytes();
    *input = out.join(&b'\n');
    true
}

/// What a mutation may put in.
struct Lent<'a> {
    words: &'a [String],
    lender: Option<&'a Value>,
    full: bool,
}

/// Some part of another line or input.
fn donor(lines: &[&[u8]], others: &[Vec<u8>], rng: &mut Rng) -> Option<Value> {
    let line = if others.is_empty() || rng.bool() {
        lines[rng.usize(..lines.len())]
    } else {
        let all: Vec<&[u8]> = others[rng.usize(..others.len())].split(|byte| *byte == b'\n').collect();
        all[rng.usize(..all.len())]
    };
    let value: Value = serde_json::from_slice(line).ok()?;
    let mut left = rng.usize(..crate::lines::count(&value));
    nth(&value, &mut left).cloned()
}

fn nth<'v>(value: &'v Value, left: &mut usize) -> Option<&'v Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    match value {
        Value::Array(items) => items.iter().find_map(|item| nth(item, left)),
        Value::Object(map) => map.values().find_map(|item| nth(item, left)),
        _ => None,
    }
}

/// Walks to the value that was chosen; true once it was changed.
fn change_at(value: &mut Value, left: &mut usize, lent: &Lent<'_>, rng: &mut Rng) -> bool {
    if *left == 0 {
        change_here(value, lent, rng);
        return true;
    }
    *left -= 1;
    match value {
        Value::Array(items) => items.iter_mut().any(|item| change_at(item, left, lent, rng)),
        Value::Object(map) => map.values_mut().any(|item| change_at(item, left, lent, rng)),
        _ => false,
    }
}

fn change_here(value: &mut Value, lent: &Lent<'_>, rng: &mut Rng) {
    match (rng.u8(..8), &mut *value) {
        (0, _) => *value = leaf(lent, rng),
        (1, _) => *value = lent.lender.cloned().unwrap_or_default(),
        (2, _) if !lent.full => *value = Value::Array(vec![value.take()]),
        (3..=5, Value::Object(map)) => change_map(map, lent, rng),
        (3..=5, Value::Array(items)) => change_list(items, lent, rng),
        (3..=6, Value::String(text)) => change_text(text, lent, rng),
        (3..=6, Value::Number(number)) => {
            let near = number.as_i64().unwrap_or(0).wrapping_add(rng.i64(-2..=2));
            *value = Value::from(near);
        }
        (6, _) if !lent.full => {
            let key = word(lent, rng);
            *value = Value::Object(Map::from_iter([(key, value.take())]));
        }
        _ => *value = leaf(lent, rng),
    }
}

fn change_map(map: &mut Map<String, Value>, lent: &Lent<'_>, rng: &mut Rng) {
    let some = |map: &Map<String, Value>, rng: &mut Rng| map.keys().nth(rng.usize(..map.len().max(1))).cloned();
    match (rng.u8(..4), some(map, rng)) {
        (0, Some(key)) => drop(map.remove(&key)),
        (1, Some(key)) => {
            let value = map.remove(&key).unwrap_or_default();
            map.insert(word(lent, rng), value);
        }
        _ if !lent.full => {
            let value = lent.lender.filter(|_| rng.bool()).cloned().unwrap_or_else(|| leaf(lent, rng));
            map.insert(word(lent, rng), value);
        }
        _ => {}
    }
}

fn change_list(items: &mut Vec<Value>, lent: &Lent<'_>, rng: &mut Rng) {
    let at = rng.usize(..=items.len());
    match rng.u8(..4) {
        0 if at < items.len() => drop(items.remove(at)),
        1 if at < items.len() && !lent.full => items.insert(at, items[at].clone()),
        2 if at < items.len() => {
            let other = rng.usize(..items.len());
            items.swap(at, other);
        }
        _ if !lent.full => {
            let value = lent.lender.filter(|_| rng.bool()).cloned().unwrap_or_else(|| leaf(lent, rng));
            items.insert(at, value);
        }
        _ => {}
    }
}

fn change_text(text: &mut String, lent: &Lent<'_>, rng: &mut Rng) {
    let at = text.char_indices().map(|(at, _)| at).nth(rng.usize(..text.len().max(1))).unwrap_or(text.len());
    match rng.u8(..5) {
        0 => text.truncate(at),
        1 => text.insert(at, rng.char(..)),
        2 => text.insert(at, char::from(rng.u8(b' '..=b'~'))),
        3 => text.insert_str(at, &word(lent, rng)),
        _ => *text = word(lent, rng),
    }
}

fn word(lent: &Lent<'_>, rng: &mut Rng) -> String {
    if lent.words.is_empty() { String::new() } else { lent.words[rng.usize(..lent.words.len())].clone() }
}

fn leaf(lent: &Lent<'_>, rng: &mut Rng) -> Value {
    match rng.u8(..12) {
        0 => Value::Null,
        1 => Value::from(rng.bool()),
        2 => Value::Array(Vec::new()),
        3 => Value::Object(Map::new()),
        4 => Value::from(rng.i32(-2..=5)),
        5 => Value::from([0, i64::MAX, i64::MIN, -1, 1 << 53, i64::from(i32::MAX), 65536][rng.usize(..7)]),
        6 => Value::from([0.5, -0.0, 1e300, 1e-7, 9.007_199_254_740_993e15, 1.8e19][rng.usize(..6)]),
        7 => Value::from(u64::MAX),
        8 => Value::from(""),
        _ => Value::from(word(lent, rng)),
    }
}
