//! Measures a container's whole life against `crun`, interleaved: create, start, `/bin/true`, exit, delete. And the
//! memory that an idle container costs beside its own program.
//!
//! `cargo run --release -p kedge-runtime --example cycle [rounds [kedge|crun]]`, as root, with `crun` and busybox-static
//! installed. With one of both named, only that one runs: for counting its instructions with `perf stat`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kedge_api::machine::{
    ContainerSpec, LogFile, Resources, RuntimeEvent, Sandbox, SandboxSpec, Seccomp, Security, User,
};
use kedge_runtime::{Runtime, RuntimeOptions, cleanup, zygote};

fn main() {
    let zygote = zygote::fork_first().expect("a zygote");
    let rounds = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(50);
    let folder = std::env::temp_dir().join(format!("kedge-cycle-{}", std::process::id()));
    let options = RuntimeOptions {
        state_dir: folder.join("state"),
        cgroup_parent: format!("kedge-cycle-{}", std::process::id()),
    };
    make_layer(&folder.join("layer"));
    let executor = tokio::runtime::Runtime::new().expect("a tokio runtime");
    executor.block_on(async {
        let runtime = Runtime::connect(zygote, options.clone()).await.expect("connected");
        let sandbox = runtime.create_sandbox(sandbox()).await.expect("a sandbox");
        cycles(&runtime, &sandbox, &folder, rounds).await;
        if std::env::args().nth(2).is_none() {
            idle(&runtime, &sandbox, &folder).await;
        }
    });
    drop(executor);
    cleanup(&options).expect("cleaned");
    fs::remove_dir_all(folder).expect("removed");
}

fn make_layer(layer: &Path) {
    for name in ["bin", "etc", "proc", "sys", "dev", "tmp"] {
        fs::create_dir_all(layer.join(name)).expect("a folder");
    }
    fs::copy("/bin/busybox", layer.join("bin/busybox")).expect("busybox");
    for applet in ["true", "sleep", "sh"] {
        std::os::unix::fs::symlink("busybox", layer.join("bin").join(applet)).expect("a link");
    }
}

fn sandbox() -> SandboxSpec {
    SandboxSpec {
        pod_uid: "pod".into(),
        hostname: "cycle".into(),
        host_network: false,
        host_ipc: false,
        shared_pid: false,
        host_pid: false,
        cgroup: "pod".into(),
        resources: Resources::default(),
        sysctls: BTreeMap::new(),
    }
}

/// What a container of Kubernetes may do by default.
fn capabilities() -> Vec<String> {
    let names = "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT \
                 KILL AUDIT_WRITE";
    names.split_ascii_whitespace().map(|name| format!("CAP_{name}")).collect()
}

fn container(sandbox: &Sandbox, folder: &Path, id: &str, args: &[&str]) -> ContainerSpec {
    ContainerSpec {
        id: id.to_owned(),
        pod_uid: sandbox.pod_uid.clone(),
        sandbox: sandbox.clone(),
        host_pid: false,
        pid_of: None,
        layers: vec![folder.join("layer")],
        read_only_root: false,
        args: args.iter().map(|word| (*word).to_owned()).collect(),
        env: vec![("PATH".into(), "/bin".into())],
        cwd: "/".into(),
        user: User::default(),
        mounts: Vec::new(),
        security: Security {
            privileged: false,
            capabilities: capabilities(),
            no_new_privileges: true,
            seccomp: Seccomp::RuntimeDefault,
            mask_proc: true,
        },
        cgroup: format!("pod/{id}"),
        resources: Resources {
            cpu_shares: Some(100),
            cpu_quota: None,
            cpu_period: None,
            memory_limit: Some(64 << 20),
            pids_limit: Some(100),
        },
        oom_score_adj: 500,
        tty: false,
        stdin: false,
        stdin_once: false,
        log: LogFile { path: folder.join("logs").join(id).join("0.log"), max_bytes: 10 << 20, max_files: 5 },
    }
}

/// The time of each act of one cycle.
#[derive(Clone, Copy, Default)]
struct Cycle {
    create: Duration,
    start: Duration,
    end: Duration,
    remove: Duration,
}

async fn cycle(runtime: &Runtime, spec: ContainerSpec) -> Cycle {
    let id = spec.id.clone();
    let mut events = runtime.events();
    let mut mark = Instant::now();
    let mut lap = || {
        let lap = mark.elapsed();
        mark = Instant::now();
        lap
    };
    runtime.create(spec).await.expect("created");
    let create = lap();
    runtime.start(&id).await.expect("started");
    let start = lap();
    while !matches!(events.recv().await, Ok(RuntimeEvent::Exited { id: ended, .. }) if ended == id) {}
    let end = lap();
    runtime.remove(&id).await.expect("removed");
    Cycle { create, start, end, remove: lap() }
}

