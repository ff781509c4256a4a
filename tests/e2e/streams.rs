//! Exec, attach, run, cp and port-forward into real containers: by edgectl, by kubectl old and new, by both protocols.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use kedge::{Device, Output, Running, programs, until};

use crate::words::{deployment, script};

const SOON: Duration = Duration::from_secs(30);

/// A client: edgectl or a kubectl, and whether it may speak WebSocket.
struct Client<'a> {
    program: PathBuf,
    device: &'a Device,
    websockets: bool,
}

impl Client<'_> {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        let websockets = if self.websockets { "true" } else { "false" };
        command
            .env("HOME", self.device.setup.folder())
            .env("KUBECONFIG", self.device.kubeconfig())
            .env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets)
            .env("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets)
            .args(words)
            .stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn run(&self, words: &[&str]) -> Output {
        Output::of(&mut self.command(words))
    }

    /// Runs with input.
    fn fed(&self, words: &[&str], input: &[u8]) -> (String, i32) {
        let mut command = self.command(words);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        // A process that does not read to the end ends this with an error.
        let writing = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let done = child.wait_with_output().unwrap();
        writing.join().unwrap();
        (String::from_utf8_lossy(&done.stdout).into_owned(), done.status.code().unwrap_or(-1))
    }
}

#[test]
fn everybody_talks_to_containers() {
    let Some(device) = Device::with_images("streams") else { return };
    device.apply(&deployment("web", 1, 1)).ok();
    device.rolled_out("web");
    let web = device.get(&["pods", "-l", "app=web"])["items"][0]["metadata"]["name"].as_str().unwrap().to_owned();
    let mut all = vec![(device.setup.edgectl_program(), true)];
    for kubectl in programs::kubectls() {
        // The one of 2020 has SPDY only.
        all.extend((kubectl.name != "1.20").then(|| (kubectl.program.clone(), true)));
        all.push((kubectl.program, false));
    }
    for (number, (program, websockets)) in all.into_iter().enumerate() {
        eprintln!("with {}, WebSockets {websockets}", program.display());
        let client = Client { program: program.to_path_buf(), device: &device, websockets };
        talk(&client, &web, number);
    }
    // Sessions leave nothing behind in the container.
    let left = device.edgectl(&["exec", &web, "--", "ps"]).ok();
    assert!(!left.contains("cat") && !left.contains("sleep 4243"), "{left}");
}

fn talk(client: &Client<'_>, web: &str, number: usize) {
    // Exec: outputs apart, input to its end, exit codes, what cannot be run.
    let said = client.run(&["exec", web, "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((said.stdout.as_str(), said.code), ("out\n", 7), "{said}");
    assert!(said.stderr.contains("err\n") && said.stderr.contains("exit code 7"), "{said}");
    let much = "x".repeat(1 << 20);
    let (out, code) = client.fed(&["exec", "-i", web, "--", "cat"], much.as_bytes());
    assert_eq!((out.len(), code), (much.len(), 0));
    let said = client.run(&["exec", web, "--", "no-such-program"]).fails(&["executable file not found in $PATH"]);
    assert!(said.contains("error executing command in container") && !said.contains("upgrade"), "{said}");

    // Attach: what is typed is read, what is written is seen; the end of the input for one client is the container's.
    let reader = format!("reader-{number}");
    let pod = script(&reader, "Never", "while read line; do echo got $line; done; echo over");
    client.device.apply(&pod.replace("    command:", "    stdin: true\n    stdinOnce: true\n    command:")).ok();
    client.device.wait_for(&["pod", &reader], SOON, |pod| match pod["status"]["phase"].as_str() {
        Some("Running") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let (out, code) = client.fed(&["attach", "-i", &reader], b"one\ntwo\n");
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("got one\ngot two\nover\n"), "{out:?}");
    let log = client.device.edgectl(&["logs", &reader]).ok();
    assert_eq!(log, "got one\ngot two\nover\n");

    // Run: input, output and exit code of a pod that is gone afterwards.
    let name = format!("once-{number}");
    let words = ["run", &name, "-i", "--rm", "--quiet", "--restart=Never", "--image=kedge.dev/demo/web:1"];
    let words = [&words[..], &["--command", "--", "sh", "-c", "cat; exit 4"]].concat();
    let (out, code) = client.fed(&words, b"typed\n");
    assert!(out.contains("typed\n"), "{out:?}");
    assert_eq!(code, 4, "{out}");
    client.run(&["get", "pod", &name]).fails(&["not found"]);

    // Copies there and back.
    let there = client.device.file(&format!("there-{number}"), much.as_bytes());
    let back = there.with_extension("back");
    client.run(&["cp", &there.to_string_lossy(), &format!("{web}:/tmp/copied")]).ok();
    let copied = client.run(&["cp", &format!("{web}:/tmp/copied"), &back.to_string_lossy()]);
    if copied.code != 0 || !std::fs::read(&back).is_ok_and(|back| back == much.as_bytes()) {
        // What there is to copy, and whether it is the copying or the first copy that went wrong.
        let there =
            client.device.edgectl(&["exec", web, "--", "sh", "-c", "ls -l /tmp/copied; tar cf - /tmp/copied | md5sum"]);
        let again = client.run(&["cp", &format!("{web}:/tmp/copied"), &back.to_string_lossy()]);
        panic!("a copy back failed: {copied}\nin the pod: {there}\nonce more: {again}");
    }

    // Ports.
    let log = client.device.file(&format!("ports-{number}"), b"");
    let out = std::fs::File::create(&log).unwrap();
    let words = ["port-forward", "--address=127.0.0.1", "deployment/web", ":8080"];
    let _running = Running(client.command(&words).stdout(out).spawn().unwrap());
    let port = until("a forwarded port", SOON, || forwarded(&log));
    for _ in 0..3 {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("web version 1 on"), "{answer}");
    }
}

fn forwarded(log: &Path) -> Result<u16, String> {
    let text = std::fs::read_to_string(log).map_err(|e| e.to_string())?;
    let port = text.split_once("127.0.0.1:").and_then(|(_, rest)| rest.split_once(' '));
    port.and_then(|(port, _)| port.parse().ok()).ok_or(text)
}

#[test]
fn pods_and_services_answer_through_the_proxy() {
    let Some(device) = Device::with_images("proxies") else { return };
    let service = "---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\n\
                   spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}\n";
    device.apply(&format!("{}{service}", deployment("web", 1, 1))).ok();
    device.rolled_out("web");
    let web = device.get(&["pods", "-l", "app=web"])["items"][0]["metadata"]["name"].as_str().unwrap().to_owned();
    for path in [format!("pods/{web}:8080"), "services/web:80".to_owned()] {
        let page = device.edgectl(&["get", "--raw", &format!("/api/v1/namespaces/default/{path}/proxy/")]).ok();
        assert!(page.contains("web version 1 on"), "{path}: {page}");
    }
}
