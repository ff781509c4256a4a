//! The built-in predicates and priorities and the example predicate, through Wasm.
//!
//! Needs the guests: without `cargo xtask guests` these tests say so and do nothing.
#![allow(clippy::unwrap_used)]

#[path = "support/stage.rs"]
mod stage;

use std::sync::Arc;

use kedge_plugin_api::controllers::{
    Change, Event, Failure, Key, Kind, Order, Query, ReconcileError, ServedKind, Table, Tally, Written,
};
use kedge_plugin_api::nodes::{Effect, NodeFacts, Taint};
use kedge_plugin_api::{Bitmap, NodeTable, PodRow, Scheduling};
use kedge_plugin_host::{BundleError, Offers, PluginConfig, Source, builtin};
use stage::{Stage, pod, table};

/// A host with the built-in scheduling plugin, as the daemon has it.
fn stage() -> Option<Stage> {
    let stage = Stage::open()?;
    if let Err(BundleError::Absent) = builtin() {
        eprintln!("SKIPPED: no built-in plugins in this build; run `cargo xtask guests` first");
        return None;
    }
    assert_eq!(stage.host.apply(&[PluginConfig::builtin("scheduling")]), []);
    Some(stage)
}

/// Three nodes: `n0` small, `n1` tainted, `n2` large and labelled.
fn three() -> NodeTable {
    let mut nodes = NodeTable::new(1);
    let mut put = |name: &str, cpu: i64, taint: bool, label: bool| {
        let mut facts = NodeFacts { allocatable: vec![cpu, 1 << 30, 0, 10], ..NodeFacts::default() };
        let symbols = &mut nodes.symbols;
        if taint {
            let (key, value) = (symbols.intern("gpu"), symbols.intern("yes"));
            facts.taints.push(Taint { key, value, effect: Effect::NoSchedule });
        }
        if label {
            facts.labels.push((symbols.intern("disk"), symbols.intern("ssd")));
        }
        nodes.put(name, facts);
    };
    put("n0", 500, false, false);
    put("n1", 4000, true, false);
    put("n2", 4000, false, true);
    nodes
}

#[track_caller]
fn check(stage: &Stage, nodes: &NodeTable, pod: &PodRow, feasible: &[usize], reasons: &[(&str, &[usize])]) {
    let verdict = stage.host.filter(nodes, pod, &nodes.occupied()).unwrap();
    assert_eq!(verdict.feasible.iter().collect::<Vec<_>>(), feasible);
    let said: Vec<(&str, Vec<usize>)> =
        verdict.reasons.iter().map(|reason| (reason.text.as_str(), reason.nodes.iter().collect())).collect();
    let expected: Vec<(&str, Vec<usize>)> = reasons.iter().map(|(text, nodes)| (*text, nodes.to_vec())).collect();
    assert_eq!(said, expected);
}

#[test]
fn the_built_in_predicates_answer() {
    let Some(stage) = stage() else { return };
    let mut nodes = three();
    let mut asks = pod(&mut nodes, "ns");
    let tainted: (&str, &[usize]) = ("node(s) had untolerated taint(s)", &[1]);
    asks.requests = vec![(3, 1)];
    check(&stage, &nodes, &asks, &[0, 2], &[tainted]);
    asks.requests = vec![(3, 1), (0, 1000)];
    check(&stage, &nodes, &asks, &[2], &[tainted, ("Insufficient cpu", &[0])]);
    asks.node_selector = vec![(nodes.symbols.intern("disk"), nodes.symbols.intern("hdd"))];
    check(&stage, &nodes, &asks, &[], &[tainted, ("node(s) didn't match Pod's node affinity/selector", &[0, 2])]);
}

#[test]
fn deltas_reach_the_plugin() {
    let Some(stage) = stage() else { return };
    let mut nodes = three();
    let mut asks = pod(&mut nodes, "ns");
    asks.requests = vec![(0, 400)];
    let tainted: (&str, &[usize]) = ("node(s) had untolerated taint(s)", &[1]);
    check(&stage, &nodes, &asks, &[0, 2], &[tainted]);
    nodes.use_row(0, |usage| usage.requested = vec![200]);
    check(&stage, &nodes, &asks, &[2], &[tainted, ("Insufficient cpu", &[0])]);
    // A new resource gets a column, a new node a row, an old row another node.
    let led = nodes.column("example.com/led");
    nodes.put("n3", NodeFacts { allocatable: vec![4000, 0, 0, 10, 2], ..NodeFacts::default() });
    asks.requests.push((led as u32, 1));
    let lack: (&str, &[usize]) = ("Insufficient example.com/led", &[0, 2]);
    check(&stage, &nodes, &asks, &[3], &[tainted, ("Insufficient cpu", &[0]), lack]);
    nodes.remove("n1");
    nodes.put("n4", NodeFacts { allocatable: vec![4000, 0, 0, 10, 2], ..NodeFacts::default() });
    check(&stage, &nodes, &asks, &[1, 3], &[("Insufficient cpu", &[0]), lack]);
    // Another table: everything is sent again.
    nodes.compact(2, |_| {});
    let mut asks = pod(&mut nodes, "ns");
    asks.requests = vec![(0, 400)];
    check(&stage, &nodes, &asks, &[1, 2, 3], &[("Insufficient cpu", &[0])]);
}

