//! One reconcile of a settled Deployment and of its ReplicaSet, by the number of pods.
//!
//! The pods name a node that is only an object: nobody runs them, nobody schedules them. Reconciles are asked for by
//! changing what each controller looks at but need not act on: labels of the Deployment, labels of a pod. Their
//! number and their time are the daemon's own metrics.

use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};

use super::device::Device;
use super::http::{Admin, refused};
use super::row::Row;
use crate::command::{Done, Failure};

/// The numbers of pods.
const SIZES: [usize; 3] = [3, 100, 1000];
/// Changes that ask for a reconcile.
const ASKED: usize = 200;
/// What one reconcile with a thousand pods may take, in milliseconds.
const REACH: f64 = 1.0;
/// Longest wait for all pods to be made.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks at whether the device has settled.
const LOOK: Duration = Duration::from_millis(100);

/// A device for each number of pods.
pub async fn measure() -> Done<Vec<Row>> {
    let mut rows = Vec::new();
    for pods in SIZES {
        let device = Device::start("reconcile").await?;
        let made = make(&device.admin, pods).await?;
        eprintln!("         {pods} pods were made in {} ms", made.as_millis());
        let pod = first("/api/v1/namespaces/default/pods", &device.admin).await?;
        for (name, controller, path) in [
            ("Deployment", "deployment-controller", "/apis/apps/v1/namespaces/default/deployments/web".to_owned()),
            ("ReplicaSet", "replicaset-controller", pod),
        ] {
            let each = ask(&device.admin, controller, &path).await?;
            let mut row = Row::new(format!("one reconcile of a {name} with {pods} pods"), format!("{each:.2} ms"));
            if pods == 1000 {
                row = row.reach("1 ms", each <= REACH);
            }
            rows.push(row);
        }
        device.end();
    }
    Ok(rows)
}

/// Makes the Deployment and waits until all pods are there and nobody reconciles any more.
async fn make(admin: &Admin, pods: usize) -> Done<Duration> {
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "nowhere"}});
    admin.create("/api/v1/nodes", &node).await?;
    let begun = Instant::now();
    admin.create("/apis/apps/v1/namespaces/default/deployments", &deployment(pods)).await?;
    let path = first("/apis/apps/v1/namespaces/default/replicasets", admin).await?;
    let mut took = begun.elapsed();
    while begun.elapsed() < PATIENCE {
        let set = admin.get(&path).await?;
        if set["status"]["replicas"] == json!(pods) {
            settled(admin).await?;
            return Ok(took);
        }
        took = begun.elapsed();
        tokio::time::sleep(LOOK).await;
    }
    Err(Failure::Said(format!("{pods} pods were not made within {PATIENCE:?}")))
}

/// The path of the first object of a list.
async fn first(path: &str, admin: &Admin) -> Done<String> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(name) = admin.get(path).await?["items"][0]["metadata"]["name"].as_str() {
            return Ok(format!("{path}/{name}"));
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(Failure::Said(format!("there was nothing in {path} after {PATIENCE:?}")))
}

/// Waits until the number of reconciles stands still.
async fn settled(admin: &Admin) -> Done {
    let (mut last, mut same, begun) = (-1.0, 0, Instant::now());
    while same < 10 && begun.elapsed() < PATIENCE {
        let now = admin.metric("kedge_controller_reconciles_total", "").await?;
        same = if now == last { same + 1 } else { 0 };
        last = now;
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Milliseconds a reconcile.
async fn ask(admin: &Admin, controller: &str, path: &str) -> Done<f64> {
    let figures = async || {
        let labels = format!("name=\"{controller}\"");
        let count = admin.metric("kedge_controller_reconciles_total", &labels).await?;
        let seconds = admin.metric("kedge_controller_reconcile_seconds_total", &labels).await?;
        Done::Ok((count, seconds))
    };
    let before = figures().await?;
    let mut connection = admin.connect().await?;
    for round in 0..ASKED {
        let change = json!({"bench/round": round.to_string()});
        let patch = json!({"metadata": {"labels": change}});
        let (code, body) = connection.send(Method::PATCH, path, patch.to_string()).await?;
        if code != 200 {
            return Err(refused("PATCH", path, code, &body));
        }
        // One after the other: asked for at once they would be one reconcile.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    settled(admin).await?;
    let after = figures().await?;
    let count = after.0 - before.0;
    if count < ASKED as f64 / 2.0 {
        return Err(Failure::Said(format!("{controller} ran {count} times for {ASKED} changes")));
    }
    Ok((after.1 - before.1) * 1e3 / count)
}

fn deployment(replicas: usize) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"nodeName": "nowhere", "containers": [{"name": "main", "image": "example.org/web:1"}]},
            },
        },
    })
}
