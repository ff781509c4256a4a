//! Sets of paths, kept as a tree.
//!
//! In and out: the JSON of `fieldsV1`. A path is in the set if its last step is a member; a step below which
//! others are is a member only if it says so with `"."`. Steps are lent by the values they were found in.

use super::path::Step;
use serde_json::{Map, Value};
use std::cmp::Ordering;

/// A set of paths: the first steps, sorted, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Set<'v>(Vec<(Step<'v>, Entry<'v>)>);

/// What is in a set of one step: the step itself, and what is below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entry<'v> {
    pub(super) is_member: bool,
    pub(super) below: Set<'v>,
}

impl Entry<'_> {
    pub(super) const MEMBER: Entry<'static> = Entry { is_member: true, below: Set(Vec::new()) };

    fn is_empty(&self) -> bool {
        !self.is_member && self.below.0.is_empty()
    }
}

impl<'v> Entry<'v> {
    fn union(&mut self, other: Entry<'v>) {
        self.is_member |= other.is_member;
        self.below.union(other.below);
    }
}

impl<'v> Set<'v> {
    /// Of steps in any order; what is given for one step more than once is put together, what is empty left out.
    pub(super) fn of(mut steps: Vec<(Step<'v>, Entry<'v>)>) -> Set<'v> {
        steps.retain(|(_, entry)| !entry.is_empty());
        if !steps.is_sorted_by(|(a, _), (b, _)| a < b) {
            steps.sort_by(|(a, _), (b, _)| a.cmp(b));
            steps.dedup_by(|(step, entry), (before, into)| {
                let same = step == before;
                if same {
                    into.union(std::mem::take(entry));
                }
                same
            });
        }
        Set(steps)
    }

    pub(super) fn parse(fields: &'v Value) -> Set<'v> {
        let step = |(text, below): (&'v String, &'v Value)| {
            let is_member = below.as_object().is_none_or(|below| below.is_empty() || below.contains_key("."));
            Some((Step::parse(text)?, Entry { is_member, below: Set::parse(below) }))
        };
        // Two texts of others may name one step.
        Set::of(fields.as_object().into_iter().flatten().filter_map(step).collect())
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

    pub(super) fn union(&mut self, other: Set<'v>) {
        if self.0.is_empty() || other.0.is_empty() {
            self.0.extend(other.0);
            return;
        }
        let ours = std::mem::take(&mut self.0);
        self.0.reserve(ours.len() + other.0.len());
        let mut theirs = other.0.into_iter().peekable();
        for (step, mut entry) in ours {
            while let Some(before) = theirs.next_if(|(other, _)| *other < step) {
                self.0.push(before);
            }
            if let Some((_, same)) = theirs.next_if(|(other, _)| *other == step) {
                entry.union(same);
            }
            self.0.push((step, entry));
        }
        self.0.extend(theirs);
    }

    pub(super) fn subtract(&mut self, other: &Set<'_>) {
        if other.0.is_empty() {
            return;
        }
        let mut theirs = other.0.iter().peekable();
        self.0.retain_mut(|(step, ours)| {
            while theirs.next_if(|(other, _)| order(other, step).is_lt()).is_some() {}
            if let Some((_, same)) = theirs.next_if(|(other, _)| order(other, step).is_eq()) {
                ours.is_member &= !same.is_member;
                ours.below.subtract(&same.below);
            }
            !ours.is_empty()
        });
    }

    pub(super) fn common(&self, other: &Set<'v>) -> Set<'v> {
        let both = |(step, ours): &(Step<'v>, Entry<'v>)| {
            let theirs = other.get(step)?;
            let below = ours.below.common(&theirs.below);
            Some((step.clone(), Entry { is_member: ours.is_member && theirs.is_member, below }))
        };
        Set::of(self.0.iter().filter_map(both).collect())
    }

    pub(super) fn drop_fields(&mut self, names: &[&str]) {
        self.0.retain_mut(|(step, entry)| {
            if matches!(step, Step::Field(name) if names.contains(&&**name)) {
                entry.is_member = false;
            }
            !entry.is_empty()
        });
    }

    pub(super) fn drop_fields_of(&mut self, owner: &str, names: &[&str]) {
        if let Ok(at) = self.find(&Step::field(owner)) {
            let (_, entry) = &mut self.0[at];
            entry.below.drop_fields(names);
            if entry.is_empty() {
                self.0.remove(at);
            }
        }
    }

    pub(super) fn has(&self, step: &Step<'_>) -> bool {
        self.get(step)
            .is_some_and(|entry| entry.is_member || matches!(step, Step::Field(_)) && !entry.below.0.is_empty())
    }

    pub(super) fn below(&self, step: &Step<'_>) -> Option<&Set<'v>> {
        self.get(step).map(|entry| &entry.below)
    }

    pub(super) fn describe(&self) -> Vec<String> {
        fn walk(set: &Set<'_>, path: &str, out: &mut Vec<String>) {
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

    fn get(&self, step: &Step<'_>) -> Option<&Entry<'v>> {
        self.find(step).ok().map(|at| &self.0[at].1)
    }

    fn find(&self, step: &Step<'_>) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| order(other, step))
    }
}

/// Steps of different owners compared.
fn order(a: &Step<'_>, b: &Step<'_>) -> Ordering {
    a.cmp(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(text: &str, expected: Value) {
        let fields = serde_json::from_str(text).expect("JSON");
        assert_eq!(Set::parse(&fields).to_json(), expected);
    }

    #[test]
    fn texts_that_name_one_step_are_one() {
        check(r#"{"f:a":{},"f:b":{".":{},"f:c":{}}}"#, json!({"f:a": {}, "f:b": {".": {}, "f:c": {}}}));
        check(
            r#"{"k:{\"a\":1,\"b\":2}":{"f:x":{}},"k:{\"b\":2,\"a\":1}":{"f:y":{}},"i:3":{},"q:z":{},"f:z":{}}"#,
            json!({"k:{\"a\":1,\"b\":2}": {"f:x": {}, "f:y": {}}, "i:3": {}, "f:z": {}}),
        );
    }

    /// Sets as JSON; out: union, difference and what they have in common.
    #[track_caller]
    fn combine(a: Value, b: Value, union: Value, difference: Value, common: Value) {
        let (left, right) = (Set::parse(&a), Set::parse(&b));
        let mut both = left.clone();
        both.union(right.clone());
        assert_eq!(both.to_json(), union);
        let mut rest = left.clone();
        rest.subtract(&right);
        assert_eq!(rest.to_json(), difference);
        assert_eq!(left.common(&right).to_json(), common);
    }

    #[test]
    fn sets_are_combined_step_by_step() {
        let a = json!({"f:a": {"f:x": {}, "f:y": {}}, "f:c": {".": {}, "f:z": {}}, "f:e": {}});
        let b = json!({"f:a": {"f:y": {}}, "f:b": {}, "f:c": {".": {}}, "f:f": {"v:1": {}}});
        combine(
            a.clone(),
            b,
            json!({"f:a": {"f:x": {}, "f:y": {}}, "f:b": {}, "f:c": {".": {}, "f:z": {}}, "f:e": {}, "f:f": {"v:1": {}}}),
            json!({"f:a": {"f:x": {}}, "f:c": {"f:z": {}}, "f:e": {}}),
            json!({"f:a": {"f:y": {}}, "f:c": {}}),
        );
        combine(a.clone(), json!({}), a.clone(), a.clone(), json!({}));
        combine(json!({}), a.clone(), a.clone(), json!({}), json!({}));
        combine(a.clone(), a.clone(), a.clone(), json!({}), a);
    }
}
