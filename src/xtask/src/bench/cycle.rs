//! A container's whole life against other runtimes: the runtime's own example does it, interleaved.

use std::process::{Command, Stdio};
use std::time::Instant;

use super::row::{Row, median};
use crate::command::{self, Done, Failure, on_path};

/// Containers of each runtime.
const ROUNDS: usize = 60;
/// Containers by podman, which takes several times as long.
const PODMAN_ROUNDS: usize = 15;
/// The share of crun's time.
const REACH: f64 = 0.7;

/// Create, start, `/bin/true`, exit, delete.
pub fn measure() -> Done<Vec<Row>> {
    let mut example = Command::new(command::target().join("tools/examples/cycle"));
    let text = command::output(example.arg(ROUNDS.to_string()).stdin(Stdio::null()))?;
    let number = |line: &str, after: &str| -> Option<f64> {
        let line = text.lines().find(|one| one.starts_with(line))?;
        line.split_once(after)?.1.split_whitespace().next()?.parse().ok()
    };
    let ours = number("kedge:", "kedge: ")
        .ok_or_else(|| Failure::Said(format!("the example did not say how long:\n{text}")))?;
    let mut row = Row::new("container: create, start, exit, delete", format!("{ours:.1} ms"));
    let mut peers = Vec::new();
    if let Some(crun) = number("crun:", "crun: ") {
        let share = ours / crun;
        peers.push(format!("crun {crun:.1} ms: {share:.2} of it"));
        row = row.reach("0.7 of crun", share <= REACH);
    }
    if let Some(podman) = podman()? {
        peers.push(format!("podman run {podman:.0} ms: {:.2} of it", ours / podman));
    }
    let mut rows = vec![if peers.is_empty() { row } else { row.peer(peers.join("; ")) }];
    if let Some(waiter) = number("waiter:", "waiter: ") {
        rows.push(Row::new("resident memory of a container's waiter", format!("{waiter:.1} KiB")));
    }
    Ok(rows)
}

/// The median in milliseconds, if podman is installed and can run a container here.
fn podman() -> Done<Option<f64>> {
    if !on_path("podman") {
        return Ok(None);
    }
    let root = command::target().join("bench/podman");
    let failed = |act| {
        let path = root.clone();
        move |source| Failure::File { act, path, source }
    };
    std::fs::create_dir_all(root.join("rootfs/bin")).map_err(failed("make"))?;
    std::fs::copy("/bin/busybox", root.join("rootfs/bin/true")).map_err(failed("fill"))?;
    let mut each = Vec::new();
    for _ in 0..PODMAN_ROUNDS {
        let mut podman = Command::new("podman");
        podman.arg("--root").arg(root.join("state")).arg("--runroot").arg(root.join("run"));
        podman.args(["--runtime", "crun", "run", "--rm", "--network=none", "--rootfs"]).arg(root.join("rootfs"));
        let begun = Instant::now();
        let done = podman.arg("/bin/true").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if done.is_ok_and(|status| status.success()) {
            each.push(begun.elapsed().as_secs_f64() * 1e3);
        } else {
            eprintln!("         podman does not run a container here and is left out");
            break;
        }
    }
    std::fs::remove_dir_all(&root).map_err(failed("remove"))?;
    Ok((each.len() == PODMAN_ROUNDS).then(|| median(&each)))
}
