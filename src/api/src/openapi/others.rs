//! What other servers publish in version 2, among what this server publishes.
//!
//! In: another server's document, which may say anything; later the parts that were kept of such documents. Out: of a
//! document the paths of one group version and the definitions they need, or what is wrong with it; of parts what is
//! to be written beside our own. A path that is ours stays ours; a definition that says something else under a name
//! of ours gets a name of its own (`NAME_v2`), as in Kubernetes; nobody speaks of kinds of a group version that is
//! not theirs. Clients give up on a whole document over one definition they cannot read, so those are refused.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::shape::{self, ShapeFault};

/// Where a definition says which kinds it is of.
const KINDS: &str = "x-kubernetes-group-version-kind";
const DEFINITION: &str = "#/definitions/";
const PARAMETER: &str = "#/parameters/";
/// A group version of a hundred kinds has some 500 KB; all parts are in memory while a document is made.
pub const MOST_PART: usize = 2 * 1024 * 1024;
/// Names tried for a definition whose name is taken.
const NAMES: usize = 1000;

/// Why another server's document is not published.
#[derive(Debug, thiserror::Error)]
pub enum PartFault {
    /// It is no JSON.
    #[error("the document cannot be read")]
    Json(#[from] serde_json::Error),
    /// It is none of version 2.
    #[error("the document is not of OpenAPI version 2")]
    Version,
    /// Something in it is not what it must be.
    #[error("the document is not sound")]
    Shape(#[from] ShapeFault),
    /// A reference leads nowhere.
    #[error("{0:?} is referred to and not there")]
    Dangling(String),
    /// It would be too much to keep.
    #[error("the paths and definitions are {0} bytes, more than {MOST_PART}")]
    TooLarge(usize),
}

/// What is kept of a document.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Part {
    paths: Map<String, Value>,
    definitions: Map<String, Value>,
}

/// Reads a document; out: what is to be kept of it for one group version, for [`Merged::of`].
pub fn part(document: &[u8], group: &str, version: &str) -> Result<Vec<u8>, PartFault> {
    let mut document: Value = serde_json::from_slice(document)?;
    if document["swagger"] != "2.0" {
        return Err(PartFault::Version);
    }
    let mut take = |key: &str| match document.get_mut(key).map(Value::take) {
        Some(Value::Object(members)) => members,
        _ => Map::new(),
    };
    let (parameters, mut paths, mut definitions) = (take("parameters"), take("paths"), take("definitions"));
    let below = format!("/apis/{group}/{version}/");
    paths.retain(|path, _| path.starts_with(&below));
    let mut size = 0;
    for item in paths.values_mut() {
        inline(item, &parameters, &mut size)?;
    }
    let mut part = Part { paths, definitions: Map::new() };
    for name in needed(&part.paths, &definitions)? {
        if let Some(mut definition) = definitions.remove(&name) {
            speak_for_itself(&mut definition, group, version);
            part.definitions.insert(name, definition);
        }
    }
    shape::paths(&part.paths)?;
    shape::definitions(&part.definitions)?;
    let kept = serde_json::to_vec(&part)?;
    if kept.len() > MOST_PART { Err(PartFault::TooLarge(kept.len())) } else { Ok(kept) }
}

/// Puts parameters that are shared in the document where they are used; `size` is how much that was so far.
fn inline(item: &mut Value, shared: &Map<String, Value>, size: &mut usize) -> Result<(), PartFault> {
    let mut fault = None;
    walk(item, &mut |value| {
        let Some(name) = target(value, PARAMETER).filter(|_| fault.is_none()).map(str::to_owned) else { return };
        let text = shared.get(&name).map(Value::to_string);
        *size += text.as_ref().map_or(0, String::len);
        match (text, shared.get(&name)) {
            // A small document can name a large parameter very often.
            _ if *size > MOST_PART => fault = Some(PartFault::TooLarge(*size)),
            // One that leads on to others could go round.
            (Some(text), Some(parameter)) if !text.contains(PARAMETER) => *value = parameter.clone(),
            _ => fault = Some(PartFault::Dangling(format!("{PARAMETER}{name}"))),
        }
    });
    fault.map_or(Ok(()), Err)
}

/// The definitions that the paths need, themselves or by others.
fn needed(paths: &Map<String, Value>, definitions: &Map<String, Value>) -> Result<BTreeSet<String>, PartFault> {
    let mut found = BTreeSet::new();
    let mut open: Vec<String> = paths.values().flat_map(references).collect();
    while let Some(name) = open.pop() {
        let Some(definition) = definitions.get(&name) else {
            return Err(PartFault::Dangling(format!("{DEFINITION}{name}")));
        };
        if found.insert(name) {
            open.extend(references(definition));
        }
    }
    Ok(found)
}

/// Leaves only the kinds of the group version in what a definition says it is of.
fn speak_for_itself(definition: &mut Value, group: &str, version: &str) {
    let Some(members) = definition.as_object_mut() else { return };
    let own = |row: &Value| row["group"] == group && row["version"] == version;
    let rows = members.remove(KINDS);
    let rows: Vec<Value> = rows.iter().filter_map(Value::as_array).flatten().filter(|row| own(row)).cloned().collect();
    if !rows.is_empty() {
        members.insert(KINDS.to_owned(), rows.into());
    }
}

/// Calls `visit` with every object and list in a value, those outside first.
fn walk(value: &mut Value, visit: &mut impl FnMut(&mut Value)) {
    visit(value);
    match value {
        Value::Object(members) => members.values_mut().for_each(|member| walk(member, visit)),
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, visit)),
        _ => {}
    }
}

