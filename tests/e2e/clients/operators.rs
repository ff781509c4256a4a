//! Operators as people write them: one with PyPI's `kopf`, one with `kube::runtime::Controller`, for the example's Brew.
//!
//! In: Brews that come, change and go. Out: each has a ConfigMap and a status, and is let go only after the operator
//! has seen it go. Both are held to the same story.

use std::collections::BTreeMap;
use std::fs::File;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kedge::leftovers::kill;
use kedge::{Device, Running, programs, until};
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::finalizer::{self, Event, finalizer};
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::client;

const SOON: Duration = Duration::from_secs(30);

fn brew(name: &str, cups: u32) -> String {
    json!({
        "apiVersion": "kitchen.example.com/v1",
        "kind": "Brew",
        "metadata": {"name": name},
        "spec": {"tea": "assam", "cups": cups},
    })
    .to_string()
}

/// What a user of the operator does and sees.
fn story(device: &Device, finalizer: &str) {
    device.apply(&brew("morning", 3)).ok();
    let made = device.wait_for(&["brew", "morning"], SOON, poured(3));
    assert_eq!(made["metadata"]["finalizers"], json!([finalizer]));
    let pot = device.get(&["configmap", "pot-morning"]);
    assert_eq!(pot["data"], json!({"cups": "3", "tea": "assam"}));
    let owner = &pot["metadata"]["ownerReferences"][0];
    assert_eq!((&owner["uid"], &owner["controller"]), (&made["metadata"]["uid"], &json!(true)));

    device.apply(&brew("morning", 5)).ok();
    device.wait_for(&["brew", "morning"], SOON, poured(5));
    assert_eq!(device.get(&["configmap", "pot-morning"])["data"]["cups"], "5");

    // The finalizer holds it until the operator has seen it go; what it owned follows it.
    device.edgectl(&["delete", "brew", "morning"]).ok();
    device.get(&["configmap", "emptied-morning"]);
    device.edgectl(&["get", "brew", "morning"]).fails(&["NotFound"]);
    until("the end of what the brew owned", SOON, || {
        let maps = device.edgectl(&["get", "configmaps", "-o", "name"]).seen()?;
        if maps.contains("pot-morning") { Err(maps) } else { Ok(()) }
    });
}

fn poured(cups: u32) -> impl Fn(&Value) -> Result<(), String> {
    move |brew| if brew["status"]["cups"] == cups { Ok(()) } else { Err(brew.to_string()) }
}

#[test]
fn an_operator_of_kopf_reconciles() {
    let Some(python) = programs::python() else { return programs::skip(programs::NO_PYTHON) };
    let Some(device) = Device::new("kopf") else { return };
    device.edgectl(&["apply", "-f", &programs::example("brew.yaml")]).ok();
    let log = device.setup.folder().join("kopf.log");
    let mut kopf = Command::new(python);
    kopf.args(["-m", "kopf", "run", "--standalone", "--namespace=default", "--verbose"]);
    kopf.arg(programs::root().join("tests/e2e/clients/brewer.py"));
    kopf.env("KUBECONFIG", device.kubeconfig()).env("HOME", device.setup.folder()).env("PYTHONDONTWRITEBYTECODE", "1");
    let out = File::create(&log).unwrap();
    kopf.stdout(out.try_clone().unwrap()).stderr(out);
    let mut running = Running(kopf.spawn().unwrap());
    let told = std::panic::catch_unwind(|| {
        story(&device, "kopf.zalando.org/KopfFinalizerMarker");
        // An operator's words are Events of its object.
        let events = device.edgectl(&["get", "events", "--field-selector", "reason=Brewed"]).ok();
        assert!(events.contains("brew/morning") && events.contains("3 cups of assam"), "{events}");
    });
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    if let Err(panic) = told {
        eprintln!("--- what the operator said\n{}", said());
        std::panic::resume_unwind(panic);
    }
    kill(running.0.id(), libc::SIGTERM);
    let status = until("the operator's end", SOON, || running.0.try_wait().unwrap().ok_or_else(said));
    assert!(status.success() && !said().contains("Traceback"), "{status}: {}", said());
}

/// What a reconcile works with.
struct Kitchen {
    client: Client,
    kind: ApiResource,
}

