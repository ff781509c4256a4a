//! The rows of the built-in predicates and priorities, through Wasm: the file that `plugins/scheduling` tries natively.
//!
//! Needs the guests: without `cargo xtask guests` this test says so and does nothing.
#![allow(clippy::unwrap_used)]

#[path = "support/stage.rs"]
mod stage;

use kedge_plugin_api::nodes::{CPU, Effect, HostPort, MEMORY, NodeFacts, Protocol, Taint, Usage};
use kedge_plugin_api::scheduling::{NodeTerm, Operator, Requirement, Toleration, TolerationOperator};
use kedge_plugin_api::{NodeTable, PodRow, Scheduling};
use kedge_plugin_host::{BundleError, PluginConfig, builtin};
use stage::Stage;

#[test]
fn the_rows_hold_through_wasm() {
    let Some(stage) = Stage::open() else { return };
    if let Err(BundleError::Absent) = builtin() {
        return eprintln!("SKIPPED: no built-in plugins in this build; run `cargo xtask guests` first");
    }
    let rows = include_str!("../../../plugins/scheduling/src/rows.txt");
    let lines = rows.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    for (epoch, line) in (1..).zip(lines) {
        let [rule, hosts, asks, expected] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("not four parts: {line}");
        };
        configure(&stage, rule);
        let mut table = NodeTable::new(epoch);
        let mut pod = PodRow::default();
        asks.split_whitespace().for_each(|word| read_pod(&mut table, &mut pod, word));
        hosts.split(';').for_each(|text| read_node(&mut table, text));
        let all = table.occupied();
        let said = if expected.starts_with(|c: char| c.is_ascii_digit()) {
            let scores = stage.host.score(&table, &pod, &all).unwrap();
            scores.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")
        } else {
            let verdict = stage.host.filter(&table, &pod, &all).unwrap();
            let mut said = Vec::new();
            for row in all.iter() {
                for reason in verdict.reasons.iter().filter(|reason| reason.nodes.contains(row)) {
                    let for_good = if reason.unresolvable { " !" } else { "" };
                    said.push(format!("{}: {}{for_good}", table.name(row), reason.text));
                }
            }
            said.join("; ")
        };
        assert_eq!(said, expected, "{line}");
    }
}

/// Only this predicate or priority.
fn configure(stage: &Stage, rule: &str) {
    let mut config = PluginConfig::builtin("scheduling");
    let predicates = [
        "CheckNodeUnschedulable",
        "PodFitsHost",
        "PodToleratesNodeTaints",
        "MatchNodeSelector",
        "PodFitsHostPorts",
        "PodFitsResources",
    ];
    let priorities = ["LeastRequested", "BalancedResourceAllocation", "ImageLocality", "TaintToleration"];
    config.disabled = predicates.iter().filter(|name| **name != rule).map(|name| name.to_string()).collect();
    config.weights = priorities.iter().map(|name| (name.to_string(), u32::from(*name == rule))).collect();
    assert_eq!(stage.host.apply(&[config]), []);
}

fn read_node(table: &mut NodeTable, text: &str) {
    let mut words = text.split_whitespace();
    let name = words.next().unwrap();
    let (mut facts, mut usage) = (NodeFacts::default(), Usage::default());
    for word in words {
        match word.split_once(':') {
            None if word == "cordoned" => facts.unschedulable = true,
            None => amount(table, &mut facts.allocatable, word),
            Some(("used", rest)) => amount(table, &mut usage.requested, rest),
            Some(("weighs", rest)) => (usage.scoring_cpu, usage.scoring_memory) = weights(rest),
            Some(("label", rest)) => {
                let pair = pair(table, rest);
                facts.labels.push(pair);
            }
            Some(("taint", rest)) => {
                let (rest, name) = rest.rsplit_once(':').unwrap();
                let (key, value) = pair(table, rest);
                facts.taints.push(Taint { key, value, effect: effect(name) });
            }
            Some(("port", rest)) => usage.ports.push(port(table, rest)),
            Some(("image", rest)) => {
                let (name, size) = rest.rsplit_once('=').unwrap();
                facts.images.push((table.symbols.intern(name), size.parse().unwrap()));
            }
            Some(_) => panic!("{word}"),
        }
    }
    let row = table.put(name, facts);
    table.use_row(row, |used| *used = usage);
}

