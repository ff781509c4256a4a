//! What containers must not do.

use std::fs;

use kedge_api::machine::{Mount, MountSource, Propagation, Seccomp, User};
use kedge_runtime::zygote::Zygote;

use crate::root::site::{Site, bind, connect, pod, run};

pub async fn users_and_groups_are_as_asked(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    let sandbox = pod(&site, &runtime).await;
    let mut spec =
        site.container(&sandbox, "c1", "id; echo again > /dev/stdout; touch /etc/x || echo refused; echo $HOME");
    spec.user = User { uid: 1000, gid: 1000, groups: vec![2000, 3000] };
    let exit = run(&runtime, spec).await;
    assert_eq!(exit.code, 0);
    let lines: Vec<String> = site.lines("c1").into_iter().filter(|line| line.starts_with("stdout")).collect();
    assert_eq!(
        lines,
        [
            "stdout F uid=1000(web) gid=1000(web) groups=2000,3000",
            "stdout F again",
            "stdout F refused",
            "stdout F /tmp",
        ]
    );
}

/// The five capability lines of `/proc/self/status`, as numbers.
fn sets(lines: &[String]) -> Vec<u64> {
    lines
        .iter()
        .filter_map(|line| line.split_once("Cap")?.1.split_once(":\t"))
        .map(|(_, hex)| u64::from_str_radix(hex.trim(), 16).expect("a number"))
        .collect()
}

pub async fn capabilities_are_dropped(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    let sandbox = pod(&site, &runtime).await;
    for (id, no_new_privileges) in [("c1", false), ("c2", true)] {
        let mut spec = site.container(&sandbox, id, "grep -E 'Cap|NoNewPrivs|Seccomp:' /proc/self/status");
        spec.security.capabilities = vec!["CAP_CHOWN".into(), "CAP_NET_BIND_SERVICE".into()];
        spec.security.no_new_privileges = no_new_privileges;
        run(&runtime, spec).await;
        let lines = site.lines(id);
        // Inheritable, permitted, effective, bounding, ambient.
        assert_eq!(sets(&lines), [0, 0x401, 0x401, 0x401, 0], "{lines:?}");
        let has = |text: &str| lines.iter().any(|line| line.ends_with(text));
        assert!(has(&format!("NoNewPrivs:\t{}", i32::from(no_new_privileges))), "{lines:?}");
        assert!(has("Seccomp:\t2"), "{lines:?}");
    }
    let mut spec = site.container(&sandbox, "c3", "grep Cap /proc/self/status");
    spec.user = User { uid: 1000, gid: 1000, groups: vec![] };
    run(&runtime, spec).await;
    let found = sets(&site.lines("c3"));
    assert_eq!((found[1], found[2], found[4]), (0, 0, 0), "a user starts without capabilities");
}

pub async fn calls_are_filtered(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    let sandbox = pod(&site, &runtime).await;
    // A user namespace needs no capability: only the filter forbids it.
    let command = "unshare -U true && echo done; mount -t tmpfs none /tmp && echo done; echo end";
    run(&runtime, site.container(&sandbox, "c1", command)).await;
    let lines: Vec<String> = site.lines("c1").into_iter().filter(|line| line.starts_with("stdout")).collect();
    assert_eq!(lines, ["stdout F end"]);

    let mut free = site.container(&sandbox, "c2", "unshare -U true && echo done");
    free.security.seccomp = Seccomp::Unconfined;
    run(&runtime, free).await;
    assert_eq!(site.lines("c2"), ["stdout F done"]);

    let profile = site.folder.path().join("profile.json");
    let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28}]}"#;
    fs::write(&profile, text).expect("written");
    let mut own = site.container(&sandbox, "c3", "mkdir /tmp/x; unshare -U true && echo done");
    own.security.seccomp = Seccomp::Localhost(profile);
    run(&runtime, own).await;
    // Two pipes: either line may be first.
    let lines = site.lines("c3");
    let has = |words: &str| lines.iter().any(|line| line.contains(words));
    assert!(lines.len() == 2 && has("No space left on device") && has("stdout F done"), "{lines:?}");
}

