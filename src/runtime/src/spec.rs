//! The OCI configuration of a container, as libcontainer reads it.
//!
//! In: the node's words, where things are, what this machine allows. Out: the JSON of `config.json` and `process.json`.
//! Pure: what is asked of the machine comes in as `Host`. Never mounts, never writes.

mod devices;
mod mounts;

use std::path::{Path, PathBuf};

use kedge_api::machine::{ContainerSpec, ExecSpec, Propagation, Seccomp, User};
use serde_json::{Value, json};

use crate::capabilities::{bit, bits, names};
use crate::layout::Layout;

pub use devices::{Device, devices_below};

/// Search path of a container whose image names none.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Paths that show or change the machine rather than the container.
const MASKED: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

/// Paths that a container may read only.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The annotation that holds what a container was made from.
const SAVED: &str = "dev.kedge.runtime/spec";

/// What the machine allows.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// Capabilities that this process may hand on.
    pub capabilities: u64,
    /// cgroup version 2.
    pub unified: bool,
    /// The pod's containers share the PID namespace that is pinned in its folder.
    pub shared_pid: bool,
    /// The PID namespace of the container that this one looks at.
    pub pid_of: Option<PathBuf>,
    /// Counters of heat, one folder for each CPU that has them: they tell of what others compute.
    pub heat: Vec<PathBuf>,
    /// The machine's devices; only asked for when a container is privileged.
    pub devices: Vec<Device>,
}

/// The counters of heat below `/sys/devices/system/cpu`.
pub fn heat_below(cpus: &Path) -> Vec<PathBuf> {
    // Most virtual machines and boards have none, and every container comes by here.
    if !cpus.join("cpu0/thermal_throttle").is_dir() {
        return Vec::new();
    }
    let mut found: Vec<PathBuf> = std::fs::read_dir(cpus)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("thermal_throttle"))
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    found
}

/// The capabilities that a container ends up with.
pub fn capabilities(spec: &ContainerSpec, host: &Host) -> u64 {
    if spec.security.privileged { host.capabilities } else { bits(&spec.security.capabilities) & host.capabilities }
}

/// The filter that a container runs under: none when it is privileged.
pub fn seccomp(spec: &ContainerSpec) -> &Seccomp {
    if spec.security.privileged { &Seccomp::Unconfined } else { &spec.security.seccomp }
}

/// Loading a filter needs CAP_SYS_ADMIN, unless privileges can't be gained any more. libcontainer drops capabilities
/// before our executor loads the filter, so it must leave these two; the executor drops them right after.
pub fn capabilities_until_exec(spec: &ContainerSpec, host: &Host) -> u64 {
    let keep = capabilities(spec, host);
    if spec.security.no_new_privileges || *seccomp(spec) == Seccomp::Unconfined {
        keep
    } else {
        keep | bit("CAP_SYS_ADMIN") | bit("CAP_SETPCAP")
    }
}

/// `config.json`.
pub fn configuration(spec: &ContainerSpec, layout: &Layout, host: &Host) -> Value {
    let paths = layout.container(&spec.id);
    let mut linux = json!({ "namespaces": namespaces(spec, layout, host) });
    if host.unified {
        linux["cgroupsPath"] = json!(Path::new("/").join(layout.cgroup(&spec.cgroup)));
    } else {
        // It is cloned inside its cgroup; what libcontainer does about cgroups goes to a stand-in.
        linux["cgroupsPath"] = json!("/");
    }
    if spec.security.mask_proc && !spec.security.privileged {
        let heat = host.heat.iter().map(|path| json!(path));
        linux["maskedPaths"] = MASKED.iter().map(|path| json!(path)).chain(heat).collect();
        linux["readonlyPaths"] = json!(READ_ONLY);
    }
    if spec.security.privileged {
        linux["devices"] = host.devices.iter().map(Device::entry).collect();
    }
    if spec.mounts.iter().any(|mount| mount.propagation == Propagation::Bidirectional) {
        linux["rootfsPropagation"] = json!("shared");
    }
    json!({
        "ociVersion": "1.0.2",
        "annotations": { (SAVED): serde_json::to_string(spec).unwrap_or_default() },
        "root": { "path": paths.rootfs(), "readonly": spec.read_only_root },
        "process": process(
            &spec.args,
            environment(&spec.env),
            &spec.cwd,
            &spec.user,
            spec.tty,
            spec.security.no_new_privileges,
            capabilities_until_exec(spec, host),
        ),
        "mounts": mounts::all(spec, layout, host.unified),
        "linux": linux,
    })
}

