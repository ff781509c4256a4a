//! The words that the node agent shares with the runtime, the image store and the pod network.
//!
//! In: nothing. Out: plain data that says what a pod sandbox and a container are to be on one machine.
//! Never touches a machine: the node agent decides these values, `runtime`, `image` and `network` make them true.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// A container's identity on this machine: `[a-z0-9-]`, at most 64 bytes, unique over time.
pub type ContainerId = String;

/// A pod's namespaces, shared by its containers and kept alive without a process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SandboxSpec {
    /// The pod's UID; names the sandbox's state folder and cgroup.
    pub pod_uid: String,
    /// Host name inside the UTS namespace; at most 63 bytes.
    pub hostname: String,
    /// Join the host's network namespace instead of making one.
    pub host_network: bool,
    /// Join the host's IPC namespace.
    pub host_ipc: bool,
    /// Share one PID namespace between the pod's containers.
    pub shared_pid: bool,
    /// Join the host's PID namespace.
    pub host_pid: bool,
    /// The pod's own cgroup, relative to the cgroup parent; limits here bound all its containers.
    pub cgroup: String,
    /// Limits of the pod's cgroup.
    pub resources: Resources,
    /// Namespaced kernel parameters.
    pub sysctls: BTreeMap<String, String>,
}

/// A made sandbox: paths under which its namespaces are pinned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sandbox {
    /// The pod's UID.
    pub pod_uid: String,
    /// Path of the pinned network namespace; `None` with the host's network.
    pub network: Option<PathBuf>,
    /// Path of the pinned IPC namespace; `None` with the host's.
    pub ipc: Option<PathBuf>,
    /// Path of the pinned UTS namespace; `None` with the host's network.
    pub uts: Option<PathBuf>,
}

/// Limits and weights for a cgroup, in the kernel's units.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// cgroup v1 `cpu.shares` (2..=262144); converted to a weight on v2.
    pub cpu_shares: Option<u64>,
    /// CFS quota in microseconds for each period; `None` is unlimited.
    pub cpu_quota: Option<i64>,
    /// CFS period in microseconds.
    pub cpu_period: Option<u64>,
    /// Hard memory limit in bytes.
    pub memory_limit: Option<i64>,
    /// Most processes and threads.
    pub pids_limit: Option<i64>,
}

/// One container, ready to be made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Identity; also the runtime's state folder.
    pub id: ContainerId,
    /// The pod it belongs to.
    pub pod_uid: String,
    /// The pinned namespaces that it joins.
    pub sandbox: Sandbox,
    /// Host PID namespace.
    pub host_pid: bool,
    /// The running container whose PID namespace it joins, unless the pod's is shared or the host's.
    #[serde(default)]
    pub pid_of: Option<ContainerId>,
    /// Read-only image layers, uppermost first, absolute paths.
    pub layers: Vec<PathBuf>,
    /// Mount the root file system read-only.
    pub read_only_root: bool,
    /// Program and arguments; never empty.
    pub args: Vec<String>,
    /// Environment in order.
    pub env: Vec<(String, String)>,
    /// Working directory, absolute.
    pub cwd: String,
    /// Who the process runs as.
    pub user: User,
    /// Mounts beside the standard ones (/proc, /dev, /sys ... are the runtime's own), in order.
    pub mounts: Vec<Mount>,
    /// Security limits.
    pub security: Security,
    /// Its cgroup, relative to the cgroup parent; never shared by two containers.
    pub cgroup: String,
    /// Its limits.
    pub resources: Resources,
    /// Wanted `oom_score_adj` (-1000..=1000); clamped to what the kernel allows us.
    pub oom_score_adj: i32,
    /// Allocate a terminal.
    pub tty: bool,
    /// Keep standard input open.
    pub stdin: bool,
    /// The end of the first client's input is the end of standard input.
    #[serde(default)]
    pub stdin_once: bool,
    /// Where its output goes, in the Kubernetes log format, with rotation.
    pub log: LogFile,
}

/// A process's user and groups.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// User ID.
    pub uid: u32,
    /// Primary group ID.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// A mount inside the container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute path inside the container.
    pub target: String,
    /// What is mounted.
    pub source: MountSource,
    /// Mount read-only.
    pub read_only: bool,
    /// How mounts travel between the container and the host.
    pub propagation: Propagation,
}

/// What a mount shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum MountSource {
    /// A file or folder of the host, recursively bound.
    Bind(PathBuf),
    /// Memory, with an optional size limit in bytes.
    Tmpfs {
        /// Limit in bytes.
        size: Option<u64>,
    },
}

/// Mount propagation, by Kubernetes' names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    /// `None`: rprivate.
    #[default]
    Private,
    /// `HostToContainer`: rslave.
    HostToContainer,
    /// `Bidirectional`: rshared.
    Bidirectional,
}

