//! The server's tables as text.
//!
//! In: a `Table` object (or plain objects, from a server that makes none). Out: aligned text. Never invents a cell.

use std::cmp::Ordering;

use serde_json::Value;

use crate::args::Get;
use crate::output::{JsonPath, columns};
use crate::resource::Target;

/// A table to be printed.
pub struct Table {
    head: Vec<String>,
    /// Cells, and the object's metadata for sorting.
    pub rows: Vec<(Vec<String>, Value)>,
}

impl Table {
    /// From the server's answer.
    pub fn of(answer: &Value, target: &Target, args: &Get, wide: bool) -> Table {
        let mut table = if answer["kind"] == "Table" { from_table(answer, wide) } else { from_objects(answer) };
        let with_namespace = args.all_namespaces && target.resource.namespaced;
        if with_namespace {
            table.head.insert(0, "NAMESPACE".to_owned());
        }
        for label in &args.label_columns {
            table.head.push(label.rsplit('/').next().unwrap_or(label).to_uppercase());
        }
        if args.show_labels {
            table.head.push("LABELS".to_owned());
        }
        for (cells, object) in &mut table.rows {
            let meta = &object["metadata"];
            if with_namespace {
                cells.insert(0, meta["namespace"].as_str().unwrap_or("").to_owned());
            }
            for label in &args.label_columns {
                cells.push(meta["labels"][label].as_str().unwrap_or("").to_owned());
            }
            if args.show_labels {
                cells.push(labels(&meta["labels"]));
            }
        }
        table
    }

    /// By what a path finds; numbers as numbers.
    pub fn sort(&mut self, path: &JsonPath) {
        self.rows.sort_by(|a, b| compare(path.find(&a.1).first(), path.find(&b.1).first()));
    }

    /// The text; `prefix` goes before each name (for several kinds in one output).
    pub fn text(&self, with_head: bool, prefix: Option<&str>) -> String {
        let name = self.head.iter().position(|head| head == "NAME").unwrap_or(0);
        let mut lines = Vec::with_capacity(self.rows.len() + 1);
        if with_head {
            lines.push(self.head.clone());
        }
        for (cells, _) in &self.rows {
            let mut cells = cells.clone();
            if let (Some(prefix), Some(cell)) = (prefix, cells.get_mut(name)) {
                cell.insert_str(0, prefix);
            }
            lines.push(cells);
        }
        columns(&lines)
    }
}

/// Lines of a watch: the head once, columns that only ever grow.
pub struct Stream<'a> {
    args: &'a Get,
    wide: bool,
    widths: Vec<usize>,
    headed: bool,
}

impl<'a> Stream<'a> {
    /// Nothing printed yet.
    pub fn new(args: &'a Get, wide: bool) -> Self {
        Stream { args, wide, widths: Vec::new(), headed: args.no_headers }
    }

    /// The next lines.
    pub fn rows(&mut self, answer: &Value, target: &Target) -> String {
        let table = Table::of(answer, target, self.args, self.wide);
        let mut text = String::new();
        if !std::mem::replace(&mut self.headed, true) {
            text += &self.line(&table.head);
        }
        for (cells, _) in &table.rows {
            text += &self.line(cells);
        }
        text
    }

    fn line(&mut self, cells: &[String]) -> String {
        self.widths.resize(self.widths.len().max(cells.len()), 0);
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(&mut self.widths) {
            *width = (*width).max(cell.chars().count());
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', *width - cell.chars().count() + 3));
        }
        line.trim_end().to_owned() + "\n"
    }
}

/// Absent values first, then numbers by size, then text.
pub fn compare(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    match (a, b) {
        (Some(Value::Number(a)), Some(Value::Number(b))) => {
            a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal)
        }
        (Some(a), Some(b)) => crate::output::json(a).cmp(&crate::output::json(b)),
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

fn from_table(answer: &Value, wide: bool) -> Table {
    let definitions = answer["columnDefinitions"].as_array().cloned().unwrap_or_default();
    let shown: Vec<usize> =
        (0..definitions.len()).filter(|i| wide || definitions[*i]["priority"].as_i64().unwrap_or(0) == 0).collect();
    let head = shown.iter().map(|i| definitions[*i]["name"].as_str().unwrap_or("").to_uppercase()).collect();
    let rows = answer["rows"].as_array().into_iter().flatten().map(|row| {
        let cells = shown.iter().map(|i| cell(&row["cells"][*i])).collect();
        (cells, row["object"].clone())
    });
    Table { head, rows: rows.collect() }
}

fn from_objects(answer: &Value) -> Table {
    let items = answer["items"].as_array().cloned().unwrap_or_else(|| vec![answer.clone()]);
    let rows = items.into_iter().map(|object| {
        let meta = &object["metadata"];
        (vec![cell(&meta["name"]), cell(&meta["creationTimestamp"])], object.clone())
    });
    Table { head: vec!["NAME".to_owned(), "CREATED AT".to_owned()], rows: rows.collect() }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "<none>".to_owned(),
        Value::String(text) => text.replace('\n', "\\n"),
        other => other.to_string(),
    }
}

fn labels(map: &Value) -> String {
    let pairs: Vec<String> = map
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or("")))
        .collect();
    if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") }
}
