//! Rows: schemas, objects, and the faults that are found.
//!
//! In: JSON. Out: asserts.

use super::*;
use crate::schema::Custom;
use serde_json::json;

#[track_caller]
fn check_update(properties: Value, object: Value, old: Option<Value>, expected: &[&str]) {
    let schema = json!({"type": "object", "properties": properties, "required": ["spec"]});
    let (custom, roots) = Custom::build(std::iter::once((&schema, false))).unwrap();
    let found = judge(custom.place(roots[0]), "", &object, old.as_ref());
    let seen: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(seen, expected);
}

#[track_caller]
fn check(spec: Value, value: Value, expected: &[&str]) {
    check_update(json!({"spec": spec}), json!({"spec": value}), None, expected);
}

#[test]
fn types_are_told_in_kubernetes_words() {
    check(
        json!({"type": "integer"}),
        json!("x"),
        &[r#"spec: Invalid value: "string": spec in body must be of type integer: "string""#],
    );
    check(
        json!({"type": "string"}),
        json!(1),
        &[r#"spec: Invalid value: "integer": spec in body must be of type string: "integer""#],
    );
    check(
        json!({"type": "string"}),
        json!(1.5),
        &[r#"spec: Invalid value: "number": spec in body must be of type string: "number""#],
    );
    check(
        json!({"type": "object"}),
        json!([]),
        &[r#"spec: Invalid value: "array": spec in body must be of type object: "array""#],
    );
    check(
        json!({"type": "string"}),
        Value::Null,
        &[r#"spec: Invalid value: "null": spec in body must be of type string: "null""#],
    );
    check(json!({"type": "string", "nullable": true}), Value::Null, &[]);
    check(json!({"type": "integer"}), json!(1.0), &[]);
    check(json!({"type": "number"}), json!(1), &[]);
    check(json!({"x-kubernetes-int-or-string": true}), json!("a"), &[]);
    check(
        json!({"x-kubernetes-int-or-string": true}),
        json!(true),
        &[r#"spec: Invalid value: "boolean": spec in body must be of type integer,string: "boolean""#],
    );
    check(json!({"x-kubernetes-preserve-unknown-fields": true}), json!([1]), &[]);
}

#[test]
fn what_is_required_is_told_where_it_is_missing() {
    check_update(json!({}), json!({}), None, &["spec: Required value"]);
    check(json!({"type": "object", "required": ["a"]}), json!({}), &["spec.a: Required value"]);
    check(
        json!({"type": "array", "items": {"type": "object", "required": ["a"]}}),
        json!([{"a": 1}, {}]),
        &["spec[1].a: Required value"],
    );
}

#[test]
fn numbers_texts_and_lists_have_bounds() {
    check(
        json!({"type": "integer", "minimum": 3}),
        json!(2),
        &["spec: Invalid value: 2: spec in body should be greater than or equal to 3"],
    );
    check(
        json!({"type": "integer", "maximum": 3, "exclusiveMaximum": true}),
        json!(3),
        &["spec: Invalid value: 3: spec in body should be less than 3"],
    );
    check(
        json!({"type": "number", "maximum": 0.5}),
        json!(0.75),
        &["spec: Invalid value: 0.75: spec in body should be less than or equal to 0.5"],
    );
    check(
        json!({"type": "integer", "multipleOf": 5}),
        json!(7),
        &["spec: Invalid value: 7: spec in body should be a multiple of 5"],
    );
    check(json!({"type": "number", "multipleOf": 0.1}), json!(0.3), &[]);
    check(json!({"type": "string", "maxLength": 1}), json!("aé"), &["spec: Too long: may not be more than 1 byte"]);
    check(
        json!({"type": "string", "minLength": 3}),
        json!("aé"),
        &[r#"spec: Invalid value: "aé": spec in body should be at least 3 chars long"#],
    );
    check(
        json!({"type": "string", "pattern": "^a+$"}),
        json!("ab"),
        &[r#"spec: Invalid value: "ab": spec in body should match '^a+$'"#],
    );
    check(
        json!({"type": "array", "maxItems": 1, "items": {"type": "integer"}}),
        json!([1, 2]),
        &["spec: Too many: 2: must have at most 1 item"],
    );
    check(
        json!({"type": "array", "minItems": 1}),
        json!([]),
        &["spec: Invalid value: 0: spec in body should have at least 1 items"],
    );
    check(
        json!({"type": "array", "uniqueItems": true}),
        json!([1, 1]),
        &[r#"spec: Invalid value: "": spec in body shouldn't contain duplicates"#],
    );
    check(
        json!({"type": "object", "maxProperties": 0, "additionalProperties": {"type": "string"}}),
        json!({"a": 1}),
        &[
            "spec: Too many: 1: must have at most 0 items",
            r#"spec.a: Invalid value: "integer": spec.a in body must be of type string: "integer""#,
        ],
    );
    check(
        json!({"type": "string", "enum": ["a", "b"]}),
        json!("c"),
        &[r#"spec: Unsupported value: "c": supported values: "a", "b""#],
    );
    check(
        json!({"type": "integer", "enum": [1, 2]}),
        json!(3),
        &[r#"spec: Unsupported value: 3: supported values: "1", "2""#],
    );
    check(
        json!({"type": "string", "format": "ipv4"}),
        json!("x"),
        &[r#"spec: Invalid value: "x": spec in body must be of type ipv4: "x""#],
    );
    check(json!({"type": "string", "format": "mine"}), json!("x"), &[]);
    check(
        json!({"type": "integer", "format": "int32"}),
        json!(5_000_000_000_i64),
        &[r#"<nil>: Invalid value: "": Checked value must be of type integer with format int32 in spec"#],
    );
}

#[test]
fn alternatives_say_what_was_nearest() {
    let choice = json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}]});
    check(choice.clone(), json!({"a": "1"}), &[]);
    check(
        choice.clone(),
        json!({}),
        &[
            r#"<nil>: Invalid value: "": "spec" must validate one and only one schema (oneOf). Found none valid"#,
            "spec.a: Required value",
        ],
    );
    check(
        choice,
        json!({"a": "1", "b": "1"}),
        &[
            r#"<nil>: Invalid value: "": "spec" must validate one and only one schema (oneOf). Found 2 valid alternatives"#,
        ],
    );
    check(
        json!({"type": "integer", "anyOf": [{"maximum": 1}, {"minimum": 5}]}),
        json!(3),
        &[
            r#"<nil>: Invalid value: "": "spec" must validate at least one schema (anyOf)"#,
            "spec: Invalid value: 3: spec in body should be less than or equal to 1",
        ],
    );
    check(
        json!({"type": "integer", "allOf": [{"maximum": 1}, {"minimum": 0}]}),
        json!(3),
        &[
            "spec: Invalid value: 3: spec in body should be less than or equal to 1",
            r#"<nil>: Invalid value: "": "spec" must validate all the schemas (allOf)"#,
        ],
    );
    check(
        json!({"type": "integer", "not": {"minimum": 5}}),
        json!(7),
        &[r#"<nil>: Invalid value: "": "spec" must not validate the schema (not)"#],
    );
}

#[test]
fn what_did_not_change_is_not_judged_again() {
    let properties = json!({"spec": {"type": "object", "properties": {"a": {"type": "integer", "maximum": 1}, "b": {"type": "string"},
        "l": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"],
            "items": {"type": "object", "properties": {"n": {"type": "string"}, "v": {"type": "integer", "maximum": 1}}}}}}});
    let old = json!({"spec": {"a": 5, "l": [{"n": "x", "v": 9}]}});
    check_update(
        properties.clone(),
        json!({"spec": {"a": 5, "b": "x", "l": [{"n": "y", "v": 1}, {"n": "x", "v": 9}]}}),
        Some(old.clone()),
        &[],
    );
    check_update(
        properties,
        json!({"spec": {"a": 6}}),
        Some(old),
        &["spec.a: Invalid value: 6: spec.a in body should be less than or equal to 1"],
    );
}
