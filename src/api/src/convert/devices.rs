//! Claims and slices of devices, between `resource.k8s.io/v1beta1` and what came after it.
//!
//! In: an object of one form. Out: the other. In the old form a request's own fields stand beside its alternatives, and
//! a device's facts below `basic`; later a request's stand below `exactly`, and a device's beside its name.

use serde_json::{Map, Value};

/// What a request asks for itself.
const EXACTLY: [&str; 7] =
    ["adminAccess", "allocationMode", "capacity", "count", "deviceClassName", "selectors", "tolerations"];

/// The old form, where it is another, from today's or to it.
pub(super) fn convert(kind: &str, object: &mut Value, to_old: bool) {
    let items = match kind {
        "ResourceClaim" => "/spec/devices/requests",
        "ResourceClaimTemplate" => "/spec/spec/devices/requests",
        "ResourceSlice" => "/spec/devices",
        _ => return,
    };
    let one = if kind == "ResourceSlice" { device } else { request };
    let items = object.pointer_mut(items).and_then(Value::as_array_mut);
    items.into_iter().flatten().filter_map(Value::as_object_mut).for_each(|item| one(item, to_old));
}

fn request(request: &mut Map<String, Value>, to_old: bool) {
    if to_old {
        return lift(request, "exactly");
    }
    let own: Map<String, Value> = EXACTLY.iter().filter_map(|field| request.remove_entry(*field)).collect();
    if !own.is_empty() {
        request.insert("exactly".to_owned(), Value::Object(own));
    }
}

fn device(device: &mut Map<String, Value>, to_old: bool) {
    if !to_old {
        return lift(device, "basic");
    }
    let name = device.remove_entry("name");
    let facts = std::mem::take(device);
    device.extend(name);
    device.insert("basic".to_owned(), Value::Object(facts));
}

/// Puts what stands below a field beside it. What is there already stays.
fn lift(map: &mut Map<String, Value>, field: &str) {
    if !map.get(field).is_some_and(Value::is_object) {
        return;
    }
    if let Some(Value::Object(below)) = map.remove(field) {
        for (name, value) in below {
            map.entry(name).or_insert(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(kind: &str, old: Value, new: Value) {
        let mut seen = old.clone();
        convert(kind, &mut seen, false);
        assert_eq!(seen, new);
        convert(kind, &mut seen, true);
        assert_eq!(seen, old);
    }

    #[test]
    fn requests_and_devices_have_two_forms() {
        let requests = |requests: Value| json!({"devices": {"requests": requests}});
        let old = requests(json!([{"name": "a", "deviceClassName": "c", "count": 2},
            {"name": "b", "firstAvailable": [{"name": "x", "deviceClassName": "c"}]}]));
        let new = requests(json!([{"name": "a", "exactly": {"deviceClassName": "c", "count": 2}},
            {"name": "b", "firstAvailable": [{"name": "x", "deviceClassName": "c"}]}]));
        check("ResourceClaim", json!({"spec": old}), json!({"spec": new}));
        check("ResourceClaimTemplate", json!({"spec": {"spec": old}}), json!({"spec": {"spec": new}}));
        check(
            "ResourceSlice",
            json!({"spec": {"devices": [{"name": "d", "basic": {"attributes": {"a": {"int": 1}}}}]}}),
            json!({"spec": {"devices": [{"name": "d", "attributes": {"a": {"int": 1}}}]}}),
        );
        check("DeviceClass", json!({"spec": {}}), json!({"spec": {}}));
        check(
            "ResourceClaim",
            json!({"spec": {"devices": {"requests": [7]}}}),
            json!({"spec": {"devices": {"requests": [7]}}}),
        );
    }
}
