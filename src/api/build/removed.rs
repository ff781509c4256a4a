//! Adds the types of versions that Kubernetes no longer serves. In: `facts/removed.txt`, today's types and facts.
//! Out: both with the old types, each its base but for what the table says. A name it does not know ends the build.

use super::facts::{self, Facts, Wires};
use k8s_openapi::serde_json::{Map, Value, json};
use std::collections::BTreeSet;

const REF: &str = "#/$defs/";
/// Where a type without a base lives.
const HOME: &str = "io.k8s.api.";

/// The last three parts of a name.
fn short(name: &str) -> &str {
    name.rmatch_indices('.').nth(2).map_or(name, |(at, _)| &name[at + 1..])
}

struct Old<'a> {
    name: &'a str,
    base: Option<&'a str>,
    rows: Vec<&'a str>,
}

fn parse(text: &str) -> Vec<Old<'_>> {
    let mut all: Vec<Old<'_>> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        match line.strip_prefix("  ") {
            Some(row) => all.last_mut().expect("a field follows its type").rows.push(row),
            None => {
                let (name, base) = line.split_once(" = ").map_or((line, None), |(name, base)| (name, Some(base)));
                all.push(Old { name, base, rows: Vec::new() });
            }
        }
    }
    all
}

fn full_of(definitions: &Map<String, Value>, name: &str) -> String {
    let found = definitions.keys().find(|full| short(full) == name);
    found.unwrap_or_else(|| panic!("facts/removed.txt: no type {name}")).clone()
}

/// Adds them; out: their full names.
pub fn add(text: &str, definitions: &mut Map<String, Value>, facts: &mut Facts, wires: &mut Wires) -> BTreeSet<String> {
    let all = parse(text);
    let mut added = BTreeSet::new();
    // First the names, so that types may mention each other in any order.
    for old in &all {
        let (full, schema) = match old.base {
            Some(base) => {
                let full = full_of(definitions, base);
                let schema = definitions[&full].clone();
                (format!("{}{}", full.strip_suffix(base).expect("ends so"), old.name), schema)
            }
            None => (format!("{HOME}{}", old.name), json!({"type": "object", "properties": {}})),
        };
        definitions.insert(full.clone(), schema);
        added.insert(full);
    }
    for old in &all {
        let base = old.base.unwrap_or(old.name);
        let mut own = facts.types.get(base).cloned().unwrap_or_default();
        let mut wire = wires.get(base).cloned().unwrap_or_default();
        let full = full_of(definitions, old.name);
        let mut schema = definitions[&full].take();
        let properties = schema["properties"].as_object_mut().expect("a struct has fields");
        let mut dropped = Vec::new();
        for row in &old.rows {
            if let Some(field) = row.strip_prefix('-') {
                properties.remove(field).unwrap_or_else(|| panic!("facts/removed.txt: no {field} in {}", old.name));
                own.fields.remove(field);
                wire.remove(field);
                dropped.push(field);
                continue;
            }
            let (field, rest) = row.split_once(' ').expect("a field has a type");
            if let Some(field) = field.strip_suffix(':') {
                own.fields.insert(field.to_owned(), facts::field(rest.split_whitespace(), row));
                continue;
            }
            let (kind, number) = rest.split_once(" =").map_or((rest, None), |(kind, number)| (kind, Some(number)));
            let mut value = shape(definitions, kind);
            if let Some(text) = properties.get(field).and_then(|known| known.get("description")) {
                value["description"] = text.clone();
            }
            properties.insert(field.to_owned(), value);
            if let Some(number) = number {
                wire.insert(field.to_owned(), facts::wire_of(number));
            }
        }
        if let Some(required) = schema["required"].as_array_mut() {
            required.retain(|field| !dropped.iter().any(|gone| field == gone));
        }
        definitions.insert(full, schema);
        facts.types.insert(old.name.to_owned(), own);
        wires.insert(old.name.to_owned(), wire);
    }
    added
}

/// A type by its word.
fn shape(definitions: &Map<String, Value>, word: &str) -> Value {
    if let Some(item) = word.strip_prefix("[]") {
        return json!({"type": "array", "items": shape(definitions, item)});
    }
    if let Some(item) = word.strip_prefix("{}") {
        return json!({"type": "object", "additionalProperties": shape(definitions, item)});
    }
    match word {
        "string" => json!({"type": "string"}),
        "bool" => json!({"type": "boolean"}),
        "raw" => json!({"type": "object"}),
        "int32" | "int64" => json!({"type": "integer", "format": word}),
        name => json!({"$ref": format!("{REF}{}", full_of(definitions, name))}),
    }
}