/// What a container was made from, out of its `config.json`.
pub fn saved(configuration: &[u8]) -> Option<ContainerSpec> {
    #[derive(serde::Deserialize)]
    struct Annotated {
        annotations: std::collections::HashMap<String, String>,
    }
    let annotated: Annotated = serde_json::from_slice(configuration).ok()?;
    serde_json::from_str(annotated.annotations.get(SAVED)?).ok()
}

/// `process.json` of a further process: the container's own words where the request has none.
pub fn further_process(container: &ContainerSpec, exec: &ExecSpec, host: &Host) -> Value {
    let mut env: Vec<(String, String)> = container.env.clone();
    env.retain(|(name, _)| exec.env.iter().all(|(other, _)| other != name));
    env.extend(exec.env.iter().cloned());
    if exec.tty && env.iter().all(|(name, _)| name != "TERM") {
        env.push(("TERM".to_owned(), "xterm".to_owned()));
    }
    process(
        &exec.args,
        environment(&env),
        exec.cwd.as_deref().unwrap_or(&container.cwd),
        exec.user.as_ref().unwrap_or(&container.user),
        exec.tty,
        container.security.no_new_privileges,
        capabilities_until_exec(container, host),
    )
}

fn process(
    args: &[String],
    env: Vec<String>,
    cwd: &str,
    user: &User,
    tty: bool,
    no_new_privileges: bool,
    capabilities: u64,
) -> Value {
    let names = names(capabilities);
    json!({
        "terminal": tty,
        "user": { "uid": user.uid, "gid": user.gid, "additionalGids": user.groups },
        "args": args,
        "env": env,
        "cwd": if cwd.is_empty() { "/" } else { cwd },
        "noNewPrivileges": no_new_privileges,
        // Nothing is inheritable or ambient: a program of another user starts without capabilities.
        "capabilities": { "bounding": names, "effective": names, "permitted": names },
    })
}

/// `NAME=value` lines; the last of equal names counts. A search path is always there.
fn environment(env: &[(String, String)]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::with_capacity(env.len() + 1);
    if env.iter().all(|(name, _)| name != "PATH") {
        lines.push(format!("PATH={PATH}"));
    }
    for (index, (name, value)) in env.iter().enumerate() {
        if env.iter().skip(index + 1).all(|(later, _)| later != name) {
            lines.push(format!("{name}={value}"));
        }
    }
    lines
}

fn namespaces(spec: &ContainerSpec, layout: &Layout, host: &Host) -> Value {
    let mut list = vec![json!({ "type": "mount" })];
    let pinned_pid = layout.pod(&spec.pod_uid).join("pid");
    if host.shared_pid && !spec.host_pid {
        list.push(json!({ "type": "pid", "path": pinned_pid }));
    } else if let Some(path) = host.pid_of.as_ref().filter(|_| !spec.host_pid) {
        list.push(json!({ "type": "pid", "path": path }));
    } else if !spec.host_pid {
        list.push(json!({ "type": "pid" }));
    }
    for (kind, path) in [("network", &spec.sandbox.network), ("ipc", &spec.sandbox.ipc), ("uts", &spec.sandbox.uts)] {
        if let Some(path) = path {
            list.push(json!({ "type": kind, "path": path }));
        }
    }
    if host.unified && !spec.security.privileged {
        list.push(json!({ "type": "cgroup" }));
    }
    list.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tells_of_the_machines_power_and_heat_is_masked() {
        let cpus = tempfile::tempdir().expect("a folder");
        for cpu in ["cpu0/thermal_throttle", "cpu1/thermal_throttle", "cpu2/topology", "cpufreq"] {
            std::fs::create_dir_all(cpus.path().join(cpu)).expect("made");
        }
        let heat = heat_below(cpus.path());
        assert_eq!(heat, ["cpu0", "cpu1"].map(|cpu| cpus.path().join(cpu).join("thermal_throttle")));
        assert!(MASKED.contains(&"/sys/devices/virtual/powercap"));
    }
}
