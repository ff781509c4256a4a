//! Containers of pods and pod templates.
//!
//! In: a container, its status. Out: lines. Never shows a secret's value.

use serde_json::Value;

use super::page::{Page, items, moment, words};

/// One container of a pod, or of a template, which has no status.
pub fn container(spec: &Value, status: Option<&Value>, page: &mut Page) {
    page.head(1, &words(&spec["name"]));
    if let Some(status) = status {
        page.line(2, "Container ID", words(&status["containerID"]));
    }
    page.line(2, "Image", words(&spec["image"]));
    if let Some(status) = status {
        page.line(2, "Image ID", words(&status["imageID"]));
    }
    let ports = |field: &str| {
        let all: Vec<String> = spec["ports"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|p| format!("{}/{}", p[field].as_i64().unwrap_or(0), p["protocol"].as_str().unwrap_or("TCP")))
            .collect();
        all.join(", ")
    };
    page.line(2, "Port", ports("containerPort"));
    page.line(2, "Host Port", ports("hostPort"));
    for (name, field) in [("Command", "command"), ("Args", "args")] {
        if let Some(all) = spec[field].as_array().filter(|a| !a.is_empty()) {
            page.head(2, name);
            all.iter().for_each(|word| page.raw(3, words(word)));
        }
    }
    if let Some(status) = status {
        state("State", &status["state"], page);
        state("Last State", &status["lastState"], page);
        page.line(2, "Ready", if status["ready"] == true { "True" } else { "False" });
        page.line(2, "Restart Count", status["restartCount"].as_i64().unwrap_or(0).to_string());
    }
    for (name, field) in [("Limits", "limits"), ("Requests", "requests")] {
        if let Some(map) = spec["resources"][field].as_object().filter(|m| !m.is_empty()) {
            page.head(2, name);
            map.iter().for_each(|(key, value)| page.line(3, key, words(value)));
        }
    }
    for (name, field) in [("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe")] {
        if !spec[field].is_null() {
            page.line(2, name, probe(&spec[field]));
        }
    }
    let sources: Vec<String> = items(&spec["envFrom"]).map(from).collect();
    if !sources.is_empty() {
        page.head(2, "Environment Variables from");
        sources.into_iter().for_each(|source| page.raw(3, source));
    }
    if items(&spec["env"]).next().is_none() {
        page.line(2, "Environment", "");
    } else {
        page.head(2, "Environment");
        items(&spec["env"]).for_each(|entry| page.line(3, &words(&entry["name"]), variable(entry)));
    }
    let mounts: Vec<String> = spec["volumeMounts"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|m| {
            let mode = if m["readOnly"] == true { "ro" } else { "rw" };
            format!("{} from {} ({mode})", words(&m["mountPath"]), words(&m["name"]))
        })
        .collect();
    if mounts.is_empty() {
        page.line(2, "Mounts", "");
    } else {
        page.head(2, "Mounts");
        mounts.into_iter().for_each(|mount| page.raw(3, mount));
    }
}

fn state(name: &str, state: &Value, page: &mut Page) {
    if let Some(running) = state.get("running") {
        page.line(2, name, "Running");
        page.line(3, "Started", moment(&running["startedAt"]));
    } else if let Some(waiting) = state.get("waiting") {
        page.line(2, name, "Waiting");
        page.some(3, "Reason", &waiting["reason"]);
        page.some(3, "Message", &waiting["message"]);
    } else if let Some(ended) = state.get("terminated") {
        page.line(2, name, "Terminated");
        page.some(3, "Reason", &ended["reason"]);
        page.some(3, "Message", &ended["message"]);
        page.line(3, "Exit Code", ended["exitCode"].as_i64().unwrap_or(0).to_string());
        page.line(3, "Started", moment(&ended["startedAt"]));
        page.line(3, "Finished", moment(&ended["finishedAt"]));
    } else if name == "State" {
        page.line(2, name, "Waiting");
    }
}

