//! Builds a value while a parser reads, noticing keys given twice and counting against limits.
//!
//! In: a parser's calls. Out: a value; the rest is in `State`. Merge keys (`<<`) are honoured in YAML, as its users
//! expect; JSON has none.

use super::Limits;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::cell::{Cell, RefCell};
use std::fmt;

/// Kubernetes stops telling about oddities after this many; a longer list helps nobody.
const DUPLICATES: usize = 100;

/// What is counted and noticed while a document is read.
pub(super) struct State {
    depth: usize,
    merges: bool,
    values: Cell<usize>,
    duplicates: RefCell<Vec<String>>,
    /// What paths may still be written out, in bytes: as much as the text may have.
    written: Cell<usize>,
}

impl State {
    /// `merges` says whether `<<` is a merge key.
    pub(super) fn new(limits: &Limits, merges: bool) -> State {
        State {
            depth: limits.depth,
            merges,
            values: Cell::new(limits.values),
            duplicates: RefCell::default(),
            written: Cell::new(limits.bytes),
        }
    }

    /// Notes a key that was given before. Its path may be long and the key given a million times.
    fn note(&self, frame: &Frame<'_>) {
        let mut duplicates = self.duplicates.borrow_mut();
        if duplicates.len() >= DUPLICATES || self.written.get() == 0 {
            return;
        }
        let path = frame.to_string();
        self.written.set(self.written.get().saturating_sub(path.len()));
        if !duplicates.contains(&path) {
            duplicates.push(path);
        }
    }

    pub(super) fn into_duplicates(self) -> Vec<String> {
        self.duplicates.into_inner()
    }
}

/// Where the parser is; lives on the stack, written out only when it is needed.
pub(super) enum Frame<'a> {
    Root,
    Key(&'a Frame<'a>, &'a str),
    Index(&'a Frame<'a>, usize),
}

impl fmt::Display for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Frame::Root => Ok(()),
            Frame::Key(Frame::Root, key) => f.write_str(key),
            Frame::Key(parent, key) => write!(f, "{parent}.{key}"),
            Frame::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// Builds the value at one place.
pub(super) struct Build<'a> {
    state: &'a State,
    frame: &'a Frame<'a>,
    depth: usize,
}

impl<'a> Build<'a> {
    pub(super) fn root(state: &'a State, frame: &'a Frame<'a>) -> Build<'a> {
        Build { state, frame, depth: 0 }
    }

    fn below<'b>(&self, frame: &'b Frame<'b>) -> Build<'b>
    where
        'a: 'b,
    {
        Build { state: self.state, frame, depth: self.depth + 1 }
    }

    fn deeper<E: Error>(&self) -> Result<(), E> {
        if self.depth < self.state.depth {
            return Ok(());
        }
        Err(E::custom(format_args!("nested deeper than {} levels", self.state.depth)))
    }
}

impl<'de> DeserializeSeed<'de> for Build<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.state.values.get().checked_sub(1) {
            Some(left) => self.state.values.set(left),
            None => return Err(D::Error::custom("too many values")),
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Build<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("this number is not JSON"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Value, A::Error> {
        Err(A::Error::custom("YAML tags are not supported"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.below(&Frame::Index(self.frame, list.len())))? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        self.deeper()?;
        let mut map = Map::new();
        let mut merged = Vec::new();
        while let Some(key) = entries.next_key_seed(Key)? {
            let frame = Frame::Key(self.frame, &key);
            let value = entries.next_value_seed(self.below(&frame))?;
            if self.state.merges && key == "<<" && (value.is_object() || value.is_array()) {
                merged.push(value);
                continue;
            }
            if map.contains_key(&key) {
                self.state.note(&frame);
            }
            map.insert(key, value);
        }
        for value in merged {
            merge(&mut map, value);
        }
        Ok(Value::Object(map))
    }
}

/// What is said here wins over what is merged in.
fn merge(map: &mut Map<String, Value>, value: Value) {
    match value {
        Value::Object(defaults) => {
            for (key, value) in defaults {
                map.entry(key).or_insert(value);
            }
        }
        Value::Array(items) => items.into_iter().for_each(|item| merge(map, item)),
        _ => {}
    }
}

/// A key: text in JSON, any scalar in YAML.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Key {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<String, E> {
        Ok(value.to_owned())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<String, E> {
        Ok(value)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_unit<E: Error>(self) -> Result<String, E> {
        Ok("null".to_owned())
    }
}
