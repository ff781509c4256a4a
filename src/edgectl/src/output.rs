//! Output formats: aligned columns, JSON, YAML, names, JSONPath and custom columns.
//!
//! In: objects or rows. Out: text for standard output. Never asks the server.

mod jsonpath;

use kedge_api::yaml;
use serde_json::Value;

use crate::error::Failure;
use crate::screen::safe;

pub use jsonpath::{JsonPath, text};

/// How objects are printed.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// Columns; wide ones too when asked for.
    Table {
        /// `-o wide`.
        wide: bool,
    },
    /// Indented JSON.
    Json,
    /// YAML.
    Yaml,
    /// `kind/name`.
    Name,
    /// A template.
    JsonPath(JsonPath),
    /// Headed expressions.
    Columns(Vec<(String, JsonPath)>),
}

impl Format {
    /// From `-o`.
    pub fn parse(text: Option<&str>) -> Result<Format, Failure> {
        let Some(text) = text else { return Ok(Format::Table { wide: false }) };
        match text {
            "" => Ok(Format::Table { wide: false }),
            "wide" => Ok(Format::Table { wide: true }),
            "json" => Ok(Format::Json),
            "yaml" => Ok(Format::Yaml),
            "name" => Ok(Format::Name),
            _ => {
                if let Some(template) = text.strip_prefix("jsonpath=") {
                    return Ok(Format::JsonPath(JsonPath::parse(template)?));
                }
                if let Some(columns) = text.strip_prefix("custom-columns=") {
                    return Ok(Format::Columns(custom(columns)?));
                }
                Err(Failure::said(format!(
                    "unable to match a printer suitable for the output format \"{text}\", allowed formats are: custom-columns,json,jsonpath,name,wide,yaml"
                )))
            }
        }
    }

    /// Only what a write may print: `json`, `yaml`, `name`, or the usual sentence.
    pub fn of_write(text: Option<&str>) -> Result<Option<Format>, Failure> {
        match Format::parse(text)? {
            Format::Table { .. } => Ok(None),
            format => Ok(Some(format)),
        }
    }
}

fn custom(text: &str) -> Result<Vec<(String, JsonPath)>, Failure> {
    text.split(',')
        .map(|column| match column.split_once(':') {
            Some((head, path)) if !head.is_empty() && !path.is_empty() => {
                let path = path.trim_start_matches('{').trim_end_matches('}');
                Ok((head.to_owned(), JsonPath::parse(&format!("{{{path}}}"))?))
            }
            _ => Err(Failure::said(format!(
                "unexpected custom-columns spec: {column}, expected <header>:<json-path-expr>"
            ))),
        })
        .collect()
}

/// Rows of columns, aligned with three spaces between them, as kubectl does.
pub fn columns(rows: &[Vec<String>]) -> String {
    // Widths are those of what is shown.
    let rows: Vec<Vec<_>> = rows.iter().map(|row| row.iter().map(|cell| safe(cell)).collect()).collect();
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (i, cell) in row.iter().enumerate() {
            line.push_str(cell);
            if i + 1 < row.len() {
                let gap = widths[i] - cell.chars().count() + 3;
                line.extend(std::iter::repeat_n(' ', gap));
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// JSON as kubectl indents it.
pub fn json(value: &Value) -> String {
    use serde::Serialize;
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    match value.serialize(&mut serializer) {
        Ok(()) => String::from_utf8_lossy(&bytes).into_owned() + "\n",
        Err(error) => format!("{error}\n"),
    }
}

/// Prints one object (or list) in a format that is no table. What programs read comes out as it is.
pub fn print(format: &Format, value: &Value, name: &str) -> Result<(), Failure> {
    let text = object(format, value, name)?;
    match format {
        Format::Name | Format::Table { .. } => print!("{text}"),
        Format::Json | Format::Yaml | Format::JsonPath(_) | Format::Columns(_) => std::print!("{text}"),
    }
    Ok(())
}

/// One object (or list) in a format that is no table. `name` is `kind/name`.
pub fn object(format: &Format, value: &Value, name: &str) -> Result<String, Failure> {
    Ok(match format {
        Format::Json => json(value),
        Format::Yaml => yaml::text(value),
        Format::Name | Format::Table { .. } => format!("{name}\n"),
        Format::JsonPath(path) => path.render(value),
        Format::Columns(wanted) => {
            let items = value.get("items").and_then(Value::as_array);
            let rows = items.map_or_else(|| vec![value], |items| items.iter().collect());
            let mut table = vec![wanted.iter().map(|(head, _)| head.clone()).collect::<Vec<_>>()];
            table.extend(rows.into_iter().map(|row| wanted.iter().map(|(_, path)| cell(path, row)).collect()));
            columns(&table)
        }
    })
}

fn cell(path: &JsonPath, row: &Value) -> String {
    let found: Vec<String> = path.find(row).into_iter().map(|value| jsonpath::text(&value)).collect();
    if found.is_empty() { "<none>".to_owned() } else { found.join(",") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [vec!["NAME".to_owned(), "AGE".to_owned()], vec!["a-long-name".to_owned(), "5s".to_owned()]];
        assert_eq!(columns(&rows), "NAME          AGE\na-long-name   5s\n");
    }

    #[test]
    fn cells_are_as_wide_as_what_is_shown() {
        let rows = [vec!["\u{1b}[1ma".to_owned(), "x".to_owned()], vec!["b".to_owned(), "y".to_owned()]];
        assert_eq!(columns(&rows), "^[[1ma   x\nb        y\n");
    }

    #[test]
    fn formats_are_known_or_refused() {
        assert_eq!(Format::parse(Some("wide")).unwrap(), Format::Table { wide: true });
        assert!(Format::parse(Some("xml")).unwrap_err().to_string().contains("\"xml\""));
        assert!(Format::parse(Some("custom-columns=A")).is_err());
    }

    #[test]
    fn custom_columns_take_expressions() {
        let format = Format::parse(Some("custom-columns=NAME:.metadata.name,X:.spec.x")).unwrap();
        let list = json!({"items": [{"metadata": {"name": "a"}}]});
        assert_eq!(object(&format, &list, "").unwrap(), "NAME   X\na      <none>\n");
    }
}