/// The name that a reference leads to, if it is one below that prefix.
fn target<'a>(value: &'a Value, prefix: &str) -> Option<&'a str> {
    value.get("$ref")?.as_str()?.strip_prefix(prefix)
}

fn references(value: &Value) -> Vec<String> {
    let mut found: Vec<String> = target(value, DEFINITION).map(str::to_owned).into_iter().collect();
    match value {
        Value::Object(members) => members.values().for_each(|member| found.extend(references(member))),
        Value::Array(items) => items.iter().for_each(|item| found.extend(references(item))),
        _ => {}
    }
    found
}

/// What is to be written beside our own.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub paths: BTreeMap<String, Value>,
    pub definitions: BTreeMap<String, Value>,
    /// Kinds that others say our definitions are of, too.
    kinds: BTreeMap<String, Vec<Value>>,
}

impl Merged {
    /// Merges parts, the first first, beside paths and definitions of our own.
    pub fn of(parts: &[&[u8]], has_path: impl Fn(&str) -> bool, own: impl Fn(&str) -> Option<Value>) -> Merged {
        let mut merged = Merged::default();
        for part in parts {
            // They were written by `part`.
            let Ok(mut part) = serde_json::from_slice::<Part>(part) else { continue };
            part.paths.retain(|path, _| !has_path(path) && !merged.paths.contains_key(path));
            // Definitions that only paths of ours need are none of theirs.
            let Ok(needed) = needed(&part.paths, &part.definitions) else { continue };
            part.definitions.retain(|name, _| needed.contains(name));
            merged.add(part, &own);
        }
        merged
    }

    fn add(&mut self, mut part: Part, own: &impl Fn(&str) -> Option<Value>) {
        let mut renamed = BTreeMap::new();
        for (name, definition) in &part.definitions {
            if let Some(free) = self.name_for(name, definition, &part.definitions, own) {
                renamed.insert(name.clone(), free);
            }
        }
        let rename = &mut |value: &mut Value| {
            let to = target(value, DEFINITION).and_then(|name| renamed.get(name));
            if let Some(to) = to.map(|to| format!("{DEFINITION}{to}")) {
                value["$ref"] = to.into();
            }
        };
        part.paths.values_mut().for_each(|item| walk(item, rename));
        self.paths.extend(part.paths);
        for (name, mut definition) in part.definitions {
            let name = renamed.get(&name).cloned().unwrap_or(name);
            walk(&mut definition, rename);
            if own(&name).is_some() {
                let rows = definition[KINDS].as_array().cloned().unwrap_or_default();
                self.kinds.entry(name).or_default().extend(rows);
            } else if let Some(there) = self.definitions.get_mut(&name) {
                let rows = definition[KINDS].as_array().cloned().unwrap_or_default();
                put_kinds(there, &rows);
            } else {
                self.definitions.insert(name, definition);
            }
        }
    }

    /// The name that a definition gets whose own is taken by one that says something else.
    fn name_for(
        &self,
        name: &str,
        definition: &Value,
        beside: &Map<String, Value>,
        own: &impl Fn(&str) -> Option<Value>,
    ) -> Option<String> {
        let there = |name: &str| own(name).or_else(|| self.definitions.get(name).cloned());
        let taken = there(name)?;
        if says_the_same(&taken, definition) {
            return None;
        }
        let mut names = (2..NAMES).map(|i| format!("{name}_v{i}"));
        names.find(|free| match there(free) {
            Some(taken) => says_the_same(&taken, definition),
            None => !beside.contains_key(free),
        })
    }

    /// Adds to a definition of ours the kinds that others say it is of.
    pub fn note_kinds(&self, name: &str, definition: &mut Value) {
        if let Some(rows) = self.kinds.get(name) {
            put_kinds(definition, rows);
        }
    }
}

fn put_kinds(definition: &mut Value, rows: &[Value]) {
    let Some(members) = definition.as_object_mut().filter(|_| !rows.is_empty()) else { return };
    let there = members.entry(KINDS).or_insert_with(|| Value::Array(Vec::new()));
    let Some(there) = there.as_array_mut() else { return };
    for row in rows {
        if !there.contains(row) {
            there.push(row.clone());
        }
    }
}

/// Whether two definitions differ in nothing but the kinds they say they are of.
fn says_the_same(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else { return false };
    let rest = |members: &Map<String, Value>| members.keys().filter(|key| *key != KINDS).count();
    rest(a) == rest(b) && a.iter().filter(|(key, _)| *key != KINDS).all(|(key, value)| b.get(key) == Some(value))
}

#[cfg(test)]
mod tests;
