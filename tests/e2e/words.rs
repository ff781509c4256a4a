//! Manifests and readings that several modules use.
//!
//! In: names and numbers. Out: YAML, or what a Pod's status says. Never talks to a device.

use serde_json::Value;

/// A Deployment of the demo web server with a quick probe and two seconds of grace for clients.
pub fn deployment(name: &str, version: u32, replicas: u32) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  strategy: {{type: RollingUpdate, rollingUpdate: {{maxSurge: 1, maxUnavailable: 0}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 10
      containers:
      - name: web
        image: kedge.dev/demo/web:{version}
        readinessProbe: {{httpGet: {{path: /, port: 8080}}, periodSeconds: 1}}
        lifecycle: {{preStop: {{sleep: {{seconds: 2}}}}}}
"
    )
}

/// A pod that runs a shell script once.
pub fn script(name: &str, restart: &str, script: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  restartPolicy: {restart}
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: kedge.dev/demo/web:1
    command: [sh, -c, {}]
",
        Value::from(script)
    )
}

/// Name, container id, restarts: what must not change when nothing restarts.
pub fn identities(pods: &Value) -> Vec<(String, String, u64)> {
    let mut all: Vec<_> = pods["items"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|pod| {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let statuses = pod["status"]["containerStatuses"].as_array().cloned().unwrap_or_default();
            statuses.into_iter().map(move |status| {
                let id = status["containerID"].as_str().unwrap_or_default().to_owned();
                (name.clone(), id, status["restartCount"].as_u64().unwrap_or(u64::MAX))
            })
        })
        .collect();
    all.sort();
    all
}

/// Ok when the pod is in this phase.
pub fn phase(wanted: &str) -> impl Fn(&Value) -> Result<(), String> {
    let wanted = wanted.to_owned();
    move |pod| {
        let phase = pod["status"]["phase"].as_str().unwrap_or_default();
        if phase == wanted { Ok(()) } else { Err(format!("phase {phase:?}: {}", pod["status"])) }
    }
}
