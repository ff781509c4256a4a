//! Tables: what `kubectl get` shows of each kind.
//!
//! In: a kind, an object and the time. Out: columns and one row of cells, wide columns included.
//! Never lays out text (the client does) and never asks for the time.

mod access;
mod autoscaling;
mod batch;
mod cluster;
mod column;
pub mod custom;
mod extension;
mod measured;
mod network;
mod pod;
mod policy;
mod storage;
mod text;
mod workload;

use std::time::SystemTime;

use serde_json::{Value, json};

pub use column::Column;
pub use pod::status as pod_status;
pub use text::{label_pairs, selector_text};

use crate::Object;
use crate::clock;
use crate::kinds::Gvk;
use crate::meta;
use column::name;

/// How one kind is shown.
#[derive(Clone, Copy)]
pub(crate) struct Printer {
    columns: &'static [Column],
    cells: fn(&Object, SystemTime) -> Vec<Value>,
}

const GENERIC: Printer = Printer {
    columns: &[name(), Column::time("Created At", "When the object was made.")],
    cells: |object, _| vec![meta::name(object).into(), meta::creation_timestamp(object).into()],
};

const CUSTOM: Printer = Printer {
    columns: &[name(), column::age()],
    cells: |object, now| vec![meta::name(object).into(), text::age(object, now)],
};

/// The columns of a kind's table; `custom` kinds without columns of their own have a name and an age.
pub fn columns(gvk: &Gvk, custom: bool) -> &'static [Column] {
    printer(gvk, custom).columns
}

/// The cells of one object, one for each column.
pub fn cells(gvk: &Gvk, custom: bool, object: &Object, now: SystemTime) -> Vec<Value> {
    (printer(gvk, custom).cells)(object, now)
}

/// A `TableRow` without its object: cells, and the condition by which clients know that a pod is done.
pub fn row(gvk: &Gvk, custom: bool, object: &Object, now: SystemTime) -> Value {
    let mut row = json!({"cells": cells(gvk, custom, object, now)});
    if gvk.is("", "Pod") {
        let done = match meta::text_at(object, &["status", "phase"]) {
            "Succeeded" => Some(("Succeeded", "The pod has completed successfully.")),
            "Failed" => Some(("Failed", "The pod failed.")),
            _ => None,
        };
        if let Some((reason, message)) = done {
            row["conditions"] = json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]);
        }
    }
    row
}

/// The `columnDefinitions` of a Table.
pub fn column_definitions(columns: &[Column]) -> Value {
    columns.iter().map(Column::to_json).collect()
}

/// The age of an object as a cell.
pub fn age(object: &Object, now: SystemTime) -> String {
    clock::age(now, meta::creation_timestamp(object))
}

fn printer(gvk: &Gvk, custom: bool) -> Printer {
    let (group, kind) = (&*gvk.group, &*gvk.kind);
    let found = match group {
        "" => pod::printer(kind).or_else(|| cluster::printer(kind)).or_else(|| network::core(kind)),
        "events.k8s.io" => cluster::printer(kind),
        "apps" | "extensions" => workload::printer(kind).or_else(|| network::printer(kind)),
        "batch" => batch::printer(kind),
        "autoscaling" => autoscaling::printer(kind),
        "networking.k8s.io" | "discovery.k8s.io" => network::printer(kind),
        "storage.k8s.io" => storage::printer(kind),
        "rbac.authorization.k8s.io" | "certificates.k8s.io" | "coordination.k8s.io" => access::printer(kind),
        "policy" | "scheduling.k8s.io" | "node.k8s.io" | "flowcontrol.apiserver.k8s.io" => policy::printer(kind),
        "admissionregistration.k8s.io" | "apiregistration.k8s.io" | "resource.k8s.io" => extension::printer(kind),
        "metrics.k8s.io" => measured::printer(kind),
        _ => None,
    };
    let found = match group {
        "" => found.or_else(|| workload::core(kind)).or_else(|| storage::core(kind)).or_else(|| policy::core(kind)),
        _ => found,
    };
    found.unwrap_or(if custom { CUSTOM } else { GENERIC })
}

#[cfg(test)]
mod tests;
