//! `cargo xtask demo`: one device, from nothing to an answer over HTTP.
//!
//! In: this checkout, root's rights. Out: a running `edged` with the example Deployment, what to try next, and a clean
//! end on Ctrl-C. State is under `target/demo/data`, so a second run goes on where the first one ended.
//! Uses the shipped programs as a user would: whatever works here works by hand.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep, timeout};

use crate::command::{self, Done, Failure};
use crate::{guests, images, setup};

/// A first start makes keys and a database; on a slow card that is seconds, not minutes.
const READY: Duration = Duration::from_secs(60);
/// Between two looks at whether the API answers: nothing tells a process outside of it.
const LOOK: Duration = Duration::from_millis(50);
/// The daemon ends within this, or it is said.
const STOP: Duration = Duration::from_secs(20);
/// Three pods start within seconds when the image is there.
const ROLLED_OUT: &str = "120s";

/// Its bridge and its cgroup.
pub const NAME: &str = "kedge-demo";
/// The last that it says before it waits.
pub const LAST: &str = "Ctrl-C stops the device.";

/// What the demonstration may be told.
#[derive(clap::Args)]
pub struct Options {
    /// Where the device keeps its state [default: target/demo/data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where the API listens.
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:6443")]
    listen: SocketAddr,
    /// Stop when the web server has answered, instead of waiting for Ctrl-C.
    #[arg(long)]
    once: bool,
}

/// Sets up, builds, starts, shows, waits, stops.
pub fn run(options: &Options) -> Done {
    if !setup::is_root() {
        return Err(Failure::Said(
            "the demonstration starts real containers and networks and needs root: run it with sudo or as root".into(),
        ));
    }
    setup::run_with(false)?;
    guests::build()?;
    println!("Building edged and edgectl.");
    command::build_release()?;
    let archives = images::build()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Failure::Start { program: "the demonstration".into(), source })?;
    runtime.block_on(async {
        let mut stop = Stop::listen()?;
        let mut device = Device::start(options)?;
        let shown = tokio::select! {
            shown = show(&mut device, &archives, options.once) => shown,
            () = stop.asked() => Ok(()),
        };
        println!("\nStopping the device: its containers, networks and mounts go, its data stays.");
        shown.and(device.end().await)
    })
}

/// Everything between start and end.
async fn show(device: &mut Device, archives: &[PathBuf], once: bool) -> Done {
    device.ready().await?;
    for archive in archives {
        device.edgectl(&["image", "load", &archive.to_string_lossy()]).await?;
    }
    let manifest = command::root().join("configs/examples/web.yaml");
    device.edgectl(&["apply", "-f", &manifest.to_string_lossy()]).await?;
    device.edgectl(&["rollout", "status", "deployment/web", "--timeout", ROLLED_OUT]).await?;
    device.edgectl(&["get", "pods", "-o", "wide"]).await?;
    let path = "jsonpath={.items[*].status.podIP}";
    let addresses = device.answer(&["get", "pods", "-l", "app=web", "-o", path]).await?;
    let address = addresses.split_whitespace().next().ok_or_else(|| Failure::Said("no pod has an address".into()))?;
    println!("\nGET http://{address}:8080/");
    println!("  {}", fetch(address)?.trim());
    if once {
        return Ok(());
    }
    println!("{}", device.what_next(address));
    // Who kills the daemon wants to see that nothing else ends.
    while device.killed().await? {
        println!("\nedged was killed; the containers go on. Starting it again.");
        device.child = launch(&device.data, &device.config, &device.log, device.listen)?;
        device.ready().await?;
        device.edgectl(&["get", "pods", "-o", "wide"]).await?;
    }
    Ok(())
}

/// One request over a plain socket.
pub fn fetch(address: &str) -> Done<String> {
    let failed = |e: std::io::Error| Failure::Said(format!("the web server at {address} did not answer: {e}"));
    let patience = Duration::from_secs(5);
    let to = format!("{address}:8080").parse().map_err(|_| Failure::Said(format!("{address} is no address")))?;
    let mut stream = TcpStream::connect_timeout(&to, patience).map_err(failed)?;
    stream.set_read_timeout(Some(patience)).map_err(failed)?;
    write!(stream, "GET / HTTP/1.0\r\nHost: {address}\r\n\r\n").map_err(failed)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(failed)?;
    let page = page(&answer).map(str::to_owned);
    page.ok_or_else(|| Failure::Said(format!("the web server at {address} did not give its page: {answer:?}")))
}

