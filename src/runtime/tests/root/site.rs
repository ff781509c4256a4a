//! A place for one test: state folder, cgroup parent, a root file system with busybox, and words to ask for things.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kedge_api::machine::{
    ContainerSpec, ContainerState, Exit, LogFile, Mount, MountSource, Propagation, Resources, RuntimeEvent, Sandbox,
    SandboxSpec, Seccomp, Security, User,
};
use kedge_runtime::zygote::Zygote;
use kedge_runtime::{Runtime, RuntimeOptions, cleanup};

/// What a container of Kubernetes may do by default.
pub const DEFAULT_CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// Everything ends well within this, also on an emulated processor, or something hangs.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// What this machine lacks for these tests, in a sentence.
pub fn missing() -> Option<&'static str> {
    let root = fs::read_to_string("/proc/self/status")
        .is_ok_and(|status| status.lines().any(|line| line.starts_with("Uid:\t0\t0")));
    if !root {
        return Some("these tests make containers and need root");
    }
    if !Path::new("/bin/busybox").exists() {
        return Some("these tests need /bin/busybox (Debian: busybox-static)");
    }
    if fs::read_dir("/sys/fs/cgroup").map_or(0, Iterator::count) == 0 {
        return Some("these tests need cgroups at /sys/fs/cgroup");
    }
    None
}

/// One test's place. Dropping it removes everything.
pub struct Site {
    pub name: String,
    pub folder: tempfile::TempDir,
    pub options: RuntimeOptions,
}

impl Site {
    pub fn new(name: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("kedge-runtime-").tempdir().expect("a folder");
        let unique = folder.path().file_name().expect("a name").to_string_lossy().into_owned();
        let options =
            RuntimeOptions { state_dir: folder.path().join("state"), cgroup_parent: format!("kedge-test/{unique}") };
        let site = Self { name: name.to_owned(), folder, options };
        site.make_layer();
        site
    }

