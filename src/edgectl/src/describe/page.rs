//! A page: lines of cells, which stand below each other where lines follow each other.
//!
//! In: lines in order, in which a tab ends a cell; what servers put in may have tabs and line ends of its own, which then
//! end cells and lines as well, as they do in kubectl. Out: text in which a column is as wide as the widest of its cells.
//! A column is a run of lines that have such a cell at that place. Never reorders, and never grows without bound.

use serde_json::Value;

use super::values::{self, items, words};
use crate::screen::safe;

/// Blanks between columns.
const GAP: usize = 2;
/// The widest cell that widens its column: two names of 253 and some words. A server could otherwise have one line that
/// makes thousands of others as wide as itself.
const WIDEST: usize = 640;

/// A page being written.
#[derive(Default)]
pub struct Page {
    /// Lines without their ends; tabs end cells.
    lines: Vec<String>,
    /// Lines before which all columns end.
    cuts: Vec<usize>,
}

impl Page {
    /// `name:  value`.
    pub fn line(&mut self, level: usize, name: &str, value: impl AsRef<str>) {
        self.raw(level, format!("{name}:\t{}", value.as_ref()));
    }

    /// A line only if there is a value.
    pub fn some(&mut self, level: usize, name: &str, value: &Value) {
        let value = words(value);
        if !value.is_empty() {
            self.line(level, name, value);
        }
    }

    /// A heading without a value.
    pub fn head(&mut self, level: usize, name: &str) {
        self.raw(level, format!("{name}:"));
    }

    /// Text as it is, behind the blanks of its level.
    pub fn raw(&mut self, level: usize, text: impl AsRef<str>) {
        let text = "  ".repeat(level) + text.as_ref();
        for (i, part) in text.split('\u{c}').enumerate() {
            if i > 0 {
                self.cut();
            }
            self.lines.extend(part.split('\n').map(|line| safe(line).replace('\u{b}', "\t")));
        }
    }

    /// Values below each other behind a name; without any, `<none>`.
    pub fn list(&mut self, level: usize, name: &str, values: &[String]) {
        self.list_behind(level, name, 0, values);
    }

    /// The same, where so many blanks stand before each value but the first. They are seen on a plain page only.
    pub fn list_behind(&mut self, level: usize, name: &str, blanks: usize, values: &[String]) {
        let [first, others @ ..] = values else { return self.line(level, name, "<none>") };
        self.line(level, name, first);
        others.iter().for_each(|value| self.raw(0, format!("{}\t{value}", " ".repeat(blanks))));
    }

    /// `key=value` pairs below each other.
    pub fn pairs(&mut self, level: usize, name: &str, map: &Value) {
        self.list(level, name, &values::pairs(map));
    }

    /// Annotations below each other, but for what was applied last; long ones are cut.
    pub fn annotations(&mut self, level: usize, name: &str, map: &Value) {
        self.list(level, name, &values::annotations(map));
    }

    /// A list of words in one line.
    pub fn joined(&mut self, level: usize, name: &str, list: &Value) {
        self.line(level, name, items(list).map(words).collect::<Vec<_>>().join(","));
    }

    /// Rows below a head and its dashes.
    pub fn table(&mut self, level: usize, head: &[&str], rows: &[Vec<String>]) {
        let dashes: Vec<String> = head.iter().map(|title| "-".repeat(title.len())).collect();
        self.raw(level, head.join("\t"));
        self.raw(level, dashes.join("\t"));
        self.rows(level, rows);
    }

    /// Rows without a head.
    pub fn rows(&mut self, level: usize, rows: &[Vec<String>]) {
        rows.iter().for_each(|row| self.raw(level, row.join("\t")));
    }

    /// Ends all columns.
    pub fn cut(&mut self) {
        self.cuts.push(self.lines.len());
    }

    /// The text with its tabs, not aligned.
    pub fn plain(&self) -> String {
        self.lines.iter().map(|line| line.clone() + "\n").collect()
    }

