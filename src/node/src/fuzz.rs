//! Doors for `tests/fuzz` to what reads the words of Pods and the lines of their logs.
//!
//! In: any bytes. Out: nothing, or a panic that says which promise was broken. Only with the feature `fuzz`; touches no
//! file and no network.

use k8s_openapi::api::core::v1::{ObjectFieldSelector, Pod, ResourceFieldSelector};
use serde_json::json;

use crate::container::{env, expand};
use crate::logs::line::Line;

/// A line of a log.
pub fn log_line(bytes: &[u8]) {
    if let Some(line) = Line::parse(bytes) {
        assert!(bytes.ends_with(line.text) && bytes.starts_with(line.stamp));
        let _ = line.time();
    }
}

/// Two lines of JSON: a field path, and resource, divisor and container of a resource field.
pub fn downward(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "web", "labels": {"a": "b", "x/y": "\"\n"}, "annotations": {"a": "é"}},
        "spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": "1500m", "memory": "1Gi"}, "requests": {"cpu": "1n"}}}]},
        "status": {"podIPs": [{"ip": "10.0.0.1"}]},
    }))
    .expect("is a pod");
    if let Some(Ok(path)) = lines.next().map(serde_json::from_slice::<String>) {
        let field = ObjectFieldSelector { api_version: None, field_path: path };
        let _ = env::field_value(&pod, &field);
    }
    let container = pod.spec.as_ref().and_then(|spec| spec.containers.first()).expect("has one");
    if let Some(Ok(field)) = lines.next().map(serde_json::from_slice::<ResourceFieldSelector>)
        && let Ok(text) = env::resource_value(
            &pod,
            container,
            &field,
            env::Allocatable { cpu_millis: 4000, memory: 1 << 33, ephemeral_storage: 1 << 33 },
        )
    {
        assert!(text.parse::<i64>().is_ok(), "{text}");
    }
}

/// A text with `$(VAR)`.
pub fn expansion(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let variables = [("A".to_owned(), "$(B)".to_owned()), ("B".to_owned(), "x".to_owned())];
    let expanded = expand::expand(text, &variables);
    // Values are put in as they are and not looked at again, so a text grows no more than each reference does.
    assert!(expanded.len() <= text.len() * 2);
    assert!(text.contains('$') || expanded == text);
}
