//! Makes a pod's sandbox: namespaces that live without a process, shared memory, a cgroup with limits.
//!
//! In: the node's words. Out: namespaces pinned by bind mounts in the pod's folder, `sandbox.json` last. What exists is
//! made again from nothing: the daemon asks only for what it does not know.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use kedge_api::machine::{Sandbox, SandboxSpec};

use super::{During, OperationError, Outcome, Reply, Request};
use crate::cgroup::Cgroups;
use crate::layout::Layout;
use crate::sys::{self, check};
use crate::{waiter, wire};

/// Shared memory of a pod; what container runtimes give.
const SHARED_MEMORY: &str = "mode=1777,size=67108864";

pub fn run(stream: &mut UnixStream) -> Outcome<()> {
    let request: Request<SandboxSpec> = wire::read(stream).during("read the request")?;
    let sandbox = make(&request.layout, &request.cgroups, &request.want)?;
    wire::write(stream, &Reply::Sandbox(sandbox)).during("answer")
}

fn make(layout: &Layout, cgroups: &Cgroups, spec: &SandboxSpec) -> Outcome<Sandbox> {
    let folder = layout.pod(&spec.pod_uid);
    fs::create_dir_all(&folder).during(format!("make {}", folder.display()))?;
    let cgroup = layout.cgroup(&spec.cgroup);
    cgroups.make(&cgroup, &spec.resources).during(format!("make cgroup {}", cgroup.display()))?;

    let mut flags = 0;
    if !spec.host_network {
        flags |= libc::CLONE_NEWNET | libc::CLONE_NEWUTS;
    }
    if !spec.host_ipc {
        flags |= libc::CLONE_NEWIPC;
    }
    if flags != 0 {
        sys::unshare(flags).during("make namespaces")?;
    }
    let sandbox = Sandbox {
        pod_uid: spec.pod_uid.clone(),
        network: (!spec.host_network).then(|| folder.join("net")),
        uts: (!spec.host_network).then(|| folder.join("uts")),
        ipc: (!spec.host_ipc).then(|| folder.join("ipc")),
    };
    if sandbox.uts.is_some() {
        set_hostname(&spec.hostname).during(format!("set host name {:?}", spec.hostname))?;
    }
    if sandbox.network.is_some() {
        loopback_up().during("bring up the loopback interface")?;
        // A pod's network is its own: its processes may use low ports and ping without privileges.
        set_parameter("net.ipv4.ip_unprivileged_port_start", "0").during("allow low ports")?;
        set_parameter("net.ipv4.ping_group_range", "0 2147483647").during("allow ping")?;
    }
    for (name, value) in &spec.sysctls {
        may_set(name, &sandbox)?;
        set_parameter(name, value).during(format!("set sysctl {name}={value}"))?;
    }
    for (name, path) in [("net", &sandbox.network), ("uts", &sandbox.uts), ("ipc", &sandbox.ipc)] {
        if let Some(path) = path {
            pin(Path::new(&format!("/proc/self/ns/{name}")), path)?;
        }
    }
    if sandbox.ipc.is_some() {
        let shared = folder.join("shm");
        fs::create_dir_all(&shared).during(format!("make {}", shared.display()))?;
        let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
        sys::mount(Path::new("shm"), &shared, "tmpfs", flags, SHARED_MEMORY).during("mount shared memory")?;
    }
    if spec.shared_pid && !spec.host_pid {
        hold_pid_namespace(&folder, cgroups, &cgroup)?;
    }
    let text = serde_json::to_vec(&sandbox).map_err(io::Error::other);
    let saved = text.and_then(|text| {
        fs::write(folder.join("sandbox.new"), text)?;
        fs::rename(folder.join("sandbox.new"), folder.join("sandbox.json"))
    });
    saved.during("write sandbox.json")?;
    Ok(sandbox)
}

/// Keeps a namespace alive by a mount.
fn pin(namespace: &Path, path: &Path) -> Outcome<()> {
    fs::write(path, "").and_then(|()| sys::mount(namespace, path, "", libc::MS_BIND, "")).during(format!(
        "pin {} at {}",
        namespace.display(),
        path.display()
    ))
}

