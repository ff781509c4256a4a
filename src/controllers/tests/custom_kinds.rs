//! A plugin that watches every kind sees custom kinds come and go, on a whole API server without sockets.

#![allow(clippy::unwrap_used)] // It is all tests; clippy only knows those by their attribute.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use kedge_apiserver::{ApiServer, Config, Identity, Parts};
use kedge_client::{Client, PatchKind, PatchOptions, ResourcePath, WriteOptions};
use kedge_controllers::{Engine, PluginSeat};
use kedge_plugin_api::PluginError;
use kedge_plugin_api::controllers::{
    Action, Cluster, Controller, Controllers, Field, FieldType, Key, Query, ReconcileError, Target, Wakes, Watch,
};
use kedge_store::{Options, Store};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Tells the names of all rows whenever something changes.
struct Looker {
    seen: watch::Sender<BTreeSet<String>>,
    last: Mutex<()>,
}

impl Controllers for Looker {
    fn name(&self) -> &str {
        "looker"
    }

    fn declaration(&self) -> Result<Vec<Controller>, PluginError> {
        let fields = vec![Field { path: "metadata.name".into(), field_type: FieldType::Text }];
        let every = Watch { target: Target::Every, fields, wakes: vec![Wakes::Itself] };
        Ok(vec![Controller { name: "looker".into(), watches: vec![every], workers: 1 }])
    }

    fn reconcile(&self, _: u32, _: &Key, cluster: Arc<dyn Cluster>) -> Result<Action, ReconcileError> {
        let _one = self.last.lock().unwrap();
        let table = cluster.rows(0, &Query::All);
        let kinds = cluster.kinds();
        let name = |at: usize| format!("{} {}", kinds[table.kinds[at] as usize].kind.kind, table.names.get(at));
        self.seen.send_replace((0..table.names.count()).map(name).collect());
        Ok(Action::Done)
    }
}

fn definition() -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_means_custom_kinds_too() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { data_dir: dir.path().to_owned(), ..Config::default() };
    let store = Store::open(Options::new(dir.path().join("store"))).unwrap();
    let api = ApiServer::open(config, store, Parts::default()).await.unwrap();
    let client = Client::from_service(api.loopback(Identity::master("admin")), "default");
    let (seen, mut sees) = watch::channel(BTreeSet::new());
    let plugin = Arc::new(Looker { seen, last: Mutex::new(()) });
    let stop = CancellationToken::new();
    let engine = Engine::new(SystemTime::now);
    let seat = PluginSeat { plugin, client: client.clone() };
    let (running, own) = (engine.clone(), stop.clone());
    let task = tokio::spawn(async move { running.run(seat, own).await });
    let soon = Duration::from_secs(60);
    let mut until = async |name: &str, there: bool| {
        let waited = sees.wait_for(|names: &BTreeSet<String>| names.contains(name) == there);
        assert!(tokio::time::timeout(soon, waited).await.is_ok_and(|seen| seen.is_ok()), "{name} {there}");
    };
    until("Namespace default", true).await;

    let definitions = ResourcePath::new("apiextensions.k8s.io", "v1", "customresourcedefinitions");
    let widgets = ResourcePath::new("example.com", "v1", "widgets").namespace("default");
    let options = WriteOptions::default();
    client.create(&definitions, &definition(), &options).await.unwrap();
    let widget = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}});
    while client.create(&widgets, &widget, &options).await.is_err() {
        tokio::task::yield_now().await;
    }
    until("Widget a", true).await;
    client
        .delete(&definitions.clone().name("widgets.example.com"), &kedge_client::DeleteOptions::default())
        .await
        .unwrap();
    until("Widget a", false).await;
    until("CustomResourceDefinition widgets.example.com", false).await;
    client.create(&definitions, &definition(), &options).await.unwrap();
    while client.create(&widgets, &widget, &options).await.is_err() {
        tokio::task::yield_now().await;
    }
    until("Widget a", true).await;
    stop.cancel();
    task.await.unwrap();
    api.close().await;
}

/// Two controllers: one of every kind, one of ConfigMaps. Tells which of them was asked.
struct Pair {
    asked: watch::Sender<BTreeSet<u32>>,
}

impl Controllers for Pair {
    fn name(&self) -> &str {
        "pair"
    }

    fn declaration(&self) -> Result<Vec<Controller>, PluginError> {
        let maps = kedge_plugin_api::controllers::Kind {
            group: String::new(),
            version: "v1".into(),
            kind: "ConfigMap".into(),
        };
        let controller = |name: &str, target| Controller {
            name: name.into(),
            watches: vec![Watch { target, fields: Vec::new(), wakes: vec![Wakes::Itself] }],
            workers: 1,
        };
        Ok(vec![controller("every", Target::Every), controller("maps", Target::Kind(maps))])
    }

    fn reconcile(&self, controller: u32, _: &Key, _: Arc<dyn Cluster>) -> Result<Action, ReconcileError> {
        self.asked.send_if_modified(|asked| asked.insert(controller));
        Ok(Action::Done)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kind_that_cannot_be_listed_holds_up_only_who_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { data_dir: dir.path().to_owned(), ..Config::default() };
    let store = Store::open(Options::new(dir.path().join("store"))).unwrap();
    let api = ApiServer::open(config, store, Parts::default()).await.unwrap();
    let client = Client::from_service(api.loopback(Identity::master("admin")), "default");
    let options = WriteOptions::default();

    // Kept in v1 and listed in v2, by a webhook that nobody answers at.
    let mut broken = definition();
    let mut newer = broken["spec"]["versions"][0].clone();
    (newer["name"], newer["storage"]) = (json!("v2"), json!(false));
    broken["spec"]["versions"].as_array_mut().unwrap().push(newer);
    broken["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": {
        "conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://127.0.0.1:1/convert"}}});
    let definitions = ResourcePath::new("apiextensions.k8s.io", "v1", "customresourcedefinitions");
    client.create(&definitions, &broken, &options).await.unwrap();
    let widgets = ResourcePath::new("example.com", "v1", "widgets").namespace("default");
    let widget = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}});
    while client.create(&widgets, &widget, &options).await.is_err() {
        tokio::task::yield_now().await;
    }
    let maps = ResourcePath::core("configmaps").namespace("default");
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    client.create(&maps, &map, &options).await.unwrap();

    let (asked, mut asks) = watch::channel(BTreeSet::new());
    let stop = CancellationToken::new();
    let seat = PluginSeat { plugin: Arc::new(Pair { asked }), client: client.clone() };
    let (engine, own) = (Engine::new(SystemTime::now), stop.clone());
    let task = tokio::spawn(async move { engine.run(seat, own).await });
    let soon = Duration::from_secs(60);
    let maps_asked = tokio::time::timeout(soon, asks.wait_for(|asked| asked.contains(&1))).await;
    assert!(maps_asked.is_ok_and(|asked| asked.is_ok()), "the controller of ConfigMaps works");
    assert!(!asks.borrow().contains(&0), "half a world is none");

    // Converted by nobody, everything can be read.
    let patch = json!({"spec": {"conversion": {"strategy": "None", "webhook": null}}});
    let path = definitions.name("widgets.example.com");
    client.patch(&path, PatchKind::Merge, &patch, &PatchOptions::default()).await.unwrap();
    let every_asked = tokio::time::timeout(soon, asks.wait_for(|asked| asked.contains(&0))).await;
    assert!(every_asked.is_ok_and(|asked| asked.is_ok()), "the controller of every kind works in the end");
    stop.cancel();
    task.await.unwrap();
    api.close().await;
}
