//! Pods scheduled a second, bound through the store, with all built-in predicates and priorities in Wasm.
//!
//! `cargo run --release -p kedge-scheduler --example schedule_rate -- [NODES] [PODS]`. Everything runs in this process;
//! nodes are objects without machines. Prints one line.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use kedge_apiserver::{ApiServer, Config, Identity, Parts as ApiParts};
use kedge_client::{Client, Informer, ResourcePath, Step, WatchOptions, WriteOptions};
use kedge_plugin_host::{Environment, Options, PluginConfig, PluginHost};
use kedge_scheduler::{Metrics, Parts, Scheduler, Settings};
use kedge_store::Store;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Creates under way at once.
const CREATES: usize = 64;

type Problem = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Problem> {
    let mut numbers = std::env::args().skip(1).map(|word| word.parse::<usize>());
    let nodes = numbers.next().transpose()?.unwrap_or(2000);
    let pods = numbers.next().transpose()?.unwrap_or(5000);
    let folder = tempfile::tempdir()?;
    let store = Store::open(kedge_store::Options::new(folder.path().join("store")))?;
    let config = Config { data_dir: folder.path().into(), ..Config::default() };
    let api = ApiServer::open(config, store, ApiParts::default()).await?;
    let client = Client::from_service(api.loopback(Identity::master("bench")), "default");

    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    let accounts = ResourcePath::core("serviceaccounts").namespace("default");
    let _ = client.create(&accounts, &account, &WriteOptions::default()).await;
    let begun = Instant::now();
    create_all(&client, ResourcePath::core("nodes"), (0..nodes).map(node).collect()).await?;
    create_all(&client, ResourcePath::core("pods").namespace("default"), (0..pods).map(pod).collect()).await?;
    let created = begun.elapsed();

    let host = tokio::task::spawn_blocking({
        let cache = folder.path().join("cache");
        move || open_host(cache)
    })
    .await?;
    let (metrics, stop) = (Arc::<Metrics>::default(), CancellationToken::new());
    let parts = Parts {
        client: client.clone(),
        plugins: host.scheduling(),
        clock: SystemTime::now,
        random: random(),
        metrics: metrics.clone(),
    };
    let scheduler = tokio::spawn(Scheduler::run(parts, Settings::default(), stop.clone()));
    let took = until_bound(client, pods).await;
    stop.cancel();
    scheduler.await??;

    let now = metrics.now();
    let rate = |count: usize, seconds: f64| count as f64 / seconds;
    println!(
        "{nodes} nodes, {pods} pods: {:.0} pods/s bound ({took:.2} s); cycle alone {:.0}/s; objects created {:.0}/s",
        rate(pods, took),
        rate(now.scheduled as usize, now.cycle_time.as_secs_f64()),
        rate(nodes + pods, created.as_secs_f64()),
    );
    println!("{now:?}\n{:?}", host.metrics());
    api.close().await;
    Ok(())
}

fn open_host(cache: PathBuf) -> PluginHost {
    let environment = Environment {
        now: Arc::new(SystemTime::now),
        random: Arc::new(|| 4),
        log: Arc::new(|plugin, level, text| eprintln!("{plugin} {level:?} {text}")),
    };
    let host = PluginHost::open(Options { cache, compiler: "none".into(), environment }).expect("a host");
    let problems = host.apply(&[PluginConfig::builtin("scheduling")]);
    assert!(problems.is_empty(), "{problems:?}");
    host
}

/// Seconds from the first to the last bound pod, counted from the beginning of the watch.
async fn until_bound(client: Client, pods: usize) -> f64 {
    let mut informer = Informer::<Value>::new(client, ResourcePath::core("pods"), WatchOptions::default());
    let (begun, mut bound) = (Instant::now(), std::collections::HashSet::new());
    while bound.len() < pods {
        if let Step::Apply(pod) = informer.next().await
            && pod["spec"]["nodeName"].is_string()
        {
            bound.insert(pod["metadata"]["name"].to_string());
        }
    }
    begun.elapsed().as_secs_f64()
}

async fn create_all(client: &Client, path: ResourcePath, objects: Vec<Value>) -> Result<(), Problem> {
    let mut tasks: JoinSet<Result<(), Problem>> = JoinSet::new();
    for object in objects {
        if tasks.len() == CREATES
            && let Some(done) = tasks.join_next().await
        {
            done??;
        }
        let (client, path) = (client.clone(), path.clone());
        tasks.spawn(async move {
            client.create(&path, &object, &WriteOptions::default()).await?;
            Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

fn node(number: usize) -> Value {
    let name = format!("node-{number}");
    let taints = if number.is_multiple_of(10) {
        json!([{"key": "dedicated", "value": "x", "effect": "NoSchedule"}])
    } else {
        json!([])
    };
    let disk = if number.is_multiple_of(2) { "ssd" } else { "hdd" };
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "disk": disk}},
        "spec": {"taints": taints},
        "status": {"capacity": {"cpu": "8", "memory": "32Gi", "pods": "110"},
                   "allocatable": {"cpu": "8", "memory": "32Gi", "pods": "110"}},
    })
}

fn pod(number: usize) -> Value {
    let container =
        json!({"name": "web", "image": "web:1", "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}});
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("web-{number}"), "labels": {"app": "web"}},
        "spec": {"containers": [container], "nodeSelector": {"disk": "ssd"}, "automountServiceAccountToken": false},
    })
}

/// A xorshift: equal nodes need no better chance.
fn random() -> Box<dyn FnMut() -> u64 + Send> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    Box::new(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    })
}
