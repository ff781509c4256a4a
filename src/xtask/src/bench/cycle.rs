//! A container's whole life against other runtimes: the runtime's own example does it in turns with crun, and podman,
//! which has a folder with the same program, is asked before and after.

use std::process::{Command, Stdio};
use std::time::Instant;

use super::row::Row;
use crate::command::{self, Done, Failure, on_path};

/// Containers of each runtime.
const ROUNDS: usize = 60;
/// Containers by podman at a time, which takes several times as long.
const PODMAN_ROUNDS: u32 = 5;
/// Runs `$1` containers below the folder `$2`, in mounts of its own: crun, which podman calls, refuses a machine with
/// both cgroup versions, so it does not get to see version 2.
const PODMAN: &str = r#"
umount /sys/fs/cgroup/unified 2>/dev/null || true
for round in $(seq "$1"); do
    podman --root "$2/state" --runroot "$2/run" --runtime crun --cgroup-manager cgroupfs run --rm --network=none \
        --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --rootfs "$2/rootfs" /bin/true
done
"#;
/// The share of crun's time.
const REACH: f64 = 0.7;

/// Create, start, `/bin/true`, exit, delete.
pub fn measure() -> Done<Vec<Row>> {
    if !on_path("podman") {
        eprintln!("         podman is not installed and left out: apt-get install podman");
    }
    let before = podman()?;
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
    if let (Some(before), Some(after)) = (before, podman()?) {
        let podman = f64::midpoint(before, after);
        peers.push(format!("podman run {podman:.0} ms: {:.2} of it", ours / podman));
    }
    let mut rows = vec![if peers.is_empty() { row } else { row.peer(peers.join("; ")) }];
    if let Some(waiter) = number("waiter:", "waiter: ") {
        rows.push(Row::new("resident memory of a container's waiter", format!("{waiter:.1} KiB")));
    }
    Ok(rows)
}

/// The mean in milliseconds, if podman is installed and can run a container here.
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
    let mut each = None;
    // The first round makes podman's own files.
    for rounds in [1, PODMAN_ROUNDS] {
        let begun = Instant::now();
        let mut shell = Command::new("unshare");
        shell.args(["--mount", "sh", "-ec", PODMAN, "podman", &rounds.to_string()]).arg(&root);
        let done = shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !done.is_ok_and(|status| status.success()) {
            eprintln!("         podman does not run a container here and is left out");
            each = None;
            break;
        }
        each = Some(begun.elapsed().as_secs_f64() * 1e3 / f64::from(rounds));
    }
    std::fs::remove_dir_all(&root).map_err(failed("remove"))?;
    Ok(each)
}