fn read_pod(table: &mut NodeTable, pod: &mut PodRow, word: &str) {
    match word.split_once(':') {
        Some(("select", rest)) => pod.node_selector.push(pair(table, rest)),
        Some(("require", rest)) => pod.required.get_or_insert_default().push(term(table, rest)),
        Some(("tolerate", rest)) => pod.tolerations.push(toleration(table, rest)),
        Some(("port", rest)) => pod.host_ports.push(port(table, rest)),
        Some(("image", rest)) => pod.images.push(table.symbols.intern(rest)),
        Some(("weighs", rest)) => (pod.scoring_cpu, pod.scoring_memory) = weights(rest),
        _ => {
            let (name, amount) = word.split_once('=').unwrap();
            pod.requests.push((table.column(name) as u32, amount.parse().unwrap()));
        }
    }
    assert_eq!((CPU, MEMORY), (0, 1));
}

fn amount(table: &mut NodeTable, amounts: &mut Vec<i64>, word: &str) {
    let (name, amount) = word.split_once('=').unwrap();
    let column = table.column(name);
    amounts.resize(amounts.len().max(column + 1), 0);
    amounts[column] = amount.parse().unwrap();
}

fn weights(word: &str) -> (i64, i64) {
    let (cpu, memory) = word.split_once(',').unwrap();
    (cpu.parse().unwrap(), memory.parse().unwrap())
}

fn pair(table: &mut NodeTable, text: &str) -> (u32, u32) {
    let (key, value) = text.split_once('=').unwrap();
    (table.symbols.intern(key), table.symbols.intern(value))
}

fn port(table: &mut NodeTable, text: &str) -> HostPort {
    let (address, rest) = text.split_once(':').unwrap();
    let (port, protocol) = rest.split_once('/').unwrap();
    let address = if address == "*" { 0 } else { table.symbols.intern(address) };
    let protocol = if protocol == "udp" { Protocol::Udp } else { Protocol::Tcp };
    HostPort { address, protocol, port: port.parse().unwrap() }
}

fn effect(name: &str) -> Effect {
    match name {
        "NoSchedule" => Effect::NoSchedule,
        "PreferNoSchedule" => Effect::PreferNoSchedule,
        _ => Effect::NoExecute,
    }
}

fn toleration(table: &mut NodeTable, text: &str) -> Toleration {
    let (text, effect) = text.split_once(':').map_or((text, None), |(text, name)| (text, Some(effect(name))));
    let at = text.find(['=', '<', '>']);
    let operator = match at.map(|at| &text[at..=at]) {
        Some("=") => TolerationOperator::Equal,
        Some("<") => TolerationOperator::Lt,
        Some(_) => TolerationOperator::Gt,
        None => TolerationOperator::Exists,
    };
    let (key, value) = at.map_or((text, ""), |at| (&text[..at], &text[at + 1..]));
    let key = if key == "*" { "" } else { key };
    Toleration { key: table.symbols.intern(key), operator, value: table.symbols.intern(value), effect }
}

fn term(table: &mut NodeTable, text: &str) -> NodeTerm {
    let mut term = NodeTerm::default();
    for part in text.split(';') {
        let words: Vec<&str> = part.trim_start_matches('@').split('_').collect();
        let operator = match words[1] {
            "in" => Operator::In,
            "notin" => Operator::NotIn,
            "exists" => Operator::Exists,
            "!exists" => Operator::DoesNotExist,
            ">" => Operator::Gt,
            _ => Operator::Lt,
        };
        let values = words.get(2).map_or(vec![], |all| all.split(',').map(|one| table.symbols.intern(one)).collect());
        let requirement = Requirement { key: table.symbols.intern(words[0]), operator, values };
        let list = if part.starts_with('@') { &mut term.fields } else { &mut term.labels };
        list.push(requirement);
    }
    term
}
