//! Declarations: what a value's schema says of its type and of how large it may be.
//!
//! In: the schema's facts, handed over by whoever reads schemas. Out: a tree of [`Decl`], a [`Provider`] of the object
//! types in it, and largest sizes by path for the cost estimate. Sizes follow Kubernetes': what has no limit is bounded by
//! the largest request.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::check::Provider;
use crate::syntax::RESERVED;
use crate::types::Type;

/// The largest request, by which sizes without a limit are bounded.
pub const LARGEST_REQUEST: u64 = 3 * 1024 * 1024;

/// What a schema says of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decl {
    /// What it is.
    pub form: Form,
    /// The most characters, bytes, items or entries; 0 where it has none.
    pub max: u64,
    /// The fewest bytes it takes in JSON.
    pub min_bytes: u64,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// Integer or text.
    IntOrText,
    /// True or false.
    Bool,
    /// An integer.
    Int,
    /// A number.
    Double,
    /// Text.
    Text,
    /// Bytes in base64.
    Bytes,
    /// A duration.
    Duration,
    /// A time.
    Time,
    /// A list.
    List(Arc<Decl>, Keep),
    /// An object with any keys.
    Map(Arc<Decl>),
    /// An object with named fields.
    Object(Arc<Object>),
}

/// How a list tells its items apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keep {
    /// By place.
    Atomic,
    /// By value.
    Set,
    /// By these fields.
    Map(Arc<[Box<str>]>),
}

/// An object type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its name: the path to it.
    pub name: Arc<str>,
    /// Fields by the name expressions use.
    pub fields: BTreeMap<Box<str>, Field>,
}

/// A field of an object type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name in JSON.
    pub json: Box<str>,
    /// What stands there.
    pub decl: Decl,
}

/// What a text is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextFormat {
    /// Text.
    Plain,
    /// Base64.
    Byte,
    /// A duration.
    Duration,
    /// A day.
    Date,
    /// A time.
    DateTime,
}

impl Decl {
    const fn new(form: Form, max: u64, min_bytes: u64) -> Decl {
        Decl { form, max, min_bytes }
    }

    /// True or false.
    pub const BOOL: Decl = Decl::new(Form::Bool, 0, 4);
    /// An integer.
    pub const INT: Decl = Decl::new(Form::Int, 0, 1);
    /// A number.
    pub const DOUBLE: Decl = Decl::new(Form::Double, 0, 1);

    /// Text of at most so many characters; without a limit as long as the longest of `choices`, if it is one of them.
    pub fn text(format: TextFormat, max_length: Option<u64>, choices: Option<u64>) -> Decl {
        let unlimited = LARGEST_REQUEST - 2;
        match format {
            TextFormat::Plain => {
                let max = max_length.map(|max| max.saturating_mul(4)).or(choices).unwrap_or(unlimited);
                Decl::new(Form::Text, max, 2)
            }
            TextFormat::Byte => Decl::new(Form::Bytes, max_length.unwrap_or(unlimited), 2),
            TextFormat::Duration => Decl::new(Form::Duration, 32, 3),
            TextFormat::Date => Decl::new(Form::Time, 12, 12),
            TextFormat::DateTime => Decl::new(Form::Time, 32, 21),
        }
    }

    /// Integer or text.
    pub fn int_or_text(max_length: Option<u64>) -> Decl {
        Decl::new(Form::IntOrText, max_length.map_or(LARGEST_REQUEST - 2, |max| max.saturating_mul(4)), 1)
    }

    /// A list of at most so many items.
    pub fn list(of: Decl, keep: Keep, max_items: Option<u64>) -> Decl {
        let max = max_items.unwrap_or((LARGEST_REQUEST - 2) / (of.min_bytes + 1));
        Decl::new(Form::List(Arc::new(of), keep), max, 2)
    }

    /// A map of at most so many entries.
    pub fn map(of: Decl, max_properties: Option<u64>) -> Decl {
        let max = max_properties.unwrap_or((LARGEST_REQUEST - 2) / (of.min_bytes + 6));
        Decl::new(Form::Map(Arc::new(of)), max, 2)
    }

    /// An object with those fields; `must` says which are always there and have no default. Names that expressions
    /// cannot say are left out.
    pub fn object(name: &str, fields: impl IntoIterator<Item = (String, Decl, bool)>) -> Decl {
        let mut min_bytes = 2;
        let mut known = BTreeMap::new();
        for (json, decl, must) in fields {
            if must {
                min_bytes += json.len() as u64 + decl.min_bytes + 4;
            }
            if let Some(escaped) = escape(&json) {
                known.insert(escaped.into(), Field { json: json.into(), decl });
            }
        }
        let object = Object { name: name.into(), fields: known };
        Decl::new(Form::Object(Arc::new(object)), 0, min_bytes)
    }

