//! Fills in what Kubernetes fills in where a user said nothing.
//!
//! In: a kind and an object that fits its schema. Out: the object with defaults. Running it twice changes nothing.
//! Never needs another object, the clock or chance (those are admission and allocation).
//!
//! Fixed values come from `defaults/fixed.rs`, by type; what depends on other fields is a function, by type.
//! A type is treated the same wherever it stands: a Pod's spec in a Deployment's template, a claim in a StatefulSet.

mod admission;
mod fixed;
mod network;
mod pods;
mod removed;
mod workloads;

use crate::kinds::{Gvk, Removed};
use crate::schema::{self, Scalar, Shape, Struct};
use serde_json::{Map, Value};

type Fields = Map<String, Value>;

/// Applies every default of a built-in kind. Kinds that are not built in are left alone. A version that Kubernetes no
/// longer serves gets the defaults that it alone had: the others come with today's form.
pub fn apply(gvk: &Gvk, object: &mut Value) {
    if Removed::of(gvk).and_then(Removed::modern).is_some() {
        object.as_object_mut().into_iter().for_each(|map| removed::apply(gvk, map));
        return;
    }
    let (Some(own), Some(map)) = (schema::of(gvk), object.as_object_mut()) else { return };
    fill(own, map, false);
    if gvk.is("", "Pod") {
        pods::pod(map);
    }
}

/// The status of an object of which nothing is known yet, where Kubernetes always writes one.
pub fn blank_status(gvk: &Gvk) -> Option<Value> {
    let field = schema::of(gvk)?.field("status").filter(|field| field.is_always_written())?;
    let mut status = Map::new();
    fill(field.node().as_struct()?, &mut status, true);
    Some(Value::Object(status))
}

fn fill(own: Struct<'_>, map: &mut Fields, in_status: bool) {
    let name = short(own.name());
    derive(name, map);
    for (field, value) in fixed::of(name) {
        value.put(map, field);
    }
    for field in own.fields() {
        let name = field.name();
        let in_status = in_status || name == "status";
        if !map.contains_key(name)
            && let Some(value) = always(field, in_status)
        {
            map.insert(name.to_owned(), value);
        }
        let Some(value) = map.get_mut(name) else { continue };
        match (field.node().shape(), value) {
            (Shape::Struct(inner), Value::Object(map)) => fill(inner, map, in_status),
            (Shape::List(item), Value::Array(list)) => {
                if let Some(inner) = item.as_struct() {
                    list.iter_mut().filter_map(Value::as_object_mut).for_each(|map| fill(inner, map, in_status));
                }
            }
            (Shape::Map(item), Value::Object(entries)) => {
                if let Some(inner) = item.as_struct() {
                    entries.values_mut().filter_map(Value::as_object_mut).for_each(|map| fill(inner, map, in_status));
                }
            }
            _ => {}
        }
    }
}

/// What Kubernetes writes though nothing was said: published defaults, empty structs that are no pointers in Go,
/// and in a status the numbers and texts that are always there.
fn always(field: schema::Field<'_>, in_status: bool) -> Option<Value> {
    if !field.default_json().is_empty() {
        return serde_json::from_str(field.default_json()).ok();
    }
    if !field.is_always_written() || field.name() == "metadata" && field.node().name() == Some(LIST_META) {
        return None;
    }
    match field.node().shape() {
        Shape::Struct(_) => Some(Value::Object(Map::new())),
        Shape::Scalar(Scalar::String) if in_status => Some(Value::from("")),
        Shape::Scalar(Scalar::Bool) if in_status => Some(Value::from(false)),
        Shape::Scalar(Scalar::Int32 | Scalar::Int64) if in_status => Some(Value::from(0)),
        _ => None,
    }
}

const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";

/// Defaults that depend on other fields, by type. They run before the fixed ones of the same type.
fn derive(name: &str, map: &mut Fields) {
    match name {
        "core.v1.Container" | "core.v1.EphemeralContainer" => pods::container(map),
        "core.v1.Volume" => pods::volume(map),
        "core.v1.ImageVolumeSource" => pods::pull_policy(map, "reference", "pullPolicy"),
        "core.v1.Namespace" => workloads::namespace(map),
        "core.v1.NodeStatus" => workloads::node_status(map),
        "core.v1.LimitRangeItem" => workloads::limit_range_item(map),
        "core.v1.ReplicationController" => workloads::replication_controller(map),
        "core.v1.Service" => network::service(map),
        "apps.v1.DaemonSet" => workloads::daemon_set(map),
        "apps.v1.Deployment" => workloads::deployment(map),
        "apps.v1.StatefulSet" => workloads::stateful_set(map),
        "batch.v1.Job" => workloads::job(map),
        "autoscaling.v2.HorizontalPodAutoscalerSpec" => workloads::autoscaler(map),
        "networking.v1.NetworkPolicySpec" => network::policy(map),
        "rbac.v1.Subject" => network::subject(map),
        "apiextensions.v1.CustomResourceDefinitionNames" => admission::custom_names(map),
        "flowcontrol.v1.PriorityLevelConfigurationSpec" => admission::priority_level(map),
        "flowcontrol.v1.LimitResponse" => admission::limit_response(map),
        "resource.v1.ExactDeviceRequest" | "resource.v1.DeviceSubRequest" => admission::device_request(map),
        _ => {}
    }
}

/// The last three parts of a type's full name.
fn short(name: &str) -> &str {
    name.rmatch_indices('.').nth(2).map_or(name, |(at, _)| &name[at + 1..])
}

/// Whether nothing was said: absent, or empty text where Go cannot tell the two apart.
fn unsaid(map: &Fields, field: &str) -> bool {
    match map.get(field) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        _ => false,
    }
}

/// Puts a value where nothing was said.
fn put(map: &mut Fields, field: &str, value: impl Into<Value>) {
    if unsaid(map, field) {
        map.insert(field.to_owned(), value.into());
    }
}

/// The object at a field, made if nothing was said.
fn object<'a>(map: &'a mut Fields, field: &str) -> Option<&'a mut Fields> {
    map.entry(field).or_insert_with(|| Value::Object(Map::new())).as_object_mut()
}

fn text<'a>(map: &'a Fields, field: &str) -> &'a str {
    map.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn is_empty_list(map: &Fields, field: &str) -> bool {
    map.get(field).and_then(Value::as_array).is_none_or(Vec::is_empty)
}

fn is_empty_map(map: &Fields, field: &str) -> bool {
    map.get(field).and_then(Value::as_object).is_none_or(Map::is_empty)
}

#[cfg(test)]
mod tests;
