//! Rows: which definitions of custom kinds are refused, and how.
//!
//! In: JSON. Out: asserts.

use super::super::{create, update};
use crate::kinds::Kinds;
use crate::strategy::{self, Part};
use serde_json::{Value, json};

fn definition(schema: Value) -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "foos.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"plural": "foos", "singular": "foo", "kind": "Foo", "listKind": "FooList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}})
}

#[track_caller]
fn judged(mut object: Value, expected: &[&str]) {
    let kinds = Kinds::builtin();
    let kind = kinds.by_word("crd").unwrap();
    strategy::prepare_create(kind, &mut object);
    let seen: Vec<String> = create(kind, &object).iter().map(ToString::to_string).collect();
    assert_eq!(seen, expected);
}

/// Judges a schema; paths are told from `openAPIV3Schema` on.
#[track_caller]
fn check(schema: Value, expected: &[&str]) {
    let full: Vec<String> = expected.iter().map(|text| format!("spec.validation.openAPIV3Schema{text}")).collect();
    judged(definition(schema), &full.iter().map(String::as_str).collect::<Vec<_>>());
}

fn of(properties: Value) -> Value {
    json!({"type": "object", "properties": properties})
}

/// Changes one place of a good definition.
#[track_caller]
fn with(path: &str, value: Value, expected: &[&str]) {
    let mut object = definition(of(
        json!({"spec": {"type": "object", "properties": {"color": {"type": "string"}, "size": {"type": "number"}}}}),
    ));
    let (parent, key) = path.rsplit_once('/').unwrap();
    let parent = object.pointer_mut(parent).unwrap();
    match (parent, key.parse::<usize>()) {
        (Value::Array(list), Ok(index)) => list[index] = value,
        (parent, _) => parent[key] = value,
    }
    judged(object, expected);
}

#[test]
fn good_schemas_are_taken() {
    check(of(json!({"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}})), &[]);
    check(json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}), &[]);
    check(
        of(json!({
            "port": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
            "spec": {"type": "object", "required": ["a"], "properties": {"a": {"type": "string", "default": "x", "enum": ["x"]}},
                "oneOf": [{"required": ["a"]}, {"properties": {"a": {"pattern": "b"}}}]},
            "template": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
            "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 10}}},
            "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"],
                "items": {"type": "object", "required": ["n"], "properties": {"n": {"type": "string"}}}},
        })),
        &[],
    );
}

#[test]
fn every_value_has_a_type() {
    check(json!({}), &[".type: Required value: must not be empty at the root"]);
    check(json!({"type": "string"}), &[".type: Invalid value: \"string\": must be object at the root"]);
    check(
        of(json!({"a": {}})),
        &[".properties[a].type: Required value: must not be empty for specified object fields"],
    );
    check(of(json!({"a": {"type": "array"}})), &[".properties[a].items: Required value: must be specified"]);
    check(
        of(json!({"a": {"type": "array", "items": {}}})),
        &[".properties[a].items.type: Required value: must not be empty for specified array items"],
    );
    check(
        of(json!({"a": {"type": "text"}})),
        &[
            ".properties[a].type: Unsupported value: \"text\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\"",
        ],
    );
    check(
        json!({"type": "object", "additionalProperties": {"type": "string"}}),
        &[".additionalProperties: Forbidden: must not be used at the root"],
    );
}

#[test]
fn restrictions_only_restrict() {
    check(
        of(json!({"a": {"type": "string", "anyOf": [{"type": "string"}, {"description": "x", "default": "y"}]}})),
        &[
            ".properties[a].anyOf[0].type: Forbidden: must be empty to be structural",
            ".properties[a].anyOf[1].default: Forbidden: must be undefined to be structural",
            ".properties[a].anyOf[1].description: Forbidden: must be empty to be structural",
        ],
    );
    check(of(json!({"a": {"type": "object", "oneOf": [{"properties": {"b": {"minimum": 1}}}]}})), &[]);
    check(
        json!({"type": "object", "oneOf": [{"properties": {"b": {"minimum": 1}}}]}),
        &[
            ".properties[b]: Required value: because it is defined in spec.validation.openAPIV3Schema.oneOf[0].properties[b]",
        ],
    );
    check(
        of(json!({"a": {"type": "string", "pattern": "["}})),
        &[
            ".properties[a].pattern: Invalid value: \"[\": must be a valid regular expression, but isn't: unclosed character class",
        ],
    );
}

