//! Rows: a container's words and the variables that come of them.

use super::*;
use serde_json::json;

fn run(container: Value) -> Result<Vec<(String, String)>, Reason> {
    let mut container = container;
    container["name"] = json!("a");
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"app": "web"}},
        "spec": {"nodeName": "node-1", "serviceAccountName": "sa", "containers": [container]},
        "status": {"hostIP": "192.168.0.1", "podIP": "10.0.0.5", "podIPs": [{"ip": "10.0.0.5"}, {"ip": "fd00::5"}]}
    }))
    .unwrap();
    let mut sources = Sources::new();
    let mut add = |kind, name: &str, object| {
        sources.insert(SourceRef { kind, name: name.into() }, object);
    };
    add(Kind::ConfigMap, "cm", Some(json!({"data": {"k": "v", "other": "w"}, "binaryData": {"b": "AAE="}})));
    add(Kind::Secret, "s", Some(json!({"data": {"password": "aHVudGVyMg=="}})));
    add(Kind::ConfigMap, "gone", None);
    let context = Context {
        pod: &pod,
        sources: &sources,
        services: vec![("SVC_SERVICE_HOST".into(), "10.96.0.1".into())],
        allocatable: Allocatable { cpu_millis: 2000, memory: 4 << 30, ephemeral_storage: 0 },
    };
    let container = &pod.spec.as_ref().unwrap().containers[0];
    environment(container, &["PATH=/bin".into(), "FROM_IMAGE=1".into()], &context)
}

#[track_caller]
fn check(container: Value, name: &str, want: Option<&str>) {
    let env = run(container).unwrap();
    let found: Vec<_> = env.iter().filter(|(known, _)| known == name).collect();
    assert!(found.len() <= 1, "{name} stands twice");
    assert_eq!(found.first().map(|(_, value)| value.as_str()), want, "{name}");
}

#[track_caller]
fn refused(container: Value, want: &str) {
    let reason = run(container).unwrap_err();
    assert_eq!((reason.reason.as_str(), reason.message.as_str()), ("CreateContainerConfigError", want));
}

fn from(key: &str, body: Value) -> Value {
    json!({"env": [{"name": "X", "valueFrom": {key: body}}]})
}

#[test]
fn values_and_references_to_earlier_values() {
    let env = json!({"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)$(SVC_SERVICE_HOST)$(C)"}, {"name": "PATH", "value": "/x"}]});
    check(env.clone(), "B", Some("110.96.0.1$(C)"));
    check(env.clone(), "PATH", Some("/x"));
    check(env.clone(), "FROM_IMAGE", Some("1"));
    check(env, "HOSTNAME", Some("p"));
}

#[test]
fn fields_of_the_pod() {
    for (path, want) in [
        ("metadata.name", "p"),
        ("metadata.namespace", "n"),
        ("metadata.uid", "u"),
        ("metadata.labels['app']", "web"),
        ("metadata.annotations['none']", ""),
        ("spec.nodeName", "node-1"),
        ("spec.serviceAccountName", "sa"),
        ("status.hostIP", "192.168.0.1"),
        ("status.podIP", "10.0.0.5"),
        ("status.podIPs", "10.0.0.5,fd00::5"),
    ] {
        check(from("fieldRef", json!({"fieldPath": path})), "X", Some(want));
    }
}

#[test]
fn requests_and_limits() {
    let with = |resource: &str, divisor: &str| {
        let mut container = from("resourceFieldRef", json!({"resource": resource, "divisor": divisor}));
        container["resources"] = json!({"limits": {"memory": "64Mi"}, "requests": {"cpu": "250m"}});
        container
    };
    check(with("limits.memory", "1Mi"), "X", Some("64"));
    check(with("limits.cpu", "1"), "X", Some("2"));
    check(with("requests.cpu", "1m"), "X", Some("250"));
    check(with("requests.cpu", "0"), "X", Some("1"));
    check(with("requests.memory", "1"), "X", Some("67108864"));
}

#[test]
fn config_maps_and_secrets() {
    check(from("configMapKeyRef", json!({"name": "cm", "key": "k"})), "X", Some("v"));
    check(from("secretKeyRef", json!({"name": "s", "key": "password"})), "X", Some("hunter2"));
    check(from("configMapKeyRef", json!({"name": "gone", "key": "k", "optional": true})), "X", None);
    check(from("configMapKeyRef", json!({"name": "cm", "key": "no", "optional": true})), "X", None);
    check(json!({"envFrom": [{"prefix": "P_", "configMapRef": {"name": "cm"}}]}), "P_other", Some("w"));
    check(json!({"envFrom": [{"secretRef": {"name": "s"}}]}), "password", Some("hunter2"));
    refused(from("configMapKeyRef", json!({"name": "gone", "key": "k"})), "configmap \"gone\" not found");
    refused(from("secretKeyRef", json!({"name": "s", "key": "no"})), "couldn't find key no in Secret n/s");
    refused(json!({"envFrom": [{"configMapRef": {"name": "gone"}}]}), "configmap \"gone\" not found");
}

#[test]
fn services_in_the_form_of_links() {
    let variables = service_variables(&[
        json!({"metadata": {"name": "my-db"}, "spec": {"clusterIP": "10.96.0.7", "ports": [{"name": "sql", "port": 5432}]}}),
        json!({"metadata": {"name": "headless"}, "spec": {"clusterIP": "None", "ports": [{"port": 1}]}}),
    ]);
    let get = |name: &str| variables.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str());
    assert_eq!(get("MY_DB_SERVICE_HOST"), Some("10.96.0.7"));
    assert_eq!(get("MY_DB_SERVICE_PORT_SQL"), Some("5432"));
    assert_eq!(get("MY_DB_PORT_5432_TCP_ADDR"), Some("10.96.0.7"));
    assert_eq!(get("MY_DB_PORT"), Some("tcp://10.96.0.7:5432"));
    assert!(!variables.iter().any(|(name, _)| name.starts_with("HEADLESS")));
}
