//! The account of who manages what: `metadata.managedFields`.
//!
//! In: an object's list. Out: a list. Entries that cannot be read are forgotten.

use super::Conflict;
use super::set::Set;
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// More managers by update than this are merged, the oldest first.
const MOST_UPDATERS: usize = 10;
/// The name under which merged managers are remembered.
const ANCIENT: &str = "ancient-changes";

/// A manager: two entries of the same are one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Who<'v> {
    name: Cow<'v, str>,
    is_apply: bool,
    api_version: Cow<'v, str>,
    subresource: Cow<'v, str>,
}

impl<'v> Who<'v> {
    pub(super) fn apply(name: &'v str, api_version: &'v str, subresource: &'v str) -> Who<'v> {
        Who { name: name.into(), is_apply: true, api_version: api_version.into(), subresource: subresource.into() }
    }

    pub(super) fn update(name: &'v str, api_version: &'v str, subresource: &'v str) -> Who<'v> {
        Who { is_apply: false, ..Who::apply(name, api_version, subresource) }
    }
}

/// What a manager manages, and since when.
#[derive(Debug, Clone)]
pub(super) struct Held<'v> {
    who: Who<'v>,
    pub(super) time: Cow<'v, str>,
    pub(super) fields: Set<'v>,
}

/// Everybody, as the object tells it that lends the texts.
#[derive(Debug, Clone, Default)]
pub(super) struct Managers<'v>(Vec<Held<'v>>);

impl<'v> Managers<'v> {
    pub(super) fn decode(object: Option<&'v Value>) -> Managers<'v> {
        let list = object.and_then(|object| object.pointer("/metadata/managedFields")).and_then(Value::as_array);
        list.map(|list| Managers::of(list)).unwrap_or_default()
    }

    pub(super) fn of(list: &'v [Value]) -> Managers<'v> {
        let held = |entry: &'v Value| {
            let text = |name: &str| Cow::Borrowed(entry[name].as_str().unwrap_or_default());
            let is_apply = match entry["operation"].as_str()? {
                "Apply" => true,
                "Update" => false,
                _ => return None,
            };
            let who = Who {
                name: text("manager"),
                is_apply,
                api_version: text("apiVersion"),
                subresource: text("subresource"),
            };
            Some(Held { who, time: text("time"), fields: Set::parse(&entry["fieldsV1"]) })
        };
        Managers(list.iter().filter_map(held).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, who: &Who<'_>) -> Option<Held<'v>> {
        // The version is the one of the last write, which a new write replaces.
        let same = |held: &Held<'_>| {
            held.who.name == who.name
                && held.who.is_apply == who.is_apply
                && held.who.subresource == who.subresource
                && (who.is_apply || held.who.api_version == who.api_version)
        };
        self.0.iter().position(same).map(|at| self.0.remove(at))
    }

    pub(super) fn put(&mut self, who: Who<'v>, fields: Set<'v>, time: Cow<'v, str>) {
        if !fields.is_empty() {
            self.0.push(Held { who, time, fields });
        }
    }

    /// Everything that anybody manages.
    pub(super) fn all(&self) -> Set<'v> {
        let mut all = Set::default();
        self.0.iter().for_each(|held| all.union(held.fields.clone()));
        all
    }

    /// What of these fields others hold.
    pub(super) fn conflicts(&self, changed: &Set<'_>) -> Vec<Conflict> {
        let of = |held: &Held<'_>| -> Vec<Conflict> {
            let paths = held.fields.common(changed).describe();
            if paths.is_empty() {
                return Vec::new();
            }
            let manager = held.describe();
            paths.into_iter().map(|path| Conflict { manager: manager.clone(), path }).collect()
        };
        self.0.iter().flat_map(of).collect()
    }

    /// Everybody loses these fields.
    pub(super) fn lose(&mut self, fields: &Set<'_>) {
        self.0.retain_mut(|held| {
            held.fields.subtract(fields);
            !held.fields.is_empty()
        });
    }

    /// Merges the oldest updaters where there are too many.
    pub(super) fn cap(&mut self) {
        let updaters = self.0.iter().filter(|held| !held.who.is_apply).count();
        if updaters <= MOST_UPDATERS {
            return;
        }
        self.sort();
        let mut surplus = updaters - MOST_UPDATERS + 1;
        let mut ancient: Vec<Held<'v>> = Vec::new();
        self.0.retain(|held| {
            if held.who.is_apply || surplus == 0 {
                return true;
            }
            surplus -= 1;
            let who = Who { api_version: held.who.api_version.clone(), ..Who::update(ANCIENT, "", "") };
            match ancient.iter_mut().find(|known| known.who == who) {
                Some(known) => {
                    known.fields.union(held.fields.clone());
                    known.time = known.time.clone().max(held.time.clone());
                }
                None => ancient.push(Held { who, time: held.time.clone(), fields: held.fields.clone() }),
            }
            false
        });
        self.0.extend(ancient);
    }

    /// Appliers first, then by time, then by name.
    fn sort(&mut self) {
        fn key<'a>(held: &'a Held<'_>) -> (bool, &'a str, &'a str, &'a str, &'a str) {
            let who = &held.who;
            (!who.is_apply, &held.time, &who.name, &who.api_version, &who.subresource)
        }
        self.0.sort_by(|a, b| key(a).cmp(&key(b)));
    }

    /// The list as objects have it; null for nobody.
    pub(super) fn into_json(mut self) -> Value {
        self.sort();
        match self.0.is_empty() {
            true => Value::Null,
            false => Value::Array(self.0.iter().map(Held::to_json).collect()),
        }
    }
}

/// Writes a list into an object; null takes it out.
pub(super) fn write(list: Value, object: &mut Value) {
    let Some(metadata) = object.as_object_mut().map(|map| map.entry("metadata").or_insert_with(|| json!({}))) else {
        return;
    };
    let Some(metadata) = metadata.as_object_mut() else { return };
    match list {
        Value::Null => drop(metadata.remove("managedFields")),
        list => drop(metadata.insert("managedFields".to_owned(), list)),
    }
}

impl Held<'_> {
    fn to_json(&self) -> Value {
        let mut out = Map::new();
        let mut put = |name: &str, value: Value| drop(out.insert(name.to_owned(), value));
        put("apiVersion", Value::from(&*self.who.api_version));
        put("fieldsType", Value::from("FieldsV1"));
        put("fieldsV1", self.fields.to_json());
        put("manager", Value::from(&*self.who.name));
        put("operation", Value::from(if self.who.is_apply { "Apply" } else { "Update" }));
        if !self.who.subresource.is_empty() {
            put("subresource", Value::from(&*self.who.subresource));
        }
        if !self.time.is_empty() {
            put("time", Value::from(&*self.time));
        }
        Value::Object(out)
    }

    /// As conflicts name it.
    fn describe(&self) -> String {
        let mut out = format!("{:?}", self.who.name);
        if !self.who.subresource.is_empty() {
            out += &format!(" with subresource {:?}", self.who.subresource);
        }
        if !self.who.is_apply {
            out += &format!(" using {}", self.who.api_version);
            if !self.time.is_empty() {
                out += &format!(" at {}", self.time);
            }
        }
        out
    }
}
