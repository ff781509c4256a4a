//! Label and field selectors: what objects a query means.
//!
//! In: the string form (`a=b,c in (x,y),!d`) or the object form (`matchLabels`, `matchExpressions`).
//! Out: a [`LabelSelector`] or [`FieldSelector`] that judges any [`Lookup`], and its canonical text.
//! Never reads objects: labels and fields are given by the caller.

mod fields;
mod labels;
mod object;
mod scan;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

pub use fields::{FieldSelector, FieldTerm};
pub use labels::{LabelSelector, Op, Requirement};

use crate::field::FieldError;

/// A map of strings that selectors can ask.
pub trait Lookup {
    /// The value under `key`, if any.
    fn value(&self, key: &str) -> Option<&str>;
}

impl Lookup for Map<String, Value> {
    fn value(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }
}

/// The labels of an object's metadata, or of any map in JSON; anything else has none.
impl Lookup for Value {
    fn value(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }
}

impl Lookup for BTreeMap<String, String> {
    fn value(&self, key: &str) -> Option<&str> {
        self.get(key).map(String::as_str)
    }
}

impl<K: AsRef<str>, V: AsRef<str>> Lookup for [(K, V)] {
    fn value(&self, key: &str) -> Option<&str> {
        self.iter().find(|(k, _)| k.as_ref() == key).map(|(_, v)| v.as_ref())
    }
}

impl<K: AsRef<str>, V: AsRef<str>> Lookup for Vec<(K, V)> {
    fn value(&self, key: &str) -> Option<&str> {
        self.as_slice().value(key)
    }
}

impl<T: Lookup + ?Sized> Lookup for &T {
    fn value(&self, key: &str) -> Option<&str> {
        (**self).value(key)
    }
}

impl<T: Lookup> Lookup for Option<T> {
    fn value(&self, key: &str) -> Option<&str> {
        self.as_ref()?.value(key)
    }
}

/// Why a selector was not understood.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SelectorError {
    /// The text of a label selector breaks the grammar.
    #[error("{0}")]
    Syntax(String),
    /// A key or value of a label selector is none.
    #[error("unable to parse requirement: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Values(Vec<FieldError>),
    /// The text of a field selector breaks the grammar.
    #[error("{0}")]
    Field(String),
}
