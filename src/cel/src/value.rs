//! Values while an expression runs.
//!
//! In: JSON with or without a declaration, constants, what functions make. Out: values that borrow the JSON they come from
//! and copy nothing of it; equality and order as CEL has them. Never evaluates.

mod equal;
mod json;
mod key;
mod map;
mod names;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::declare::{Decl, Form, Keep};
use crate::fault::Fault;
use crate::library::access::Access;
use crate::library::formats::Format;
use crate::library::quantities::Quantity;
use crate::library::semvers::Semver;
use crate::library::times::Time;
use crate::library::urls::Url;
use crate::types::Type;

pub use equal::Work;
pub(crate) use equal::identity;
pub use key::Key;
pub(crate) use map::Map;

/// A value.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "they are what they are called")]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Text<'a>),
    Bytes(Arc<[u8]>),
    /// In nanoseconds.
    Duration(i64),
    Time(Time),
    List(List<'a>),
    Map(Map<'a>),
    /// An object that the expression made.
    Struct(Arc<Made<'a>>),
    Optional(Option<Arc<Value<'a>>>),
    Type(Type),
    Ip(IpAddr),
    Cidr(IpAddr, u8),
    Url(Arc<Url>),
    Quantity(Quantity),
    Semver(Arc<Semver>),
    Format(&'static Format),
    Access(Arc<Access<'a>>),
    /// Fields that are found when they are asked for.
    Lazy(&'a dyn Lazy<'a>),
}

/// An object whose fields are found when they are asked for.
pub trait Lazy<'a>: std::fmt::Debug + Sync {
    /// The field; `None` if there is none. What it costs is counted by whoever implements this.
    fn field(&'a self, name: &str) -> Option<Result<Value<'a>, Fault>>;
}

/// A text, borrowed or shared.
#[derive(Debug, Clone)]
pub enum Text<'a> {
    /// Of the data.
    Borrowed(&'a str),
    /// Made.
    Shared(Arc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Text::Borrowed(text) => text,
            Text::Shared(text) => text,
        }
    }
}

/// A list, borrowed or made.
#[derive(Debug, Clone)]
pub enum List<'a> {
    /// Of the data, with the declaration of its items.
    Json(&'a [Json], Option<(&'a Decl, &'a Keep)>),
    /// Made.
    Made(Arc<Vec<Value<'a>>>),
}

impl<'a> List<'a> {
    /// How many items.
    pub fn len(&self) -> usize {
        match self {
            List::Json(items, _) => items.len(),
            List::Made(items) => items.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An item.
    pub fn get(&self, at: usize) -> Option<Result<Value<'a>, Fault>> {
        match self {
            List::Json(items, of) => items.get(at).map(|item| Value::of(item, of.map(|(of, _)| of))),
            List::Made(items) => items.get(at).cloned().map(Ok),
        }
    }

    /// Each item.
    pub fn iter(&self) -> impl Iterator<Item = Result<Value<'a>, Fault>> + '_ {
        (0..self.len()).filter_map(|at| self.get(at))
    }

    /// All of them.
    pub fn to_vec(&self) -> Result<Vec<Value<'a>>, Fault> {
        self.iter().collect()
    }
}

/// An object that an expression made.
#[derive(Debug, Clone)]
pub struct Made<'a> {
    /// The name of its type.
    pub name: Arc<str>,
    /// Its fields.
    pub fields: BTreeMap<Arc<str>, Value<'a>>,
}

impl<'a> Value<'a> {
    /// A text that was made.
    pub fn text(text: impl Into<Arc<str>>) -> Value<'a> {
        Value::Text(Text::Shared(text.into()))
    }

    /// A list that was made.
    pub fn list(items: Vec<Value<'a>>) -> Value<'a> {
        Value::List(List::Made(Arc::new(items)))
    }

    /// An optional that has a value.
    pub fn some(value: Value<'a>) -> Value<'a> {
        Value::Optional(Some(Arc::new(value)))
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        if let Value::Text(text) = self { Some(text) } else { None }
    }

    /// True or false, if it is that.
    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(is) = self { Some(*is) } else { None }
    }

    /// The value of JSON: by its declaration, or as it is.
    pub fn of(json: &'a Json, decl: Option<&'a Decl>) -> Result<Value<'a>, Fault> {
        match decl {
            Some(decl) => Self::declared(json, decl),
            None => Ok(Self::plain(json)),
        }
    }

    fn plain(json: &'a Json) -> Value<'a> {
        match json {
            Json::Null => Value::Null,
            Json::Bool(is) => Value::Bool(*is),
            Json::Number(number) => match number.as_i64() {
                Some(number) => Value::Int(number),
                None => Value::Double(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Value::Text(Text::Borrowed(text)),
            Json::Array(items) => Value::List(List::Json(items, None)),
            Json::Object(map) => Value::Map(Map::Json(map, None)),
        }
    }

    fn declared(json: &'a Json, decl: &'a Decl) -> Result<Value<'a>, Fault> {
        let wrong = |wanted: &str| Err(Fault::new(format!("invalid data, expected {wanted}, got {}", kind(json))));
        Ok(match (&decl.form, json) {
            (_, Json::Null) => Value::Null,
            (Form::IntOrText, Json::String(_) | Json::Number(_)) => Self::plain(json),
            (Form::Bool, Json::Bool(is)) => Value::Bool(*is),
            (Form::Int, Json::Number(number)) => match number.as_i64() {
                Some(number) => Value::Int(number),
                None => return wrong("int"),
            },
            (Form::Double, Json::Number(number)) => Value::Double(number.as_f64().unwrap_or(f64::NAN)),
            (Form::Text, Json::String(text)) => Value::Text(Text::Borrowed(text)),
            (Form::Bytes | Form::Duration | Form::Time, Json::String(text)) => {
                return json::formatted(text, &decl.form);
            }
            (Form::List(of, keep), Json::Array(items)) => Value::List(List::Json(items, Some((of, keep)))),
            (Form::Map(_) | Form::Object(_), Json::Object(map)) => Value::Map(Map::Json(map, Some(decl))),
            (Form::IntOrText, _) => {
                return Err(Fault::new("invalid data, expected XIntOrString value to be either a string or integer"));
            }
            (Form::Bool, _) => return wrong("bool"),
            (Form::Int, _) => return wrong("int"),
            (Form::Double, _) => return wrong("float"),
            (Form::List(..), _) => {
                return Err(Fault::new("invalid data, expected an array for the provided schema with type=array"));
            }
            (Form::Map(_) | Form::Object(_), _) => {
                return Err(Fault::new("invalid data, expected a map for the provided schema with type=object"));
            }
            _ => return wrong("string"),
        })
    }

    /// Its type at run time.
    pub fn kind(&self) -> Type {
        match self {
            Value::Null => Type::Null,
            Value::Bool(_) => Type::Bool,
            Value::Int(_) => Type::Int,
            Value::Uint(_) => Type::Uint,
            Value::Double(_) => Type::Double,
            Value::Text(_) => Type::Text,
            Value::Bytes(_) => Type::Bytes,
            Value::Duration(_) => Type::Duration,
            Value::Time(_) => Type::Time,
            Value::List(_) => Type::list(Type::Dyn),
            Value::Map(Map::Json(_, Some(Decl { form: Form::Object(object), .. }))) => {
                Type::Object(object.name.clone())
            }
            Value::Map(_) => Type::map(Type::Dyn, Type::Dyn),
            Value::Struct(made) => Type::Object(made.name.clone()),
            Value::Optional(_) => Type::optional(Type::Dyn),
            Value::Type(_) => Type::Type(None),
            Value::Ip(_) => Type::object("net.IP"),
            Value::Cidr(..) => Type::object("net.CIDR"),
            Value::Url(_) => Type::object("kubernetes.URL"),
            Value::Quantity(_) => Type::object("kubernetes.Quantity"),
            Value::Semver(_) => Type::object("kubernetes.Semver"),
            Value::Format(_) => Type::object("kubernetes.NamedFormat"),
            Value::Access(access) => Type::object(access.type_name()),
            Value::Lazy(_) => Type::object("kubernetes.variables"),
        }
    }

    /// Its size as costs are counted: characters, bytes, items, entries; 1 of what has none.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Value::Text(text) => text.chars().count() as u64,
            Value::Bytes(bytes) => bytes.len() as u64,
            Value::List(list) => list.len() as u64,
            Value::Map(map) => map.len() as u64,
            Value::Ip(ip) => {
                if ip.is_ipv4() {
                    4
                } else {
                    16
                }
            }
            Value::Cidr(ip, bits) => u64::from(*bits).div_ceil(8).min(if ip.is_ipv4() { 4 } else { 16 }),
            Value::Url(url) => url.text.len() as u64,
            Value::Optional(Some(inner)) => inner.size(),
            _ => 1,
        }
    }
}

fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "nil",
        Json::Bool(_) => "bool",
        Json::Number(number) if number.is_f64() => "float64",
        Json::Number(_) => "int64",
        Json::String(_) => "string",
        Json::Array(_) => "[]interface {}",
        Json::Object(_) => "map[string]interface {}",
    }
}