fn probe(probe: &Value) -> String {
    let n = |field: &str, default: i64| probe[field].as_i64().unwrap_or(default);
    let how = if let Some(http) = probe.get("httpGet") {
        let scheme = http["scheme"].as_str().unwrap_or("HTTP").to_lowercase();
        format!("http-get {scheme}://{}:{}{}", words(&http["host"]), words(&http["port"]), words(&http["path"]))
    } else if let Some(tcp) = probe.get("tcpSocket") {
        format!("tcp-socket {}:{}", words(&tcp["host"]), words(&tcp["port"]))
    } else if let Some(exec) = probe.get("exec") {
        let command: Vec<String> = exec["command"].as_array().into_iter().flatten().map(words).collect();
        format!("exec [{}]", command.join(" "))
    } else {
        format!("grpc <pod>:{}", words(&probe["grpc"]["port"]))
    };
    format!(
        "{how} delay={}s timeout={}s period={}s #success={} #failure={}",
        n("initialDelaySeconds", 0),
        n("timeoutSeconds", 1),
        n("periodSeconds", 10),
        n("successThreshold", 1),
        n("failureThreshold", 3)
    )
}

/// The value of a variable, or where it comes from.
fn variable(entry: &Value) -> String {
    let from = &entry["valueFrom"];
    let key = |field: &str, what: &str| {
        let of = from.get(field).filter(|of| !of.is_null())?;
        let (key, name, optional) = (words(&of["key"]), words(&of["name"]), of["optional"] == true);
        Some(format!("<set to the key '{key}' {what} '{name}'>  Optional: {optional}"))
    };
    let field = |field: &str, version: &str, path: &str| {
        let of = from.get(field).filter(|of| !of.is_null())?;
        let version = of[version].as_str().map(|version| format!("{version}:")).unwrap_or_default();
        Some(format!(" ({version}{})", words(&of[path])).trim_start().to_owned())
    };
    key("configMapKeyRef", "of config map")
        .or_else(|| key("secretKeyRef", "in secret"))
        .or_else(|| field("fieldRef", "apiVersion", "fieldPath"))
        .or_else(|| field("resourceFieldRef", "", "resource"))
        .unwrap_or_else(|| if from.is_null() { words(&entry["value"]) } else { from.to_string() })
}

/// Where several variables come from.
fn from(source: &Value) -> String {
    let (of, kind) = match source.get("secretRef").filter(|of| !of.is_null()) {
        Some(of) => (of, "Secret"),
        None => (&source["configMapRef"], "ConfigMap"),
    };
    let prefix = source["prefix"].as_str().filter(|prefix| !prefix.is_empty());
    let prefix = prefix.map(|prefix| format!(" with prefix '{prefix}'")).unwrap_or_default();
    format!("{}  {kind}{prefix}  Optional: {}", words(&of["name"]), of["optional"] == true)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn variables_say_where_they_come_from() {
        let key = json!({"name": "n", "key": "k"});
        for (entry, expected) in [
            (json!({"value": "x"}), "x"),
            (json!({}), ""),
            (json!({"valueFrom": {"secretKeyRef": key}}), "<set to the key 'k' in secret 'n'>  Optional: false"),
            (json!({"valueFrom": {"configMapKeyRef": key}}), "<set to the key 'k' of config map 'n'>  Optional: false"),
            (
                json!({"valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}),
                "(v1:metadata.name)",
            ),
            (json!({"valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}), "(limits.cpu)"),
        ] {
            assert_eq!(variable(&entry), expected);
        }
        assert_eq!(from(&json!({"configMapRef": {"name": "c"}})), "c  ConfigMap  Optional: false");
        let prefixed = json!({"prefix": "X_", "secretRef": {"name": "s", "optional": true}});
        assert_eq!(from(&prefixed), "s  Secret with prefix 'X_'  Optional: true");
    }
}
