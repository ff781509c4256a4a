//! Daemons, zygotes and waiters that are killed; power cuts; crowds.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use kedge_api::machine::{ContainerSpec, ContainerState, ContainerStatus, RuntimeEvent, SandboxSpec};
use kedge_runtime::zygote::Zygote;
use kedge_runtime::{Runtime, RuntimeOptions};

use crate::root::site::{PATIENCE, Site, connect, ended, nothing_left, pod, run};

/// What this program does as a daemon that a test kills: makes what it is told, says so, and waits for ever.
pub fn be(arguments: &[String], zygote: Zygote) {
    let [state, parent, sandbox, containers] = arguments else {
        panic!("four arguments, not {arguments:?}");
    };
    let options = RuntimeOptions { state_dir: PathBuf::from(state), cgroup_parent: parent.clone() };
    let sandbox: SandboxSpec = serde_json::from_str(sandbox).expect("a sandbox");
    let containers: Vec<ContainerSpec> = serde_json::from_str(containers).expect("containers");
    let executor = tokio::runtime::Runtime::new().expect("a tokio runtime");
    executor.block_on(async {
        let runtime = Runtime::connect(zygote, options).await.expect("connected");
        runtime.create_sandbox(sandbox).await.expect("a sandbox");
        for spec in containers {
            let id = spec.id.clone();
            runtime.create(spec).await.expect("created");
            if !id.starts_with("created") {
                runtime.start(&id).await.expect("started");
            }
        }
        println!("ready");
        std::future::pending::<()>().await;
    });
}