async fn cycles(runtime: &Runtime, sandbox: &Sandbox, folder: &Path, rounds: usize) {
    let only = std::env::args().nth(2);
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    let crun = if wanted("crun") { Crun::prepare(folder, sandbox) } else { None };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        if wanted("kedge") {
            let spec = container(sandbox, folder, &format!("c{round}"), &["/bin/true"]);
            ours.push(cycle(runtime, spec).await);
        }
        if let Some(crun) = &crun {
            theirs.push(crun.cycle(round));
        }
    }
    if ours.is_empty() {
        return;
    }
    let middle = |pick: fn(&Cycle) -> Duration| {
        let mut all: Vec<Duration> = ours.iter().map(pick).collect();
        all.sort();
        all[all.len() / 2].as_secs_f64() * 1000.0
    };
    let whole = middle(|cycle| cycle.create + cycle.start + cycle.end + cycle.remove);
    println!(
        "kedge: {whole:.2} ms a cycle (create {:.2}, start {:.2}, end {:.2}, remove {:.2}), median of {rounds}",
        middle(|cycle| cycle.create),
        middle(|cycle| cycle.start),
        middle(|cycle| cycle.end),
        middle(|cycle| cycle.remove),
    );
    if !theirs.is_empty() {
        theirs.sort();
        let crun = theirs[theirs.len() / 2].as_secs_f64() * 1000.0;
        println!("crun:  {crun:.2} ms a cycle; kedge takes {:.2} of it", whole / crun);
    } else {
        println!("crun is not installed: nothing to compare with");
    }
}

/// The same program, mounts, limits and system call filter under `crun run`.
struct Crun {
    mounts: std::process::Child,
    bundle: std::path::PathBuf,
    root: std::path::PathBuf,
}

impl Crun {
    fn prepare(folder: &Path, sandbox: &Sandbox) -> Option<Self> {
        Command::new("crun").arg("--version").stdout(Stdio::null()).status().ok()?;
        let bundle = folder.join("crun");
        fs::create_dir_all(&bundle).expect("a folder");
        let made = Command::new("crun").arg("spec").current_dir(&bundle).status().expect("crun");
        assert!(made.success());
        let file = bundle.join("config.json");
        let text = fs::read_to_string(&file).expect("a configuration");
        let mut spec: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        spec["process"]["terminal"] = false.into();
        spec["process"]["args"] = serde_json::json!(["/bin/true"]);
        spec["root"] = serde_json::json!({ "path": bundle.join("rootfs"), "readonly": false });
        spec["linux"]["cgroupsPath"] = format!("/kedge-cycle-{}/crun", std::process::id()).into();
        spec["linux"]["resources"] = serde_json::json!({
            "devices": [{ "allow": false, "access": "rwm" }],
            "cpu": { "shares": 100 }, "memory": { "limit": 64 << 20 }, "pids": { "limit": 100 },
        });
        spec["linux"]["seccomp"] = kedge_runtime::default_seccomp_profile(&capabilities());
        for (kind, path) in [("network", &sandbox.network), ("ipc", &sandbox.ipc), ("uts", &sandbox.uts)] {
            let list = spec["linux"]["namespaces"].as_array_mut().expect("namespaces");
            list.retain(|entry| entry["type"] != kind && entry["type"] != "cgroup");
            list.push(serde_json::json!({ "type": kind, "path": path }));
        }
        if let Some(hostname) = spec.as_object_mut() {
            hostname.remove("hostname");
        }
        fs::write(file, spec.to_string()).expect("written");
        fs::create_dir_all(bundle.join("rootfs")).expect("a folder");
        // crun refuses a machine with both cgroup versions: it does not get to see version 2.
        let mounts = Command::new("unshare")
            .args(["--mount", "sh", "-c", "umount /sys/fs/cgroup/unified 2>/dev/null; echo; exec sleep 1000"])
            .stdout(Stdio::piped())
            .spawn();
        let mut mounts = mounts.expect("unshare");
        let mut line = [0];
        let mut output = mounts.stdout.take().expect("its output");
        std::io::Read::read_exact(&mut output, &mut line).expect("a line");
        Some(Self { mounts, root: folder.join("crun-state"), bundle })
    }