/// What an answer holds, if it is a good one.
fn page(answer: &str) -> Option<&str> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let mut words = head.split(' ');
    (words.next()?.starts_with("HTTP/1.") && words.next() == Some("200")).then_some(body)
}

struct Device {
    data: PathBuf,
    config: PathBuf,
    log: PathBuf,
    listen: SocketAddr,
    child: Child,
}

/// Starts the daemon; what it says goes to the end of the log.
fn launch(data: &Path, config: &Path, log: &Path, listen: SocketAddr) -> Done<Child> {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(log);
    let file = file.map_err(|source| Failure::File { act: "open", path: log.into(), source })?;
    let kubeconfig = data.join("admin.kubeconfig");
    // An old one would look like a device that is ready.
    if let Err(source) = std::fs::remove_file(&kubeconfig)
        && source.kind() != std::io::ErrorKind::NotFound
    {
        return Err(Failure::File { act: "remove", path: kubeconfig, source });
    }
    let program = command::binary("edged");
    let mut edged = std::process::Command::new(&program);
    edged.args(["--node-name", "demo", "--listen", &listen.to_string()]);
    edged.arg("--data-dir").arg(data).arg("--config").arg(config);
    // A group of its own: Ctrl-C is for us, and we stop the daemon in order.
    edged.stdin(Stdio::null()).stderr(file).process_group(0);
    Command::from(edged).spawn().map_err(|source| Failure::Start { program: program.display().to_string(), source })
}

impl Device {
    fn start(options: &Options) -> Done<Device> {
        let folder = command::target().join("demo");
        let data = options.data_dir.clone().unwrap_or_else(|| folder.join("data"));
        let config = folder.join("edged.yaml");
        put(&config, &settings())?;
        let log = folder.join("edged.log");
        let child = launch(&data, &config, &log, options.listen)?;
        println!("Started edged; its log is {}.", log.display());
        Ok(Device { data, config, log, listen: options.listen, child })
    }

    fn kubeconfig(&self) -> PathBuf {
        self.data.join("admin.kubeconfig")
    }

