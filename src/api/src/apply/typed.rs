//! Values as their schema sees them: what paths they have, how two differ, merge, and lose what nobody wants.
//!
//! In: a schema and values. Out: sets of paths and values. Knows nothing of managers.

use super::path::Step;
use super::set::Set;
use crate::schema::{Field, ListType, Node, Shape, Struct};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// How two values differ.
#[derive(Debug, Default)]
pub(super) struct Difference {
    added: Set,
    modified: Set,
    removed: Set,
}

impl Difference {
    /// What is new or different, and what is gone.
    pub(super) fn split(self) -> (Set, Set) {
        let mut changed = self.added;
        changed.union(&self.modified);
        (changed, self.removed)
    }
}

/// A place in the schema and how it merges.
#[derive(Clone, Copy)]
enum Place<'a> {
    /// One value.
    Leaf,
    /// Named fields.
    Fields(Struct<'a>),
    /// Any keys.
    Keys(Node<'a>),
    /// Items told apart by value or by keys.
    Items(Node<'a>, ListType<'a>),
    /// Whatever is there: objects merge field by field, everything else is one value.
    Deduced,
}

impl<'a> Place<'a> {
    fn of_field(field: Field<'a>) -> Place<'a> {
        match field.node().shape() {
            _ if field.is_map_atomic() => Place::Leaf,
            Shape::List(item) => Place::of_list(item, field.list_type()),
            _ => Place::of_node(field.node()),
        }
    }

    fn of_list(item: Node<'a>, list: ListType<'a>) -> Place<'a> {
        if matches!(list, ListType::Atomic) { Place::Leaf } else { Place::Items(item, list) }
    }

    /// What a deduced place is, given what stands there.
    fn seen(self, values: [Option<&Value>; 2]) -> Place<'a> {
        match self {
            Place::Deduced if values.iter().flatten().any(|value| !value.is_object()) => Place::Leaf,
            place => place,
        }
    }

    fn of_node(node: Node<'a>) -> Place<'a> {
        match node.shape() {
            _ if node.is_atomic() => Place::Leaf,
            Shape::Struct(own) => Place::Fields(own),
            Shape::Map(item) => Place::Keys(item),
            Shape::List(item) => Place::of_list(item, node.list_type()),
            Shape::Deduced => Place::Deduced,
            Shape::Scalar(_) | Shape::Raw | Shape::Any => Place::Leaf,
        }
    }

    /// The place of a member of an object here, and whether it is a declared field.
    fn member(self, name: &str) -> (Place<'a>, Option<Field<'a>>) {
        match self {
            Place::Fields(own) => match own.field(name) {
                Some(field) => (Place::of_field(field), Some(field)),
                None if own.keeps_unknown() => (Place::Deduced, None),
                None => (Place::Leaf, None),
            },
            Place::Keys(item) => (Place::of_node(item), None),
            Place::Deduced => (Place::Deduced, None),
            Place::Leaf | Place::Items(..) => (Place::Leaf, None),
        }
    }
}

/// The step that tells a list item apart.
pub(super) fn step_of(item: &Value, node: Node<'_>, list: ListType<'_>) -> Result<Step, String> {
    let ListType::Map(_) = list else { return Ok(Step::Item(item.to_string())) };
    let own = node.as_struct();
    let mut keys = Map::new();
    for key in list.keys() {
        let default = || {
            let field = own?.field(key)?;
            match field.default_json() {
                "" => None,
                text => serde_json::from_str(text).ok(),
            }
        };
        if let Some(value) = item.get(key).cloned().or_else(default) {
            keys.insert(key.to_owned(), value);
        } else if own.and_then(|own| own.field(key)).is_none_or(Field::is_required) {
            return Err(format!(
                "associative list with keys has an element that omits key field {key:?} (and doesn't have default value)"
            ));
        }
    }
    Ok(Step::Key(Value::Object(keys).to_string()))
}

/// Items by their step, in order. An item that cannot be told apart, or is there twice, is left out.
fn steps<'v>(list: &'v [Value], node: Node<'_>, kind: ListType<'_>) -> Vec<(Step, &'v Value)> {
    let mut out: Vec<(Step, &Value)> = Vec::with_capacity(list.len());
    let mut seen = BTreeMap::new();
    for item in list {
        if let Ok(step) = step_of(item, node, kind)
            && seen.insert(step.clone(), ()).is_none()
        {
            out.push((step, item));
        }
    }
    out
}

/// The paths that a configuration lays claim to.
pub(super) fn field_set(schema: Struct<'_>, value: &Value) -> Result<Set, String> {
    let mut set = Set::default();
    claim(Place::Fields(schema), value, &mut Vec::new(), &mut set)?;
    Ok(set)
}

