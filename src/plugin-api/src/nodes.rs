//! The scheduler's table of nodes, with a generation for every change.
//!
//! In: nodes and the sum of what the pods on them ask for. Out: rows, and the rows that changed since a generation,
//! so that a plugin's copy is kept current by deltas.
//! Never looks at an API object: the scheduler translates.

use std::collections::{HashMap, VecDeque};

use crate::bitmap::Bitmap;
use crate::symbols::{Symbol, Symbols};

/// The columns that every table has, in this order.
pub const FIXED_RESOURCES: [&str; 4] = ["cpu", "memory", "ephemeral-storage", "pods"];
/// Column of milli-CPUs.
pub const CPU: usize = 0;
/// Column of bytes of memory.
pub const MEMORY: usize = 1;
/// Column of bytes of ephemeral storage.
pub const STORAGE: usize = 2;
/// Column of the number of pods.
pub const PODS: usize = 3;

/// Changes that are remembered one by one; a reader further behind walks all rows. A pod makes one or two, so this is
/// some seconds of full speed, at 16 bytes each.
const RECENT: usize = 4096;

/// A taint's effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Effect {
    NoSchedule,
    PreferNoSchedule,
    NoExecute,
}

/// A taint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct Taint {
    pub key: Symbol,
    pub value: Symbol,
    pub effect: Effect,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

/// A port taken on a node; address 0 is every address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct HostPort {
    pub address: Symbol,
    pub protocol: Protocol,
    pub port: u16,
}

/// What a node says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeFacts {
    /// `spec.unschedulable`.
    pub unschedulable: bool,
    /// By column; columns beyond the end are 0.
    pub allocatable: Vec<i64>,
    /// Sorted by key.
    pub labels: Vec<(Symbol, Symbol)>,
    /// Sorted by key.
    pub annotations: Vec<(Symbol, Symbol)>,
    /// `spec.taints`.
    pub taints: Vec<Taint>,
    /// Name and size in bytes.
    pub images: Vec<(Symbol, u64)>,
}

/// What the pods on a node ask for, in all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// By column; columns beyond the end are 0.
    pub requested: Vec<i64>,
    /// Milli-CPUs for scoring.
    pub scoring_cpu: i64,
    /// Bytes for scoring.
    pub scoring_memory: i64,
    /// Ports taken.
    pub ports: Vec<HostPort>,
}

/// A row.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// The node's name; `None` for a vacant row.
    pub name: Option<Symbol>,
    /// What it says of itself.
    pub facts: NodeFacts,
    /// What is asked of it.
    pub usage: Usage,
    facts_changed: u64,
    usage_changed: u64,
}

/// The rows that changed since some generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Rows whose node is gone.
    pub vacated: Vec<u32>,
    /// Rows whose facts changed (or that are new).
    pub facts: Vec<u32>,
    /// Rows whose usage changed (or that are new).
    pub usage: Vec<u32>,
}

/// The nodes.
#[derive(Clone, Debug)]
pub struct NodeTable {
    /// Strings of nodes and pods.
    pub symbols: Symbols,
    epoch: u64,
    generation: u64,
    resources: Vec<Symbol>,
    rows: Vec<Row>,
    by_name: HashMap<Symbol, u32>,
    vacant: Vec<u32>,
    recent: VecDeque<(u64, u32)>,
}

impl NodeTable {
    /// An empty table. `epoch` tells it from every other table that the same plugins see: symbols and row numbers
    /// mean nothing across epochs.
    pub fn new(epoch: u64) -> Self {
        let mut symbols = Symbols::default();
        let resources = FIXED_RESOURCES.iter().map(|name| symbols.intern(name)).collect();
        Self {
            symbols,
            epoch,
            generation: 1,
            resources,
            rows: Vec::new(),
            by_name: HashMap::new(),
            vacant: Vec::new(),
            recent: VecDeque::new(),
        }
    }

    /// Which table this is.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Rises with every change.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The resources that have a column.
    pub fn resources(&self) -> &[Symbol] {
        &self.resources
    }

