//! Nodes and pods for tests, written as short text; built by deltas, as the daemon sends them.

use std::collections::HashMap;

use kedge_plugin_sdk::scheduling::*;
use kedge_plugin_sdk::{Configured, Nodes};

use crate::Builtin;

type Table = (Vec<Node>, Vec<&'static str>);

#[derive(Clone, Default)]
pub struct Node {
    name: String,
    unschedulable: bool,
    has: Vec<(String, i64)>,
    used: Vec<(String, i64)>,
    weighs: (i64, i64),
    labels: String,
    taints: String,
    ports: String,
    images: Vec<(String, u64)>,
}

pub fn node(name: &str) -> Node {
    Node { name: name.into(), ..Node::default() }
}

impl Node {
    pub fn unschedulable(mut self) -> Self {
        self.unschedulable = true;
        self
    }
    pub fn has(mut self, resource: &str, amount: i64) -> Self {
        self.has.push((resource.into(), amount));
        self
    }
    pub fn used(mut self, resource: &str, amount: i64) -> Self {
        self.used.push((resource.into(), amount));
        self
    }
    pub fn weighs(mut self, cpu: i64, memory: i64) -> Self {
        self.weighs = (cpu, memory);
        self
    }
    pub fn labels(mut self, labels: &str) -> Self {
        self.labels = labels.into();
        self
    }
    pub fn label(mut self, label: &str) -> Self {
        self.labels = format!("{} {label}", self.labels);
        self
    }
    pub fn taint(mut self, taint: &str) -> Self {
        self.taints = format!("{} {taint}", self.taints);
        self
    }
    pub fn taints(mut self, taints: &str) -> Self {
        self.taints = taints.into();
        self
    }
    pub fn ports(mut self, ports: &str) -> Self {
        self.ports = ports.into();
        self
    }
    pub fn image(mut self, name: &str, size: u64) -> Self {
        self.images.push((name.into(), size));
        self
    }
}

#[derive(Clone, Default)]
pub struct PodSketch {
    asks: Vec<(String, i64)>,
    weighs: (i64, i64),
    ports: String,
    selects: String,
    requires: Option<Vec<String>>,
    tolerates: String,
    images: Vec<String>,
}

pub fn pod() -> PodSketch {
    PodSketch::default()
}

impl PodSketch {
    pub fn asks(mut self, resource: &str, amount: i64) -> Self {
        self.asks.push((resource.into(), amount));
        self
    }
    pub fn weighs(mut self, cpu: i64, memory: i64) -> Self {
        self.weighs = (cpu, memory);
        self
    }
    pub fn ports(mut self, ports: &str) -> Self {
        self.ports = ports.into();
        self
    }
    pub fn selects(mut self, labels: &str) -> Self {
        self.selects = labels.into();
        self
    }
    pub fn requires(mut self, term: &str) -> Self {
        self.requires.get_or_insert_default().push(term.into());
        self
    }
    pub fn tolerates(mut self, tolerations: &str) -> Self {
        self.tolerates = tolerations.into();
        self
    }
    pub fn images(mut self, images: &[&str]) -> Self {
        self.images = images.iter().map(|image| image.to_string()).collect();
        self
    }
}

pub fn nodes(nodes: &[Node]) -> Table {
    (nodes.to_vec(), Vec::new())
}

/// What one predicate says: "node: reason" for each refusal, in rising order of nodes.
pub fn filter(predicate: &str, table: &Table, pod: &PodSketch) -> Vec<String> {
    let (mut configured, pod) = start(&[predicate], &[], table, pod);
    let count = table.0.len();
    let candidates: Vec<u64> = (0..count.div_ceil(64))
        .map(|at| if count - at * 64 >= 64 { !0 } else { (1 << (count - at * 64)) - 1 })
        .collect();
    let verdict = configured.filter(pod, candidates);
    let mut said = Vec::new();
    for (row, node) in table.0.iter().enumerate() {
        let has = |words: &[u64]| words.get(row / 64).copied().unwrap_or(0) >> (row % 64) & 1 != 0;
        for reason in verdict.reasons.iter().filter(|reason| has(&reason.nodes)) {
            assert!(!has(&verdict.feasible), "{} is feasible and refused", node.name);
            said.push(format!(
                "{}: {}{}",
                node.name,
                reason.text,
                if reason.unresolvable { " (for good)" } else { "" }
            ));
        }
        assert!(has(&verdict.feasible) || said.iter().any(|line| line.starts_with(&format!("{}:", node.name))));
    }
    said
}

/// What one priority says of all nodes.
pub fn score(priority: &str, table: &Table, pod: &PodSketch) -> Vec<u8> {
    let (mut configured, pod) = start(&[], &[priority], table, pod);
    configured.score(pod, vec![(1 << table.0.len()) - 1]).remove(0)
}

fn start(predicates: &[&str], priorities: &[&str], table: &Table, pod: &PodSketch) -> (Configured<Builtin>, Pod) {
    let owned = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
    let mut configured = Configured::<Builtin>::default();
    configured.configure(owned(predicates), owned(priorities), "null".into()).unwrap();
    let mut words = Words::default();
    let pod = words.pod(pod);
    let delta = words.delta(&table.0);
    assert_eq!(configured.update(delta), 1);
    let _ = Nodes::default();
    (configured, pod)
}

/// Interns, as the daemon does.
struct Words {
    texts: Vec<String>,
    numbers: HashMap<String, u32>,
    resources: Vec<u32>,
}

impl Default for Words {
    fn default() -> Self {
        let mut words = Self { texts: Vec::new(), numbers: HashMap::new(), resources: Vec::new() };
        words.resources = ["cpu", "memory", "ephemeral-storage", "pods"].map(|name| words.of(name)).into();
        words
    }
}

impl Words {
    fn of(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        if let Some(known) = self.numbers.get(text) {
            return *known;
        }
        self.texts.push(text.to_string());
        self.numbers.insert(text.into(), self.texts.len() as u32);
        self.texts.len() as u32
    }

    fn column(&mut self, resource: &str) -> usize {
        let symbol = self.of(resource);
        self.resources.iter().position(|known| *known == symbol).unwrap_or_else(|| {
            self.resources.push(symbol);
            self.resources.len() - 1
        })
    }

    fn labels(&mut self, text: &str) -> Vec<Label> {
        let pairs = text.split_whitespace().map(|pair| pair.split_once('=').unwrap());
        pairs.map(|(key, value)| Label { key: self.of(key), value: self.of(value) }).collect()
    }

    fn ports(&mut self, text: &str) -> Vec<HostPort> {
        let parse = |words: &mut Self, one: &str| {
            let (address, rest) = one.split_once(':').unwrap();
            let (port, protocol) = rest.split_once('/').unwrap();
            let protocol = if protocol == "udp" { Protocol::Udp } else { Protocol::Tcp };
            let address = words.of(if address == "*" { "" } else { address });
            HostPort { address, protocol, port: port.parse().unwrap() }
        };
        text.split_whitespace().map(|one| parse(self, one)).collect()
    }

    fn pod(&mut self, sketch: &PodSketch) -> Pod {
        let requests = sketch.asks.iter();
        let requests =
            requests.map(|(name, amount)| Request { column: self.column(name) as u32, amount: *amount }).collect();
        let required = sketch.requires.as_ref().map(|terms| terms.iter().map(|term| self.term(term)).collect());
        Pod {
            namespace: 0,
            name: "p".into(),
            uid: "u".into(),
            labels: vec![],
            annotations: vec![],
            priority: 0,
            node_name: 0,
            requests,
            scoring_cpu: sketch.weighs.0,
            scoring_memory: sketch.weighs.1,
            host_ports: self.ports(&sketch.ports),
            node_selector: self.labels(&sketch.selects),
            required,
            preferred: vec![],
            tolerations: self.tolerations(&sketch.tolerates),
            images: sketch.images.iter().map(|image| self.of(image)).collect(),
        }
    }

    fn term(&mut self, text: &str) -> NodeTerm {
        let mut term = NodeTerm { labels: vec![], fields: vec![] };
        for part in text.split(';').filter(|part| !part.is_empty()) {
            let (is_field, part) = part.strip_prefix('@').map_or((false, part), |rest| (true, rest));
            let mut split = part.split(' ');
            let key = self.of(split.next().unwrap());
            let operator = match split.next().unwrap() {
                "in" => Operator::In,
                "notin" => Operator::NotIn,
                "exists" => Operator::Exists,
                "!exists" => Operator::DoesNotExist,
                ">" => Operator::Gt,
                _ => Operator::Lt,
            };
            let values = split.next().map_or(vec![], |values| values.split(',').map(|value| self.of(value)).collect());
            let list = if is_field { &mut term.fields } else { &mut term.labels };
            list.push(Requirement { key, operator, values });
        }
        term
    }

    /// One of `exists`, `k exists`, `k=v[:Effect]`, `k>v`, `k<v`.
    fn tolerations(&mut self, text: &str) -> Vec<Toleration> {
        if text.is_empty() {
            return vec![];
        }
        let (text, effect) = text.split_once(':').map_or((text, None), |(text, name)| (text, Some(effect(name))));
        let (key, operator, value) = if let Some(key) = text.strip_suffix("exists") {
            (key.trim(), TolerationOperator::Exists, "")
        } else {
            let at = text.find(['=', '<', '>']).unwrap();
            let operator = match &text[at..=at] {
                "=" => TolerationOperator::Equal,
                "<" => TolerationOperator::Lt,
                _ => TolerationOperator::Gt,
            };
            (&text[..at], operator, &text[at + 1..])
        };
        vec![Toleration { key: self.of(key), operator, value: self.of(value), effect }]
    }

    fn delta(&mut self, nodes: &[Node]) -> Delta {
        let rows: Vec<u32> = (0..nodes.len() as u32).collect();
        for (name, _) in nodes.iter().flat_map(|node| node.has.iter().chain(&node.used)) {
            self.column(name);
        }
        let amounts = |words: &mut Self, of: fn(&Node) -> &Vec<(String, i64)>| -> Vec<i64> {
            let mut all = Vec::new();
            for column in 0..words.resources.len() {
                for node in nodes {
                    let found = of(node).iter().find(|(name, _)| words.column(name) == column);
                    all.push(found.map_or(0, |(_, amount)| *amount));
                }
            }
            all
        };
        let (allocatable, requested) = (amounts(self, |node| &node.has), amounts(self, |node| &node.used));
        let mut unschedulable = vec![0; nodes.len().div_ceil(64)];
        for row in nodes.iter().enumerate().filter(|(_, node)| node.unschedulable).map(|(row, _)| row) {
            unschedulable[row / 64] |= 1 << (row % 64);
        }
        let names = nodes.iter().map(|node| self.of(&node.name)).collect();
        let (label_ends, labels) = ragged(nodes, |node| self.labels(&node.labels));
        let (taint_ends, taints) = ragged(nodes, |node| self.taints(&node.taints));
        let images =
            |node: &Node| node.images.iter().map(|(name, size)| Image { name: self.of(name), size: *size }).collect();
        let (image_ends, images) = ragged(nodes, images);
        let (port_ends, ports) = ragged(nodes, |node| self.ports(&node.ports));
        let mut symbols = Texts { all: String::new(), ends: vec![] };
        for text in &self.texts {
            symbols.all.push_str(text);
            symbols.ends.push(symbols.all.len() as u32);
        }
        Delta {
            base: 0,
            generation: 1,
            rows: nodes.len() as u32,
            symbols,
            resources: self.resources.clone(),
            vacated: vec![],
            nodes: NodeColumns {
                rows: rows.clone(),
                names,
                unschedulable,
                allocatable,
                labels: LabelLists { ends: label_ends, values: labels },
                annotations: LabelLists { ends: vec![], values: vec![] },
                taints: TaintLists { ends: taint_ends, values: taints },
                images: ImageLists { ends: image_ends, values: images },
            },
            usage: UsageColumns {
                rows,
                requested,
                scoring_cpu: nodes.iter().map(|node| node.weighs.0).collect(),
                scoring_memory: nodes.iter().map(|node| node.weighs.1).collect(),
                ports: PortLists { ends: port_ends, values: ports },
            },
        }
    }

    fn taints(&mut self, text: &str) -> Vec<Taint> {
        let parse = |words: &mut Self, one: &str| {
            let (pair, name) = one.rsplit_once(':').unwrap();
            let (key, value) = pair.split_once('=').unwrap();
            Taint { key: words.of(key), value: words.of(value), effect: effect(name) }
        };
        text.split_whitespace().map(|one| parse(self, one)).collect()
    }
}

fn effect(name: &str) -> Effect {
    match name {
        "NoSchedule" => Effect::NoSchedule,
        "PreferNoSchedule" => Effect::PreferNoSchedule,
        _ => Effect::NoExecute,
    }
}

fn ragged<T>(nodes: &[Node], mut of: impl FnMut(&Node) -> Vec<T>) -> (Vec<u32>, Vec<T>) {
    let (mut ends, mut all) = (Vec::new(), Vec::new());
    for node in nodes {
        all.extend(of(node));
        ends.push(all.len() as u32);
    }
    (ends, all)
}
