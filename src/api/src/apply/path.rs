//! One step of a path: a field, a list item by its keys, an item by its value, or an index.
//!
//! In: `f:name`, `k:{...}`, `v:...`, `i:0`, as `managedFields` holds them. Out: steps that can be compared,
//! and the text in which messages name a path.

use serde_json::Value;

/// A step. Keys and values are held as compact JSON with sorted keys, which makes equal ones equal texts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Field(String),
    Key(String),
    Item(String),
    Index(u64),
}

impl Step {
    pub(super) fn parse(text: &str) -> Option<Step> {
        let (kind, rest) = text.split_once(':')?;
        // Texts of others are brought into our form.
        let canonical = || serde_json::from_str::<Value>(rest).ok().map(|value| value.to_string());
        match kind {
            "f" => Some(Step::Field(rest.to_owned())),
            "k" => canonical().map(Step::Key),
            "v" => canonical().map(Step::Item),
            "i" => rest.parse().ok().map(Step::Index),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Step::Field(name) => format!("f:{name}"),
            Step::Key(keys) => format!("k:{keys}"),
            Step::Item(value) => format!("v:{value}"),
            Step::Index(index) => format!("i:{index}"),
        }
    }

    /// As in `.spec.containers[name="a"].image`.
    pub(super) fn describe(&self, out: &mut String) {
        match self {
            Step::Field(name) => {
                out.push('.');
                out.push_str(name);
            }
            Step::Key(keys) => {
                let keys: Value = serde_json::from_str(keys).unwrap_or_default();
                let keys: Vec<String> =
                    keys.as_object().into_iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
                out.push_str(&format!("[{}]", keys.join(",")));
            }
            Step::Item(value) => out.push_str(&format!("[={value}]")),
            Step::Index(index) => out.push_str(&format!("[{index}]")),
        }
    }
}
