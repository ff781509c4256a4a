//! The account of who manages what: `metadata.managedFields`.
//!
//! In: an object's list. Out: a list. Entries that cannot be read are forgotten.

use super::Conflict;
use super::set::Set;
use serde_json::{Value, json};

/// More managers by update than this are merged, the oldest first.
const MOST_UPDATERS: usize = 10;
/// The name under which merged managers are remembered.
const ANCIENT: &str = "ancient-changes";

/// A manager: two entries of the same are one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Who {
    name: String,
    is_apply: bool,
    api_version: String,
    subresource: String,
}

impl Who {
    pub(super) fn apply(name: &str, api_version: &str, subresource: &str) -> Who {
        Who {
            name: name.to_owned(),
            is_apply: true,
            api_version: api_version.to_owned(),
            subresource: subresource.to_owned(),
        }
    }

    pub(super) fn update(name: &str, api_version: &str, subresource: &str) -> Who {
        Who { is_apply: false, ..Who::apply(name, api_version, subresource) }
    }
}

/// What a manager manages, and since when.
#[derive(Debug, Clone)]
pub(super) struct Held {
    who: Who,
    pub(super) time: String,
    pub(super) fields: Set,
}

/// Everybody.
#[derive(Debug, Clone, Default)]
pub(super) struct Managers(Vec<Held>);

impl Managers {
    pub(super) fn decode(object: Option<&Value>) -> Managers {
        let list = object.and_then(|object| object.pointer("/metadata/managedFields")).and_then(Value::as_array);
        list.map(|list| Managers::of(list)).unwrap_or_default()
    }

    pub(super) fn of(list: &[Value]) -> Managers {
        let held = |entry: &Value| {
            let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
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

    pub(super) fn take(&mut self, who: &Who) -> Option<Held> {
        // The version is the one of the last write, which a new write replaces.
        let same = |held: &Held| {
            held.who.name == who.name
                && held.who.is_apply == who.is_apply
                && held.who.subresource == who.subresource
                && (who.is_apply || held.who.api_version == who.api_version)
        };
        self.0.iter().position(same).map(|at| self.0.remove(at))
    }

    pub(super) fn put(&mut self, who: Who, fields: Set, time: &str) {
        if !fields.is_empty() {
            self.0.push(Held { who, time: time.to_owned(), fields });
        }
    }

    /// Everything that anybody manages.
    pub(super) fn all(&self) -> Set {
        let mut all = Set::default();
        self.0.iter().for_each(|held| all.union(&held.fields));
        all
    }

    /// What of these fields others hold.
    pub(super) fn conflicts(&self, changed: &Set) -> Vec<Conflict> {
        let of = |held: &Held| -> Vec<Conflict> {
            let manager = held.describe();
            let paths = held.fields.common(changed).describe();
            paths.into_iter().map(|path| Conflict { manager: manager.clone(), path }).collect()
        };
        self.0.iter().flat_map(of).collect()
    }

    /// Everybody loses these fields.
    pub(super) fn lose(&mut self, fields: &Set) {
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
        let mut ancient: Vec<Held> = Vec::new();
        self.0.retain(|held| {
            if held.who.is_apply || surplus == 0 {
                return true;
            }
            surplus -= 1;
            let who = Who::update(ANCIENT, &held.who.api_version, "");
            match ancient.iter_mut().find(|known| known.who == who) {
                Some(known) => {
                    known.fields.union(&held.fields);
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
        self.0.sort_by(|a, b| {
            let key = |held: &Held| (!held.who.is_apply, held.time.clone(), held.who.name.clone());
            key(a)
                .cmp(&key(b))
                .then_with(|| (&a.who.api_version, &a.who.subresource).cmp(&(&b.who.api_version, &b.who.subresource)))
        });
    }

    /// Writes the list into an object.
    pub(super) fn encode(mut self, object: &mut Value) {
        self.sort();
        let Some(metadata) = object.as_object_mut().map(|map| map.entry("metadata").or_insert_with(|| json!({})))
        else {
            return;
        };
        let Some(metadata) = metadata.as_object_mut() else { return };
        if self.0.is_empty() {
            metadata.remove("managedFields");
            return;
        }
        let list: Vec<Value> = self.0.iter().map(Held::to_json).collect();
        metadata.insert("managedFields".to_owned(), Value::Array(list));
    }
}

impl Held {
    fn to_json(&self) -> Value {
        let mut out = json!({
            "manager": self.who.name,
            "operation": if self.who.is_apply { "Apply" } else { "Update" },
            "apiVersion": self.who.api_version,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.fields.to_json(),
        });
        if !self.time.is_empty() {
            out["time"] = json!(self.time);
        }
        if !self.who.subresource.is_empty() {
            out["subresource"] = json!(self.who.subresource);
        }
        out
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
