//! Which fields of each kind a field selector may name, and their values.
//!
//! In: a kind and an object. Out: the values that selectors see; an [`Index`] that the store keeps beside the
//! object, so that selecting parses nothing. Never judges a selector's syntax (`crate::selector`).

mod index;
mod table;

use serde_json::Value;

pub use index::{Index, Pairs};

use crate::Object;
use crate::field::quote;
use crate::kinds::Gvk;
use crate::meta;
use crate::selector::FieldSelector;

/// One selectable field of a kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// What selectors call it.
    name: &'static str,
    /// Where the value stands; the first that is not empty counts.
    paths: &'static [&'static [&'static str]],
    /// The value when it stands nowhere.
    default: &'static str,
}

/// Values of every selectable field of the object; absent ones are left out and read as empty.
pub fn selectable(gvk: &Gvk, object: &Object) -> Vec<(&'static str, String)> {
    let mut values = vec![("metadata.name", meta::name(object).to_string())];
    let namespace = meta::namespace(object);
    if !namespace.is_empty() {
        values.push(("metadata.namespace", namespace.to_string()));
    }
    for row in rows(gvk) {
        let value = row.paths.iter().find_map(|path| render(meta::at(object, path)?));
        let value = value.unwrap_or_else(|| row.default.to_string());
        if !value.is_empty() {
            values.push((row.name, value));
        }
    }
    values
}

/// The selector in the names under which values are kept, or why the kind does not support it.
/// `custom` are fields that a CustomResourceDefinition declares, without the leading dot.
pub fn resolve(gvk: &Gvk, selector: &FieldSelector, custom: &[&str]) -> Result<FieldSelector, String> {
    let mut terms = selector.terms().to_vec();
    for term in &mut terms {
        if term.field == "metadata.name" || (term.field == "metadata.namespace") || custom.contains(&&*term.field) {
            continue;
        }
        match table::alias(gvk, &term.field) {
            Some(name) => term.field = name.to_string(),
            None => return Err(unsupported(gvk, &term.field)),
        }
    }
    Ok(FieldSelector::of(terms))
}

/// Kubernetes' words for a field that selectors may not name.
fn unsupported(gvk: &Gvk, field: &str) -> String {
    match rows(gvk) {
        [] => format!("{} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"", quote(field)),
        _ => format!("field label not supported: {field}"),
    }
}

fn rows(gvk: &Gvk) -> &'static [Row] {
    table::rows(&gvk.group, &gvk.kind)
}

fn render(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()).filter(|t| !t.is_empty()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

/// The value of a CustomResourceDefinition's selectable field at `path` (`.spec.color` or `spec.color`).
pub fn custom_value(object: &Object, path: &str) -> Option<String> {
    let value = path.trim_start_matches('.').split('.').try_fold(object, |value, key| value.get(key))?;
    render(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(gvk: Gvk, object: Value, expected: &[(&str, &str)]) {
        let found = selectable(&gvk, &object);
        let found: Vec<(&str, &str)> = found.iter().map(|(k, v)| (*k, v.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn values_per_kind() {
        check(
            Gvk::fixed("", "v1", "Pod"),
            json!({"metadata": {"name": "p", "namespace": "n"}, "spec": {"nodeName": "a", "restartPolicy": "Always"},
                "status": {"phase": "Running", "podIP": "10.0.0.1"}}),
            &[
                ("metadata.name", "p"),
                ("metadata.namespace", "n"),
                ("spec.nodeName", "a"),
                ("spec.restartPolicy", "Always"),
                ("spec.hostNetwork", "false"),
                ("status.phase", "Running"),
                ("status.podIP", "10.0.0.1"),
            ],
        );
        check(
            Gvk::fixed("", "v1", "Node"),
            json!({"metadata": {"name": "n"}}),
            &[("metadata.name", "n"), ("spec.unschedulable", "false")],
        );
        check(
            Gvk::fixed("", "v1", "Event"),
            json!({"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod"}, "reason": "R", "source": {"component": "c"}}),
            &[("metadata.name", "e"), ("involvedObject.kind", "Pod"), ("reason", "R"), ("source", "c")],
        );
        check(Gvk::fixed("x.io", "v1", "Thing"), json!({"metadata": {"name": "t"}}), &[("metadata.name", "t")]);
    }

    #[track_caller]
    fn refuse(gvk: Gvk, text: &str, message: &str) {
        assert_eq!(resolve(&gvk, &FieldSelector::parse(text).unwrap(), &["spec.color"]).unwrap_err(), message);
    }

    #[test]
    fn only_known_fields_select() {
        let pod = Gvk::fixed("", "v1", "Pod");
        refuse(pod.clone(), "spec.foo=1", "field label not supported: spec.foo");
        refuse(
            Gvk::fixed("apps", "v1", "Deployment"),
            "spec.foo=1",
            "\"spec.foo\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
        );
        let resolved = resolve(&pod, &FieldSelector::parse("spec.host=a,spec.color=b").unwrap(), &["spec.color"]);
        assert_eq!(resolved.unwrap().to_string(), "spec.nodeName=a,spec.color=b");
    }
}
