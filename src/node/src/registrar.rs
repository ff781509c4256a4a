//! Registers the Node and keeps it alive.
//!
//! In: the machine, its images. Out: one Node object, one lease renewed every ten seconds, a status written when it
//! changed and else every five minutes. Everything that is looked at regularly is looked at with the lease, so that
//! the machine wakes once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::events::{About, Level};
use crate::machine::{Machine, Pressure};
use crate::node_object::{Faults, LEASES, Surroundings, conditions, labels, lease, node, status, turns};
use crate::port::{ApiFault, Kind, Mono, PatchForm};
use crate::shared::Shared;

/// Keeps the Node.
pub(crate) struct Registrar {
    shared: Arc<Shared>,
    machine: Arc<dyn Machine>,
    uid: Option<String>,
    written: Value,
    conditions: Vec<Value>,
    report_at: Mono,
    leased: bool,
    swept: Mono,
    short: [Option<Mono>; 3],
}

/// How often images go when the disk is as full as the settings allow, as in Kubernetes.
const SWEEP: Mono = Mono::from_secs(300);
/// The same under disk pressure.
const SWEEP_UNDER_PRESSURE: Mono = Mono::from_secs(60);
/// What is to be freed at once under pressure: enough to leave the pressure behind.
const ROOM: u64 = 1 << 30;

impl Registrar {
    pub fn new(shared: Arc<Shared>, machine: Arc<dyn Machine>) -> Self {
        Self {
            shared,
            machine,
            uid: None,
            written: Value::Null,
            conditions: Vec::new(),
            report_at: Mono::ZERO,
            leased: false,
            // What was here before is taken up first: whose images are in use is not known yet.
            swept: Mono::ZERO,
            short: [None; 3],
        }
    }