pub async fn a_missing_filter_is_no_start(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    let sandbox = pod(&site, &runtime).await;
    let profile = site.folder.path().join("profile.json");
    for (id, text) in [("c1", None), ("c2", Some("{")), ("c3", Some(r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#))] {
        if let Some(text) = text {
            fs::write(&profile, text).expect("written");
        }
        let mut spec = site.container(&sandbox, id, "true");
        spec.security.seccomp = Seccomp::Localhost(profile.clone());
        let error = runtime.create(spec).await.expect_err("refused");
        assert!(error.to_string().contains("seccomp profile"), "{error}");
    }
}

pub async fn files_are_read_only_or_hidden(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    let sandbox = pod(&site, &runtime).await;
    let mut spec = site.container(
        &sandbox,
        "c1",
        "touch /x 2>/dev/null || echo root; echo 1 2>/dev/null > /proc/sys/net/core/somaxconn || echo sys; \
         touch /sys/x 2>/dev/null || echo sysfs; cat /proc/timer_list /proc/kcore 2>/dev/null | wc -c; \
         mknod /dev/disk b 253 0 && cat /dev/disk 2>/dev/null || echo disk; touch /dev/shm/y && echo shm; \
         mkdir /sys/fs/cgroup/x /sys/fs/cgroup/*/x 2>/dev/null || echo cgroup; cat /sys/fs/cgroup/memory*/memory.limit_in_bytes \
         /sys/fs/cgroup/memory.max 2>/dev/null",
    );
    spec.read_only_root = true;
    spec.resources.memory_limit = Some(32 << 20);
    run(&runtime, spec).await;
    let expected = ["root", "sys", "sysfs", "0", "disk", "shm", "cgroup", "33554432"];
    let expected: Vec<String> = expected.iter().map(|text| format!("stdout F {text}")).collect();
    let lines: Vec<String> = site.lines("c1").into_iter().filter(|line| line.starts_with("stdout")).collect();
    assert_eq!(lines, expected);
    run(&runtime, site.container(&sandbox, "c2", "touch /written && echo yes")).await;
    assert_eq!(site.lines("c2"), ["stdout F yes"]);
    assert!(!site.layer().join("written").exists(), "layers are never written to");
}

pub async fn volumes_are_mounted(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    let sandbox = pod(&site, &runtime).await;
    let volume = site.folder.path().join("volume");
    fs::create_dir(&volume).expect("a folder");
    fs::write(volume.join("file"), "kept\n").expect("written");
    let mut spec = site.container(
        &sandbox,
        "c1",
        "cat /v/file /deep/er/single; echo more >> /v/file; touch /r/x 2>/dev/null || echo read-only; \
         dd if=/dev/zero of=/t/big bs=1024 count=200 2>/dev/null || echo full; grep -c hosts /etc/hosts",
    );
    let hosts = site.folder.path().join("hosts");
    fs::write(&hosts, "1.2.3.4 hosts\n").expect("written");
    spec.mounts = vec![
        bind(&volume.display().to_string(), "/v", false),
        bind(&volume.display().to_string(), "/r", true),
        bind(&volume.join("file").display().to_string(), "/deep/er/single", true),
        bind(&hosts.display().to_string(), "/etc/hosts", false),
        Mount {
            target: "/t".into(),
            source: MountSource::Tmpfs { size: Some(64 * 1024) },
            read_only: false,
            propagation: Propagation::Private,
        },
    ];
    run(&runtime, spec).await;
    let expected = ["kept", "kept", "read-only", "full", "1"];
    let expected: Vec<String> = expected.iter().map(|text| format!("stdout F {text}")).collect();
    assert_eq!(site.lines("c1"), expected);
    assert_eq!(fs::read_to_string(volume.join("file")).expect("a file"), "kept\nmore\n");
    let mut over_a_file = site.container(&sandbox, "c2", "true");
    over_a_file.mounts = vec![bind(&volume.display().to_string(), "/etc/passwd/below", false)];
    let error = runtime.create(over_a_file).await.expect_err("refused").to_string();
    assert!(error.contains("/etc/passwd/below"), "the mount is named: {error}");
    assert!(
        !fs::read_to_string("/proc/self/mountinfo").expect("mounts").contains("overlay"),
        "no overlay on the machine"
    );
}

pub async fn a_privileged_container_is_not_confined(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    let sandbox = pod(&site, &runtime).await;
    // A device that this machine lets us open and that no other container may.
    let device = ["/dev/kmsg", "/dev/loop-control", "/dev/fuse"].into_iter().find(|path| fs::File::open(path).is_ok());
    let device = device.unwrap_or("/dev/null");
    let command = format!(
        "grep -E 'CapEff|Seccomp:' /proc/self/status; mount -t tmpfs none /tmp && echo mounted; : < {device} && echo opened"
    );
    let mut spec = site.container(&sandbox, "c1", &command);
    spec.security.privileged = true;
    run(&runtime, spec).await;
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:\t")).expect("a set");
    let expected = [&format!("CapEff:\t{bounding}"), "Seccomp:\t0", "mounted", "opened"];
    let expected: Vec<String> = expected.iter().map(|text| format!("stdout F {text}")).collect();
    assert_eq!(site.lines("c1"), expected);
}
