//! HorizontalPodAutoscalers and Scales in tables.

use std::time::SystemTime;

use serde_json::Value;

use super::Printer;
use super::column::{Column, age, name};
use super::text::{self, UNKNOWN, UNSET, int, scalar};
use crate::Object;
use crate::meta::{self, at, list_at, text_at};

/// Metrics that a cell shows.
const SHOWN: usize = 2;

const SCALER: &[Column] = &[
    name(),
    Column::text("Reference", "What is scaled."),
    Column::text("Targets", "Metrics, as they are and as they should be."),
    Column::text("MinPods", "Fewest pods."),
    Column::text("MaxPods", "Most pods."),
    Column::text("Replicas", "Pods that there are."),
    age(),
];
const SCALE: &[Column] = &[
    name(),
    Column::int("Desired", "Replicas that are wanted."),
    Column::int("Available", "Replicas that there are."),
    age(),
];

pub(super) fn printer(kind: &str) -> Option<Printer> {
    match kind {
        "HorizontalPodAutoscaler" => Some(Printer { columns: SCALER, cells: scaler }),
        "Scale" => Some(Printer {
            columns: SCALE,
            cells: |object, now| {
                vec![
                    meta::name(object).into(),
                    int(object, &["spec", "replicas"]).into(),
                    int(object, &["status", "replicas"]).into(),
                    text::age(object, now),
                ]
            },
        }),
        _ => None,
    }
}

fn scaler(object: &Object, now: SystemTime) -> Vec<Value> {
    let target = |field: &str| text_at(object, &["spec", "scaleTargetRef", field]);
    vec![
        meta::name(object).into(),
        format!("{}/{}", target("kind"), target("name")).into(),
        targets(object).into(),
        scalar(at(object, &["spec", "minReplicas"]), UNSET).into(),
        int(object, &["spec", "maxReplicas"]).into(),
        int(object, &["status", "currentReplicas"]).into(),
        text::age(object, now),
    ]
}

fn targets(object: &Object) -> String {
    let percent = |value: Option<&Value>, other: &str| value.map_or(other.to_string(), |v| format!("{v}%"));
    // The first version knew one metric.
    if let Some(wanted) = at(object, &["spec", "targetCPUUtilizationPercentage"]) {
        let current = at(object, &["status", "currentCPUUtilizationPercentage"]);
        return format!("cpu: {}/{wanted}%", percent(current, UNKNOWN));
    }
    let current = list_at(object, &["status", "currentMetrics"]);
    let list: Vec<String> = list_at(object, &["spec", "metrics"])
        .iter()
        .enumerate()
        .map(|(i, metric)| {
            let (key, prefix) = match meta::text(metric, "type") {
                "External" => ("external", String::new()),
                "Pods" => ("pods", String::new()),
                "Object" => ("object", String::new()),
                "ContainerResource" => {
                    ("containerResource", format!("{}: ", text_at(metric, &["containerResource", "name"])))
                }
                "Resource" => ("resource", format!("{}: ", text_at(metric, &["resource", "name"]))),
                _ => return "<unknown type>".to_string(),
            };
            let now = current.get(i).and_then(|c| at(c, &[key, "current"]));
            let goal = |field: &str| at(metric, &[key, "target", field]);
            let have = |field: &str| now.and_then(|c| at(c, &[field]));
            if let Some(average) = goal("averageValue") {
                let suffix = if matches!(key, "external" | "object") { " (avg)" } else { "" };
                let value = scalar(have("averageValue"), UNKNOWN);
                return format!("{prefix}{value}/{}{suffix}", scalar(Some(average), ""));
            }
            if let Some(wanted) = goal("averageUtilization") {
                return format!("{prefix}{}/{wanted}%", percent(have("averageUtilization"), UNKNOWN));
            }
            format!("{prefix}{}/{}", scalar(have("value"), UNKNOWN), scalar(goal("value"), "<auto>"))
        })
        .collect();
    if list.is_empty() {
        return text::NONE.to_string();
    }
    let shown = list[..list.len().min(SHOWN)].join(", ");
    match list.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} + {more} more..."),
    }
}