/// What a container keeps when nothing is said: the set that container engines agree on.
pub const DEFAULT_CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// What a container may do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Security {
    /// All capabilities, all devices, no masked path, no seccomp filter.
    pub privileged: bool,
    /// Capabilities kept, e.g. `CAP_CHOWN`.
    pub capabilities: Vec<String>,
    /// Forbid gaining privileges by exec.
    pub no_new_privileges: bool,
    /// System call filter.
    pub seccomp: Seccomp,
    /// Mask the usual paths under /proc and /sys (`procMount: Default`).
    pub mask_proc: bool,
}

/// Which system call filter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Seccomp {
    /// The runtime's default profile.
    RuntimeDefault,
    /// None.
    Unconfined,
    /// A compiled or JSON profile file of the node.
    Localhost(PathBuf),
}

/// A container's log file and its rotation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogFile {
    /// Absolute path, e.g. `.../pods/<ns>_<name>_<uid>/<container>/<attempt>.log`.
    pub path: PathBuf,
    /// Rotate at this many bytes.
    pub max_bytes: u64,
    /// Rotated files that are kept beside the current one.
    pub max_files: u32,
}

/// Where a container is in its life, as the runtime sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ContainerState {
    /// Made, not started.
    Created,
    /// Its process runs.
    Running {
        /// Process ID in the host's namespace.
        pid: i32,
        /// When it started.
        started: SystemTime,
    },
    /// It ended.
    Exited(Exit),
    /// The machine or runtime went down under it and nobody knows how it ended.
    Lost,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit code; 128 + signal when a signal ended it.
    pub code: i32,
    /// The signal, if one ended it.
    pub signal: Option<i32>,
    /// The kernel killed a process of its cgroup for lack of memory.
    pub oom_killed: bool,
    /// When it started.
    pub started: SystemTime,
    /// When it ended.
    pub finished: SystemTime,
}

/// A container that the runtime knows, found at start or asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// Identity.
    pub id: ContainerId,
    /// Its pod.
    pub pod_uid: String,
    /// State.
    pub state: ContainerState,
}

/// A program that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Process ID in the host's namespace.
    pub pid: i32,
    /// When.
    pub at: SystemTime,
}

/// A further process for a running container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExecSpec {
    /// Program and arguments; never empty.
    pub args: Vec<String>,
    /// Added to the container's own environment, replacing what has the same name.
    pub env: Vec<(String, String)>,
    /// Working directory; `None` is the container's own.
    pub cwd: Option<String>,
    /// Who it runs as; `None` is the container's own user.
    pub user: Option<User>,
    /// With a terminal.
    pub tty: bool,
    /// With standard input.
    pub stdin: bool,
}

/// What a container or a pod uses now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// CPU time in nanoseconds since it began.
    pub cpu_nanos: u64,
    /// Memory that can't be reclaimed by dropping inactive file pages, in bytes.
    pub working_set: u64,
    /// Anonymous memory in bytes.
    pub rss: u64,
    /// Everything that is charged, page cache included, in bytes.
    pub usage: u64,
    /// Processes and threads.
    pub processes: u64,
}

/// What happened to a container; sent by the runtime to the node agent.
#[derive(Clone, Debug, PartialEq)]
pub enum RuntimeEvent {
    /// A container ended.
    Exited {
        /// Which.
        id: ContainerId,
        /// Its pod.
        pod_uid: String,
        /// How.
        exit: Exit,
    },
    /// The zygote was lost and started again; running containers are untouched.
    ZygoteRestarted,
}

/// An image that is present on this machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageInfo {
    /// `sha256:...` of the image configuration: the image ID.
    pub id: String,
    /// Names with tags, fully qualified.
    pub tags: Vec<String>,
    /// Names with digests.
    pub digests: Vec<String>,
    /// Bytes on disk.
    pub size: u64,
    /// Unpacked layers, uppermost first.
    pub layers: Vec<PathBuf>,
    /// What the image says about running it.
    pub config: ImageConfig,
    /// Spared by garbage collection (preloaded).
    pub pinned: bool,
}

/// The part of an OCI image configuration that running it needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// Entry point.
    pub entrypoint: Vec<String>,
    /// Default arguments.
    pub cmd: Vec<String>,
    /// `KEY=value` pairs.
    pub env: Vec<String>,
    /// `user[:group]`, by name or number; empty is root.
    pub user: String,
    /// Working directory; empty is `/`.
    pub working_dir: String,
    /// Signal that asks it to stop, e.g. `SIGTERM`; empty is SIGTERM.
    pub stop_signal: String,
    /// Declared volumes.
    pub volumes: Vec<String>,
}

/// A port of the host that leads to a port of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMapping {
    /// Host address; `None` is every address.
    pub host_ip: Option<IpAddr>,
    /// Host port.
    pub host_port: u16,
    /// Pod port.
    pub container_port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: Protocol,
}

/// A transport protocol, by Kubernetes' names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// What a pod got from the pod network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PodAddresses {
    /// The pod's addresses, primary first.
    pub ips: Vec<IpAddr>,
}

/// Resolver settings for a pod's /etc/resolv.conf.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DnsConfig {
    /// Name servers.
    pub nameservers: Vec<String>,
    /// Search domains.
    pub searches: Vec<String>,
    /// Options, e.g. `ndots:5`.
    pub options: Vec<String>,
}
