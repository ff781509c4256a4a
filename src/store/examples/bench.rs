//! What the store can do on this disk, as lines of `name value unit`.
//!
//! In: a directory (default: a temporary one), which decides what is measured. Out: durable writes a second with 1 and
//! 64 clients, point gets, a list of 10,000 x 1 KB, fan-out to 1000 watchers. Never touches an existing store.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kedge_store::{Backups, Body, Entry, Options, Store, Tier};

const OBJECT: usize = 1024;
const OBJECTS: usize = 10_000;
const WATCHERS: usize = 1000;
const SPAN: Duration = Duration::from_secs(2);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let base = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = base.join(format!("kedge-store-bench-{}", std::process::id()));
    let result = runtime.block_on(measure(dir.clone()));
    std::fs::remove_dir_all(dir)?;
    result
}

async fn measure(dir: PathBuf) -> Result<(), Box<dyn std::error::Error>> {
    let mut options = Options::new(dir.clone());
    options.backups = Backups { keep: 0, ..options.backups };
    let begun = Instant::now();
    let store = Store::open(options.clone())?;
    say("open-new", begun.elapsed().as_secs_f64() * 1e3, "ms");
    say("anonymous-open", anonymous(), "KiB");

    for clients in [1, 64] {
        // Twice: the first round fills the log, which later rounds overwrite.
        writes(&store, clients, "warm", SPAN / 2).await?;
        let before = cpu();
        let (count, span) = writes(&store, clients, "run", SPAN).await?;
        say(&format!("durable-writes-{clients}"), count as f64 / span.as_secs_f64(), "/s");
        say(&format!("durable-writes-{clients}-cpu"), (cpu() - before).as_secs_f64() * 1e6 / count as f64, "us");
    }
    volatile(&store).await?;
    lists(&store).await?;
    fan_out(&store).await?;

    say("anonymous-after-all", anonymous(), "KiB");

    let metrics = store.metrics();
    say("database", metrics.database_bytes as f64 / 1e6, "MB");
    say("log", metrics.wal_bytes as f64 / 1e6, "MB");
    store.close().await;
    let begun = Instant::now();
    let store = Store::open(options)?;
    say("open-again", begun.elapsed().as_secs_f64() * 1e3, "ms");
    for i in 0..500 {
        store.get(&format!("/list/{i:06}")).await?;
    }
    store.list("/list/", None, None, 500).await?;
    say("anonymous-reopened", anonymous(), "KiB");
    store.close().await;
    Ok(())
}

async fn writes(
    store: &Store,
    clients: usize,
    round: &str,
    span: Duration,
) -> Result<(usize, Duration), Box<dyn std::error::Error>> {
    let begun = Instant::now();
    let mut tasks = Vec::new();
    for client in 0..clients {
        let (store, key) = (store.clone(), format!("/bench/{round}-{clients}/{client}"));
        tasks.push(tokio::spawn(async move {
            let body = || Body::stamped_at(vec![b'x'; OBJECT], 100);
            let mut entry = store.create(Tier::Durable, &key, body(), Bytes::from_static(b"app=web")).await?;
            let mut count = 1;
            while begun.elapsed() < span {
                entry = store.update(&key, entry.revision, body(), Bytes::from_static(b"app=web")).await?;
                count += 1;
            }
            Ok::<usize, kedge_store::WriteError>(count)
        }));
    }
    let mut count = 0;
    for task in tasks {
        count += task.await??;
    }
    Ok((count, begun.elapsed()))
}

async fn volatile(store: &Store) -> Result<(), Box<dyn std::error::Error>> {
    let mut entry: Arc<Entry> =
        store.create(Tier::Volatile, "/leases/node", Body::plain(vec![0; 500]), Bytes::new()).await?;
    let (begun, count) = (Instant::now(), 20_000);
    for _ in 0..count {
        entry = store.update("/leases/node", entry.revision, Body::plain(vec![0; 500]), Bytes::new()).await?;
    }
    say("volatile-writes-1", f64::from(count) / begun.elapsed().as_secs_f64(), "/s");
    Ok(())
}

async fn lists(store: &Store) -> Result<(), Box<dyn std::error::Error>> {
    let mut tasks = Vec::new();
    for client in 0..20 {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            for i in 0..OBJECTS / 20 {
                let key = format!("/list/{:06}", i * 20 + client);
                store.create(Tier::Durable, &key, Body::plain(vec![b'y'; OBJECT]), Bytes::new()).await?;
            }
            Ok::<(), kedge_store::WriteError>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let begun = Instant::now();
        let page = store.list("/list/", None, None, 0).await?;
        assert_eq!(page.entries.len(), OBJECTS);
        best = best.min(begun.elapsed());
    }
    say("list-10000", best.as_secs_f64() * 1e3, "ms");
    let begun = Instant::now();
    let mut after: Option<String> = None;
    let mut at = None;
    loop {
        let page = store.list("/list/", at, after.as_deref(), 500).await?;
        if !page.more {
            break;
        }
        at = Some(page.revision);
        after = page.entries.last().map(|entry| entry.key.to_string());
    }
    say("list-10000-by-500", begun.elapsed().as_secs_f64() * 1e3, "ms");
    let begun = Instant::now();
    for i in 0..OBJECTS {
        store.get(&format!("/list/{i:06}")).await?;
    }
    say("get", begun.elapsed().as_secs_f64() * 1e6 / OBJECTS as f64, "us");
    Ok(())
}

async fn fan_out(store: &Store) -> Result<(), Box<dyn std::error::Error>> {
    let events = 5_000usize;
    let mut tasks = Vec::new();
    for _ in 0..WATCHERS {
        let mut watch = store.watch("/fan/", store.revision())?;
        tasks.push(tokio::spawn(async move {
            let mut seen = 0;
            while seen < events {
                seen += watch.next().await?.len();
            }
            Ok::<usize, kedge_store::WatchError>(seen)
        }));
    }
    let begun = Instant::now();
    let mut writers = Vec::new();
    for client in 0..50 {
        let store = store.clone();
        writers.push(tokio::spawn(async move {
            for i in 0..events / 50 {
                let key = format!("/fan/{client}-{i}");
                store.create(Tier::Durable, &key, Body::plain(vec![b'z'; OBJECT]), Bytes::new()).await?;
            }
            Ok::<(), kedge_store::WriteError>(())
        }));
    }
    for writer in writers {
        writer.await??;
    }
    say("fan-out-1000-written", events as f64 / begun.elapsed().as_secs_f64(), "events/s");
    for task in tasks {
        task.await??;
    }
    say("fan-out-1000-received", events as f64 / begun.elapsed().as_secs_f64(), "events/s");
    say("fan-out-1000-lagged", store.metrics().watchers_lagged as f64, "times");
    Ok(())
}

/// CPU time of this process so far.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Anonymous memory of this process, in KiB.
fn anonymous() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(f64::NAN)
}

fn say(name: &str, value: f64, unit: &str) {
    println!("{name:<28} {value:>12.1} {unit}");
}
