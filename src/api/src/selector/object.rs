//! The object form of label selectors: `matchLabels` and `matchExpressions`.
//!
//! In: JSON. Out: [`LabelSelector`], or the faults of each field. An absent selector matches nothing, an empty
//! one everything.

use serde_json::Value;

use super::{LabelSelector, Op, Requirement};
use crate::field::{FieldError, Path};
use crate::meta::{list_at, text};
use crate::name;

impl LabelSelector {
    /// Reads a selector object; `None` or null matches nothing.
    pub fn from_object(object: Option<&Value>, path: &Path<'_>) -> Result<LabelSelector, Vec<FieldError>> {
        let Some(object) = object.filter(|o| !o.is_null()) else { return Ok(LabelSelector::nothing()) };
        let mut errors = Vec::new();
        let mut requirements = Vec::new();
        let mut push = |made: Result<Requirement, Vec<FieldError>>| match made {
            Ok(requirement) => requirements.push(requirement),
            Err(faults) => errors.extend(faults),
        };
        let labels = path.child("matchLabels");
        for (key, value) in object.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            push(equality(key, value.as_str().unwrap_or(""), &labels));
        }
        let expressions = path.child("matchExpressions");
        for (i, expression) in list_at(object, &["matchExpressions"]).iter().enumerate() {
            push(requirement(expression, &expressions.index(i)));
        }
        if errors.is_empty() { Ok(LabelSelector::of(requirements)) } else { Err(errors) }
    }
}

fn equality(key: &str, value: &str, path: &Path<'_>) -> Result<Requirement, Vec<FieldError>> {
    let mut errors = Vec::new();
    if let Err(faults) = name::check_qualified(key) {
        errors.extend(faults.into_iter().map(|f| FieldError::invalid(path, key, f)));
    }
    if let Err(faults) = name::check_label_value(value) {
        errors.extend(faults.into_iter().map(|f| FieldError::invalid(path, value, f)));
    }
    if errors.is_empty() { Requirement::new(key, Op::Equals, vec![value.into()], Some(path)) } else { Err(errors) }
}

/// One entry of `matchExpressions`.
fn requirement(expression: &Value, path: &Path<'_>) -> Result<Requirement, Vec<FieldError>> {
    let (key, operator) = (text(expression, "key"), text(expression, "operator"));
    let values: Vec<String> =
        list_at(expression, &["values"]).iter().filter_map(Value::as_str).map(str::to_string).collect();
    let at_values = path.child("values");
    let mut errors = Vec::new();
    let op = match operator {
        "In" | "NotIn" if values.is_empty() => {
            errors.push(FieldError::required(&at_values, "must be specified when `operator` is 'In' or 'NotIn'"));
            None
        }
        "In" => Some(Op::In),
        "NotIn" => Some(Op::NotIn),
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            errors.push(FieldError::forbidden(
                &at_values,
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            ));
            None
        }
        "Exists" => Some(Op::Exists),
        "DoesNotExist" => Some(Op::DoesNotExist),
        other => {
            errors.push(FieldError::invalid(&path.child("operator"), other, "not a valid selector operator"));
            None
        }
    };
    if let Err(faults) = name::check_qualified(key) {
        errors.extend(faults.into_iter().map(|f| FieldError::invalid(&path.child("key"), key, f)));
    }
    for (i, value) in values.iter().enumerate() {
        if let Err(faults) = name::check_label_value(value) {
            let place = at_values.index(i);
            errors.extend(faults.into_iter().map(|f| FieldError::invalid(&place, value.as_str(), f)));
        }
    }
    match op {
        Some(op) if errors.is_empty() => Requirement::new(key, op, values, Some(path)),
        _ => Err(errors),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(object: Value, expected: &[&str]) {
        let path = Path::root("spec");
        let texts = match LabelSelector::from_object(Some(&object), &path.child("selector")) {
            Ok(selector) => vec![selector.to_string()],
            Err(errors) => errors.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(texts, expected);
    }

    #[test]
    fn both_parts_become_requirements() {
        check(
            json!({"matchLabels": {"b": "1"}, "matchExpressions": [
                {"key": "a", "operator": "In", "values": ["y", "x"]},
                {"key": "c", "operator": "DoesNotExist"}]}),
            &["a in (x,y),b=1,!c"],
        );
        check(json!({}), &[""]);
    }

    #[test]
    fn absent_matches_nothing_and_empty_everything() {
        let path = Path::root("selector");
        let labels: [(&str, &str); 0] = [];
        assert!(!LabelSelector::from_object(None, &path).unwrap().matches(&labels[..]));
        assert!(LabelSelector::from_object(Some(&json!({})), &path).unwrap().matches(&labels[..]));
    }

    #[test]
    fn faults_have_places() {
        check(
            json!({"matchExpressions": [{"key": "a", "operator": "In"}, {"key": "b", "operator": "Exists", "values": ["x"]},
                {"key": "c", "operator": "Is"}]}),
            &[
                "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
                "spec.selector.matchExpressions[1].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                "spec.selector.matchExpressions[2].operator: Invalid value: \"Is\": not a valid selector operator",
            ],
        );
    }
}
