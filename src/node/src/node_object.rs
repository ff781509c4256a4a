//! The Node object of this machine.
//!
//! In: facts, settings, addresses, images, pressure, the time. Out: the object to register, its status, its lease.
//! Pure: `registrar` sends them.

use std::net::IpAddr;
use std::time::SystemTime;

use kedge_api::machine::ImageInfo;
use serde_json::{Map, Value, json};

use crate::config::NodeConfig;
use crate::container::env::Allocatable;
use crate::machine::{MachineFacts, Pressure};
use crate::pod::phase::time;

/// Kubernetes' bound on the images that a Node tells.
const IMAGES: usize = 50;

/// What pods can have.
pub fn allocatable(facts: &MachineFacts, config: &NodeConfig) -> Allocatable {
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    Allocatable {
        cpu_millis: signed(facts.cpu_millis.saturating_sub(config.reserved.cpu_millis)),
        memory: signed(facts.memory_bytes.saturating_sub(config.reserved.memory_bytes)),
        ephemeral_storage: signed(facts.storage_bytes),
    }
}

/// The labels of the Node.
pub fn labels(facts: &MachineFacts, config: &NodeConfig) -> std::collections::BTreeMap<String, String> {
    let mut labels = config.labels.clone();
    for prefix in ["kubernetes.io", "beta.kubernetes.io"] {
        labels.insert(format!("{prefix}/os"), "linux".into());
        labels.insert(format!("{prefix}/arch"), facts.architecture.clone());
    }
    labels.insert("kubernetes.io/hostname".into(), config.node_name.clone());
    labels
}

/// The object to register.
pub fn node(facts: &MachineFacts, config: &NodeConfig, status: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": config.node_name, "labels": labels(facts, config)},
        "spec": {},
        "status": status,
    })
}

/// What a status depends on.
pub struct Surroundings<'a> {
    /// The machine.
    pub facts: &'a MachineFacts,
    /// Settings.
    pub config: &'a NodeConfig,
    /// Addresses, primary first.
    pub ips: &'a [IpAddr],
    /// Images that are here.
    pub images: &'a [ImageInfo],
}

/// The status without conditions: what it says does not depend on the time.
pub fn status(around: &Surroundings<'_>) -> Value {
    let Surroundings { facts, config, .. } = around;
    let room = allocatable(facts, config);
    let kib = |bytes: u64| format!("{}Ki", bytes / 1024);
    let cpu = |millis: u64| match millis % 1000 {
        0 => (millis / 1000).to_string(),
        _ => format!("{millis}m"),
    };
    let resources = |cpu_millis: u64, memory: u64| {
        json!({
            "cpu": cpu(cpu_millis),
            "memory": kib(memory),
            "ephemeral-storage": kib(facts.storage_bytes),
            "pods": config.max_pods.to_string(),
        })
    };
    let mut addresses: Vec<Value> =
        around.ips.iter().map(|ip| json!({"type": "InternalIP", "address": ip.to_string()})).collect();
    addresses.push(json!({"type": "Hostname", "address": config.node_name}));
    json!({
        "capacity": resources(facts.cpu_millis, facts.memory_bytes),
        "allocatable": resources(room.cpu_millis.unsigned_abs(), room.memory.unsigned_abs()),
        "addresses": addresses,
        "nodeInfo": {
            "architecture": facts.architecture,
            "bootID": facts.boot_id,
            "containerRuntimeVersion": config.runtime_version,
            "kernelVersion": facts.kernel,
            "kubeProxyVersion": "",
            "kubeletVersion": config.version,
            "machineID": facts.machine_id,
            "operatingSystem": "linux",
            "osImage": facts.os_image,
            "systemUUID": facts.system_uuid,
        },
        "images": images(around.images),
    })
}

fn images(images: &[ImageInfo]) -> Vec<Value> {
    let mut images: Vec<&ImageInfo> = images.iter().collect();
    images.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.id.cmp(&b.id)));
    images
        .into_iter()
        .take(IMAGES)
        .map(|image| {
            let names: Vec<&String> = image.digests.iter().chain(&image.tags).collect();
            json!({"names": names, "sizeBytes": image.size})
        })
        .collect()
}

