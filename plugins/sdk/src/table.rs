//! Reading rows: the answer of `cluster.rows` by row and column.
//!
//! In: a table as it crosses. Out: typed cells. A cell that is absent or of another type is `None`.

use crate::controller::kedge::plugin::objects::{Table, Values};

/// A table with its cells in reach.
pub struct Rows {
    table: Table,
}

/// One row.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    table: &'a Table,
    at: usize,
}

impl Rows {
    /// Around a table.
    pub fn new(table: Table) -> Self {
        Self { table }
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.table.count as usize
    }

    /// All of them, by namespace and name.
    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        (0..self.count()).map(|at| Row { table: &self.table, at })
    }

    /// The first one.
    pub fn first(&self) -> Option<Row<'_>> {
        self.iter().next()
    }
}

impl<'a> Row<'a> {
    /// The object's namespace; empty for kinds without.
    pub fn namespace(&self) -> &'a str {
        text(&self.table.namespaces.all, &self.table.namespaces.ends, self.at)
    }

    /// The object's name.
    pub fn name(&self) -> &'a str {
        text(&self.table.names.all, &self.table.names.ends, self.at)
    }

    /// For a watch of every kind: its place in the answer of `kinds`.
    pub fn kind(&self) -> Option<usize> {
        self.table.kinds.get(self.at).map(|kind| *kind as usize)
    }

    /// A cell of type `text` or `json`.
    pub fn text(&self, column: usize) -> Option<&'a str> {
        match self.values(column)? {
            Values::Texts(texts) => Some(text(&texts.all, &texts.ends, self.at)),
            _ => None,
        }
    }

    /// A cell of type `integer`, `time`, `count` or `hash`.
    pub fn integer(&self, column: usize) -> Option<i64> {
        match self.values(column)? {
            Values::Integers(all) => all.get(self.at).copied(),
            _ => None,
        }
    }

    /// A cell of type `boolean`; absent is false.
    pub fn is(&self, column: usize) -> bool {
        matches!(self.values(column), Some(Values::Booleans(bits)) if bit(bits, self.at))
    }

    /// Whether the cell is there at all.
    pub fn has(&self, column: usize) -> bool {
        self.values(column).is_some()
    }

    fn values(&self, column: usize) -> Option<&'a Values> {
        let column = self.table.columns.get(column)?;
        bit(&column.present, self.at).then_some(&column.values)
    }
}

fn bit(words: &[u64], at: usize) -> bool {
    words.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 != 0)
}

fn text<'a>(all: &'a str, ends: &[u32], at: usize) -> &'a str {
    let Some(end) = ends.get(at) else { return "" };
    let start = if at == 0 { 0 } else { ends[at - 1] };
    all.get(start as usize..*end as usize).unwrap_or("")
}