    /// Waits until the credentials are written and `/readyz` answers 200.
    async fn ready(&mut self) -> Done {
        let begun = Instant::now();
        while begun.elapsed() < READY {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(self.ended(status));
            }
            if self.kubeconfig().exists() && self.quiet(&["get", "--raw", "/readyz"]).await?.is_some() {
                println!("The device is ready after {} ms.", begun.elapsed().as_millis());
                return Ok(());
            }
            sleep(LOOK).await;
        }
        Err(Failure::Said(format!("the device was not ready within {READY:?}; see {}", self.log.display())))
    }

    fn edgectl_command(&self, words: &[&str]) -> Command {
        let mut edgectl = Command::new(command::binary("edgectl"));
        edgectl.arg("--kubeconfig").arg(self.kubeconfig()).args(words).stdin(Stdio::null()).kill_on_drop(true);
        edgectl
    }

    /// Runs a command for the user to see.
    async fn edgectl(&self, words: &[&str]) -> Done {
        println!("\n$ edgectl {}", words.join(" "));
        let status = self.edgectl_command(words).status().await.map_err(start)?;
        if status.success() { Ok(()) } else { Err(self.failed(words, status)) }
    }

    /// Runs a command for its output.
    async fn answer(&self, words: &[&str]) -> Done<String> {
        let output = self.edgectl_command(words).stderr(Stdio::inherit()).output().await.map_err(start)?;
        if !output.status.success() {
            return Err(self.failed(words, output.status));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs a command that may fail without a word.
    async fn quiet(&self, words: &[&str]) -> Done<Option<String>> {
        let output = self.edgectl_command(words).output().await.map_err(start)?;
        Ok(output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned()))
    }

    fn failed(&self, words: &[&str], status: ExitStatus) -> Failure {
        let log = self.log.display();
        Failure::Said(format!("`edgectl {}` ended with {status}; the device's log is {log}", words.join(" ")))
    }

    fn ended(&self, status: ExitStatus) -> Failure {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(10).collect();
        let last: Vec<&str> = lines.into_iter().rev().collect();
        Failure::Said(format!("edged ended with {status}; the end of {}:\n{}", self.log.display(), last.join("\n")))
    }

    /// Waits for the daemon's end: true if a signal ended it, an error if it gave up.
    async fn killed(&mut self) -> Done<bool> {
        let status = self.child.wait().await.map_err(start)?;
        match status.signal() {
            Some(libc::SIGKILL | libc::SIGSEGV | libc::SIGABRT) => Ok(true),
            Some(_) => Ok(false),
            None if status.success() => Ok(false),
            None => Err(self.ended(status)),
        }
    }

    fn what_next(&self, address: &str) -> String {
        let edgectl = command::binary("edgectl");
        let bin = edgectl.parent().unwrap_or(Path::new(".")).display();
        let images = images::WEB;
        format!(
            "
The device runs. In another terminal:

  export KUBECONFIG={kubeconfig}
  export PATH={bin}:$PATH

  edgectl get pods -o wide                 what runs, and where; kubectl works as well
  edgectl logs deployment/web              what it says
  edgectl exec deployment/web -- ps        what is inside
  wget -qO- http://{address}:8080/         what it answers
  edgectl scale deployment/web --replicas=5
  kubectl set image deployment/web web={images}:2
  edgectl rollout undo deployment/web
  kill -9 {pid}                            kills the daemon: the web servers go on, none restarts
  edgectl plugin list                      what decides: every rule is a Wasm component

{LAST}",
            kubeconfig = self.kubeconfig().display(),
            pid = self.child.id().unwrap_or_default(),
        )
    }

    /// Stops the daemon, then removes what it made in the system.
    async fn end(mut self) -> Done {
        if let (Some(pid), Ok(None)) = (self.child.id(), self.child.try_wait()) {
            // SAFETY: a plain call; the process is our child and not reaped yet, so the number is its own.
            unsafe { libc::kill(pid.cast_signed(), libc::SIGTERM) };
            if timeout(STOP, self.child.wait()).await.is_err() {
                println!("edged did not end within {STOP:?} and is killed.");
                self.child.kill().await.map_err(start)?;
            }
        }
        let mut cleanup = std::process::Command::new(command::binary("edged"));
        cleanup.args(["cleanup", "--data-dir"]).arg(&self.data).arg("--config").arg(&self.config);
        command::run(&mut cleanup)?;
        println!("Stopped. The device's data is in {}; remove the folder to begin anew.", self.data.display());
        Ok(())
    }
}

/// The demonstration stands beside a real device of this machine without touching it.
fn settings() -> String {
    format!(
        "\
# The demonstration's own names and addresses, so that it stands beside a device of this machine.
network:
  bridge: {NAME}
  podRange: 10.44.0.0/24
containers:
  cgroupParent: {NAME}
"
    )
}

fn put(path: &Path, text: &str) -> Done {
    std::fs::write(path, text).map_err(|source| Failure::File { act: "write", path: path.into(), source })
}

fn start(source: std::io::Error) -> Failure {
    Failure::Start { program: "edgectl".into(), source }
}

/// Ctrl-C and SIGTERM.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn listen() -> Done<Stop> {
        let listen =
            |kind| signal(kind).map_err(|source| Failure::Start { program: "a signal handler".into(), source });
        Ok(Stop { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => (),
            _ = self.terminate.recv() => (),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_good_answer_is_a_page() {
        for (answer, want) in [
            ("HTTP/1.0 200 OK\r\nA: b\r\n\r\nhello\r\n\r\n", Some("hello\r\n\r\n")),
            ("HTTP/1.1 200 OK\r\n\r\n", Some("")),
            ("HTTP/1.1 404 Not Found\r\n\r\nnot 200", None),
            ("HTTP/1.1 200 OK\r\nA: b", None),
            ("SSH-2.0 200 \r\n\r\n", None),
            ("", None),
        ] {
            assert_eq!(page(answer), want, "{answer:?}");
        }
    }
}
