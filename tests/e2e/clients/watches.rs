//! Watches of `kube::runtime` live longer than their connections: ended by the server, by a stop of the device, by a
//! restore.
//!
//! In: both ways to begin: list and watch, and a watch that begins with what is there. Out: nothing missed, and a new
//! beginning only where the server's history is another one.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kedge::Device;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher::{Config, Event};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use tokio::time::timeout;

use super::client;

const SOON: Duration = Duration::from_secs(60);

fn map(name: &str, value: &str) -> ConfigMap {
    let mut map = ConfigMap::default();
    map.metadata.name = Some(name.into());
    map.metadata.labels = Some(BTreeMap::from([("of".into(), "watches".into())]));
    map.data = Some(BTreeMap::from([("a".into(), value.into())]));
    map
}

/// The next event of a test's own, in short words; faults of connections are what this is about.
async fn next(events: &mut (impl Stream<Item = watcher::Result<Event<ConfigMap>>> + Unpin)) -> String {
    let of = |map: &ConfigMap| {
        let value = map.data.as_ref().and_then(|data| data.get("a").cloned()).unwrap_or_default();
        format!("{}={value}", map.name_any())
    };
    loop {
        let event = timeout(SOON, events.next()).await.expect("an event in time").expect("watchers do not end");
        return match event {
            Ok(Event::Init) => "init".into(),
            Ok(Event::InitApply(map)) => format!("has {}", of(&map)),
            Ok(Event::InitDone) => "done".into(),
            Ok(Event::Apply(map)) => format!("apply {}", of(&map)),
            Ok(Event::Delete(map)) => format!("delete {}", of(&map)),
            Err(_) => continue,
        };
    }
}

macro_rules! sees {
    ($events:expr, $($word:expr),+) => {{
        $(assert_eq!(next(&mut $events).await, $word);)+
    }};
}

async fn live(mut device: Device, how: Config) {
    let maps: Api<ConfigMap> = Api::default_namespaced(client(&device).await);
    let new = PostParams::default();
    maps.create(&new, &map("old", "1")).await.unwrap();
    let how = how.labels("of=watches").timeout(1);
    let mut events = pin!(watcher(maps.clone(), how).default_backoff());
    sees!(events, "init", "has old=1", "done");

    // The server ends the watch each second: nobody is told, nothing is missed.
    for number in 0..3 {
        maps.create(&new, &map("new", &number.to_string())).await.unwrap();
        sees!(events, format!("apply new={number}"));
        // A watcher that is not asked does not run: this is what makes the second pass.
        let quiet = timeout(Duration::from_millis(1200), next(&mut events)).await;
        assert!(quiet.is_err(), "nothing happened, and yet {quiet:?}");
        maps.delete("new", &DeleteParams::default()).await.unwrap();
        sees!(events, format!("delete new={number}"));
    }

    // A restore is another history: it begins anew, with what is there now.
    let file = device.setup.folder().join("saved").to_string_lossy().into_owned();
    tokio::task::block_in_place(|| device.edgectl(&["backup", &file]).ok());
    let change = serde_json::json!({"data": {"a": "2"}});
    maps.patch("old", &PatchParams::default(), &Patch::Merge(change)).await.unwrap();
    maps.create(&new, &map("after", "1")).await.unwrap();
    sees!(events, "apply old=2", "apply after=1");
    tokio::task::block_in_place(|| device.edgectl(&["restore", &file, "--yes"]).ok());
    sees!(events, "init", "has old=1", "done");

    // While the device is off nothing comes; afterwards what comes next does.
    tokio::task::block_in_place(|| {
        device.stop();
        device.start();
    });
    maps.create(&new, &map("last", "1")).await.unwrap();
    let seen = next(&mut events).await;
    if seen == "init" {
        sees!(events, "has last=1", "has old=1", "done");
    } else {
        assert_eq!(seen, "apply last=1");
    }
    tokio::task::block_in_place(|| drop(device));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_that_lists_first_outlives_its_connections() {
    let Some(device) = Device::new("watcher") else { return };
    live(device, Config::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_that_streams_its_list_outlives_its_connections() {
    let Some(device) = Device::new("streaming") else { return };
    live(device, Config::default().streaming_lists()).await;
}
