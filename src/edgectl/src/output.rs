//! Output formats: aligned columns, JSON, YAML, names, JSONPath, Go templates and custom columns.
//!
//! In: objects or rows. Out: text for standard output. Never asks the server.

mod jsonpath;
mod template;

use std::io::Read as _;

use kedge_api::yaml;
use serde_json::Value;

use crate::error::Failure;
use crate::screen::safe;

pub use jsonpath::{JsonPath, text};
pub use template::{Template, go};

/// The most bytes of a template in a file.
const TEMPLATE: usize = 1 << 20;

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
    /// A template whose results are JSON.
    JsonPathAsJson(JsonPath),
    /// A Go template.
    Template(Template),
    /// Headed expressions.
    Columns(Vec<(String, JsonPath)>),
}

impl Format {
    /// From `-o`.
    pub fn parse(text: Option<&str>) -> Result<Format, Failure> {
        let Some(text) = text else { return Ok(Format::Table { wide: false }) };
        let (name, given) = text.split_once('=').unwrap_or((text, ""));
        let given = |what: &str| match given {
            "" => Err(Failure::said(format!("{name} format specified but no {what} given"))),
            given => Ok(given),
        };
        let template = || given("template");
        match name {
            "" | "wide" | "json" | "yaml" | "name" if name != text => Err(unknown(text)),
            "" | "wide" => Ok(Format::Table { wide: name == "wide" }),
            "json" => Ok(Format::Json),
            "yaml" => Ok(Format::Yaml),
            "name" => Ok(Format::Name),
            "jsonpath" => Ok(Format::JsonPath(JsonPath::parse(template()?)?)),
            "jsonpath-as-json" => Ok(Format::JsonPathAsJson(JsonPath::parse(template()?)?)),
            "jsonpath-file" => Ok(Format::JsonPath(JsonPath::parse(file(template()?)?.trim_end_matches('\n'))?)),
            "go-template" | "template" => Ok(Format::Template(Template::parse(template()?)?)),
            "go-template-file" | "templatefile" => Ok(Format::Template(Template::parse(&file(template()?)?)?)),
            "custom-columns" => Ok(Format::Columns(custom(given("custom columns")?)?)),
            "custom-columns-file" => Ok(Format::Columns(custom_file(&file(given("custom columns")?)?)?)),
            _ => Err(unknown(text)),
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

fn unknown(text: &str) -> Failure {
    Failure::said(format!(
        "unable to match a printer suitable for the output format \"{text}\", allowed formats are: custom-columns,custom-columns-file,go-template,go-template-file,json,jsonpath,jsonpath-as-json,jsonpath-file,name,template,templatefile,wide,yaml"
    ))
}

/// What a file of a template says.
fn file(path: &str) -> Result<String, Failure> {
    let fault = |source| Failure::Read { path: path.into(), source };
    let (mut text, limit) = (String::new(), TEMPLATE as u64 + 1);
    std::fs::File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text)).map_err(fault)?;
    if text.len() > TEMPLATE {
        return Err(Failure::said(format!("{path} is larger than {TEMPLATE} bytes")));
    }
    Ok(text)
}

/// A line of heads and a line of expressions.
fn custom_file(text: &str) -> Result<Vec<(String, JsonPath)>, Failure> {
    let mut lines = text.lines();
    let mut words = || lines.next().unwrap_or("").split_whitespace().collect::<Vec<_>>();
    let (heads, paths) = (words(), words());
    if heads.is_empty() || heads.len() != paths.len() {
        return Err(Failure::said(format!(
            "number of headers ({}) and field specifications ({}) don't match",
            heads.len(),
            paths.len()
        )));
    }
    let specs: Vec<String> = heads.iter().zip(paths).map(|(head, path)| format!("{head}:{path}")).collect();
    custom(&specs.join(","))
}

fn custom(text: &str) -> Result<Vec<(String, JsonPath)>, Failure> {
    text.split(',')
        .map(|column| match column.split_once(':') {
            Some((head, path)) if !head.is_empty() => {
                let path = path.trim_start_matches('{').trim_end_matches('}').trim_start_matches('.');
                // Without a path there is nothing to be found.
                let path = if path.is_empty() { "['']".to_owned() } else { format!(".{path}") };
                Ok((head.to_owned(), JsonPath::parse(&format!("{{{path}}}"))?))
            }
            _ => Err(Failure::said(format!(
                "unexpected custom-columns spec: {column}, expected <header>:<json-path-expr>"
            ))),
        })
        .collect()
}

/// The narrowest that a column with its room may be.
const NARROWEST: usize = 6;

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
                let gap = (widths[i] + 3).max(NARROWEST) - cell.chars().count();
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
        Format::Json
        | Format::Yaml
        | Format::JsonPath(_)
        | Format::JsonPathAsJson(_)
        | Format::Template(_)
        | Format::Columns(_) => {
            std::print!("{text}");
        }
    }
    Ok(())
}

