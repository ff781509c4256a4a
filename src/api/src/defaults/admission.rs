//! Extension, flow control and device kinds: defaults that depend on a kind or type field.

use super::{Fields, object, put, text};

pub(super) fn custom_names(names: &mut Fields) {
    let kind = text(names, "kind").to_owned();
    if !kind.is_empty() {
        put(names, "singular", kind.to_ascii_lowercase());
        put(names, "listKind", format!("{kind}List"));
    }
}

pub(super) fn priority_level(spec: &mut Fields) {
    let kind = text(spec, "type").to_owned();
    match kind.as_str() {
        "Exempt" => drop(object(spec, "exempt")),
        "Limited" => drop(object(spec, "limited")),
        _ => {}
    }
}

pub(super) fn limit_response(response: &mut Fields) {
    put(response, "type", "Reject");
    if text(response, "type") == "Queue" {
        object(response, "queuing");
    }
}

pub(super) fn device_request(request: &mut Fields) {
    put(request, "allocationMode", "ExactCount");
    if text(request, "allocationMode") == "ExactCount"
        && request.get("count").and_then(serde_json::Value::as_i64).unwrap_or_default() == 0
    {
        request.insert("count".to_owned(), 1.into());
    }
}
