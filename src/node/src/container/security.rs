//! Who a container runs as and what it may do.
//!
//! In: security contexts of pod and container, the image's user. Out: user text for the image store, groups,
//! capabilities and filters. Pure.

use std::path::Path;

use k8s_openapi::api::core::v1::{Container, Pod};
use kedge_api::machine::{DEFAULT_CAPABILITIES, Seccomp, Security, User};

use crate::pod::observed::Reason;
use crate::pod::{PodId, spec};
use crate::volume::stays_inside;

/// Every capability of Linux 5.9 and later.
const ALL: [&str; 41] = [
    "CAP_AUDIT_CONTROL",
    "CAP_AUDIT_READ",
    "CAP_AUDIT_WRITE",
    "CAP_BLOCK_SUSPEND",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_KILL",
    "CAP_LEASE",
    "CAP_LINUX_IMMUTABLE",
    "CAP_MAC_ADMIN",
    "CAP_MAC_OVERRIDE",
    "CAP_MKNOD",
    "CAP_NET_ADMIN",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_RAW",
    "CAP_PERFMON",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYSLOG",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_CHROOT",
    "CAP_SYS_MODULE",
    "CAP_SYS_NICE",
    "CAP_SYS_PACCT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_WAKE_ALARM",
];

/// What a container may do.
pub fn security(pod: &Pod, container: &Container, profiles: &Path) -> Security {
    let context = container.security_context.as_ref();
    let privileged = context.and_then(|c| c.privileged) == Some(true);
    let unmasked = context.and_then(|c| c.proc_mount.as_deref()) == Some("Unmasked");
    let profile = context
        .and_then(|c| c.seccomp_profile.as_ref())
        .or_else(|| spec(pod).security_context.as_ref()?.seccomp_profile.as_ref());
    let seccomp = match profile.map(|profile| profile.type_.as_str()) {
        _ if privileged => Seccomp::Unconfined,
        Some("Unconfined") => Seccomp::Unconfined,
        Some("Localhost") => {
            let file = profile.and_then(|profile| profile.localhost_profile.as_deref());
            // A path that leads out of the folder names no profile, so the container cannot be made.
            let file = file.filter(|file| stays_inside(file)).unwrap_or("invalid-profile");
            Seccomp::Localhost(profiles.join(file))
        }
        _ => Seccomp::RuntimeDefault,
    };
    let added = context.and_then(|c| c.capabilities.as_ref()).and_then(|c| c.add.as_deref()).unwrap_or_default();
    let dropped = context.and_then(|c| c.capabilities.as_ref()).and_then(|c| c.drop.as_deref()).unwrap_or_default();
    Security {
        privileged,
        capabilities: match privileged {
            true => ALL.iter().map(|cap| (*cap).into()).collect(),
            false => capabilities(added, dropped),
        },
        no_new_privileges: context.and_then(|c| c.allow_privilege_escalation) == Some(false),
        seccomp,
        mask_proc: !privileged && !unmasked,
    }
}

fn capabilities(added: &[String], dropped: &[String]) -> Vec<String> {
    let full = |name: &String| {
        let name = name.to_ascii_uppercase();
        match name.strip_prefix("CAP_") {
            Some(bare) => format!("CAP_{bare}"),
            None => format!("CAP_{name}"),
        }
    };
    let added: Vec<String> = added.iter().map(full).collect();
    let dropped: Vec<String> = dropped.iter().map(full).collect();
    let every = |list: &[String]| list.iter().any(|name| name == "CAP_ALL");
    ALL.iter()
        .filter(|cap| {
            let named = |list: &[String]| list.iter().any(|name| name == *cap);
            let base = if every(&added) { true } else { DEFAULT_CAPABILITIES.contains(cap) && !every(&dropped) };
            (base && !named(&dropped)) || named(&added)
        })
        .map(|cap| (*cap).to_owned())
        .collect()
}

/// The `user[:group]` that the image store is to resolve: the words' user before the image's.
pub fn user_text(pod: &Pod, container: &Container, image_user: &str) -> String {
    let (uid, gid) = wanted(pod, container);
    match (uid, gid) {
        (Some(uid), Some(gid)) => format!("{uid}:{gid}"),
        (Some(uid), None) => uid.to_string(),
        (None, Some(gid)) => {
            let name = image_user.split(':').next().filter(|name| !name.is_empty());
            format!("{}:{gid}", name.unwrap_or("0"))
        }
        (None, None) => image_user.to_owned(),
    }
}

fn wanted(pod: &Pod, container: &Container) -> (Option<i64>, Option<i64>) {
    let own = container.security_context.as_ref();
    let shared = spec(pod).security_context.as_ref();
    let uid = own.and_then(|c| c.run_as_user).or_else(|| shared?.run_as_user);
    let gid = own.and_then(|c| c.run_as_group).or_else(|| shared?.run_as_group);
    (uid, gid)
}

