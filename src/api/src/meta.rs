//! What every object says about itself: `apiVersion`, `kind` and `metadata`.
//!
//! In: an object as JSON. Out: its name, labels, owners and so on, borrowed; or the same object changed.
//! Wrongly typed fields read as absent; never validates.

use serde_json::{Map, Value};

use crate::Object;

/// An entry of `metadata.ownerReferences`, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner<'a> {
    /// The owner's API group and version.
    pub api_version: &'a str,
    /// The owner's kind.
    pub kind: &'a str,
    /// The owner's name.
    pub name: &'a str,
    /// The owner's UID.
    pub uid: &'a str,
    /// The owner manages this object; at most one does.
    pub controller: bool,
    /// Foreground deletion of the owner waits for this object.
    pub block_owner_deletion: bool,
}

/// The string at `key` of `object`; empty when absent.
pub fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or("")
}

/// The value at a path of field names.
pub fn at<'a>(object: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(object, |value, key| value.get(key)).filter(|v| !v.is_null())
}

/// The string at a path of field names; empty when absent.
pub fn text_at<'a>(object: &'a Value, path: &[&str]) -> &'a str {
    at(object, path).and_then(Value::as_str).unwrap_or("")
}

/// The integer at a path of field names.
pub fn int_at(object: &Value, path: &[&str]) -> Option<i64> {
    at(object, path).and_then(Value::as_i64)
}

/// The boolean at a path of field names; false when absent.
pub fn bool_at(object: &Value, path: &[&str]) -> bool {
    at(object, path).and_then(Value::as_bool).unwrap_or(false)
}

/// The list at a path of field names; empty when absent.
pub fn list_at<'a>(object: &'a Value, path: &[&str]) -> &'a [Value] {
    at(object, path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The pairs of a map of strings at a path of field names.
pub fn pairs_at<'a>(object: &'a Value, path: &[&str]) -> impl Iterator<Item = (&'a str, &'a str)> {
    let map = at(object, path).and_then(Value::as_object);
    map.into_iter().flatten().filter_map(|(k, v)| Some((k.as_str(), v.as_str()?)))
}

/// `apiVersion`.
pub fn api_version(object: &Object) -> &str {
    text(object, "apiVersion")
}

/// `kind`.
pub fn kind(object: &Object) -> &str {
    text(object, "kind")
}

/// The metadata object, if there is one.
pub fn metadata(object: &Object) -> Option<&Map<String, Value>> {
    object.get("metadata").and_then(Value::as_object)
}

fn field<'a>(object: &'a Object, key: &str) -> &'a str {
    text_at(object, &["metadata", key])
}

/// Name; empty when absent.
pub fn name(object: &Object) -> &str {
    field(object, "name")
}

/// Prefix for a generated name.
pub fn generate_name(object: &Object) -> &str {
    field(object, "generateName")
}

/// Namespace; empty for cluster-wide objects.
pub fn namespace(object: &Object) -> &str {
    field(object, "namespace")
}

/// UID; empty when absent.
pub fn uid(object: &Object) -> &str {
    field(object, "uid")
}

/// Resource version as text; empty when absent.
pub fn resource_version(object: &Object) -> &str {
    field(object, "resourceVersion")
}

/// Resource version as the store's revision; `None` when absent, `"0"` or no number.
pub fn revision(object: &Object) -> Option<u64> {
    resource_version(object).parse().ok().filter(|r| *r != 0)
}

/// Generation of the desired state; 0 when absent.
pub fn generation(object: &Object) -> i64 {
    int_at(object, &["metadata", "generation"]).unwrap_or(0)
}

/// When it was made, RFC 3339.
pub fn creation_timestamp(object: &Object) -> &str {
    field(object, "creationTimestamp")
}

/// When its deletion was asked for (plus the grace period); `None` while it is wanted.
pub fn deletion_timestamp(object: &Object) -> Option<&str> {
    Some(field(object, "deletionTimestamp")).filter(|t| !t.is_empty())
}

/// Seconds of grace that its deletion gives.
pub fn deletion_grace_period(object: &Object) -> Option<i64> {
    int_at(object, &["metadata", "deletionGracePeriodSeconds"])
}

/// All labels.
pub fn labels(object: &Object) -> impl Iterator<Item = (&str, &str)> {
    pairs_at(object, &["metadata", "labels"])
}

/// One label.
pub fn label<'a>(object: &'a Object, key: &str) -> Option<&'a str> {
    at(object, &["metadata", "labels", key]).and_then(Value::as_str)
}

/// All annotations.
pub fn annotations(object: &Object) -> impl Iterator<Item = (&str, &str)> {
    pairs_at(object, &["metadata", "annotations"])
}

/// One annotation.
pub fn annotation<'a>(object: &'a Object, key: &str) -> Option<&'a str> {
    at(object, &["metadata", "annotations", key]).and_then(Value::as_str)
}

/// All finalizers.
pub fn finalizers(object: &Object) -> impl Iterator<Item = &str> {
    list_at(object, &["metadata", "finalizers"]).iter().filter_map(Value::as_str)
}

/// All owners.
pub fn owners(object: &Object) -> impl Iterator<Item = Owner<'_>> {
    list_at(object, &["metadata", "ownerReferences"]).iter().map(|owner| Owner {
        api_version: text(owner, "apiVersion"),
        kind: text(owner, "kind"),
        name: text(owner, "name"),
        uid: text(owner, "uid"),
        controller: bool_at(owner, &["controller"]),
        block_owner_deletion: bool_at(owner, &["blockOwnerDeletion"]),
    })
}

