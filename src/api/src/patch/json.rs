//! JSON patch (RFC 6902).
//!
//! In: an object and a list of operations. Out: the object with all of them done in order. A few operations can ask for
//! far more than they say: what is copied is bounded, and so is how deep an object becomes.

use super::PatchError;
use crate::decode::Limits;
use serde_json::Value;

/// Kubernetes' limit.
const OPERATIONS: usize = 10_000;
/// What all copies of a patch may add, in bytes of JSON; Kubernetes' limit, as large as a request.
const COPIED: usize = Limits::REQUEST.bytes;
/// An object is never deeper than one that could be sent: all that walks objects relies on it.
const DEPTH: usize = Limits::REQUEST.depth;
/// Values that are looked at to see how deep they are: several times as many as a request has.
const LOOKED_AT: usize = 4 * Limits::REQUEST.values;

/// Applies every operation in order; the first that fails ends it.
pub fn json(target: &mut Value, patch: Value) -> Result<(), PatchError> {
    let Value::Array(operations) = patch else {
        return Err(PatchError::Malformed(
            "json: cannot unmarshal object into Go value of type jsonpatch.Patch".to_owned(),
        ));
    };
    if operations.len() > OPERATIONS {
        return Err(PatchError::TooMany { limit: OPERATIONS, count: operations.len() });
    }
    let mut room = Room { copied: 0, looks: LOOKED_AT };
    operations.into_iter().try_for_each(|operation| apply(target, operation, &mut room))
}

/// What a patch has used of its limits.
struct Room {
    copied: usize,
    looks: usize,
}

impl Room {
    /// Refuses to put a value where it would be too deep.
    fn check_depth(&mut self, path: &str, value: &Value, op: &str) -> Result<(), PatchError> {
        let above = path.bytes().filter(|byte| *byte == b'/').count();
        match DEPTH.checked_sub(above).is_some_and(|left| fits(value, left, &mut self.looks)) {
            true => Ok(()),
            false if self.looks == 0 => Err(fault(op, "the patch moves too many values")),
            false => Err(fault(op, &format!("nested deeper than {DEPTH} levels"))),
        }
    }

    /// Counts what is copied.
    fn copy(&mut self, value: &Value) -> Result<(), PatchError> {
        self.copied += value.to_string().len();
        if self.copied <= COPIED {
            return Ok(());
        }
        let copied = self.copied;
        Err(PatchError::Unapplicable(format!(
            "Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the limit {COPIED}"
        )))
    }
}

/// Whether a value has at most so many levels, and there were looks left to see it.
fn fits(value: &Value, levels: usize, looks: &mut usize) -> bool {
    let Some(left) = looks.checked_sub(1) else { return false };
    *looks = left;
    match value {
        Value::Array(list) => levels > 0 && list.iter().all(|item| fits(item, levels - 1, looks)),
        Value::Object(map) => levels > 0 && map.values().all(|item| fits(item, levels - 1, looks)),
        _ => true,
    }
}

fn apply(target: &mut Value, mut operation: Value, room: &mut Room) -> Result<(), PatchError> {
    let text = |name: &str| operation.get(name).and_then(Value::as_str).map(str::to_owned);
    let op = text("op").unwrap_or_default();
    let path = text("path").ok_or_else(|| fault(&op, "missing path"))?;
    let from = text("from");
    let value = operation.as_object_mut().and_then(|operation| operation.remove("value"));
    match op.as_str() {
        "add" => {
            let value = value.unwrap_or_default();
            room.check_depth(&path, &value, &op)?;
            add(target, &path, value, &op)
        }
        "remove" => remove(target, &path, &op).map(drop),
        "replace" => {
            let place = find(target, &path).ok_or_else(|| missing(&op, &path))?;
            let value = value.unwrap_or_default();
            room.check_depth(&path, &value, &op)?;
            *place = value;
            Ok(())
        }
        "move" => {
            let from = from.ok_or_else(|| fault(&op, "missing from"))?;
            if path.strip_prefix(&from).is_some_and(|rest| rest.starts_with('/')) {
                return Err(fault(&op, "a value cannot be moved into itself"));
            }
            let moved = remove(target, &from, &op)?;
            room.check_depth(&path, &moved, &op)?;
            add(target, &path, moved, &op)
        }
        "copy" => {
            let from = from.ok_or_else(|| fault(&op, "missing from"))?;
            let original = find(target, &from).ok_or_else(|| missing(&op, &from))?;
            room.copy(original)?;
            room.check_depth(&path, original, &op)?;
            let copied = original.clone();
            add(target, &path, copied, &op)
        }
        "test" => {
            let wanted = value.unwrap_or_default();
            // A place that is not there equals null, as in Kubernetes.
            if find(target, &path).map_or(wanted.is_null(), |found| *found == wanted) {
                return Ok(());
            }
            Err(PatchError::Unapplicable(format!("testing value {path} failed: test failed")))
        }
        _ => Err(PatchError::Unapplicable(format!("Unexpected kind: {op}"))),
    }
}

fn fault(op: &str, why: &str) -> PatchError {
    PatchError::Unapplicable(format!("{op} operation does not apply: {why}"))
}

fn missing(op: &str, path: &str) -> PatchError {
    PatchError::Unapplicable(format!("{op} operation does not apply: doc is missing path: {path}: missing value"))
}

fn unescape(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}

/// Parent and last token; `None` for the whole document.
fn split(path: &str) -> Option<(&str, String)> {
    path.rsplit_once('/').map(|(parent, last)| (parent, unescape(last)))
}

fn find<'a>(target: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    if path.is_empty() {
        return Some(target);
    }
    path.strip_prefix('/')?.split('/').try_fold(target, |at, token| match at {
        Value::Object(map) => map.get_mut(&unescape(token)),
        Value::Array(list) => {
            let index = index(token, list.len())?;
            list.get_mut(index)
        }
        _ => None,
    })
}

/// An index; negative ones count from the end, as in Kubernetes.
fn index(token: &str, length: usize) -> Option<usize> {
    match token.strip_prefix('-') {
        Some(back) => length.checked_sub(back.parse::<usize>().ok()?),
        None => token.parse().ok(),
    }
}

fn add(target: &mut Value, path: &str, value: Value, op: &str) -> Result<(), PatchError> {
    let Some((parent, last)) = split(path) else {
        if path.is_empty() {
            *target = value;
            return Ok(());
        }
        return Err(missing(op, path));
    };
    match find(target, parent) {
        Some(Value::Object(map)) => {
            map.insert(last, value);
            Ok(())
        }
        Some(Value::Array(list)) => {
            let at = if last == "-" { Some(list.len()) } else { index(&last, list.len() + 1) };
            match at.filter(|at| *at <= list.len()) {
                Some(at) => {
                    list.insert(at, value);
                    Ok(())
                }
                None => Err(fault(op, &format!("Unable to access invalid index: {last}: invalid index referenced"))),
            }
        }
        _ => Err(missing(op, path)),
    }
}

fn remove(target: &mut Value, path: &str, op: &str) -> Result<Value, PatchError> {
    let (parent, last) = split(path).ok_or_else(|| missing(op, path))?;
    let removed = match find(target, parent) {
        Some(Value::Object(map)) => map.remove(&last),
        Some(Value::Array(list)) => index(&last, list.len()).filter(|at| *at < list.len()).map(|at| list.remove(at)),
        _ => None,
    };
    removed.ok_or_else(|| missing(op, path))
}
