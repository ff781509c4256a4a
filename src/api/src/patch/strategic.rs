//! Strategic merge patch: lists merge by key where the schema says so; `$` directives say the rest.
//!
//! In: an object, a patch, the object's schema. Out: the object changed.

use super::PatchError;
use crate::schema::{Field, Node, Shape, Struct};
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const ELEMENT_ORDER: &str = "$setElementOrder/";
const DELETE_PRIMITIVES: &str = "$deleteFromPrimitiveList/";

type Object = Map<String, Value>;

/// Merges a patch into an object of that schema.
pub fn strategic(schema: Struct<'_>, target: &mut Value, patch: Value) -> Result<(), PatchError> {
    let Value::Object(patch) = patch else {
        return Err(PatchError::Malformed("Invalid JSON Patch".to_owned()));
    };
    let Value::Object(original) = target else {
        return Err(PatchError::Malformed("the object to be patched is no object".to_owned()));
    };
    merge_map(original, patch, At::Node(schema.node()))
}

/// What is known of the place: a node of the schema, or nothing.
#[derive(Clone, Copy)]
enum At<'a> {
    Node(Node<'a>),
    Unknown,
}

/// What is known of a member: its place, and its patch strategy where it is a field.
struct Member<'a> {
    at: At<'a>,
    field: Option<Field<'a>>,
}

impl<'a> At<'a> {
    fn member(self, name: &str) -> Member<'a> {
        let unknown = Member { at: At::Unknown, field: None };
        let At::Node(node) = self else { return unknown };
        match node.shape() {
            Shape::Struct(own) => match own.field(name) {
                Some(field) => Member { at: At::Node(field.node()), field: Some(field) },
                None => unknown,
            },
            Shape::Map(item) => Member { at: At::Node(item), field: None },
            _ => unknown,
        }
    }

    fn item(self) -> At<'a> {
        match self {
            At::Node(node) => match node.shape() {
                Shape::List(item) => At::Node(item),
                _ => At::Unknown,
            },
            At::Unknown => At::Unknown,
        }
    }

    fn name(self) -> &'static str {
        match self {
            At::Node(node) => node.name().and_then(|name| name.rsplit('.').next()).unwrap_or("list"),
            At::Unknown => "list",
        }
    }
}

impl Member<'_> {
    fn merges(&self) -> bool {
        self.field.is_some_and(|field| field.strategy().merge)
    }

    fn key(&self) -> &str {
        self.field.map_or("", |field| field.strategy().key)
    }

    fn replaces(&self) -> bool {
        self.field.is_some_and(|field| field.strategy().replace)
    }
}

fn merge_map(original: &mut Object, mut patch: Object, at: At<'_>) -> Result<(), PatchError> {
    if let Some(directive) = patch.remove(PATCH) {
        match directive.as_str() {
            Some("replace") => {
                *original = patch;
                return Ok(());
            }
            Some("delete") => {
                original.clear();
                return Ok(());
            }
            // Merging is what happens anyway.
            Some("merge") => {}
            _ => return Err(bad_directive(&directive, &patch)),
        }
    }
    retain_keys(original, &mut patch)?;
    element_orders(original, &mut patch, at)?;
    for (key, value) in patch {
        if let Some(name) = key.strip_prefix(DELETE_PRIMITIVES) {
            if let Value::Array(gone) = value {
                take_out(original, name, &gone);
            }
            continue;
        }
        if value.is_null() {
            original.remove(&key);
            continue;
        }
        let member = at.member(&key);
        match (original.get_mut(&key), value) {
            (Some(Value::Object(old)), Value::Object(new)) if !member.replaces() => merge_map(old, new, member.at)?,
            (Some(Value::Array(old)), Value::Array(new)) if member.merges() => {
                let merged = merge_list(std::mem::take(old), new, &member)?;
                original.insert(key, Value::Array(merged));
            }
            (_, value) => {
                if let Some(value) = without_directives(value) {
                    original.insert(key, value);
                }
            }
        }
    }
    Ok(())
}

/// Takes values out of a list of the object.
fn take_out(original: &mut Object, name: &str, gone: &[Value]) {
    let gone = places(gone, "");
    if let Some(Value::Array(list)) = original.get_mut(name) {
        list.retain(|item| !gone.contains_key(&item.to_string()));
    }
}

