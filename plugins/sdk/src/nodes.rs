//! The plugin's copy of the nodes.
//!
//! In: deltas. Out: columns. Never older than the last delta.

use std::collections::HashMap;

use crate::label_columns::Labels;
use crate::rows::Rows;
use crate::scheduling::{Delta, HostPort, NodeColumns, Symbol, UsageColumns};
use crate::symbols::Symbols;
use crate::taints::TaintSets;

/// Resource column of milli-CPUs.
pub const CPU: usize = 0;
/// Resource column of bytes of memory.
pub const MEMORY: usize = 1;
/// Resource column of bytes of ephemeral storage.
pub const STORAGE: usize = 2;
/// Resource column of the number of pods.
pub const PODS: usize = 3;

/// All nodes, by columns. Rows without a node have name 0.
#[derive(Default)]
pub struct Nodes {
    /// What the copy holds.
    pub generation: u64,
    /// Strings.
    pub symbols: Symbols,
    /// `metadata.name` of each row; 0 for none.
    pub names: Vec<Symbol>,
    /// `spec.unschedulable`.
    pub unschedulable: Rows,
    /// The resources that have a column.
    pub resources: Vec<Symbol>,
    /// For each resource, for each row.
    pub allocatable: Vec<Vec<i64>>,
    /// For each resource, for each row: what pods ask for.
    pub requested: Vec<Vec<i64>>,
    /// For each row: what pods ask for, as scoring counts it.
    pub scoring_cpu: Vec<i64>,
    /// For each row.
    pub scoring_memory: Vec<i64>,
    /// `metadata.labels`.
    pub labels: Labels,
    /// `metadata.annotations`.
    pub annotations: Labels,
    /// `spec.taints`.
    pub taints: TaintSets,
    /// `status.images`.
    pub images: Images,
    /// Ports taken, for each row.
    pub ports: Vec<Vec<HostPort>>,
    /// How many rows have a node.
    pub count: usize,
}

impl Nodes {
    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.names.len()
    }

    /// A label of a row's node, by its text.
    pub fn label(&self, row: usize, key: &str) -> Option<&str> {
        let value = self.labels.value(row, self.symbols.find(key)?)?;
        Some(self.symbols.text(value))
    }

    /// Applies a delta; returns the generation that is held afterwards.
    pub fn update(&mut self, delta: &Delta) -> u64 {
        if delta.base == 0 {
            *self = Self::default();
        } else if delta.base != self.generation {
            return self.generation;
        }
        self.symbols.extend(&delta.symbols);
        let rows = delta.rows as usize;
        self.resources.clone_from(&delta.resources);
        for table in [&mut self.allocatable, &mut self.requested] {
            table.resize(self.resources.len(), Vec::new());
            table.iter_mut().for_each(|column| column.resize(rows, 0));
        }
        self.names.resize(rows, 0);
        self.scoring_cpu.resize(rows, 0);
        self.scoring_memory.resize(rows, 0);
        self.ports.resize(rows, Vec::new());
        delta.vacated.iter().for_each(|row| self.vacate(*row as usize));
        self.put_nodes(&delta.nodes);
        self.put_usage(&delta.usage);
        self.generation = delta.generation;
        self.generation
    }

    fn vacate(&mut self, row: usize) {
        if std::mem::take(&mut self.names[row]) != 0 {
            self.count -= 1;
        }
        self.unschedulable.set(row, false);
        self.allocatable.iter_mut().chain(&mut self.requested).for_each(|column| column[row] = 0);
        self.labels.put(row, &[]);
        self.annotations.put(row, &[]);
        self.taints.put(row, &[]);
        self.images.put(row, &[]);
        self.ports[row].clear();
    }

    fn put_nodes(&mut self, new: &NodeColumns) {
        for (at, row) in new.rows.iter().enumerate() {
            let row = *row as usize;
            if std::mem::replace(&mut self.names[row], new.names[at]) == 0 {
                self.count += 1;
            }
            self.unschedulable.set(row, new.unschedulable.get(at / 64).copied().unwrap_or(0) >> (at % 64) & 1 != 0);
            self.labels.put(row, slice(&new.labels.ends, &new.labels.values, at));
            self.annotations.put(row, slice(&new.annotations.ends, &new.annotations.values, at));
            self.taints.put(row, slice(&new.taints.ends, &new.taints.values, at));
            let images = slice(&new.images.ends, &new.images.values, at);
            self.images.put(row, &images.iter().map(|image| (image.name, image.size)).collect::<Vec<_>>());
        }
        spread(&mut self.allocatable, &new.rows, &new.allocatable);
    }

    fn put_usage(&mut self, new: &UsageColumns) {
        spread(&mut self.requested, &new.rows, &new.requested);
        for (at, row) in new.rows.iter().enumerate() {
            let row = *row as usize;
            self.scoring_cpu[row] = new.scoring_cpu.get(at).copied().unwrap_or(0);
            self.scoring_memory[row] = new.scoring_memory.get(at).copied().unwrap_or(0);
            let ports = slice(&new.ports.ends, &new.ports.values, at);
            if !(ports.is_empty() && self.ports[row].is_empty()) {
                self.ports[row] = ports.to_vec();
            }
        }
    }
}

/// Which rows have which image.
#[derive(Default)]
pub struct Images {
    by_name: HashMap<Symbol, (u64, Rows)>,
    of_row: Vec<Vec<Symbol>>,
}

impl Images {
    /// Gives a row its images: names and sizes.
    pub fn put(&mut self, row: usize, images: &[(Symbol, u64)]) {
        if row >= self.of_row.len() {
            if images.is_empty() {
                return;
            }
            self.of_row.resize(row + 1, Vec::new());
        }
        for old in std::mem::take(&mut self.of_row[row]) {
            if let Some((_, rows)) = self.by_name.get_mut(&old) {
                rows.set(row, false);
                if rows.count() == 0 {
                    self.by_name.remove(&old);
                }
            }
        }
        for (name, size) in images {
            let found = self.by_name.entry(*name).or_default();
            found.0 = *size;
            found.1.set(row, true);
        }
        self.of_row[row] = images.iter().map(|(name, _)| *name).collect();
    }

    /// The size of an image and the rows that have it.
    pub fn find(&self, name: Symbol) -> Option<(u64, &Rows)> {
        self.by_name.get(&name).map(|(size, rows)| (*size, rows))
    }
}

fn slice<'a, T>(ends: &[u32], values: &'a [T], at: usize) -> &'a [T] {
    let Some(end) = ends.get(at) else { return &[] };
    let start = if at == 0 { 0 } else { ends[at - 1] };
    &values[start as usize..*end as usize]
}

/// Amounts come resource by resource; a group that was not asked for is empty.
fn spread(table: &mut [Vec<i64>], rows: &[u32], amounts: &[i64]) {
    if amounts.is_empty() || rows.is_empty() {
        return;
    }
    for (column, run) in table.iter_mut().zip(amounts.chunks(rows.len())) {
        for (row, amount) in rows.iter().zip(run) {
            column[*row as usize] = *amount;
        }
    }
}
