//! Pods bound a second through the daemon's API, with all predicates and priorities in Wasm.
//!
//! Nodes are objects without machines. Pods are created through TLS by many clients while the scheduler binds them, so
//! the figure holds creation, scheduling, binding and the load generator on the same cores.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::timeout;

use super::device::Device;
use super::http::Admin;
use super::load::{Outcome, Until, create};
use super::row::Row;
use super::said;
use crate::command::{Done, Failure};

/// The numbers of nodes.
const SIZES: [usize; 3] = [100, 2000, 5000];
/// Pods for each; a hundred nodes hold twice as many.
const PODS: usize = 5000;
/// Clients that create.
const CLIENTS: usize = 32;
/// Pods a second on two thousand nodes.
const REACH: f64 = 1000.0;
/// Longest wait for the last pod.
const PATIENCE: Duration = Duration::from_secs(60);

/// A device for each number of nodes.
pub async fn measure() -> Done<Vec<Row>> {
    let mut rows = Vec::new();
    for nodes in SIZES {
        let device = Device::start("schedule").await?;
        let Filled { nodes: made, pods: creating, bound } = fill(&device.admin, nodes, PODS).await?;
        let seconds = device.admin.metric("scheduler_scheduling_attempt_duration_seconds_sum", "").await?;
        let cycles = device.admin.metric("scheduler_scheduling_attempt_duration_seconds_count", "").await?;
        eprintln!(
            "         {nodes} nodes: created {:.0} nodes/s, {:.0} pods/s; {:.0} us an attempt",
            made.rate(),
            creating.rate(),
            seconds / cycles * 1e6
        );
        device.end();
        let rate = PODS as f64 / bound.as_secs_f64();
        let alone = cycles / seconds;
        let measured = format!("{rate:.0} a second created and bound; scheduling alone {alone:.0}");
        let mut row = Row::new(format!("pods scheduled on {nodes} nodes, bound through the API"), measured);
        if nodes == 2000 {
            row = row.reach("1000 a second", rate >= REACH);
        }
        rows.push(row);
    }
    Ok(rows)
}

/// How it went to fill a device.
pub struct Filled {
    /// The nodes' creation.
    pub nodes: Outcome,
    /// The pods' creation, while they were scheduled.
    pub pods: Outcome,
    /// From the first pod's creation to the last one's binding.
    pub bound: Duration,
}

/// Makes nodes, then pods, and waits until every pod is bound.
pub async fn fill(admin: &Admin, nodes: usize, pods: usize) -> Done<Filled> {
    let text = |object: fn(usize) -> Value| move |number| object(number).to_string();
    let nodes = create(admin, CLIENTS, Until::Count(nodes), "/api/v1/nodes", text(node)).await?;
    let mut bound = admin.watch("/api/v1/namespaces/default/pods?watch=true&fieldSelector=spec.nodeName%21%3D").await?;
    let begun = Instant::now();
    let creating = create(admin, CLIENTS, Until::Count(pods), "/api/v1/namespaces/default/pods", text(pod));
    let (binding, creating) = tokio::join!(
        tokio::spawn(async move {
            let all = async {
                let mut seen = 0;
                while seen < pods {
                    seen += bound.count().await.ok_or_else(|| Failure::Said("the watch of pods ended".into()))?;
                }
                Done::Ok(begun.elapsed())
            };
            timeout(PATIENCE, all).await.unwrap_or_else(|_| Err(Failure::Said("pods stayed unbound".into())))
        }),
        creating
    );
    Ok(Filled { nodes, bound: binding.map_err(said("the watch"))??, pods: creating? })
}

/// Nodes of which every tenth is tainted, and every second has the disk that the pods want.
fn node(number: usize) -> Value {
    let name = format!("node-{number}");
    let taints = if number.is_multiple_of(10) {
        json!([{"key": "dedicated", "value": "x", "effect": "NoSchedule"}])
    } else {
        json!([])
    };
    let disk = if number.is_multiple_of(2) { "ssd" } else { "hdd" };
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "disk": disk}},
        "spec": {"taints": taints},
        "status": {"capacity": {"cpu": "8", "memory": "32Gi", "pods": "250"},
                   "allocatable": {"cpu": "8", "memory": "32Gi", "pods": "250"}},
    })
}

/// A pod that wants a disk.
pub fn pod(number: usize) -> Value {
    let resources = json!({"requests": {"cpu": "10m", "memory": "16Mi"}});
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("web-{number}"), "labels": {"app": "web"}},
        "spec": {
            "containers": [{"name": "web", "image": "example.org/web:1", "resources": resources}],
            "nodeSelector": {"disk": "ssd"},
            "automountServiceAccountToken": false,
        },
    })
}