fn bad_directive(directive: &Value, patch: &Object) -> PatchError {
    let directive = directive.as_str().map_or_else(|| directive.to_string(), str::to_owned);
    PatchError::Malformed(format!("unknown patch type: {directive} in map: {}", Value::Object(patch.clone())))
}

fn no_key(map: &Value, key: &str) -> PatchError {
    PatchError::Malformed(format!("map: {map} does not contain declared merge key: {key}"))
}

fn retain_keys(original: &mut Object, patch: &mut Object) -> Result<(), PatchError> {
    let Some(keys) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let keys = keys.as_array().ok_or_else(|| PatchError::Malformed("invalid patch format of retainKeys".to_owned()))?;
    let keys: HashSet<&str> = keys.iter().filter_map(Value::as_str).collect();
    let keeps = |name: &str| keys.contains(name);
    // A null says that the key is to go, which leaving it out of the list says too.
    if patch.iter().any(|(name, value)| !name.starts_with('$') && !value.is_null() && !keeps(name)) {
        return Err(PatchError::Malformed("invalid patch format of retainKeys".to_owned()));
    }
    original.retain(|name, _| keeps(name));
    Ok(())
}

/// `$setElementOrder/x` says in which order the items of x that the patch's author knows are to stand.
fn element_orders(original: &mut Object, patch: &mut Object, at: At<'_>) -> Result<(), PatchError> {
    let directives: Vec<String> = patch.keys().filter(|key| key.starts_with(ELEMENT_ORDER)).cloned().collect();
    for directive in directives {
        let Some(Value::Array(order)) = patch.remove(&directive) else {
            return Err(PatchError::Malformed(format!("{directive} must be a list")));
        };
        let name = &directive[ELEMENT_ORDER.len()..];
        let member = at.member(name);
        // Deletions come first: they share the list.
        if let Some(Value::Array(gone)) = patch.remove(&format!("{DELETE_PRIMITIVES}{name}")) {
            take_out(original, name, &gone);
        }
        let before = match original.get(name) {
            Some(Value::Array(list)) => Some(list.clone()),
            _ => None,
        };
        let added = match patch.get(name) {
            Some(Value::Array(_)) => match patch.remove(name) {
                Some(Value::Array(list)) => Some(list),
                _ => None,
            },
            Some(_) => continue,
            None => None,
        };
        let merged = match (&before, added) {
            (Some(before), None) => before.clone(),
            (None, Some(added)) => match without_directives(Value::Array(added)) {
                Some(Value::Array(list)) => list,
                _ => continue,
            },
            (Some(before), Some(added)) => merge_list(before.clone(), added, &member)?,
            (None, None) => continue,
        };
        let ordered = reorder(merged, &order, &before.unwrap_or_default(), member.key());
        original.insert(name.to_owned(), Value::Array(ordered));
    }
    Ok(())
}

fn merge_list(original: Vec<Value>, patch: Vec<Value>, member: &Member<'_>) -> Result<Vec<Value>, PatchError> {
    let key = member.key();
    let item = member.at.item();
    if !patch.iter().chain(&original).any(Value::is_object) {
        let mut merged = original.clone();
        let mut known: HashSet<String> = original.iter().map(Value::to_string).collect();
        merged.extend(patch.iter().filter(|value| known.insert(value.to_string())).cloned());
        return Ok(reorder(merged, &patch, &original, ""));
    }
    if key.is_empty() {
        return Err(PatchError::Malformed(format!("cannot merge lists without merge key for {}", item.name())));
    }
    let mut merged = original;
    let mut ordinary = Vec::new();
    let mut gone = HashSet::new();
    let mut replaces = false;
    for mut value in patch {
        let directive = match &mut value {
            Value::Object(map) => map.remove(PATCH),
            other => return Err(no_key(other, key)),
        };
        match directive.as_ref().map(|directive| directive.as_str().unwrap_or_default()) {
            None => ordinary.push(value),
            Some("delete") => {
                gone.insert(mark(&value, key).ok_or_else(|| no_key(&value, key))?);
            }
            Some("replace") => replaces = true,
            Some("merge") => {
                return Err(PatchError::Malformed("merging lists cannot yet be specified in the patch".to_owned()));
            }
            Some(_) => {
                let map = value.as_object().cloned().unwrap_or_default();
                return Err(bad_directive(&directive.unwrap_or_default(), &map));
            }
        }
    }
    if replaces {
        return Ok(ordinary.into_iter().filter_map(without_directives).collect());
    }
    if !gone.is_empty() {
        merged.retain(|item| mark(item, key).is_none_or(|mark| !gone.contains(&mark)));
    }
    let before = merged.clone();
    let order = ordinary.clone();
    let mut places = places(&merged, key);
    for value in ordinary {
        let wanted = mark(&value, key).ok_or_else(|| no_key(&value, key))?;
        let found = places.get(&wanted).and_then(|at| merged.get_mut(*at));
        match (found, value) {
            (Some(Value::Object(old)), Value::Object(new)) => merge_map(old, new, item)?,
            (_, value) => {
                if let Some(value) = without_directives(value) {
                    places.entry(wanted).or_insert(merged.len());
                    merged.push(value);
                }
            }
        }
    }
    Ok(reorder(merged, &order, &before, key))
}

