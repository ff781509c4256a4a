//! What of an applied configuration is not of its schema's types.
//!
//! In: the schema of a built-in kind and a configuration. Out: everything that does not fit, each with its path, in the
//! words of Kubernetes' typed values. Quantities, times and what may be a number or a text are judged elsewhere. Changes
//! nothing.

use super::path::Step;
use super::typed::step_of;
use crate::schema::{ListType, Node, Scalar, Shape, Struct};
use serde_json::Value;

/// All faults as one text; `None` if there is none.
pub(super) fn text(schema: Struct<'_>, config: &Value) -> Option<String> {
    let mut walk = Walk::default();
    walk.fields(schema, config);
    match walk.found.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("errors:\n  {}", many.join("\n  "))),
    }
}

#[derive(Default)]
struct Walk<'v> {
    path: Vec<Step<'v>>,
    found: Vec<String>,
}

impl<'v> Walk<'v> {
    fn say(&mut self, what: &str) {
        let mut path = String::new();
        self.path.iter().for_each(|step| step.describe(&mut path));
        self.found.push(if path.is_empty() { what.to_owned() } else { format!("{path}: {what}") });
    }

    fn fields(&mut self, own: Struct<'_>, value: &'v Value) {
        let Value::Object(map) = value else { return self.say(&format!("expected map, got &{{{}}}", plain(value))) };
        for (name, value) in map {
            self.path.push(Step::field(name));
            match own.field(name) {
                Some(field) => self.node(field.node(), field.list_type(), value),
                None if own.keeps_unknown() => {}
                None => self.say("field not declared in schema"),
            }
            self.path.pop();
        }
    }

    fn node(&mut self, node: Node<'_>, list: ListType<'_>, value: &'v Value) {
        if value.is_null() {
            return;
        }
        match node.shape() {
            Shape::Struct(own) => self.fields(own, value),
            Shape::Map(item) => {
                let Value::Object(map) = value else {
                    return self.say(&format!("expected map, got &{{{}}}", plain(value)));
                };
                for (key, value) in map {
                    self.path.push(Step::field(key));
                    self.node(item, item.list_type(), value);
                    self.path.pop();
                }
            }
            Shape::List(item) => {
                let Value::Array(items) = value else {
                    return self.say(&format!("expected list, got &{{{}}}", plain(value)));
                };
                for (index, value) in (0..).zip(items) {
                    let keyed = matches!(list, ListType::Map(_)).then(|| step_of(value, item, list).ok()).flatten();
                    self.path.push(keyed.unwrap_or(Step::Index(index)));
                    self.node(item, item.list_type(), value);
                    self.path.pop();
                }
            }
            Shape::Scalar(scalar) => match (scalar, value) {
                (Scalar::String | Scalar::Bytes, Value::String(_)) | (Scalar::Bool, Value::Bool(_)) => {}
                (Scalar::Int32 | Scalar::Int64 | Scalar::Double, Value::Number(_)) => {}
                (Scalar::String | Scalar::Bytes, _) => {
                    self.say(&format!("expected string, got &value.valueUnstructured{{Value:{}}}", source(value)));
                }
                (Scalar::Bool, _) => self.say(&format!("expected boolean, got &{{{}}}", plain(value))),
                (Scalar::Int32 | Scalar::Int64 | Scalar::Double, _) => {
                    self.say(&format!("expected numeric (int or float), got {}", type_of(value)));
                }
                (Scalar::Quantity | Scalar::IntOrString | Scalar::Time | Scalar::MicroTime, _) => {}
            },
            Shape::Raw | Shape::Any | Shape::Deduced => {}
        }
    }
}

/// A value as Go prints it.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(plain).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let mut pairs: Vec<String> = map.iter().map(|(key, value)| format!("{key}:{}", plain(value))).collect();
            pairs.sort_unstable();
            format!("map[{}]", pairs.join(" "))
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// A value as Go writes it in a program.
fn source(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".to_owned(),
        Value::Array(items) => {
            format!("[]interface {{}}{{{}}}", items.iter().map(source).collect::<Vec<_>>().join(", "))
        }
        Value::Object(map) => {
            let mut pairs: Vec<String> = map.iter().map(|(key, value)| format!("{key:?}:{}", source(value))).collect();
            pairs.sort_unstable();
            format!("map[string]interface {{}}{{{}}}", pairs.join(", "))
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

/// A value's type in Go.
pub fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Gvk;
    use serde_json::json;

    #[track_caller]
    fn check(spec: Value, expected: Option<&str>) {
        let schema = crate::schema::of(&Gvk::new("apps", "v1", "Deployment")).unwrap();
        let config = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec});
        assert_eq!(text(schema, &config).as_deref(), expected);
    }

    #[test]
    fn each_fault_has_its_path() {
        check(json!({"replicas": 2, "paused": true, "minReadySeconds": null}), None);
        check(json!({"replicas": "x"}), Some(".spec.replicas: expected numeric (int or float), got string"));
        check(json!({"paused": "yes"}), Some(".spec.paused: expected boolean, got &{yes}"));
        check(json!([1]), Some(".spec: expected map, got &{[1]}"));
        let containers = |container: Value| json!({"template": {"spec": {"containers": [container]}}});
        check(
            containers(json!({"name": "c", "image": 7, "ports": [{"containerPort": "many"}], "odd": 1})),
            Some(
                "errors:\n  \
                 .spec.template.spec.containers[name=\"c\"].image: expected string, got &value.valueUnstructured{Value:7}\n  \
                 .spec.template.spec.containers[name=\"c\"].odd: field not declared in schema\n  \
                 .spec.template.spec.containers[name=\"c\"].ports[containerPort=\"many\",protocol=\"TCP\"].containerPort: \
                 expected numeric (int or float), got string",
            ),
        );
        check(
            containers(json!({"name": "c", "args": {"b": 1, "a": "x"}})),
            Some(".spec.template.spec.containers[name=\"c\"].args: expected list, got &{map[a:x b:1]}"),
        );
        check(
            containers(json!({"name": "c", "args": ["a", ["b"]]})),
            Some(
                ".spec.template.spec.containers[name=\"c\"].args[1]: expected string, got \
                 &value.valueUnstructured{Value:[]interface {}{\"b\"}}",
            ),
        );
        check(
            json!({"template": {"spec": {"containers": "c"}}}),
            Some(".spec.template.spec.containers: expected list, got &{c}"),
        );
    }
}
