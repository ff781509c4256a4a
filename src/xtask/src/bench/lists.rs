//! Reading much: one list of many objects, one object by many watchers.

use std::time::{Duration, Instant};

use hyper::Method;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::device::Device;
use super::load::{Until, create};
use super::process::Memory;
use super::row::{Row, median};
use super::said;
use super::writes::map;
use crate::command::{Done, Failure};

/// Objects of the list.
const OBJECTS: usize = 10_000;
/// Lists measured.
const LISTS: usize = 11;
/// Watchers at once, each on a TLS connection of its own.
const WATCHERS: usize = 1000;
/// Events that each of them gets.
const EVENTS: usize = 300;
/// Clients that create.
const CLIENTS: usize = 16;
/// Longest wait for the last watcher.
const PATIENCE: Duration = Duration::from_secs(90);
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// A list of ten thousand ConfigMaps, whole.
pub async fn list() -> Done<Vec<Row>> {
    let device = Device::start("list").await?;
    create(&device.admin, CLIENTS, Until::Count(OBJECTS), MAPS, |at| map(&format!("c{at}"), 700)).await?;
    let mut connection = device.admin.connect().await?;
    let (mut each, mut bytes) = (Vec::new(), 0);
    for _ in 0..LISTS {
        let begun = Instant::now();
        let (code, body) = connection.send(Method::GET, MAPS, String::new()).await?;
        if code != 200 {
            return Err(Failure::Said(format!("the list was answered with {code}")));
        }
        each.push(begun.elapsed().as_secs_f64() * 1e3);
        bytes = body.len();
    }
    let memory = Memory::of(device.pid());
    device.end();
    let took = median(&each);
    Ok(vec![Row::new(
        format!("list of {OBJECTS} ConfigMaps over TLS ({:.0} MB)", bytes as f64 / 1e6),
        format!("{took:.0} ms; anonymous memory then {:.0} MB", memory.anonymous as f64 / 1024.0),
    )])
}

/// A thousand watchers of the same kind.
pub async fn watch() -> Done<Vec<Row>> {
    let device = Device::start("watch").await?;
    let before = Memory::of(device.pid());
    let mut tasks: JoinSet<Done> = JoinSet::new();
    let (go, _) = tokio::sync::broadcast::channel::<()>(1);
    for _ in 0..WATCHERS {
        let mut lines =
            device.admin.watch(&format!("{MAPS}?watch=true&fieldSelector=metadata.name%21%3Dkube-root-ca.crt")).await?;
        let mut ended = go.subscribe();
        tasks.spawn(async move {
            let all = async {
                let mut seen = 0;
                while seen < EVENTS {
                    seen += lines.count().await.ok_or_else(|| Failure::Said("a watch ended".into()))?;
                }
                Ok(())
            };
            tokio::select! {
                done = all => done,
                _ = ended.recv() => Err(Failure::Said("the measurement ended".into())),
            }
        });
    }
    let open = Memory::of(device.pid());
    let begun = Instant::now();
    let made = create(&device.admin, CLIENTS, Until::Count(EVENTS), MAPS, |at| map(&format!("w{at}"), 200)).await?;
    let all = async {
        while let Some(done) = tasks.join_next().await {
            done.map_err(said("a watcher"))??;
        }
        Done::Ok(())
    };
    timeout(PATIENCE, all).await.unwrap_or_else(|_| Err(Failure::Said("watchers waited too long".into())))?;
    let took = begun.elapsed().as_secs_f64();
    device.end();
    drop(go);
    let delivered = (WATCHERS * EVENTS) as f64 / took;
    let each = open.proportional.saturating_sub(before.proportional) as f64 / WATCHERS as f64;
    Ok(vec![Row::new(
        format!("{WATCHERS} watchers over TLS"),
        format!(
            "{delivered:.0} events a second delivered, {:.0} a second written; {each:.0} KiB a watcher",
            made.rate()
        ),
    )])
}