    fn make_layer(&self) {
        let layer = self.layer();
        for folder in ["bin", "etc", "tmp", "root"] {
            fs::create_dir_all(layer.join(folder)).expect("a folder");
        }
        fs::copy("/bin/busybox", layer.join("bin/busybox")).expect("busybox");
        for applet in [
            "sh", "true", "sleep", "cat", "echo", "id", "nc", "wget", "mount", "unshare", "dd", "mknod", "ls", "grep",
            "hostname", "kill", "stty", "head", "tr", "seq", "touch", "ps", "tail", "yes", "test", "stat", "ping",
            "chown", "mkdir", "rm", "env", "pwd", "ip", "su", "sort", "wc", "readlink",
        ] {
            symlink("busybox", layer.join("bin").join(applet)).expect("a link");
        }
        fs::write(layer.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nweb:x:1000:1000::/tmp:/bin/sh\n")
            .expect("users");
        fs::write(layer.join("etc/group"), "root:x:0:\nweb:x:1000:\n").expect("groups");
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(layer.join("tmp"), fs::Permissions::from_mode(0o1777)).expect("a mode");
    }

    pub fn layer(&self) -> PathBuf {
        self.folder.path().join("layer")
    }

    pub fn log(&self, id: &str) -> PathBuf {
        self.folder.path().join("logs").join(id).join("0.log")
    }

    /// The lines of a container's log without their times: `stdout F text`.
    pub fn lines(&self, id: &str) -> Vec<String> {
        let text = fs::read_to_string(self.log(id)).unwrap_or_default();
        text.lines().map(|line| line.split_once(' ').map_or("", |(_, rest)| rest).to_owned()).collect()
    }

    /// Waits until a log holds a line.
    pub async fn wait_for_line(&self, id: &str, line: &str) {
        self.wait_for(line, || self.lines(id).iter().any(|found| found == line)).await;
    }

    /// Waits until something holds.
    pub async fn wait_for(&self, what: &str, mut there: impl FnMut() -> bool) {
        let begun = std::time::Instant::now();
        while !there() {
            assert!(begun.elapsed() < PATIENCE, "{}: no {what}", self.name);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub fn sandbox_spec(&self, uid: &str) -> SandboxSpec {
        SandboxSpec {
            pod_uid: uid.to_owned(),
            hostname: format!("host-{uid}"),
            host_network: false,
            host_ipc: false,
            shared_pid: false,
            host_pid: false,
            cgroup: format!("pod{uid}"),
            resources: Resources::default(),
            sysctls: BTreeMap::new(),
        }
    }

    /// A container that runs a shell command.
    pub fn container(&self, sandbox: &Sandbox, id: &str, command: &str) -> ContainerSpec {
        let args: &[&str] = &["/bin/sh", "-c", command];
        self.program(sandbox, id, args)
    }

    pub fn program(&self, sandbox: &Sandbox, id: &str, args: &[&str]) -> ContainerSpec {
        ContainerSpec {
            id: id.to_owned(),
            pod_uid: sandbox.pod_uid.clone(),
            sandbox: sandbox.clone(),
            host_pid: false,
            pid_of: None,
            layers: vec![self.layer()],
            read_only_root: false,
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: vec![("PATH".into(), "/bin".into()), ("GREETING".into(), "hello".into())],
            cwd: "/".into(),
            user: User::default(),
            mounts: Vec::new(),
            security: Security {
                privileged: false,
                capabilities: DEFAULT_CAPABILITIES.iter().map(|name| (*name).to_owned()).collect(),
                no_new_privileges: false,
                seccomp: Seccomp::RuntimeDefault,
                mask_proc: true,
            },
            cgroup: format!("pod{}/{id}", sandbox.pod_uid),
            resources: Resources::default(),
            oom_score_adj: 500,
            tty: false,
            stdin: false,
            stdin_once: false,
            log: LogFile { path: self.log(id), max_bytes: 10 << 20, max_files: 5 },
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Err(error) = cleanup(&self.options) {
            eprintln!("{}: left behind: {error}", self.name);
        }
        let parent = self.options.cgroup_parent.clone();
        for root in cgroup_roots() {
            let _ = fs::remove_dir(root.join(&parent));
            let _ = fs::remove_dir(root.join("kedge-test"));
        }
    }
}

/// Where cgroup hierarchies are mounted.
pub fn cgroup_roots() -> Vec<PathBuf> {
    let root = PathBuf::from("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        return vec![root];
    }
    fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// A bound folder or file.
pub fn bind(source: &str, target: &str, read_only: bool) -> Mount {
    Mount {
        target: target.to_owned(),
        source: MountSource::Bind(source.into()),
        read_only,
        propagation: Propagation::Private,
    }
}

/// Nothing is left of a container but its log.
#[track_caller]
pub fn nothing_of(site: &Site, uid: &str, id: &str) {
    let state = &site.options.state_dir;
    let folders = [format!("run/containers/{id}"), format!("writable/{uid}/{id}"), format!("work/{id}")];
    let folders = folders.iter().map(|name| state.join(name));
    let cgroup = format!("{}/pod{uid}/{id}", site.options.cgroup_parent);
    for place in folders.chain(cgroup_roots().into_iter().map(|root| root.join(&cgroup))) {
        assert!(!place.exists(), "{}", place.display());
    }
}

/// Nothing of a test is left on the machine but its logs: no container, process, mount or cgroup.
#[track_caller]
pub fn nothing_left(site: &Site) {
    let folder = site.folder.path().display().to_string();
    for kind in ["run/containers", "run/pods", "writable", "work"] {
        let left: Vec<_> = fs::read_dir(site.options.state_dir.join(kind)).into_iter().flatten().flatten().collect();
        assert!(left.is_empty(), "{left:?}");
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let own = format!("{folder}/state/run ");
    let left: Vec<&str> = mounts.lines().filter(|line| line.contains(&folder) && !line.contains(&own)).collect();
    assert!(left.is_empty(), "{left:?}");
    for root in cgroup_roots() {
        let left: Vec<_> = fs::read_dir(root.join(&site.options.cgroup_parent))
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.path().is_dir())
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// The daemon's side of a test.
pub async fn connect(site: &Site, zygote: Zygote) -> Runtime {
    Runtime::connect(zygote, site.options.clone()).await.expect("connected")
}

/// A pod.
pub async fn pod(site: &Site, runtime: &Runtime) -> Sandbox {
    runtime.create_sandbox(site.sandbox_spec("p1")).await.expect("a sandbox")
}

/// Makes, starts and waits for the end.
pub async fn run(runtime: &Runtime, spec: ContainerSpec) -> Exit {
    let id = spec.id.clone();
    let mut events = runtime.events();
    runtime.create(spec).await.expect("created");
    runtime.start(&id).await.expect("started");
    ended(runtime, &mut events, &id).await
}

/// Waits until a container has ended.
pub async fn ended(runtime: &Runtime, events: &mut tokio::sync::broadcast::Receiver<RuntimeEvent>, id: &str) -> Exit {
    let wait = async {
        loop {
            if let Ok(status) = runtime.status(id).await
                && let ContainerState::Exited(exit) = status.state
            {
                return exit;
            }
            events.recv().await.expect("an event");
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it ends")
}
