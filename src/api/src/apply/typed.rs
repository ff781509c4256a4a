//! Values as their schema sees them: what paths they have, how two differ, merge, and lose what nobody wants.
//!
//! In: a schema and values. Out: sets of paths and values. Knows nothing of managers.

use super::path::Step;
use super::set::{Entry, Set};
use crate::schema::{Field, ListType, Node, Shape, Struct};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// How two values differ.
#[derive(Debug, Default)]
pub(super) struct Difference<'v> {
    added: Set<'v>,
    modified: Set<'v>,
    removed: Set<'v>,
}

impl<'v> Difference<'v> {
    /// What is new or different, and what is gone.
    pub(super) fn split(self) -> (Set<'v>, Set<'v>) {
        let mut changed = self.added;
        changed.union(self.modified);
        (changed, self.removed)
    }
}

/// How one place differs: whether it is itself new, different or gone, and what is below it.
#[derive(Default)]
struct Here<'v> {
    added: Entry<'v>,
    modified: Entry<'v>,
    removed: Entry<'v>,
}

/// How the members of a place differ, step by step.
#[derive(Default)]
struct Below<'v> {
    added: Vec<(Step<'v>, Entry<'v>)>,
    modified: Vec<(Step<'v>, Entry<'v>)>,
    removed: Vec<(Step<'v>, Entry<'v>)>,
}

impl<'v> Below<'v> {
    fn push(&mut self, step: Step<'v>, here: Here<'v>) {
        let lists =
            [(&mut self.added, here.added), (&mut self.modified, here.modified), (&mut self.removed, here.removed)];
        for (list, entry) in lists {
            if entry != Entry::default() {
                list.push((step.clone(), entry));
            }
        }
    }

    fn end(self) -> Difference<'v> {
        Difference { added: Set::of(self.added), modified: Set::of(self.modified), removed: Set::of(self.removed) }
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
pub(super) fn step_of(item: &Value, node: Node<'_>, list: ListType<'_>) -> Result<Step<'static>, String> {
    let ListType::Map(_) = list else { return Ok(Step::Item(Cow::Owned(item.to_string()))) };
    let own = node.as_struct();
    let mut keys: BTreeMap<&str, Cow<'_, Value>> = BTreeMap::new();
    for key in list.keys() {
        let default = || {
            let field = own?.field(key)?;
            match field.default_json() {
                "" => None,
                text => serde_json::from_str(text).ok().map(Cow::Owned),
            }
        };
        if let Some(value) = item.get(key).map(Cow::Borrowed).or_else(default) {
            keys.insert(key, value);
        } else if own.and_then(|own| own.field(key)).is_none_or(Field::is_required) {
            return Err(format!(
                "associative list with keys has an element that omits key field {key:?} (and doesn't have default value)"
            ));
        }
    }
    // Names and values that were JSON are so again.
    Ok(Step::Key(Cow::Owned(serde_json::to_string(&keys).unwrap_or_default())))
}

/// Items by their step, in order. An item that cannot be told apart, or is there twice, is left out.
fn steps<'v>(list: &'v [Value], node: Node<'_>, kind: ListType<'_>) -> Vec<(Step<'static>, &'v Value)> {
    let mut out = Vec::with_capacity(list.len());
    let mut seen = BTreeSet::new();
    for item in list {
        if let Ok(step) = step_of(item, node, kind)
            && seen.insert(step.clone())
        {
            out.push((step, item));
        }
    }
    out
}

/// The paths that a configuration lays claim to.
pub(super) fn field_set<'v>(schema: Struct<'_>, value: &'v Value) -> Result<Set<'v>, String> {
    claim(Place::Fields(schema), value, None).map(|entry| entry.below)
}

/// The way to a place, from the last step to the first; lives on the stack.
struct Way<'a> {
    step: &'a Step<'a>,
    before: Option<&'a Way<'a>>,
}

fn described(way: Option<&Way<'_>>) -> String {
    let mut text = way.map_or_else(String::new, |way| described(way.before));
    if let Some(way) = way {
        way.step.describe(&mut text);
    }
    text
}

