//! cgroups: limits and usage.

use kedge_api::machine::Resources;
use kedge_runtime::zygote::Zygote;

use crate::root::site::{Site, connect, ended, pod, run};

pub async fn memory_beyond_the_limit_is_an_oom_kill(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    let sandbox = pod(&site, &runtime).await;
    let mut spec = site.container(&sandbox, "c1", "exec tail /dev/zero");
    spec.resources.memory_limit = Some(16 << 20);
    let exit = run(&runtime, spec).await;
    assert_eq!((exit.code, exit.signal, exit.oom_killed), (137, Some(9), true));

    // A child is killed: version 2 takes the whole container with it, version 1 only the child.
    let mut spec = site.container(&sandbox, "c3", "tail /dev/zero; exit 3");
    spec.resources.memory_limit = Some(16 << 20);
    let exit = run(&runtime, spec).await;
    let unified = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    assert_eq!((exit.code, exit.oom_killed), (if unified { 137 } else { 3 }, true));

    // The pod's limit bounds its containers together.
    let mut small = site.sandbox_spec("p2");
    small.resources.memory_limit = Some(16 << 20);
    let sandbox = runtime.create_sandbox(small).await.expect("a sandbox");
    let exit = run(&runtime, site.container(&sandbox, "c2", "exec tail /dev/zero")).await;
    assert_eq!(exit.code, 137);
}

pub async fn processes_beyond_the_limit_are_refused(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    let sandbox = pod(&site, &runtime).await;
    let command = "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 5 & done; echo not refused";
    let mut spec = site.container(&sandbox, "c1", command);
    spec.resources.pids_limit = Some(6);
    let exit = run(&runtime, spec).await;
    assert_ne!(exit.code, 0);
    assert!(site.lines("c1").iter().any(|line| line.contains("can't fork")), "{:?}", site.lines("c1"));
}

pub async fn usage_is_measured(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    let sandbox = pod(&site, &runtime).await;
    let mut events = runtime.events();
    let command = "x=$(head -c 4000000 /dev/zero | tr '\\0' a); echo ready; sleep 1000; echo $x";
    let mut spec = site.container(&sandbox, "c1", command);
    spec.resources = Resources {
        cpu_shares: Some(512),
        cpu_quota: Some(50_000),
        cpu_period: Some(100_000),
        memory_limit: Some(64 << 20),
        pids_limit: Some(100),
    };
    runtime.create(spec).await.expect("created");
    runtime.start("c1").await.expect("started");
    site.wait_for_line("c1", "stdout F ready").await;
    let stats = runtime.stats("c1").await.expect("stats");
    assert!(stats.cpu_nanos > 1_000_000, "{stats:?}");
    assert!((3_000_000..64_000_000).contains(&stats.rss), "{stats:?}");
    assert!(stats.working_set >= stats.rss && stats.usage >= stats.working_set, "{stats:?}");
    assert!((1..=2).contains(&stats.processes), "{stats:?}");
    let pod = runtime.sandbox_stats("p1").await.expect("stats");
    assert!(pod.cpu_nanos >= stats.cpu_nanos && pod.processes >= 1, "{pod:?}");
    runtime.signal("c1", libc::SIGKILL).await.expect("sent");
    ended(&runtime, &mut events, "c1").await;
    assert!(runtime.stats("c1").await.is_err());
}
