//! Holds a decoded object against its schema, as the Go types of Kubernetes would.
//!
//! In: a schema and a value. Out: the value with unknown fields and nulls gone and scalars in canonical form, the
//! paths of what was unknown, or the first wrong type in Kubernetes' words. Never says whether a value is sensible
//! (`validate`), never fills anything in (`defaults`).

mod scalar;

use crate::custom::prune::{Malformed, coerce};
use crate::decode::Decoded;
use crate::kinds::Gvk;
use crate::schema::{Node, Shape, Struct};
use serde_json::{Map, Value};
use std::fmt;

/// Kubernetes stops listing unknown fields here.
const UNKNOWN: usize = 100;

/// What is done about unknown and duplicate fields (`fieldValidation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FieldValidation {
    /// They are dropped silently.
    Ignore,
    /// They are dropped, and the answer warns.
    #[default]
    Warn,
    /// They are refused.
    Strict,
}

impl FieldValidation {
    /// The value of the query parameter; `None` for a word that is not one.
    pub fn parse(word: &str) -> Option<FieldValidation> {
        match word {
            "Ignore" => Some(FieldValidation::Ignore),
            "" | "Warn" => Some(FieldValidation::Warn),
            "Strict" => Some(FieldValidation::Strict),
            _ => None,
        }
    }
}

/// An object that fits its schema.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// The object.
    pub object: Value,
    /// What to warn about: `unknown field "spec.foo"`, `duplicate field "spec.x"`.
    pub warnings: Vec<String>,
}

/// Why an object does not fit, in Kubernetes' words; the whole message of a `BadRequest`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

/// A decoded object held against the schema of its kind.
///
/// `message` names the kind as it is in the request, as Kubernetes does.
pub fn object(
    gvk: &Gvk,
    schema: Struct<'_>,
    decoded: Decoded,
    validation: FieldValidation,
) -> Result<Checked, Refusal> {
    object_told(gvk, schema, decoded, validation, &told)
}

/// What is to be said of the paths of what is unknown and of what was given twice.
pub type Tell<'a> = &'a dyn Fn(&[String], &[String]) -> Vec<String>;

/// As [`object`]; `tell` says in which order and words oddities are told.
pub fn object_told(
    gvk: &Gvk,
    schema: Struct<'_>,
    decoded: Decoded,
    validation: FieldValidation,
    tell: Tell<'_>,
) -> Result<Checked, Refusal> {
    let cannot = |why: &dyn fmt::Display| {
        Refusal(format!("{} in version \"{}\" cannot be handled as a {}: {why}", gvk.kind, gvk.version, gvk.kind))
    };
    let Decoded { mut value, duplicates } = decoded;
    let unknown = prune(schema, &mut value).map_err(|fault| cannot(&fault))?;
    let is_odd = validation != FieldValidation::Ignore && !(unknown.is_empty() && duplicates.is_empty());
    let issues = if is_odd { tell(&unknown, &duplicates) } else { Vec::new() };
    let warnings = judge(issues, validation).map_err(|why| cannot(&why))?;
    Ok(Checked { object: value, warnings })
}

/// What was given twice, then what is unknown.
pub fn told(unknown: &[String], duplicates: &[String]) -> Vec<String> {
    let twice = duplicates.iter().map(|path| duplicate(path));
    twice.chain(unknown.iter().map(|path| unknown_field(path))).collect()
}

/// As [`prune`]; out: what is to be said of each unknown field.
pub fn unknown(schema: Struct<'_>, value: &mut Value) -> Result<Vec<String>, TypeFault> {
    Ok(prune(schema, value)?.iter().map(|path| unknown_field(path)).collect())
}

/// What is said of a field that nobody knows.
pub fn unknown_field(path: &str) -> String {
    format!("unknown field \"{path}\"")
}

/// What is said of a field that was given twice.
pub fn duplicate(path: &str) -> String {
    format!("duplicate field \"{path}\"")
}

/// What to warn about of what was odd, or why it is refused.
pub fn judge(issues: Vec<String>, validation: FieldValidation) -> Result<Vec<String>, String> {
    match validation {
        FieldValidation::Ignore => Ok(Vec::new()),
        FieldValidation::Strict if !issues.is_empty() => Err(format!("strict decoding error: {}", issues.join(", "))),
        FieldValidation::Warn | FieldValidation::Strict => Ok(issues),
    }
}

/// Drops what the schema does not know, nulls and what Go leaves out when it is zero, and writes scalars in canonical
/// form. Out: the paths of what was unknown, or the first wrong type.
pub fn prune(schema: Struct<'_>, value: &mut Value) -> Result<Vec<String>, TypeFault> {
    walk(schema, value, true)
}

/// As `prune`, but what was said stays though it be zero: an applied configuration owns it.
pub fn fit(schema: Struct<'_>, value: &mut Value) -> Result<Vec<String>, TypeFault> {
    walk(schema, value, false)
}

fn walk(schema: Struct<'_>, value: &mut Value, drops_zero: bool) -> Result<Vec<String>, TypeFault> {
    if let Some(custom) = schema.node().custom() {
        // Types of custom objects are judged with their values.
        return coerce(custom, value, Malformed::Refused).map_err(TypeFault);
    }
    let mut walk = Walk { unknown: Vec::new(), drops_zero };
    let here = Place::Root;
    match value {
        Value::Object(map) => walk.fields(schema, map, &here)?,
        other => return Err(mismatch(other, &go_struct(schema), &here)),
    }
    Ok(walk.unknown)
}

