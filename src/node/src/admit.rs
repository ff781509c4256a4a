//! Whether this node takes a pod that is bound to it.
//!
//! In: the pod, the pods that are here, what the node can give. Out: nothing, or the reason for which the pod fails.
//! Pure. The scheduler has looked before; this is for what it could not know.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{AppArmorProfile, Container, Pod};

use crate::container::env::Allocatable;
use crate::container::limits::{cpu_request, memory_request, total};
use crate::pod::observed::Reason;
use crate::pod::{members, spec};

/// What the node can give.
pub struct Room<'a> {
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
    /// Its allocatable resources.
    pub allocatable: Allocatable,
    /// Most pods.
    pub max_pods: u32,
}

fn localhost(profile: Option<&AppArmorProfile>) -> bool {
    profile.is_some_and(|profile| profile.type_ == "Localhost")
}

/// Whether a container is to run under a profile of AppArmor, which this node does not have.
pub fn wants_app_armor(container: &Container) -> bool {
    localhost(container.security_context.as_ref().and_then(|context| context.app_armor_profile.as_ref()))
}

/// The reason for which a pod is refused.
pub fn refuse<'a>(pod: &Pod, here: impl Iterator<Item = &'a Pod> + Clone, room: &Room<'_>) -> Option<Reason> {
    let words = spec(pod);
    if words.os.as_ref().is_some_and(|os| os.name != "linux") {
        return Some(Reason::new("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"));
    }
    let shared = words.security_context.as_ref().and_then(|context| context.app_armor_profile.as_ref());
    if localhost(shared) || members(pod).iter().any(|member| wants_app_armor(member.container)) {
        return Some(Reason::new("AppArmor", "Cannot enforce AppArmor: AppArmor is not supported by this node"));
    }
    let selected = words.node_selector.iter().flatten().all(|(key, value)| room.labels.get(key) == Some(value));
    if !selected {
        return Some(Reason::new(
            "NodeAffinity",
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
        ));
    }
    let count = here.clone().count() as i64;
    let most = i64::from(room.max_pods);
    let rows = [
        ("pods", 1, count, most),
        (
            "cpu",
            total(pod, cpu_request),
            here.clone().map(|other| total(other, cpu_request)).sum(),
            room.allocatable.cpu_millis,
        ),
        (
            "memory",
            total(pod, memory_request),
            here.map(|other| total(other, memory_request)).sum(),
            room.allocatable.memory,
        ),
    ];
    for (name, asked, used, capacity) in rows {
        if asked > 0 && asked > capacity - used {
            return Some(Reason::new(
                format!("OutOf{name}"),
                format!(
                    "Node didn't have enough resource: {name}, requested: {asked}, used: {used}, capacity: {capacity}"
                ),
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(cpu: &str, memory: &str) -> Pod {
        serde_json::from_value(json!({"spec": {"containers": [
            {"name": "a", "resources": {"requests": {"cpu": cpu, "memory": memory}}}]}}))
        .unwrap()
    }

    #[track_caller]
    fn check(pod: &Pod, here: &[Pod], want: Option<&str>) {
        let labels = BTreeMap::from([("disk".to_owned(), "ssd".to_owned())]);
        let room = Room {
            labels: &labels,
            allocatable: Allocatable { cpu_millis: 2000, memory: 1 << 30, ephemeral_storage: 0 },
            max_pods: 3,
        };
        let reason = refuse(pod, here.iter(), &room);
        assert_eq!(reason.map(|reason| reason.reason).as_deref(), want);
    }

    #[test]
    fn what_fits_is_taken() {
        check(&pod("1", "512Mi"), &[pod("1", "512Mi")], None);
        check(&pod("1", "1Mi"), &[pod("1500m", "1Mi")], Some("OutOfcpu"));
        check(&pod("1", "600Mi"), &[pod("1", "512Mi")], Some("OutOfmemory"));
        check(&pod("0", "0"), &[pod("0", "0"), pod("0", "0"), pod("0", "0")], Some("OutOfpods"));
    }

    #[test]
    fn the_selector_must_fit() {
        let with = |selector: Value| -> Pod {
            serde_json::from_value(json!({"spec": {"containers": [], "nodeSelector": selector}})).unwrap()
        };
        check(&with(json!({"disk": "ssd"})), &[], None);
        check(&with(json!({"disk": "hdd"})), &[], Some("NodeAffinity"));
    }
}
