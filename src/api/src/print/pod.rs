//! Pods and pod templates in tables.
//!
//! In: a pod. Out: its row; the STATUS text with all its cases.

use std::time::SystemTime;

use serde_json::Value;

use super::Printer;
use super::column::{Column, age, name};
use super::text::{self, NONE, int, label_pairs, or};
use crate::Object;
use crate::clock;
use crate::meta::{self, at, bool_at, list_at, text_at};

const COLUMNS: &[Column] = &[
    name(),
    Column::text("Ready", "The aggregate readiness state of this pod for accepting traffic."),
    Column::text("Status", "The aggregate status of the containers in this pod."),
    Column::text(
        "Restarts",
        "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.",
    ),
    age(),
    Column::text("IP", "The address of the pod, if it has one.").wide(),
    Column::text("Node", "The node that the pod is bound to.").wide(),
    Column::text("Nominated Node", "The node that is to take the pod once others have left it.").wide(),
    Column::text("Readiness Gates", "How many of the pod's readiness gates are true.").wide(),
];

const TEMPLATE: &[Column] = &[
    name(),
    Column::text("Containers", "Names of each container in the template."),
    Column::text("Images", "Images referenced by each container in the template."),
    Column::text("Pod Labels", "The labels for the pod template."),
];

pub(super) fn printer(kind: &str) -> Option<Printer> {
    match kind {
        "Pod" => Some(Printer { columns: COLUMNS, cells }),
        "PodTemplate" => Some(Printer {
            columns: TEMPLATE,
            cells: |object, _| {
                let [names, images] = text::containers(at(object, &["template", "spec"]));
                let labels = label_pairs(at(object, &["template", "metadata", "labels"]));
                vec![meta::name(object).into(), names, images, labels.into()]
            },
        }),
        _ => None,
    }
}

/// What the aggregate of a pod's containers is.
pub struct Summary {
    /// `Running`, `CrashLoopBackOff`, `Init:0/1` ...
    pub reason: String,
    /// Containers that are ready.
    pub ready: usize,
    /// Containers that count for readiness.
    pub total: usize,
    /// Restarts of all containers.
    pub restarts: i64,
    /// When the last one ended, RFC 3339; empty when none did.
    pub last_restart: String,
}

fn cells(pod: &Object, now: SystemTime) -> Vec<Value> {
    let summary = status(pod);
    let mut restarts = summary.restarts.to_string();
    if summary.restarts != 0 && !summary.last_restart.is_empty() {
        restarts = format!("{restarts} ({} ago)", clock::age(now, &summary.last_restart));
    }
    let first_ip = list_at(pod, &["status", "podIPs"]).first().map_or("", |ip| meta::text(ip, "ip"));
    let ip = or(first_ip, text_at(pod, &["status", "podIP"]));
    vec![
        meta::name(pod).into(),
        format!("{}/{}", summary.ready, summary.total).into(),
        summary.reason.into(),
        restarts.into(),
        text::age(pod, now),
        or(ip, NONE).into(),
        or(text_at(pod, &["spec", "nodeName"]), NONE).into(),
        or(text_at(pod, &["status", "nominatedNodeName"]), NONE).into(),
        gates(pod).into(),
    ]
}

fn gates(pod: &Object) -> String {
    let gates = list_at(pod, &["spec", "readinessGates"]);
    if gates.is_empty() {
        return NONE.to_string();
    }
    let holds = |gate: &&Value| {
        text::condition(pod, meta::text(gate, "conditionType")).is_some_and(|c| meta::text(c, "status") == "True")
    };
    format!("{}/{}", gates.iter().filter(holds).count(), gates.len())
}