fn claim<'v>(place: Place<'_>, value: &'v Value, way: Option<&Way<'_>>) -> Result<Entry<'v>, String> {
    match (place, value) {
        (Place::Fields(_) | Place::Keys(_) | Place::Deduced, Value::Object(map)) => {
            let mut claimed = Vec::with_capacity(map.len());
            for (name, value) in map {
                let (below, field) = place.member(name);
                let step = Step::field(name);
                let mut entry = claim(below, value, Some(&Way { step: &step, before: way }))?;
                let is_empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                entry.is_member |= is_empty || field.is_none();
                claimed.push((step, entry));
            }
            Ok(Entry { is_member: false, below: Set::of(claimed) })
        }
        (Place::Items(node, kind), Value::Array(list)) => {
            let mut seen = BTreeSet::new();
            let mut claimed = Vec::with_capacity(list.len());
            for (index, item) in list.iter().enumerate() {
                let step =
                    step_of(item, node, kind).map_err(|why| format!("{}: element {index}: {why}", described(way)))?;
                if !seen.insert(step.clone()) {
                    let mut key = String::new();
                    step.describe(&mut key);
                    return Err(format!("{}: duplicate entries for key {key}", described(way)));
                }
                let mut entry = Entry::MEMBER;
                if !matches!(kind, ListType::Set) {
                    entry.below = claim(Place::of_node(node), item, Some(&Way { step: &step, before: way }))?.below;
                }
                claimed.push((step, entry));
            }
            Ok(Entry { is_member: false, below: Set::of(claimed) })
        }
        _ => Ok(Entry::MEMBER),
    }
}

/// How `new` differs from `old`, but for fields of the object that are `skipped`; `None` is the object before it was
/// made, whose fixed structs are there and empty.
pub(super) fn compare<'v>(
    schema: Struct<'_>,
    old: Option<&'v Value>,
    new: &'v Value,
    skipped: impl Fn(&str) -> bool,
) -> Difference<'v> {
    let (old, place) = (old.unwrap_or(&EMPTY), Place::Fields(schema));
    match (old.as_object(), new.as_object()) {
        (Some(before), Some(after)) => members(place, (Some(old), before), (Some(new), after), skipped).end(),
        _ => Difference::default(),
    }
}

static EMPTY: std::sync::LazyLock<Value> = std::sync::LazyLock::new(|| Value::Object(Map::new()));
static NO_FIELDS: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);

fn differ<'v>(place: Place<'_>, old: Option<&'v Value>, new: Option<&'v Value>) -> Here<'v> {
    let mut here = Here::default();
    let is_absent_or = |value: Option<&Value>, fits: fn(&Value) -> bool| value.is_none_or(fits);
    let below = match place.seen([old, new]) {
        Place::Fields(_) | Place::Keys(_) | Place::Deduced
            if is_absent_or(old, Value::is_object) && is_absent_or(new, Value::is_object) =>
        {
            let before = old.and_then(Value::as_object).unwrap_or(&NO_FIELDS);
            let after = new.and_then(Value::as_object).unwrap_or(&NO_FIELDS);
            let is_empty = before.is_empty() && after.is_empty();
            (!is_empty).then(|| members(place, (old, before), (new, after), |_| false))
        }
        Place::Items(node, kind) if is_absent_or(old, Value::is_array) && is_absent_or(new, Value::is_array) => {
            let before = old.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let after = new.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let is_empty = before.is_empty() && after.is_empty();
            (!is_empty).then(|| items(node, kind, before, after))
        }
        _ => None,
    };
    let is_leaf = below.is_none();
    if let Some(below) = below {
        let below = below.end();
        (here.added.below, here.modified.below, here.removed.below) = (below.added, below.modified, below.removed);
    }
    match (old, new) {
        // Something that holds others is itself new or gone.
        (None, Some(_)) => here.added.is_member = true,
        (Some(_), None) => here.removed.is_member = true,
        (Some(old), Some(new)) => here.modified.is_member = is_leaf && old != new,
        (None, None) => {}
    }
    here
}

/// The members of an object, `old` and `new` with their owners.
fn members<'v>(
    place: Place<'_>,
    (old_owner, old): (Option<&'v Value>, &'v Map<String, Value>),
    (new_owner, new): (Option<&'v Value>, &'v Map<String, Value>),
    skipped: impl Fn(&str) -> bool,
) -> Below<'v> {
    let mut out = Below::default();
    for name in old.keys().chain(new.keys().filter(|name| !old.contains_key(*name))) {
        if skipped(name) {
            continue;
        }
        let (below, field) = place.member(name);
        // A struct that is no pointer in Go is there as soon as its owner is.
        let is_fixed = || field.is_some_and(|field| field.is_always_written() && field.node().as_struct().is_some());
        let found = |owner: Option<&Value>, value: Option<&'v Value>| match value {
            None if owner.is_some() && is_fixed() => Some(&*EMPTY),
            value => value,
        };
        let before = found(old_owner, old.get(name));
        let mut here = differ(below, before, found(new_owner, new.get(name)));
        // A required list is null before it is filled, not absent.
        let is_list = matches!(below, Place::Items(..)) && field.is_some_and(Field::is_required);
        if is_list && old_owner.is_some() && before.is_none() {
            here.added.is_member = false;
        }
        out.push(Step::field(name), here);
    }
    out
}

