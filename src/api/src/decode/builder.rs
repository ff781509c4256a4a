//! Builds a value while a parser reads, noticing keys given twice and counting against limits.
//!
//! In: a parser's calls. Out: a value; the rest is in `State`. In YAML words without quotes mean what they mean to
//! Kubernetes (`scalar.rs`), and merge keys (`<<`) are honoured; JSON has neither.

use super::Limits;
use super::scalar::{self, Scalar};
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::cell::{Cell, RefCell};
use std::fmt;

/// Kubernetes stops telling about oddities after this many; a longer list helps nobody.
const DUPLICATES: usize = 100;

/// What is counted and noticed while a document is read.
pub(super) struct State<'a> {
    depth: usize,
    /// The text, if it is to be understood as YAML.
    source: Option<&'a [u8]>,
    values: Cell<usize>,
    duplicates: RefCell<Vec<String>>,
    /// What paths may still be written out, in bytes: as much as the text may have.
    written: Cell<usize>,
}

impl<'a> State<'a> {
    /// `source` is the very text that the parser reads, if it is to be understood as YAML.
    pub(super) fn new(limits: &Limits, source: Option<&'a [u8]>) -> State<'a> {
        State {
            depth: limits.depth,
            source,
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

    /// What a word of the source is, if it is no text.
    fn resolve(&self, word: &str) -> Option<Scalar> {
        scalar::resolve(self.source?, word)
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
    state: &'a State<'a>,
    frame: &'a Frame<'a>,
    depth: usize,
}

impl<'a> Build<'a> {
    pub(super) fn root(state: &'a State<'a>, frame: &'a Frame<'a>) -> Build<'a> {
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

    // Integers of more than 64 bits are floats, as everywhere in JSON.
    fn visit_i128<E: Error>(self, value: i128) -> Result<Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        if self.state.source.is_none() {
            return Ok(Value::from(value));
        }
        scalar::float(value).ok_or_else(|| {
            E::custom(format_args!("{} is no number that JSON can hold; a text needs quotes", scalar::float_key(value)))
        })
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Value, E> {
        match self.state.resolve(value) {
            None => self.visit_str(value),
            Some(Scalar::Bool(value)) => self.visit_bool(value),
            Some(Scalar::Int(value)) => self.visit_i64(value),
            Some(Scalar::Uint(value)) => self.visit_u64(value),
            Some(Scalar::Float(value)) => self.visit_f64(value),
        }
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
        while let Some(Named { key, merges }) = entries.next_key_seed(Key(self.state))? {
            let frame = Frame::Key(self.frame, &key);
            let value = entries.next_value_seed(self.below(&frame))?;
            if merges && (value.is_object() || value.is_array()) {
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

/// A key: text in JSON, any scalar but null in YAML.
struct Key<'a>(&'a State<'a>);

/// A key that was read.
struct Named {
    key: String,
    /// Whether it is the merge key.
    merges: bool,
}

impl From<String> for Named {
    fn from(key: String) -> Named {
        Named { key, merges: false }
    }
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Named;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Named, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Key<'_> {
    type Value = Named;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Named, E> {
        match self.0.resolve(value) {
            None => {
                let merges = self.0.source.is_some_and(|source| scalar::merges(source, value));
                Ok(Named { key: value.to_owned(), merges })
            }
            Some(Scalar::Bool(value)) => self.visit_bool(value),
            Some(Scalar::Int(value)) => self.visit_i64(value),
            Some(Scalar::Uint(value)) => self.visit_u64(value),
            Some(Scalar::Float(value)) => self.visit_f64(value),
        }
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Named, E> {
        Ok(value.to_owned().into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Named, E> {
        Ok(value.into())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Named, E> {
        Ok(value.to_string().into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Named, E> {
        Ok(value.to_string().into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Named, E> {
        Ok(value.to_string().into())
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Named, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Named, E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Named, E> {
        Ok(scalar::float_key(value).into())
    }

    fn visit_unit<E: Error>(self) -> Result<Named, E> {
        Err(E::custom("a key cannot be null; a text needs quotes"))
    }
}