    /// The text, aligned.
    pub fn text(&self) -> String {
        let mut widths = Vec::new();
        self.walk(|line, columns| {
            for (cell, column) in line.split('\t').zip(columns) {
                widths.resize(widths.len().max(column + 1), 0);
                let width = cell.chars().count();
                if width <= WIDEST {
                    widths[*column] = width.max(widths[*column]);
                }
            }
        });
        let mut text = String::new();
        self.walk(|line, columns| {
            for (i, cell) in line.split('\t').enumerate() {
                text.push_str(cell);
                if let Some(column) = columns.get(i) {
                    let gap = (widths[*column] + GAP).saturating_sub(cell.chars().count());
                    text.extend(std::iter::repeat_n(' ', gap.max(GAP)));
                }
            }
            text.push('\n');
        });
        text
    }

    /// Goes through the lines; `visit` gets the numbers of the columns that a line's ended cells stand in.
    fn walk(&self, mut visit: impl FnMut(&str, &[usize])) {
        let (mut open, mut next): (Vec<usize>, usize) = (Vec::new(), 0);
        for (i, line) in self.lines.iter().enumerate() {
            if self.cuts.binary_search(&i).is_ok() {
                open.clear();
            }
            let ended = line.matches('\t').count();
            open.truncate(ended);
            while open.len() < ended {
                open.push(next);
                next += 1;
            }
            visit(line, &open);
        }
    }
}

/// Compares a page with its text.
#[cfg(test)]
#[track_caller]
pub fn check(write: impl FnOnce(&mut Page), expected: &str) {
    let mut page = Page::default();
    write(&mut page);
    assert_eq!(page.text(), expected);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_column_is_a_run_of_lines() {
        check(
            |page| {
                page.line(0, "Name", "web");
                page.line(0, "Namespace", "");
                page.head(0, "Spec");
                page.pairs(1, "Labels", &json!({"a": "1", "b": "2"}));
                page.pairs(1, "None", &json!({}));
            },
            "Name:       web\nNamespace:  \nSpec:\n  Labels:  a=1\n           b=2\n  None:    <none>\n",
        );
    }

    #[test]
    fn columns_end_one_by_one() {
        check(
            |page| {
                page.table(
                    1,
                    &["Kind", "Name"],
                    &[vec!["User".to_owned(), "jane".to_owned()], vec!["Group".to_owned()]],
                );
                page.raw(0, "Port:\ta\t1");
                page.raw(0, "Longer name:\tx");
                page.raw(0, "Port:\tlonger\t2");
                page.cut();
                page.raw(0, "E:\tx");
            },
            "  Kind  Name\n  ----  ----\n  User  jane\n  Group\nPort:         a  1\nLonger name:  x\nPort:         longer  2\nE:  x\n",
        );
    }

    #[test]
    fn tabs_and_line_ends_of_servers_break_nothing() {
        check(|page| page.line(1, "A", "b\tc\nlonger\td\u{c}e\tf"), "  A:    b  c\nlonger  d\ne  f\n");
        let mut page = Page::default();
        page.raw(0, format!("{}\tx\ny\tz", "w".repeat(WIDEST + 1)));
        assert!(page.text().ends_with("w  x\ny  z\n"));
        page.raw(0, "\t".repeat(100_000));
        assert_eq!(page.text().len(), WIDEST + 10 + 200_002);
    }

    #[test]
    fn a_page_moves_no_cursor() {
        check(
            |page| {
                page.line(0, "N\u{1b}", "a\rb");
                page.table(0, &["X", "Y"], &[vec!["\u{1b}c".to_owned(), "d".to_owned()]]);
            },
            "N^[:  a\\rb\nX     Y\n-     -\n^[c   d\n",
        );
    }

    #[test]
    fn a_plain_page_keeps_its_tabs() {
        let mut page = Page::default();
        page.pairs(1, "Labels", &json!({"a": "1", "b": "2"}));
        assert_eq!(page.plain(), "  Labels:\ta=1\n\tb=2\n");
    }
}