fn items<'v>(node: Node<'_>, kind: ListType<'_>, old: &'v [Value], new: &'v [Value]) -> Below<'v> {
    let mut out = Below::default();
    let below = if matches!(kind, ListType::Set) { Place::Leaf } else { Place::of_node(node) };
    let old: BTreeMap<Step<'_>, &Value> = steps(old, node, kind).into_iter().collect();
    let mut new: BTreeMap<Step<'_>, &Value> = steps(new, node, kind).into_iter().collect();
    for (step, item) in old {
        let here = differ(below, Some(item), new.remove(&step));
        out.push(step, here);
    }
    for (step, item) in new {
        out.push(step, differ(below, None, Some(item)));
    }
    out
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

/// Merges a configuration into an object.
pub(super) fn merge(schema: Struct<'_>, object: &mut Value, config: &Value) {
    combine(Place::Fields(schema), object, config);
}

fn combine(place: Place<'_>, live: &mut Value, config: &Value) {
    match (place, live, config) {
        (Place::Fields(_) | Place::Keys(_) | Place::Deduced, Value::Object(live), Value::Object(new)) => {
            for (name, value) in new {
                match live.get_mut(name) {
                    Some(live) => combine(place.member(name).0, live, value),
                    None => drop(live.insert(name.clone(), value.clone())),
                }
            }
        }
        (Place::Items(node, kind), Value::Array(live), Value::Array(new)) => {
            let below = if matches!(kind, ListType::Set) { Place::Leaf } else { Place::of_node(node) };
            // What somebody else has twice, or without a key, stays as it is.
            let old = std::mem::take(live).into_iter().map(|item| (step_of(&item, node, kind).ok(), item)).collect();
            *live = combine_lists(below, old, &steps(new, node, kind));
        }
        (_, live, config) => live.clone_from(config),
    }
}

/// Items that both have stand in the configuration's order; those that only the object has stay before the shared
/// item that they stood before.
fn combine_lists(below: Place<'_>, old: Vec<(Option<Step<'_>>, Value)>, new: &[(Step<'_>, &Value)]) -> Vec<Value> {
    let mut order: Vec<usize> = (0..new.len()).collect();
    order.sort_unstable_by(|a, b| new[*a].0.cmp(&new[*b].0));
    let place_of = |step: &Step<'_>| order.binary_search_by(|at| new[*at].0.cmp(step)).ok().map(|at| order[at]);
    // For each item of the configuration the object's own, the first of its step; in the object a mark stands there.
    let mut shared: Vec<Option<Value>> = vec![None; new.len()];
    let mut kept = Vec::with_capacity(old.len());
    for (step, item) in old {
        let place = step.as_ref().and_then(place_of);
        kept.push(match place {
            None => Err(item),
            Some(place) => {
                shared[place].get_or_insert(item);
                Ok(place)
            }
        });
    }
    let is_shared: Vec<bool> = shared.iter().map(Option::is_some).collect();
    let mut turns = (0..new.len()).filter(|place| is_shared[*place]).peekable();
    let mut out = Vec::with_capacity(kept.len() + new.len());
    let (mut kept, mut places) = (kept.into_iter().peekable(), 0..new.len());
    loop {
        // A shared item whose turn has passed or is yet to come: it is taken from the configuration.
        if let Some(next) = kept.next_if(|next| next.as_ref().map_or(true, |place| turns.peek() != Some(place))) {
            out.extend(next.err());
            continue;
        }
        let Some(place) = places.next() else { return out };
        let item = new[place].1;
        out.push(match shared[place].take() {
            Some(mut live) => {
                combine(below, &mut live, item);
                live
            }
            None => item.clone(),
        });
        turns.next_if_eq(&place);
    }
}

/// Takes out what was once applied and is now neither applied nor owned by anybody.
pub(super) fn prune(schema: Struct<'_>, value: &mut Value, before: &Set<'_>, owned: &Set<'_>) {
    shed(Place::Fields(schema), value, before, owned);
}

fn shed(place: Place<'_>, value: &mut Value, before: &Set<'_>, owned: &Set<'_>) {
    let nothing = Set::default();
    match (place, value) {
        (Place::Fields(_) | Place::Keys(_) | Place::Deduced, Value::Object(map)) => map.retain(|name, value| {
            let step = Step::field(name);
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
