//! One step of a path: a field, a list item by its keys, an item by its value, or an index.
//!
//! In: `f:name`, `k:{...}`, `v:...`, `i:0`, as `managedFields` holds them. Out: steps that can be compared,
//! and the text in which messages name a path.

use serde_json::Value;
use std::borrow::Cow;

/// A step, lent by the value it was found in where it stands there as it is.
///
/// Keys and values are held as compact JSON with sorted keys, which makes equal ones equal texts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step<'v> {
    Field(Cow<'v, str>),
    Key(Cow<'v, str>),
    Item(Cow<'v, str>),
    Index(u64),
}

impl<'v> Step<'v> {
    pub(super) fn field(name: &'v str) -> Step<'v> {
        Step::Field(Cow::Borrowed(name))
    }

    pub(super) fn parse(text: &'v str) -> Option<Step<'v>> {
        let (kind, rest) = text.split_once(':')?;
        // Texts of others are brought into our form.
        let canonical = || serde_json::from_str::<Value>(rest).ok().map(|value| Cow::Owned(value.to_string()));
        match kind {
            "f" => Some(Step::field(rest)),
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
