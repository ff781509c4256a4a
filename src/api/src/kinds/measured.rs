//! What nodes and pods use (`metrics.k8s.io/v1beta1`): kinds that are measured when somebody asks, and never kept.
//!
//! In: nothing. Out: rows of `Kinds` and the schemas that are published of them. Fields and names are those of the
//! Kubernetes metrics API. Measures nothing.

use super::{Kind, Kinds, Verbs};
use crate::custom::{Definition, rows};
use serde_json::{Value, json};
use std::sync::Arc;

/// Their group.
pub const GROUP: &str = "metrics.k8s.io";
/// Its only version.
pub const VERSION: &str = "v1beta1";

/// Kind, plural, scope, and what is measured.
const KINDS: [(&str, &str, &str); 2] = [("NodeMetrics", "nodes", "Cluster"), ("PodMetrics", "pods", "Namespaced")];

impl Kinds {
    /// These, and those that are measured.
    #[must_use]
    pub fn with_measured(mut self) -> Kinds {
        for (kind, plural, scope) in KINDS {
            let object = definition(kind, plural, scope);
            // What is written here compiles, and a test sees it do so.
            let Ok(compiled) = Definition::compile(&object) else { continue };
            let measured = |row: Kind| Kind { verbs: Verbs::READ_ONLY, ..row };
            rows(&Arc::new(compiled), &object).into_iter().map(measured).for_each(|row| self.insert(row));
        }
        self
    }
}

/// The schema of a kind by the name of its definition, as in `pods.metrics.k8s.io`.
pub fn schema(definition: &str) -> Option<Value> {
    let (plural, group) = definition.split_once('.')?;
    let (kind, ..) = KINDS.iter().find(|(_, known, _)| group == GROUP && *known == plural)?;
    Some(schema_of(kind))
}

fn definition(kind: &str, plural: &str, scope: &str) -> Value {
    let name = format!("{plural}.{GROUP}");
    json!({
        "metadata": {"name": name, "uid": name, "generation": 1},
        "spec": {"group": GROUP, "scope": scope, "names": {"kind": kind}, "versions": [{
            "name": VERSION, "served": true, "storage": true, "schema": {"openAPIV3Schema": schema_of(kind)},
        }]},
        // Without a singular name: `pod` and `node` are words for others.
        "status": {"acceptedNames": {"plural": plural, "kind": kind, "listKind": format!("{kind}List")}},
    })
}

fn schema_of(kind: &str) -> Value {
    let usage = json!({
        "type": "object",
        "description": "What is used: cpu in cores, as the mean of the window, and memory in bytes, as the working set at its end.",
        "additionalProperties": {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": true},
    });
    let text = |description: &str| json!({"type": "string", "description": description});
    let mut properties = json!({
        "apiVersion": text("The version of this form of an object."),
        "kind": text("The kind of the object."),
        "metadata": {"type": "object"},
        "timestamp": {"type": "string", "format": "date-time", "description": "The end of the window in which it was measured."},
        "window": text("How long it was measured, as in 1.002s."),
    });
    let (description, own) = match kind {
        "NodeMetrics" => {
            properties["usage"] = usage;
            ("What a node uses, measured when it is asked for.", "usage")
        }
        _ => {
            properties["containers"] = json!({
                "type": "array",
                "description": "The containers of the pod that run.",
                "items": {
                    "type": "object", "required": ["name", "usage"],
                    "description": "What a container uses.",
                    "properties": {"name": text("The container's name within its pod."), "usage": usage},
                },
                "x-kubernetes-list-type": "atomic",
            });
            ("What the containers of a pod use, measured when it is asked for.", "containers")
        }
    };
    json!({
        "type": "object", "description": description, "required": ["timestamp", "window", own], "properties": properties,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Verb;

    #[test]
    fn both_are_read_and_nothing_else() {
        let kinds = Kinds::builtin().with_measured();
        for (kind, plural, scope) in KINDS {
            let row = kinds.resource(GROUP, VERSION, plural).expect(plural);
            assert_eq!((&*row.kind, row.namespaced), (kind, scope == "Namespaced"));
            assert!(row.is_measured() && !row.is_kept() && row.verbs.has(Verb::Get) && row.verbs.has(Verb::List));
            assert!(!row.verbs.has(Verb::Watch) && !row.verbs.has(Verb::Delete));
            assert!(row.schema().is_some_and(|own| own.field("window").is_some()), "its fields are known");
            assert!(schema(&row.group_resource()).is_some());
        }
        assert_eq!(kinds.by_word("pods").map(|kind| &*kind.group), Some(""), "the word stays with what is kept");
        assert_eq!(kinds.by_word("podmetrics").map(|kind| &*kind.group), Some(GROUP));
        assert_eq!(schema("pods.example.com"), None);
    }
}