/// Why pods cannot run here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// Of the container runtime.
    pub runtime: Option<String>,
    /// Of the pod network.
    pub network: Option<String>,
}

impl Faults {
    /// In Kubernetes' words; nothing if all is well.
    fn told(&self) -> Option<String> {
        let told = |what: &str, reason: &str, fault: &Option<String>| {
            fault.as_ref().map(|fault| format!("container runtime{what}=false reason:{reason} message:{fault}"))
        };
        let runtime = told(" not ready: RuntimeReady", "RuntimeDown", &self.runtime);
        let network = told(" network not ready: NetworkReady", "NetworkPluginNotReady", &self.network);
        match (runtime, network) {
            (Some(runtime), Some(network)) => Some(format!("[{runtime}, {network}]")),
            (one, other) => one.or(other),
        }
    }
}

/// The reasons of the Events that tell how conditions changed; at first all of them are told.
pub fn turns(before: &[Value], after: &[Value]) -> Vec<&'static str> {
    let told = |condition: &&Value| {
        let old = before.iter().find(|old| old["type"] == condition["type"]);
        old.is_none_or(|old| old["status"] != condition["status"])
    };
    let name = |condition: &Value| match (condition["type"].as_str()?, condition["status"] == "True") {
        ("MemoryPressure", true) => Some("NodeHasInsufficientMemory"),
        ("MemoryPressure", false) => Some("NodeHasSufficientMemory"),
        ("DiskPressure", true) => Some("NodeHasDiskPressure"),
        ("DiskPressure", false) => Some("NodeHasNoDiskPressure"),
        ("PIDPressure", true) => Some("NodeHasInsufficientPID"),
        ("PIDPressure", false) => Some("NodeHasSufficientPID"),
        ("Ready", true) => Some("NodeReady"),
        ("Ready", false) => Some("NodeNotReady"),
        _ => None,
    };
    after.iter().filter(told).filter_map(name).collect()
}

/// The conditions; a transition keeps its time while its status stays.
pub fn conditions(pressure: Pressure, faults: &Faults, before: &[Value], wall: SystemTime) -> Vec<Value> {
    let unready = faults.told();
    let row = |short: bool, kind: &'static str, bad: [&'static str; 2], good: [&'static str; 2]| -> (_, _, [&str; 2]) {
        (kind, short, if short { bad } else { good })
    };
    let rows = [
        row(
            pressure.memory,
            "MemoryPressure",
            ["KubeletHasInsufficientMemory", "kubelet has insufficient memory available"],
            ["KubeletHasSufficientMemory", "kubelet has sufficient memory available"],
        ),
        row(
            pressure.disk,
            "DiskPressure",
            ["KubeletHasDiskPressure", "kubelet has disk pressure"],
            ["KubeletHasNoDiskPressure", "kubelet has no disk pressure"],
        ),
        row(
            pressure.processes,
            "PIDPressure",
            ["KubeletHasInsufficientPID", "kubelet has insufficient PID available"],
            ["KubeletHasSufficientPID", "kubelet has sufficient PID available"],
        ),
        match &unready {
            None => ("Ready", true, ["KubeletReady", "kubelet is posting ready status"]),
            Some(message) => ("Ready", false, ["KubeletNotReady", message.as_str()]),
        },
    ];
    let now = json!(time(wall));
    rows.into_iter()
        .map(|(kind, status, [reason, message])| {
            let status = if status { "True" } else { "False" };
            let old = before.iter().find(|old| old["type"] == kind);
            let since = old
                .filter(|old| old["status"] == status)
                .map(|old| old["lastTransitionTime"].clone())
                .filter(|since| !since.is_null());
            json!({
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "lastHeartbeatTime": now,
                "lastTransitionTime": since.unwrap_or_else(|| now.clone()),
            })
        })
        .collect()
}

/// The lease that says that the node lives.
pub fn lease(config: &NodeConfig, node_uid: Option<&str>, wall: SystemTime) -> Value {
    let mut meta = Map::new();
    meta.insert("name".into(), json!(config.node_name));
    meta.insert("namespace".into(), json!(LEASES));
    if let Some(uid) = node_uid {
        let owner = json!([{"apiVersion": "v1", "kind": "Node", "name": config.node_name, "uid": uid}]);
        meta.insert("ownerReferences".into(), owner);
    }
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": meta,
        "spec": {
            "holderIdentity": config.node_name,
            "leaseDurationSeconds": config.lease_duration.as_secs(),
            "renewTime": micro_time(wall),
        },
    })
}

