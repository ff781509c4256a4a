//! One real device: a daemon with everything of its own, removed with all traces at the end.
//!
//! In: the built programs. Out: a running device and hands on it. At the end of a test that passes nothing may be
//! left; of one that fails the end of the daemon's log is printed.

use std::fs::{self, OpenOptions};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::leftovers::{self, Marks};
use crate::{Output, programs, until};

/// Ready comes within 300 ms on a quiet machine; this is for a busy one with cold caches.
const READY: Duration = Duration::from_secs(60);
/// SIGTERM to the end.
const STOP: Duration = Duration::from_secs(20);
/// Three pods start in a second or two; a busy machine takes longer.
pub const ROLLED_OUT: Duration = Duration::from_secs(90);

/// What a device is made of before it starts.
pub struct Setup {
    name: String,
    folder: tempfile::TempDir,
    binaries: PathBuf,
    images: [PathBuf; 2],
    port: u16,
    marks: Marks,
    pod_range: String,
}

/// A device of a test.
pub struct Device {
    /// Its parts' names and places.
    pub setup: Setup,
    child: Option<Child>,
}

impl Setup {
    /// A device's own names and places, or nothing if such tests are skipped here.
    #[track_caller]
    pub fn new(name: &str) -> Option<Setup> {
        let (binaries, images) = match programs::complete() {
            Ok(found) => found,
            Err(why) => {
                programs::skip(&why);
                return None;
            }
        };
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        let folder = tempfile::Builder::new().prefix(&format!("kedge-{name}-")).tempdir().expect("a temporary folder");
        let data = folder.path().canonicalize().expect("it was just made").join("data");
        let setup = Setup {
            name: format!("{name}-{number}"),
            binaries,
            images,
            port: free_port(),
            marks: Marks {
                data,
                bridge: format!("kt{:x}x{number}", process & 0xff_ffff),
                cgroup: format!("kedge-test-{process}-{number}"),
            },
            // 10.64.0.0 to 10.127.255.0: one /24 for each device of each of 64 processes.
            pod_range: format!("10.{}.{}.0/24", 64 + process % 64, number % 256),
            folder,
        };
        setup.configure("");
        Some(setup)
    }

    /// Adds sections to the configuration. Called again, replaces them.
    pub fn configure(&self, more: &str) {
        let text = format!(
            "network:\n  bridge: {}\n  podRange: {}\ncontainers:\n  cgroupParent: {}\n{more}",
            self.marks.bridge, self.pod_range, self.marks.cgroup
        );
        fs::write(self.config(), text).expect("the folder is ours");
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.marks.data
    }

    /// Files of the test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The API's port on the loopback address.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How its things are found in the system.
    pub fn marks(&self) -> &Marks {
        &self.marks
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("edged.yaml")
    }

    /// The archive of the demo image in version 1 or 2.
    pub fn image(&self, version: usize) -> &Path {
        &self.images[version - 1]
    }

    /// The daemon's command line, not started.
    pub fn edged(&self) -> Command {
        let mut edged = Command::new(self.edged_program());
        edged.arg("--data-dir").arg(&self.marks.data).arg("--config").arg(self.config());
        edged.args(["--listen", &format!("127.0.0.1:{}", self.port), "--node-name", &self.name]);
        edged.stdin(Stdio::null());
        edged
    }

    /// The daemon's program.
    pub fn edged_program(&self) -> PathBuf {
        self.binaries.join("edged")
    }

    /// The command line's program.
    pub fn edgectl_program(&self) -> PathBuf {
        self.binaries.join("edgectl")
    }

    /// Starts the daemon and waits until it is ready.
    #[track_caller]
    pub fn start(self) -> Device {
        let mut device = Device { setup: self, child: None };
        device.start();
        device
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("edged.log")
    }
}

impl Device {
    /// A running device with its own everything, or nothing if such tests are skipped here.
    #[track_caller]
    pub fn new(name: &str) -> Option<Device> {
        Some(Setup::new(name)?.start())
    }

    /// The same with both versions of the demo image loaded.
    #[track_caller]
    pub fn with_images(name: &str) -> Option<Device> {
        let device = Device::new(name)?;
        device.load_images();
        Some(device)
    }

    /// Loads both versions of the demo image.
    #[track_caller]
    pub fn load_images(&self) {
        for version in [1, 2] {
            self.edgectl(&["image", "load", &self.setup.image(version).to_string_lossy()]).ok();
        }
    }

