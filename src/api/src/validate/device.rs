//! Dynamic resource allocation: device classes, claims, their templates, slices.
//!
//! In: an object, on update also the old one. Out: faults. Expressions are judged elsewhere.

use std::collections::BTreeSet;

use serde_json::Value;

use super::at::{At, IMMUTABLE, Out};
use crate::field::FieldError;
use crate::name;

const SELECTORS_MOST: usize = 32;
const REQUESTS_MOST: usize = 32;
const DEVICES_MOST: usize = 128;

pub(super) fn class(object: &Value, out: &mut Out) {
    let spec = At::root(object, "spec");
    selectors(&spec.get("selectors"), out);
    let config = spec.get("config");
    limit(&config, SELECTORS_MOST, out);
    for one in config.items() {
        opaque(&one, out);
    }
}

pub(super) fn claim(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    claim_spec(&spec, out);
    if let Some(old) = old
        && spec.value != &old["spec"]
    {
        out.invalid(&spec, IMMUTABLE);
    }
}

pub(super) fn claim_template(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    let metadata = spec.get("metadata");
    out.labels(&metadata.get("labels"));
    super::metadata::annotations(&metadata.get("annotations"), out);
    claim_spec(&spec.get("spec"), out);
    if let Some(old) = old
        && spec.value != &old["spec"]
    {
        out.invalid(&spec, IMMUTABLE);
    }
}

fn claim_spec(at: &At<'_, '_>, out: &mut Out) {
    let devices = at.get("devices");
    let requests = devices.get("requests");
    limit(&requests, REQUESTS_MOST, out);
    let mut names = BTreeSet::new();
    for request in requests.items() {
        let name_at = request.get("name");
        out.filled_form(&name_at, name::check_label);
        if !name_at.text().is_empty() && !names.insert(name_at.text()) {
            out.duplicate(&name_at);
        }
        let (exactly, first) = (request.get("exactly"), request.get("firstAvailable"));
        match (exactly.is_set(), first.len() > 0) {
            (true, true) => out.invalid(&request, "exactly one of `exactly` or `firstAvailable` is required"),
            (false, false) => out.required(&request, "exactly one of `exactly` or `firstAvailable` is required"),
            (true, false) => one_request(&exactly, out),
            (false, true) => first.items().for_each(|one| {
                out.filled_form(&one.get("name"), name::check_label);
                one_request(&one, out);
            }),
        }
    }
    for constraint in devices.get("constraints").items() {
        requested(&constraint.get("requests"), &names, out);
        if constraint.text_of("matchAttribute").is_empty() && constraint.text_of("distinctAttribute").is_empty() {
            out.required(&constraint.get("matchAttribute"), "");
        }
    }
    for config in devices.get("config").items() {
        requested(&config.get("requests"), &names, out);
        opaque(&config, out);
    }
}

fn one_request(at: &At<'_, '_>, out: &mut Out) {
    out.filled_form(&at.get("deviceClassName"), name::check_subdomain);
    selectors(&at.get("selectors"), out);
    let (mode, count) = (at.get("allocationMode"), at.get("count"));
    out.one_of(&mode, &["All", "ExactCount"]);
    match mode.text() {
        "All" if count.int().is_some_and(|n| n != 0) => {
            out.invalid(&count, "must not be specified when allocationMode is 'All'");
        }
        "ExactCount" if count.int().is_some_and(|n| n <= 0) => out.invalid(&count, "must be greater than zero"),
        _ => {}
    }
}

/// Names that requests of this claim have (a sub-request may follow a slash).
fn requested(at: &At<'_, '_>, names: &BTreeSet<&str>, out: &mut Out) {
    for one in at.items() {
        let main = one.text().split('/').next().unwrap_or("");
        if !names.contains(main) {
            out.invalid(
                &one,
                "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'",
            );
        }
    }
}

fn selectors(at: &At<'_, '_>, out: &mut Out) {
    limit(at, SELECTORS_MOST, out);
    for selector in at.items() {
        let cel = selector.get("cel");
        if !cel.is_set() {
            out.required(&cel, "");
        } else {
            out.filled(&cel.get("expression"));
        }
    }
}

fn opaque(at: &At<'_, '_>, out: &mut Out) {
    let opaque = at.get("opaque");
    if !opaque.is_set() {
        out.required(&opaque, "");
        return;
    }
    out.filled_form(&opaque.get("driver"), name::check_subdomain);
    let parameters = opaque.get("parameters");
    if !parameters.is_set() {
        out.required(&parameters, "");
    } else if !parameters.value.is_object() {
        out.push(FieldError::invalid(&parameters.path, "<value omitted>", "must be a valid JSON object"));
    }
}

fn limit(at: &At<'_, '_>, most: usize, out: &mut Out) {
    if at.len() > most {
        out.push(FieldError::too_many(&at.path, at.len(), most));
    }
}

pub(super) fn slice(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    out.filled_form(&spec.get("driver"), name::check_subdomain);
    let pool = spec.get("pool");
    out.filled(&pool.get("name"));
    let count = pool.get("resourceSliceCount");
    if count.int().unwrap_or(0) <= 0 {
        out.push(FieldError::invalid(&count.path, count.int().unwrap_or(0), "must be greater than zero"));
    }
    out.nonnegative(&pool.get("generation"));
    let chosen: Vec<&str> = ["nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection"]
        .into_iter()
        .filter(|field| {
            let at = spec.get(field);
            at.is_set() && at.value != &Value::Bool(false) && at.value.as_str() != Some("")
        })
        .collect();
    match chosen.len() {
        0 => out.required(
            &spec,
            "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required",
        ),
        1 => {}
        _ => out.invalid(
            &spec,
            "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required",
        ),
    }
    out.optional_form(&spec.get("nodeName"), name::check_subdomain);
    let devices = spec.get("devices");
    limit(&devices, DEVICES_MOST, out);
    let mut names = BTreeSet::new();
    for device in devices.items() {
        let name_at = device.get("name");
        out.filled_form(&name_at, name::check_label);
        if !name_at.text().is_empty() && !names.insert(name_at.text()) {
            out.duplicate(&name_at);
        }
    }
    if let Some(old) = old {
        for field in ["driver", "nodeName"] {
            out.immutable(&spec.get(field), old["spec"].get(field).unwrap_or(&Value::Null));
        }
        let before = old["spec"].get("pool").and_then(|p| p.get("name")).unwrap_or(&Value::Null);
        out.immutable(&pool.get("name"), before);
    }
}