/// The namespace of nodes' leases.
pub const LEASES: &str = "kube-node-lease";

/// RFC 3339 with microseconds.
fn micro_time(wall: SystemTime) -> String {
    let since = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let whole = json!(time(wall));
    let whole = whole.as_str().unwrap_or_default().trim_end_matches('Z');
    format!("{whole}.{:06}Z", since.subsec_micros())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{FakeMachine, image};
    use crate::machine::Machine as _;
    use std::time::Duration;

    fn wall() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_micros(1_767_225_600_000_042)
    }

    #[test]
    fn the_node_tells_what_the_machine_is() {
        let mut config = NodeConfig::new("gw", "/s");
        config.reserved.cpu_millis = 500;
        let facts = FakeMachine::default().facts();
        let around = Surroundings {
            facts: &facts,
            config: &config,
            ips: &["192.0.2.1".parse().unwrap()],
            images: &[image("a:1")],
        };
        let status = status(&around);
        assert_eq!(status["capacity"]["cpu"], "2");
        assert_eq!(status["allocatable"]["cpu"], "1500m");
        assert_eq!(status["capacity"]["memory"], "1048576Ki");
        assert_eq!(status["addresses"][0]["address"], "192.0.2.1");
        assert_eq!(status["images"][0]["names"][1], "a:1");
        let node = node(&facts, &config, &status);
        assert_eq!(node["metadata"]["labels"]["kubernetes.io/hostname"], "gw");
    }

    #[test]
    fn transitions_keep_their_time_while_nothing_changes() {
        let first = conditions(Pressure::default(), &Faults::default(), &[], wall());
        let later = wall() + Duration::from_secs(60);
        let disk = Pressure { disk: true, ..Pressure::default() };
        let second = conditions(disk, &Faults::default(), &first, later);
        let find = |kind: &str| second.iter().find(|c| c["type"] == kind).unwrap();
        assert_eq!(find("Ready")["lastTransitionTime"], "2026-01-01T00:00:00Z");
        assert_eq!(find("Ready")["lastHeartbeatTime"], "2026-01-01T00:01:00Z");
        assert_eq!(find("DiskPressure")["lastTransitionTime"], "2026-01-01T00:01:00Z");
        assert_eq!(find("DiskPressure")["reason"], "KubeletHasDiskPressure");
        assert_eq!(turns(&first, &second), ["NodeHasDiskPressure"]);
        let all = ["NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasSufficientPID", "NodeReady"];
        assert_eq!(turns(&[], &first), all);
    }

    #[test]
    fn a_node_without_runtime_or_network_is_not_ready() {
        let faults = |runtime: Option<&str>, network: Option<&str>| Faults {
            runtime: runtime.map(str::to_owned),
            network: network.map(str::to_owned),
        };
        let runtime = "container runtime not ready: RuntimeReady=false reason:RuntimeDown message:r";
        let network = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:n";
        for (faults, message) in [
            (faults(Some("r"), None), runtime.to_owned()),
            (faults(None, Some("n")), network.to_owned()),
            (faults(Some("r"), Some("n")), format!("[{runtime}, {network}]")),
        ] {
            let all = conditions(Pressure::default(), &faults, &[], wall());
            let ready = all.last().unwrap();
            assert_eq!((&ready["type"], &ready["status"]), (&json!("Ready"), &json!("False")));
            assert_eq!((&ready["reason"], &ready["message"]), (&json!("KubeletNotReady"), &json!(message)));
            assert_eq!(turns(&[], &all).last(), Some(&"NodeNotReady"));
        }
    }

    #[test]
    fn the_lease_has_microseconds_and_an_owner() {
        let config = NodeConfig::new("gw", "/s");
        let lease = lease(&config, Some("u"), wall());
        assert_eq!(lease["spec"]["renewTime"], "2026-01-01T00:00:00.000042Z");
        assert_eq!(lease["spec"]["leaseDurationSeconds"], 40);
        assert_eq!(lease["metadata"]["ownerReferences"][0]["uid"], "u");
    }
}
