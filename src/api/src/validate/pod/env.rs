//! Environment variables and where they come from.
//!
//! In: a container. Out: faults below `env` and `envFrom`.

use super::super::at::{At, Out};
use super::source;
use crate::field::FieldError;
use crate::name;

/// Fields of the pod that a variable can show.
const FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

pub(super) fn all(container: &At<'_, '_>, out: &mut Out) {
    for variable in container.get("env").items() {
        let name_at = variable.get("name");
        if name_at.text().is_empty() {
            out.required(&name_at, "");
        } else {
            out.form(&name_at, name::check_env_name);
        }
        value_from(&variable, out);
    }
    let list = container.get("envFrom");
    for from in list.items() {
        out.optional_form(&from.get("prefix"), name::check_env_name);
        let (config, secret) = (from.get("configMapRef"), from.get("secretRef"));
        for reference in [&config, &secret] {
            if reference.is_set() {
                out.filled_form(&reference.get("name"), name::check_subdomain);
            }
        }
        match (config.is_set(), secret.is_set()) {
            (false, false) => empty(&list, "must specify one of: `configMapRef` or `secretRef`", out),
            (true, true) => empty(&list, "may not have more than one field specified at a time", out),
            _ => {}
        }
    }
}

/// A fault that shows no value.
fn empty(at: &At<'_, '_>, text: &str, out: &mut Out) {
    out.push(FieldError::invalid(&at.path, "", text));
}

fn value_from(variable: &At<'_, '_>, out: &mut Out) {
    let from = variable.get("valueFrom");
    if !from.is_set() {
        return;
    }
    let mut sources = 0;
    let field = from.get("fieldRef");
    if field.is_set() {
        sources += 1;
        source::field(&field, &FIELDS, out);
    }
    let resource = from.get("resourceFieldRef");
    if resource.is_set() {
        sources += 1;
        source::resource(&resource, false, out);
    }
    for reference in ["configMapKeyRef", "secretKeyRef"] {
        let reference = from.get(reference);
        if reference.is_set() {
            sources += 1;
            out.optional_form(&reference.get("name"), name::check_subdomain);
            out.filled_form(&reference.get("key"), name::check_config_key);
        }
    }
    let file = from.get("fileKeyRef");
    if file.is_set() {
        sources += 1;
        out.filled_form(&file.get("key"), name::check_env_name);
        out.filled_form(&file.get("volumeName"), name::check_label);
        if out.filled(&file.get("path")) {
            super::container::backsteps(&file.get("path"), out);
        }
    }
    if sources == 0 {
        empty(
            &from,
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
            out,
        );
    } else if !variable.text_of("value").is_empty() {
        empty(&from, "may not be specified when `value` is not empty", out);
    } else if sources > 1 {
        empty(&from, "may not have more than one field specified at a time", out);
    }
}
