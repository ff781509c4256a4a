//! Nodes, namespaces, events, configuration and service accounts in tables.

use std::time::SystemTime;

use serde_json::Value;

use super::Printer;
use super::column::{Column, age, name};
use super::text::{self, NONE, UNKNOWN, condition, int, or};
use crate::Object;
use crate::clock;
use crate::meta::{self, at, list_at, text_at};

const NODE: &[Column] = &[
    name(),
    Column::text("Status", "The status of the node"),
    Column::text("Roles", "The roles of the node"),
    age(),
    Column::text("Version", "Version of the node agent."),
    Column::text("Internal-IP", "Address inside the cluster.").wide(),
    Column::text("External-IP", "Address outside the cluster.").wide(),
    Column::text("OS-Image", "The operating system's name for itself.").wide(),
    Column::text("Kernel-Version", "The kernel's version.").wide(),
    Column::text("Container-Runtime", "Name and version of the container runtime.").wide(),
];

const EVENT: &[Column] = &[
    Column::text("Last Seen", "When it last happened."),
    Column::text("Type", "Normal or Warning."),
    Column::text("Reason", "Why it happened, in one word."),
    Column::text("Object", "The object that it is about."),
    Column::text("Subobject", "The part of the object that it is about.").wide(),
    Column::text("Source", "Who reported it.").wide(),
    Column::text("Message", "What happened."),
    Column::text("First Seen", "When it first happened.").wide(),
    Column::text("Count", "How many times it happened.").wide(),
    Column { priority: 1, ..name() },
];

const NAMESPACE: &[Column] = &[name(), Column::text("Status", "The status of the namespace"), age()];
const SECRET: &[Column] =
    &[name(), Column::text("Type", "What the secret is for."), Column::text("Data", "How many entries it has."), age()];
const CONFIG: &[Column] = &[name(), Column::text("Data", "How many entries it has."), age()];
const ACCOUNT: &[Column] = &[name(), Column::text("Secrets", "How many secrets it names."), age()];
const COMPONENT: &[Column] = &[
    name(),
    Column::text("Status", "Status of the component conditions"),
    Column::text("Message", "Message of the component conditions"),
    Column::text("Error", "Error of the component conditions"),
];

pub(super) fn printer(kind: &str) -> Option<Printer> {
    let printer = match kind {
        "Node" => Printer { columns: NODE, cells: node },
        "Event" => Printer { columns: EVENT, cells: event },
        "Namespace" => Printer {
            columns: NAMESPACE,
            cells: |object, now| {
                vec![meta::name(object).into(), text_at(object, &["status", "phase"]).into(), text::age(object, now)]
            },
        },
        "Secret" => Printer {
            columns: SECRET,
            cells: |object, now| {
                let count = entries(object, "data");
                vec![meta::name(object).into(), meta::text(object, "type").into(), count.into(), text::age(object, now)]
            },
        },
        "ConfigMap" => Printer {
            columns: CONFIG,
            cells: |object, now| {
                let count = entries(object, "data") + entries(object, "binaryData");
                vec![meta::name(object).into(), count.into(), text::age(object, now)]
            },
        },
        "ServiceAccount" => Printer {
            columns: ACCOUNT,
            cells: |object, now| {
                let count = list_at(object, &["secrets"]).len();
                vec![meta::name(object).into(), count.into(), text::age(object, now)]
            },
        },
        "ComponentStatus" => Printer { columns: COMPONENT, cells: |object, _| component(object) },
        _ => return None,
    };
    Some(printer)
}

fn entries(object: &Object, field: &str) -> usize {
    object.get(field).and_then(Value::as_object).map_or(0, serde_json::Map::len)
}

fn node(object: &Object, now: SystemTime) -> Vec<Value> {
    let mut status = match condition(object, "Ready").map(|c| meta::text(c, "status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_string();
    if meta::bool_at(object, &["spec", "unschedulable"]) {
        status.push_str(",SchedulingDisabled");
    }
    let mut roles: Vec<&str> = meta::labels(object)
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role),
            None => (key == "kubernetes.io/role").then_some(value),
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort_unstable();
    roles.dedup();
    let address = |kind: &str| {
        let list = list_at(object, &["status", "addresses"]);
        or(list.iter().find(|a| meta::text(a, "type") == kind).map_or("", |a| meta::text(a, "address")), NONE)
    };
    let info = |field: &str| text_at(object, &["status", "nodeInfo", field]);
    vec![
        meta::name(object).into(),
        status.into(),
        or(&roles.join(","), NONE).into(),
        text::age(object, now),
        info("kubeletVersion").into(),
        address("InternalIP").into(),
        address("ExternalIP").into(),
        or(info("osImage"), UNKNOWN).into(),
        or(info("kernelVersion"), UNKNOWN).into(),
        or(info("containerRuntimeVersion"), UNKNOWN).into(),
    ]
}

/// Both the core form and that of `events.k8s.io`, which names the same things otherwise.
fn event(object: &Object, now: SystemTime) -> Vec<Value> {
    let either = |a: &[&str], b: &[&str]| or(text_at(object, a), text_at(object, b)).to_string();
    let time = |a: &str, b: &str| or(&either(&[a], &[b]), meta::text(object, "eventTime")).to_string();
    let first = time("firstTimestamp", "deprecatedFirstTimestamp");
    let mut last = either(&["lastTimestamp"], &["deprecatedLastTimestamp"]);
    if last.is_empty() {
        last.clone_from(&first);
    }
    let mut count = int(object, &["count"]).max(int(object, &["deprecatedCount"])).max(1);
    if let Some(series) = at(object, &["series"]) {
        last = meta::text(series, "lastObservedTime").to_string();
        count = int(series, &["count"]);
    }
    let part = |field: &str| either(&["involvedObject", field], &["regarding", field]);
    let kind = part("kind").to_lowercase();
    let target = match part("name") {
        name if name.is_empty() => kind,
        name => format!("{kind}/{name}"),
    };
    let component = or(
        &either(&["source", "component"], &["deprecatedSource", "component"]),
        &either(&["reportingComponent"], &["reportingController"]),
    )
    .to_string();
    let host = or(&either(&["source", "host"], &["deprecatedSource", "host"]), text_at(object, &["reportingInstance"]))
        .to_string();
    let source = if host.is_empty() { component } else { format!("{component}, {host}") };
    let message = either(&["message"], &["note"]);
    vec![
        clock::age(now, &last).into(),
        meta::text(object, "type").into(),
        meta::text(object, "reason").into(),
        target.into(),
        part("fieldPath").into(),
        source.into(),
        message.trim().into(),
        clock::age(now, &first).into(),
        count.into(),
        meta::name(object).into(),
    ]
}

fn component(object: &Object) -> Vec<Value> {
    let healthy = list_at(object, &["conditions"]).iter().find(|c| meta::text(c, "type") == "Healthy");
    let part = |field: &str| healthy.map_or("", |c| meta::text(c, field));
    let status = match part("status") {
        "True" => "Healthy",
        "False" => "Unhealthy",
        _ => "Unknown",
    };
    vec![meta::name(object).into(), status.into(), part("message").into(), part("error").into()]
}