pub async fn containers_outlive_a_killed_daemon(site: Site, zygote: Zygote) {
    let sandbox_spec = site.sandbox_spec("p1");
    let pods = site.options.state_dir.join("run/pods/p1");
    let sandbox = kedge_api::machine::Sandbox {
        pod_uid: "p1".into(),
        network: Some(pods.join("net")),
        ipc: Some(pods.join("ipc")),
        uts: Some(pods.join("uts")),
    };
    let containers = [
        site.container(
            &sandbox,
            "longlived",
            "i=0; while [ ! -e /tmp/stop ]; do i=$((i+1)); echo $i; sleep 0.01; done; exit 11",
        ),
        site.container(&sandbox, "brief", "while [ ! -e /dev/shm/end ]; do sleep 0.01; done; echo last words; exit 12"),
        site.container(&sandbox, "created-1", "echo finally; exit 13"),
    ];
    let mut daemon = Command::new("/proc/self/exe")
        .arg("--be")
        .arg(&site.options.state_dir)
        .arg(&site.options.cgroup_parent)
        .arg(serde_json::to_string(&sandbox_spec).expect("JSON"))
        .arg(serde_json::to_string(&containers.to_vec()).expect("JSON"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("a daemon");
    let mut line = String::new();
    BufReader::new(daemon.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
    assert_eq!(line, "ready\n");
    daemon.kill().expect("killed");
    daemon.wait().expect("reaped");

    // While nobody is there: one ends, one goes on writing.
    fs::write(pods.join("shm/end"), "").expect("written");
    let before = site.lines("longlived").len();
    site.wait_for_line("longlived", &format!("stdout F {}", before + 20)).await;
    let life = site.options.state_dir.join("run/containers/brief/life");
    site.wait_for("its end", || fs::read_to_string(&life).is_ok_and(|text| text.contains("code="))).await;

    let runtime = connect(&site, zygote).await;
    let mut events = runtime.events();
    assert_eq!(runtime.sandboxes().await, std::slice::from_ref(&sandbox));
    let ContainerState::Exited(exit) = runtime.status("brief").await.expect("known").state else {
        panic!("it has ended");
    };
    assert_eq!(exit.code, 12);
    assert_eq!(site.lines("brief"), ["stdout F last words"]);
    assert!(matches!(runtime.status("longlived").await.expect("known").state, ContainerState::Running { .. }));
    assert_eq!(runtime.status("created-1").await.expect("known").state, ContainerState::Created);
    runtime.start("created-1").await.expect("started");
    assert_eq!(ended(&runtime, &mut events, "created-1").await.code, 13);
    let stop =
        kedge_api::machine::ExecSpec { args: vec!["/bin/touch".into(), "/tmp/stop".into()], ..Default::default() };
    let session = runtime.exec("longlived", stop).await.expect("runs");
    assert_eq!(session.exit.await.expect("an exit"), 0);
    assert_eq!(ended(&runtime, &mut events, "longlived").await.code, 11);
    let numbers: Vec<String> = site.lines("longlived");
    assert!(
        numbers.iter().enumerate().all(|(index, line)| *line == format!("stdout F {}", index + 1)),
        "no line is lost"
    );
}

pub async fn a_killed_zygote_is_regained(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    let sandbox = pod(&site, &runtime).await;
    let mut events = runtime.events();
    runtime.create(site.program(&sandbox, "c1", &["/bin/sleep", "1000"])).await.expect("created");
    runtime.start("c1").await.expect("started");
    for round in 0..3 {
        let pid = runtime.zygote_pid().await;
        // SAFETY: our own child.
        unsafe { libc::kill(pid, libc::SIGKILL) };
        let event = tokio::time::timeout(PATIENCE, events.recv()).await.expect("soon").expect("an event");
        assert_eq!(event, RuntimeEvent::ZygoteRestarted);
        assert_ne!(runtime.zygote_pid().await, pid);
        assert!(matches!(runtime.status("c1").await.expect("known").state, ContainerState::Running { .. }));
        let id = format!("new{round}");
        let exit = run(&runtime, site.program(&sandbox, &id, &["/bin/true"])).await;
        assert_eq!(exit.code, 0);
        while events.try_recv().is_ok() {}
    }
    // Killed in the middle of work: whatever is asked either works or says why, and nothing hangs.
    let pid = runtime.zygote_pid().await;
    // SAFETY: our own child.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    let exit = run(&runtime, site.program(&sandbox, "at-once", &["/bin/true"])).await;
    assert_eq!(exit.code, 0);
}

pub async fn a_killed_waiter_ends_its_container(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    let sandbox = pod(&site, &runtime).await;
    let mut events = runtime.events();
    runtime.create(site.container(&sandbox, "c1", "sleep 1000 & sleep 1000")).await.expect("created");
    let started = runtime.start("c1").await.expect("started");
    let status = fs::read_to_string(format!("/proc/{}/status", started.pid)).expect("a process");
    let waiter = status.lines().find_map(|line| line.strip_prefix("PPid:\t")).expect("a parent");
    // SAFETY: the waiter of our own container.
    unsafe { libc::kill(waiter.parse().expect("a number"), libc::SIGKILL) };
    let exit = ended(&runtime, &mut events, "c1").await;
    assert_eq!((exit.code, exit.signal), (137, Some(9)));
    assert!(is_gone(started.pid));
    runtime.remove("c1").await.expect("removed");
}

/// Ended, though perhaps not yet reaped by whoever inherited it.
fn is_gone(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

pub async fn a_power_cut_loses_containers_and_leaves_no_trace(site: Site, zygote: Zygote) {
    let state = site.options.state_dir.clone();
    {
        let runtime = connect(&site, zygote).await;
        let sandbox = pod(&site, &runtime).await;
        let exit = run(&runtime, site.container(&sandbox, "ended", "exit 6")).await;
        assert_eq!(exit.code, 6);
        runtime.create(site.program(&sandbox, "ran", &["/bin/sleep", "1000"])).await.expect("created");
        runtime.start("ran").await.expect("started");
        let mut events = runtime.events();
        // What a cut does: all processes and mounts are gone, only what was on a disk stays.
        runtime.signal("ran", libc::SIGKILL).await.expect("sent");
        ended(&runtime, &mut events, "ran").await;
        for name in ["pods/p1/net", "pods/p1/ipc", "pods/p1/uts", "pods/p1/shm", ""] {
            let path = state.join("run").join(name);
            assert!(Command::new("umount").arg("-l").arg(path).status().expect("umount").success());
        }
    }
    let runtime = reconnect(&site).await;
    assert_eq!(runtime.sandboxes().await, []);
    let lost = |id: &str| ContainerStatus { id: id.into(), pod_uid: "p1".into(), state: ContainerState::Lost };
    assert_eq!(runtime.containers().await, [lost("ended"), lost("ran")]);
    for id in ["ran", "ended"] {
        runtime.remove(id).await.expect("removed");
    }
    nothing_left(&site);
    let sandbox = pod(&site, &runtime).await;
    assert_eq!(run(&runtime, site.program(&sandbox, "c1", &["/bin/true"])).await.code, 0);
}

/// Another daemon on the same state folder. There are threads by now: its zygote is made from this program anew.
async fn reconnect(site: &Site) -> Runtime {
    let zygote = kedge_runtime::zygote::run_again().expect("a zygote");
    Runtime::connect(zygote, site.options.clone()).await.expect("connected")
}

pub async fn half_made_containers_are_swept(site: Site, zygote: Zygote) {
    let state = &site.options.state_dir;
    drop(connect(&site, zygote).await);
    let folder = state.join("run/containers/half");
    fs::create_dir_all(&folder).expect("a folder");
    let writable = state.join("writable/half/half");
    fs::create_dir_all(writable.join("x")).expect("a folder");
    // One that was being made beside it, and one whose other half is gone.
    for name in ["half", "alone"] {
        fs::create_dir_all(state.join("work").join(name).join("work/x")).expect("a folder");
    }
    let pods = state.join("run/pods/half");
    fs::create_dir_all(pods.join("shm")).expect("a folder");
    fs::write(pods.join("cgroup"), "podhalf").expect("written");
    fs::create_dir_all(state.join("run/containers/torn")).expect("a folder");
    fs::write(state.join("run/containers/torn/life"), "").expect("written");
    let runtime = reconnect(&site).await;
    assert_eq!(runtime.containers().await, []);
    assert!(!folder.exists() && !writable.exists() && !pods.exists() && !state.join("run/containers/torn").exists());
    nothing_left(&site);
}

pub async fn fifty_at_once(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    let sandbox = pod(&site, &runtime).await;
    let tasks = (0..50).map(|number| {
        let runtime = runtime.clone();
        let spec = site.container(&sandbox, &format!("c{number}"), &format!("echo {number}; exit {number}"));
        tokio::spawn(async move {
            let id = spec.id.clone();
            let exit = run(&runtime, spec).await;
            runtime.remove(&id).await.expect("removed");
            exit.code
        })
    });
    let tasks: Vec<_> = tasks.collect();
    for (number, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await.expect("no panic"), number as i32);
        assert_eq!(site.lines(&format!("c{number}")), [format!("stdout F {number}")]);
    }
    runtime.remove_sandbox("p1").await.expect("removed");
    nothing_left(&site);
}

pub async fn cleaning_up_leaves_nothing(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    let sandbox = pod(&site, &runtime).await;
    let mut shared = site.sandbox_spec("p2");
    shared.shared_pid = true;
    let second = runtime.create_sandbox(shared).await.expect("a sandbox");
    for (sandbox, id) in [(&sandbox, "c1"), (&second, "c2")] {
        runtime.create(site.container(sandbox, id, "sleep 1000 & sleep 1000")).await.expect("created");
        runtime.start(id).await.expect("started");
    }
    runtime.create(site.program(&sandbox, "c3", &["/bin/true"])).await.expect("created");
    runtime.cleanup_all().await.expect("cleaned");
    assert_eq!(runtime.containers().await, []);
    nothing_left(&site);
}
