//! Variables of containers.
//!
//! In: entries of `env` and `envFrom`, their container, and the pod it is in. Out: lines. Never looks into a secret.

use kedge_api::quantity::Quantity;
use serde_json::Value;

use super::values::{flag, words};

/// The lines of one variable: its value, or where it comes from.
pub fn variable(entry: &Value, container: &Value, pod: Option<&Value>) -> Vec<String> {
    let (name, from) = (words(&entry["name"]), &entry["valueFrom"]);
    if from.is_null() {
        let value = words(&entry["value"]);
        let told = |(i, line): (usize, &str)| if i == 0 { format!("{name}:\t{line}") } else { format!("\t{line}") };
        return value.split('\n').enumerate().map(told).collect();
    }
    let is = |kind: &str| from.get(kind).filter(|of| !of.is_null());
    let key = |of: &Value, what: &str| {
        let (key, object, optional) = (words(&of["key"]), words(&of["name"]), flag(&of["optional"]));
        format!("{name}:\t<set to the key '{key}' {what} '{object}'>\tOptional: {optional}")
    };
    let line = if let Some(of) = is("fieldRef") {
        let path = words(&of["fieldPath"]);
        let value = pod.map(|pod| field(pod, &path)).unwrap_or_default();
        format!("{name}:\t{value} ({}:{path})", words(&of["apiVersion"]))
    } else if let Some(of) = is("resourceFieldRef") {
        format!("{name}:\t{} ({})", resource(of, container), words(&of["resource"]))
    } else if let Some(of) = is("secretKeyRef") {
        key(of, "in secret")
    } else if let Some(of) = is("configMapKeyRef") {
        key(of, "of config map")
    } else {
        return Vec::new();
    };
    vec![line]
}

/// The value of a field of the pod, where kubectl tells it.
fn field(pod: &Value, path: &str) -> String {
    match path {
        "metadata.name" | "metadata.namespace" => words(&pod["metadata"][path.trim_start_matches("metadata.")]),
        _ => String::new(),
    }
}

/// What a container gets of a resource, in the units that are asked for, rounded up.
fn resource(of: &Value, container: &Value) -> String {
    let resource = words(&of["resource"]);
    let Some((half, name)) = resource.split_once('.').filter(|(half, _)| matches!(*half, "limits" | "requests")) else {
        return String::new();
    };
    if !matches!(name, "cpu" | "memory" | "ephemeral-storage") && !name.starts_with("hugepages-") {
        return String::new();
    }
    let unit = |quantity: &Quantity| if name == "cpu" { quantity.milli_value() } else { quantity.value() };
    let given = Quantity::from_json(&container["resources"][half][name]).unwrap_or(Quantity::ZERO);
    let divisor = Quantity::from_json(&of["divisor"]).map_or(0, |divisor| unit(&divisor));
    let divisor = if divisor == 0 { unit(&Quantity::whole(1, given.format())) } else { divisor };
    let count = i128::from(unit(&given)).checked_div(i128::from(divisor)).unwrap_or(0);
    let count = count + i128::from(count * i128::from(divisor) < i128::from(unit(&given)));
    match resource.as_str() {
        "limits.cpu" | "limits.memory" if count == 0 => "node allocatable".to_owned(),
        _ => count.to_string(),
    }
}

/// Where several variables come from.
pub fn source(entry: &Value) -> String {
    let is = |kind: &str| entry.get(kind).filter(|of| !of.is_null());
    let (of, kind) = match (is("configMapRef"), is("secretRef")) {
        (Some(of), _) => (of, "ConfigMap"),
        (None, Some(of)) => (of, "Secret"),
        (None, None) => (&Value::Null, ""),
    };
    let prefix = words(&entry["prefix"]);
    let prefix = if prefix.is_empty() { prefix } else { format!(" with prefix '{prefix}'") };
    format!("{}\t{kind}{prefix}\tOptional: {}", words(&of["name"]), flag(&of["optional"]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn variables_say_where_they_come_from() {
        let (key, pod) = (json!({"name": "n", "key": "k"}), json!({"metadata": {"name": "p", "uid": "u"}}));
        let container = json!({"resources": {"limits": {"memory": "100Mi"}, "requests": {"cpu": "1500m"}}});
        let of = |field: &str, of: Value| json!({"name": "A", "valueFrom": {field: of}});
        let path = |path: &str| of("fieldRef", json!({"apiVersion": "v1", "fieldPath": path}));
        let resource =
            |name: &str, divisor: &str| of("resourceFieldRef", json!({"resource": name, "divisor": divisor}));
        for (entry, expected) in [
            (json!({"name": "A", "value": "x"}), "A:\tx"),
            (json!({"name": "A", "value": "x\ny"}), "A:\tx\n\ty"),
            (json!({"name": "A"}), "A:\t"),
            (of("secretKeyRef", key.clone()), "A:\t<set to the key 'k' in secret 'n'>\tOptional: false"),
            (of("configMapKeyRef", key), "A:\t<set to the key 'k' of config map 'n'>\tOptional: false"),
            (path("metadata.name"), "A:\tp (v1:metadata.name)"),
            (path("metadata.uid"), "A:\t (v1:metadata.uid)"),
            (resource("limits.cpu", "0"), "A:\tnode allocatable (limits.cpu)"),
            (resource("limits.memory", "1Gi"), "A:\t1 (limits.memory)"),
            (resource("requests.cpu", "0"), "A:\t2 (requests.cpu)"),
            (resource("requests.cpu", "1m"), "A:\t1500 (requests.cpu)"),
            (resource("other", "0"), "A:\t (other)"),
            (of("fileKeyRef", json!({})), ""),
        ] {
            assert_eq!(variable(&entry, &container, Some(&pod)).join("\n"), expected);
        }
        assert_eq!(variable(&path("metadata.name"), &container, None), ["A:\t (v1:metadata.name)"]);
        assert_eq!(source(&json!({"configMapRef": {"name": "c"}})), "c\tConfigMap\tOptional: false");
        let prefixed = json!({"prefix": "X_", "secretRef": {"name": "s", "optional": true}});
        assert_eq!(source(&prefixed), "s\tSecret with prefix 'X_'\tOptional: true");
    }
}
