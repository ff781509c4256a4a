//! Labels by row, and by key where a pod asks for one.
//!
//! In: the label lists of rows. Out: for a key, the value of every row in one vector, built when first asked for and
//! kept current. Never keeps more columns than pods ask for.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::scheduling::{Label, Symbol};

/// Columns kept at once. Selectors of a cluster name a few keys; at 5000 nodes a column is 20 KB.
const COLUMNS: usize = 64;

/// The labels of all rows.
#[derive(Default)]
pub struct Labels {
    rows: Vec<Vec<Label>>,
    columns: RefCell<HashMap<Symbol, Rc<Vec<u32>>>>,
}

impl Labels {
    /// Gives a row its labels.
    pub fn put(&mut self, row: usize, labels: &[Label]) {
        if row >= self.rows.len() {
            self.rows.resize(row + 1, Vec::new());
        }
        self.rows[row] = labels.to_vec();
        for (key, column) in self.columns.get_mut() {
            let column = Rc::make_mut(column);
            if row >= column.len() {
                column.resize(row + 1, 0);
            }
            column[row] = entry(&self.rows[row], *key);
        }
    }

    /// The labels of a row.
    pub fn of_row(&self, row: usize) -> &[Label] {
        self.rows.get(row).map_or(&[], |labels| labels)
    }

    /// The value of a row's label.
    pub fn value(&self, row: usize, key: Symbol) -> Option<Symbol> {
        self.of_row(row).iter().find(|label| label.key == key).map(|label| label.value)
    }

    /// For each row 0 if it lacks the label, else the value's symbol plus one. Rows beyond the end lack it.
    pub fn column(&self, key: Symbol) -> Rc<Vec<u32>> {
        let mut columns = self.columns.borrow_mut();
        if let Some(column) = columns.get(&key) {
            return column.clone();
        }
        if columns.len() >= COLUMNS {
            columns.clear();
        }
        let column: Rc<Vec<u32>> = Rc::new(self.rows.iter().map(|labels| entry(labels, key)).collect());
        columns.insert(key, column.clone());
        column
    }
}

fn entry(labels: &[Label], key: Symbol) -> u32 {
    labels.iter().find(|label| label.key == key).map_or(0, |label| label.value + 1)
}
