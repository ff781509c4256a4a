//! Taints by set: nodes of a fleet share a handful of taint lists, so a pod's tolerations are held against each list
//! once, not against each node.

use std::collections::HashMap;

use crate::rows::Rows;
use crate::scheduling::Taint;

/// The distinct taint lists, and which one each row has. List 0 is the empty one.
pub struct TaintSets {
    lists: Vec<Vec<Taint>>,
    rows: Vec<Rows>,
    numbers: HashMap<Vec<(u32, u32, u8)>, u32>,
    of_row: Vec<u32>,
}

impl Default for TaintSets {
    fn default() -> Self {
        let (lists, rows) = (vec![Vec::new()], vec![Rows::default()]);
        Self { lists, rows, numbers: HashMap::from([(Vec::new(), 0)]), of_row: Vec::new() }
    }
}

impl TaintSets {
    /// Gives a row its taints.
    pub fn put(&mut self, row: usize, taints: &[Taint]) {
        let key: Vec<_> = taints.iter().map(|taint| (taint.key, taint.value, taint.effect as u8)).collect();
        let next = self.lists.len() as u32;
        let number = *self.numbers.entry(key).or_insert(next);
        if number == next {
            self.lists.push(taints.to_vec());
            self.rows.push(Rows::default());
        }
        if row >= self.of_row.len() {
            self.of_row.resize(row + 1, 0);
        }
        let old = std::mem::replace(&mut self.of_row[row], number);
        self.rows[old as usize].set(row, false);
        self.rows[number as usize].set(row, true);
    }

    /// The distinct lists.
    pub fn lists(&self) -> &[Vec<Taint>] {
        &self.lists
    }

    /// The rows that have each list, in the same order. Vacant rows are among those of list 0.
    pub fn rows(&self) -> &[Rows] {
        &self.rows
    }

    /// The number of a row's list.
    pub fn of_row(&self, row: usize) -> usize {
        self.of_row.get(row).copied().unwrap_or(0) as usize
    }
}
