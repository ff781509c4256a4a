//! Measures filter and score of the built-in plugins over fake nodes: `cargo run --release -p kedge-plugin-host
//! --example filter_rate [NODES]`. Prints nanoseconds a node and cycles a second.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use kedge_plugin_api::nodes::{Effect, NodeFacts, Taint};
use kedge_plugin_api::scheduling::{Toleration, TolerationOperator};
use kedge_plugin_api::{Bitmap, NodeTable, PodRow, Scheduling};
use kedge_plugin_host::{Environment, Options, PluginConfig, PluginHost};

fn main() {
    let count: usize = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(2000);
    let environment = Environment {
        now: Arc::new(SystemTime::now),
        random: Arc::new(|| 4),
        log: Arc::new(|plugin, level, text| eprintln!("{plugin} {level:?} {text}")),
    };
    let options =
        Options { cache: std::env::temp_dir().join("kedge-filter-rate"), compiler: "none".into(), environment };
    let host = PluginHost::open(options).expect("a host");
    let problems = host.apply(&[PluginConfig::builtin("scheduling")]);
    assert!(problems.is_empty(), "{problems:?}");

    let mut nodes = NodeTable::new(1);
    for number in 0..count {
        let symbols = &mut nodes.symbols;
        let mut label = |key: &str, value: String| (symbols.intern(key), symbols.intern(&value));
        let labels = vec![
            label("kubernetes.io/hostname", format!("node-{number}")),
            label("zone", format!("z{}", number % 7)),
            label("disk", if number % 2 == 0 { "ssd" } else { "hdd" }.into()),
        ];
        let taints = if number % 10 == 0 {
            vec![Taint { key: symbols.intern("dedicated"), value: symbols.intern("x"), effect: Effect::NoSchedule }]
        } else {
            vec![]
        };
        let images = (0..20).map(|image| (symbols.intern(&format!("registry/app-{image}:v1")), 100 << 20)).collect();
        let facts = NodeFacts {
            allocatable: vec![8000, 32 << 30, 100 << 30, 110],
            labels,
            taints,
            images,
            ..NodeFacts::default()
        };
        nodes.put(&format!("node-{number}"), facts);
    }
    let symbols = &mut nodes.symbols;
    let pod = PodRow {
        namespace: symbols.intern("default"),
        name: "web-5d8f7c9b4-abcde".into(),
        uid: "0c3e5d0a-6d3f-4d57-8a38-2f1c7b1f6b11".into(),
        labels: vec![(symbols.intern("app"), symbols.intern("web"))],
        requests: vec![(3, 1), (0, 10), (1, 1 << 20)],
        scoring_cpu: 10,
        scoring_memory: 1 << 20,
        node_selector: vec![(symbols.intern("disk"), symbols.intern("ssd"))],
        tolerations: vec![Toleration {
            key: symbols.intern("node.kubernetes.io/not-ready"),
            operator: TolerationOperator::Exists,
            value: 0,
            effect: Some(Effect::NoExecute),
        }],
        images: vec![symbols.intern("registry/app-3:v1")],
        ..PodRow::default()
    };
    let all = nodes.occupied();
    let begun = Instant::now();
    let feasible = host.filter(&nodes, &pod, &all).expect("a verdict").feasible;
    println!("{count} nodes; first call with the whole load: {:?}; feasible: {}", begun.elapsed(), feasible.count());

    rate(count, "filter, all nodes", || drop(host.filter(&nodes, &pod, &all)));
    rate(count, "score, all feasible", || drop(host.score(&nodes, &pod, &feasible)));
    let none = Bitmap::empty(count);
    rate(count, "empty call", || drop(host.filter(&nodes, &pod, &none)));
    let (mut nodes, mut next) = (nodes, 0);
    rate(count, "cycle: delta of one node, filter, score", || {
        next = (next + 1) % count;
        nodes.use_row(next, |usage| usage.requested = vec![10, 1 << 20, 0, 1]);
        let verdict = host.filter(&nodes, &pod, &all).expect("a verdict");
        drop(host.score(&nodes, &pod, &verdict.feasible));
    });
}

fn rate(nodes: usize, what: &str, mut act: impl FnMut()) {
    let (begun, mut times) = (Instant::now(), 0_u32);
    while begun.elapsed() < Duration::from_secs(2) {
        act();
        times += 1;
    }
    let one = begun.elapsed() / times;
    println!(
        "{what}: {one:?}, {:.1} ns a node, {:.0} a second",
        one.as_nanos() as f64 / nodes as f64,
        1.0 / one.as_secs_f64()
    );
}
