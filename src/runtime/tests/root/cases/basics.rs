//! Making, starting, ending.

use kedge_api::machine::ContainerState;
use kedge_runtime::RuntimeError;
use kedge_runtime::zygote::Zygote;

use crate::root::site::{Site, connect, ended, nothing_left, pod, run};

pub async fn a_program_runs_to_its_end(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    let sandbox = pod(&site, &runtime).await;
    let exit = run(&runtime, site.program(&sandbox, "c1", &["/bin/true"])).await;
    assert_eq!((exit.code, exit.signal, exit.oom_killed), (0, None, false));
    assert!(exit.started <= exit.finished);
    runtime.remove("c1").await.expect("removed");
    runtime.remove("c1").await.expect("removed again");
    runtime.remove_sandbox("p1").await.expect("removed");
    runtime.remove_sandbox("p1").await.expect("removed again");
    nothing_left(&site);
}

pub async fn exit_codes_and_signals_are_told(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    let sandbox = pod(&site, &runtime).await;
    for (id, command, code, signal) in
        [("c1", "exit 3", 3, None), ("c2", "sh -c 'kill -9 $$'; exit $?", 137, None), ("c3", "exit 255", 255, None)]
    {
        let exit = run(&runtime, site.container(&sandbox, id, command)).await;
        assert_eq!((exit.code, exit.signal), (code, signal), "{command}");
    }
}

pub async fn a_signal_reaches_the_first_process(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    let sandbox = pod(&site, &runtime).await;
    let mut events = runtime.events();
    let polite = "trap 'echo asked; exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    runtime.create(site.container(&sandbox, "c1", polite)).await.expect("created");
    let started = runtime.start("c1").await.expect("started");
    site.wait_for_line("c1", "stdout F ready").await;
    assert!(std::path::Path::new(&format!("/proc/{}", started.pid)).exists());
    runtime.signal("c1", libc::SIGTERM).await.expect("sent");
    let exit = ended(&runtime, &mut events, "c1").await;
    assert_eq!((exit.code, exit.signal), (7, None));
    runtime.signal("c1", libc::SIGTERM).await.expect("no error after its end");

    runtime.create(site.program(&sandbox, "c2", &["/bin/sleep", "1000"])).await.expect("created");
    runtime.start("c2").await.expect("started");
    runtime.signal("c2", libc::SIGKILL).await.expect("sent");
    let exit = ended(&runtime, &mut events, "c2").await;
    assert_eq!((exit.code, exit.signal, exit.oom_killed), (137, Some(9), false));
}

pub async fn environment_folder_and_name_are_as_asked(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    let sandbox = pod(&site, &runtime).await;
    let command = "echo $GREETING; echo $HOME; pwd; hostname; readlink /proc/self/ns/uts >/dev/null; echo $$; \
                   cat /proc/1/oom_score_adj; ls /proc/self/fd | wc -l; env | sort | head -1";
    let mut spec = site.container(&sandbox, "c1", command);
    spec.cwd = "/made/for/it".into();
    spec.env.push(("GREETING".into(), "hi".into()));
    spec.env.push(("A".into(), "x y=z".into()));
    let exit = run(&runtime, spec).await;
    assert_eq!(exit.code, 0);
    let expected = ["hi", "/root", "/made/for/it", "host-p1", "1", "500", "4", "A=x y=z"];
    let expected: Vec<String> = expected.iter().map(|text| format!("stdout F {text}")).collect();
    assert_eq!(site.lines("c1"), expected);
}

pub async fn what_can_not_be_made_leaves_nothing(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    let sandbox = pod(&site, &runtime).await;
    let mut no_layer = site.container(&sandbox, "c2", "true");
    no_layer.layers = vec!["/nonexistent/layer".into()];
    let mut no_source = site.container(&sandbox, "c3", "true");
    no_source.mounts = vec![crate::root::site::bind("/nonexistent/source", "/x", true)];
    for (spec, says) in [
        (site.program(&sandbox, "c1", &["no-such-program"]), "\"no-such-program\": executable file not found in $PATH"),
        (site.program(&sandbox, "c4", &["/etc/passwd"]), "permission denied"),
        (site.program(&sandbox, "c5", &["/nonexistent"]), "no such file or directory"),
        (no_layer, "/nonexistent"),
        (no_source, "/nonexistent/source"),
    ] {
        let id = spec.id.clone();
        let error = runtime.create(spec).await.expect_err("refused");
        let program = matches!(id.as_str(), "c1" | "c4" | "c5");
        let kind = if program { "start container" } else { "create container" };
        assert!(error.to_string().starts_with(&format!("{kind} {id}: ")), "{error}");
        assert!(error.to_string().contains(says), "{error}");
        assert!(!program || error.to_string().ends_with(says), "{error}");
        assert!(!site.options.state_dir.join("run/containers").join(&id).exists());
        assert!(runtime.status(&id).await.is_err());
    }
    runtime.remove_sandbox("p1").await.expect("removed");
    nothing_left(&site);
}