/// A wrong type, in the words of Go's decoder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TypeFault(String);

/// Where the walk is; lives on the stack.
enum Place<'a> {
    Root,
    /// A field of a struct of that Go name.
    Field(&'a Place<'a>, &'a str, &'a str),
    Key(&'a Place<'a>, &'a str),
    Index(&'a Place<'a>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Root => Ok(()),
            Place::Field(Place::Root, _, name) | Place::Key(Place::Root, name) => f.write_str(name),
            Place::Field(parent, _, name) | Place::Key(parent, name) => write!(f, "{parent}.{name}"),
            Place::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

impl Place<'_> {
    /// The innermost struct that is being decoded and the names of the fields that lead here: Go names neither
    /// list indexes nor map keys.
    fn go_context(&self) -> (&str, Vec<&str>) {
        let (mut owner, mut names, mut at) = ("", Vec::new(), self);
        loop {
            match at {
                Place::Root => break,
                Place::Field(parent, struct_name, name) => {
                    if names.is_empty() {
                        owner = struct_name;
                    }
                    names.push(*name);
                    at = parent;
                }
                Place::Key(parent, _) | Place::Index(parent, _) => at = parent,
            }
        }
        names.reverse();
        (owner, names)
    }
}

struct Walk {
    unknown: Vec<String>,
    drops_zero: bool,
}

impl Walk {
    fn fields(&mut self, own: Struct<'_>, map: &mut Map<String, Value>, here: &Place<'_>) -> Result<(), TypeFault> {
        let mut fault = None;
        let go_name = own.go_name();
        map.retain(|key, value| {
            let Some(field) = own.field(key) else {
                if self.unknown.len() < UNKNOWN {
                    self.unknown.push(Place::Field(here, go_name, key).to_string());
                }
                return false;
            };
            if value.is_null() {
                return false;
            }
            if fault.is_none() {
                fault = self.value(field.node(), value, &Place::Field(here, go_name, key)).err();
            }
            !(self.drops_zero && field.omits_zero() && scalar::is_zero(field.node().shape(), value))
        });
        fault.map_or(Ok(()), Err)
    }

    fn value(&mut self, node: Node<'_>, value: &mut Value, here: &Place<'_>) -> Result<(), TypeFault> {
        match (node.shape(), value) {
            (Shape::Any | Shape::Deduced, _) | (Shape::Raw, Value::Object(_)) => Ok(()),
            (Shape::Struct(own), Value::Object(map)) => self.fields(own, map, here),
            (Shape::Struct(own), value) => Err(mismatch(value, &go_struct(own), here)),
            (Shape::Map(item), Value::Object(map)) => {
                for (key, value) in map.iter_mut() {
                    if value.is_null() {
                        *value = scalar::zero(item.shape());
                    }
                    self.value(item, value, &Place::Key(here, key))?;
                }
                Ok(())
            }
            (Shape::List(item), Value::Array(list)) => {
                for (index, value) in list.iter_mut().enumerate() {
                    if value.is_null() {
                        *value = scalar::zero(item.shape());
                    }
                    self.value(item, value, &Place::Index(here, index))?;
                }
                Ok(())
            }
            (Shape::Scalar(kind), value) => match scalar::canonical(kind, value) {
                Ok(()) => Ok(()),
                Err(scalar::Fault::Type { value, wanted }) => Err(cannot_unmarshal(&value, wanted, here)),
                Err(scalar::Fault::Own(text)) => Err(TypeFault(text)),
            },
            (_, value) => Err(mismatch(value, &go_type(node), here)),
        }
    }
}

fn mismatch(value: &Value, wanted: &str, here: &Place<'_>) -> TypeFault {
    cannot_unmarshal(scalar::go_kind(value), wanted, here)
}

fn cannot_unmarshal(value: &str, wanted: &str, here: &Place<'_>) -> TypeFault {
    let (owner, names) = here.go_context();
    TypeFault(if names.is_empty() {
        format!("json: cannot unmarshal {value} into Go value of type {wanted}")
    } else {
        format!("json: cannot unmarshal {value} into Go struct field {owner}.{} of type {wanted}", names.join("."))
    })
}

/// `v1.PodSpec`.
fn go_struct(own: Struct<'_>) -> String {
    let mut parts = own.name().rsplit('.');
    let name = parts.next().unwrap_or_default();
    format!("{}.{name}", parts.next().unwrap_or_default())
}

fn go_type(node: Node<'_>) -> String {
    match node.shape() {
        Shape::Struct(own) => go_struct(own),
        Shape::Map(item) => format!("map[string]{}", go_type(item)),
        Shape::List(item) => format!("[]{}", go_type(item)),
        Shape::Scalar(kind) => scalar::go_name(kind).to_owned(),
        Shape::Raw => "map[string]interface {}".to_owned(),
        Shape::Any | Shape::Deduced => "interface {}".to_owned(),
    }
}

#[cfg(test)]
mod tests;
