//! Killed in the middle of writes, hundreds of times: no acknowledged write is lost and no revision repeats.
//!
//! The test binary runs itself as the writer that is killed.

#![allow(clippy::unwrap_used)]

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use kedge_store::{Body, Options, Store, Tier, WriteError};

const CHILD: &str = "KEDGE_CRASH_TEST_DIR";
/// Each round costs a process, an open with its check, and at most 20 ms of writing.
const ROUNDS: u64 = 200;
const WRITERS: usize = 4;

#[test]
fn no_acknowledged_write_is_lost_and_no_revision_repeats() {
    if let Ok(dir) = std::env::var(CHILD) {
        return write_until_killed(&dir);
    }
    let dir = tempfile::tempdir().unwrap();
    let mut newest: HashMap<String, u64> = HashMap::new();
    let mut revisions: HashSet<u64> = HashSet::new();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "no_acknowledged_write_is_lost_and_no_revision_repeats", "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Two rounds of three begin to count when the first write is acknowledged; the third may end while opening.
        let is_ack = |line: &std::io::Result<String>| line.as_ref().is_ok_and(|line| line.starts_with("ack "));
        let first = if round % 3 == 0 { None } else { lines.find(is_ack).map(Result::unwrap) };
        std::thread::sleep(Duration::from_micros(random >> 32 & 0x3fff));
        child.kill().unwrap();
        for line in first.into_iter().chain(lines.map_while(Result::ok)) {
            let mut words = line.split(' ').skip(1);
            // A line that the kill cut short is no acknowledgement.
            let (Some(key), Some(revision), Some("end")) = (words.next(), words.next(), words.next()) else { continue };
            let revision: u64 = revision.parse().unwrap();
            assert!(revisions.insert(revision), "round {round}: revision {revision} was given twice");
            if key == "-" {
                // A volatile write may be lost, but its revision is taken.
                continue;
            }
            let known = newest.entry(key.to_owned()).or_insert(0);
            *known = revision.max(*known);
        }
        child.wait().unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(Options::new(dir.path())).unwrap();
        assert!(store.report().recovered.is_none(), "{:?}", store.report());
        for (key, revision) in &newest {
            let entry = store.get(key).await.unwrap().unwrap_or_else(|| panic!("{key} is lost"));
            // A later write may have reached the disk without its acknowledgement reaching us.
            assert!(entry.revision >= *revision, "{key} is at {} but {revision} was acknowledged", entry.revision);
            assert_eq!(entry.bytes, format!("{}", entry.revision).as_bytes());
        }
        assert!(revisions.len() as u64 > ROUNDS / 2, "only {} writes were acknowledged", revisions.len());
    });
}

fn write_until_killed(dir: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(Options::new(dir)).unwrap();
        let mut tasks = Vec::new();
        for writer in 0..WRITERS {
            let store = store.clone();
            tasks.push(tokio::spawn(async move {
                for i in 0.. {
                    let key = format!("/g/k/{writer}-{}", i % 7);
                    let tier = if writer == 0 { Tier::Volatile } else { Tier::Durable };
                    let key = if writer == 0 { key.replace("/k/", "/v/") } else { key };
                    let body = Body::stamped_at(&b""[..], 0);
                    let made = match store.create(tier, &key, body.clone(), Bytes::new()).await {
                        Err(WriteError::Exists(there)) => store.update(&key, there.revision, body, Bytes::new()).await,
                        other => other,
                    };
                    let Ok(entry) = made else { return };
                    // Volatile writes are many; a few of them say enough, and leave room in the pipe.
                    if writer == 0 && i % 16 != 0 {
                        continue;
                    }
                    let key = if writer == 0 { "-" } else { &entry.key };
                    let line = format!("ack {key} {} end\n", entry.revision);
                    let mut out = std::io::stdout().lock();
                    if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
                        return;
                    }
                }
            }));
        }
        for task in tasks {
            let _ = task.await;
        }
    });
}
