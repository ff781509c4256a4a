//! Paths of fields within a schema, as selectable fields name them: `.spec.color`, `.spec['a.b']`.
//!
//! In: a schema and a path. Out: its steps and the schema they lead to, or why they lead nowhere.

use serde_json::Value;

/// Follows a path. Lists are not entered.
pub(super) fn resolve<'v>(schema: &'v Value, path: &str) -> Result<(Vec<String>, &'v Value), String> {
    let steps = steps(path)?;
    let mut at = schema;
    let mut gone = String::new();
    for step in &steps {
        gone.push('.');
        gone.push_str(step);
        let below = at.get("properties").and_then(|properties| properties.get(step));
        let other = at.get("additionalProperties").filter(|other| other.is_object());
        at = below.or(other).ok_or_else(|| format!("does not refer to a valid field: {gone}"))?;
    }
    Ok((steps, at))
}

fn steps(path: &str) -> Result<Vec<String>, String> {
    if path.is_empty() {
        return Err("must not be empty".to_owned());
    }
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("['") {
            let Some(end) = after.find("']") else { return Err("unmatched bracket".to_owned()) };
            steps.push(after[..end].replace("\\'", "'"));
            rest = &after[end + 2..];
        } else if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let name = &after[..end];
            let mut letters = name.chars();
            let is_name = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
                && letters.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
            if !is_name {
                return Err(format!("expected a field name after a dot in {path:?}"));
            }
            steps.push(name.to_owned());
            rest = &after[end..];
        } else if rest.starts_with('[') {
            return Err("array notation is not allowed".to_owned());
        } else {
            return Err("expected [ or .".to_owned());
        }
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_lead_to_schemas() {
        let schema = json!({"properties": {"spec": {"properties": {"a.b": {"type": "string"}, "l": {"items": {}}},
            "additionalProperties": {"type": "integer"}}}});
        let kind = |path: &str| resolve(&schema, path).map(|(_, found)| found["type"].clone());
        assert_eq!(kind(".spec['a.b']"), Ok(json!("string")));
        assert_eq!(kind(".spec.other"), Ok(json!("integer")));
        assert!(kind(".spec.l[0]").is_err() && kind("spec").is_err() && kind(".nope").is_err() && kind(".").is_err());
    }
}