#[test]
fn keywords_go_together_or_not() {
    check(
        of(json!({"a": {"type": "array", "uniqueItems": true, "items": {"type": "string"}}})),
        &[
            ".properties[a].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        ],
    );
    check(
        of(
            json!({"a": {"type": "object", "properties": {"x": {"type": "string"}}, "additionalProperties": {"type": "string"}}}),
        ),
        &[".properties[a].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"],
    );
    check(
        of(json!({"a": {"type": "string", "x-kubernetes-list-type": "set"}})),
        &[".properties[a].type: Invalid value: \"string\": must be array if x-kubernetes-list-type is specified"],
    );
    check(
        of(json!({"a": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "object"}}})),
        &[
            ".properties[a].items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with x-kubernetes-list-type=set",
        ],
    );
    check(
        of(json!({"a": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k", "l"],
        "items": {"type": "object", "properties": {"k": {"type": "string", "nullable": true}}}}})),
        &[
            ".properties[a].items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            ".properties[a].items.properties[k].nullable: Forbidden: this property is in x-kubernetes-list-map-keys, so it cannot be nullable",
            ".properties[a].x-kubernetes-list-map-keys: Invalid value: [\"k\",\"l\"]: entries must all be names of item properties",
        ],
    );
    check(
        of(json!({"a": {"x-kubernetes-int-or-string": true, "x-kubernetes-preserve-unknown-fields": true}})),
        &[
            ".properties[a].x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if x-kubernetes-int-or-string is true",
        ],
    );
    check(
        of(json!({"a": {"type": "object", "x-kubernetes-embedded-resource": true}})),
        &[
            ".properties[a].properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
        ],
    );
    check(
        of(json!({"a": {"type": "string", "$ref": "#/x"}})),
        &[".properties[a].$ref: Forbidden: $ref is not supported"],
    );
    check(
        of(json!({"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}})),
        &[
            ".properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
        ],
    );
}

#[test]
fn defaults_are_values_of_their_schema() {
    check(
        of(json!({"a": {"type": "integer", "default": "x"}})),
        &[".properties[a].default: Invalid value: \"string\":  in body must be of type integer: \"string\""],
    );
    check(
        of(json!({"a": {"type": "object", "default": {"b": 1}}})),
        &[".properties[a].default: Invalid value: {\"b\":1}: must not have unknown fields"],
    );
    check(
        of(json!({"metadata": {"type": "object", "default": {}}})),
        &[".properties[metadata].default: Forbidden: must not be set in top-level metadata"],
    );
}

#[test]
fn rules_have_frames() {
    let rule = |rule: Value| json!({"type": "object", "properties": {"a": {"type": "string"}}, "x-kubernetes-validations": [rule]});
    check(rule(json!({"rule": " "})), &[".x-kubernetes-validations[0].rule: Required value: rule is not specified"]);
    check(
        rule(json!({"rule": "true", "message": "a\nb"})),
        &[".x-kubernetes-validations[0].message: Invalid value: \"a\\nb\": must not contain line breaks"],
    );
    check(
        rule(json!({"rule": "true", "reason": "No"})),
        &[
            ".x-kubernetes-validations[0].reason: Unsupported value: \"No\": supported values: \"FieldValueDuplicate\", \"FieldValueForbidden\", \"FieldValueInvalid\", \"FieldValueRequired\"",
        ],
    );
    check(
        rule(json!({"rule": "true", "fieldPath": ".b"})),
        &[".x-kubernetes-validations[0].fieldPath: Invalid value: \".b\": must be a valid path"],
    );
}

#[test]
fn the_rest_of_a_definition() {
    with(
        "/metadata/name",
        json!("x.example.com"),
        &["metadata.name: Invalid value: \"x.example.com\": must be spec.names.plural+\".\"+spec.group"],
    );
    with(
        "/spec/scope",
        json!("Global"),
        &["spec.scope: Unsupported value: \"Global\": supported values: \"Cluster\", \"Namespaced\""],
    );
    with(
        "/spec/versions/0/subresources",
        json!({"scale": {"specReplicasPath": ".status.x", "statusReplicasPath": ""}}),
        &[
            "spec.subresources.scale.specReplicasPath: Invalid value: \".status.x\": should be a json path under .spec",
            "spec.subresources.scale.statusReplicasPath: Required value",
        ],
    );
    with(
        "/spec/versions/0/additionalPrinterColumns",
        json!([{"name": "A", "type": "text", "jsonPath": "a"}]),
        &[
            "spec.additionalPrinterColumns[0].type: Invalid value: \"text\": must be one of boolean,date,integer,number,string",
            "spec.additionalPrinterColumns[0].JSONPath: Invalid value: \"a\": must be a simple json path starting with .",
        ],
    );
    with(
        "/spec/versions/0/selectableFields",
        json!([{"jsonPath": ".spec.color"}, {"jsonPath": ".spec.size"}, {"jsonPath": ".spec.color"}, {"jsonPath": ".x"}]),
        &[
            "spec.selectableFields[1].jsonPath: Invalid value: \".spec.size\": must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.",
            "spec.selectableFields[2].jsonPath: Duplicate value: \".spec.color\"",
            "spec.selectableFields[3].jsonPath: Invalid value: \".x\": is an invalid path: does not refer to a valid field: .x",
        ],
    );
    with(
        "/spec/versions/0/deprecationWarning",
        json!("x"),
        &["spec.versions[0].deprecationWarning: Invalid value: \"x\": can only be set for deprecated versions"],
    );
    with(
        "/spec/conversion",
        json!({"strategy": "Webhook"}),
        &[
            "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook",
            "spec.conversion.conversionReviewVersions: Required value",
        ],
    );
    with(
        "/spec/conversion",
        json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v9"], "clientConfig": {"url": "https://a"}}}),
        &[
            "spec.conversion.conversionReviewVersions: Invalid value: [\"v9\"]: must include at least one of v1, v1beta1",
        ],
    );
    with(
        "/spec/preserveUnknownFields",
        json!(true),
        &[
            "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
        ],
    );
}

#[test]
fn protected_groups_need_approval() {
    let mut object = definition(json!({"type": "object"}));
    object["metadata"]["name"] = json!("foos.x.k8s.io");
    object["spec"]["group"] = json!("x.k8s.io");
    judged(
        object.clone(),
        &[
            "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111",
        ],
    );
    object["metadata"]["annotations"] = json!({"api-approved.kubernetes.io": "unapproved, test"});
    judged(object, &[]);
}

#[test]
fn what_defines_the_storage_never_changes() {
    let kinds = Kinds::builtin();
    let kind = kinds.by_word("crd").unwrap();
    let mut old = definition(json!({"type": "object"}));
    strategy::prepare_create(kind, &mut old);
    old["metadata"]["resourceVersion"] = json!("1");
    old["status"]["conditions"] = json!([{"type": "Established", "status": "True"}]);
    let mut new = old.clone();
    new["spec"]["scope"] = json!("Cluster");
    new["spec"]["names"]["kind"] = json!("Bar");
    new["spec"]["versions"][0]["name"] = json!("v2");
    strategy::prepare_update(kind, Part::Main, &mut new, &old);
    let seen: Vec<String> = update(kind, Part::Main, &new, &old).iter().map(ToString::to_string).collect();
    assert_eq!(
        seen,
        [
            "status.storedVersions[0]: Invalid value: \"v1\": missing from spec.versions; v1 was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in v1 and removes v1 from status.storedVersions",
            "spec.scope: Invalid value: \"Cluster\": field is immutable",
            "spec.names.kind: Invalid value: \"Bar\": field is immutable",
        ]
    );
}
