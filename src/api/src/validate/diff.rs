//! What differs between two objects, in the words of a unified diff.
//!
//! In: the old and the new object. Out: a line for each side of each field that differs; fields of fields are not told
//! apart.

use serde_json::Value;

pub(super) fn fields(old: &Value, new: &Value) -> String {
    let (Some(a), Some(b)) = (old.as_object(), new.as_object()) else { return String::new() };
    let mut names: Vec<&String> = a.keys().chain(b.keys()).filter(|name| a.get(*name) != b.get(*name)).collect();
    names.sort();
    names.dedup();
    let mut text = String::new();
    for name in names {
        for (sign, side) in [('-', a.get(name)), ('+', b.get(name))] {
            if let Some(value) = side {
                text.push_str(&format!("{sign} \"{name}\": {value}\n"));
            }
        }
    }
    text
}