#[test]
fn weights_count_and_zero_turns_off() {
    let Some(stage) = stage() else { return };
    let nodes = three();
    let all = nodes.occupied();
    let row = PodRow { scoring_cpu: 250, scoring_memory: 0, ..PodRow::default() };
    let scores = |weights: &[(&str, u32)]| {
        let mut config = PluginConfig::builtin("scheduling");
        config.weights = weights.iter().map(|(name, weight)| (name.to_string(), *weight)).collect();
        assert_eq!(stage.host.apply(&[config]), []);
        stage.host.score(&nodes, &row, &all).unwrap()
    };
    let others = [("BalancedResourceAllocation", 0), ("ImageLocality", 0), ("TaintToleration", 0)];
    assert_eq!(scores(&[&others[..], &[("LeastRequested", 1)]].concat()), [75, 96, 96]);
    assert_eq!(scores(&[&others[..], &[("LeastRequested", 3)]].concat()), [225, 288, 288]);
    assert_eq!(scores(&[&others[..], &[("LeastRequested", 0)]].concat()), [0, 0, 0]);
    let mut config = PluginConfig::builtin("scheduling");
    config.weights.insert("Nothing".into(), 1);
    assert!(stage.host.apply(&[config])[0].to_string().contains("does not offer Nothing; it offers LeastRequested"));
}

#[test]
fn predicates_can_be_turned_off() {
    let Some(stage) = stage() else { return };
    let mut config = PluginConfig::builtin("scheduling");
    config.disabled = vec!["PodToleratesNodeTaints".into()];
    assert_eq!(stage.host.apply(&[config]), []);
    let mut nodes = three();
    let asks = pod(&mut nodes, "ns");
    check(&stage, &nodes, &asks, &[0, 1, 2], &[]);
}

#[test]
fn a_plugin_comes_and_goes_without_touching_the_rest() {
    let Some(stage) = stage() else { return };
    let builtin = PluginConfig::builtin("scheduling");
    let battery = PluginConfig::new("battery", Source::File(stage.guest("battery")));
    let mut nodes = NodeTable::new(1);
    let charge = |nodes: &mut NodeTable, percent: &str| {
        let label = (nodes.symbols.intern("example.com/battery"), nodes.symbols.intern(percent));
        NodeFacts { labels: vec![label], ..NodeFacts::default() }
    };
    let (low, high) = (charge(&mut nodes, "10"), charge(&mut nodes, "90"));
    nodes.put("low", low);
    nodes.put("high", high);
    let row = pod(&mut nodes, "ns");
    check(&stage, &nodes, &row, &[0, 1], &[]);
    let instances = |at: usize| stage.host.metrics()[at].instances;
    assert_eq!(instances(0), 1);
    assert_eq!(stage.host.apply(&[builtin.clone(), battery.clone()]), []);
    check(&stage, &nodes, &row, &[1], &[("node(s) had too little battery", &[0])]);
    let mut modest = battery.clone();
    modest.arguments = 5.into();
    assert_eq!(stage.host.apply(&[builtin.clone(), modest]), []);
    check(&stage, &nodes, &row, &[0, 1], &[]);
    assert_eq!(stage.host.apply(std::slice::from_ref(&builtin)), []);
    check(&stage, &nodes, &row, &[0, 1], &[]);
    assert_eq!(instances(0), 1, "the built-in plugin was not touched");
    let list = stage.host.list();
    assert_eq!((list.len(), list[0].offers, list[0].predicates.len()), (1, Offers::Scheduling, 6));
}

/// A cluster with one Namespace-less world: no rows, every write refused.
struct Empty;

impl kedge_plugin_api::Cluster for Empty {
    fn rows(&self, _: u32, _: &Query) -> Table {
        Table::default()
    }
    fn count(&self, _: u32, _: &Query, _: &[u32]) -> Tally {
        Tally::default()
    }
    fn get(&self, _: &Kind, _: &Key) -> Result<String, Failure> {
        Err(not_found())
    }
    fn list(&self, _: &Kind, _: &str, _: &str, _: &str) -> Result<String, Failure> {
        Ok("[]".into())
    }
    fn kinds(&self) -> Vec<ServedKind> {
        Vec::new()
    }
    fn write(&self, changes: Vec<Change>, _: Order) -> Vec<Result<Written, Failure>> {
        changes.iter().map(|_| Err(not_found())).collect()
    }
    fn event(&self, _: Event) {}
}

fn not_found() -> Failure {
    Failure { code: 404, reason: "NotFound".into(), message: "not found".into() }
}

#[test]
fn the_built_in_controllers_declare_themselves_and_settle_on_nothing() {
    let Some(stage) = stage() else { return };
    assert_eq!(stage.host.apply(&[PluginConfig::builtin("controllers")]), []);
    let (plugin, account) = stage.host.controllers().remove(0);
    assert_eq!(account, None);
    let declared = plugin.declaration().unwrap();
    let names: Vec<&str> = declared.iter().map(|controller| controller.name.as_str()).collect();
    assert!(names.contains(&"deployment-controller") || names.contains(&"deployment"), "{names:?}");
    let key = Key { namespace: "ns".into(), name: "gone".into() };
    for (number, name) in names.iter().enumerate() {
        // The object is gone and nothing is there: whatever the answer, the plugin survives it.
        let answer = plugin.reconcile(number as u32, &key, Arc::new(Empty));
        assert!(!matches!(answer, Err(ReconcileError::Plugin(_))), "{name}: {answer:?}");
    }
    assert_eq!(stage.host.metrics()[0].instances, 1);
}

#[test]
fn nothing_ticks_when_nothing_is_called() {
    let Some(stage) = stage() else { return };
    let nodes = table(10);
    stage.host.filter(&nodes, &PodRow::default(), &Bitmap::empty(10)).unwrap();
    stage.until(|| stage.host.is_idle());
}
