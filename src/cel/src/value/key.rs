//! Keys of maps that expressions make.
//!
//! In: values. Out: keys with an order, in which equal numbers of different types are one key.

use std::cmp::Ordering;

use super::{Text, Value};

/// A key.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "they are what they are called")]
pub enum Key<'a> {
    Bool(bool),
    Int(i64),
    Uint(u64),
    Text(Text<'a>),
}

impl<'a> Key<'a> {
    /// The key that a value is; `None` if it can be none.
    pub fn of(value: &Value<'a>) -> Option<Key<'a>> {
        Some(match value {
            Value::Bool(is) => Key::Bool(*is),
            Value::Int(number) => Key::Int(*number),
            Value::Uint(number) => Key::Uint(*number),
            Value::Text(text) => Key::Text(text.clone()),
            // A whole number finds the key that equals it.
            Value::Double(number) if number.fract() == 0.0 && number.abs() < 9.0e15 => Key::Int(*number as i64),
            _ => return None,
        })
    }

    /// The value it was.
    pub fn value(&self) -> Value<'a> {
        match self {
            Key::Bool(is) => Value::Bool(*is),
            Key::Int(number) => Value::Int(*number),
            Key::Uint(number) => Value::Uint(*number),
            Key::Text(text) => Value::Text(text.clone()),
        }
    }

    fn number(&self) -> Option<i128> {
        match self {
            Key::Int(number) => Some(i128::from(*number)),
            Key::Uint(number) => Some(i128::from(*number)),
            _ => None,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Key::Bool(_) => 0,
            Key::Int(_) | Key::Uint(_) => 1,
            Key::Text(_) => 2,
        }
    }
}

impl Ord for Key<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Key::Bool(a), Key::Bool(b)) => a.cmp(b),
            (Key::Text(a), Key::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            _ => self.rank().cmp(&other.rank()).then_with(|| self.number().cmp(&other.number())),
        }
    }
}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key<'_> {}
