//! Definitions of custom kinds, and custom objects under any schema.
//!
//! In: lines of JSON. Out: a panic where validation lets pass what cannot be compiled, or where doing something twice
//! does more than once.

use std::sync::Arc;

use kedge_api::apply::{Reset, Writer};
use kedge_api::check::{self, FieldValidation};
use kedge_api::custom::conditions::{self, Taken};
use kedge_api::custom::{self, Definition, default};
use kedge_api::kinds::Kind;
use kedge_api::strategy::{self, Part};
use kedge_api::{defaults, openapi, print, validate};
use serde_json::{Value, json};

use crate::bodies::{accepted, kinds, named};
use crate::{lines, patches};

const NOW: &str = "2026-01-01T00:00:00Z";

/// A definition, then an older one.
pub fn definition(bytes: &[u8]) {
    let Some([new, old]) = lines::values(bytes) else { return };
    let kind = named(&json!("customresourcedefinitions")).expect("is built in");
    let Some(new) = ready(kind, new) else { return };
    let faults = validate::create(kind, &new);
    let _ = conditions::settle(&new, &Taken::default(), NOW);
    let compiled = Definition::compile(&new);
    if faults.is_empty() {
        let compiled = Arc::new(compiled.expect("what is accepted compiles"));
        let settled = conditions::settle(&new, &Taken::default(), NOW).unwrap_or_else(|| new.clone());
        for row in custom::rows(&compiled, &settled) {
            publish(row, &new);
        }
        assert_eq!(validate::update(kind, Part::Main, &new, &new), Vec::new(), "what was accepted stays accepted");
    }
    let Some(old) = ready(kind, old) else { return };
    let _ = validate::update(kind, Part::Main, &new, &old);
    let _ = validate::update(kind, Part::Status, &new, &old);
}

fn ready(kind: &Kind, body: Value) -> Option<Value> {
    let mut object = accepted(kind, body)?;
    defaults::apply(&kind.gvk(), &mut object);
    strategy::prepare_create(kind, &mut object);
    Some(object)
}

fn publish(row: Kind, definition: &Value) {
    struct Held<'a>(&'a Value);
    impl openapi::Schemas for Held<'_> {
        fn schema(&self, _: &str, _: &str) -> Option<Value> {
            self.0.pointer("/spec/versions/0/schema/openAPIV3Schema").cloned()
        }
    }
    let (group, version) = (row.group.to_string(), row.version.to_string());
    let mut one = kedge_api::kinds::Kinds::builtin();
    one.insert(row);
    assert!(openapi::v3(&one, &group, &version, &Held(definition)).is_some());
}

/// The schema of `spec`, the object, one that it replaces.
pub fn object(bytes: &[u8]) {
    let Some([schema, body, old]) = lines::values(bytes) else { return };
    let Some(kind) = row(schema) else { return };
    let own = kind.schema().expect("it has that version");
    let place = own.node().custom().expect("it is custom");
    let gvk = kind.gvk();
    let mut once = body.clone();
    if check::prune(own, &mut once).is_ok() {
        let mut twice = once.clone();
        assert_eq!(check::prune(own, &mut twice), Ok(Vec::new()));
        assert_eq!(twice, once, "pruned twice");
    }
    let Ok(checked) = check::object(&gvk, own, body.clone().into(), FieldValidation::Warn) else { return };
    let mut new = checked.object;
    default::fill(place, &mut new);
    let once = new.clone();
    default::fill(place, &mut new);
    assert_eq!(new, once, "defaults of defaults");
    if !new.is_object() {
        return;
    }
    strategy::prepare_create(&kind, &mut new);
    let _ = validate::create(&kind, &new);
    if let Some(version) = kind.custom_version() {
        let _ = print::custom::cells(&version.columns, &new, std::time::UNIX_EPOCH);
    }
    for part in [Part::Main, Part::Status] {
        let _ = validate::update(&kind, part, &new, &old);
    }
    let writer = Writer { manager: "m", gvk: &gvk, subresource: "", now: NOW, reset: Reset::Status };
    patches::applied(own, &writer, &new, &body);
    patches::applied(own, &writer, &old, &body);
}

/// The row of a definition with that schema. Nobody validated it: old ones are kept as they were.
fn row(schema: Value) -> Option<Kind> {
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "foos.example.com", "uid": "u", "generation": 1},
        "spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"plural": "foos", "singular": "foo", "kind": "Foo", "listKind": "FooList"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": schema},
                "additionalPrinterColumns": [{"name": "A", "type": "integer", "jsonPath": ".spec.a"}, {"name": "B", "type": "date", "jsonPath": ".spec.b"}],
                "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.a", "statusReplicasPath": ".status.a", "labelSelectorPath": ".status.b"}},
                "selectableFields": [{"jsonPath": ".spec.a"}]}]},
        "status": {"storedVersions": ["v1"]}});
    let settled = conditions::settle(&definition, &Taken::default(), NOW);
    let compiled = Arc::new(Definition::compile(&definition).ok()?);
    let _ = kinds();
    custom::rows(&compiled, settled.as_ref().unwrap_or(&definition)).into_iter().next()
}
