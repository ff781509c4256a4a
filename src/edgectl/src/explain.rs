//! `explain`: what a kind and its fields mean.
//!
//! In: the server's OpenAPI documents (version 3). Out: descriptions and fields as text. Never knows a kind by itself, so
//! that custom ones are explained as well.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::process::ExitCode;

use http::Method;
use serde_json::Value;

use crate::args::Explain;
use crate::error::Failure;
use crate::resource::{Catalogue, Resource};
use crate::session::Session;

/// Columns of a line of text.
const WIDTH: usize = 80;
/// Values of an enumeration that a field in a list shows.
const VALUES: usize = 4;
/// Fields within fields: JSON Schema of custom kinds may be this deep, and no deeper.
const DEEPEST: usize = 64;

/// Schemas that are looked at for one page: the largest kinds have some thousand fields.
const MOST: usize = 50_000;

/// Runs the verb.
pub async fn run(session: Session, args: Explain) -> Result<ExitCode, Failure> {
    let word = match args.words.as_slice() {
        [word] => word,
        [] => {
            return Err(Failure::said(
                "You must specify the type of resource to explain. Use \"edgectl api-resources\" for a complete list of supported resources.",
            ));
        }
        _ => return Err(Failure::said("We accept only this format: explain RESOURCE")),
    };
    if args.output != "plaintext" {
        return Err(Failure::said(format!("unrecognized format: {}; there is plaintext", args.output)));
    }
    let catalogue = session.catalogue().await?;
    let (resource, fields) = find(&catalogue, word, args.api_version.as_deref())?;
    let document = document(&session, &resource).await?;
    print!("{}", page(&document, &resource, &fields, args.recursive)?);
    Ok(ExitCode::SUCCESS)
}

/// The kind and the path of fields that `deployments.apps.spec.replicas` names: the longest name of a kind counts.
fn find(catalogue: &Catalogue, word: &str, api_version: Option<&str>) -> Result<(Resource, Vec<String>), Failure> {
    let parts: Vec<&str> = word.split('.').collect();
    let found = (1..=parts.len()).rev().find_map(|end| Some((catalogue.find(&parts[..end].join(".")).ok()?, end)));
    let (resource, end) = match found {
        Some(found) => found,
        None => (catalogue.find(parts[0])?, 1),
    };
    let resource = match api_version {
        None => resource,
        Some(version) => catalogue.of_version(version, &resource.plural).ok_or_else(|| {
            Failure::said(format!("couldn't find resource for \"{version}, Resource={}\"", resource.plural))
        })?,
    };
    let fields = parts[end..].iter().filter(|part| !part.is_empty()).map(|part| (*part).to_owned());
    Ok((resource.clone(), fields.collect()))
}

async fn document(session: &Session, resource: &Resource) -> Result<Value, Failure> {
    let ask = async |path: &str| -> Result<Value, Failure> {
        let body = session.client.call(Method::GET, path, None, Vec::new()).await?;
        let fault = |e| Failure::said(format!("cannot read the OpenAPI document {path}: {e}"));
        serde_json::from_slice(&body).map_err(fault)
    };
    let index = ask("/openapi/v3").await?;
    let name = match resource.group.as_str() {
        "" => format!("api/{}", resource.version),
        group => format!("apis/{group}/{}", resource.version),
    };
    match index["paths"][&name]["serverRelativeURL"].as_str() {
        Some(path) => ask(path).await,
        None => Err(Failure::said(format!("couldn't find OpenAPI of {}", resource.api_version()))),
    }
}

/// The whole text.
fn page(document: &Value, resource: &Resource, fields: &[String], recursive: bool) -> Result<String, Failure> {
    let is_meant = |schema: &&Value| {
        let kinds = schema["x-kubernetes-group-version-kind"].as_array();
        kinds.into_iter().flatten().any(|gvk| {
            gvk["group"].as_str().unwrap_or("") == resource.group
                && gvk["version"] == *resource.version
                && gvk["kind"] == *resource.kind
        })
    };
    let book = Book { document, left: Cell::new(MOST) };
    let schemas = document["components"]["schemas"].as_object();
    let mut schema = schemas.into_iter().flat_map(|map| map.values()).find(is_meant).ok_or_else(|| {
        Failure::said(format!("{} of {} is not in the OpenAPI schema", resource.kind, resource.api_version()))
    })?;
    let mut text = String::new();
    if !resource.group.is_empty() {
        let _ = writeln!(text, "GROUP:      {}", resource.group);
    }
    let _ = write!(text, "KIND:       {}\nVERSION:    {}\n\n", resource.kind, resource.version);
    for (i, name) in fields.iter().enumerate() {
        schema =
            book.property(schema, name, 0).ok_or_else(|| Failure::said(format!("field \"{name}\" does not exist")))?;
        if i + 1 == fields.len() {
            let _ = writeln!(text, "FIELD: {name} <{}>", book.type_of(schema, 0));
            let values = values(schema);
            if !values.is_empty() {
                let _ = write!(text, "ENUM:\n    {}", values.join("\n    "));
            }
            text.push_str("\n\n");
        }
    }
    text += "DESCRIPTION:\n";
    let mut words = String::new();
    book.describe(schema, &mut words, 0);
    text += &wrapped(if words.is_empty() { "<empty>" } else { &words }, 4);
    let mut list = String::new();
    book.list(schema, 1, recursive, &mut BTreeSet::new(), &mut list);
    if !list.is_empty() {
        text += "FIELDS:\n";
        text += &list;
    }
    text.push('\n');
    Ok(text)
}

