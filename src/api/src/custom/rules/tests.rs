//! Rows: schemas with rules, and objects held against them.

use serde_json::{Value, json};

use super::{Rules, check, judge};
use crate::schema::Custom;

fn schema(spec: Value, rules: Value) -> Value {
    json!({"type": "object", "properties": {"spec": spec}, "x-kubernetes-validations": rules})
}

fn texts(faults: &[crate::field::FieldError]) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn defined(schema: &Value, faults: &[&str]) {
    let (custom, roots) = Custom::build(std::iter::once((schema, false))).expect("it can be built");
    let mut out = Vec::new();
    check(custom.place(roots[0]), "schema", &mut out);
    let seen = texts(&out);
    assert_eq!(seen.len(), faults.len(), "{seen:#?}");
    for (seen, wanted) in seen.iter().zip(faults) {
        assert!(seen.contains(wanted), "{seen}\nwanted: {wanted}");
    }
}

#[track_caller]
fn judged(schema: &Value, object: Value, old: Option<Value>, faults: &[&str]) {
    let (custom, roots) = Custom::build(std::iter::once((schema, false))).expect("it can be built");
    let place = custom.place(roots[0]);
    let mut out = Vec::new();
    judge(&Rules::compile(place), place, &object, old.as_ref(), &mut out);
    assert_eq!(texts(&out), faults);
}

fn spec() -> Value {
    json!({"type": "object", "properties": {"min": {"type": "integer"}, "max": {"type": "integer"},
        "name": {"type": "string", "maxLength": 10}, "free": {"type": "string"},
        "when": {"type": "string", "format": "date-time"},
        "parts": {"type": "array", "maxItems": 5, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string", "maxLength": 5},
                "size": {"type": "integer", "x-kubernetes-validations": [
                    {"rule": "self >= oldSelf", "message": "may not shrink"}]}}}}}})
}

#[test]
fn definitions_are_judged() {
    let with = |rules: Value| schema(spec(), rules);
    defined(&with(json!([{"rule": "self.spec.min <= self.spec.max"}])), &[]);
    defined(&with(json!([{"rule": "self.metadata.name == 'x' && self.kind != ''"}])), &[]);
    defined(
        &with(json!([{"rule": "self.spec.nothing > 1"}])),
        &["schema.x-kubernetes-validations[0].rule: Invalid value: {"],
    );
    defined(&with(json!([{"rule": "self.spec.min"}])), &["cel expression must evaluate to a bool"]);
    defined(
        &with(json!([{"rule": "self.spec.min > 1", "messageExpression": "1"}])),
        &["schema.x-kubernetes-validations[0].messageExpression: Invalid value: {"],
    );
    defined(
        &with(json!([{"rule": "self.spec.min > 1", "optionalOldSelf": true}])),
        &[
            "schema.x-kubernetes-validations[0].optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule",
        ],
    );
    // Each of the largest number of characters against each.
    defined(
        &with(json!([{"rule": "self.spec.free.contains(self.spec.free)"}])),
        &[
            "schema.x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)",
            "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema",
            "schema: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget",
        ],
    );
    defined(&with(json!([{"rule": "self.spec.name.contains(self.spec.name)"}])), &[]);
    let list = json!({"type": "object", "properties": {"l": {"type": "array", "maxItems": 3, "items": {"type": "string",
        "maxLength": 3, "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}}}});
    defined(
        &list,
        &[
            "schema.properties[l].items.x-kubernetes-validations[0].rule: Invalid value: \"self == oldSelf\": oldSelf cannot be used on the uncorrelatable portion of the schema within schema.properties[l]",
        ],
    );
}

#[test]
fn objects_are_judged() {
    let rules = json!([
        {"rule": "!has(self.spec.min) || self.spec.min <= self.spec.max", "messageExpression": "'max is ' + string(self.spec.max)"},
        {"rule": "!has(self.spec.name) || self.spec.name.startsWith('a')", "reason": "FieldValueForbidden", "fieldPath": ".spec.name",
            "message": "must start with an a"},
        {"rule": "!has(self.spec.name) || !has(oldSelf.spec.name) || self.spec.name == oldSelf.spec.name", "message": "is fixed"},
        {"rule": "!has(self.spec.when) || self.spec.when < timestamp('2027-01-01T00:00:00Z')"},
    ]);
    let schema = schema(spec(), rules);
    let with = |spec: Value| json!({"kind": "A", "spec": spec});
    judged(&schema, with(json!({"min": 1, "max": 2, "name": "ab", "when": "2026-01-01T00:00:00Z"})), None, &[]);
    judged(&schema, with(json!({"min": 3, "max": 2})), None, &["<nil>: Invalid value: max is 2"]);
    judged(&schema, with(json!({"name": "b"})), None, &["spec.name: Forbidden: must start with an a"]);
    judged(
        &schema,
        with(json!({"min": 1})),
        None,
        &[
            "<nil>: Invalid value: \"object\": no such key: max evaluating rule: !has(self.spec.min) || self.spec.min <= self.spec.max",
        ],
    );
    judged(
        &schema,
        with(json!({"name": "ab"})),
        Some(with(json!({"name": "ac"}))),
        &["<nil>: Invalid value: is fixed"],
    );
    judged(&schema, with(json!({"name": "ab"})), Some(with(json!({"name": "ab"}))), &[]);
    judged(
        &schema,
        with(json!({"when": "2028-01-01T00:00:00Z"})),
        None,
        &[
            "<nil>: Invalid value: failed rule: !has(self.spec.when) || self.spec.when < timestamp('2027-01-01T00:00:00Z')",
        ],
    );
    // Items are the same by their keys; what is new has no old value.
    let parts = |sizes: &[(&str, i64)]| {
        let parts: Vec<Value> = sizes.iter().map(|(name, size)| json!({"name": name, "size": size})).collect();
        with(json!({"parts": parts}))
    };
    judged(&schema, parts(&[("c", 1), ("b", 2), ("a", 5)]), Some(parts(&[("a", 5), ("b", 2)])), &[]);
    judged(
        &schema,
        parts(&[("b", 1), ("a", 5)]),
        Some(parts(&[("a", 5), ("b", 2)])),
        &["spec.parts[0].size: Invalid value: 1: may not shrink"],
    );
    // What was wrong before and is not touched stays allowed.
    judged(&schema, with(json!({"min": 3, "max": 2})), Some(with(json!({"min": 3, "max": 2}))), &[]);
}