fn claim(place: Place<'_>, value: &Value, path: &mut Vec<Step>, set: &mut Set) -> Result<(), String> {
    match (place, value) {
        (Place::Fields(_) | Place::Keys(_) | Place::Deduced, Value::Object(map)) => {
            for (name, value) in map {
                let (below, field) = place.member(name);
                path.push(Step::Field(name.clone()));
                claim(below, value, path, set)?;
                let is_empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                if is_empty || field.is_none() {
                    set.insert(path);
                }
                path.pop();
            }
        }
        (Place::Items(node, kind), Value::Array(list)) => {
            let mut seen = BTreeMap::new();
            for (index, item) in list.iter().enumerate() {
                let here = |path: &[Step]| {
                    path.iter().fold(String::new(), |mut text, step| {
                        step.describe(&mut text);
                        text
                    })
                };
                let step =
                    step_of(item, node, kind).map_err(|why| format!("{}: element {index}: {why}", here(path)))?;
                if seen.insert(step.clone(), ()).is_some() {
                    let mut key = String::new();
                    step.describe(&mut key);
                    return Err(format!("{}: duplicate entries for key {key}", here(path)));
                }
                path.push(step);
                if !matches!(kind, ListType::Set) {
                    claim(Place::of_node(node), item, path, set)?;
                }
                set.insert(path);
                path.pop();
            }
        }
        _ => set.insert(path),
    }
    Ok(())
}

/// How `new` differs from `old`; `None` is the object before it was made, whose fixed structs are there and empty.
pub(super) fn compare(schema: Struct<'_>, old: Option<&Value>, new: &Value) -> Difference {
    let nothing = Value::Object(Map::new());
    let mut out = Difference::default();
    differ(Place::Fields(schema), Some(old.unwrap_or(&nothing)), Some(new), &mut Vec::new(), &mut out);
    out
}

static EMPTY: std::sync::LazyLock<Value> = std::sync::LazyLock::new(|| Value::Object(Map::new()));

fn differ(place: Place<'_>, old: Option<&Value>, new: Option<&Value>, path: &mut Vec<Step>, out: &mut Difference) {
    let leaf = |path: &[Step], out: &mut Difference| match (old, new) {
        (None, None) => {}
        (None, Some(_)) => out.added.insert(path),
        (Some(_), None) => out.removed.insert(path),
        (Some(old), Some(new)) if old != new => out.modified.insert(path),
        _ => {}
    };
    let is_absent_or = |value: Option<&Value>, fits: fn(&Value) -> bool| value.is_none_or(fits);
    match place.seen([old, new]) {
        Place::Fields(_) | Place::Keys(_) | Place::Deduced
            if is_absent_or(old, Value::is_object) && is_absent_or(new, Value::is_object) =>
        {
            let empty = Map::new();
            let old_map = old.and_then(Value::as_object).unwrap_or(&empty);
            let new_map = new.and_then(Value::as_object).unwrap_or(&empty);
            if old_map.is_empty() && new_map.is_empty() {
                return leaf(path, out);
            }
            for name in old_map.keys().chain(new_map.keys().filter(|name| !old_map.contains_key(*name))) {
                let (below, field) = place.member(name);
                // A struct that is no pointer in Go is there as soon as its owner is.
                let is_fixed =
                    field.is_some_and(|field| field.is_always_written() && field.node().as_struct().is_some());
                let present =
                    |owner: Option<&Value>, value: Option<&'_ Value>| value.is_none() && is_fixed && owner.is_some();
                let old_value = old_map.get(name);
                let new_value = new_map.get(name);
                let old_value = if present(old, old_value) { Some(&*EMPTY) } else { old_value };
                let new_value = if present(new, new_value) { Some(&*EMPTY) } else { new_value };
                path.push(Step::Field(name.clone()));
                differ(below, old_value, new_value, path, out);
                // A required list is null before it is filled, not absent.
                let is_list = matches!(below, Place::Items(..)) && field.is_some_and(Field::is_required);
                if is_list && old.is_some() && old_value.is_none() {
                    let mut one = Set::default();
                    one.insert(path);
                    out.added.subtract(&one);
                }
                path.pop();
            }
        }
        Place::Items(node, kind) if is_absent_or(old, Value::is_array) && is_absent_or(new, Value::is_array) => {
            let empty = Vec::new();
            let old_list = old.and_then(Value::as_array).unwrap_or(&empty);
            let new_list = new.and_then(Value::as_array).unwrap_or(&empty);
            if old_list.is_empty() && new_list.is_empty() {
                return leaf(path, out);
            }
            let old_items: BTreeMap<Step, &Value> = steps(old_list, node, kind).into_iter().collect();
            let new_items: BTreeMap<Step, &Value> = steps(new_list, node, kind).into_iter().collect();
            let below = if matches!(kind, ListType::Set) { Place::Leaf } else { Place::of_node(node) };
            for step in old_items.keys().chain(new_items.keys().filter(|step| !old_items.contains_key(*step))) {
                path.push(step.clone());
                differ(below, old_items.get(step).copied(), new_items.get(step).copied(), path, out);
                path.pop();
            }
        }
        _ => return leaf(path, out),
    }
    // Something that holds others is itself new or gone.
    if !path.is_empty() {
        match (old, new) {
            (None, Some(_)) => out.added.insert(path),
            (Some(_), None) => out.removed.insert(path),
            _ => {}
        }
    }
}

