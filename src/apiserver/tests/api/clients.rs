//! kubectl of this machine, old and new, against a server whose node is a fake: exec, attach, cp's pipe, port-forward.
//!
//! Whichever kubectl are there are tried: those in `KEDGE_KUBECTL` (paths joined by `:`), Debian's below `target`, and
//! the system's. Without any, says so and passes.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::sockets::Served;
use crate::streams::device;

const PATIENCE: Duration = Duration::from_secs(60);

fn programs() -> Vec<PathBuf> {
    let given = std::env::var_os("KEDGE_KUBECTL").unwrap_or_default();
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/kubectl-debian/usr/bin/kubectl");
    let mut all: Vec<PathBuf> = std::env::split_paths(&given).chain([unpacked, "/usr/bin/kubectl".into()]).collect();
    all.retain(|path| path.is_file());
    if all.is_empty() {
        eprintln!("skipped: there is no kubectl on this machine");
    }
    all
}

struct Kubectl<'a> {
    program: &'a Path,
    served: &'a Served,
    /// Newer ones speak SPDY when they are told to.
    websockets: bool,
}

impl Kubectl<'_> {
    fn start(&self, words: &[&str]) -> Child {
        let folder = self.served.server.dir.path();
        let websockets = if self.websockets { "true" } else { "false" };
        Command::new(self.program)
            .arg("--kubeconfig")
            .arg(folder.join("admin.kubeconfig"))
            .args(words)
            .env("HOME", folder)
            .env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets)
            .env("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    /// Output, error output and exit code.
    async fn run(&self, words: &[&str], input: &[u8]) -> (String, String, Option<i32>) {
        let mut child = self.start(words);
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writing = tokio::spawn(async move {
            let _ = stdin.write_all(&input).await;
        });
        let done = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
        let done = done.unwrap_or_else(|_| panic!("{words:?} does not end")).unwrap();
        writing.await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (text(done.stdout), text(done.stderr), done.status.code())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_old_and_new_streams() {
    let programs = programs();
    let served = device().await;
    // The kubeconfig is there before the first connection is answered.
    assert!(served.get("/readyz", None, "").await.starts_with("HTTP/1.1 200"));
    for program in &programs {
        for websockets in [true, false] {
            eprintln!("{} with WebSockets {websockets}", program.display());
            everything(&Kubectl { program, served: &served, websockets }).await;
        }
    }
    served.end().await;
}

async fn everything(kubectl: &Kubectl<'_>) {
    // Exec: input to its end, both outputs, the exit code of the fake.
    let (out, err, code) = kubectl.run(&["exec", "-i", "a", "--", "cat"], b"hello").await;
    assert_eq!((out.as_str(), code), ("hello", Some(3)), "{err}");
    assert!(err.contains("oops") && err.contains("command terminated with exit code 3"), "{err}");
    let (out, err, code) = kubectl.run(&["exec", "a", "--", "true"], b"").await;
    assert_eq!((out.as_str(), code), ("", Some(3)), "{err}");
    // More than any buffer holds, as cp sends it.
    let much = vec![b'x'; 3 << 20];
    let (out, err, _) = kubectl.run(&["exec", "-i", "a", "--", "cat"], &much).await;
    assert_eq!(out.len(), much.len(), "{err}");
    // Attach: ends well with its container.
    let (out, err, code) = kubectl.run(&["attach", "-i", "a"], b"typed").await;
    assert_eq!((out.as_str(), code), ("typed", Some(0)), "{err}");

    let mut child = kubectl.start(&["port-forward", "--address=127.0.0.1", "pod/a", ":7", ":9"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut ports = Vec::new();
    while ports.len() < 2 {
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("a line").unwrap();
        let line = line.expect("kubectl goes on");
        let address = line.strip_prefix("Forwarding from 127.0.0.1:").and_then(|rest| rest.split_once(' '));
        ports.push(address.unwrap_or_else(|| panic!("{line}")).0.parse::<u16>().unwrap());
    }
    for _ in 0..3 {
        let mut stream = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, ports[0])).await.unwrap();
        stream.write_all(&much[..200_000]).await.unwrap();
        let mut back = vec![0; 200_000];
        tokio::time::timeout(PATIENCE, stream.read_exact(&mut back)).await.expect("an echo").unwrap();
        assert!(back == much[..200_000]);
    }
    // Nobody listens there: the connection ends, and the others go on.
    let mut refused = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, ports[1])).await.unwrap();
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, refused.read_to_end(&mut rest)).await.expect("an end");
    assert!(rest.is_empty());
    child.start_kill().unwrap();
    let said = child.wait_with_output().await.unwrap();
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("error forwarding port 9 to pod a, uid "), "{said}");
}