/// Aggregates the containers of a pod.
pub fn status(pod: &Object) -> Summary {
    let phase = text_at(pod, &["status", "phase"]);
    let init = list_at(pod, &["spec", "initContainers"]);
    let sidecar =
        |name: &str| init.iter().any(|c| meta::text(c, "name") == name && meta::text(c, "restartPolicy") == "Always");
    let sidecars = init.iter().filter(|c| meta::text(c, "restartPolicy") == "Always").count();
    let mut summary = Summary {
        reason: or(text_at(pod, &["status", "reason"]), phase).to_string(),
        ready: 0,
        total: list_at(pod, &["spec", "containers"]).len() + sidecars,
        restarts: 0,
        last_restart: String::new(),
    };
    if text::condition(pod, "PodScheduled").is_some_and(|c| meta::text(c, "reason") == "SchedulingGated") {
        summary.reason = "SchedulingGated".to_string();
    }
    let (mut side_restarts, mut side_last) = (0, String::new());
    let mut initializing = false;
    for (i, container) in list_at(pod, &["status", "initContainerStatuses"]).iter().enumerate() {
        let restartable = sidecar(meta::text(container, "name"));
        summary.restarts += int(container, &["restartCount"]);
        later(&mut summary.last_restart, ended(container));
        if restartable {
            side_restarts += int(container, &["restartCount"]);
            later(&mut side_last, ended(container));
        }
        let terminated = at(container, &["state", "terminated"]);
        let waiting = text_at(container, &["state", "waiting", "reason"]);
        match terminated {
            Some(end) if int(end, &["exitCode"]) == 0 => continue,
            _ if restartable && bool_at(container, &["started"]) => {
                summary.ready += usize::from(bool_at(container, &["ready"]));
                continue;
            }
            Some(end) => summary.reason = format!("Init:{}", end_reason(end)),
            None if !waiting.is_empty() && waiting != "PodInitializing" => summary.reason = format!("Init:{waiting}"),
            None => summary.reason = format!("Init:{i}/{}", init.len()),
        }
        initializing = true;
        break;
    }
    let initialized = text::condition(pod, "Initialized").is_some_and(|c| meta::text(c, "status") == "True");
    if !initializing || initialized {
        summary.restarts = side_restarts;
        summary.last_restart = side_last;
        main_containers(pod, &mut summary);
    }
    if meta::deletion_timestamp(pod).is_some() {
        if text_at(pod, &["status", "reason"]) == "NodeLost" {
            summary.reason = "Unknown".to_string();
        } else if !matches!(phase, "Succeeded" | "Failed") {
            summary.reason = "Terminating".to_string();
        }
    }
    summary
}

fn main_containers(pod: &Object, summary: &mut Summary) {
    let mut running = false;
    for container in list_at(pod, &["status", "containerStatuses"]).iter().rev() {
        summary.restarts += int(container, &["restartCount"]);
        later(&mut summary.last_restart, ended(container));
        let waiting = text_at(container, &["state", "waiting", "reason"]);
        if !waiting.is_empty() {
            summary.reason = waiting.to_string();
        } else if let Some(end) = at(container, &["state", "terminated"]) {
            summary.reason = end_reason(end);
        } else if bool_at(container, &["ready"]) && at(container, &["state", "running"]).is_some() {
            running = true;
            summary.ready += 1;
        }
    }
    // A pod with one container done and another running still runs.
    if summary.reason == "Completed" && running {
        let ready = text::condition(pod, "Ready").is_some_and(|c| meta::text(c, "status") == "True");
        summary.reason = if ready { "Running" } else { "NotReady" }.to_string();
    }
}

fn end_reason(end: &Value) -> String {
    let reason = meta::text(end, "reason");
    match (reason, int(end, &["signal"])) {
        ("", 0) => format!("ExitCode:{}", int(end, &["exitCode"])),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_string(),
    }
}

/// When the container's last run ended.
fn ended(container: &Value) -> &str {
    text_at(container, &["lastState", "terminated", "finishedAt"])
}

fn later(kept: &mut String, time: &str) {
    if clock::parse(time) > clock::parse(kept) {
        *kept = time.to_string();
    }
}
