//! How much an object counts.
//!
//! In: group and plural of the kind as it is kept, an object, the time. Out: amounts by the quota's names for them.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::Value;

use crate::Object;
use crate::clock;
use crate::meta::{self, at, bool_at, int_at, list_at, text, text_at};
use crate::name;
use crate::quantity::{Format, Quantity};
use crate::resources::{self, Amounts, Counting, Half};

const ONE: Quantity = Quantity::whole(1, Format::DecimalSi);
const BY_CLASS: &str = ".storageclass.storage.k8s.io/";
const BY_DEVICE_CLASS: &str = ".deviceclass.resource.k8s.io/devices";
const IMPLICIT_DEVICES: &str = "requests.deviceclass.resource.kubernetes.io/";
/// A claim for all devices of a class gets at most this many.
const ALL_DEVICES: i64 = 32;
/// Kinds of the core group that are also counted under their plural alone.
const OLD_NAMES: [&str; 4] = ["configmaps", "resourcequotas", "replicationcontrollers", "secrets"];
/// What of a pod is counted under two names: `cpu` and `requests.cpu`.
const COMPUTE: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// `count/pods`, `count/deployments.apps`.
pub fn count_name(group: &str, plural: &str) -> String {
    format!("count/{}", crate::kinds::group_resource(plural, group))
}

/// What the object counts.
pub fn usage(group: &str, plural: &str, object: &Object, now: SystemTime) -> Amounts {
    let mut all = Amounts::from([(count_name(group, plural), ONE)]);
    match (group, plural) {
        ("", "pods") if counts(object, now) => pod(object, &mut all),
        ("", "pods") => {}
        ("", "services") => service(object, &mut all),
        ("", "persistentvolumeclaims") => claim(object, &mut all),
        ("resource.k8s.io", "resourceclaims") => devices(object, &mut all),
        ("", plural) if OLD_NAMES.contains(&plural) => {
            all.insert(plural.to_owned(), ONE);
        }
        _ => {}
    }
    all
}

/// Whether a quota's resource of that name is about that kind.
pub fn is_tracked(group: &str, plural: &str, name: &str) -> bool {
    if name == count_name(group, plural) {
        return true;
    }
    match (group, plural) {
        ("", "pods") => {
            let plain = ["", "requests.", "limits."]
                .iter()
                .any(|prefix| name.strip_prefix(prefix).is_some_and(|resource| COMPUTE.contains(&resource)));
            let pages = ["hugepages-", "requests.hugepages-"].iter().any(|prefix| name.starts_with(prefix));
            name == "pods" || plain || pages || is_extended_request(name)
        }
        ("", "services") => matches!(name, "services" | "services.nodeports" | "services.loadbalancers"),
        ("", "persistentvolumeclaims") => ["persistentvolumeclaims", "requests.storage"].iter().any(|resource| {
            name == *resource || name.strip_suffix(resource).is_some_and(|class| class.ends_with(BY_CLASS))
        }),
        ("resource.k8s.io", "resourceclaims") => name.ends_with(BY_DEVICE_CLASS) || name.starts_with(IMPLICIT_DEVICES),
        ("", plural) => OLD_NAMES.contains(&plural) && name == plural,
        _ => false,
    }
}

/// `requests.example.com/gpu`.
fn is_extended_request(name: &str) -> bool {
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    name.starts_with("requests.") && (!native || name.starts_with(IMPLICIT_DEVICES))
}

/// `example.com/gpu`, or a device class by its implicit name.
fn is_extended(name: &str) -> bool {
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    let own = !native && !name.starts_with("requests.") && name::check_qualified(&format!("requests.{name}")).is_ok();
    own || name.starts_with("deviceclass.resource.kubernetes.io/")
}

/// A pod that has ended, or should have by the end of its grace, uses nothing.
fn counts(pod: &Object, now: SystemTime) -> bool {
    if matches!(text_at(pod, &["status", "phase"]), "Failed" | "Succeeded") {
        return false;
    }
    let (Some(marked), Some(grace)) = (meta::deletion_timestamp(pod), meta::deletion_grace_period(pod)) else {
        return true;
    };
    clock::seconds_since(now, marked).is_none_or(|seconds| seconds <= grace)
}