    /// A program that sees crun's mounts.
    fn command(&self, program: &str) -> Command {
        use std::os::fd::AsRawFd;
        use std::os::unix::process::CommandExt;
        let mounts = fs::File::open(format!("/proc/{}/ns/mnt", self.mounts.id())).expect("a namespace");
        let folder = std::ffi::CString::new(self.bundle.as_os_str().as_encoded_bytes()).expect("a path");
        let mut command = Command::new(program);
        // SAFETY: two system calls on things that were made before.
        unsafe {
            command.pre_exec(move || {
                if libc::setns(mounts.as_raw_fd(), libc::CLONE_NEWNS) != 0 || libc::chdir(folder.as_ptr()) != 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        command
    }

    /// Does something in a thread that sees crun's mounts, as our own operations mount: by system call.
    fn with_mounts(&self, act: impl FnOnce() -> i32 + Send) {
        use std::os::fd::AsRawFd;
        let mounts = fs::File::open(format!("/proc/{}/ns/mnt", self.mounts.id())).expect("a namespace");
        std::thread::scope(|scope| {
            let acted = scope.spawn(|| {
                // SAFETY: no memory is involved; this thread ends right after.
                let entered = unsafe {
                    libc::unshare(libc::CLONE_FS) == 0 && libc::setns(mounts.as_raw_fd(), libc::CLONE_NEWNS) == 0
                };
                assert!(entered && act() == 0, "{}", std::io::Error::last_os_error());
            });
            acted.join().expect("no panic");
        });
    }

    fn cycle(&self, round: usize) -> Duration {
        let begun = Instant::now();
        let text = |path: &Path| std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).expect("a path");
        let (upper, work) = (self.bundle.join("upper"), self.bundle.join("work"));
        for folder in [&upper, &work] {
            fs::create_dir_all(folder).expect("a folder");
        }
        let layer = self.bundle.with_file_name("layer");
        let (layer, target) = (layer.display(), text(&self.bundle.join("rootfs")));
        let options = format!("lowerdir={layer},upperdir={},workdir={},volatile", upper.display(), work.display());
        let options = std::ffi::CString::new(options).expect("options");
        let kind = c"overlay".as_ptr() as usize;
        // SAFETY: NUL-terminated texts that outlive the call.
        self.with_mounts(|| unsafe {
            libc::mount(kind as *const _, target.as_ptr(), kind as *const _, 0, options.as_ptr().cast())
        });
        let run = self
            .command("crun")
            .arg("--root")
            .arg(&self.root)
            .args(["run", "--bundle"])
            .arg(&self.bundle)
            .arg(format!("r{round}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .expect("crun");
        assert!(run.success());
        // SAFETY: a NUL-terminated text that outlives the call.
        self.with_mounts(|| unsafe { libc::umount2(target.as_ptr(), 0) });
        for folder in [upper, work] {
            fs::remove_dir_all(folder).expect("removed");
        }
        begun.elapsed()
    }
}

impl Drop for Crun {
    fn drop(&mut self) {
        let _ = self.mounts.kill();
        let _ = self.mounts.wait();
        // crun also puts containers into hierarchies that only name them.
        for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            let _ = fs::remove_dir(hierarchy.path().join(format!("kedge-cycle-{}", std::process::id())));
        }
    }
}

/// What idle containers cost: their waiters, from `/proc/<pid>/smaps_rollup`.
async fn idle(runtime: &Runtime, sandbox: &Sandbox, folder: &Path) {
    const COUNT: usize = 20;
    let mut waiters = Vec::new();
    for number in 0..COUNT {
        let id = format!("idle{number}");
        runtime.create(container(sandbox, folder, &id, &["/bin/sleep", "1000"])).await.expect("created");
        let started = runtime.start(&id).await.expect("started");
        let status = fs::read_to_string(format!("/proc/{}/status", started.pid)).expect("a process");
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).expect("a parent");
        waiters.push(parent.trim().to_owned());
    }
    let sum = |key: &str, pid: &str| -> u64 {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
    };
    let total = |key: &str| waiters.iter().map(|pid| sum(key, pid)).sum::<u64>() as f64 / COUNT as f64;
    println!(
        "waiter: {:.1} KiB resident, {:.1} KiB proportional, {:.1} KiB private for each of {COUNT} idle containers",
        total("Rss:"),
        total("Pss:"),
        total("Private_Dirty:") + total("Private_Clean:"),
    );
    let zygote = runtime.zygote_pid().await.to_string();
    println!("zygote: {} KiB proportional, {} KiB private dirty", sum("Pss:", &zygote), sum("Private_Dirty:", &zygote));
    for number in 0..COUNT {
        runtime.remove(&format!("idle{number}")).await.expect("removed");
    }
}
