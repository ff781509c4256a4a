//! What the containers of a pod share with each other and with the machine.

use std::fs;

use kedge_runtime::RuntimeError;
use kedge_runtime::zygote::Zygote;

use crate::root::site::{Site, connect, ended, nothing_of, pod, run};

pub async fn containers_of_a_pod_share_what_they_should(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    let sandbox = pod(&site, &runtime).await;
    let server = "echo shared > /dev/shm/note; echo served | nc -l -p 8080";
    runtime.create(site.container(&sandbox, "server", server)).await.expect("created");
    runtime.start("server").await.expect("started");
    let client = "until nc 127.0.0.1 8080 </dev/null; do sleep 0.02; done; cat /dev/shm/note; ps | wc -l";
    let exit = run(&runtime, site.container(&sandbox, "client", client)).await;
    assert_eq!(exit.code, 0);
    let lines: Vec<String> = site.lines("client").into_iter().filter(|line| line.starts_with("stdout")).collect();
    // Its own shell, ps, wc and a heading: nothing of the other container.
    assert_eq!(lines[..2], ["stdout F served", "stdout F shared"]);
    assert!(lines[2].as_str() <= "stdout F 4", "{lines:?}");

    let other = runtime.create_sandbox(site.sandbox_spec("p2")).await.expect("a sandbox");
    let apart = "ls /dev/shm | wc -l; hostname; ip -o addr show lo | grep -c 127.0.0.1; nc -w 1 127.0.0.1 8080 </dev/null || echo apart";
    run(&runtime, site.container(&other, "apart", apart)).await;
    let lines: Vec<String> = site.lines("apart").into_iter().filter(|line| line.starts_with("stdout")).collect();
    assert_eq!(lines, ["stdout F 0", "stdout F host-p2", "stdout F 1", "stdout F apart"]);
}

pub async fn containers_may_share_processes(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    let mut spec = site.sandbox_spec("p1");
    spec.shared_pid = true;
    let sandbox = runtime.create_sandbox(spec).await.expect("a sandbox");
    runtime.create(site.program(&sandbox, "c1", &["/bin/sleep", "4242"])).await.expect("created");
    runtime.start("c1").await.expect("started");
    let exit =
        run(&runtime, site.container(&sandbox, "c2", "ps; cat /proc/1/cmdline | tr '\\0' ' '; echo; echo $$")).await;
    assert_eq!(exit.code, 0);
    let lines = site.lines("c2");
    assert!(lines.iter().any(|line| line.contains("sleep 4242")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("kedge-pod init")), "{lines:?}");
    assert_ne!(lines.last().map(String::as_str), Some("stdout F 1"));
    runtime.remove("c1").await.expect("removed");
    runtime.remove("c2").await.expect("removed");
    runtime.remove_sandbox("p1").await.expect("removed");
}

pub async fn a_container_may_see_the_processes_of_another(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    let sandbox = pod(&site, &runtime).await;
    runtime.create(site.program(&sandbox, "c1", &["/bin/sleep", "4243"])).await.expect("created");
    runtime.start("c1").await.expect("started");
    let look = "tr '\\0' ' ' </proc/1/cmdline; echo; echo $$";
    let mut spec = site.container(&sandbox, "c2", look);
    spec.pid_of = Some("c1".to_owned());
    assert_eq!(run(&runtime, spec).await.code, 0);
    let lines = site.lines("c2");
    assert_eq!(lines.first().map(|line| line.trim_end()), Some("stdout F /bin/sleep 4243"), "{lines:?}");
    assert_ne!(lines.last().map(String::as_str), Some("stdout F 1"));
    // Nobody else does, and what does not run has none.
    run(&runtime, site.container(&sandbox, "c3", look)).await;
    assert!(!site.lines("c3").iter().any(|line| line.contains("4243")));
    for target in ["nobody", "c2", "../p1"] {
        let mut spec = site.container(&sandbox, "c4", look);
        spec.pid_of = Some(target.to_owned());
        runtime.create(spec).await.expect_err(target);
        // What was made ahead of what failed at once is gone again.
        nothing_of(&site, "p1", "c4");
    }
    // It ends with the first process of what it looked at.
    let mut spec = site.program(&sandbox, "c5", &["/bin/sleep", "4244"]);
    spec.pid_of = Some("c1".to_owned());
    let mut events = runtime.events();
    runtime.create(spec).await.expect("created");
    runtime.start("c5").await.expect("started");
    runtime.remove("c1").await.expect("removed");
    assert_eq!(ended(&runtime, &mut events, "c5").await.signal, Some(9));
    for id in ["c2", "c3", "c5"] {
        runtime.remove(id).await.expect("removed");
    }
    runtime.remove_sandbox("p1").await.expect("removed");
}

pub async fn host_namespaces_are_joined(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    let mut spec = site.sandbox_spec("p1");
    spec.host_network = true;
    spec.host_ipc = true;
    spec.host_pid = true;
    let sandbox = runtime.create_sandbox(spec).await.expect("a sandbox");
    assert_eq!((&sandbox.network, &sandbox.ipc, &sandbox.uts), (&None, &None, &None));
    let links = "readlink /proc/self/ns/net; readlink /proc/self/ns/ipc; readlink /proc/self/ns/uts; readlink /proc/self/ns/pid";
    let mut spec = site.container(&sandbox, "c1", links);
    spec.host_pid = true;
    run(&runtime, spec).await;
    let own = |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).expect("a namespace").display().to_string();
    let expected: Vec<String> =
        ["net", "ipc", "uts", "pid"].iter().map(|name| format!("stdout F {}", own(name))).collect();
    assert_eq!(site.lines("c1"), expected);
}

pub async fn parameters_are_set_or_refused(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    let mut spec = site.sandbox_spec("p1");
    spec.sysctls.insert("net.core.somaxconn".into(), "77".into());
    spec.sysctls.insert("kernel.shm_rmid_forced".into(), "1".into());
    let sandbox = runtime.create_sandbox(spec).await.expect("a sandbox");
    let command = "cat /proc/sys/net/core/somaxconn /proc/sys/kernel/shm_rmid_forced /proc/sys/net/ipv4/ip_unprivileged_port_start";
    run(&runtime, site.container(&sandbox, "c1", command)).await;
    assert_eq!(site.lines("c1"), ["stdout F 77", "stdout F 1", "stdout F 0"]);

    let mut bad = site.sandbox_spec("p2");
    bad.sysctls.insert("kernel.panic".into(), "1".into());
    let error = runtime.create_sandbox(bad).await.expect_err("refused");
    assert!(matches!(error, RuntimeError::Sandbox { .. }) && error.to_string().contains("kernel.panic"), "{error}");
    assert!(!site.options.state_dir.join("run/pods/p2").exists());
    assert_eq!(runtime.sandboxes().await.len(), 1);
}
