//! Reading many objects at once.

use std::time::Instant;

use serde_json::{Value, json};

use super::device::Device;
use super::http::refused;
use super::load::{Until, create};
use super::process::Memory;
use super::row::{Row, median};
use super::said;
use super::schedule::pod;
use super::wire::{Template, Wire};
use super::writes::map;
use crate::command::Done;

/// ConfigMaps of the list.
const MAPS: usize = 10_000;
/// Pods of the list.
const PODS: usize = 3_000;
/// What their list may take, in milliseconds.
const REACH: f64 = 20.0;
/// Lists measured.
const LISTS: usize = 11;
/// Clients that create.
const CLIENTS: usize = 16;

/// Whole lists of ConfigMaps and of pods.
pub async fn measure() -> Done<Vec<Row>> {
    let device = Device::start("list").await?;
    let maps = "/api/v1/namespaces/default/configmaps";
    create(&device.admin, CLIENTS, Until::Count(MAPS), maps, |at| map(&format!("c{at}"), 700)).await?;
    let of_maps = lists(&device, maps).await?;
    let memory = Memory::of(device.pid());
    // Pods of a node that is only an object: nobody schedules them, nobody runs them.
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "nowhere"}});
    device.admin.create("/api/v1/nodes", &node).await?;
    let pods = "/api/v1/namespaces/default/pods";
    create(&device.admin, CLIENTS, Until::Count(PODS), pods, |at| placed(pod(at)).to_string()).await?;
    let of_pods = lists(&device, pods).await?;
    device.end();
    let megabytes = |lists: &Lists| lists.bytes as f64 / 1e6;
    Ok(vec![
        Row::new(
            format!("list of {MAPS} ConfigMaps over TLS ({:.0} MB)", megabytes(&of_maps)),
            format!(
                "{:.0} ms; anonymous memory then {:.0} MB",
                median(&of_maps.each),
                memory.anonymous as f64 / 1024.0
            ),
        ),
        Row::new(
            format!("list of {PODS} pods over TLS ({:.1} MB)", megabytes(&of_pods)),
            format!("{:.1} ms", median(&of_pods.each)),
        )
        .reach("20 ms", median(&of_pods.each) <= REACH)
        .peer("none can be installed; Kubernetes v1.36.2 in another run: 123 ms"),
    ])
}

fn placed(mut pod: Value) -> Value {
    pod["spec"]["nodeName"] = json!("nowhere");
    pod
}

struct Lists {
    /// The time of each in milliseconds.
    each: Vec<f64>,
    bytes: usize,
}

async fn lists(device: &Device, path: &str) -> Done<Lists> {
    let (admin, mut request) = (device.admin.clone(), Template::new("GET", path, "", ""));
    let path = path.to_owned();
    let all = move || {
        let mut wire = Wire::open(&admin)?;
        let mut lists = Lists { each: Vec::new(), bytes: 0 };
        for _ in 0..LISTS {
            let begun = Instant::now();
            let answer = wire.send(request.fill(0, 0))?;
            if answer.code != 200 {
                return Err(refused("GET", &path, answer.code, answer.body));
            }
            lists.each.push(begun.elapsed().as_secs_f64() * 1e3);
            lists.bytes = answer.body.len();
        }
        Ok(lists)
    };
    tokio::task::spawn_blocking(all).await.map_err(said("the lists"))?
}
