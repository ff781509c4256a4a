//! What nodes and pods use, in tables: the columns of the metrics API's own.

use std::time::SystemTime;

use serde_json::Value;

use super::Printer;
use super::column::{Column, name};
use crate::Object;
use crate::meta::{self, list_at};
use crate::quantity::Quantity;

const USAGE: &[Column] = &[
    name(),
    Column::text("CPU", "Cores in use, as the mean of the window."),
    Column::text("Memory", "Bytes in use, as the working set."),
    Column::text("Window", "How long it was measured."),
];

pub(super) fn printer(kind: &str) -> Option<Printer> {
    matches!(kind, "NodeMetrics" | "PodMetrics").then_some(Printer { columns: USAGE, cells })
}

fn cells(object: &Object, _: SystemTime) -> Vec<Value> {
    let of = |part: &Value, resource: &str| {
        part.get("usage").and_then(|usage| usage.get(resource)).and_then(|value| Quantity::from_json(value).ok())
    };
    let used = |resource: &str| {
        let containers = list_at(object, &["containers"]).iter();
        let parts = std::iter::once(object).chain(containers).filter_map(|part| of(part, resource));
        parts.fold(Quantity::ZERO, |sum, one| sum.add(&one)).to_string()
    };
    vec![meta::name(object).into(), used("cpu").into(), used("memory").into(), meta::text(object, "window").into()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_uses_what_its_containers_use() {
        let container = |cpu: &str, memory: &str| json!({"name": "c", "usage": {"cpu": cpu, "memory": memory}});
        let pod = json!({"metadata": {"name": "p"}, "window": "1s", "containers": [container("250m", "1Mi"), container("1", "1Mi")]});
        assert_eq!(cells(&pod, SystemTime::UNIX_EPOCH), [json!("p"), json!("1250m"), json!("2Mi"), json!("1s")]);
        let node = json!({"metadata": {"name": "n"}, "window": "2s", "usage": {"cpu": "7n", "memory": "4Ki"}});
        assert_eq!(cells(&node, SystemTime::UNIX_EPOCH), [json!("n"), json!("7n"), json!("4Ki"), json!("2s")]);
    }
}
