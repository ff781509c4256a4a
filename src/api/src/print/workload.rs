//! Deployments, ReplicaSets, StatefulSets, DaemonSets, ReplicationControllers and ControllerRevisions in tables.

use serde_json::Value;

use super::Printer;
use super::column::{Column, age, containers, images, name, selector};
use super::text::{self, int, label_pairs, selector_text, template};
use crate::Object;
use crate::meta::{self, at};

const DEPLOYMENT: &[Column] = &[
    name(),
    Column::text("Ready", "Number of the pod with ready state"),
    Column::text("Up-to-date", "Pods that have the template's current form."),
    Column::text("Available", "Pods that have been ready long enough."),
    age(),
    containers(),
    images(),
    selector(),
];

const REPLICAS: &[Column] = &[
    name(),
    Column::int("Desired", "Pods that are wanted."),
    Column::int("Current", "Pods that exist."),
    Column::int("Ready", "Pods that are ready."),
    age(),
    containers(),
    images(),
    selector(),
];

const STATEFUL: &[Column] =
    &[name(), Column::text("Ready", "Number of the pod with ready state"), age(), containers(), images()];

const DAEMON: &[Column] = &[
    name(),
    Column::int("Desired", "Nodes that should run the pod."),
    Column::int("Current", "Nodes that run at least one pod and should."),
    Column::int("Ready", "Nodes whose pod is ready."),
    Column::int("Up-to-date", "Nodes whose pod has the template's current form."),
    Column::int("Available", "Nodes whose pod has been ready long enough."),
    Column::text("Node Selector", "Labels of the nodes that are meant."),
    age(),
    containers(),
    images(),
    selector(),
];

const REVISION: &[Column] = &[
    name(),
    Column::text("Controller", "Controller of the object"),
    Column::int("Revision", "The revision of the state."),
    age(),
];

pub(super) fn core(kind: &str) -> Option<Printer> {
    let replication = Printer {
        columns: REPLICAS,
        cells: |object, now| replicas(object, now, label_pairs(at(object, &["spec", "selector"]))),
    };
    (kind == "ReplicationController").then_some(replication)
}

pub(super) fn printer(kind: &str) -> Option<Printer> {
    let printer = match kind {
        "Deployment" => Printer {
            columns: DEPLOYMENT,
            cells: |object, now| {
                let ready = format!("{}/{}", status(object, "readyReplicas"), int(object, &["spec", "replicas"]));
                let mut cells = vec![
                    meta::name(object).into(),
                    ready.into(),
                    status(object, "updatedReplicas").into(),
                    status(object, "availableReplicas").into(),
                    text::age(object, now),
                ];
                cells.extend(text::containers(template(object)));
                cells.push(selector_text(at(object, &["spec", "selector"])).into());
                cells
            },
        },
        "ReplicaSet" => Printer {
            columns: REPLICAS,
            cells: |object, now| replicas(object, now, selector_text(at(object, &["spec", "selector"]))),
        },
        "StatefulSet" => Printer {
            columns: STATEFUL,
            cells: |object, now| {
                let ready = format!("{}/{}", status(object, "readyReplicas"), int(object, &["spec", "replicas"]));
                let mut cells = vec![meta::name(object).into(), ready.into(), text::age(object, now)];
                cells.extend(text::containers(template(object)));
                cells
            },
        },
        "DaemonSet" => Printer {
            columns: DAEMON,
            cells: |object, now| {
                let mut cells = vec![meta::name(object).into()];
                for field in [
                    "desiredNumberScheduled",
                    "currentNumberScheduled",
                    "numberReady",
                    "updatedNumberScheduled",
                    "numberAvailable",
                ] {
                    cells.push(status(object, field).into());
                }
                cells.push(label_pairs(at(object, &["spec", "template", "spec", "nodeSelector"])).into());
                cells.push(text::age(object, now));
                cells.extend(text::containers(template(object)));
                cells.push(selector_text(at(object, &["spec", "selector"])).into());
                cells
            },
        },
        "ControllerRevision" => Printer {
            columns: REVISION,
            cells: |object, now| {
                let owner = meta::controller(object).map_or_else(
                    || text::NONE.to_string(),
                    |o| {
                        let group = crate::kinds::split_api_version(o.api_version).0;
                        let kind = crate::kinds::group_resource(&o.kind.to_lowercase(), group);
                        format!("{kind}/{}", o.name)
                    },
                );
                vec![meta::name(object).into(), owner.into(), int(object, &["revision"]).into(), text::age(object, now)]
            },
        },
        _ => return None,
    };
    Some(printer)
}

fn status(object: &Object, field: &str) -> i64 {
    int(object, &["status", field])
}

fn replicas(object: &Object, now: std::time::SystemTime, selector: String) -> Vec<Value> {
    let mut cells = vec![
        meta::name(object).into(),
        int(object, &["spec", "replicas"]).into(),
        status(object, "replicas").into(),
        status(object, "readyReplicas").into(),
        text::age(object, now),
    ];
    cells.extend(text::containers(template(object)));
    cells.push(selector.into());
    cells
}
