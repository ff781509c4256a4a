//! The server's tables as text.
//!
//! In: a `Table` object (or plain objects, from a server that makes none). Out: aligned text. Never invents a cell.

use std::cmp::Ordering;

use serde_json::Value;

use crate::args::Get;
use kedge_api::print::label_pairs;

use crate::output::{JsonPath, columns};
use crate::resource::Target;
use crate::screen::{padded, safe};

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
                cells.push(label_pairs(Some(&meta["labels"])));
            }
        }
        table
    }

    /// By what a path finds; numbers as numbers.
    pub fn sort(&mut self, path: &JsonPath) {
        self.rows.sort_by(|a, b| compare(path.first(&a.1).as_ref(), path.first(&b.1).as_ref()));
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
    target: &'a Target,
    wide: bool,
    widths: Vec<usize>,
    headed: bool,
    /// The columns, which a server sends only with the first rows.
    definitions: Value,
}

impl<'a> Stream<'a> {
    /// Nothing printed yet.
    pub fn new(args: &'a Get, target: &'a Target, wide: bool) -> Self {
        Stream { args, target, wide, widths: Vec::new(), headed: args.no_headers, definitions: Value::Null }
    }

    /// The next lines, of what happened to these rows.
    pub fn rows(&mut self, answer: &Value, of_type: &str) -> String {
        let mut answer = answer.clone();
        if answer["kind"] == "Table" {
            match answer["columnDefinitions"].as_array() {
                Some(columns) if !columns.is_empty() => self.definitions = answer["columnDefinitions"].clone(),
                _ => answer["columnDefinitions"] = self.definitions.clone(),
            }
        }
        let mut table = Table::of(&answer, self.target, self.args, self.wide);
        if table.rows.is_empty() {
            return String::new();
        }
        if self.args.output_watch_events {
            table.head.insert(0, "EVENT".to_owned());
            table.rows.iter_mut().for_each(|(cells, _)| cells.insert(0, of_type.to_owned()));
        }
        let name = table.head.iter().position(|head| head == "NAME");
        if let (true, Some(name)) = (self.args.show_kind, name) {
            table.rows.iter_mut().for_each(|(cells, _)| cells[name].insert_str(0, &self.target.resource.named("")));
        }
        let mut lines = Vec::new();
        if !std::mem::replace(&mut self.headed, true) {
            lines.push(table.head);
        }
        lines.extend(table.rows.into_iter().map(|(cells, _)| cells));
        self.lines(&lines)
    }

    fn lines(&mut self, lines: &[Vec<String>]) -> String {
        let shown = |line: &Vec<String>| line.iter().map(|cell| safe(cell).into_owned()).collect();
        let lines: Vec<Vec<String>> = lines.iter().map(shown).collect();
        for (at, cell) in lines.iter().flat_map(|line| line.iter().enumerate()) {
            if at >= self.widths.len() {
                self.widths.resize(at + 1, 0);
            }
            self.widths[at] = self.widths[at].max(cell.chars().count());
        }
        let line = |cells: &Vec<String>| {
            let cells = cells.iter().zip(&self.widths).map(|(cell, width)| padded(cell, *width) + "   ");
            cells.collect::<String>().trim_end().to_owned() + "\n"
        };
        lines.iter().map(line).collect()
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::args::{Verb, read};
    use crate::resource::Resource;

    #[test]
    fn rows_of_a_watch_keep_their_columns() {
        let Verb::Get(args) = read("edgectl get pods -w --output-watch-events").unwrap().verb else { panic!() };
        let resource = Resource { kind: "Pod".to_owned(), namespaced: true, ..Resource::default() };
        let target = Target { resource, name: None };
        let mut stream = Stream::new(&args, &target, false);
        let columns = json!([{"name": "Name"}, {"name": "Node", "priority": 1}, {"name": "Status"}]);
        let table = |columns: Value, rows: Value| json!({"kind": "Table", "columnDefinitions": columns, "rows": rows});
        let row = |name: &str, status: &str| json!({"cells": [name, "n", status]});
        assert_eq!(stream.rows(&table(columns.clone(), json!([])), "ADDED"), "");
        assert_eq!(
            stream.rows(&table(columns, json!([row("a-long-name", "Pending")])), "ADDED"),
            "EVENT   NAME          STATUS\nADDED   a-long-name   Pending\n"
        );
        assert_eq!(
            stream.rows(&table(json!([]), json!([row("a", "\u{1b}[1m")])), "MODIFIED"),
            "MODIFIED   a             ^[[1m\n"
        );
    }
}