/// One object (or list) in a format that is no table. `name` is `kind/name`.
pub fn object(format: &Format, value: &Value, name: &str) -> Result<String, Failure> {
    Ok(match format {
        Format::Json => json(value),
        Format::Yaml => yaml::text(value),
        Format::Name | Format::Table { .. } => format!("{name}\n"),
        Format::JsonPath(path) => path.render(value)?,
        Format::JsonPathAsJson(path) => path.arrays(value)?,
        Format::Template(template) => template.render(value)?,
        Format::Columns(wanted) => {
            let items = value.get("items").and_then(Value::as_array);
            let rows = items.map_or_else(|| vec![value], |items| items.iter().collect());
            let mut table = vec![wanted.iter().map(|(head, _)| head.clone()).collect::<Vec<_>>()];
            for row in rows {
                table.push(wanted.iter().map(|(_, path)| cell(path, row)).collect::<Result<_, _>>()?);
            }
            columns(&table)
        }
    })
}

fn cell(path: &JsonPath, row: &Value) -> Result<String, Failure> {
    let found: Vec<String> = path.find(row)?.iter().map(go).collect();
    Ok(if found.is_empty() { "<none>".to_owned() } else { found.join(",") })
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
    fn formats_may_stand_in_files() {
        let path = std::env::temp_dir().join(format!("edgectl-format-{}", std::process::id()));
        let value = json!({"metadata": {"name": "a"}});
        for (format, text, expected) in [
            ("jsonpath-file", "{.metadata.name}\n", "a"),
            ("go-template-file", "{{.metadata.name}}\n", "a\n"),
            ("templatefile", "{{len .metadata.name}}", "1"),
            ("custom-columns-file", "NAME  X\n.metadata.name {.x}\n", "NAME   X\na      <none>\n"),
        ] {
            std::fs::write(&path, text).unwrap();
            let format = Format::parse(Some(&format!("{format}={}", path.display()))).unwrap();
            assert_eq!(object(&format, &value, "").unwrap(), expected, "{text}");
        }
        std::fs::write(&path, "A B\n.x\n").unwrap();
        assert!(Format::parse(Some(&format!("custom-columns-file={}", path.display()))).is_err());
        std::fs::remove_file(&path).unwrap();
        for format in [
            "jsonpath",
            "jsonpath-as-json=",
            "json=x",
            "go-template",
            "go-template=",
            "template=",
            "custom-columns",
            "go-template-file=/no",
        ] {
            assert!(Format::parse(Some(format)).is_err(), "{format}");
        }
    }

    #[test]
    fn custom_columns_take_expressions() {
        let format = Format::parse(Some("custom-columns=NAME:.metadata.name,X:.spec.x")).unwrap();
        let list = json!({"items": [{"metadata": {"name": "a"}}]});
        assert_eq!(object(&format, &list, "").unwrap(), "NAME   X\na      <none>\n");
    }
}