    /// The column of a resource; a new one if it has none.
    pub fn column(&mut self, resource: &str) -> usize {
        let symbol = self.symbols.intern(resource);
        if let Some(known) = self.resources.iter().position(|known| *known == symbol) {
            return known;
        }
        self.resources.push(symbol);
        self.generation += 1;
        self.resources.len() - 1
    }

    /// All rows, vacant ones included.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The row of a node.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(&self.symbols.find(name)?).map(|row| *row as usize)
    }

    /// The name of a row's node; empty for a vacant row.
    pub fn name(&self, row: usize) -> &str {
        self.rows.get(row).and_then(|row| row.name).map_or("", |name| self.symbols.text(name))
    }

    /// How many nodes there are.
    pub fn count(&self) -> usize {
        self.by_name.len()
    }

    /// The rows that have a node.
    pub fn occupied(&self) -> Bitmap {
        let mut all = Bitmap::empty(self.rows.len());
        for row in self.by_name.values() {
            all.insert(*row as usize);
        }
        all
    }

    /// Adds a node or replaces its facts. Nothing changes when they are equal.
    pub fn put(&mut self, name: &str, facts: NodeFacts) -> usize {
        let name = self.symbols.intern(name);
        if let Some(row) = self.by_name.get(&name).copied() {
            if self.rows[row as usize].facts != facts {
                self.generation += 1;
                self.rows[row as usize].facts = facts;
                self.rows[row as usize].facts_changed = self.generation;
                self.remember(row);
            }
            return row as usize;
        }
        let row = self.vacant.pop().unwrap_or_else(|| {
            self.rows.push(Row::default());
            (self.rows.len() - 1) as u32
        });
        self.generation += 1;
        let changed = self.generation;
        self.rows[row as usize] =
            Row { name: Some(name), facts, usage: Usage::default(), facts_changed: changed, usage_changed: changed };
        self.by_name.insert(name, row);
        self.remember(row);
        row as usize
    }

    /// Takes a node out; its row is vacant from now on.
    pub fn remove(&mut self, name: &str) {
        let Some(row) = self.symbols.find(name).and_then(|name| self.by_name.remove(&name)) else { return };
        self.generation += 1;
        let changed = self.generation;
        self.rows[row as usize] = Row { facts_changed: changed, usage_changed: changed, ..Row::default() };
        self.vacant.push(row);
        self.remember(row);
    }

    /// Changes what is asked of a row.
    pub fn use_row(&mut self, row: usize, change: impl FnOnce(&mut Usage)) {
        let Some(found) = self.rows.get_mut(row).filter(|found| found.name.is_some()) else { return };
        change(&mut found.usage);
        self.generation += 1;
        found.usage_changed = self.generation;
        self.remember(row as u32);
    }

    /// Forgets strings that no row names any more. Symbols change, so this becomes another table, of that epoch; rows,
    /// columns and generations stay. `others` is given a function that translates symbols kept elsewhere.
    pub fn compact(&mut self, epoch: u64, others: impl FnOnce(&mut dyn FnMut(&mut Symbol))) {
        let old = std::mem::take(&mut self.symbols);
        let new = &mut self.symbols;
        let mut translate = |symbol: &mut Symbol| *symbol = new.intern(old.text(*symbol));
        self.resources.iter_mut().for_each(&mut translate);
        for row in &mut self.rows {
            row.name.iter_mut().for_each(&mut translate);
            let pairs = row.facts.labels.iter_mut().chain(&mut row.facts.annotations);
            pairs.flat_map(|(key, value)| [key, value]).for_each(&mut translate);
            row.facts.taints.iter_mut().flat_map(|taint| [&mut taint.key, &mut taint.value]).for_each(&mut translate);
            row.facts.images.iter_mut().for_each(|(name, _)| translate(name));
            row.usage.ports.iter_mut().for_each(|port| translate(&mut port.address));
        }
        others(&mut translate);
        let named = self.rows.iter().enumerate().filter_map(|(at, row)| Some((row.name?, at as u32)));
        self.by_name = named.collect();
        self.epoch = epoch;
    }

    /// What changed after generation `base`; with 0, everything.
    pub fn changed_since(&self, base: u64) -> Changed {
        let mut changed = Changed::default();
        if base >= self.generation {
            return changed;
        }
        let told = self.recent.front().is_some_and(|(first, _)| *first <= base + 1);
        if told && base > 0 {
            let mut rows: Vec<u32> =
                self.recent.iter().rev().take_while(|(at, _)| *at > base).map(|(_, row)| *row).collect();
            rows.sort_unstable();
            rows.dedup();
            rows.into_iter().for_each(|row| self.sort_into(&mut changed, row, base));
        } else {
            (0..self.rows.len() as u32).for_each(|row| self.sort_into(&mut changed, row, base));
        }
        changed
    }

    fn sort_into(&self, changed: &mut Changed, number: u32, base: u64) {
        let row = &self.rows[number as usize];
        if row.name.is_none() {
            // A plugin that starts from nothing has never heard of the vacant row's node.
            if base > 0 && row.facts_changed > base {
                changed.vacated.push(number);
            }
            return;
        }
        if row.facts_changed > base {
            changed.facts.push(number);
        }
        if row.usage_changed > base {
            changed.usage.push(number);
        }
    }

    fn remember(&mut self, row: u32) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((self.generation, row));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(unschedulable: bool) -> NodeFacts {
        NodeFacts { unschedulable, ..NodeFacts::default() }
    }

    #[track_caller]
    fn check(table: &NodeTable, base: u64, vacated: &[u32], facts: &[u32], usage: &[u32]) {
        let expected = Changed { vacated: vacated.into(), facts: facts.into(), usage: usage.into() };
        assert_eq!(table.changed_since(base), expected);
    }

    #[test]
    fn a_reader_learns_exactly_what_changed() {
        let mut table = NodeTable::new(1);
        table.put("a", facts(false));
        table.put("b", facts(false));
        check(&table, 0, &[], &[0, 1], &[0, 1]);
        let base = table.generation();
        check(&table, base, &[], &[], &[]);
        table.put("a", facts(false));
        check(&table, base, &[], &[], &[]);
        table.put("a", facts(true));
        table.use_row(1, |usage| usage.scoring_cpu += 1);
        table.use_row(1, |usage| usage.scoring_cpu += 1);
        check(&table, base, &[], &[0], &[1]);
        table.remove("a");
        check(&table, base, &[0], &[], &[1]);
        check(&table, 0, &[], &[1], &[1]);
        assert_eq!(table.put("c", facts(false)), 0);
        check(&table, base, &[], &[0], &[0, 1]);
        assert_eq!((table.name(0), table.find("b"), table.count()), ("c", Some(1), 2));
    }

    #[test]
    fn compaction_forgets_what_is_not_named() {
        let mut table = NodeTable::new(1);
        for n in 0..1000 {
            table.symbols.intern(&format!("junk{n}"));
        }
        let label = (table.symbols.intern("disk"), table.symbols.intern("ssd"));
        table.put("a", NodeFacts { labels: vec![label], ..NodeFacts::default() });
        let column = table.column("example.com/led");
        let mut kept = table.symbols.intern("kept");
        let generation = table.generation();
        table.compact(2, |translate| translate(&mut kept));
        assert!(table.symbols.count() < 20);
        let (key, value) = table.rows()[0].facts.labels[0];
        assert_eq!((table.symbols.text(key), table.symbols.text(value)), ("disk", "ssd"));
        assert_eq!((table.find("a"), table.name(0), table.symbols.text(kept)), (Some(0), "a", "kept"));
        assert_eq!((table.column("example.com/led"), table.generation(), table.epoch()), (column, generation, 2));
    }

    #[test]
    fn a_reader_far_behind_still_learns_everything() {
        let mut table = NodeTable::new(1);
        table.put("a", facts(false));
        table.put("b", facts(false));
        let base = table.generation();
        for _ in 0..RECENT + 10 {
            table.use_row(1, |usage| usage.scoring_cpu += 1);
        }
        check(&table, base, &[], &[], &[1]);
        check(&table, table.generation() - 1, &[], &[], &[1]);
    }
}
