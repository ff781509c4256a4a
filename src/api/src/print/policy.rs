//! Disruption budgets, quotas, priority and runtime classes, flow control in tables.

use std::time::SystemTime;

use serde_json::Value;

use super::Printer;
use super::column::{Column, age, name};
use super::text::{self, NONE, condition, int, or, scalar};
use crate::Object;
use crate::meta::{self, at, bool_at, text_at};

const BUDGET: &[Column] = &[
    name(),
    Column::text("Min Available", "The minimum number of pods that must be available."),
    Column::text("Max Unavailable", "The maximum number of pods that may be unavailable."),
    Column::int("Allowed Disruptions", "Calculated number of pods that may be disrupted at this time."),
    age(),
];
const PRIORITY: &[Column] = &[
    name(),
    Column::int("Value", "The priority."),
    Column::bool("Global-Default", "Pods without a class get this one."),
    age(),
    Column::text("PreemptionPolicy", "Whether such pods may drive out others."),
];
const RUNTIME: &[Column] = &[name(), Column::text("Handler", "How such pods are run."), age()];
const QUOTA: &[Column] = &[
    name(),
    Column::text("Request", "Request represents a minimum amount of cpu/memory that a container may consume."),
    Column::text(
        "Limit",
        "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the node.",
    ),
    age(),
];
const FLOW: &[Column] = &[
    name(),
    Column::text("PriorityLevel", "The level of matching requests."),
    Column::int("MatchingPrecedence", "Lower numbers are tried first."),
    Column::text("DistinguisherMethod", "What tells flows apart."),
    age(),
    Column::text("MissingPL", "The level does not exist."),
];
const LEVEL: &[Column] = &[
    name(),
    Column::text("Type", "Exempt or Limited."),
    Column::text("NominalConcurrencyShares", "Its share of all seats."),
    Column::text("Queues", "Number of queues."),
    Column::text("HandSize", "Queues that one flow may use."),
    Column::text("QueueLengthLimit", "Requests that may wait in one queue."),
    age(),
];

pub(super) fn core(kind: &str) -> Option<Printer> {
    (kind == "ResourceQuota").then_some(Printer { columns: QUOTA, cells: quota })
}

pub(super) fn printer(kind: &str) -> Option<Printer> {
    let printer = match kind {
        "PodDisruptionBudget" => Printer {
            columns: BUDGET,
            cells: |object, now| {
                vec![
                    meta::name(object).into(),
                    scalar(at(object, &["spec", "minAvailable"]), "N/A").into(),
                    scalar(at(object, &["spec", "maxUnavailable"]), "N/A").into(),
                    int(object, &["status", "disruptionsAllowed"]).into(),
                    text::age(object, now),
                ]
            },
        },
        "PriorityClass" => Printer {
            columns: PRIORITY,
            cells: |object, now| {
                vec![
                    meta::name(object).into(),
                    int(object, &["value"]).into(),
                    bool_at(object, &["globalDefault"]).into(),
                    text::age(object, now),
                    or(meta::text(object, "preemptionPolicy"), NONE).into(),
                ]
            },
        },
        "RuntimeClass" => Printer {
            columns: RUNTIME,
            cells: |object, now| {
                vec![meta::name(object).into(), meta::text(object, "handler").into(), text::age(object, now)]
            },
        },
        "FlowSchema" => Printer { columns: FLOW, cells: flow },
        "PriorityLevelConfiguration" => Printer { columns: LEVEL, cells: level },
        _ => return None,
    };
    Some(printer)
}

fn quota(object: &Object, now: SystemTime) -> Vec<Value> {
    let hard = at(object, &["status", "hard"]).and_then(Value::as_object);
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for (resource, most) in hard.into_iter().flatten() {
        let used = scalar(at(object, &["status", "used", resource]), "0");
        let text = format!("{resource}: {used}/{}", scalar(Some(most), "0"));
        if resource.starts_with("limits.") { limits.push(text) } else { requests.push(text) }
    }
    vec![meta::name(object).into(), requests.join(", ").into(), limits.join(", ").into(), text::age(object, now)]
}

fn flow(object: &Object, now: SystemTime) -> Vec<Value> {
    let missing = match condition(object, "Dangling").map(|c| meta::text(c, "status")) {
        Some("True") => "True",
        Some("False") => "False",
        _ => "?",
    };
    vec![
        meta::name(object).into(),
        or(text_at(object, &["spec", "priorityLevelConfiguration", "name"]), NONE).into(),
        int(object, &["spec", "matchingPrecedence"]).into(),
        or(text_at(object, &["spec", "distinguisherMethod", "type"]), NONE).into(),
        text::age(object, now),
        missing.into(),
    ]
}

fn level(object: &Object, now: SystemTime) -> Vec<Value> {
    let kind = text_at(object, &["spec", "type"]);
    let part = if kind == "Exempt" { "exempt" } else { "limited" };
    let queue = |field: &str| scalar(at(object, &["spec", "limited", "limitResponse", "queuing", field]), NONE);
    vec![
        meta::name(object).into(),
        kind.into(),
        scalar(at(object, &["spec", part, "nominalConcurrencyShares"]), NONE).into(),
        queue("queues").into(),
        queue("handSize").into(),
        queue("queueLengthLimit").into(),
        text::age(object, now),
    ]
}