fn pod(pod: &Object, all: &mut Amounts) {
    let counting = Counting { overhead: true, status: true };
    all.extend(compute(
        &resources::of_pod(pod, Half::Requests, counting),
        &resources::of_pod(pod, Half::Limits, counting),
    ));
}

/// Requests and limits by a quota's names, and one pod.
pub(super) fn compute(requests: &Amounts, limits: &Amounts) -> Amounts {
    let mut all = Amounts::from([("pods".to_owned(), ONE)]);
    for (name, amount) in requests {
        let compute = COMPUTE.contains(&name.as_str());
        let pages = name.starts_with("hugepages-");
        if compute || pages {
            all.insert(name.clone(), *amount);
        }
        if compute || pages || is_extended(name) {
            all.insert(format!("requests.{name}"), *amount);
        }
    }
    for (name, amount) in limits.iter().filter(|(name, _)| COMPUTE.contains(&name.as_str())) {
        all.insert(format!("limits.{name}"), *amount);
    }
    all
}

fn service(service: &Object, all: &mut Amounts) {
    let ports = list_at(service, &["spec", "ports"]);
    let count = |number: usize| Quantity::whole(i64::try_from(number).unwrap_or(i64::MAX), Format::DecimalSi);
    let given = || ports.iter().filter(|port| int_at(port, &["nodePort"]).unwrap_or(0) != 0).count();
    let balances = text_at(service, &["spec", "type"]) == "LoadBalancer";
    let wants_none = at(service, &["spec", "allocateLoadBalancerNodePorts"]) == Some(&Value::Bool(false));
    let node_ports = match text_at(service, &["spec", "type"]) {
        "NodePort" => ports.len(),
        "LoadBalancer" if wants_none => given(),
        "LoadBalancer" => ports.len(),
        _ => 0,
    };
    all.insert("services".to_owned(), ONE);
    all.insert("services.nodeports".to_owned(), count(node_ports));
    all.insert("services.loadbalancers".to_owned(), count(usize::from(balances)));
}

fn claim(claim: &Object, all: &mut Amounts) {
    let class = match meta::annotation(claim, "volume.beta.kubernetes.io/storage-class") {
        Some(class) => class,
        None => text_at(claim, &["spec", "storageClassName"]),
    };
    let size = |path: &[&str]| at(claim, path).and_then(|size| Quantity::from_json(size).ok());
    let asked = size(&["spec", "resources", "requests", "storage"]);
    let allocated = size(&["status", "allocatedResources", "storage"]);
    let storage = asked.map(|asked| allocated.map_or(asked, |given| asked.max(given))).map(whole);
    let mut put = |name: &str, amount: Quantity| {
        all.insert(name.to_owned(), amount);
        if !class.is_empty() {
            all.insert(format!("{class}{BY_CLASS}{name}"), amount);
        }
    };
    put("persistentvolumeclaims", ONE);
    if let Some(storage) = storage {
        put("requests.storage", storage);
    }
}

/// Rounded up to whole units.
fn whole(amount: Quantity) -> Quantity {
    if amount.is_whole() { amount } else { Quantity::whole(amount.value(), amount.format()) }
}

/// Devices by class; of alternatives the most that one of them may take.
fn devices(claim: &Object, all: &mut Amounts) {
    let count = |request: &Value| match text(request, "allocationMode") {
        "All" => ALL_DEVICES,
        "ExactCount" | "" => {
            int_at(request, &["count"]).unwrap_or(if bool_at(request, &["adminAccess"]) { 0 } else { 1 })
        }
        _ => 0,
    };
    for request in list_at(claim, &["spec", "devices", "requests"]) {
        let mut most: BTreeMap<&str, i64> = BTreeMap::new();
        let alternatives = list_at(request, &["firstAvailable"]);
        for one in alternatives.iter().chain(at(request, &["exactly"]).filter(|_| alternatives.is_empty())) {
            let entry = most.entry(text(one, "deviceClassName")).or_default();
            *entry = (*entry).max(count(one));
        }
        for (class, number) in most {
            let amount = Quantity::whole(number, Format::DecimalSi);
            let more = Amounts::from([
                (format!("{class}{BY_DEVICE_CLASS}"), amount),
                (format!("{IMPLICIT_DEVICES}{class}"), amount),
            ]);
            resources::add(all, &more);
        }
    }
}
