//! What checks have in common: walking over containers, and the forms of their sentences.
//!
//! In: a spec. Out: containers, lists in quotes, counted words. Never judges.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Violation;
use crate::meta::{at, list_at, text};

/// Every container: init ones, ordinary ones, ephemeral ones.
pub(super) fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(|list| list_at(spec, &[list]))
}

/// A field of the container's or the pod's security context; absent when null.
pub(super) fn security<'a>(of: &'a Value, path: &[&str]) -> Option<&'a Value> {
    at(at(of, &["securityContext"])?, path)
}

/// `"a", "b"`.
pub(super) fn quoted<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    let all: Vec<String> = items.into_iter().map(|item| format!("\"{}\"", item.as_ref())).collect();
    all.join(", ")
}

/// `one` or `many`.
pub(super) fn counted<'a>(count: usize, one: &'a str, many: &'a str) -> &'a str {
    if count == 1 { one } else { many }
}

/// `container "a"`, `containers "a", "b"`.
pub(super) fn named(one: &str, names: &[&str]) -> String {
    let many = format!("{one}s");
    format!("{} {}", counted(names.len(), one, &many), quoted(names))
}

/// The pod itself and the containers that do what is forbidden.
#[derive(Default)]
pub(super) struct Setters<'a> {
    pub pod: bool,
    pub containers: Vec<&'a str>,
    pub values: BTreeSet<String>,
}

impl<'a> Setters<'a> {
    /// Asks `bad` about the pod's security context and each container's; it names what is bad there.
    pub(super) fn find(spec: &'a Value, mut bad: impl FnMut(&'a Value) -> Option<Vec<String>>) -> Setters<'a> {
        let mut found = Setters::default();
        if let Some(values) = at(spec, &["securityContext"]).and_then(&mut bad) {
            found.pod = true;
            found.values.extend(values);
        }
        for container in containers(spec) {
            if let Some(values) = at(container, &["securityContext"]).and_then(&mut bad) {
                found.containers.push(text(container, "name"));
                found.values.extend(values);
            }
        }
        found
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.pod && self.containers.is_empty()
    }

    /// `pod and container "a"`.
    pub(super) fn names(&self) -> String {
        let mut parts = Vec::new();
        if self.pod {
            parts.push("pod".to_owned());
        }
        if !self.containers.is_empty() {
            parts.push(named("container", &self.containers));
        }
        parts.join(" and ")
    }
}

/// A violation.
pub(super) fn violation(reason: &str, detail: String) -> Option<Violation> {
    Some(Violation { reason: reason.to_owned(), detail })
}
