//! Whether a document of version 2 is one that clients can read.
//!
//! In: paths and definitions that another server wrote. Out: nothing, or the first place that is not what it must be.
//! What is looked at is what `kubectl` reads: one definition that it cannot read makes it give up on all of them.

use serde_json::{Map, Value};

const TYPES: [&str; 6] = ["object", "array", "string", "integer", "number", "boolean"];
const METHODS: [&str; 7] = ["get", "put", "post", "delete", "options", "head", "patch"];

/// What is wrong, and where.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {what}")]
pub struct ShapeFault {
    at: String,
    what: &'static str,
}

fn fault(at: &str, what: &'static str) -> ShapeFault {
    ShapeFault { at: at.to_owned(), what }
}

fn members<'a>(value: &'a Value, at: &str) -> Result<&'a Map<String, Value>, ShapeFault> {
    value.as_object().ok_or_else(|| fault(at, "must be an object"))
}

/// Checks definitions by name.
pub(super) fn definitions(all: &Map<String, Value>) -> Result<(), ShapeFault> {
    all.iter().try_for_each(|(name, definition)| schema(definition, name))
}

fn schema(value: &Value, at: &str) -> Result<(), ShapeFault> {
    let own = members(value, at)?;
    if let Some(reference) = own.get("$ref") {
        let to = reference.as_str().ok_or_else(|| fault(at, "$ref must be text"))?;
        return if to.starts_with("#/definitions/") { Ok(()) } else { Err(fault(at, "$ref must name a definition")) };
    }
    let kind = match own.get("type") {
        None => "",
        Some(Value::String(kind)) if TYPES.contains(&kind.as_str()) => kind,
        Some(_) => return Err(fault(at, "type must be one of the known types")),
    };
    for key in ["description", "format"] {
        if own.get(key).is_some_and(|text| !text.is_string()) {
            return Err(fault(at, "description and format must be text"));
        }
    }
    if let Some(required) = own.get("required")
        && !required.as_array().is_some_and(|names| names.iter().all(Value::is_string))
    {
        return Err(fault(at, "required must be a list of names"));
    }
    if let Some(properties) = own.get("properties") {
        for (name, property) in members(properties, at)? {
            schema(property, &format!("{at}.{name}"))?;
        }
        if kind != "object" && !kind.is_empty() {
            return Err(fault(at, "only an object has properties"));
        }
    }
    match own.get("items") {
        Some(item) => schema(item, &format!("{at}[]"))?,
        None if kind == "array" => return Err(fault(at, "an array must say of what")),
        None => {}
    }
    match own.get("additionalProperties") {
        None | Some(Value::Bool(_)) => Ok(()),
        Some(item) => schema(item, &format!("{at}[*]")),
    }
}

/// Checks path items by path.
pub(super) fn paths(all: &Map<String, Value>) -> Result<(), ShapeFault> {
    for (path, item) in all {
        let item = members(item, path)?;
        parameters(item, path)?;
        for method in METHODS {
            let Some(operation) = item.get(method) else { continue };
            let at = format!("{path} {method}");
            let operation = members(operation, &at)?;
            parameters(operation, &at)?;
            let responses = operation.get("responses").ok_or_else(|| fault(&at, "must say what it answers"))?;
            for response in members(responses, &at)?.values() {
                if let Some(answer) = members(response, &at)?.get("schema") {
                    schema(answer, &at)?;
                }
            }
        }
    }
    Ok(())
}

fn parameters(owner: &Map<String, Value>, at: &str) -> Result<(), ShapeFault> {
    let Some(list) = owner.get("parameters") else { return Ok(()) };
    for parameter in list.as_array().ok_or_else(|| fault(at, "parameters must be a list"))? {
        let parameter = members(parameter, at)?;
        if !["name", "in"].iter().all(|key| parameter.get(*key).is_some_and(Value::is_string)) {
            return Err(fault(at, "a parameter must have a name and a place"));
        }
        if let Some(body) = parameter.get("schema") {
            schema(body, at)?;
        }
    }
    Ok(())
}
