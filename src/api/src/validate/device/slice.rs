//! What devices a driver has, and their taints.
//!
//! In: a ResourceSlice or a DeviceTaintRule, on update also the old one. Out: faults.

use serde_json::Value;

use super::{EFFECTS, binding, limit, pool_name, qualified, unique};
use crate::field::FieldError;
use crate::name;
use crate::validate::at::{At, Out};
use crate::validate::{condition, pod};

const DEVICES_MOST: usize = 128;
/// Most devices where any has taints, lists, or counters.
const RICH_DEVICES_MOST: usize = 64;
const COUNTER_SETS_MOST: usize = 8;
const COUNTERS_MOST: usize = 32;
const CONSUMED_MOST: usize = 2;
const TRAITS_MOST: usize = 32;
const VALUES_MOST: usize = 48;
const VALUE_MOST: usize = 64;
const TAINTS_MOST: usize = 16;
const RULE_CONDITIONS_MOST: usize = 8;
const PLACES: &str = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
const DEVICE_PLACES: &str = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when \
                             `perDeviceNodeSelection` is set to true in the ResourceSlice spec";

pub(in super::super) fn slice(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    let (driver, pool) = (spec.get("driver"), spec.get("pool"));
    pod::csi_driver(&driver, out);
    pool_name(&pool.get("name"), out);
    let (count, generation) = (pool.get("resourceSliceCount"), pool.get("generation"));
    if count.int().unwrap_or(0) <= 0 {
        out.push(FieldError::invalid(&count.path, count.int().unwrap_or(0), "must be greater than zero"));
    }
    if generation.int().is_some_and(|n| n < 0) {
        out.invalid(&generation, "must be greater than or equal to zero");
    }
    if let Some(old) = old {
        let before = At::root(old, "spec");
        out.immutable(&pool.get("name"), before.get("pool").get("name").value);
        out.immutable(&driver, before.get("driver").value);
        out.immutable(&spec.get("nodeName"), before.get("nodeName").value);
    }
    let mut places = places(&spec, "must be either unset or set to a non-empty string", true, out);
    let each = spec.get("perDeviceNodeSelection");
    flag(&each, "perDeviceNodeSelection", &mut places, out);
    match places.len() {
        0 => out.required(&spec, PLACES),
        1 => {}
        _ => {
            let text = format!("{PLACES}, but multiple fields are set");
            out.push(FieldError::invalid(&spec.path, format!("{{{}}}", places.join(", ")), text));
        }
    }
    let (devices, shared) = (spec.get("devices"), spec.get("sharedCounters"));
    if devices.is_set() && shared.is_set() {
        out.push(FieldError::invalid(&spec.path, "", "only one of `sharedCounters` or `devices` is allowed"));
    }
    let rich = devices.items().any(|one| {
        let listed =
            |attribute: &Value| ["bools", "ints", "strings", "versions"].iter().any(|f| attribute.get(f).is_some());
        one.get("taints").len() + one.get("consumesCounters").len() > 0
            || one.get("attributes").entries().any(|(_, attribute)| listed(attribute.value))
    });
    if limit(&devices, if rich { RICH_DEVICES_MOST } else { DEVICES_MOST }, out) {
        for one in devices.items() {
            let known = old.and_then(|old| old["spec"].get("devices")?.as_array());
            let before = known.and_then(|all| all.iter().find(|d| d.get("name") == one.value.get("name")));
            device(&one, before, each.yes(), out);
        }
        unique(&devices, |one| one.text_of("name").to_owned(), out);
    }
    if limit(&shared, COUNTER_SETS_MOST, out) {
        for set in shared.items() {
            out.filled_form(&set.get("name"), name::check_label);
            counters(&set.get("counters"), out);
        }
        unique(&shared, |one| one.text_of("name").to_owned(), out);
    }
}

/// Where the devices are: the names of what is said.
fn places(at: &At<'_, '_>, empty: &str, one_term: bool, out: &mut Out) -> Vec<String> {
    let mut said = Vec::new();
    let (node, selector) = (at.get("nodeName"), at.get("nodeSelector"));
    if node.is_set() && node.text().is_empty() {
        out.invalid(&node, empty);
    } else if node.is_set() {
        said.push("`nodeName`".to_owned());
        out.form(&node, name::check_subdomain);
    }
    if selector.is_set() {
        said.push("`nodeSelector`".to_owned());
        pod::node_selector(&selector, out);
        let terms = selector.get("nodeSelectorTerms");
        if one_term && terms.len() != 1 {
            out.invalid(&terms, "must have exactly one node selector term");
        }
    }
    flag(&at.get("allNodes"), "allNodes", &mut said, out);
    said
}

fn flag(at: &At<'_, '_>, field: &str, said: &mut Vec<String>, out: &mut Out) {
    if at.yes() {
        said.push(format!("`{field}`"));
    } else if at.is_set() {
        out.invalid(at, "must be either unset or set to true");
    }
}

