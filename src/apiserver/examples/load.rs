//! How many requests a second the API server answers, in process: no sockets, a real store.
//!
//! `cargo run --release -p kedge-apiserver --example load -- DIR [COUNT]` prints one line for each
//! verb with 1 and with 64 clients: requests a second and CPU for each.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use kedge_apiserver::{ApiServer, Config, Identity, Loopback, Parts};
use kedge_store::{Options, Store};
use tower::ServiceExt as _;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let dir = std::path::PathBuf::from(args.next().ok_or("usage: load DIR [COUNT]")?);
    let count: usize = args.next().map_or(Ok(3000), |n| n.parse())?;
    std::fs::create_dir_all(&dir)?;
    let store = Store::open(Options::new(dir.join("store")))?;
    let api = ApiServer::open(Config { data_dir: dir, ..Config::default() }, store, Parts::default()).await?;
    let admin = api.loopback(Identity::master("load"));
    let maps = "/api/v1/namespaces/default/configmaps";
    for clients in [1, 64] {
        let name = move |at: usize| format!("c{clients}-{at:06}");
        let body = move |at: usize, value: &str| {
            format!(
                r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{}"}},"data":{{"k":"{value}","pad":"{}"}}}}"#,
                name(at),
                "x".repeat(200)
            )
        };
        run("create", clients, count, &admin, move |at| ("POST", maps.to_owned(), body(at, "v"))).await;
        run("get", clients, count * 3, &admin, move |at| {
            ("GET", format!("{maps}/{}", name(at % count)), String::new())
        })
        .await;
        run("update", clients, count, &admin, move |at| ("PUT", format!("{maps}/{}", name(at)), body(at, "w"))).await;
        run("patch", clients, count, &admin, move |at| {
            ("PATCH", format!("{maps}/{}", name(at)), format!(r#"{{"data":{{"k":"p{at}"}}}}"#))
        })
        .await;
        run("list", clients, 20, &admin, move |_| ("GET", maps.to_owned(), String::new())).await;
        run("delete", clients, count, &admin, move |at| ("DELETE", format!("{maps}/{}", name(at)), String::new()))
            .await;
    }
    watch(&admin, maps, 1000, 500).await?;
    api.close().await;
    Ok(())
}

/// Every one of `watchers` reads every event.
async fn watch(admin: &Loopback, maps: &str, watchers: usize, events: usize) -> Result<(), Box<dyn std::error::Error>> {
    let mut tasks = Vec::new();
    for _ in 0..watchers {
        let request = Request::builder().uri(format!("{maps}?watch=true&resourceVersion=0")).body(Body::empty())?;
        let Ok(answer) = admin.clone().oneshot(request).await;
        let mut body = answer.into_body();
        tasks.push(tokio::spawn(async move {
            let mut left = events;
            while left > 0 {
                let Some(Ok(frame)) = body.frame().await else { return };
                let lines = frame.data_ref().map_or(0, |data| data.iter().filter(|b| **b == b'\n').count());
                left = left.saturating_sub(lines);
            }
        }));
    }
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let name = move |at: usize| format!("w-{at:06}");
    let maps = maps.to_owned();
    let next = Arc::new(AtomicUsize::new(0));
    let mut writers = Vec::new();
    for _ in 0..16 {
        let (admin, maps, next) = (admin.clone(), maps.clone(), next.clone());
        writers.push(tokio::spawn(async move {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= events {
                    return;
                }
                let body =
                    format!(r#"{{"metadata":{{"name":"{}"}},"data":{{"pad":"{}"}}}}"#, name(at), "x".repeat(200));
                let request = Request::builder().method("POST").uri(&maps).body(Body::from(body));
                let Ok(request) = request else { return };
                let _ = admin.clone().oneshot(request).await;
            }
        }));
    }
    for task in writers.into_iter().chain(tasks) {
        let _ = task.await;
    }
    let took = began.elapsed().as_secs_f64();
    println!(
        "watch   {watchers} watchers {:8.0} events/s each {:8.3} us CPU a delivery",
        events as f64 / took,
        (cpu_seconds() - cpu) * 1e6 / (events * watchers) as f64
    );
    Ok(())
}

async fn run<F>(what: &str, clients: usize, count: usize, admin: &Loopback, make: F)
where
    F: Fn(usize) -> (&'static str, String, String) + Send + Sync + Copy + 'static,
{
    let next = Arc::new(AtomicUsize::new(0));
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let mut tasks = Vec::new();
    for _ in 0..clients {
        let (admin, next) = (admin.clone(), next.clone());
        tasks.push(tokio::spawn(async move {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= count {
                    return;
                }
                let (method, path, body) = make(at);
                let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
                let request =
                    Request::builder().method(method).uri(path).header("content-type", kind).body(Body::from(body));
                let Ok(request) = request else { return };
                let Ok(answer) = admin.clone().oneshot(request).await;
                assert!(answer.status().is_success(), "{}", answer.status());
                let _ = answer.into_body().collect().await;
            }
        }));
    }
    for task in tasks {
        let _ = task.await;
    }
    let (took, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    println!(
        "{what:7} {clients:3} clients {:9.0}/s {:8.3} ms CPU each",
        count as f64 / took,
        cpu * 1000.0 / count as f64
    );
}

/// CPU time of this process, from /proc; clock ticks are hundredths.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}