    /// Starts the daemon, which is not running, and waits until it is ready.
    #[track_caller]
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "the daemon runs already");
        let log = OpenOptions::new().create(true).append(true).open(self.setup.log()).expect("the folder is ours");
        let child = self.setup.edged().stderr(log).spawn().expect("edged is a program");
        self.child = Some(child);
        self.ready();
    }

    /// Waits until the credentials are there and `/readyz` answers 200.
    #[track_caller]
    pub fn ready(&mut self) {
        let kubeconfig = self.kubeconfig();
        let child = self.child.as_mut().expect("started");
        let log = self.setup.log();
        let program = self.setup.edgectl_program();
        until("a ready device", READY, || {
            if let Ok(Some(status)) = child.try_wait() {
                panic!("edged ended with {status}:\n{}", tail(&log, 30));
            }
            if !kubeconfig.exists() {
                return Err("no admin.kubeconfig".to_owned());
            }
            let mut ask = Command::new(&program);
            ask.arg("--kubeconfig").arg(&kubeconfig).args(["get", "--raw", "/readyz"]);
            Output::of(&mut ask).seen()
        });
    }

    /// The daemon's process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the daemon runs").id()
    }

    /// The process that starts containers.
    #[track_caller]
    pub fn zygote(&self) -> u32 {
        let twins = leftovers::twins(self.pid());
        assert_eq!(twins.len(), 1, "a daemon has one zygote: {twins:?}");
        twins[0]
    }

    /// SIGKILL to the daemon alone.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the daemon runs");
        child.kill().expect("it is our child");
        child.wait().expect("it is our child");
    }

    /// SIGTERM, and waits for the end.
    #[track_caller]
    pub fn stop(&mut self) {
        let mut child = self.child.take().expect("the daemon runs");
        leftovers::kill(child.id(), libc::SIGTERM);
        let log = self.setup.log();
        let status = until("the daemon's end after SIGTERM", STOP, || {
            child.try_wait().expect("it is our child").ok_or_else(|| tail(&log, 10))
        });
        assert!(status.success(), "edged ended with {status} after SIGTERM:\n{}", tail(&log, 10));
    }

    /// What a cut of the power does: every process of the device dies at once, every mount and link is gone.
    #[track_caller]
    pub fn cut_power(&mut self) {
        let marks = self.setup.marks.clone();
        let zygotes = leftovers::twins(self.pid());
        self.kill();
        zygotes.into_iter().for_each(|pid| leftovers::kill(pid, libc::SIGKILL));
        let patience = Duration::from_secs(20);
        until("the end of all processes", patience, || {
            let alive = marks.processes();
            alive.iter().for_each(|pid| leftovers::kill(*pid, libc::SIGKILL));
            if alive.is_empty() { Ok(()) } else { Err(format!("{alive:?}")) }
        });
        until("the end of all mounts", patience, || {
            let mounts = marks.mounts();
            for point in &mounts {
                Output::of(Command::new("umount").arg("-l").arg(point));
            }
            if mounts.is_empty() { Ok(()) } else { Err(format!("{mounts:?}")) }
        });
        for table in marks.tables() {
            Output::of(Command::new("nft").args(["delete", "table"]).args(table.split(' '))).ok();
        }
        let bridge = marks.bridge.clone();
        for link in marks.links().iter().filter(|link| **link != bridge).chain([&bridge]) {
            // A veth goes with its namespace: it may be gone already.
            Output::of(Command::new("ip").args(["link", "delete", link]));
        }
        until("the end of all cgroups", patience, || {
            let cgroups = marks.cgroups();
            let left: Vec<_> = cgroups.iter().filter(|path| fs::remove_dir(path).is_err()).collect();
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        });
        let left = marks.all();
        assert!(left.is_empty(), "a cut of the power leaves nothing in memory: {left:?}");
    }

    /// The administrator's credentials.
    pub fn kubeconfig(&self) -> PathBuf {
        self.setup.data().join("admin.kubeconfig")
    }

    /// Runs `edgectl`.
    #[track_caller]
    pub fn edgectl(&self, words: &[&str]) -> Output {
        Output::of(self.edgectl_command().args(words))
    }

    /// `edgectl` with the credentials, not started.
    pub fn edgectl_command(&self) -> Command {
        let mut edgectl = Command::new(self.setup.edgectl_program());
        edgectl.arg("--kubeconfig").arg(self.kubeconfig()).stdin(Stdio::null());
        edgectl
    }

    /// Applies a manifest given as text.
    #[track_caller]
    pub fn apply(&self, manifest: &str) -> Output {
        let path = self.file("manifest.yaml", manifest.as_bytes());
        self.edgectl(&["apply", "-f", &path.to_string_lossy()])
    }

    /// Writes a file of the test.
    #[track_caller]
    pub fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.setup.folder().join(name);
        fs::write(&path, content).expect("the folder is ours");
        path
    }

    /// Objects as JSON: the words of `get`.
    #[track_caller]
    pub fn get(&self, words: &[&str]) -> Value {
        let mut all = vec!["get", "-o", "json"];
        all.extend(words);
        let text = self.edgectl(&all).ok();
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("edgectl {all:?} printed no JSON: {e}: {text}"))
    }

    /// Waits until an object looks right; `look` answers what is still wrong.
    #[track_caller]
    pub fn wait_for(&self, words: &[&str], within: Duration, look: impl Fn(&Value) -> Result<(), String>) -> Value {
        let mut all = vec!["get", "-o", "json"];
        all.extend(words);
        until(&words.join(" "), within, || {
            let text = self.edgectl(&all).seen()?;
            let object = serde_json::from_str(&text).map_err(|e| e.to_string())?;
            look(&object).map(|()| object)
        })
    }

    /// Waits for the end of a roll-out.
    #[track_caller]
    pub fn rolled_out(&self, deployment: &str) {
        let patience = format!("{}s", ROLLED_OUT.as_secs());
        let done = self.edgectl(&["rollout", "status", &format!("deployment/{deployment}"), "--timeout", &patience]);
        if done.code != 0 {
            let pods = self.edgectl(&["describe", "pods", "--show-events"]);
            panic!("{done}\n{}", pods.stdout);
        }
    }

    /// `address:8080` of pods that are ready and not on their way out.
    pub fn ready_addresses(&self, selector: &str) -> Vec<String> {
        let output = self.edgectl(&["get", "pods", "-o", "json", "-l", selector]);
        let list: Value = serde_json::from_str(&output.stdout).unwrap_or_default();
        let items = list["items"].as_array().cloned().unwrap_or_default();
        items.iter().filter(|pod| is_serving(pod)).filter_map(address).collect()
    }

    /// The end of the daemon's log.
    pub fn log(&self) -> String {
        tail(&self.setup.log(), 200)
    }

    /// Still works: something can be written, and read again.
    #[track_caller]
    pub fn goes_on(&self) {
        self.edgectl(&["create", "configmap", "goes-on", "--from-literal=a=b"]).ok();
        self.edgectl(&["delete", "configmap", "goes-on"]).ok();
    }

    /// Ends the daemon and removes all traces; what is left afterwards.
    pub fn remove(&mut self) -> Result<(), String> {
        if let Some(mut child) = self.child.take() {
            leftovers::kill(child.id(), libc::SIGTERM);
            let ended = (0..STOP.as_millis() / 20).any(|_| {
                std::thread::sleep(Duration::from_millis(20));
                matches!(child.try_wait(), Ok(Some(_)))
            });
            if !ended {
                let _ = child.kill();
                let _ = child.wait();
                return self.clean().and(Err("the daemon did not end after SIGTERM".into()));
            }
        }
        self.clean()
    }

    fn clean(&self) -> Result<(), String> {
        let mut cleanup = Command::new(self.setup.edged_program());
        cleanup.args(["cleanup", "--data-dir"]).arg(self.setup.data()).arg("--config").arg(self.setup.config());
        let done = Output::of(&mut cleanup);
        if done.code != 0 {
            return Err(done.to_string());
        }
        let left = self.setup.marks.all();
        if left.is_empty() { Ok(()) } else { Err(format!("left after cleanup: {left:#?}")) }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        if failed {
            eprintln!("--- the end of the daemon's log\n{}", self.log());
        }
        match self.remove() {
            Err(left) if failed => eprintln!("{left}"),
            Err(left) => panic!("{left}"),
            Ok(()) => (),
        }
    }
}

fn is_serving(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let is_ready = conditions.into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True");
    is_ready && pod["metadata"]["deletionTimestamp"].is_null()
}

fn address(pod: &Value) -> Option<String> {
    Some(format!("{}:8080", pod["status"]["podIP"].as_str()?))
}

fn tail(log: &Path, lines: usize) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// A port that nobody has at this moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}
