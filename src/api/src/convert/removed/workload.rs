//! Workloads and budgets: what old versions said in fields of their own.

use serde_json::{Map, Value, json};

/// The revision that a Deployment is to go back to.
pub(super) const ROLLBACK: &str = "deprecated.deployment.rollback.to";
/// The generation of a DaemonSet's template.
pub(super) const GENERATION: &str = "deprecated.daemonset.template.generation";
/// A label that no pod has.
const NOTHING: &str = "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match";

/// A number of the specification that is an annotation today.
pub(super) fn noted(object: &mut Value, annotation: &str, path: &[&str], renews: bool) {
    if renews {
        let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else { return };
        let Some(mut value) = path.first().and_then(|field| spec.remove(*field)) else { return };
        for field in path.iter().skip(1) {
            value = value.get_mut(*field).map(Value::take).unwrap_or(json!(0));
        }
        let Some(number) = value.as_i64().filter(|number| path.len() > 1 || *number != 0) else { return };
        let annotations = child(object, "metadata").and_then(|metadata| {
            metadata.entry("annotations").or_insert_with(|| Value::Object(Map::new())).as_object_mut()
        });
        if let Some(annotations) = annotations {
            annotations.insert(annotation.to_owned(), Value::from(number.to_string()));
        }
        return;
    }
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) else { return };
    let Some(number) = annotations.get(annotation).and_then(|text| text.as_str()?.parse::<i64>().ok()) else { return };
    annotations.remove(annotation);
    if annotations.is_empty() {
        metadata.remove("annotations");
    }
    let value = path.iter().skip(1).rev().fold(Value::from(number), |value, field| json!({ *field: value }));
    if let (Some(spec), Some(field)) = (child(object, "spec"), path.first()) {
        spec.insert((*field).to_owned(), value);
    }
}

fn child<'a>(object: &'a mut Value, field: &str) -> Option<&'a mut Map<String, Value>> {
    object.as_object_mut()?.entry(field).or_insert_with(|| Value::Object(Map::new())).as_object_mut()
}

/// An empty selector meant no pod, and means every pod today.
pub(super) fn budget(object: &mut Value, renews: bool) {
    let Some(selector) = object.pointer_mut("/spec/selector").filter(|selector| selector.is_object()) else { return };
    let nothing = json!({"matchExpressions": [{"key": NOTHING, "operator": "Exists"}]});
    let is_empty = selector.as_object().is_some_and(Map::is_empty);
    if renews && is_empty {
        *selector = nothing;
    } else if !renews && *selector == nothing {
        *selector = json!({});
    }
}
