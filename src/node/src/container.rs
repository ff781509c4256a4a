//! Makes one container's words into what the runtime is to make.
//!
//! In: the pod, the container, its image, resolved environment, user, mounts. Out: a `ContainerSpec`. Pure: whoever
//! calls has fetched everything.

pub(crate) mod env;
pub(crate) mod etc;
pub(crate) mod expand;
pub(crate) mod limits;
pub(crate) mod security;

use std::path::PathBuf;

use k8s_openapi::api::core::v1::{Container, Pod};
use kedge_api::machine::{ContainerSpec, ImageInfo, LogFile, Mount, Sandbox, User};

use crate::pod::observed::Reason;
use crate::pod::{Qos, spec};
use expand::expand;

/// Everything that a container is made from.
pub struct Parts<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The container's words.
    pub container: &'a Container,
    /// Its image.
    pub image: &'a ImageInfo,
    /// The runtime's identity for it.
    pub id: String,
    /// The pod's sandbox.
    pub sandbox: Sandbox,
    /// The running container whose processes it sees.
    pub pid_of: Option<String>,
    /// Its environment, whole and in order.
    pub env: Vec<(String, String)>,
    /// Who it runs as.
    pub user: User,
    /// Its mounts.
    pub mounts: Vec<Mount>,
    /// Its log.
    pub log: LogFile,
    /// The machine's memory in bytes.
    pub machine_memory: i64,
    /// Folder of `Localhost` seccomp profiles.
    pub seccomp_dir: PathBuf,
}

/// The container as the runtime is to make it.
pub fn compose(parts: Parts<'_>) -> Result<ContainerSpec, Reason> {
    let Parts { pod, container, .. } = parts;
    let args = arguments(container, parts.image, &parts.env)?;
    let cwd = [&container.working_dir]
        .into_iter()
        .flatten()
        .chain([&parts.image.config.working_dir])
        .find(|dir| !dir.is_empty())
        .cloned()
        .unwrap_or_else(|| "/".into());
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    let context = container.security_context.as_ref();
    Ok(ContainerSpec {
        cgroup: format!("{}/{}", pod_cgroup(&uid), parts.id),
        id: parts.id,
        pod_uid: uid,
        sandbox: parts.sandbox,
        pid_of: parts.pid_of,
        host_pid: spec(pod).host_pid == Some(true),
        layers: parts.image.layers.clone(),
        read_only_root: context.and_then(|c| c.read_only_root_filesystem) == Some(true),
        args,
        env: with_defaults(parts.env),
        cwd,
        user: parts.user,
        mounts: parts.mounts,
        security: security::security(pod, container, &parts.seccomp_dir),
        resources: limits::container(container),
        oom_score_adj: limits::oom_score_adj(pod, container, Qos::of(pod), parts.machine_memory),
        tty: container.tty == Some(true),
        stdin: container.stdin == Some(true),
        stdin_once: container.stdin_once == Some(true),
        log: parts.log,
    })
}

/// The cgroup of a pod, relative to the cgroup parent.
pub fn pod_cgroup(uid: &str) -> String {
    format!("pod{uid}")
}

/// Kubernetes' command and args against the image's entry point and arguments.
fn arguments(container: &Container, image: &ImageInfo, env: &[(String, String)]) -> Result<Vec<String>, Reason> {
    let expanded = |list: &Option<Vec<String>>| -> Option<Vec<String>> {
        let list = list.as_ref().filter(|list| !list.is_empty())?;
        Some(list.iter().map(|text| expand(text, env)).collect())
    };
    let (command, args) = (expanded(&container.command), expanded(&container.args));
    let own_command = command.is_some();
    let mut all = command.unwrap_or_else(|| image.config.entrypoint.clone());
    match args {
        Some(args) => all.extend(args),
        None if own_command => {}
        None => all.extend(image.config.cmd.iter().cloned()),
    }
    if all.is_empty() {
        return Err(Reason::new("CreateContainerError", "no command specified"));
    }
    Ok(all)
}

/// The search path that every container has, if neither its image nor its words give one.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn with_defaults(mut env: Vec<(String, String)>) -> Vec<(String, String)> {
    if !env.iter().any(|(name, _)| name == "PATH") {
        env.insert(0, ("PATH".into(), PATH.into()));
    }
    env
}

/// The number of a signal by its name (`SIGTERM`, `TERM`) or number; SIGTERM when it is none.
pub fn signal_number(name: &str) -> i32 {
    const NAMES: [(&str, i32); 20] = [
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("ILL", 4),
        ("ABRT", 6),
        ("BUS", 7),
        ("FPE", 8),
        ("KILL", 9),
        ("USR1", 10),
        ("SEGV", 11),
        ("USR2", 12),
        ("PIPE", 13),
        ("ALRM", 14),
        ("TERM", 15),
        ("CHLD", 17),
        ("CONT", 18),
        ("STOP", 19),
        ("WINCH", 28),
        ("IO", 29),
        ("PWR", 30),
    ];
    let name = name.trim().to_ascii_uppercase();
    if let Ok(number) = name.parse::<i32>()
        && (1..=64).contains(&number)
    {
        return number;
    }
    let bare = name.strip_prefix("SIG").unwrap_or(&name);
    if let Some(offset) = bare.strip_prefix("RTMIN+").and_then(|n| n.parse::<i32>().ok())
        && (0..=30).contains(&offset)
    {
        return 34 + offset;
    }
    NAMES.iter().find(|(known, _)| *known == bare).map_or(15, |(_, number)| *number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(command: &[&str], args: &[&str], want: &[&str]) {
        let container: Container =
            serde_json::from_value(json!({"name": "a", "command": command, "args": args})).unwrap();
        let mut image = crate::fakes::image("x");
        image.config.entrypoint = vec!["/entry".into()];
        image.config.cmd = vec!["default".into()];
        let env = [("WHO".to_owned(), "me".to_owned())];
        assert_eq!(arguments(&container, &image, &env).unwrap(), want);
    }

    #[test]
    fn command_and_args_against_the_image() {
        check(&[], &[], &["/entry", "default"]);
        check(&["/run"], &[], &["/run"]);
        check(&[], &["a"], &["/entry", "a"]);
        check(&["/run", "$(WHO)"], &["$$(WHO)"], &["/run", "me", "$(WHO)"]);
    }

    #[test]
    fn signals_have_names_and_numbers() {
        for (name, number) in [("SIGTERM", 15), ("quit", 3), ("9", 9), ("SIGRTMIN+3", 37), ("", 15), ("nonsense", 15)] {
            assert_eq!(signal_number(name), number, "{name}");
        }
    }
}