fn set_hostname(name: &str) -> io::Result<()> {
    // SAFETY: a text and its length.
    check(i64::from(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) })).map(drop)
}

fn loopback_up() -> io::Result<()> {
    let socket = std::net::UdpSocket::bind(("0.0.0.0", 0))?;
    // SAFETY: all zero is a valid value; `lo` fits, the flags are of the union's kind that the call wants.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
            *to = *from as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
        check(i64::from(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request))).map(drop)
    }
}

fn set_parameter(name: &str, value: &str) -> io::Result<()> {
    fs::write(parameter_file(name), value)
}

/// The file of a kernel parameter, written with dots or with slashes.
fn parameter_file(name: &str) -> PathBuf {
    let path = if name.contains('/') { name.to_owned() } else { name.replace('.', "/") };
    Path::new("/proc/sys").join(path)
}

/// Refuses a parameter that is not of the pod's own namespaces: it would be the machine's.
fn may_set(name: &str, sandbox: &Sandbox) -> Outcome<()> {
    let dotted = name.replace('/', ".");
    let of_network = dotted.starts_with("net.");
    let of_ipc = dotted.starts_with("fs.mqueue.")
        || dotted.starts_with("kernel.shm")
        || dotted.starts_with("kernel.msg")
        || dotted == "kernel.sem";
    let climbs = name.split(['/', '.']).any(str::is_empty);
    if !climbs && (of_network && sandbox.network.is_some() || of_ipc && sandbox.ipc.is_some()) {
        return Ok(());
    }
    Err(OperationError::Refused(format!("sysctl {name}: not a parameter of a namespace that the pod has for itself")))
}

/// A PID namespace lives as long as its process 1: the waiter's other face, one page of memory.
fn hold_pid_namespace(folder: &Path, cgroups: &Cgroups, cgroup: &Path) -> Outcome<()> {
    sys::unshare(libc::CLONE_NEWPID).during("make a PID namespace")?;
    let program = sys::memory_file(c"kedge-pod", waiter::PROGRAM).during("make the program of process 1")?;
    // SAFETY: this process has one thread; the child only execs.
    let pid = check(i64::from(unsafe { libc::fork() })).during("fork process 1")? as i32;
    if pid == 0 {
        let arguments = [c"kedge-pod".as_ptr(), c"init".as_ptr(), std::ptr::null()];
        let nothing = [std::ptr::null::<libc::c_char>()];
        // SAFETY: null-terminated lists of texts; only async-signal-safe calls.
        unsafe {
            libc::setsid();
            let flags = libc::AT_EMPTY_PATH;
            libc::syscall(
                libc::SYS_execveat,
                program.as_raw_fd(),
                c"".as_ptr(),
                arguments.as_ptr(),
                nothing.as_ptr(),
                flags,
            );
            libc::_exit(127)
        }
    }
    let held = pin(Path::new(&format!("/proc/{pid}/ns/pid")), &folder.join("pid"));
    let born = sys::process(pid).map_or(0, |process| process.born);
    let noted = held.and_then(|()| {
        fs::write(folder.join("holder"), format!("{pid} {born}\n")).during("note process 1")?;
        cgroups.join(cgroup, pid).during("move process 1 into the pod's cgroup")
    });
    if noted.is_err() {
        // SAFETY: our own child.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }
    noted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_pods_own_parameters_are_set() {
        let own = Sandbox { pod_uid: "u".into(), network: Some("/n".into()), ipc: None, uts: None };
        assert!(may_set("net.core.somaxconn", &own).is_ok());
        assert!(may_set("net/ipv4/conf/eth0.1/rp_filter", &own).is_ok());
        assert!(may_set("kernel.shmmax", &own).is_err());
        assert!(may_set("kernel.core_pattern", &own).is_err());
        assert!(may_set("net/../kernel/core_pattern", &own).is_err());
        assert!(may_set("vm.swappiness", &own).is_err());
    }

    #[test]
    fn parameters_are_files() {
        assert_eq!(parameter_file("net.core.somaxconn"), Path::new("/proc/sys/net/core/somaxconn"));
        assert_eq!(
            parameter_file("net/ipv4/conf/eth0.1/rp_filter"),
            Path::new("/proc/sys/net/ipv4/conf/eth0.1/rp_filter")
        );
    }
}