/// Adds the pod's groups to a resolved user.
pub fn with_groups(pod: &Pod, mut user: User) -> User {
    let Some(shared) = spec(pod).security_context.as_ref() else {
        return user;
    };
    if shared.supplemental_groups_policy.as_deref() == Some("Strict") {
        user.groups.clear();
    }
    let more = shared.supplemental_groups.iter().flatten().chain(&shared.fs_group);
    for group in more {
        let Ok(group) = u32::try_from(*group) else {
            continue;
        };
        if !user.groups.contains(&group) {
            user.groups.push(group);
        }
    }
    user
}

/// Refuses root where `runAsNonRoot` is asked for.
pub fn check_non_root(
    id: &PodId,
    pod: &Pod,
    container: &Container,
    image_user: &str,
    user: &User,
) -> Result<(), Reason> {
    let own = container.security_context.as_ref();
    let shared = spec(pod).security_context.as_ref();
    let non_root = own.and_then(|c| c.run_as_non_root).or_else(|| shared?.run_as_non_root);
    if non_root != Some(true) {
        return Ok(());
    }
    let refuse = |what: String| {
        Err(Reason::new(
            "CreateContainerConfigError",
            format!("{what} (pod: \"{}\", container: {})", id.long(), container.name),
        ))
    };
    if let (Some(uid), _) = wanted(pod, container) {
        return match uid {
            0 => refuse("container's runAsUser breaks non-root policy".into()),
            _ => Ok(()),
        };
    }
    let name = image_user.split(':').next().unwrap_or_default();
    if !name.is_empty() && name.parse::<u32>().is_err() {
        return refuse(format!(
            "container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root"
        ));
    }
    match user.uid {
        0 => refuse("container has runAsNonRoot and image will run as root".into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(shared: Value, own: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"},
            "spec": {"securityContext": shared, "containers": [{"name": "a", "securityContext": own}]}}))
        .unwrap()
    }

    fn of(own: Value) -> Security {
        let pod = pod(json!({}), own);
        security(&pod, &pod.spec.as_ref().unwrap().containers[0], Path::new("/p"))
    }

    #[track_caller]
    fn caps(add: &[&str], drop: &[&str], has: &[&str], has_not: &[&str]) {
        let made = of(json!({"capabilities": {"add": add, "drop": drop}})).capabilities;
        for cap in has {
            assert!(made.iter().any(|c| c == cap), "{cap} is missing");
        }
        for cap in has_not {
            assert!(!made.iter().any(|c| c == cap), "{cap} is there");
        }
    }

    #[test]
    fn capabilities_are_added_and_dropped() {
        caps(&[], &[], &["CAP_CHOWN"], &["CAP_SYS_ADMIN"]);
        caps(&["NET_ADMIN"], &[], &["CAP_NET_ADMIN", "CAP_CHOWN"], &[]);
        caps(&["NET_BIND_SERVICE"], &["ALL"], &["CAP_NET_BIND_SERVICE"], &["CAP_CHOWN"]);
        caps(&["ALL"], &["SYS_TIME"], &["CAP_SYS_ADMIN"], &["CAP_SYS_TIME"]);
    }

    #[test]
    fn the_filter_is_the_default_unless_said_otherwise() {
        assert_eq!(of(json!({})).seccomp, Seccomp::RuntimeDefault);
        assert_eq!(of(json!({"privileged": true})).seccomp, Seccomp::Unconfined);
        assert_eq!(
            of(json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "a.json"}})).seccomp,
            Seccomp::Localhost("/p/a.json".into())
        );
    }

    #[track_caller]
    fn user(shared: Value, own: Value, image: &str, want: &str) {
        let pod = pod(shared, own);
        let container = &pod.spec.as_ref().unwrap().containers[0];
        assert_eq!(user_text(&pod, container, image), want);
    }

    #[test]
    fn the_containers_user_goes_before_the_pods_and_the_images() {
        user(json!({}), json!({}), "app:web", "app:web");
        user(json!({"runAsUser": 5}), json!({}), "app", "5");
        user(json!({"runAsUser": 5, "runAsGroup": 6}), json!({"runAsUser": 7}), "", "7:6");
        user(json!({"runAsGroup": 6}), json!({}), "app:web", "app:6");
    }

    #[track_caller]
    fn non_root(own: Value, image: &str, uid: u32, want: Option<&str>) {
        let pod = pod(json!({"runAsNonRoot": true}), own);
        let id = PodId::of(&pod).unwrap();
        let user = User { uid, ..User::default() };
        let container = &pod.spec.as_ref().unwrap().containers[0];
        let said = check_non_root(&id, &pod, container, image, &user).err();
        assert_eq!(said.map(|reason| reason.message).as_deref(), want);
    }

    #[test]
    fn root_is_refused_where_it_is_not_wanted() {
        non_root(
            json!({}),
            "",
            0,
            Some("container has runAsNonRoot and image will run as root (pod: \"p_n(u)\", container: a)"),
        );
        non_root(
            json!({}),
            "app",
            7,
            Some(
                "container has runAsNonRoot and image has non-numeric user (app), cannot verify user is non-root (pod: \"p_n(u)\", container: a)",
            ),
        );
        non_root(
            json!({"runAsUser": 0}),
            "",
            0,
            Some("container's runAsUser breaks non-root policy (pod: \"p_n(u)\", container: a)"),
        );
        non_root(json!({}), "1000", 1000, None);
    }
}