pub async fn what_can_not_be_executed_says_so_at_start(site: Site, zygote: Zygote) {
    use std::os::unix::fs::PermissionsExt;
    let program = site.layer().join("bin/garbage");
    std::fs::write(&program, "\u{1}\u{2}no program").expect("written");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let runtime = connect(&site, zygote).await;
    let sandbox = pod(&site, &runtime).await;
    runtime.create(site.program(&sandbox, "c1", &["/bin/garbage"])).await.expect("created");
    let error = runtime.start("c1").await.expect_err("refused");
    assert_eq!(error.to_string(), "start container c1: exec /bin/garbage: exec format error");
    runtime.remove("c1").await.expect("removed");
}

pub async fn acts_in_the_wrong_state_are_refused(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    let sandbox = pod(&site, &runtime).await;
    assert_eq!(pod(&site, &runtime).await, sandbox, "making it again returns it");
    assert_eq!(runtime.sandboxes().await, std::slice::from_ref(&sandbox));
    let spec = site.program(&sandbox, "c1", &["/bin/sleep", "1000"]);
    assert!(matches!(runtime.start("c1").await, Err(RuntimeError::NotFound { .. })));
    runtime.create(spec.clone()).await.expect("created");
    assert!(matches!(runtime.create(spec).await, Err(RuntimeError::Exists { .. })));
    assert_eq!(runtime.status("c1").await.expect("known").state, ContainerState::Created);
    runtime.start("c1").await.expect("started");
    let error = runtime.start("c1").await.expect_err("refused");
    assert_eq!(error.to_string(), "start container c1: it is running");
    runtime.remove("c1").await.expect("removed while it runs");
    assert!(matches!(runtime.signal("c1", 15).await, Err(RuntimeError::NotFound { .. })));

    let mut bad = site.program(&sandbox, "../evil", &["/bin/true"]);
    assert!(matches!(runtime.create(bad.clone()).await, Err(RuntimeError::Input { .. })));
    bad.id = "c2".into();
    bad.cgroup = "../../evil".into();
    assert!(matches!(runtime.create(bad).await, Err(RuntimeError::Input { .. })));
}

pub async fn standard_input_is_kept_open(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    let sandbox = pod(&site, &runtime).await;
    let mut events = runtime.events();
    let mut spec = site.container(&sandbox, "c1", "head -n 1; exit 4");
    spec.stdin = true;
    runtime.create(spec).await.expect("created");
    runtime.start("c1").await.expect("started");
    let fifo = site.options.state_dir.join("run/containers/c1/stdin");
    std::fs::write(fifo, "typed\n").expect("written");
    assert_eq!(ended(&runtime, &mut events, "c1").await.code, 4);
    assert_eq!(site.lines("c1"), ["stdout F typed"]);
    let closed = run(&runtime, site.container(&sandbox, "c2", "cat; echo end")).await;
    assert_eq!(closed.code, 0);
    assert_eq!(site.lines("c2"), ["stdout F end"]);
}

pub async fn a_terminal_is_logged_and_typed_to(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    let sandbox = pod(&site, &runtime).await;
    let mut events = runtime.events();
    let command = "test -t 0 && test -t 1 && echo terminal; echo oops >&2; read line; echo got $line; exit 3";
    let mut spec = site.container(&sandbox, "c1", command);
    (spec.tty, spec.stdin) = (true, true);
    runtime.create(spec).await.expect("created");
    runtime.start("c1").await.expect("started");
    site.wait_for_line("c1", "stdout F oops").await;
    std::fs::write(site.options.state_dir.join("run/containers/c1/stdin"), "typed\n").expect("written");
    assert_eq!(ended(&runtime, &mut events, "c1").await.code, 3);
    let lines: Vec<String> = site.lines("c1").iter().map(|line| line.trim_end().to_owned()).collect();
    assert_eq!(lines, ["stdout F terminal", "stdout F oops", "stdout F typed", "stdout F got typed"]);
}