/// The paths of what a configuration would replace as a whole: lists, maps and structs that are atomic.
pub(super) fn atomics(schema: Struct<'_>, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    find_atomics(Place::Fields(schema), value, String::new(), &mut found);
    found
}

fn find_atomics(place: Place<'_>, value: &Value, path: String, found: &mut Vec<String>) {
    match (place, value) {
        (Place::Fields(_) | Place::Keys(_), Value::Object(map)) => {
            for (name, value) in map {
                find_atomics(place.member(name).0, value, format!("{path}.{name}"), found);
            }
        }
        (Place::Items(node, _), Value::Array(list)) => {
            for (index, item) in list.iter().enumerate() {
                find_atomics(Place::of_node(node), item, format!("{path}[{index}]"), found);
            }
        }
        (Place::Leaf, Value::Object(_) | Value::Array(_)) => found.push(path),
        _ => {}
    }
}

/// The object with the configuration merged in.
pub(super) fn merge(schema: Struct<'_>, live: &Value, config: &Value) -> Value {
    combine(Place::Fields(schema), live, config)
}

fn combine(place: Place<'_>, live: &Value, config: &Value) -> Value {
    match (place, live, config) {
        (Place::Fields(_) | Place::Keys(_) | Place::Deduced, Value::Object(old), Value::Object(new)) => {
            let mut out = old.clone();
            for (name, value) in new {
                let (below, _) = place.member(name);
                let merged = match old.get(name) {
                    Some(old) => combine(below, old, value),
                    None => value.clone(),
                };
                out.insert(name.clone(), merged);
            }
            Value::Object(out)
        }
        (Place::Items(node, kind), Value::Array(old), Value::Array(new)) => {
            let below = if matches!(kind, ListType::Set) { Place::Leaf } else { Place::of_node(node) };
            // What somebody else has twice, or without a key, stays as it is.
            let old: Vec<(Option<Step>, &Value)> =
                old.iter().map(|item| (step_of(item, node, kind).ok(), item)).collect();
            Value::Array(combine_lists(below, &old, &steps(new, node, kind)))
        }
        _ => config.clone(),
    }
}

/// Items that both have stand in the configuration's order; those that only the object has stay before the shared
/// item that they stood before.
fn combine_lists(below: Place<'_>, old: &[(Option<Step>, &Value)], new: &[(Step, &Value)]) -> Vec<Value> {
    let old_by_step: BTreeMap<&Step, &Value> =
        old.iter().rev().filter_map(|(step, item)| Some((step.as_ref()?, *item))).collect();
    let new_steps: BTreeMap<&Step, ()> = new.iter().map(|(step, _)| (step, ())).collect();
    let mut shared = new.iter().map(|(step, _)| step).filter(|step| old_by_step.contains_key(*step)).peekable();
    let mut out = Vec::with_capacity(old.len() + new.len());
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    loop {
        if let Some((step, item)) = old.peek() {
            let Some(step) = step.as_ref().filter(|step| new_steps.contains_key(step)) else {
                out.push((*item).clone());
                old.next();
                continue;
            };
            // A shared item whose turn has passed or is yet to come: it is taken from the configuration.
            if shared.peek() != Some(&step) {
                old.next();
                continue;
            }
        }
        let Some((step, item)) = new.next() else { return out };
        out.push(old_by_step.get(step).map_or_else(|| (*item).clone(), |old| combine(below, old, item)));
        if shared.peek() == Some(&step) {
            shared.next();
        }
    }
}

/// Takes out what was once applied and is now neither applied nor owned by anybody.
pub(super) fn prune(schema: Struct<'_>, value: &mut Value, before: &Set, owned: &Set) {
    shed(Place::Fields(schema), value, before, owned);
}

fn shed(place: Place<'_>, value: &mut Value, before: &Set, owned: &Set) {
    let nothing = Set::default();
    match (place, value) {
        (Place::Fields(_) | Place::Keys(_) | Place::Deduced, Value::Object(map)) => map.retain(|name, value| {
            let step = Step::Field(name.clone());
            if !before.has(&step) {
                return true;
            }
            if !owned.has(&step) {
                return false;
            }
            let (below, _) = place.member(name);
            if let Some(before) = before.below(&step) {
                shed(below, value, before, owned.below(&step).unwrap_or(&nothing));
            }
            true
        }),
        (Place::Items(node, kind), Value::Array(list)) => list.retain_mut(|item| {
            let Ok(step) = step_of(item, node, kind) else { return true };
            if before.has(&step) && !owned.has(&step) {
                return false;
            }
            if let Some(before) = before.below(&step) {
                shed(Place::of_node(node), item, before, owned.below(&step).unwrap_or(&nothing));
            }
            true
        }),
        _ => {}
    }
}
