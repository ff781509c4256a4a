//! Sets of paths, kept as a tree.
//!
//! In and out: the JSON of `fieldsV1`. A path is in the set if its last step is a member; a step below which
//! others are is a member only if it says so with `"."`.

use super::path::Step;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A set of paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Set(BTreeMap<Step, Entry>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Entry {
    is_member: bool,
    below: Set,
}

impl Set {
    pub(super) fn parse(fields: &Value) -> Set {
        let mut set = Set::default();
        for (text, below) in fields.as_object().into_iter().flatten() {
            let Some(step) = Step::parse(text) else { continue };
            let is_member = below.as_object().is_none_or(|below| below.is_empty() || below.contains_key("."));
            // Two texts of others may name one step.
            let entry = set.0.entry(step).or_default();
            entry.is_member |= is_member;
            entry.below.union(&Set::parse(below));
        }
        set
    }

    pub(super) fn to_json(&self) -> Value {
        let mut out = Map::new();
        for (step, entry) in &self.0 {
            let mut below = entry.below.to_json();
            if entry.is_member && !entry.below.0.is_empty() {
                below["."] = Value::Object(Map::new());
            }
            out.insert(step.text(), below);
        }
        Value::Object(out)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn insert(&mut self, path: &[Step]) {
        if let Some((first, rest)) = path.split_first() {
            // Most steps are there: they are copied only where they are not.
            let entry = match self.0.get_mut(first) {
                Some(entry) => entry,
                None => self.0.entry(first.clone()).or_default(),
            };
            if rest.is_empty() {
                entry.is_member = true;
            } else {
                entry.below.insert(rest);
            }
        }
    }

    pub(super) fn union(&mut self, other: &Set) {
        for (step, theirs) in &other.0 {
            let ours = match self.0.get_mut(step) {
                Some(ours) => ours,
                None => self.0.entry(step.clone()).or_default(),
            };
            ours.is_member |= theirs.is_member;
            ours.below.union(&theirs.below);
        }
    }

    /// Takes out every path that is in the other set.
    pub(super) fn subtract(&mut self, other: &Set) {
        self.0.retain(|step, ours| {
            if let Some(theirs) = other.0.get(step) {
                ours.is_member &= !theirs.is_member;
                ours.below.subtract(&theirs.below);
            }
            ours.is_member || !ours.below.0.is_empty()
        });
    }

    /// The paths that are in both.
    pub(super) fn common(&self, other: &Set) -> Set {
        let mut out = Set::default();
        for (step, ours) in &self.0 {
            let Some(theirs) = other.0.get(step) else { continue };
            let entry =
                Entry { is_member: ours.is_member && theirs.is_member, below: ours.below.common(&theirs.below) };
            if entry.is_member || !entry.below.0.is_empty() {
                out.0.insert(step.clone(), entry);
            }
        }
        out
    }

    /// Takes out fields of these names, but nothing that is below them.
    pub(super) fn drop_fields(&mut self, names: &[&str]) {
        self.0.retain(|step, entry| {
            if matches!(step, Step::Field(name) if names.contains(&name.as_str())) {
                entry.is_member = false;
            }
            entry.is_member || !entry.below.0.is_empty()
        });
    }

    /// Takes out fields of these names below a field, but nothing that is below them.
    pub(super) fn drop_fields_of(&mut self, owner: &str, names: &[&str]) {
        let owner = Step::Field(owner.to_owned());
        if let Some(entry) = self.0.get_mut(&owner) {
            entry.below.drop_fields(names);
            if !entry.is_member && entry.below.0.is_empty() {
                self.0.remove(&owner);
            }
        }
    }

    /// Whether a step is in the set; a field counts if anything below it is.
    pub(super) fn has(&self, step: &Step) -> bool {
        self.0
            .get(step)
            .is_some_and(|entry| entry.is_member || matches!(step, Step::Field(_)) && !entry.below.0.is_empty())
    }

    /// What is below a step.
    pub(super) fn below(&self, step: &Step) -> Option<&Set> {
        self.0.get(step).map(|entry| &entry.below)
    }

    /// The text of every path.
    pub(super) fn describe(&self) -> Vec<String> {
        fn walk(set: &Set, path: &str, out: &mut Vec<String>) {
            for (step, entry) in &set.0 {
                let mut path = path.to_owned();
                step.describe(&mut path);
                if entry.is_member {
                    out.push(path.clone());
                }
                walk(&entry.below, &path, out);
            }
        }
        let mut out = Vec::new();
        walk(self, "", &mut out);
        out
    }
}