/// The owner that manages it.
pub fn controller(object: &Object) -> Option<Owner<'_>> {
    owners(object).find(|owner| owner.controller)
}

/// `metadata.managedFields`.
pub fn managed_fields(object: &Object) -> &[Value] {
    list_at(object, &["metadata", "managedFields"])
}

/// The object at `key` of `object`, made when it is absent or no object.
pub fn child_mut<'a>(object: &'a mut Value, key: &str) -> &'a mut Map<String, Value> {
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let Value::Object(map) = object else { unreachable!("made an object just above") };
    let child = map.entry(key).or_insert(Value::Null);
    if !child.is_object() {
        *child = Value::Object(Map::new());
    }
    let Value::Object(child) = child else { unreachable!("made an object just above") };
    child
}

/// The metadata object, made when absent.
pub fn metadata_mut(object: &mut Object) -> &mut Map<String, Value> {
    child_mut(object, "metadata")
}

/// Sets a string of the metadata; an empty one removes the field.
pub fn set_text(object: &mut Object, key: &str, value: &str) {
    let metadata = metadata_mut(object);
    if value.is_empty() {
        metadata.remove(key);
    } else {
        metadata.insert(key.into(), value.into());
    }
}

/// Sets the name.
pub fn set_name(object: &mut Object, name: &str) {
    set_text(object, "name", name);
}

/// Sets the namespace.
pub fn set_namespace(object: &mut Object, namespace: &str) {
    set_text(object, "namespace", namespace);
}

/// Sets the UID.
pub fn set_uid(object: &mut Object, uid: &str) {
    set_text(object, "uid", uid);
}

/// Sets the resource version; empty removes it.
pub fn set_resource_version(object: &mut Object, version: &str) {
    set_text(object, "resourceVersion", version);
}

/// Sets the generation; 0 removes it.
pub fn set_generation(object: &mut Object, generation: i64) {
    if generation == 0 {
        metadata_mut(object).remove("generation");
    } else {
        metadata_mut(object).insert("generation".into(), generation.into());
    }
}

/// Sets the time of creation.
pub fn set_creation_timestamp(object: &mut Object, time: &str) {
    set_text(object, "creationTimestamp", time);
}

/// Marks it as being deleted at `time`, with that grace.
pub fn set_deletion(object: &mut Object, time: &str, grace_seconds: i64) {
    let metadata = metadata_mut(object);
    metadata.insert("deletionTimestamp".into(), time.into());
    metadata.insert("deletionGracePeriodSeconds".into(), grace_seconds.into());
}

fn nested<'a>(object: &'a mut Object, key: &str) -> &'a mut Map<String, Value> {
    let metadata = metadata_mut(object).entry(key).or_insert(Value::Null);
    if !metadata.is_object() {
        *metadata = Value::Object(Map::new());
    }
    let Value::Object(map) = metadata else { unreachable!("made an object just above") };
    map
}

/// Sets one label.
pub fn set_label(object: &mut Object, key: &str, value: &str) {
    nested(object, "labels").insert(key.into(), value.into());
}

/// Sets one annotation.
pub fn set_annotation(object: &mut Object, key: &str, value: &str) {
    nested(object, "annotations").insert(key.into(), value.into());
}

/// Adds a finalizer unless it is there.
pub fn add_finalizer(object: &mut Object, finalizer: &str) {
    if !finalizers(object).any(|f| f == finalizer) {
        let list = metadata_mut(object).entry("finalizers").or_insert(Value::Null);
        if !list.is_array() {
            *list = Value::Array(Vec::new());
        }
        if let Value::Array(list) = list {
            list.push(finalizer.into());
        }
    }
}

/// Removes a finalizer; the field goes with the last one. True if it was there.
pub fn remove_finalizer(object: &mut Object, finalizer: &str) -> bool {
    let metadata = metadata_mut(object);
    let Some(Value::Array(list)) = metadata.get_mut("finalizers") else { return false };
    let before = list.len();
    list.retain(|f| f.as_str() != Some(finalizer));
    let (empty, removed) = (list.is_empty(), list.len() < before);
    if empty {
        metadata.remove("finalizers");
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_what_is_there_and_nothing_else() {
        let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": 3,
            "resourceVersion": "7", "labels": {"x": "y", "bad": 1}, "finalizers": ["f"],
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "u", "controller": true}]}});
        assert_eq!((name(&object), namespace(&object), revision(&object)), ("a", "", Some(7)));
        assert_eq!(labels(&object).collect::<Vec<_>>(), [("x", "y")]);
        assert_eq!(controller(&object).map(|o| o.name), Some("rs"));
        assert_eq!(deletion_timestamp(&object), None);
        assert_eq!(name(&json!([])), "");
    }

    #[test]
    fn setters_make_what_is_missing_and_remove_what_is_empty() {
        let mut object = json!({});
        set_name(&mut object, "a");
        set_label(&mut object, "k", "v");
        add_finalizer(&mut object, "f");
        add_finalizer(&mut object, "f");
        set_deletion(&mut object, "2026-01-01T00:00:00Z", 30);
        assert_eq!(
            object,
            json!({"metadata": {"name": "a", "labels": {"k": "v"}, "finalizers": ["f"],
                "deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30}})
        );
        assert!(remove_finalizer(&mut object, "f") && !remove_finalizer(&mut object, "f"));
        set_resource_version(&mut object, "");
        assert!(object["metadata"].get("finalizers").is_none());
    }
}
