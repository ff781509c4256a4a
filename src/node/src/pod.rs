//! One pod on this machine: who it is, what it consists of, and what follows from its words alone.
//!
//! In: the Pod as the API gave it. Out: names, members in starting order, quality of service, policies. Nothing here
//! knows what runs.

pub(crate) mod backoff;
pub(crate) mod observed;
pub(crate) mod phase;
pub(crate) mod plan;
pub(crate) mod record;
pub(crate) mod status;
pub(crate) mod worker;

use std::borrow::Cow;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod, PodSpec};

use crate::amount;

/// A pod's names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodId {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID: which of all pods that ever had this name.
    pub uid: String,
}

impl PodId {
    /// A pod's names; `None` if one is missing, which the API server never allows.
    pub fn of(pod: &Pod) -> Option<Self> {
        Some(Self {
            namespace: pod.metadata.namespace.clone()?,
            name: pod.metadata.name.clone()?,
            uid: pod.metadata.uid.clone()?,
        })
    }

    /// `name_namespace(uid)`, as Kubernetes writes it in messages.
    pub fn long(&self) -> String {
        format!("{}_{}({})", self.name, self.namespace, self.uid)
    }

    /// The name of its folder.
    pub fn folder(&self) -> String {
        format!("{}_{}_{}", self.namespace, self.name, self.uid)
    }

    /// The names in a folder's name.
    pub fn from_folder(folder: &str) -> Option<Self> {
        let mut parts = folder.split('_');
        let id = Self { namespace: parts.next()?.into(), name: parts.next()?.into(), uid: parts.next()?.into() };
        (parts.next().is_none() && !id.uid.is_empty()).then_some(id)
    }
}

/// What a container is to its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Runs to its end before the next one starts.
    Init,
    /// An init container that is restarted always and lives beside the others.
    Sidecar,
    /// What the pod is for.
    App,
    /// Put in while the pod runs, to look at it: started once, and of no account for how the pod is doing.
    Ephemeral,
}

/// A container with its role.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Role.
    pub role: Role,
    /// Its words.
    pub container: &'a Container,
}

/// A container with its role, whatever list of the pod it is in.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// Role.
    pub role: Role,
    /// Its words: the pod's own, or made of those of an ephemeral container.
    pub container: Cow<'a, Container>,
}

impl<'a> From<Member<'a>> for Found<'a> {
    fn from(member: Member<'a>) -> Found<'a> {
        Found { role: member.role, container: Cow::Borrowed(member.container) }
    }
}

impl Found<'_> {
    /// The same, to be asked about.
    pub fn member(&self) -> Member<'_> {
        Member { role: self.role, container: &self.container }
    }
}

/// Every container in starting order, but for ephemeral ones: those say nothing of how the pod is doing.
pub fn members(pod: &Pod) -> Vec<Member<'_>> {
    let Some(spec) = &pod.spec else {
        return Vec::new();
    };
    let init = spec.init_containers.iter().flatten().map(|container| {
        let sidecar = container.restart_policy.as_deref() == Some("Always");
        Member { role: if sidecar { Role::Sidecar } else { Role::Init }, container }
    });
    let apps = spec.containers.iter().map(|container| Member { role: Role::App, container });
    init.chain(apps).collect()
}

/// The container of that name, also if it is ephemeral.
pub fn member<'a>(pod: &'a Pod, name: &str) -> Option<Found<'a>> {
    let found = members(pod).into_iter().find(|member| member.container.name == name);
    found.map(Found::from).or_else(|| ephemeral(pod).iter().find(|one| one.name == name).map(as_container))
}

/// The ephemeral containers, in the order in which they came.
pub fn ephemeral(pod: &Pod) -> &[EphemeralContainer] {
    spec(pod).ephemeral_containers.as_deref().unwrap_or_default()
}

/// Every container of the pod, the ephemeral ones last.
pub fn everyone(pod: &Pod) -> Vec<Found<'_>> {
    members(pod).into_iter().map(Found::from).chain(ephemeral(pod).iter().map(as_container)).collect()
}