fn device(at: &At<'_, '_>, before: Option<&Value>, each: bool, out: &mut Out) {
    out.form(&at.get("name"), name::check_label);
    let (attributes, capacity) = (at.get("attributes"), at.get("capacity"));
    let total = attributes.len() + capacity.len();
    if total > TRAITS_MOST {
        let text = format!("the total number of attributes and capacities must not exceed {TRAITS_MOST}");
        out.push(FieldError::invalid(&at.path, total, text));
    }
    let values: usize = attributes.entries().map(|(_, one)| values_of(&one)).sum();
    if values > VALUES_MOST {
        let text = format!("the total number of attribute values must not exceed {VALUES_MOST}");
        out.push(FieldError::invalid(&at.path, values, text));
    }
    for (key, one) in attributes.entries() {
        qualified(&attributes, key, out);
        attribute(&one, out);
    }
    for (key, one) in capacity.entries() {
        qualified(&capacity, key, out);
        if one.get("requestPolicy").is_set() && !at.get("allowMultipleAllocations").yes() {
            out.forbidden(&one.get("requestPolicy"), "allowMultipleAllocations must be true");
        }
    }
    let taints = at.get("taints");
    if before.is_none_or(|old| old.get("taints").unwrap_or(&Value::Null) != taints.value)
        && limit(&taints, TAINTS_MOST, out)
    {
        taints.items().for_each(|one| taint(&one, None, out));
    }
    let consumed = at.get("consumesCounters");
    if limit(&consumed, CONSUMED_MOST, out) {
        for one in consumed.items() {
            out.filled_form(&one.get("counterSet"), name::check_label);
            counters(&one.get("counters"), out);
        }
        unique(&consumed, |one| one.text_of("counterSet").to_owned(), out);
    }
    if each {
        let said = places(at, "must not be empty", false, out);
        match said.len() {
            0 => out.required(at, DEVICE_PLACES),
            1 => {}
            _ => out.push(FieldError::invalid(&at.path, format!("{{{}}}", said.join(", ")), DEVICE_PLACES)),
        }
    } else if ["nodeName", "nodeSelector", "allNodes"].iter().any(|field| at.get(field).is_set()) {
        let text = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to \
                    true in the ResourceSlice spec";
        out.push(FieldError::invalid(&at.path, Value::Null, text));
    }
    binding(at, out);
}

fn counters(at: &At<'_, '_>, out: &mut Out) {
    if at.len() == 0 {
        out.required(at, "");
    } else if limit(at, COUNTERS_MOST, out) {
        for (key, _) in at.entries() {
            out.form_of(at, key, name::check_label);
        }
    }
}

fn values_of(attribute: &At<'_, '_>) -> usize {
    let listed: usize = ["bools", "ints", "strings", "versions"].iter().map(|field| attribute.get(field).len()).sum();
    listed.max(1)
}

fn attribute(at: &At<'_, '_>, out: &mut Out) {
    let mut said = 0;
    for field in ["bool", "int", "string", "version"] {
        let one = at.get(field);
        said += usize::from(one.is_set());
        match field {
            "string" if one.is_set() => short(&one, out),
            "version" if one.is_set() => version(&one, out),
            _ => {}
        }
    }
    for field in ["bools", "ints", "strings", "versions"] {
        let list = at.get(field);
        said += usize::from(list.is_set());
        if list.is_set() && list.len() == 0 {
            out.invalid(&list, "must not be empty if specified");
        }
        for one in list.items() {
            match field {
                "strings" => short(&one, out),
                "versions" => version(&one, out),
                _ => {}
            }
        }
    }
    match said {
        0 => out.push(FieldError::invalid(&at.path, "", "exactly one value must be specified")),
        1 => {}
        _ => out.invalid(at, "exactly one value must be specified"),
    }
}

fn short(at: &At<'_, '_>, out: &mut Out) {
    if at.text().len() > VALUE_MOST {
        out.push(FieldError::too_long(&at.path, VALUE_MOST));
    }
}

fn version(at: &At<'_, '_>, out: &mut Out) {
    if !semantic(at.text()) {
        out.invalid(at, "must be a string compatible with semver.org spec 2.0.0");
    }
    short(at, out);
}

/// `1.2.3`, perhaps with `-words` and `+words`.
fn semantic(text: &str) -> bool {
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    let (numbers, early) = text.split_once('-').map_or((text, None), |(numbers, early)| (numbers, Some(early)));
    let number = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        digits && (part == "0" || !part.starts_with('0'))
    };
    let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    numbers.split('.').count() == 3
        && numbers.split('.').all(number)
        && early.is_none_or(|early| early.split('.').all(|part| word(part) && (!digits(part) || number(part))))
        && build.is_none_or(|build| build.split('.').all(word))
}

fn taint(at: &At<'_, '_>, before: Option<&Value>, out: &mut Out) {
    out.form(&at.get("key"), name::check_qualified);
    out.optional_form(&at.get("value"), name::check_label_value);
    let effect = at.get("effect");
    if before.is_none_or(|old| old.get("effect") != at.value.get("effect")) {
        out.one_of_required(&effect, &EFFECTS);
    }
}

pub(in super::super) fn taint_rule(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    let selector = spec.get("deviceSelector");
    if selector.get("driver").is_set() {
        pod::csi_driver(&selector.get("driver"), out);
    }
    if selector.get("pool").is_set() {
        pool_name(&selector.get("pool"), out);
    }
    if selector.get("device").is_set() {
        out.form(&selector.get("device"), name::check_label);
    }
    taint(&spec.get("taint"), old.and_then(|old| old["spec"].get("taint")), out);
}

pub(in super::super) fn taint_rule_status(object: &Value, out: &mut Out) {
    let status = At::root(object, "status");
    let conditions = status.get("conditions");
    condition::all(&conditions, out);
    limit(&conditions, RULE_CONDITIONS_MOST, out);
}