impl Kitchen {
    fn brews(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), "default", &self.kind)
    }

    fn maps(&self) -> Api<ConfigMap> {
        Api::default_namespaced(self.client.clone())
    }
}

const FINALIZER: &str = "kitchen.example.com/emptied";

async fn reconcile(brew: Arc<DynamicObject>, kitchen: Arc<Kitchen>) -> Result<Action, finalizer::Error<kube::Error>> {
    finalizer(&kitchen.brews(), FINALIZER, brew, |event| async {
        match event {
            Event::Apply(brew) => apply(&brew, &kitchen).await?,
            Event::Cleanup(brew) => {
                let mut emptied = ConfigMap::default();
                emptied.metadata.name = Some(format!("emptied-{}", brew.name_any()));
                kitchen.maps().create(&PostParams::default(), &emptied).await?;
            }
        }
        Ok(Action::await_change())
    })
    .await
}

async fn apply(brew: &DynamicObject, kitchen: &Kitchen) -> kube::Result<()> {
    let spec = &brew.data["spec"];
    let mut pot = ConfigMap::default();
    pot.metadata.name = Some(format!("pot-{}", brew.name_any()));
    pot.metadata.owner_references = Some(brew.controller_owner_ref(&kitchen.kind).into_iter().collect());
    let words = ["cups", "tea"].map(|key| (key.to_owned(), spec[key].to_string().trim_matches('"').to_owned()));
    pot.data = Some(BTreeMap::from(words));
    let how = PatchParams::apply("kitchen").force();
    kitchen.maps().patch(&pot.name_any(), &how, &Patch::Apply(&pot)).await?;
    let status = json!({
        "apiVersion": "kitchen.example.com/v1", "kind": "Brew", "status": {"cups": spec["cups"]},
    });
    kitchen.brews().patch_status(&brew.name_any(), &how, &Patch::Apply(&status)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_of_the_crate_kube_reconciles() {
    let Some(device) = Device::new("controller") else { return };
    let client = client(&device).await;
    device.edgectl(&["apply", "-f", &programs::example("brew.yaml")]).ok();
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let established = await_condition(definitions, "brews.kitchen.example.com", conditions::is_crd_established());
    timeout(SOON, established).await.expect("established in time").unwrap();

    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("kitchen.example.com", "v1", "Brew"));
    let kitchen = Arc::new(Kitchen { client, kind: kind.clone() });
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = Controller::new_with(kitchen.brews(), watcher::Config::default(), kind)
        .owns(kitchen.maps(), watcher::Config::default())
        .graceful_shutdown_on(async move { drop(stopped.await) })
        .run(reconcile, |_, _, _| Action::requeue(Duration::from_millis(100)), kitchen.clone())
        .collect::<Vec<_>>();
    let running = tokio::spawn(running);

    tokio::task::block_in_place(|| {
        // What it owns is made again when somebody takes it away.
        device.apply(&brew("evening", 2)).ok();
        let evening = device.wait_for(&["brew", "evening"], SOON, poured(2));
        let pot = |other: &Value| {
            let uid = other["metadata"]["uid"].clone();
            move |pot: &Value| {
                if pot["metadata"]["uid"] == uid { Err("it is still the first".to_owned()) } else { Ok(()) }
            }
        };
        let first = device.get(&["configmap", "pot-evening"]);
        device.edgectl(&["delete", "configmap", "pot-evening"]).ok();
        device.wait_for(&["configmap", "pot-evening"], SOON, pot(&first));
        assert_eq!(device.get(&["brew", "evening"])["metadata"]["generation"], evening["metadata"]["generation"]);
        story(&device, FINALIZER);
    });
    let (brews, how) = (kitchen.brews(), DeleteParams::default());
    let uid = brews.get("evening").await.unwrap().uid().unwrap();
    let gone = await_condition(brews.clone(), "evening", conditions::is_deleted(&uid));
    let (gone, deleted) = tokio::join!(timeout(SOON, gone), brews.delete("evening", &how));
    deleted.unwrap();
    gone.expect("its end in time").unwrap();

    stop.send(()).unwrap();
    for outcome in timeout(SOON, running).await.expect("its end in time").unwrap() {
        match outcome {
            // A change of what it owns may come after the brew itself went.
            Ok(_) | Err(kube::runtime::controller::Error::ObjectNotFound(_)) => (),
            Err(fault) => panic!("{fault}"),
        }
    }
}