/// An ephemeral container's words as any other's; what such a one may not have is left out.
fn as_container(one: &EphemeralContainer) -> Found<'_> {
    let one = one.clone();
    let container = Container {
        name: one.name,
        image: one.image,
        image_pull_policy: one.image_pull_policy,
        command: one.command,
        args: one.args,
        working_dir: one.working_dir,
        env: one.env,
        env_from: one.env_from,
        security_context: one.security_context,
        volume_mounts: one.volume_mounts,
        volume_devices: one.volume_devices,
        termination_message_path: one.termination_message_path,
        termination_message_policy: one.termination_message_policy,
        stdin: one.stdin,
        stdin_once: one.stdin_once,
        tty: one.tty,
        ..Container::default()
    };
    Found { role: Role::Ephemeral, container: Cow::Owned(container) }
}

/// The spec, or an empty one.
pub fn spec(pod: &Pod) -> &PodSpec {
    static EMPTY: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);
    pod.spec.as_ref().unwrap_or(&EMPTY)
}

/// When a container that ended is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Whatever the code.
    Always,
    /// When the code is not 0.
    OnFailure,
    /// Not.
    Never,
}

impl RestartPolicy {
    fn parse(text: Option<&str>) -> Self {
        match text {
            Some("Never") => Self::Never,
            Some("OnFailure") => Self::OnFailure,
            _ => Self::Always,
        }
    }

    /// The pod's own.
    pub fn of_pod(pod: &Pod) -> Self {
        Self::parse(spec(pod).restart_policy.as_deref())
    }
}

/// Whether a member that ended with `code` is to be started again.
pub fn restarts(pod: &Pod, member: Member<'_>, code: i32) -> bool {
    if member.role == Role::Ephemeral {
        return false;
    }
    for rule in member.container.restart_policy_rules.iter().flatten() {
        let Some(codes) = &rule.exit_codes else {
            continue;
        };
        let listed = codes.values.iter().flatten().any(|value| *value == code);
        let fits = match codes.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        };
        if fits {
            return rule.action == "Restart";
        }
    }
    let own = member.container.restart_policy.as_deref();
    let policy = match (own, member.role) {
        (Some(_), _) => RestartPolicy::parse(own),
        (None, _) => RestartPolicy::of_pod(pod),
    };
    match (member.role, policy) {
        (Role::Sidecar, _) => true,
        (_, RestartPolicy::Never) => false,
        (Role::App, RestartPolicy::Always) => true,
        (_, RestartPolicy::OnFailure | RestartPolicy::Always) => code != 0,
    }
}

/// Quality of service, by Kubernetes' names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qos {
    /// Limits equal requests for CPU and memory, everywhere.
    Guaranteed,
    /// Something is requested or limited.
    Burstable,
    /// Nothing is.
    BestEffort,
}

impl Qos {
    /// Kubernetes' name.
    pub fn name(self) -> &'static str {
        match self {
            Qos::Guaranteed => "Guaranteed",
            Qos::Burstable => "Burstable",
            Qos::BestEffort => "BestEffort",
        }
    }

    /// A pod's class.
    pub fn of(pod: &Pod) -> Self {
        let mut any = false;
        let mut all_equal = true;
        let pod_level = spec(pod).resources.as_ref();
        let of_members: Vec<_> = match pod_level {
            Some(resources) if resources.limits.is_some() || resources.requests.is_some() => {
                vec![Some(resources)]
            }
            _ => members(pod).into_iter().map(|member| member.container.resources.as_ref()).collect(),
        };
        for resources in of_members {
            for name in ["cpu", "memory"] {
                let limit = amount::millis_of(resources.and_then(|all| all.limits.as_ref()), name);
                let request = match resources.and_then(|all| all.requests.as_ref()) {
                    Some(list) if list.contains_key(name) => amount::millis_of(Some(list), name),
                    _ => limit,
                };
                any |= limit > 0 || request > 0;
                all_equal &= limit > 0 && limit == request;
            }
        }
        match (any, all_equal) {
            (false, _) => Qos::BestEffort,
            (true, true) => Qos::Guaranteed,
            (true, false) => Qos::Burstable,
        }
    }
}

