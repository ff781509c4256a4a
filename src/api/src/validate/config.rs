//! ConfigMaps and Secrets.
//!
//! In: an object, on update also the old one. Out: faults.

use serde_json::Value;

use super::at::{At, Out};
use crate::base64;
use crate::field::{FieldError, Path};
use crate::meta;
use crate::name;

/// Most bytes of all values: what one object may hold.
const SIZE_MOST: usize = 1024 * 1024;
const FROZEN: &str = "field is immutable when `immutable` is set";

pub(super) fn config_map(object: &Value, old: Option<&Value>, out: &mut Out) {
    let (data, binary) = (At::root(object, "data"), At::root(object, "binaryData"));
    let mut size = 0;
    for (key, value) in data.entries() {
        out.form_of(&value, key, name::check_config_key);
        if binary.value.get(key).is_some() {
            out.push(FieldError::invalid(&value.path, key, "duplicate of key present in binaryData"));
        }
        size += value.text().len();
    }
    for (key, value) in binary.entries() {
        out.form_of(&value, key, name::check_config_key);
        size += bytes(&value, out);
    }
    if size > SIZE_MOST {
        out.push(FieldError::too_long(&Path::root(""), SIZE_MOST));
    }
    if let Some(old) = old {
        frozen(object, old, &["data", "binaryData"], out);
    }
}

pub(super) fn secret(object: &Value, old: Option<&Value>, out: &mut Out) {
    let data = At::root(object, "data");
    let mut size = 0;
    for (key, value) in data.entries() {
        out.form_of(&value, key, name::check_config_key);
        size += bytes(&value, out);
    }
    if size > SIZE_MOST {
        out.push(FieldError::too_long(&data.path, SIZE_MOST));
    }
    kind_of(object, &data, out);
    if let Some(old) = old {
        out.immutable(&At::root(object, "type"), old.get("type").unwrap_or(&Value::Null));
        frozen(object, old, &["data"], out);
    }
}

/// The number of bytes that a value stands for.
fn bytes(at: &At<'_, '_>, out: &mut Out) -> usize {
    match base64::decoded_len(at.text()) {
        Some(length) => length,
        None => {
            out.push(FieldError::invalid(&at.path, "<contents redacted>", "must be base64"));
            0
        }
    }
}

/// Types of secrets that need certain keys.
fn kind_of(object: &Value, data: &At<'_, '_>, out: &mut Out) {
    let need = |key: &str, out: &mut Out| {
        let at = data.key(key);
        if !at.is_set() {
            out.required(&at, "");
        }
        at.is_set()
    };
    match meta::text(object, "type") {
        "kubernetes.io/service-account-token" => {
            let key = "kubernetes.io/service-account.name";
            if meta::annotation(object, key).unwrap_or("").is_empty() {
                let metadata = At::root(object, "metadata");
                out.required(&metadata.get("annotations").key(key), "");
            }
        }
        "kubernetes.io/dockercfg" if need(".dockercfg", out) => json(&data.key(".dockercfg"), out),
        "kubernetes.io/dockerconfigjson" if need(".dockerconfigjson", out) => {
            json(&data.key(".dockerconfigjson"), out);
        }
        "kubernetes.io/basic-auth" if !data.key("username").is_set() && !data.key("password").is_set() => {
            need("username", out);
            need("password", out);
        }
        "kubernetes.io/ssh-auth" if data.key("ssh-privatekey").text().is_empty() => {
            out.required(&data.key("ssh-privatekey"), "");
        }
        "kubernetes.io/tls" => {
            need("tls.crt", out);
            need("tls.key", out);
        }
        _ => {}
    }
}

fn json(at: &At<'_, '_>, out: &mut Out) {
    let parsed = base64::decode(at.text()).and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    if !parsed.is_some_and(|value| value.is_object()) {
        out.push(FieldError::invalid(&at.path, "<secret contents redacted>", "must be a JSON object"));
    }
}

/// Once immutable, for ever immutable.
fn frozen(new: &Value, old: &Value, fields: &[&str], out: &mut Out) {
    if !meta::bool_at(old, &["immutable"]) {
        return;
    }
    if !meta::bool_at(new, &["immutable"]) {
        out.forbidden(&At::root(new, "immutable"), FROZEN);
    }
    let empty = Value::Object(serde_json::Map::new());
    let read = |object: &Value, field: &str| object.get(field).filter(|v| !v.is_null()).unwrap_or(&empty).clone();
    for field in fields {
        if read(new, field) != read(old, field) {
            out.forbidden(&At::root(new, field), FROZEN);
        }
    }
}
