//! Patches and server-side apply, on any object of any built-in kind.
//!
//! In: lines of JSON: where it matters the kind's plural first, then the object, then the patch. Out: a panic where a
//! patch does more, less or other than its rules say.

use kedge_api::apply::{self, ApplyError, Reset, Writer};
use kedge_api::check;
use kedge_api::kinds::Kind;
use kedge_api::patch;
use kedge_api::schema::Struct;
use serde_json::{Value, json};

use crate::bodies::{accepted, named};
use crate::lines;

/// What copies of one patch may add, in bytes, and what the others add at most.
const GROWN: usize = (3 << 20) + (64 << 10);

/// RFC 6902: the object, then the operations.
pub fn json(bytes: &[u8]) {
    let Some([mut object, patch]) = lines::values(bytes) else { return };
    if patch::json(&mut object, patch.clone()).is_err() {
        return;
    }
    assert!(lines::depth(&object) <= kedge_api::decode::Limits::REQUEST.depth, "deeper than any body");
    let size = object.to_string().len();
    assert!(size <= GROWN, "{size} bytes out of {}", bytes.len());
    let last = patch.as_array().and_then(|operations| operations.last()).cloned().unwrap_or_default();
    let appends =
        last["path"].as_str().is_none_or(|path| path.rsplit('/').next().is_none_or(|step| step.starts_with('-')));
    if (last["op"] == "add" || last["op"] == "replace") && !appends {
        let found = json!([{"op": "test", "path": last["path"], "value": last["value"]}]);
        patch::json(&mut object, found).expect("what was added is there");
    }
}

/// RFC 7386: the object, then the patch.
pub fn merge(bytes: &[u8]) {
    let Some([mut object, patch]) = lines::values(bytes) else { return };
    if patch::merge(&mut object, patch.clone()).is_err() {
        assert!(!patch.is_object());
        return;
    }
    let once = object.clone();
    patch::merge(&mut object, patch.clone()).expect("was taken before");
    assert_eq!(object, once, "twice");
    let mut alone = json!({});
    patch::merge(&mut alone, patch).expect("was taken before");
    let mut plain = alone.clone();
    lines::without_nulls(&mut plain);
    // Nulls within lists stay; within objects they mean that the key goes.
    if !has_lists(&alone) {
        assert_eq!(alone, plain, "a null was kept");
    }
}

fn has_lists(value: &Value) -> bool {
    value.is_array() || value.as_object().is_some_and(|map| map.values().any(has_lists))
}

fn parts(bytes: &[u8]) -> Option<(&'static Kind, Value, Value)> {
    let [word, live, change] = lines::values(bytes)?;
    Some((named(&word)?, live, change))
}

/// The kind, the object, the patch.
pub fn strategic(bytes: &[u8]) {
    let Some((kind, live, change)) = parts(bytes) else { return };
    let Some(own) = kind.schema() else { return };
    // Whatever is there: no panic.
    let _ = patch::strategic(own, &mut live.clone(), change.clone());
    // Of what fits the schema, what comes out is still an object.
    if let Some(mut object) = accepted(kind, live) {
        if patch::strategic(own, &mut object, change.clone()).is_err() {
            return;
        }
        assert!(object.is_object());
        if !names_directives(&change) {
            let once = object.clone();
            patch::strategic(own, &mut object, change).expect("was taken before");
            assert_eq!(object, once, "twice");
        }
    }
}

/// Directives delete and reorder: twice may differ from once.
fn names_directives(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.iter().any(|(key, value)| key.starts_with('$') || names_directives(value)),
        Value::Array(items) => items.iter().any(names_directives),
        _ => false,
    }
}

/// The kind, the object as it is, what is wanted.
pub fn apply(bytes: &[u8]) {
    let Some((kind, live, config)) = parts(bytes) else { return };
    let Some(own) = kind.schema() else { return };
    let gvk = kind.gvk();
    let writer = Writer { manager: "m", gvk: &gvk, subresource: "", now: "2026-01-01T00:00:00Z", reset: Reset::Status };
    applied(own, &writer, &live, &config);
    let mut new = config;
    apply::update(own, &writer, Some(&live), &mut new);
    apply::update(own, &writer, None, &mut new);
}

/// Applies under a schema: twice is once, and force leaves no conflict. What is kept fits its schema; of what does not
/// there is only no panic.
pub fn applied(own: Struct<'_>, writer: &Writer<'_>, live: &Value, config: &Value) {
    let gentle = apply::apply(own, writer, Some(live), config, false);
    let forced = apply::apply(own, writer, Some(live), config, true);
    if check::prune(own, &mut live.clone()) != Ok(Vec::new()) {
        return;
    }
    match (&gentle, &forced) {
        (_, Err(ApplyError::Conflicts(all))) => panic!("forced, and {all:?}"),
        (Ok(one), Ok(other)) => assert_eq!(one, other, "there was nothing to force"),
        (Err(ApplyError::Conflicts(all)), Ok(_)) => assert!(!all.is_empty()),
        (Err(one), Err(other)) => assert_eq!(one, other),
        (Ok(_), Err(why)) | (Err(why), Ok(_)) => panic!("force decides of more than conflicts: {why}"),
    }
    if let Ok(once) = forced {
        let again = apply::apply(own, writer, Some(&once.object), config, false).expect("was applied before");
        assert!(!again.is_changed, "twice");
        assert_eq!(again.object, once.object, "twice");
        let mut pruned = once.object.clone();
        assert_eq!(check::prune(own, &mut pruned), Ok(Vec::new()));
    }
}

/// The managers' list of a deployment, twice through an update that changes nothing.
pub fn managed_fields(bytes: &[u8]) {
    let Some([list, change]) = lines::values(bytes) else { return };
    let kind = named(&json!("deployments")).expect("is built in");
    let own = kind.schema().expect("is built in");
    let gvk = kind.gvk();
    let writer =
        Writer { manager: "m", gvk: &gvk, subresource: "", now: "2026-01-01T00:00:00Z", reset: Reset::Nothing };
    let live = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "managedFields": list}, "spec": {"replicas": 1}});
    let Some(live) = accepted(kind, live) else { return };
    let mut once = live.clone();
    apply::update(own, &writer, Some(&live), &mut once);
    let mut twice = once.clone();
    apply::update(own, &writer, Some(&once), &mut twice);
    // An update that changes nothing of a list in our own form leaves it as it is.
    assert_eq!(twice, once, "twice");
    let mut changed = once.clone();
    changed["spec"] = change;
    apply::update(own, &writer, Some(&once), &mut changed);
    let config =
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": {"replicas": 2}});
    applied(own, &writer, &live, &config);
}
