//! Further processes.

use std::time::Duration;

use kedge_api::machine::{ExecSpec, Sandbox, User};
use kedge_runtime::zygote::Zygote;
use kedge_runtime::{ExecSession, Runtime, RuntimeError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::root::site::{PATIENCE, Site, connect, pod};

async fn running(site: &Site, runtime: &Runtime) -> Sandbox {
    let sandbox = pod(site, runtime).await;
    runtime.create(site.program(&sandbox, "c1", &["/bin/sleep", "1000"])).await.expect("created");
    runtime.start("c1").await.expect("started");
    sandbox
}

fn shell(command: &str) -> ExecSpec {
    ExecSpec { args: ["/bin/sh", "-c", command].map(str::to_owned).to_vec(), ..ExecSpec::default() }
}

/// Reads both outputs to their ends and waits: output, errors, code.
async fn finish(session: ExecSession) -> (String, String, i32) {
    let (mut out, mut err) = (String::new(), String::new());
    let work = async {
        drop(session.stdin);
        let mut stdout = session.stdout.expect("an output");
        let both = async {
            stdout.read_to_string(&mut out).await.expect("read");
            if let Some(mut stderr) = session.stderr {
                stderr.read_to_string(&mut err).await.expect("read");
            }
        };
        both.await;
        session.exit.await.expect("an exit")
    };
    let code = tokio::time::timeout(PATIENCE, work).await.expect("it ends");
    (out, err, code)
}

pub async fn streams_and_codes_come_back(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    running(&site, &runtime).await;
    let session = runtime.exec("c1", shell("echo out; echo err >&2; exit 9")).await.expect("runs");
    assert_eq!(finish(session).await, ("out\n".into(), "err\n".into(), 9));

    let session = runtime.exec("c1", shell("kill -15 $$")).await.expect("runs");
    assert_eq!(finish(session).await.2, 128 + 15);

    let mut spec = shell("cat; echo $GREETING $MORE; pwd; id -u; hostname");
    spec.stdin = true;
    spec.env = vec![("MORE".into(), "more".into())];
    spec.cwd = Some("/tmp".into());
    spec.user = Some(User { uid: 1000, gid: 1000, groups: vec![] });
    let mut session = runtime.exec("c1", spec).await.expect("runs");
    let mut stdin = session.stdin.take().expect("an input");
    stdin.write_all(b"typed\n").await.expect("written");
    drop(stdin);
    let (out, _, code) = finish(session).await;
    assert_eq!((out.as_str(), code), ("typed\nhello more\n/tmp\n1000\nhost-p1\n", 0));

    let sessions = (0..8).map(|number| {
        let runtime = runtime.clone();
        tokio::spawn(async move {
            let session = runtime.exec("c1", shell(&format!("echo {number}"))).await.expect("runs");
            assert_eq!(finish(session).await.0, format!("{number}\n"));
        })
    });
    for session in sessions.collect::<Vec<_>>() {
        session.await.expect("no panic");
    }
}

pub async fn it_is_confined_as_the_container(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    let sandbox = pod(&site, &runtime).await;
    let mut spec = site.program(&sandbox, "c1", &["/bin/sleep", "1000"]);
    spec.security.capabilities = vec!["CAP_CHOWN".into()];
    runtime.create(spec).await.expect("created");
    let error = runtime.exec("c1", shell("true")).await.err().expect("refused before it runs");
    assert!(matches!(error, RuntimeError::State { .. }), "{error}");
    runtime.start("c1").await.expect("started");
    let command = "grep -E 'CapEff|CapBnd|Seccomp:' /proc/self/status; unshare -U true && echo done; \
                   test \"$(cat /proc/self/cgroup | sort)\" = \"$(cat /proc/1/cgroup | sort)\" && echo same";
    let (out, _, _) = finish(runtime.exec("c1", shell(command)).await.expect("runs")).await;
    assert_eq!(out, "CapEff:\t0000000000000001\nCapBnd:\t0000000000000001\nSeccomp:\t2\nsame\n");
}

pub async fn a_terminal_has_a_size(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    running(&site, &runtime).await;
    let mut spec = shell("read line; stty size; echo got $line; test -t 0 && test -t 1 && test -t 2 && echo terminal");
    spec.tty = true;
    spec.stdin = true;
    let mut session = runtime.exec("c1", spec).await.expect("runs");
    assert!(session.stderr.is_none());
    session.resize.take().expect("a terminal").set(123, 45).expect("resized");
    let mut stdin = session.stdin.take().expect("an input");
    stdin.write_all(b"typed\n").await.expect("written");
    let (out, _, code) = finish(session).await;
    assert_eq!(code, 0);
    let out = out.replace('\r', "");
    assert!(out.contains("45 123\ngot typed\nterminal\n"), "{out:?}");
}

pub async fn what_nobody_waits_for_is_killed(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    running(&site, &runtime).await;
    let session = runtime.exec("c1", shell("sleep 4243 & sleep 4243")).await.expect("runs");
    let pid = session.pid;
    let process = format!("/proc/{pid}");
    assert!(std::path::Path::new(&process).exists());
    drop(session);
    let gone = async {
        while std::path::Path::new(&process).exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("killed");
    let (out, _, _) = finish(runtime.exec("c1", shell("ps | grep -c '[4]243'")).await.expect("runs")).await;
    assert_eq!(out, "0\n");
}

pub async fn what_can_not_be_run_says_so(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    running(&site, &runtime).await;
    let spec = ExecSpec { args: vec!["no-such-program".into()], ..ExecSpec::default() };
    let error = runtime.exec("c1", spec).await.err().expect("refused");
    assert!(matches!(error, RuntimeError::Exec { .. }), "{error:?}");
    assert!(error.to_string().ends_with("\"no-such-program\": executable file not found in $PATH"), "{error}");
    let error = runtime.exec("none", shell("true")).await.err().expect("refused");
    assert!(matches!(error, RuntimeError::NotFound { .. }), "{error:?}");
}
