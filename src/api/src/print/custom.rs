//! Tables of custom kinds, from the columns that their definition gives.
//!
//! In: `additionalPrinterColumns` and objects. Out: columns and cells. Broken paths give empty cells.

mod path;

use std::time::SystemTime;

use serde_json::{Value, json};

use super::text;
use crate::Object;
use crate::clock;
use crate::meta::{self, list_at};

pub use path::{Path, PathError};

/// One column of a definition.
#[derive(Clone, Debug)]
pub struct CustomColumn {
    /// Heading.
    pub name: String,
    /// OpenAPI type of the cells, or `date`.
    pub kind: String,
    /// OpenAPI format.
    pub format: String,
    /// What it shows.
    pub description: String,
    /// 0 is always shown.
    pub priority: i64,
    path: Option<Path>,
}

/// The columns of one version of a definition (`additionalPrinterColumns`), the name's left out.
/// Without any there is the age.
pub fn columns(additional: &[Value]) -> Vec<CustomColumn> {
    if additional.is_empty() {
        let age = json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp",
            "description": super::column::age().description});
        return vec![column(&age)];
    }
    additional.iter().map(column).collect()
}

fn column(value: &Value) -> CustomColumn {
    let text = |key: &str| meta::text(value, key).to_string();
    CustomColumn {
        name: text("name"),
        kind: text("type"),
        format: text("format"),
        description: text("description"),
        priority: meta::int_at(value, &["priority"]).unwrap_or(0),
        path: Path::parse(meta::text(value, "jsonPath")).ok(),
    }
}

/// The `columnDefinitions` of a Table, the name first.
pub fn column_definitions(columns: &[CustomColumn]) -> Value {
    let mut list = vec![super::column::name().to_json()];
    list.extend(columns.iter().map(|column| {
        json!({
            "name": column.name,
            "type": column.kind,
            "format": column.format,
            "description": column.description,
            "priority": column.priority,
        })
    }));
    list.into()
}

/// The cells of one object, the name first.
pub fn cells(columns: &[CustomColumn], object: &Object, now: SystemTime) -> Vec<Value> {
    let mut cells = vec![Value::from(meta::name(object))];
    cells.extend(columns.iter().map(|column| cell(column, object, now)));
    cells
}

fn cell(column: &CustomColumn, object: &Object, now: SystemTime) -> Value {
    let found = column.path.as_ref().and_then(|path| path.find(object).into_iter().next());
    let Some(value) = found.filter(|v| !v.is_null()) else { return Value::Null };
    match &*column.kind {
        "integer" => value.as_i64().or_else(|| value.as_f64().map(|f| f as i64)).map_or(Value::Null, Value::from),
        "number" if value.is_number() => value.clone(),
        "boolean" if value.is_boolean() => value.clone(),
        "date" => match value.as_str().and_then(|time| clock::seconds_since(now, time)) {
            Some(seconds) => clock::human(seconds).into(),
            None => "<invalid>".into(),
        },
        "string" => text::scalar(Some(value), &value.to_string()).into(),
        _ => Value::Null,
    }
}

/// Columns of the definition's version of that name.
pub fn columns_of(definition: &Object, version: &str) -> Vec<CustomColumn> {
    let versions = list_at(definition, &["spec", "versions"]);
    let found = versions.iter().find(|v| meta::text(v, "name") == version);
    columns(found.map_or(&[], |v| list_at(v, &["additionalPrinterColumns"])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn cells_have_the_type_that_the_column_says() {
        let definition = json!({"spec": {"versions": [{"name": "v1", "additionalPrinterColumns": [
            {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
            {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status", "priority": 1},
            {"name": "Since", "type": "date", "jsonPath": ".status.since"},
            {"name": "Tags", "type": "string", "jsonPath": ".spec.tags"},
            {"name": "On", "type": "boolean", "jsonPath": ".spec.on"},
            {"name": "Broken", "type": "string", "jsonPath": ".a["}]}]}});
        let columns = columns_of(&definition, "v1");
        let object = json!({"metadata": {"name": "x"}, "spec": {"size": 3, "tags": ["a"], "on": true},
            "status": {"since": "1970-01-01T00:00:00Z", "conditions": [{"type": "Other"}, {"type": "Ready", "status": "True"}]}});
        let now = UNIX_EPOCH + Duration::from_secs(200);
        assert_eq!(Value::from(cells(&columns, &object, now)), json!(["x", 3, "True", "3m20s", "[\"a\"]", true, null]));
        assert_eq!(column_definitions(&columns)[2]["priority"], 1);
    }

    #[test]
    fn without_columns_there_is_an_age() {
        let columns = columns_of(&json!({}), "v1");
        assert_eq!(columns.len(), 1);
        let object = json!({"metadata": {"name": "x", "creationTimestamp": "1970-01-01T00:00:00Z"}});
        assert_eq!(Value::from(cells(&columns, &object, UNIX_EPOCH)), json!(["x", "0s"]));
    }
}
