//! What changed in the table of the nodes, as columns.

use kedge_plugin_api::nodes::{Effect, HostPort, NodeTable, Protocol, Row};
use kedge_plugin_api::symbols::Symbol;

use crate::bindings::scheduler::exports::kedge::plugin::scheduling as wire;
use crate::bindings::scheduler::kedge::plugin::columns::Texts;
use wire::Groups;

/// What changed since `base` (0: everything), as far as the plugin asked for it. Symbols start at `first_symbol`.
pub(super) fn since(table: &NodeTable, base: u64, first_symbol: usize, groups: Groups) -> wire::Delta {
    let changed = table.changed_since(base);
    wire::Delta {
        base,
        generation: table.generation(),
        rows: table.rows().len() as u32,
        symbols: symbols(table, first_symbol),
        resources: table.resources().to_vec(),
        vacated: changed.vacated,
        nodes: nodes(table, changed.facts, groups),
        usage: usage(table, changed.usage, groups),
    }
}

fn symbols(table: &NodeTable, first: usize) -> Texts {
    let mut texts = Texts { all: String::new(), ends: Vec::new() };
    for text in table.symbols.since(first) {
        texts.all.push_str(text);
        texts.ends.push(texts.all.len() as u32);
    }
    texts
}

fn nodes(table: &NodeTable, numbers: Vec<u32>, groups: Groups) -> wire::NodeColumns {
    let rows: Vec<&Row> = numbers.iter().map(|row| &table.rows()[*row as usize]).collect();
    let mut unschedulable = vec![0; rows.len().div_ceil(64)];
    for (at, _) in rows.iter().enumerate().filter(|(_, row)| row.facts.unschedulable) {
        unschedulable[at / 64] |= 1 << (at % 64);
    }
    let asked = |group: Groups| if groups.contains(group) { rows.as_slice() } else { &[] };
    let label = |(key, value): &(Symbol, Symbol)| wire::Label { key: *key, value: *value };
    let (label_ends, labels) = lists(asked(Groups::LABELS), |row| row.facts.labels.iter().map(label));
    let (annotation_ends, annotations) =
        lists(asked(Groups::ANNOTATIONS), |row| row.facts.annotations.iter().map(label));
    let (taint_ends, taints) = lists(asked(Groups::TAINTS), |row| {
        let taint = |taint: &kedge_plugin_api::nodes::Taint| wire::Taint {
            key: taint.key,
            value: taint.value,
            effect: effect(taint.effect),
        };
        row.facts.taints.iter().map(taint)
    });
    let (image_ends, images) = lists(asked(Groups::IMAGES), |row| {
        row.facts.images.iter().map(|(name, size)| wire::Image { name: *name, size: *size })
    });
    wire::NodeColumns {
        names: rows.iter().map(|row| row.name.unwrap_or(0)).collect(),
        unschedulable,
        allocatable: matrix(table, asked(Groups::RESOURCES), |row| &row.facts.allocatable),
        labels: wire::LabelLists { ends: label_ends, values: labels },
        annotations: wire::LabelLists { ends: annotation_ends, values: annotations },
        taints: wire::TaintLists { ends: taint_ends, values: taints },
        images: wire::ImageLists { ends: image_ends, values: images },
        rows: numbers,
    }
}

fn usage(table: &NodeTable, numbers: Vec<u32>, groups: Groups) -> wire::UsageColumns {
    let rows: Vec<&Row> = numbers.iter().map(|row| &table.rows()[*row as usize]).collect();
    let asked = |group: Groups| if groups.contains(group) { rows.as_slice() } else { &[] };
    let (ends, ports) = lists(asked(Groups::PORTS), |row| row.usage.ports.iter().map(host_port));
    // Rows without any port need no ends.
    let ends = if ports.is_empty() { Vec::new() } else { ends };
    let resources = asked(Groups::RESOURCES);
    wire::UsageColumns {
        requested: matrix(table, resources, |row| &row.usage.requested),
        scoring_cpu: resources.iter().map(|row| row.usage.scoring_cpu).collect(),
        scoring_memory: resources.iter().map(|row| row.usage.scoring_memory).collect(),
        ports: wire::PortLists { ends, values: ports },
        rows: numbers,
    }
}

/// Resource 0 of all rows, resource 1 of all rows, …
fn matrix(table: &NodeTable, rows: &[&Row], amounts: impl Fn(&Row) -> &Vec<i64>) -> Vec<i64> {
    let mut all = Vec::with_capacity(rows.len() * table.resources().len());
    for column in 0..table.resources().len() {
        all.extend(rows.iter().map(|row| amounts(row).get(column).copied().unwrap_or(0)));
    }
    all
}

fn lists<'a, T, I: Iterator<Item = T>>(rows: &[&'a Row], of: impl Fn(&'a Row) -> I) -> (Vec<u32>, Vec<T>) {
    let (mut ends, mut all) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        all.extend(of(row));
        ends.push(all.len() as u32);
    }
    (ends, all)
}

/// A port as it crosses.
pub(super) fn host_port(port: &HostPort) -> wire::HostPort {
    let protocol = match port.protocol {
        Protocol::Tcp => wire::Protocol::Tcp,
        Protocol::Udp => wire::Protocol::Udp,
        Protocol::Sctp => wire::Protocol::Sctp,
    };
    wire::HostPort { address: port.address, protocol, port: port.port }
}

/// An effect as it crosses.
pub(super) fn effect(effect: Effect) -> wire::Effect {
    match effect {
        Effect::NoSchedule => wire::Effect::NoSchedule,
        Effect::PreferNoSchedule => wire::Effect::PreferNoSchedule,
        Effect::NoExecute => wire::Effect::NoExecute,
    }
}
