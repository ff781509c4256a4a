//! Webhook configurations, admission policies, aggregated APIs and devices in tables.

use std::time::SystemTime;

use serde_json::Value;

use super::Printer;
use super::column::{Column, age, name};
use super::text::{self, UNSET, condition};
use crate::Object;
use crate::meta::{self, at, list_at, text_at};

const WEBHOOKS: &[Column] = &[
    name(),
    Column::int("Webhooks", "Webhooks indicates the number of webhooks registered in this configuration"),
    age(),
];
const VALIDATING: &[Column] = &[
    name(),
    Column::int("Validations", "Validations indicates the number of validation rules defined in this configuration"),
    Column::text("ParamKind", "ParamKind specifies the kind of resources used to parameterize this policy"),
    age(),
];
const MUTATING: &[Column] = &[
    name(),
    Column::int("Mutations", "Mutations indicates the number of mutation rules defined in this configuration"),
    Column::text("ParamKind", "ParamKind specifies the kind of resources used to parameterize this policy"),
    age(),
];
const BINDING: &[Column] = &[
    name(),
    Column::text("PolicyName", "The policy that is bound."),
    Column::text("ParamRef", "The parameters that it gets."),
    age(),
];
const SERVICE: &[Column] = &[
    name(),
    Column::text("Service", "The service that answers, or Local."),
    Column::text("Available", "Whether it answers."),
    age(),
];
const NAME_AND_AGE: &[Column] = &[name(), age()];
const CLAIM: &[Column] = &[name(), Column::text("State", "Whether it is allocated and reserved."), age()];
const SLICE: &[Column] = &[
    name(),
    Column::text("Node", "The node that has the devices."),
    Column::text("Driver", "The driver that offers them."),
    Column::text("Pool", "The pool that they belong to."),
    age(),
];

pub(super) fn printer(kind: &str) -> Option<Printer> {
    let printer = match kind {
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => Printer {
            columns: WEBHOOKS,
            cells: |object, now| {
                let count = list_at(object, &["webhooks"]).len();
                vec![meta::name(object).into(), count.into(), text::age(object, now)]
            },
        },
        "ValidatingAdmissionPolicy" => {
            Printer { columns: VALIDATING, cells: |object, now| policy(object, "validations", now) }
        }
        "MutatingAdmissionPolicy" => {
            Printer { columns: MUTATING, cells: |object, now| policy(object, "mutations", now) }
        }
        "ValidatingAdmissionPolicyBinding" | "MutatingAdmissionPolicyBinding" => {
            Printer { columns: BINDING, cells: binding }
        }
        "APIService" => Printer { columns: SERVICE, cells: service },
        "ResourceClaim" => Printer { columns: CLAIM, cells: claim },
        "ResourceClaimTemplate" | "DeviceClass" => Printer {
            columns: NAME_AND_AGE,
            cells: |object, now| vec![meta::name(object).into(), text::age(object, now)],
        },
        "ResourceSlice" => Printer {
            columns: SLICE,
            cells: |object, now| {
                vec![
                    meta::name(object).into(),
                    text_at(object, &["spec", "nodeName"]).into(),
                    text_at(object, &["spec", "driver"]).into(),
                    text_at(object, &["spec", "pool", "name"]).into(),
                    text::age(object, now),
                ]
            },
        },
        _ => return None,
    };
    Some(printer)
}

fn policy(object: &Object, rules: &str, now: SystemTime) -> Vec<Value> {
    let param = at(object, &["spec", "paramKind"]).map_or_else(
        || UNSET.to_string(),
        |kind| format!("{}/{}", meta::text(kind, "apiVersion"), meta::text(kind, "kind")),
    );
    vec![
        meta::name(object).into(),
        list_at(object, &["spec", rules]).len().into(),
        param.into(),
        text::age(object, now),
    ]
}

fn binding(object: &Object, now: SystemTime) -> Vec<Value> {
    let param = at(object, &["spec", "paramRef"]).map_or_else(
        || UNSET.to_string(),
        |reference| match (meta::text(reference, "namespace"), meta::text(reference, "name")) {
            (namespace, name) if !name.is_empty() => {
                format!("{}/{name}", if namespace.is_empty() { "*" } else { namespace })
            }
            (namespace, _) => {
                let selector = text::selector_text(at(reference, &["selector"]));
                format!("{}/{selector}", if namespace.is_empty() { "*" } else { namespace })
            }
        },
    );
    vec![
        meta::name(object).into(),
        text_at(object, &["spec", "policyName"]).into(),
        param.into(),
        text::age(object, now),
    ]
}

fn service(object: &Object, now: SystemTime) -> Vec<Value> {
    let service = at(object, &["spec", "service"]).map_or_else(
        || "Local".to_string(),
        |service| format!("{}/{}", meta::text(service, "namespace"), meta::text(service, "name")),
    );
    let available = condition(object, "Available").map_or_else(
        || "Unknown".to_string(),
        |c| match meta::text(c, "status") {
            "True" => "True".to_string(),
            status => format!("{status} ({})", meta::text(c, "reason")),
        },
    );
    vec![meta::name(object).into(), service.into(), available.into(), text::age(object, now)]
}

fn claim(object: &Object, now: SystemTime) -> Vec<Value> {
    let mut states = Vec::new();
    if meta::deletion_timestamp(object).is_some() {
        states.push("deleted");
    }
    if at(object, &["status", "allocation"]).is_none() {
        if meta::deletion_timestamp(object).is_none() {
            states.push("pending");
        }
    } else {
        states.push("allocated");
        if !list_at(object, &["status", "reservedFor"]).is_empty() {
            states.push("reserved");
        }
    }
    vec![meta::name(object).into(), states.join(",").into(), text::age(object, now)]
}
