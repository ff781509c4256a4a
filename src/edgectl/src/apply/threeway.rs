//! The patch that brings an object to its manifest.
//!
//! In: what was applied last, the manifest, the object as it is. Out: a strategic merge patch for built-in kinds (lists
//! merge by their keys), a merge patch for others. Pure. What the manifest never said is never touched.

use kedge_api::kinds::Gvk;
use kedge_api::schema::{self, Field, Node, Shape};
use kedge_client::PatchKind;
use serde_json::{Map, Value, json};

/// A patch and its form.
#[derive(Debug, PartialEq)]
pub struct Patch {
    /// The form.
    pub kind: PatchKind,
    /// Empty when nothing differs.
    pub body: Value,
}

/// Computes the patch.
pub fn patch(gvk: &Gvk, last: &Value, modified: &Value, current: &Value) -> Patch {
    match schema::of(gvk) {
        Some(schema) => {
            Patch { kind: PatchKind::Strategic, body: objects(Some(schema.node()), last, modified, current) }
        }
        None => Patch { kind: PatchKind::Merge, body: objects(None, last, modified, current) },
    }
}

fn objects(node: Option<Node<'_>>, last: &Value, modified: &Value, current: &Value) -> Value {
    let mut patch = Map::new();
    let empty = Map::new();
    let wanted = modified.as_object().unwrap_or(&empty);
    for (key, value) in wanted {
        if value.is_null() {
            continue;
        }
        let (was, is) = (&last[key.as_str()], &current[key.as_str()]);
        if value == is {
            continue;
        }
        let (inner, field) = child(node, key);
        match (value, is) {
            (Value::Object(_), Value::Object(_)) => {
                let deeper = objects(inner, was, value, is);
                if deeper.as_object().is_some_and(|d| !d.is_empty()) {
                    patch.insert(key.clone(), deeper);
                }
            }
            (Value::Array(items), Value::Array(_)) if merges(field) => {
                lists(field, inner, key, was, items, is, &mut patch)
            }
            _ => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    // What an earlier apply set and the manifest no longer says.
    for key in last.as_object().into_iter().flatten().map(|(key, _)| key) {
        let dropped = wanted.get(key).is_none_or(Value::is_null);
        if dropped && current.get(key).is_some_and(|value| !value.is_null()) {
            patch.insert(key.clone(), Value::Null);
        }
    }
    Value::Object(patch)
}

fn child<'a>(node: Option<Node<'a>>, key: &str) -> (Option<Node<'a>>, Option<Field<'a>>) {
    match node.map(Node::shape) {
        Some(Shape::Struct(s)) => {
            let field = s.field(key);
            (field.map(Field::node), field)
        }
        Some(Shape::Map(values)) => (Some(values), None),
        _ => (None, None),
    }
}

fn merges(field: Option<Field<'_>>) -> bool {
    field.is_some_and(|f| f.strategy().merge)
}

fn lists(
    field: Option<Field<'_>>,
    node: Option<Node<'_>>,
    name: &str,
    last: &Value,
    wanted: &[Value],
    current: &Value,
    patch: &mut Map<String, Value>,
) {
    let key = field.map_or("", |f| f.strategy().key);
    let nothing = Vec::new();
    let was = last.as_array().unwrap_or(&nothing);
    let is = current.as_array().unwrap_or(&nothing);
    if key.is_empty() {
        return scalars(name, was, wanted, is, patch);
    }
    let item = match node.map(Node::shape) {
        Some(Shape::List(item)) => Some(item),
        _ => None,
    };
    let with = |list: &[Value], id: &Value| list.iter().find(|entry| entry[key] == *id).cloned().unwrap_or(Value::Null);
    let mut changes = Vec::new();
    for entry in wanted {
        let id = &entry[key];
        let there = with(is, id);
        if there.is_null() {
            changes.push(entry.clone());
            continue;
        }
        let mut deeper = objects(item, &with(was, id), entry, &there);
        if deeper.as_object().is_some_and(|d| !d.is_empty()) {
            deeper[key] = id.clone();
            changes.push(deeper);
        }
    }
    for gone in was.iter().filter(|entry| with(wanted, &entry[key]).is_null() && !with(is, &entry[key]).is_null()) {
        changes.push(json!({"$patch": "delete", key: gone[key]}));
    }
    if !changes.is_empty() {
        let order: Vec<Value> = wanted.iter().map(|entry| json!({key: entry[key]})).collect();
        patch.insert(format!("$setElementOrder/{name}"), Value::Array(order));
        patch.insert(name.to_owned(), Value::Array(changes));
    }
}

fn scalars(name: &str, was: &[Value], wanted: &[Value], is: &[Value], patch: &mut Map<String, Value>) {
    let added: Vec<Value> = wanted.iter().filter(|v| !is.contains(v)).cloned().collect();
    let gone: Vec<Value> = was.iter().filter(|v| !wanted.contains(v) && is.contains(v)).cloned().collect();
    if added.is_empty() && gone.is_empty() {
        return;
    }
    if !gone.is_empty() {
        patch.insert(format!("$deleteFromPrimitiveList/{name}"), Value::Array(gone));
    }
    if !added.is_empty() {
        patch.insert(name.to_owned(), Value::Array(added));
    }
    patch.insert(format!("$setElementOrder/{name}"), Value::Array(wanted.to_vec()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(last: Value, modified: Value, current: Value, expected: Value) {
        let gvk = Gvk::new("apps", "v1", "Deployment");
        assert_eq!(patch(&gvk, &last, &modified, &current).body, expected);
    }

    #[test]
    fn only_differences_are_sent() {
        check(json!({}), json!({"spec": {"replicas": 3}}), json!({"spec": {"replicas": 3, "paused": true}}), json!({}));
        check(
            json!({}),
            json!({"spec": {"replicas": 4}}),
            json!({"spec": {"replicas": 3}}),
            json!({"spec": {"replicas": 4}}),
        );
    }

    #[test]
    fn what_was_applied_and_is_gone_is_removed() {
        check(
            json!({"metadata": {"labels": {"a": "1", "b": "2"}}}),
            json!({"metadata": {"labels": {"a": "1"}}}),
            json!({"metadata": {"labels": {"a": "1", "b": "2", "other": "3"}}}),
            json!({"metadata": {"labels": {"b": null}}}),
        );
    }

    #[test]
    fn containers_merge_by_name() {
        let spec = |containers: Value| json!({"spec": {"template": {"spec": {"containers": containers}}}});
        check(
            spec(json!([{"name": "a", "image": "x"}, {"name": "old", "image": "y"}])),
            spec(json!([{"name": "a", "image": "x:2"}])),
            spec(json!([{"name": "a", "image": "x", "imagePullPolicy": "Always"}, {"name": "old", "image": "y"}])),
            json!({"spec": {"template": {"spec": {
                "$setElementOrder/containers": [{"name": "a"}],
                "containers": [{"name": "a", "image": "x:2"}, {"$patch": "delete", "name": "old"}],
            }}}}),
        );
    }

    #[test]
    fn plain_lists_are_replaced() {
        let args = |args: Value| json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "args": args}]}}}});
        let made =
            patch(&Gvk::new("apps", "v1", "Deployment"), &json!({}), &args(json!(["x"])), &args(json!(["y", "z"])));
        assert_eq!(made.body["spec"]["template"]["spec"]["containers"][0]["args"], json!(["x"]));
    }

    #[test]
    fn unknown_kinds_take_a_merge_patch() {
        let gvk = Gvk::new("example.com", "v1", "Widget");
        let made = patch(&gvk, &json!({"spec": {"a": 1}}), &json!({"spec": {"b": [1]}}), &json!({"spec": {"a": 1}}));
        assert_eq!((made.kind, made.body), (PatchKind::Merge, json!({"spec": {"a": null, "b": [1]}})));
    }
}