    /// Its type.
    pub fn of(&self) -> Type {
        match &self.form {
            Form::IntOrText => Type::Dyn,
            Form::Bool => Type::Bool,
            Form::Int => Type::Int,
            Form::Double => Type::Double,
            Form::Text => Type::Text,
            Form::Bytes => Type::Bytes,
            Form::Duration => Type::Duration,
            Form::Time => Type::Time,
            Form::List(of, _) => Type::list(of.of()),
            Form::Map(of) => Type::map(Type::Text, of.of()),
            Form::Object(object) => Type::Object(object.name.clone()),
        }
    }

    /// The most items, characters or entries of what a path of field names, `@items`, `@keys` and `@values` leads to.
    pub fn max_at(&self, path: &[Arc<str>]) -> Option<u64> {
        let Some((step, rest)) = path.split_first() else { return Some(self.max) };
        match (&self.form, &**step) {
            (Form::List(of, _), "@items") => of.max_at(rest),
            (Form::Map(of), "@values") => of.max_at(rest),
            // Kubernetes counts keys, scalars and objects as nothing.
            (Form::Map(_), "@keys") => rest.is_empty().then_some(0),
            (Form::Object(object), name) => object.fields.get(name)?.decl.max_at(rest),
            _ => None,
        }
    }
}

/// The object types of some declarations, by name.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    by_name: HashMap<Arc<str>, Arc<Object>>,
}

impl Objects {
    /// Those of a declaration, itself included.
    pub fn of(decl: &Decl) -> Objects {
        let mut objects = Objects::default();
        objects.add(decl);
        objects
    }

    /// Adds those of another one.
    pub fn add(&mut self, decl: &Decl) {
        match &decl.form {
            Form::List(of, _) | Form::Map(of) => self.add(of),
            Form::Object(object) => {
                self.by_name.insert(object.name.clone(), object.clone());
                object.fields.values().for_each(|field| self.add(&field.decl));
            }
            _ => {}
        }
    }
}

impl Provider for Objects {
    fn has_type(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    fn field(&self, of: &str, name: &str) -> Option<Type> {
        self.by_name.get(of)?.fields.get(name).map(|field| field.decl.of())
    }
}

/// A field's name as expressions write it; `None` if they cannot.
pub fn escape(name: &str) -> Option<String> {
    let first = *name.as_bytes().first()?;
    if first.is_ascii_digit() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_./-".contains(&b)) {
        return None;
    }
    if RESERVED.contains(&name) || matches!(name, "true" | "false" | "null") {
        return Some(format!("__{name}__"));
    }
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        let taken = match c {
            '_' if rest.starts_with("__") => {
                out.push_str("__underscores__");
                2
            }
            '.' => {
                out.push_str("__dot__");
                1
            }
            '-' => {
                out.push_str("__dash__");
                1
            }
            '/' => {
                out.push_str("__slash__");
                1
            }
            other => {
                out.push(other);
                1
            }
        };
        rest = &rest[taken..];
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped() {
        for (name, wanted) in [
            ("replicas", Some("replicas")),
            ("a.b-c/d__e", Some("a__dot__b__dash__c__slash__d__underscores__e")),
            ("namespace", Some("__namespace__")),
            ("null", Some("__null__")),
            ("1a", None),
            ("a b", None),
            ("", None),
        ] {
            assert_eq!(escape(name).as_deref(), wanted, "{name}");
        }
    }

    #[test]
    fn sizes_without_a_limit_come_from_the_largest_request() {
        let text = Decl::text(TextFormat::Plain, None, None);
        assert_eq!(text.max, 3 * 1024 * 1024 - 2);
        assert_eq!(Decl::text(TextFormat::Plain, Some(10), None).max, 40);
        assert_eq!(Decl::list(text.clone(), Keep::Atomic, None).max, (3 * 1024 * 1024 - 2) / 3);
        assert_eq!(Decl::map(text.clone(), None).max, (3 * 1024 * 1024 - 2) / 8);
        let object = Decl::object("o", [("ab".to_owned(), text, true)]);
        assert_eq!(object.min_bytes, 2 + 2 + 2 + 4);
        assert_eq!(object.max_at(&["ab".into()]), Some(3 * 1024 * 1024 - 2));
        assert_eq!(object.max_at(&["c".into()]), None);
    }
}
