//! The crate `kube`: lists, watches, patches, apply and its conflicts, pages, and streams into containers.
//!
//! In: a device. Out: what a Rust program sees through the library's own types.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kedge::Device;
use kube::api::{AttachParams, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::client;
use crate::words::{deployment, phase, script};

const SOON: Duration = Duration::from_secs(30);

fn map(name: &str, value: &str) -> ConfigMap {
    ConfigMap {
        metadata: kube::core::ObjectMeta { name: Some(name.into()), ..Default::default() },
        data: Some(BTreeMap::from([("a".into(), value.into())])),
        ..ConfigMap::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_crate_kube_lists_watches_applies_and_executes() {
    let Some(device) = Device::with_images("kube") else { return };
    let client = client(&device).await;
    let version = client.apiserver_version().await.unwrap();
    assert_eq!((version.major.as_str(), version.minor.as_str()), ("1", "36"));

    // Create, watch from the list's version, update with a stale version, patch, delete.
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let start = maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let mut events = maps.watch(&WatchParams::default(), &start).await.unwrap().boxed();
    let first = maps.create(&PostParams::default(), &map("m", "1")).await.unwrap();
    let mut second = first.clone();
    second.data = map("m", "2").data;
    maps.replace("m", &PostParams::default(), &second).await.unwrap();
    match maps.replace("m", &PostParams::default(), &second).await {
        Err(kube::Error::Api(status)) => assert_eq!((status.code, status.reason.as_str()), (409, "Conflict")),
        other => panic!("a stale version must not win: {other:?}"),
    }
    maps.patch("m", &PatchParams::default(), &Patch::Merge(serde_json::json!({"data": {"a": "3"}}))).await.unwrap();
    maps.delete("m", &DeleteParams::default()).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let event = timeout(SOON, events.try_next()).await.expect("an event in time").unwrap().expect("more events");
        let of = |map: &ConfigMap| map.data.as_ref().and_then(|data| data.get("a").cloned()).unwrap_or_default();
        match event {
            WatchEvent::Added(map) if map.name_any() == "m" => seen.push(format!("added {}", of(&map))),
            WatchEvent::Modified(map) if map.name_any() == "m" => seen.push(format!("modified {}", of(&map))),
            WatchEvent::Deleted(map) if map.name_any() == "m" => seen.push(format!("deleted {}", of(&map))),
            WatchEvent::Error(error) => panic!("{error:?}"),
            _ => (),
        }
    }
    assert_eq!(seen, ["added 1", "modified 2", "modified 3", "deleted 3"]);

    // Server-side apply, ownership, pages.
    let applied = Patch::Apply(serde_json::json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owned"}, "data": {"a": "mine"}
    }));
    maps.patch("owned", &PatchParams::apply("one"), &applied).await.unwrap();
    let theirs = Patch::Apply(serde_json::json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owned"}, "data": {"a": "theirs"}
    }));
    match maps.patch("owned", &PatchParams::apply("two"), &theirs).await {
        Err(kube::Error::Api(status)) => {
            assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"), "{status:?}");
            assert!(
                status.message.contains("conflict with \"one\"") && status.message.contains(".data.a"),
                "{status:?}"
            );
            let causes = &status.details.as_ref().unwrap().causes;
            assert_eq!((causes[0].reason.as_str(), causes[0].field.as_str()), ("FieldManagerConflict", ".data.a"));
        }
        other => panic!("two owners of one field: {other:?}"),
    }
    maps.patch("owned", &PatchParams::apply("two").force(), &theirs).await.unwrap();
    for number in 0..25 {
        maps.create(&PostParams::default(), &map(&format!("page-{number:02}"), "x")).await.unwrap();
    }
    let (mut names, mut page) = (Vec::new(), ListParams::default().limit(10));
    loop {
        let list = maps.list(&page).await.unwrap();
        names.extend(list.items.iter().map(ResourceExt::name_any));
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => break,
        }
    }
    assert_eq!(names.iter().filter(|name| name.starts_with("page-")).count(), 25, "{names:?}");

    // A container: its log, a command in it, its port, its own input and output.
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "default");
    let web: Deployment = serde_json::from_value(as_json(&deployment("web", 1, 1))).unwrap();
    deployments.create(&PostParams::default(), &web).await.unwrap();
    device.rolled_out("web");
    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    let pod = pods.list(&ListParams::default().labels("app=web")).await.unwrap().items.remove(0).name_any();
    assert!(pods.logs(&pod, &Default::default()).await.unwrap().contains("web version 1 on"));
    let mut process = pods.exec(&pod, ["sh", "-c", "echo in; exit 3"], &AttachParams::default()).await.unwrap();
    let status = process.take_status().unwrap();
    let mut said = String::new();
    let mut stdout = process.stdout().unwrap();
    timeout(SOON, stdout.read_to_string(&mut said)).await.expect("its end in time").unwrap();
    assert_eq!(said, "in\n");
    let status = timeout(SOON, status).await.expect("its status in time").unwrap();
    assert_eq!(status.reason.as_deref(), Some("NonZeroExitCode"), "{status:?}");
    forward(&pods, &pod).await;
    attach(&device, &pods).await;
}

async fn forward(pods: &Api<Pod>, pod: &str) {
    let mut forwarder = pods.portforward(pod, &[8080, 9]).await.unwrap();
    let mut stream = forwarder.take_stream(8080).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let mut page = String::new();
    timeout(SOON, stream.read_to_string(&mut page)).await.expect("its end in time").unwrap();
    assert!(page.contains("web version 1 on"), "{page}");
    // Nobody listens there: that pair alone says so.
    let refused = timeout(SOON, forwarder.take_error(9).unwrap()).await.expect("an error in time");
    assert!(refused.as_deref().is_some_and(|text| text.contains('9')), "{refused:?}");
}

async fn attach(device: &Device, pods: &Api<Pod>) {
    let pod = script("reader", "Never", "read line; echo got $line; echo over >&2; exit 5");
    device.apply(&pod.replace("    command:", "    stdin: true\n    stdinOnce: true\n    command:")).ok();
    device.wait_for(&["pod", "reader"], SOON, phase("Running"));
    let how = AttachParams::default().stdin(true).stdout(true).stderr(true);
    let mut process = pods.attach("reader", &how).await.unwrap();
    let (mut out, mut err) = (process.stdout().unwrap(), process.stderr().unwrap());
    process.stdin().unwrap().write_all(b"typed\n").await.unwrap();
    let (mut said, mut complained) = (String::new(), String::new());
    let both = async { tokio::join!(out.read_to_string(&mut said), err.read_to_string(&mut complained)) };
    let (out, err) = timeout(SOON, both).await.expect("their end in time");
    out.and(err).unwrap();
    assert_eq!((said.as_str(), complained.as_str()), ("got typed\n", "over\n"));
}

fn as_json(yaml: &str) -> serde_json::Value {
    serde_yaml::from_str(yaml).unwrap()
}