    /// Works until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut host_ips = self.shared.host_ips.clone();
        loop {
            self.shared.beat.send_replace(());
            if let Err(fault) = self.turn().await {
                tracing::warn!(%fault, "the node could not be registered or renewed; tried again with the next lease");
            }
            let shared = self.shared.clone();
            let renewal = tokio::time::sleep(shared.config.lease_renewal);
            tokio::select! {
                () = stop.cancelled() => return,
                () = renewal => {}
                // A new image is told at once; the lease is renewed early with it.
                () = shared.puller.arrived.notified() => {}
                // So is another address.
                Ok(()) = host_ips.changed() => {}
            }
        }
    }

    async fn turn(&mut self) -> Result<(), ApiFault> {
        let now = self.shared.clock.mono();
        let wanted = self.status().await;
        let pressure = self.machine.pressure().steady(now, &mut self.short);
        self.make_room(pressure, now).await;
        let faults = Faults { runtime: self.shared.runtime.fault(), network: self.shared.network.fault() };
        if self.uid.is_none() {
            self.register(&wanted, pressure, &faults).await?;
            self.written = wanted;
            self.report_at = now + self.shared.config.status_report;
            return self.renew().await;
        }
        let next = conditions(pressure, &faults, &self.conditions, self.shared.clock.wall());
        if wanted != self.written || self.changed(&next) || now >= self.report_at {
            self.write(&wanted, &next).await?;
        } else {
            return self.renew().await;
        }
        self.written = wanted;
        self.told(next);
        self.report_at = now + self.shared.config.status_report;
        self.renew().await
    }

    /// The API has these conditions: what changed with them is told.
    fn told(&mut self, conditions: Vec<Value>) {
        for reason in turns(&self.conditions, &conditions) {
            let message = format!("Node {} status is now: {reason}", self.shared.config.node_name);
            self.tell(Level::Normal, reason, message);
        }
        self.conditions = conditions;
    }

    fn tell(&self, level: Level, reason: &str, message: String) {
        let about = About::Node(self.shared.config.node_name.clone());
        self.shared.events.tell(about, level, reason, message);
    }

    /// Images that nobody uses go when the disk is too full.
    async fn make_room(&mut self, pressure: Pressure, now: Mono) {
        let (all, free) = self.machine.storage();
        let full = self.shared.config.image_gc.wanted(all, free);
        let (wanted, rest) = if pressure.disk { (full.max(ROOM), SWEEP_UNDER_PRESSURE) } else { (full, SWEEP) };
        if wanted == 0 || now < self.swept + rest {
            return;
        }
        self.swept = now;
        let in_use = self.shared.directory.images_in_use();
        match self.shared.puller.images().collect_garbage(&in_use, wanted).await {
            Ok(freed) if freed < wanted => {
                let message = format!(
                    "Failed to garbage collect required amount of images. Attempted to free {wanted} bytes, but only \
                     found {freed} bytes eligible to free."
                );
                self.tell(Level::Warning, "FreeDiskSpaceFailed", message);
            }
            Ok(freed) => tracing::info!(freed, "images that nobody uses were removed: the disk was too full"),
            Err(fault) => tracing::warn!(%fault, "images could not be removed although the disk is too full"),
        }
    }

    fn changed(&self, next: &[Value]) -> bool {
        let said = |list: &[Value]| -> Vec<[Value; 2]> {
            list.iter().map(|condition| [condition["status"].clone(), condition["message"].clone()]).collect()
        };
        said(next) != said(&self.conditions)
    }

    async fn status(&self) -> Value {
        let images = self.shared.puller.images().list().await.unwrap_or_default();
        status(&Surroundings {
            facts: &self.shared.facts,
            config: &self.shared.config,
            ips: &self.shared.ips(),
            images: &images,
        })
    }

    async fn register(&mut self, status: &Value, pressure: Pressure, faults: &Faults) -> Result<(), ApiFault> {
        let (api, config) = (self.shared.api.clone(), &self.shared.config);
        let wall = self.shared.clock.wall();
        let mut whole = status.clone();
        whole["conditions"] = json!(conditions(pressure, faults, &self.conditions, wall));
        let body = node(&self.shared.facts, config, &whole);
        let mut rejoins = false;
        let made = match api.create(Kind::Node, None, &body).await {
            Ok(made) => made,
            Err(ApiFault::Exists(_)) => {
                let old = api.get(Kind::Node, None, &config.node_name).await?;
                self.rejoin(&old).await?;
                rejoins = true;
                old
            }
            Err(fault) => return Err(fault),
        };
        let uid = made["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        // A create drops the status; it is written through its own path in any case.
        // What an earlier life said stays said: a transition keeps its time, and only what changed is told.
        let before = made["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let told = if rejoins { before } else { Vec::new() };
        let next = conditions(pressure, faults, &told, wall);
        self.write(status, &next).await?;
        if rejoins {
            self.rebooted(&made);
        }
        self.conditions = told;
        self.told(next);
        self.uid = Some(uid);
        self.shared.registered.store(true, Ordering::Release);
        Ok(())
    }

    /// A Node of an earlier boot tells that it was started anew.
    fn rebooted(&self, old: &Value) {
        let before = old["status"]["nodeInfo"]["bootID"].as_str().unwrap_or_default();
        let boot = &self.shared.facts.boot_id;
        if !before.is_empty() && before != boot {
            let message = format!("Node {} has been rebooted, boot id: {boot}", self.shared.config.node_name);
            self.tell(Level::Warning, "Rebooted", message);
        }
    }

    /// The Node was there before: our labels are put right, and the taints of a node that was away go.
    async fn rejoin(&self, old: &Value) -> Result<(), ApiFault> {
        let mut change = json!({});
        let wanted = labels(&self.shared.facts, &self.shared.config);
        for (key, value) in wanted {
            if old["metadata"]["labels"][&key] != json!(value) {
                change["metadata"]["labels"][&key] = json!(value);
            }
        }
        let taints = old["spec"]["taints"].as_array().cloned().unwrap_or_default();
        let away = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
        let kept: Vec<&Value> = taints.iter().filter(|taint| !away.iter().any(|key| taint["key"] == *key)).collect();
        if kept.len() != taints.len() {
            change["spec"]["taints"] = json!(kept);
        }
        if change == json!({}) {
            return Ok(());
        }
        let name = &self.shared.config.node_name;
        let api = &self.shared.api;
        api.patch(Kind::Node, None, name, None, PatchForm::Merge, &change).await.map(drop)
    }

    async fn write(&mut self, status: &Value, conditions: &[Value]) -> Result<(), ApiFault> {
        let mut body = json!({"status": status});
        body["status"]["conditions"] = json!(conditions);
        // Addresses merge by type, which would keep one that is gone.
        if let Value::Array(addresses) = &mut body["status"]["addresses"] {
            addresses.insert(0, json!({"$patch": "replace"}));
        }
        let name = self.shared.config.node_name.clone();
        let form = PatchForm::Strategic;
        let answer = self.shared.api.patch(Kind::Node, None, &name, Some("status"), form, &body).await;
        if let Err(ApiFault::NotFound(_)) = &answer {
            // Somebody deleted the Node; the next turn registers it again.
            self.uid = None;
        }
        answer.map(drop)
    }

    async fn renew(&mut self) -> Result<(), ApiFault> {
        let (api, config) = (&self.shared.api, &self.shared.config);
        let body = lease(config, self.uid.as_deref(), self.shared.clock.wall());
        if self.leased {
            let change = json!({"spec": body["spec"]});
            let form = PatchForm::Merge;
            let answer = api.patch(Kind::Lease, Some(LEASES), &config.node_name, None, form, &change).await;
            match answer {
                Err(ApiFault::NotFound(_)) => self.leased = false,
                other => return other.map(drop),
            }
        }
        match api.create(Kind::Lease, Some(LEASES), &body).await {
            Ok(_) => self.leased = true,
            Err(ApiFault::Exists(_)) => {
                let form = PatchForm::Merge;
                let change =
                    json!({"metadata": {"ownerReferences": body["metadata"]["ownerReferences"]}, "spec": body["spec"]});
                api.patch(Kind::Lease, Some(LEASES), &config.node_name, None, form, &change).await?;
                self.leased = true;
            }
            Err(fault) => return Err(fault),
        }
        Ok(())
    }
}