/// By what an item is told from others: itself, or what it has at the key; `None` if it has nothing there.
fn mark(item: &Value, key: &str) -> Option<String> {
    if key.is_empty() { Some(item.to_string()) } else { item.get(key).map(Value::to_string) }
}

/// Where each item of a list stands first. Lists may have a million items: nothing here looks for each of one in
/// another.
fn places(list: &[Value], key: &str) -> HashMap<String, usize> {
    let mut places = HashMap::with_capacity(list.len());
    for (at, item) in list.iter().enumerate() {
        if let Some(mark) = mark(item, key) {
            places.entry(mark).or_insert(at);
        }
    }
    places
}

/// Items that the patch knows stand in the patch's order, the others in the server's; where both lists place two
/// items, the server's order decides which goes first.
fn reorder(merged: Vec<Value>, patch_order: &[Value], server_order: &[Value], key: &str) -> Vec<Value> {
    /// An item with its places in the patch's and the server's order.
    struct Placed {
        item: Value,
        patch: Option<usize>,
        server: Option<usize>,
    }
    let (patch_places, server_places) = (places(patch_order, key), places(server_order, key));
    let placed = merged.into_iter().map(|item| {
        let mark = mark(&item, key);
        let place = |places: &HashMap<String, usize>| mark.as_ref().and_then(|mark| places.get(mark)).copied();
        Placed { patch: place(&patch_places), server: place(&server_places), item }
    });
    let (mut known, mut others): (Vec<Placed>, Vec<Placed>) = placed.partition(|one| one.patch.is_some());
    known.sort_by_key(|one| one.patch);
    others.sort_by_key(|one| one.server.unwrap_or(usize::MAX));
    let mut ordered = Vec::with_capacity(known.len() + others.len());
    let (mut known, mut others) = (known.into_iter().peekable(), others.into_iter().peekable());
    loop {
        let other_first = match (others.peek(), known.peek()) {
            (Some(other), Some(item)) => match (other.server, item.server) {
                (Some(other), Some(item)) => other < item,
                _ => false,
            },
            (Some(_), None) => true,
            (None, _) => false,
        };
        match if other_first { others.next() } else { known.next() } {
            Some(one) => ordered.push(one.item),
            None => return ordered,
        }
    }
}

/// A value as it stands where nothing stood before: directives and nulls are gone; `None` if it deletes itself.
fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(mut map) => {
            if map.remove(PATCH).is_some_and(|directive| directive == "delete") {
                return None;
            }
            let kept = map
                .into_iter()
                .filter(|(key, value)| {
                    !value.is_null()
                        && key != RETAIN_KEYS
                        && !key.starts_with(ELEMENT_ORDER)
                        && !key.starts_with(DELETE_PRIMITIVES)
                })
                .filter_map(|(key, value)| Some((key, without_directives(value)?)))
                .collect();
            Some(Value::Object(kept))
        }
        // An item that held nothing but `$patch: replace` says something of the list and is no item.
        Value::Array(list) => Some(Value::Array(
            list.into_iter()
                .filter(|item| !item.as_object().is_some_and(|map| map.len() == 1 && map.contains_key(PATCH)))
                .filter_map(without_directives)
                .collect(),
        )),
        other => Some(other),
    }
}
