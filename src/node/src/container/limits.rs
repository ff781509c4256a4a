//! Requests and limits as cgroup settings.
//!
//! In: containers' resources. Out: shares, quotas, limits for a container and for its pod, and `oom_score_adj`, by
//! Kubernetes' arithmetic. Pure.

use k8s_openapi::api::core::v1::{Container, Pod};
use kedge_api::machine::Resources;

use crate::amount::{millis_of, units_of};
use crate::pod::{Qos, Role, members, spec};

/// CFS period in microseconds.
const PERIOD: i64 = 100_000;
/// The kernel refuses smaller quotas.
const LEAST_QUOTA: i64 = 1000;
/// The kernel refuses fewer shares.
const LEAST_SHARES: i64 = 2;
/// The kernel refuses more shares.
const MOST_SHARES: i64 = 262_144;

/// A container's own cgroup.
pub fn container(container: &Container) -> Resources {
    let limits = container.resources.as_ref().and_then(|r| r.limits.as_ref());
    let memory = units_of(limits, "memory");
    let cpu = millis_of(limits, "cpu");
    Resources {
        cpu_shares: Some(shares(cpu_request(container))),
        cpu_quota: (cpu > 0).then(|| quota(cpu)),
        cpu_period: (cpu > 0).then_some(PERIOD as u64),
        memory_limit: (memory > 0).then_some(memory),
        pids_limit: None,
    }
}

/// The cgroup around all containers of a pod. Init containers run one after the other: the largest counts.
pub fn pod(pod: &Pod) -> Resources {
    let level = spec(pod).resources.as_ref();
    let all_limited = |name: &str| {
        members(pod).iter().all(|member| {
            let limits = member.container.resources.as_ref();
            millis_of(limits.and_then(|r| r.limits.as_ref()), name) > 0
        })
    };
    let pod_limits = level.and_then(|resources| resources.limits.as_ref());
    let cpu = match millis_of(pod_limits, "cpu") {
        0 if all_limited("cpu") => {
            total(pod, |c| millis_of(c.resources.as_ref().and_then(|r| r.limits.as_ref()), "cpu"))
        }
        own => own,
    };
    let memory = match units_of(pod_limits, "memory") {
        0 if all_limited("memory") => {
            total(pod, |c| units_of(c.resources.as_ref().and_then(|r| r.limits.as_ref()), "memory"))
        }
        own => own,
    };
    let pod_requests = level.and_then(|resources| resources.requests.as_ref());
    let requested = match millis_of(pod_requests, "cpu") {
        0 => total(pod, cpu_request),
        own => own,
    };
    Resources {
        cpu_shares: Some(shares(requested)),
        cpu_quota: (cpu > 0).then(|| quota(cpu)),
        cpu_period: (cpu > 0).then_some(PERIOD as u64),
        memory_limit: (memory > 0).then_some(memory),
        pids_limit: None,
    }
}

/// What a pod takes: apps and sidecars together, or the largest init container beside the sidecars before it.
pub fn total(pod: &Pod, of: impl Fn(&Container) -> i64) -> i64 {
    let mut sidecars = 0i64;
    let mut peak = 0i64;
    let mut apps = 0i64;
    for member in members(pod) {
        let own = of(member.container);
        match member.role {
            Role::Init => peak = peak.max(sidecars.saturating_add(own)),
            Role::Sidecar => {
                sidecars = sidecars.saturating_add(own);
                peak = peak.max(sidecars);
            }
            Role::App => apps = apps.saturating_add(own),
            // It takes from what the others have.
            Role::Ephemeral => {}
        }
    }
    peak.max(apps.saturating_add(sidecars))
}

/// What a container asks for; a limit alone counts as its request.
pub fn cpu_request(container: &Container) -> i64 {
    request(container, "cpu")
}

/// The same for memory, in bytes.
pub fn memory_request(container: &Container) -> i64 {
    request(container, "memory")
}

