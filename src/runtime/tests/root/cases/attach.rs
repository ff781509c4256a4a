//! Clients of a container's own streams.

use kedge_runtime::zygote::Zygote;
use kedge_runtime::{AttachSession, Runtime, RuntimeError};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::time::timeout;

use crate::root::site::{PATIENCE, Site, connect, pod};

struct Wanted {
    stdin: bool,
    once: bool,
    tty: bool,
}

const PLAIN: Wanted = Wanted { stdin: true, once: false, tty: false };

async fn running(site: &Site, runtime: &Runtime, command: &str, wanted: Wanted) {
    let sandbox = pod(site, runtime).await;
    let mut spec = site.container(&sandbox, "c1", command);
    (spec.stdin, spec.stdin_once, spec.tty) = (wanted.stdin, wanted.once, wanted.tty);
    runtime.create(spec).await.expect("created");
    runtime.start("c1").await.expect("started");
}

async fn attached(runtime: &Runtime) -> AttachSession {
    runtime.attach("c1", true).await.expect("attached")
}

/// Both outputs to their ends, and the end.
async fn rest(session: AttachSession) -> (String, String) {
    let (mut out, mut err) = (String::new(), String::new());
    let AttachSession { mut stdout, stderr, end, stdin: _stdin, .. } = session;
    let work = async {
        tokio::join!(async { stdout.read_to_string(&mut out).await.expect("read") }, async {
            if let Some(mut stderr) = stderr {
                stderr.read_to_string(&mut err).await.expect("read");
            }
        });
        end.await.expect("a word").expect("an end");
    };
    timeout(PATIENCE, work).await.expect("it ends");
    (out, err)
}

pub async fn several_clients_see_the_same_and_type(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    running(
        &site,
        &runtime,
        "while read line; do echo got $line; echo no $line >&2; test $line = end && exit; done",
        PLAIN,
    )
    .await;
    let mut first = attached(&runtime).await;
    let second = attached(&runtime).await;
    let mut typed = first.stdin.take().expect("an input");
    typed.write_all(b"one\n").await.expect("written");
    // Its input does not end with a client.
    drop(typed);
    site.wait_for_line("c1", "stdout F got one").await;
    let mut third = attached(&runtime).await;
    third.stdin.take().expect("an input").write_all(b"end\n").await.expect("written");
    let both = ("got one\ngot end\n".to_owned(), "no one\nno end\n".to_owned());
    assert_eq!(rest(first).await, both);
    assert_eq!(rest(second).await, both);
    assert_eq!(rest(third).await, ("got end\n".into(), "no end\n".into()));
    site.wait_for_line("c1", "stdout F got end").await;
}

pub async fn input_for_one_client_ends_with_it(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    running(&site, &runtime, "cat; echo over", Wanted { once: true, ..PLAIN }).await;
    let mut session = attached(&runtime).await;
    let mut typed = session.stdin.take().expect("an input");
    typed.write_all(b"words").await.expect("written");
    drop(typed);
    assert_eq!(rest(session).await.0, "wordsover\n");
}

pub async fn a_terminal_is_resized_and_shows_what_has_no_end_of_line(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    running(&site, &runtime, "read a; stty size; printf 'prompt> '; read b; echo b=$b", Wanted { tty: true, ..PLAIN })
        .await;
    let mut session = attached(&runtime).await;
    assert!(session.stderr.is_none());
    session.resize.as_ref().expect("a terminal").set(101, 33).expect("told");
    let mut typed = session.stdin.take().expect("an input");
    typed.write_all(b"go\n").await.expect("written");
    let mut output = BufReader::new(session.stdout);
    let mut seen = Vec::new();
    timeout(PATIENCE, output.read_until(b'>', &mut seen)).await.expect("a prompt").expect("read");
    let seen = String::from_utf8_lossy(&seen).replace('\r', "");
    assert!(seen.contains("33 101\nprompt>"), "{seen:?}");
    typed.write_all(b"typed\n").await.expect("written");
    let mut rest = String::new();
    timeout(PATIENCE, output.read_to_string(&mut rest)).await.expect("an end").expect("read");
    assert!(rest.contains("b=typed"), "{rest:?}");
}

pub async fn much_is_lost_by_nobody_and_a_client_that_leaves_holds_nothing(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    running(&site, &runtime, "read go; seq 1 200000; echo done", PLAIN).await;
    let left = attached(&runtime).await;
    let mut session = attached(&runtime).await;
    session.stdin.take().expect("an input").write_all(b"\n").await.expect("written");
    drop(left);
    let (out, _) = rest(session).await;
    let expected: String = (1..=200_000).map(|number| format!("{number}\n")).collect();
    assert!(out == expected + "done\n", "{} bytes", out.len());
}

pub async fn only_what_runs_is_joined(site: Site, zygote: Zygote) {
    let runtime = connect(&site, zygote).await;
    running(&site, &runtime, "exit 0", PLAIN).await;
    let ended = async {
        loop {
            match runtime.attach("c1", false).await {
                Err(error) => return error,
                Ok(session) => drop(rest(session).await),
            }
        }
    };
    let error = timeout(PATIENCE, ended).await.expect("it ends");
    assert!(matches!(error, RuntimeError::State { .. } | RuntimeError::Failed { .. }), "{error:?}");
    assert!(matches!(runtime.attach("none", false).await.err(), Some(RuntimeError::NotFound { .. })));
}
