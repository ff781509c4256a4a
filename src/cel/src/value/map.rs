//! Maps and objects: of the data, or made.
//!
//! In: JSON objects with or without a declaration, entries. Out: fields and entries. An object shows the fields of its
//! declaration and no others.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::{Key, Text, Value};
use crate::declare::{Decl, Form};
use crate::fault::Fault;

/// A map or object.
#[derive(Debug, Clone)]
pub enum Map<'a> {
    /// Of the data, with its declaration.
    Json(&'a serde_json::Map<String, Json>, Option<&'a Decl>),
    /// Made.
    Made(Arc<BTreeMap<Key<'a>, Value<'a>>>),
}

impl<'a> Map<'a> {
    /// How many entries.
    pub fn len(&self) -> usize {
        match self {
            Map::Json(map, _) => map.len(),
            Map::Made(map) => map.len(),
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &Value<'a>) -> Option<Result<Value<'a>, Fault>> {
        match (self, key) {
            (Map::Json(..), Value::Text(name)) => self.field(name),
            (Map::Json(..), _) => None,
            (Map::Made(map), key) => Key::of(key).and_then(|key| map.get(&key)).cloned().map(Ok),
        }
    }

    /// The value of a text key.
    pub fn field(&self, name: &str) -> Option<Result<Value<'a>, Fault>> {
        match self {
            Map::Json(map, None) => map.get(name).map(|json| Value::of(json, None)),
            Map::Json(map, Some(decl)) => match &decl.form {
                Form::Map(of) => map.get(name).map(|json| Value::of(json, Some(of))),
                Form::Object(object) => {
                    let field = object.fields.get(name)?;
                    map.get(&*field.json).map(|json| Value::of(json, Some(&field.decl)))
                }
                _ => None,
            },
            Map::Made(map) => map.get(&Key::Text(Text::Shared(name.into()))).cloned().map(Ok),
        }
    }

    /// Each key.
    pub fn keys(&self) -> Vec<Value<'a>> {
        match self {
            Map::Json(map, _) => map.keys().map(|key| Value::Text(Text::Borrowed(key))).collect(),
            Map::Made(map) => map.keys().map(Key::value).collect(),
        }
    }

    /// Its entries in a map that was made.
    pub fn to_made(&self) -> Result<BTreeMap<Key<'a>, Value<'a>>, Fault> {
        match self {
            Map::Made(map) => Ok((**map).clone()),
            Map::Json(map, _) => map
                .keys()
                .filter_map(|key| Some((Key::Text(Text::Borrowed(key)), self.field(key)?)))
                .map(|(key, value)| Ok((key, value?)))
                .collect(),
        }
    }
}
