//! What of an object's text is worth decoding.
//!
//! In: the fields that a plugin declared of a kind, and the text of an object. Out: the object with its metadata and
//! the sections that those fields are in; the rest is passed over unread, managed fields above all, which are half of a
//! small object. Never judges: an object that is broken where nobody looks is still refused, as JSON.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::row::FieldSpec;

const METADATA: &str = "metadata";
const MANAGERS: &str = "managedFields";

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Projection {
    /// Somebody declared the object itself.
    Whole,
    /// Metadata and these sections.
    Sections {
        /// Their names.
        names: Vec<Box<str>>,
        /// Whether managed fields are looked at.
        managers: bool,
    },
}

impl Projection {
    /// What these fields need.
    pub fn of(fields: &[FieldSpec]) -> Projection {
        let (mut names, mut managers) = (Vec::<Box<str>>::new(), false);
        for field in fields {
            match field.path.sections() {
                (None, _) => return Projection::Whole,
                (Some(METADATA), inner) => managers |= inner.is_none_or(|inner| inner == MANAGERS),
                (Some(name), _) if names.iter().any(|known| **known == *name) => {}
                (Some(name), _) => names.push(name.into()),
            }
        }
        Projection::Sections { names, managers }
    }

    /// The object of a text.
    pub fn read(&self, text: &str) -> serde_json::Result<Value> {
        let Projection::Sections { names, managers } = self else { return serde_json::from_str(text) };
        let mut reader = serde_json::Deserializer::from_str(text);
        let wanted = |name: &str| name == METADATA || names.iter().any(|known| **known == *name);
        let within = |name: &str| *managers || name != MANAGERS;
        let object = Chosen { wanted: &wanted, within: Some(&within) }.deserialize(&mut reader)?;
        reader.end()?;
        Ok(object)
    }
}

type Choice<'a> = &'a dyn Fn(&str) -> bool;

/// Some entries of an object; of its metadata those that are wanted within.
#[derive(Clone, Copy)]
struct Chosen<'a> {
    wanted: Choice<'a>,
    within: Option<Choice<'a>>,
}

/// A key that is copied only if it has escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> DeserializeSeed<'de> for Chosen<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Chosen<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(Name(name)) = entries.next_key()? {
            if !(self.wanted)(&name) {
                entries.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = match self.within.filter(|_| name == METADATA) {
                Some(wanted) => entries.next_value_seed(Chosen { wanted, within: None })?,
                None => entries.next_value()?,
            };
            object.insert(name.into_owned(), value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::FieldPath;
    use kedge_plugin_api::controllers::FieldType;
    use serde_json::json;

    #[track_caller]
    fn check(paths: &[&str], expected: Value) {
        let object = json!({
            "apiVersion": "v1", "kind": "Thing",
            "metadata": {"name": "a\"b", "labels": {"l": "v"}, "managedFields": [{"manager": "m"}]},
            "spec": {"replicas": 3, "managedFields": 1}, "data": {"k": "v"}, "status": {"ready": true},
        });
        let field = |path: &&str| FieldSpec { path: FieldPath::parse(path).unwrap(), field_type: FieldType::Json };
        let fields: Vec<FieldSpec> = paths.iter().map(field).collect();
        let read = Projection::of(&fields).read(&object.to_string()).unwrap();
        assert_eq!(read, expected, "{paths:?}");
        for field in fields {
            assert_eq!(field.path.find(&read), field.path.find(&object), "{field:?}");
        }
    }

    #[test]
    fn what_nobody_declared_is_passed_over() {
        let metadata = json!({"name": "a\"b", "labels": {"l": "v"}});
        check(&[], json!({"metadata": metadata}));
        check(&["metadata.deletionTimestamp"], json!({"metadata": metadata}));
        check(&["spec.replicas"], json!({"metadata": metadata, "spec": {"replicas": 3, "managedFields": 1}}));
        check(&["data", "status.ready"], json!({"metadata": metadata, "data": {"k": "v"}, "status": {"ready": true}}));
    }

    #[test]
    fn what_is_looked_at_whole_is_whole() {
        let metadata = json!({"name": "a\"b", "labels": {"l": "v"}, "managedFields": [{"manager": "m"}]});
        check(&["metadata"], json!({"metadata": metadata}));
        check(&["metadata.managedFields[0].manager"], json!({"metadata": metadata}));
        let fields = [FieldSpec { path: FieldPath::parse(".").unwrap(), field_type: FieldType::Hash }];
        assert_eq!(Projection::of(&fields), Projection::Whole);
    }

    #[test]
    fn what_is_broken_is_refused_wherever_it_is() {
        let projection = Projection::of(&[]);
        assert!(projection.read(r#"{"metadata":{"name":"a"},"spec":{"a":}}"#).is_err());
        assert!(projection.read(r#"{"metadata":{"name":"a"}} x"#).is_err());
        assert!(projection.read("[]").is_err());
    }
}
