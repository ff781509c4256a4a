//! Real pods: how soon one runs, and what an idle one costs.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use super::device::{CGROUPS, Device};
use super::http::Lines;
use super::process::{Memory, family, waiters};
use super::row::{Row, median};
use super::said;
use crate::command::{self, Done, Failure};
use crate::images;

/// Deployments measured.
const ROUNDS: usize = 11;
/// Idle containers held at once.
const IDLE: usize = 20;
/// What an apply may take until its pod runs, in milliseconds.
const REACH: f64 = 400.0;
/// Longest wait for a pod.
const PATIENCE: Duration = Duration::from_secs(30);

/// Both, on one device.
pub async fn measure() -> Done<Vec<Row>> {
    let device = Device::start("pods").await?;
    let archive = command::target().join("demo/web-1.tar");
    let loaded = Command::from(device.edgectl()).args(["image", "load"]).arg(archive).status();
    succeeded("edgectl image load", loaded.await)?;
    let rows = vec![apply_to_running(&device).await?, idle_containers(&device).await?];
    device.end();
    Ok(rows)
}

/// `edgectl apply` of a Deployment of one, its own process included, until the pod's phase is Running.
async fn apply_to_running(device: &Device) -> Done<Row> {
    let mut each = Vec::new();
    for round in 0..ROUNDS {
        let name = format!("apply-{round}");
        let file = device.folder().join("web.json");
        let text = deployment(&name, 1, &["/bin/sleep", "100000"]).to_string();
        std::fs::write(&file, text).map_err(|source| Failure::File { act: "write", path: file.clone(), source })?;
        let mut pods = watch(device, &name).await?;
        let begun = Instant::now();
        let applied = Command::from(device.edgectl()).args(["apply", "-f"]).arg(&file).status();
        let running = until(&mut pods, 1, |event| event["object"]["status"]["phase"] == "Running");
        let (applied, running) = tokio::join!(applied, running);
        succeeded("edgectl apply", applied)?;
        running?;
        each.push(begun.elapsed().as_secs_f64() * 1e3);
        device.admin.delete(&format!("/apis/apps/v1/namespaces/default/deployments/{name}")).await?;
        until(&mut pods, 1, |event| event["type"] == "DELETED").await?;
    }
    let took = median(&each);
    Ok(Row::new("`edgectl apply` of a Deployment to its pod Running, image present", format!("{took:.0} ms"))
        .reach("400 ms", took <= REACH))
}

/// What the daemon, the zygote and the waiters grow by, without the containers' own programs.
async fn idle_containers(device: &Device) -> Done<Row> {
    let before = Memory::sum(&family(device.pid())).proportional;
    let mut pods = watch(device, "idle").await?;
    let path = "/apis/apps/v1/namespaces/default/deployments";
    device.admin.create(path, &deployment("idle", IDLE, &["/bin/sleep", "100000"])).await?;
    let begun = Instant::now();
    until(&mut pods, IDLE, |event| event["object"]["status"]["phase"] == "Running").await?;
    eprintln!("         {IDLE} pods were running after {} ms", begun.elapsed().as_millis());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let daemon = Memory::sum(&family(device.pid())).proportional.saturating_sub(before);
    let waiting = Memory::sum(&waiters(CGROUPS)).proportional;
    let each = |kibibytes: u64| kibibytes as f64 / IDLE as f64;
    Ok(Row::new(
        format!("memory of an idle container beside its own program, {IDLE} pods"),
        format!("{:.0} KiB ({:.1} its waiter)", each(daemon + waiting), each(waiting)),
    ))
}

async fn watch(device: &Device, app: &str) -> Done<Lines> {
    device.admin.watch(&format!("/api/v1/namespaces/default/pods?watch=true&labelSelector=app%3D{app}")).await
}

/// Waits until as many different pods have shown what is wanted.
async fn until(events: &mut Lines, count: usize, wanted: impl Fn(&Value) -> bool) -> Done {
    let mut seen = std::collections::HashSet::new();
    let all = async {
        while let Some(event) = events.next().await {
            if wanted(&event) {
                seen.insert(event["object"]["metadata"]["name"].to_string());
            }
            if seen.len() == count {
                return Ok(());
            }
        }
        Err(Failure::Said("the watch of pods ended".into()))
    };
    timeout(PATIENCE, all).await.unwrap_or_else(|_| Err(Failure::Said(format!("pods took longer than {PATIENCE:?}"))))
}

fn deployment(name: &str, replicas: usize, command: &[&str]) -> Value {
    let image = format!("{}:{}", images::WEB, images::VERSIONS[0]);
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"terminationGracePeriodSeconds": 0,
                         "containers": [{"name": "main", "image": image, "command": command}]},
            },
        },
    })
}

fn succeeded(what: &str, status: std::io::Result<std::process::ExitStatus>) -> Done {
    let status = status.map_err(said(what))?;
    if status.success() { Ok(()) } else { Err(Failure::Said(format!("{what} ended with {status}"))) }
}