/// A document whose references are followed.
struct Book<'a> {
    document: &'a Value,
    /// Schemas that may still be looked at: in a document that refers to itself many times over there is no end.
    left: Cell<usize>,
}

impl<'a> Book<'a> {
    fn resolved(&self, schema: &'a Value) -> &'a Value {
        let name = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
        name.and_then(|name| self.document["components"]["schemas"].get(name)).unwrap_or(schema)
    }

    /// Whether one more schema may be looked at.
    fn goes_on(&self, depth: usize) -> bool {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left > 0 && depth <= DEEPEST
    }

    /// The schemas that a schema is made of besides itself: alternatives, items, values.
    fn inner(&self, schema: &'a Value) -> Vec<&'a Value> {
        let mut inner: Vec<&Value> = schema["allOf"].as_array().into_iter().flatten().collect();
        inner.extend(schema.get("items"));
        inner.extend(schema.get("additionalProperties").filter(|values| values.is_object()));
        inner
    }

    fn property(&self, schema: &'a Value, name: &str, depth: usize) -> Option<&'a Value> {
        if !self.goes_on(depth) {
            return None;
        }
        let schema = self.resolved(schema);
        let own = schema["properties"].get(name);
        own.or_else(|| self.inner(schema).into_iter().find_map(|inner| self.property(inner, name, depth + 1)))
    }

    fn describe(&self, schema: &'a Value, into: &mut String, depth: usize) {
        if !self.goes_on(depth) {
            return;
        }
        let schema = self.resolved(schema);
        if let Some(words) = schema["description"].as_str() {
            into.push_str(words);
            into.push('\n');
        }
        self.inner(schema).into_iter().for_each(|inner| self.describe(inner, into, depth + 1));
    }

    /// `string`, `[]Container`, `map[string]string`, `PodSpec`.
    fn type_of(&self, schema: &'a Value, depth: usize) -> String {
        if depth > DEEPEST {
            return "Object".to_owned();
        }
        if let Some(items) = schema.get("items") {
            return format!("[]{}", self.type_of(items, depth + 1));
        }
        if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
            return format!("map[string]{}", self.type_of(values, depth + 1));
        }
        if let (Some([only]), None) = (schema["allOf"].as_array().map(Vec::as_slice), schema.get("properties")) {
            return self.type_of(only, depth + 1);
        }
        let of = |schema: &Value| schema["type"].as_str().unwrap_or("object").to_owned();
        let (plain, reference) = (of(self.resolved(schema)), schema["$ref"].as_str());
        match (plain.as_str(), reference) {
            ("object", Some(reference)) => reference.rsplit(['/', '.']).next().unwrap_or("Object").to_owned(),
            ("object", None) => "Object".to_owned(),
            _ => plain,
        }
    }

    /// The fields of a schema; with `recursive` their names and types alone, and those of the fields below.
    fn list(&self, schema: &'a Value, level: usize, recursive: bool, above: &mut BTreeSet<&'a str>, into: &mut String) {
        let reference = schema["$ref"].as_str();
        if !self.goes_on(level) || reference.is_some_and(|reference| !above.insert(reference)) {
            return;
        }
        let resolved = self.resolved(schema);
        let required = |name: &str| resolved["required"].as_array().into_iter().flatten().any(|field| field == name);
        for (name, field) in resolved["properties"].as_object().into_iter().flatten() {
            let indent = "  ".repeat(level);
            let _ = write!(into, "{indent}{name}\t<{}>", self.type_of(field, 0));
            if required(name) {
                into.push_str(" -required-");
            }
            let mut values = values(field);
            if !values.is_empty() {
                let more = if values.len() > VALUES { ", ...." } else { "" };
                values.truncate(VALUES);
                let _ = write!(into, "\n{indent}enum: {}{more}", values.join(", "));
            }
            into.push('\n');
            if recursive {
                self.list(field, level + 1, true, above, into);
            } else {
                into.push_str(&wrapped(field["description"].as_str().unwrap_or("<no description>"), 2 * level + 2));
                into.push('\n');
            }
        }
        for inner in self.inner(resolved) {
            self.list(inner, level, recursive, above, into);
        }
        if let Some(reference) = reference {
            above.remove(reference);
        }
    }
}

fn values(schema: &Value) -> Vec<String> {
    let shown = |value: &Value| match value {
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    schema["enum"].as_array().into_iter().flatten().map(shown).collect()
}

/// Words in lines of at most [`WIDTH`] columns with their indent; line breaks stay.
fn wrapped(text: &str, indent: usize) -> String {
    let room = WIDTH.saturating_sub(indent).max(20);
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > room {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines.iter().map(|line| format!("{}{line}\n", " ".repeat(indent))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn book() -> Value {
        json!({"components": {"schemas": {
            "a.v1.Kettle": {"description": "Kettle boils.", "type": "object", "required": ["spec"],
                "x-kubernetes-group-version-kind": [{"group": "a", "version": "v1", "kind": "Kettle"}],
                "properties": {
                    "kind": {"type": "string", "description": "Its kind."},
                    "spec": {"allOf": [{"$ref": "#/components/schemas/a.v1.Spec"}], "description": "What is wanted."}}},
            "a.v1.Spec": {"description": "Spec is what is wanted.", "type": "object", "properties": {
                "cups": {"type": "array", "items": {"$ref": "#/components/schemas/a.v1.Cup"}},
                "heat": {"type": "string", "enum": ["", "low", "mid", "high", "full"]},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}}}},
            "a.v1.Cup": {"type": "object", "description": "A cup.", "properties": {
                "inner": {"$ref": "#/components/schemas/a.v1.Cup"},
                "size": {"$ref": "#/components/schemas/Quantity"}}},
            "Quantity": {"type": "string", "description": "How much."},
        }}})
    }

    #[track_caller]
    fn check(path: &[&str], recursive: bool, expected: &str) {
        let resource = Resource {
            group: "a".to_owned(),
            version: "v1".to_owned(),
            kind: "Kettle".to_owned(),
            ..Resource::default()
        };
        let path: Vec<String> = path.iter().map(|name| (*name).to_owned()).collect();
        let said = page(&book(), &resource, &path, recursive).unwrap_or_else(|e| e.to_string());
        assert_eq!(
            said.strip_prefix("GROUP:      a\nKIND:       Kettle\nVERSION:    v1\n\n").unwrap_or(&said),
            expected
        );
    }

    #[test]
    fn a_kind_is_explained_with_its_fields() {
        check(
            &[],
            false,
            "DESCRIPTION:\n    Kettle boils.\n    \nFIELDS:\n  kind\t<string>\n    Its kind.\n\n  spec\t<Spec> -required-\n    What is wanted.\n\n\n",
        );
    }

    #[test]
    fn a_field_is_found_through_references_lists_and_maps() {
        check(&["spec", "cups", "size"], false, "FIELD: size <string>\n\n\nDESCRIPTION:\n    How much.\n    \n\n");
        check(
            &["spec", "heat"],
            false,
            "FIELD: heat <string>\nENUM:\n    \"\"\n    low\n    mid\n    high\n    full\n\nDESCRIPTION:\n    <empty>\n\n",
        );
        check(&["spec", "nothing"], false, "field \"nothing\" does not exist");
    }

    #[test]
    fn all_fields_below_are_listed_once_around() {
        check(
            &["spec"],
            true,
            "FIELD: spec <Spec>\n\n\nDESCRIPTION:\n    What is wanted.\n    Spec is what is wanted.\n    \nFIELDS:\n  cups\t<[]Cup>\n    inner\t<Cup>\n    size\t<string>\n  heat\t<string>\n  enum: \"\", low, mid, high, ....\n  labels\t<map[string]string>\n\n",
        );
    }

    #[test]
    fn a_document_that_doubles_at_each_step_has_an_end() {
        let mut schemas = serde_json::Map::new();
        for i in 0..60 {
            let next = json!({"$ref": format!("#/components/schemas/s{}", i + 1)});
            schemas.insert(format!("s{i}"), json!({"description": "d", "allOf": [next, next]}));
        }
        let kind = json!([{"group": "a", "version": "v1", "kind": "Kettle"}]);
        schemas.insert(
            "top".to_owned(),
            json!({"x-kubernetes-group-version-kind": kind,
            "properties": {"a": {"$ref": "#/components/schemas/s0"}}}),
        );
        let document = json!({"components": {"schemas": schemas}});
        let resource = Resource {
            group: "a".to_owned(),
            version: "v1".to_owned(),
            kind: "Kettle".to_owned(),
            ..Resource::default()
        };
        assert!(page(&document, &resource, &["a".to_owned(), "nothing".to_owned()], false).is_err());
        page(&document, &resource, &["a".to_owned()], true).unwrap();
    }

    #[test]
    fn long_lines_are_wrapped() {
        let text = wrapped(&"word ".repeat(20), 4);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH && line.starts_with("    word")), "{text}");
        assert_eq!(text.lines().count(), 2);
    }
}
