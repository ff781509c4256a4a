//! Texts that many cells share: labels, selectors, containers, lists that are cut short.
//!
//! In: parts of objects. Out: text for cells.

use std::time::SystemTime;

use serde_json::Value;

use crate::Object;
use crate::clock;
use crate::field::Path;
use crate::meta::{self, at, list_at, text};
use crate::selector::LabelSelector;

pub(super) const NONE: &str = "<none>";
pub(super) const UNSET: &str = "<unset>";
pub(super) const UNKNOWN: &str = "<unknown>";

/// The object's age.
pub(super) fn age(object: &Object, now: SystemTime) -> Value {
    clock::age(now, meta::creation_timestamp(object)).into()
}

/// `text`, or `other` when it is empty.
pub(super) fn or<'a>(text: &'a str, other: &'a str) -> &'a str {
    if text.is_empty() { other } else { text }
}

/// The integer at a path, 0 when absent.
pub(super) fn int(object: &Value, path: &[&str]) -> i64 {
    meta::int_at(object, path).unwrap_or(0)
}

/// `a=b,c=d` of a map of strings in the order of that text, `<none>` when empty.
pub fn label_pairs(map: Option<&Value>) -> String {
    let mut pairs: Vec<String> = map
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or("")))
        .collect();
    pairs.sort();
    or(&pairs.join(","), NONE).to_string()
}

/// A label selector object as text, `<none>` when it is absent or empty.
pub fn selector_text(selector: Option<&Value>) -> String {
    match LabelSelector::from_object(selector, &Path::root("selector")) {
        Ok(parsed) => or(&parsed.to_string(), NONE).to_string(),
        Err(_) => "<error>".to_string(),
    }
}

/// Names and images of a pod specification's containers, each joined by commas.
pub(super) fn containers(pod_spec: Option<&Value>) -> [Value; 2] {
    let list = pod_spec.map_or(&[][..], |spec| list_at(spec, &["containers"]));
    let join = |field: &str| list.iter().map(|c| text(c, field)).collect::<Vec<_>>().join(",");
    [join("name").into(), join("image").into()]
}

/// The pod specification of a workload's template.
pub(super) fn template(object: &Object) -> Option<&Value> {
    at(object, &["spec", "template", "spec"])
}

/// At most `most` of the list, then how many more; `empty` for none.
pub(super) fn cut(list: &[String], most: usize, empty: &str) -> String {
    if list.is_empty() {
        return empty.to_string();
    }
    let shown = list[..list.len().min(most)].join(",");
    match list.len().checked_sub(most) {
        Some(more) if more > 0 => format!("{shown} + {more} more..."),
        _ => shown,
    }
}

/// A scalar as it stands; `other` when absent.
pub(super) fn scalar(value: Option<&Value>, other: &str) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
        _ => other.to_string(),
    }
}

/// The condition of that type in `status.conditions`.
pub(super) fn condition<'a>(object: &'a Object, kind: &str) -> Option<&'a Value> {
    list_at(object, &["status", "conditions"]).iter().find(|c| text(c, "type") == kind)
}
