//! Containers of pods and pod templates.
//!
//! In: containers, their statuses, and the pod they are in. Out: lines. Never shows a secret's value.

use serde_json::Value;

use super::env::{source, variable};
use super::page::Page;
use super::pod::seccomp;
use super::probe::probe;
use super::values::{amount, items, moment, number, or_none, truth, words};

/// All containers of one kind; those of a template have no pod and no status.
pub fn containers(head: &str, list: &Value, statuses: &Value, pod: Option<&Value>, page: &mut Page) {
    let none = if items(list).next().is_none() { " <none>" } else { "" };
    page.raw(if pod.is_some() { 0 } else { 1 }, format!("{head}:{none}"));
    for each in items(list) {
        let status = items(statuses).rfind(|status| status["name"] == each["name"]);
        page.raw(1, format!("{}{}:", if pod.is_some() { "" } else { " " }, words(&each["name"])));
        container(each, status, pod, page);
    }
}

fn container(spec: &Value, status: Option<&Value>, pod: Option<&Value>, page: &mut Page) {
    if let Some(status) = status {
        page.line(2, "Container ID", words(&status["containerID"]));
    }
    page.line(2, "Image", words(&spec["image"]));
    if let Some(status) = status {
        page.line(2, "Image ID", words(&status["imageID"]));
    }
    ports(spec, page);
    seccomp(2, &spec["securityContext"], page);
    for (name, field) in [("Command", "command"), ("Args", "args")] {
        if items(&spec[field]).next().is_some() {
            page.head(2, name);
            items(&spec[field]).for_each(|word| words(word).split('\n').for_each(|line| page.raw(3, line)));
        }
    }
    if let Some(status) = status {
        state("State", &status["state"], page);
        if !status["lastState"]["terminated"].is_null() {
            state("Last State", &status["lastState"], page);
        }
        page.line(2, "Ready", if status["ready"] == true { "True" } else { "False" });
        page.line(2, "Restart Count", number(&status["restartCount"]).to_string());
    }
    resources(2, &spec["resources"], page);
    for (name, field) in [("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe")] {
        if !spec[field].is_null() {
            page.line(2, name, probe(&spec[field]));
        }
    }
    if items(&spec["envFrom"]).next().is_some() {
        page.head(2, "Environment Variables from");
        items(&spec["envFrom"]).for_each(|each| page.raw(3, source(each)));
    }
    page.raw(2, if items(&spec["env"]).next().is_none() { "Environment:\t<none>" } else { "Environment:" });
    items(&spec["env"]).flat_map(|entry| variable(entry, spec, pod)).for_each(|line| page.raw(3, line));
    mounts(spec, page);
}

fn ports(spec: &Value, page: &mut Page) {
    for (name, field) in [("Port", "containerPort"), ("Host Port", "hostPort")] {
        let told = |port: &Value| {
            let text = format!("{}/{}", number(&port[field]), words(&port["protocol"]));
            let named = words(&port["name"]);
            if named.is_empty() { text } else { format!("{text} ({named})") }
        };
        let all: Vec<String> = items(&spec["ports"]).map(told).collect();
        let name = if all.len() > 1 { format!("{name}s") } else { name.to_owned() };
        page.line(2, &name, or_none(all.join(", ")));
    }
}

/// What may be used at most, and what is asked for.
pub fn resources(level: usize, resources: &Value, page: &mut Page) {
    for (name, field) in [("Limits", "limits"), ("Requests", "requests")] {
        if let Some(map) = resources[field].as_object().filter(|map| !map.is_empty()) {
            page.head(level, name);
            map.iter().for_each(|(key, value)| page.line(level + 1, key, amount(value)));
        }
    }
}

fn state(name: &str, state: &Value, page: &mut Page) {
    let is = |kind: &str| state.get(kind).filter(|state| !state.is_null());
    if let Some(running) = is("running") {
        page.line(2, name, "Running");
        page.line(3, "Started", moment(&running["startedAt"]));
    } else if let Some(waiting) = is("waiting") {
        page.line(2, name, "Waiting");
        page.some(3, "Reason", &waiting["reason"]);
    } else if let Some(ended) = is("terminated") {
        page.line(2, name, "Terminated");
        page.some(3, "Reason", &ended["reason"]);
        page.some(3, "Message", &ended["message"]);
        page.line(3, "Exit Code", number(&ended["exitCode"]).to_string());
        if number(&ended["signal"]) > 0 {
            page.line(3, "Signal", number(&ended["signal"]).to_string());
        }
        page.line(3, "Started", moment(&ended["startedAt"]));
        page.line(3, "Finished", moment(&ended["finishedAt"]));
    } else {
        page.line(2, name, "Waiting");
    }
}

fn mounts(spec: &Value, page: &mut Page) {
    let sorted = |field: &str, by: &str| {
        let mut all: Vec<&Value> = items(&spec[field]).collect();
        all.sort_by_key(|one| words(&one[by]));
        all
    };
    let none = if items(&spec["volumeMounts"]).next().is_none() { "\t<none>" } else { "" };
    page.raw(2, format!("Mounts:{none}"));
    for mount in sorted("volumeMounts", "mountPath") {
        let mut how = if truth(&mount["readOnly"]) == "True" { "ro" } else { "rw" }.to_owned();
        let inside = words(&mount["subPath"]);
        if !inside.is_empty() {
            how += &format!(",path={inside:?}");
        }
        page.raw(3, format!("{} from {} ({how})", words(&mount["mountPath"]), words(&mount["name"])));
    }
    let devices = sorted("volumeDevices", "devicePath");
    if !devices.is_empty() {
        page.raw(2, format!("Devices:{none}"));
    }
    for device in devices {
        page.raw(3, format!("{} from {}", words(&device["devicePath"]), words(&device["name"])));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::describe::page::check;

    #[test]
    fn a_container_tells_how_it_is() {
        let list = json!([{"name": "c", "image": "i", "command": ["a", "b\nc"],
            "ports": [{"containerPort": 80, "protocol": "TCP", "name": "http"}, {"containerPort": 53, "protocol": "UDP"}],
            "resources": {"limits": {"cpu": "0.5"}}, "env": [{"name": "A", "value": "x"}],
            "volumeMounts": [{"name": "v", "mountPath": "/z"}, {"name": "v", "mountPath": "/a", "subPath": "s", "readOnly": true}]}]);
        let statuses = json!([{"name": "c", "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "x"}},
            "lastState": {"terminated": {"reason": "Error", "exitCode": 1, "signal": 9, "startedAt": "2026-11-30T10:00:00Z"}},
            "restartCount": 2}]);
        check(
            |page| containers("Containers", &list, &statuses, Some(&Value::Null), page),
            "Containers:\n  c:\n    Container ID:  \n    Image:         i\n    Image ID:      \n    Ports:         80/TCP (http), 53/UDP\n    Host Ports:    0/TCP (http), 0/UDP\n    Command:\n      a\n      b\n      c\n    State:          Waiting\n      Reason:       CrashLoopBackOff\n    Last State:     Terminated\n      Reason:       Error\n      Exit Code:    1\n      Signal:       9\n      Started:      Mon, 30 Nov 2026 10:00:00 +0000\n      Finished:     Mon, 01 Jan 0001 00:00:00 +0000\n    Ready:          False\n    Restart Count:  2\n    Limits:\n      cpu:  500m\n    Environment:\n      A:  x\n    Mounts:\n      /a from v (ro,path=\"s\")\n      /z from v (rw)\n",
        );
    }
}
