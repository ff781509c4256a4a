//! Definitions and custom objects.

use std::sync::Arc;

use kedge_api::apply::{self, Reset, Writer};
use kedge_api::check::{self, FieldValidation};
use kedge_api::custom::conditions::{self, Taken};
use kedge_api::custom::{self, Definition, default};
use kedge_api::kinds::{Kind, Kinds};
use kedge_api::strategy::{self, Part};
use kedge_api::{openapi, validate};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::values;

/// Words of schemas.
const WORDS: [&str; 42] = [
    "type",
    "properties",
    "items",
    "additionalProperties",
    "required",
    "default",
    "nullable",
    "enum",
    "format",
    "pattern",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "multipleOf",
    "maxLength",
    "minLength",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxProperties",
    "minProperties",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "x-kubernetes-int-or-string",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",
    "rule",
    "metadata",
    "spec",
    "status",
    "a",
    "b",
    "apiVersion",
    "kind",
    "name",
    "labels",
];
const TEXTS: [&str; 22] = [
    "",
    "object",
    "array",
    "string",
    "integer",
    "number",
    "boolean",
    "set",
    "map",
    "atomic",
    "a",
    "b",
    "spec",
    "[",
    "^a+$",
    "date-time",
    "ipv4",
    "uri",
    "int32",
    "True",
    "v1",
    ".spec.a",
];

fn value() -> impl Strategy<Value = Value> {
    values::of(&WORDS, &TEXTS)
}

/// A definition with that schema, and what else is said in its spec.
fn definition(schema: Value, more: Value) -> Value {
    let mut definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "foos.example.com", "uid": "u", "generation": 1},
        "spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"plural": "foos", "singular": "foo", "kind": "Foo", "listKind": "FooList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
                "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.a", "statusReplicasPath": ".status.a", "labelSelectorPath": ".status.b"}},
                "selectableFields": [{"jsonPath": ".spec.a"}]}]},
        "status": {"storedVersions": ["v1"]}});
    for (key, value) in more.as_object().into_iter().flatten() {
        definition["spec"]["versions"][0][key] = value.clone();
    }
    definition
}

fn row(definition: &Value) -> Option<Kind> {
    let settled = conditions::settle(definition, &Taken::default(), "2026-01-01T00:00:00Z");
    let settled = settled.as_ref().unwrap_or(definition);
    let compiled = Arc::new(Definition::compile(definition).ok()?);
    custom::rows(&compiled, settled).into_iter().next()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn definitions_are_judged(schema in value(), more in value(), old in value()) {
        let kinds = Kinds::builtin();
        let kind = kinds.by_word("crd").expect("is built in");
        let (new, old) = (definition(schema, more), definition(old, Value::Null));
        let _ = validate::create(kind, &new);
        let _ = validate::update(kind, Part::Main, &new, &old);
        let _ = conditions::settle(&new, &Taken::default(), "2026-01-01T00:00:00Z");
    }

    #[test]
    fn objects_are_held_against_any_schema(schema in value(), object in value(), old in value()) {
        let Some(kind) = row(&definition(schema, Value::Null)) else { return Ok(()) };
        let own = kind.schema().expect("it has that version");
        let place = own.node().custom().expect("it is custom");
        let gvk = kind.gvk();
        if let Ok(checked) = check::object(&gvk, own, object.clone().into(), FieldValidation::Warn) {
            let mut new = checked.object;
            default::fill(place, &mut new);
            let once = new.clone();
            default::fill(place, &mut new);
            prop_assert_eq!(&new, &once);
            if !new.is_object() {
                return Ok(());
            }
            strategy::prepare_create(&kind, &mut new);
            let _ = validate::create(&kind, &new);
            for part in [Part::Main, Part::Status] {
                let _ = validate::update(&kind, part, &new, &old);
            }
            let writer = Writer { manager: "m", gvk: &gvk, subresource: "", now: "", reset: Reset::Status };
            let _ = apply::apply(own, &writer, Some(&new), &object, true);
        }
    }

    #[test]
    fn what_was_pruned_is_pruned(schema in value(), object in value()) {
        let Some(kind) = row(&definition(schema, Value::Null)) else { return Ok(()) };
        let own = kind.schema().expect("it has that version");
        let mut once = object;
        if check::prune(own, &mut once).is_ok() {
            let mut twice = once.clone();
            prop_assert_eq!(check::prune(own, &mut twice), Ok(Vec::new()));
            prop_assert_eq!(twice, once);
        }
    }
}

proptest! {
    // A document is large, and made anew each time.
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn any_schema_is_published(schema in value()) {
        struct Held(Value);
        impl openapi::Schemas for Held {
            fn schema(&self, _: &str, _: &str) -> Option<Value> {
                Some(self.0.clone())
            }
        }
        let Some(kind) = row(&definition(schema.clone(), Value::Null)) else { return Ok(()) };
        let mut kinds = Kinds::builtin();
        kinds.insert(kind);
        prop_assert!(openapi::v3(&kinds, "example.com", "v1", &Held(schema)).is_some());
        prop_assert!(openapi::v3(&kinds, "example.com", "v1", &openapi::NoSchemas).is_some());
    }
}
