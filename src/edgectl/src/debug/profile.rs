//! Profiles of debug containers.
//!
//! In: a profile, a container or a pod of a node. Out: what each may do, as kubectl's profiles of those names have it.

use serde_json::{Map, Value, json};

use crate::args::Profile;

/// Gives a container what its profile lets it do; on a node the general one gives nothing, for the pod has it.
pub fn container(profile: Profile, on_node: bool, container: &mut Map<String, Value>) {
    let context = match profile {
        Profile::General if !on_node => json!({"capabilities": {"add": ["SYS_PTRACE"]}}),
        Profile::General | Profile::Legacy | Profile::Baseline => return,
        Profile::Restricted => json!({
            "allowPrivilegeEscalation": false, "runAsNonRoot": true, "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }),
        Profile::Netadmin => json!({"capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}}),
        Profile::Sysadmin => json!({"privileged": true}),
    };
    let held = container.entry("securityContext").or_insert_with(|| json!({}));
    if !held.is_object() {
        *held = json!({});
    }
    for (key, value) in context.as_object().into_iter().flatten() {
        held[key] = value.clone();
    }
}

/// Whether a pod on a node sees the node's own processes and network.
pub fn sees_node(profile: Profile) -> bool {
    !matches!(profile, Profile::Baseline | Profile::Restricted)
}

/// Whether it sees the node's files, below `/host`.
pub fn sees_files(profile: Profile) -> bool {
    sees_node(profile) && profile != Profile::Netadmin
}
