//! A device for one measurement.
//!
//! In: a name. Out: a running release `edged` with a folder, a bridge and cgroups of its own. When it is dropped,
//! daemon, containers, links and folder go.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::Value;

use super::http::Admin;
use super::said;
use crate::command::{self, Done, Failure, binary};

/// A first start makes keys and a database.
const READY: Duration = Duration::from_secs(30);
/// Between two looks: what is measured in hundreds of milliseconds does not notice it.
const LOOK: Duration = Duration::from_millis(1);
/// After this the daemon is killed.
const STOP: Duration = Duration::from_secs(15);
/// The parent of our cgroups.
pub const CGROUPS: &str = "kedge-bench";

/// A running device.
pub struct Device {
    /// Who may do everything on it.
    pub admin: Admin,
    /// From its start to `/readyz`.
    pub ready_after: Duration,
    child: Daemon,
    folder: Folder,
}

/// The process; it does not outlive us, whatever fails.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Device {
    /// Starts one on an empty folder.
    pub async fn start(name: &str) -> Done<Device> {
        Device::begin(Folder::empty(name)?).await
    }

    /// Stops the daemon and starts it again on the same folder.
    pub async fn again(self) -> Done<Device> {
        let folder = self.stop();
        Device::begin(folder).await
    }

    async fn begin(folder: Folder) -> Done<Device> {
        let port = free_port()?;
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let log = folder.path.join("edged.log");
        let log = std::fs::File::create(&log).map_err(|source| Failure::File { act: "make", path: log, source })?;
        let kubeconfig = folder.data().join("admin.kubeconfig");
        // An old one would look like a device that is ready.
        let _ = std::fs::remove_file(&kubeconfig);
        let mut edged = Command::new(binary("edged"));
        edged.arg("--data-dir").arg(folder.data()).arg("--config").arg(folder.config());
        edged.args(["--listen", &listen.to_string(), "--node-name", "bench"]);
        edged.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let begun = Instant::now();
        let child = edged.spawn().map_err(|source| Failure::Start { program: "edged".into(), source })?;
        let mut child = Daemon(child);
        let ready = ready(&mut child.0, listen, &kubeconfig, begun).await;
        match ready {
            Ok((admin, ready_after)) => Ok(Device { admin, ready_after, child, folder }),
            Err(error) => {
                let text = std::fs::read_to_string(folder.path.join("edged.log")).unwrap_or_default();
                Err(Failure::Said(format!("{error}\n{text}")))
            }
        }
    }

    /// The daemon's process.
    pub fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// The client program.
    pub fn edgectl(&self) -> Command {
        let mut edgectl = Command::new(binary("edgectl"));
        edgectl.arg("--kubeconfig").arg(self.kubeconfig());
        edgectl.stdin(Stdio::null()).stdout(Stdio::null());
        edgectl
    }

    /// How its administrator gets in.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.data().join("admin.kubeconfig")
    }

    /// Where files for this device may be put.
    pub fn folder(&self) -> &Path {
        &self.folder.path
    }

    fn stop(self) -> Folder {
        let Device { mut child, folder, .. } = self;
        let begun = Instant::now();
        // SAFETY: a plain call; the process is our child and not reaped yet, so the number is its own.
        unsafe { libc::kill(child.0.id().cast_signed(), libc::SIGTERM) };
        while matches!(child.0.try_wait(), Ok(None)) {
            if begun.elapsed() > STOP {
                eprintln!("         edged did not end within {STOP:?} and is killed");
                let _ = child.0.kill();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        folder
    }

    /// Stops it and removes everything.
    pub fn end(self) {
        drop(self.stop());
    }
}

async fn ready(child: &mut Child, listen: SocketAddr, kubeconfig: &Path, begun: Instant) -> Done<(Admin, Duration)> {
    while begun.elapsed() < READY {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(Failure::Said(format!("edged ended with {status}")));
        }
        if TcpStream::connect(listen).is_ok() && kubeconfig.exists() {
            let admin = Admin::read(kubeconfig)?;
            if let Ok((200, _)) = admin.once(Method::GET, "/readyz", &Value::Null).await {
                return Ok((admin, begun.elapsed()));
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(Failure::Said(format!("edged was not ready within {READY:?}")))
}

/// The device's folder; when it goes, what the device made in the system goes too.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn empty(name: &str) -> Done<Folder> {
        let path = command::target().join("bench").join(name);
        let folder = Folder { path };
        if folder.config().exists() {
            folder.clean();
        }
        std::fs::create_dir_all(&folder.path).map_err(|source| Failure::File {
            act: "make",
            path: folder.path.clone(),
            source,
        })?;
        std::fs::write(folder.config(), config(name)).map_err(|source| Failure::File {
            act: "write",
            path: folder.config(),
            source,
        })?;
        Ok(folder)
    }

    fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    fn config(&self) -> PathBuf {
        self.path.join("edged.yaml")
    }

    fn clean(&self) {
        if self.data().exists() {
            let mut cleanup = Command::new(binary("edged"));
            cleanup.args(["cleanup", "--data-dir"]).arg(self.data()).arg("--config").arg(self.config());
            let cleaned = cleanup.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
            if !cleaned.is_ok_and(|status| status.success()) {
                eprintln!("         `edged cleanup` failed in {}", self.data().display());
                return;
            }
        }
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.clean();
    }
}

/// A port that nobody uses; somebody could take it before we do, and then the start fails with a sentence.
pub fn free_port() -> Done<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(said("cannot listen on loopback"))?;
    listener.local_addr().map(|address| address.port()).map_err(said("cannot listen on loopback"))
}

/// Beside a real device of this machine, and beside another measurement, without touching it.
fn config(name: &str) -> String {
    let part = super::PARTS.iter().position(|(part, _)| *part == name).unwrap_or_default();
    format!(
        "network:\n  bridge: kb-{name}\n  podRange: 10.45.{part}.0/24\n  serviceRange: 10.46.0.0/16\n\
         containers:\n  cgroupParent: {CGROUPS}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_takes_the_names_of_our_links() {
        // Longest name of a link: 15 bytes.
        for (name, _) in super::super::PARTS {
            assert!(format!("kb-{name}").len() <= 15, "{name}");
        }
        assert!(config("idle").starts_with("network:\n  bridge: kb-idle\n  podRange"));
    }
}
