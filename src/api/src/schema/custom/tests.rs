//! Rows: what a definition's schema makes of an object.
//!
//! In: JSON. Out: asserts.

use super::*;
use crate::schema::ListType;
use serde_json::json;

fn build(schema: &Value) -> (Custom, u32) {
    let (custom, roots) = Custom::build(std::iter::once((schema, false))).unwrap();
    (custom, roots[0])
}

/// The shape at a path of members, in words.
#[track_caller]
fn check(schema: Value, path: &[&str], expected: &str) {
    let (custom, root) = build(&schema);
    let mut node = custom.place(root).node();
    for name in path {
        node = node.as_struct().and_then(|own| own.field(name)).expect(name).node();
    }
    let seen = match node.shape() {
        Shape::Struct(own) => format!("struct {}", if own.keeps_unknown() { "open" } else { "closed" }),
        Shape::Map(item) => format!("map of {:?}", item.shape()),
        Shape::List(_) => format!("list {:?}", node.list_type()),
        shape => format!("{shape:?}"),
    };
    assert_eq!(seen, expected);
}

fn object(properties: Value) -> Value {
    json!({"type": "object", "properties": properties})
}

#[test]
fn shapes_are_what_a_definition_says() {
    check(object(json!({"a": {"type": "string"}})), &["a"], "Scalar(String)");
    check(object(json!({"a": {"x-kubernetes-int-or-string": true}})), &["a"], "Scalar(IntOrString)");
    check(object(json!({"a": {"x-kubernetes-preserve-unknown-fields": true}})), &["a"], "Deduced");
    check(
        object(json!({"a": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}})),
        &["a"],
        "struct open",
    );
    check(
        object(json!({"a": {"type": "object", "additionalProperties": {"type": "integer"}}})),
        &["a"],
        "map of Scalar(Int64)",
    );
    let list = json!({"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["x", "y"]});
    check(object(json!({"a": list})), &["a"], "list Map(\"x,y\")");
    check(object(json!({})), &["metadata", "labels"], "map of Scalar(String)");
    check(object(json!({})), &["kind"], "Scalar(String)");
    check(
        object(json!({"a": {"type": "object", "x-kubernetes-embedded-resource": true}})),
        &["a", "metadata", "name"],
        "Scalar(String)",
    );
}

#[test]
fn equal_parts_are_held_once() {
    let part = object(json!({"name": {"type": "string", "maxLength": 3, "description": "a"}}));
    let mut names = serde_json::Map::new();
    for at in 0..100 {
        names.insert(format!("n{at}"), part.clone());
    }
    let (custom, _) = build(&object(Value::Object(names)));
    assert_eq!(custom.rows.len(), 3);
    assert!(custom.size() < 3000, "{}", custom.size());
}

#[test]
fn rules_defaults_and_keys_are_kept() {
    let (custom, root) = build(&object(json!({
        "a": {"type": "string", "enum": ["x", null], "default": "x", "nullable": true},
        "b": {"type": "array", "items": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}},
        "c": {"type": "integer", "minimum": 1, "exclusiveMinimum": true, "anyOf": [{"maximum": 3}, {"minimum": 5}]},
    })));
    let root = custom.place(root);
    let a = root.property("a").unwrap();
    assert_eq!((a.default_json(), a.is_nullable(), root.has_defaults()), ("\"x\"", true, true));
    assert!(matches!(a.rules().next(), Some(Rule::Enum([_, Value::Null]))));
    let b = root.property("b").unwrap().items().unwrap();
    assert_eq!(b.node().list_type(), ListType::Set);
    let rules: Vec<Rule<'_>> = root.property("c").unwrap().rules().collect();
    assert!(matches!(rules[..], [Rule::Minimum(1.0, true), Rule::AnyOf(branches)] if branches.iter().count() == 2));
    assert!(!root.has_expressions());
}

#[test]
fn depth_is_bounded() {
    let mut schema = json!({"type": "string"});
    for _ in 0..500 {
        schema = object(json!({"a": schema}));
    }
    let (custom, root) = build(&schema);
    let mut at = Some(custom.place(root));
    let mut depth = 0;
    while let Some(place) = at {
        depth += 1;
        at = place.property("a");
    }
    assert_eq!(depth, 65);
}