/// How long the pod may take to end, least one second.
pub fn grace(pod: &Pod) -> Duration {
    let seconds = pod
        .metadata
        .deletion_timestamp
        .as_ref()
        .and(pod.metadata.deletion_grace_period_seconds)
        .or(spec(pod).termination_grace_period_seconds)
        .unwrap_or(30);
    Duration::from_secs(seconds.max(1) as u64)
}

/// A fingerprint of the part of a container whose change restarts it: name and image, as in Kubernetes.
pub fn fingerprint(container: &Container) -> u64 {
    let text = [container.name.as_bytes(), &[0], container.image.as_deref().unwrap_or_default().as_bytes()];
    // FNV-1a, 64 bits: stable over versions, which the standard library's hasher is not.
    text.concat()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(spec: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap()
    }

    #[track_caller]
    fn qos(containers: Value, want: Qos) {
        assert_eq!(Qos::of(&pod(json!({"containers": containers}))), want);
    }

    #[test]
    fn quality_of_service_follows_requests_and_limits() {
        qos(json!([{"name": "a"}]), Qos::BestEffort);
        qos(json!([{"name": "a", "resources": {"requests": {"cpu": "1"}}}]), Qos::Burstable);
        qos(json!([{"name": "a", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}]), Qos::Guaranteed);
        qos(
            json!([{"name": "a", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}}]),
            Qos::Burstable,
        );
        qos(
            json!([{"name": "a", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}, {"name": "b"}]),
            Qos::Burstable,
        );
    }

    #[track_caller]
    fn restart(policy: &str, role: &str, code: i32, want: bool) {
        let pod = match role {
            "app" => pod(json!({"restartPolicy": policy, "containers": [{"name": "a"}]})),
            "init" => pod(json!({"restartPolicy": policy, "initContainers": [{"name": "a"}], "containers": []})),
            "ephemeral" => {
                pod(json!({"restartPolicy": policy, "containers": [], "ephemeralContainers": [{"name": "a"}]}))
            }
            _ => pod(
                json!({"restartPolicy": policy, "initContainers": [{"name": "a", "restartPolicy": "Always"}], "containers": []}),
            ),
        };
        let found = member(&pod, "a").unwrap();
        assert_eq!(restarts(&pod, found.member(), code), want, "{policy} {role} {code}");
    }

    #[test]
    fn who_is_started_again() {
        restart("Always", "app", 0, true);
        restart("Always", "app", 1, true);
        restart("OnFailure", "app", 0, false);
        restart("OnFailure", "app", 1, true);
        restart("Never", "app", 1, false);
        restart("Always", "init", 0, false);
        restart("Always", "init", 1, true);
        restart("Never", "init", 1, false);
        restart("Never", "sidecar", 0, true);
        restart("Always", "ephemeral", 0, false);
        restart("Always", "ephemeral", 1, false);
    }

    #[test]
    fn a_rule_of_the_container_goes_before_its_policy() {
        let pod = pod(json!({"restartPolicy": "Never", "containers": [{"name": "a", "restartPolicy": "Never",
            "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]}]}));
        let found = member(&pod, "a").unwrap();
        assert!(restarts(&pod, found.member(), 42));
        assert!(!restarts(&pod, found.member(), 1));
    }

    #[test]
    fn a_folder_name_leads_back_to_the_pod() {
        let id = PodId { namespace: "default".into(), name: "web-1".into(), uid: "u-1".into() };
        assert_eq!(PodId::from_folder(&id.folder()), Some(id));
        assert_eq!(PodId::from_folder("lost+found"), None);
    }
}