fn request(container: &Container, name: &str) -> i64 {
    let Some(resources) = &container.resources else {
        return 0;
    };
    let read = match name {
        "cpu" => millis_of,
        _ => units_of,
    };
    match &resources.requests {
        Some(requests) if requests.contains_key(name) => read(Some(requests), name),
        _ => read(resources.limits.as_ref(), name),
    }
}

fn shares(millis: i64) -> u64 {
    let shares = millis.saturating_mul(1024) / 1000;
    shares.clamp(LEAST_SHARES, MOST_SHARES).unsigned_abs()
}

fn quota(millis: i64) -> i64 {
    (millis.saturating_mul(PERIOD) / 1000).max(LEAST_QUOTA)
}

/// A priority from which a pod counts as critical for the node.
const CRITICAL: i32 = 2_000_000_000;

/// Whether the node does without anything else before it does without this pod.
pub fn is_critical(pod: &Pod) -> bool {
    spec(pod).priority.is_some_and(|priority| priority >= CRITICAL)
}

/// The kernel's badness offset for a container's processes.
pub fn oom_score_adj(pod: &Pod, container: &Container, qos: Qos, machine_memory: i64) -> i32 {
    if is_critical(pod) {
        return -997;
    }
    match qos {
        Qos::Guaranteed => -997,
        Qos::BestEffort => 1000,
        Qos::Burstable => {
            let asked = i128::from(memory_request(container));
            let score = 1000 - 1000 * asked / i128::from(machine_memory.max(1));
            i32::try_from(score.clamp(3, 999)).unwrap_or(999)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod_of(spec: Value) -> Pod {
        serde_json::from_value(json!({"spec": spec})).unwrap()
    }

    #[track_caller]
    fn check(resources: Value, want: (u64, Option<i64>, Option<i64>)) {
        let made = container(&serde_json::from_value(json!({"name": "a", "resources": resources})).unwrap());
        assert_eq!((made.cpu_shares.unwrap(), made.cpu_quota, made.memory_limit), want);
    }

    #[test]
    fn containers() {
        check(json!({}), (2, None, None));
        check(json!({"requests": {"cpu": "500m"}}), (512, None, None));
        check(json!({"limits": {"cpu": "250m", "memory": "64Mi"}}), (256, Some(25_000), Some(64 << 20)));
        check(json!({"limits": {"cpu": "1m"}}), (2, Some(1000), None));
    }

    #[test]
    fn a_pod_is_bounded_only_when_all_its_containers_are() {
        let one = json!({"name": "a", "resources": {"limits": {"cpu": "1", "memory": "10Mi"}}});
        let both = pod(&pod_of(json!({"containers": [one, one]})));
        assert_eq!(both.cpu_quota, Some(200_000));
        assert_eq!(both.memory_limit, Some(20 << 20));
        let half = pod(&pod_of(json!({"containers": [one, {"name": "b"}]})));
        assert_eq!((half.cpu_quota, half.memory_limit), (None, None));
        assert_eq!(half.cpu_shares, Some(1024));
    }

    #[test]
    fn init_containers_count_by_the_largest() {
        let pod = pod_of(json!({
            "initContainers": [
                {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}},
                {"name": "i", "resources": {"requests": {"cpu": "5"}}}],
            "containers": [{"name": "a", "resources": {"requests": {"cpu": "2"}}}]}));
        assert_eq!(total(&pod, cpu_request), 6000);
    }

    #[test]
    fn badness_follows_quality_of_service() {
        let pod = pod_of(json!({"containers": [{"name": "a", "resources": {"requests": {"memory": "250Mi"}}}]}));
        let container = &pod.spec.as_ref().unwrap().containers[0];
        let adj = |qos| oom_score_adj(&pod, container, qos, 1000 << 20);
        assert_eq!(adj(Qos::Guaranteed), -997);
        assert_eq!(adj(Qos::Burstable), 750);
        assert_eq!(adj(Qos::BestEffort), 1000);
    }
}
