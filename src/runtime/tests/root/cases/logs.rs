//! What containers write, in files.

use std::fs;
use std::path::Path;
use std::process::Command;

use kedge_runtime::zygote::Zygote;

use crate::root::site::{Site, connect, pod, run};

pub async fn both_streams_are_written_line_by_line(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    let sandbox = pod(&site, &runtime).await;
    let command = "echo one; sleep 0.05; echo two >&2; sleep 0.05; echo three; printf tail";
    run(&runtime, site.container(&sandbox, "c1", command)).await;
    let expected = ["stdout F one", "stderr F two", "stdout F three", "stdout P tail"];
    assert_eq!(site.lines("c1"), expected);
    let text = fs::read_to_string(site.log("c1")).expect("a log");
    let times: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(times.windows(2).all(|pair| pair[0] <= pair[1]), "{times:?}");
    assert!(times.iter().all(|time| time.len() == 30 && time.ends_with('Z')));

    // Much more than a pipe holds, without a pause.
    run(&runtime, site.container(&sandbox, "c2", "seq 1 200000")).await;
    let lines = site.lines("c2");
    assert_eq!(lines.len(), 200_000);
    assert!(lines.iter().enumerate().all(|(index, line)| *line == format!("stdout F {}", index + 1)));
}

pub async fn files_rotate_and_lose_no_line(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    let sandbox = pod(&site, &runtime).await;
    let mut spec = site.container(&sandbox, "c1", "seq 1 20000");
    spec.log.max_bytes = 200_000;
    spec.log.max_files = 20;
    run(&runtime, spec).await;
    let folder = site.log("c1").parent().expect("a folder").to_owned();
    let file = |index: usize| match index {
        0 => site.log("c1"),
        _ => folder.join(format!("0.log.{index}")),
    };
    let count = fs::read_dir(&folder).expect("a folder").count();
    assert!(count > 3, "{count}");
    let mut all = Vec::new();
    for index in (0..count).rev() {
        let text = fs::read_to_string(file(index)).expect("a file");
        assert!(text.len() <= 200_000 + 64 * 1024, "{index}: {}", text.len());
        all.extend(text.lines().map(|line| line.rsplit(' ').next().unwrap_or_default().to_owned()));
    }
    assert!((1..=20_000).map(|number: i32| number.to_string()).eq(all));

    let mut few = site.container(&sandbox, "c2", "seq 1 20000");
    few.log.max_bytes = 100_000;
    few.log.max_files = 2;
    run(&runtime, few).await;
    assert_eq!(fs::read_dir(site.log("c2").parent().expect("a folder")).expect("a folder").count(), 3);
    assert_eq!(site.lines("c2").last().map(String::as_str), Some("stdout F 20000"));
}

pub async fn a_full_disk_drops_lines_and_blocks_nobody(site: Site, zygote: Zygote) {
    let disk = site.folder.path().join("small");
    fs::create_dir(&disk).expect("a folder");
    assert!(
        Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "none"])
            .arg(&disk)
            .status()
            .expect("mount")
            .success()
    );
    let unmount = Unmount(&disk);
    let runtime = connect(&site, zygote).await;
    let sandbox = pod(&site, &runtime).await;
    let mut spec = site.container(&sandbox, "c1", "seq 1 100000; echo end");
    spec.log.path = disk.join("0.log");
    let exit = run(&runtime, spec).await;
    assert_eq!(exit.code, 0);
    let text = fs::read_to_string(disk.join("0.log")).expect("a log");
    assert!(text.len() <= 64 * 1024 && text.ends_with('\n'), "{}", text.len());
    assert!(text.lines().all(|line| line.len() > 40 && line.contains(" stdout F ")));
    let record = fs::read_to_string(site.options.state_dir.join("run/containers/c1/life")).expect("a record");
    assert!(record.contains("dropped=") && !record.contains("dropped=0"), "{record}");
    drop(unmount);
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

pub async fn output_of_a_survivor_is_not_waited_for(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    let mut sandbox_spec = site.sandbox_spec("p1");
    sandbox_spec.host_pid = true;
    let sandbox = runtime.create_sandbox(sandbox_spec).await.expect("a sandbox");
    // With the machine's PID namespace, what the first process leaves behind lives on and keeps the pipes open.
    let mut spec = site.container(&sandbox, "c1", "(while :; do echo noise; sleep 0.01; done) & echo done; exit 5");
    spec.host_pid = true;
    let exit = run(&runtime, spec).await;
    assert_eq!(exit.code, 5);
    assert!(site.lines("c1").contains(&"stdout F done".to_owned()));
    runtime.remove("c1").await.expect("removed with what it left behind");
}
