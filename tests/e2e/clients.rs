//! Libraries that others write programs with: crate `kube`, PyPI's `kubernetes`.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kedge::{Device, Output, programs};
use kube::api::{AttachParams, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::words::deployment;

const SOON: Duration = Duration::from_secs(30);

fn map(name: &str, value: &str) -> ConfigMap {
    ConfigMap {
        metadata: kube::core::ObjectMeta { name: Some(name.into()), ..Default::default() },
        data: Some(BTreeMap::from([("a".into(), value.into())])),
        ..ConfigMap::default()
    }
}

/// A client of crate `kube` as the administrator.
pub async fn client(device: &Device) -> Client {
    let file = Kubeconfig::read_from(device.kubeconfig()).unwrap();
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
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
        Err(kube::Error::Api(status)) => assert_eq!(status.code, 409, "{status:?}"),
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

    // A container: its log, a command in it.
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "default");
    let web: Deployment = serde_json::from_value(as_json(&deployment("web", 1, 1))).unwrap();
    deployments.create(&PostParams::default(), &web).await.unwrap();
    device.rolled_out("web");
    let pods: Api<Pod> = Api::namespaced(client, "default");
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
}

fn as_json(yaml: &str) -> serde_json::Value {
    serde_yaml::from_str(yaml).unwrap()
}

#[test]
fn the_python_package_lists_creates_watches_patches_and_deletes() {
    let Some(python) = programs::python() else {
        return programs::skip("there is no Python environment with `kubernetes`: cargo xtask test makes one");
    };
    let Some(device) = Device::with_images("python") else { return };
    device.apply(&deployment("web", 1, 1)).ok();
    device.rolled_out("web");
    let script = programs::root().join("tests/e2e/client.py");
    let output = Output::of(Command::new(python).arg(script).arg(device.kubeconfig()));
    assert!(output.clone().ok().ends_with("all good\n"), "{output}");
}
