//! The demonstration as README tells it: begun, asked over HTTP, ended with Ctrl-C, and nothing of it left.
//!
//! In: this checkout, built; root's rights. Out: success, or what was not as it should be. The demonstration is a child
//! of its own, with a port and a data directory of this test; every wait has a bound, and what it says goes through.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use kedge::leftovers::{Marks, kill};

use crate::command::{self, Done, Failure};
use crate::{demo, setup};

/// To the line that says how to reach it: everything is built, so this is a start, an image and three pods.
const SHOWN: Duration = Duration::from_secs(300);
/// From Ctrl-C to the end: the daemon has 20 s, and then everything is removed.
const ENDED: Duration = Duration::from_secs(90);
/// Between two looks at whether it has ended.
const LOOK: Duration = Duration::from_millis(50);
/// Lines that wait to be printed; it says fewer in all.
const LINES: usize = 1024;

/// Runs the tier.
pub fn run() -> Done {
    if !setup::is_root() {
        println!("SKIPPED: the demonstration needs root; run `cargo xtask test --only demo` as root.");
        return Ok(());
    }
    let data = command::target().join("demo/tried");
    forget(&data)?;
    let port = free_port().map_err(|error| Failure::Said(format!("no port is free on 127.0.0.1: {error}")))?;
    let mut cargo = command::cargo();
    cargo.args(["xtask", "demo", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"]).arg(&data);
    // A group of its own: what is to end it comes from here.
    cargo.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
    let mut child = cargo.spawn().map_err(|source| Failure::Start { program: "cargo xtask demo".into(), source })?;
    let lines = follow(child.stdout.take());
    let tried = shown(&lines).and_then(|address| {
        println!("== It answers at {address}; now Ctrl-C.");
        demo::fetch(&address)?;
        kill(child.id(), libc::SIGINT);
        ended(&mut child, &lines)
    });
    let marks = Marks { data: data.clone(), bridge: demo::NAME.into(), cgroup: demo::NAME.into() };
    let left = marks.all();
    if tried.is_err() || !left.is_empty() {
        clear(&mut child, &marks);
    }
    tried.and_then(|()| nothing(&left))?;
    forget(&data)
}

/// What the demonstration says, line by line, printed as it comes.
fn follow(stdout: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (sender, receiver) = sync_channel(LINES);
    std::thread::spawn(move || {
        // It was asked for.
        let Some(text) = stdout else { return };
        for line in BufReader::new(text).lines().map_while(Result::ok) {
            println!("{line}");
            // Nobody listens after a failure: the rest is only to be seen.
            let _ = sender.try_send(line);
        }
    });
    receiver
}

/// Waits until everything has been shown; the address at which the web server is to be reached.
fn shown(lines: &Receiver<String>) -> Done<String> {
    let (begun, mut address) = (Instant::now(), None);
    loop {
        let line = match lines.recv_timeout(SHOWN.saturating_sub(begun.elapsed())) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                return Err(Failure::Said(format!("the demonstration did not say how to go on within {SHOWN:?}")));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Failure::Said("the demonstration ended before it said how to go on".into()));
            }
        };
        address = address.or_else(|| reached(&line));
        if line == demo::LAST {
            let nowhere = || Failure::Said("the demonstration did not say where the web server answers".into());
            return address.ok_or_else(nowhere);
        }
    }
}

/// The address in the line that says what the web server answers.
fn reached(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("wget -qO- http://")?;
    let (address, _) = rest.split_once(":8080/")?;
    Some(address.to_owned())
}

/// Waits for its end, which must be a good one.
fn ended(child: &mut Child, lines: &Receiver<String>) -> Done {
    let begun = Instant::now();
    while begun.elapsed() < ENDED {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(Failure::Ended { line: "cargo xtask demo".into(), status }),
            Ok(None) => {}
            Err(source) => return Err(Failure::Start { program: "cargo xtask demo".into(), source }),
        }
        // A line or none: only the time counts. When all is said, only the end is to come.
        if let Err(RecvTimeoutError::Disconnected) = lines.recv_timeout(LOOK) {
            std::thread::sleep(LOOK);
        }
    }
    Err(Failure::Said(format!("the demonstration did not end within {ENDED:?} of Ctrl-C")))
}

/// Nothing may be left of it.
fn nothing(left: &[String]) -> Done {
    if left.is_empty() {
        return Ok(());
    }
    Err(Failure::Said(format!("the demonstration left behind what it made:\n  {}", left.join("\n  "))))
}

/// After a failure: ends what was begun here, so that the next run begins anew.
fn clear(child: &mut Child, marks: &Marks) {
    if let Ok(None) = child.try_wait() {
        kill(child.id(), libc::SIGKILL);
        let _ = child.wait();
    }
    for pid in marks.processes() {
        kill(pid, libc::SIGKILL);
    }
    let mut edged = std::process::Command::new(command::binary("edged"));
    edged.args(["cleanup", "--data-dir"]).arg(&marks.data);
    if let Err(fault) = command::run(&mut edged) {
        println!("{fault}");
    }
}

fn forget(data: &Path) -> Done {
    match std::fs::remove_dir_all(data) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::File { act: "remove", path: data.into(), source })
        }
        _ => Ok(()),
    }
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(said: &str, want: Result<&str, &str>) {
        let lines = follow(Some(std::io::Cursor::new(said.to_owned())));
        let got = shown(&lines).map_err(|fault| fault.to_string());
        assert_eq!(got.as_deref().map_err(String::as_str), want);
    }

    #[test]
    fn the_address_is_known_when_everything_is_said() {
        let line = "  wget -qO- http://10.44.0.2:8080/         what it answers";
        check(&format!("GET http://10.9.9.9:8080/\n{line}\n\n{}\n", demo::LAST), Ok("10.44.0.2"));
        check(demo::LAST, Err("the demonstration did not say where the web server answers"));
        check(line, Err("the demonstration ended before it said how to go on"));
        check("", Err("the demonstration ended before it said how to go on"));
    }

    #[test]
    fn what_is_left_is_named() {
        assert!(nothing(&[]).is_ok());
        let fault = nothing(&["link kedge-demo".into(), "mount /x".into()]).unwrap_err().to_string();
        assert!(fault.ends_with("\n  link kedge-demo\n  mount /x"), "{fault}");
    }
}
