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
            Patch { kind: PatchKind::Strategic, body: objects(Some(schema.node()), false, last, modified, current) }
        }
        None => Patch { kind: PatchKind::Merge, body: objects(None, false, last, modified, current) },
    }
}

/// With `retains` the object has no other fields than those that are wanted: the server's defaults go with what they
/// were the defaults of.
fn objects(node: Option<Node<'_>>, retains: bool, last: &Value, modified: &Value, current: &Value) -> Value {
    let mut patch = Map::new();
    let empty = Map::new();
    let wanted = modified.as_object().unwrap_or(&empty);
    for (key, value) in wanted {
        let (was, is) = (&last[key.as_str()], &current[key.as_str()]);
        if value == is {
            continue;
        }
        // Whoever writes null wants nothing to be there.
        if value.is_null() {
            patch.insert(key.clone(), Value::Null);
            continue;
        }
        let (inner, field) = child(node, key);
        match (value, is) {
            (Value::Object(_), Value::Object(_)) => {
                let deeper = objects(inner, retains_keys(field), was, value, is);
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
    if retains {
        let mut keys: Vec<&String> = wanted.iter().filter(|(_, value)| !value.is_null()).map(|(key, _)| key).collect();
        keys.sort_unstable();
        let surplus = current.as_object().is_some_and(|is| is.iter().any(|(k, v)| !v.is_null() && !keys.contains(&k)));
        if !keys.is_empty() && (surplus || !patch.is_empty()) {
            let keys = json!(keys);
            patch.insert("$retainKeys".to_owned(), keys);
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

fn retains_keys(field: Option<Field<'_>>) -> bool {
    field.is_some_and(|f| f.strategy().retain_keys)
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
    let retains = retains_keys(field);
    if [was, wanted, is].into_iter().any(|list| has_twins(list, key)) {
        if let Some(whole) = paired(key, item, retains, was, wanted, is) {
            patch.insert(name.to_owned(), Value::Array(whole));
        }
        return;
    }
    let with = |list: &[Value], id: &Value| list.iter().find(|entry| entry[key] == *id).cloned().unwrap_or(Value::Null);
    let mut changes = Vec::new();
    for entry in wanted {
        let id = &entry[key];
        let there = with(is, id);
        if there.is_null() {
            changes.push(entry.clone());
            continue;
        }
        let mut deeper = objects(item, retains, &with(was, id), entry, &there);
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

/// Whether two entries have one key, such as the port 53 of UDP and of TCP.
fn has_twins(list: &[Value], key: &str) -> bool {
    list.iter().enumerate().any(|(i, entry)| list[..i].iter().any(|earlier| earlier[key] == entry[key]))
}

/// The whole list, where keys do not tell entries apart and no patch can name one of them: entries of one key belong
/// together in their order. `None` when nothing differs.
fn paired(
    key: &str,
    item: Option<Node<'_>>,
    retains: bool,
    was: &[Value],
    wanted: &[Value],
    is: &[Value],
) -> Option<Vec<Value>> {
    let before = |list: &[Value], at: usize| list[..at].iter().filter(|entry| entry[key] == list[at][key]).count();
    let nth = |list: &[Value], id: &Value, nth: usize| -> Option<usize> {
        list.iter().enumerate().filter(|(_, entry)| entry[key] == *id).map(|(at, _)| at).nth(nth)
    };
    let mut whole = vec![json!({"$patch": "replace"})];
    let mut differs = false;
    for (at, entry) in wanted.iter().enumerate() {
        let twin = before(wanted, at);
        let Some(there) = nth(is, &entry[key], twin).map(|at| &is[at]) else {
            differs = true;
            whole.push(entry.clone());
            continue;
        };
        let earlier = nth(was, &entry[key], twin).map_or(&Value::Null, |at| &was[at]);
        let deeper = objects(item, retains, earlier, entry, there);
        differs |= deeper.as_object().is_some_and(|d| !d.is_empty());
        whole.push(merged(there, &deeper).unwrap_or_else(|| entry.clone()));
    }
    for (at, entry) in is.iter().enumerate() {
        let twin = before(is, at);
        if nth(wanted, &entry[key], twin).is_some() {
            continue;
        }
        match nth(was, &entry[key], twin) {
            // An earlier apply made it, and the manifest no longer has it.
            Some(_) => differs = true,
            None => whole.push(entry.clone()),
        }
    }
    differs.then_some(whole)
}

/// An object with a patch; `None` for a patch with directives, which only the server carries out.
fn merged(object: &Value, patch: &Value) -> Option<Value> {
    let (Value::Object(held), Value::Object(changes)) = (object, patch) else { return Some(patch.clone()) };
    let mut held = held.clone();
    for (key, change) in changes {
        match change {
            _ if key.starts_with('$') => return None,
            Value::Null => drop(held.remove(key)),
            change => {
                let value = merged(held.get(key).unwrap_or(&Value::Null), change)?;
                held.insert(key.clone(), value);
            }
        }
    }
    Some(Value::Object(held))
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
    fn entries_of_one_key_are_paired_in_order() {
        let gvk = Gvk::new("", "v1", "Service");
        let port = |protocol: &str, node_port: i64| json!({"port": 53, "protocol": protocol, "nodePort": node_port, "targetPort": 53});
        let spec = |ports: Value| json!({"spec": {"ports": ports}});
        let bare = |protocol: &str| json!({"port": 53, "protocol": protocol});
        let live = spec(json!([port("UDP", 30001), port("TCP", 30002)]));
        let both = spec(json!([bare("UDP"), bare("TCP")]));
        let check = |last: &Value, wanted: &Value, live: &Value, expected: Value| {
            assert_eq!(patch(&gvk, last, wanted, live).body, expected);
        };
        check(&both, &both, &live, json!({}));
        let named = spec(json!([bare("UDP"), {"port": 53, "protocol": "TCP", "name": "t"}]));
        let mut second = port("TCP", 30002);
        second["name"] = json!("t");
        check(&both, &named, &live, spec(json!([{"$patch": "replace"}, port("UDP", 30001), second])));
        let one = spec(json!([bare("UDP")]));
        check(&both, &one, &live, spec(json!([{"$patch": "replace"}, port("UDP", 30001)])));
        check(&json!({}), &one, &live, json!({}));
        let single = spec(json!([port("UDP", 30001)]));
        check(&one, &both, &single, spec(json!([{"$patch": "replace"}, port("UDP", 30001), bare("TCP")])));
    }

    #[test]
    fn defaults_go_with_what_they_were_the_defaults_of() {
        let strategy = |strategy: Value| json!({"spec": {"strategy": strategy}});
        let rolling = strategy(json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}}));
        check(
            json!({}),
            strategy(json!({"type": "Recreate"})),
            rolling.clone(),
            strategy(json!({"type": "Recreate", "$retainKeys": ["type"]})),
        );
        check(json!({}), rolling.clone(), rolling.clone(), json!({}));
        let pod = |volume: Value| json!({"spec": {"template": {"spec": {"volumes": [volume]}}}});
        let made = patch(
            &Gvk::new("apps", "v1", "Deployment"),
            &json!({}),
            &pod(json!({"name": "v", "emptyDir": {}})),
            &pod(json!({"name": "v", "hostPath": {"path": "/a"}})),
        );
        let volume = &made.body["spec"]["template"]["spec"]["volumes"][0];
        assert_eq!(*volume, json!({"name": "v", "emptyDir": {}, "$retainKeys": ["emptyDir", "name"]}));
    }

    #[test]
    fn a_null_takes_what_is_there() {
        check(
            json!({}),
            json!({"spec": {"replicas": null, "paused": null}}),
            json!({"spec": {"replicas": 3}}),
            json!({"spec": {"replicas": null}}),
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
