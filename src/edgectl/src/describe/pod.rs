//! The page of a pod, and what pod templates have in common with it.
//!
//! In: a pod or a template, and the time. Out: lines. Never asks the server.

use std::time::SystemTime;

use kedge_api::strategy;
use serde_json::Value;

use super::containers::{containers, resources};
use super::kinds::{both, controller};
use super::page::Page;
use super::values::{age, items, moment, number, or_none, selector, words};
use super::volumes::volumes;

/// A Pod.
pub fn pod(pod: &Value, now: SystemTime, page: &mut Page) {
    let (spec, status) = (&pod["spec"], &pod["status"]);
    page.some(0, "Priority", &spec["priority"]);
    page.some(0, "Priority Class Name", &spec["priorityClassName"]);
    page.some(0, "Runtime Class Name", &spec["runtimeClassName"]);
    page.some(0, "Service Account", &spec["serviceAccountName"]);
    let node = words(&spec["nodeName"]);
    page.line(0, "Node", if node.is_empty() { "<none>".to_owned() } else { node + "/" + &words(&status["hostIP"]) });
    if !status["startTime"].is_null() {
        page.line(0, "Start Time", moment(&status["startTime"]));
    }
    both(pod, page);
    standing(pod, now, page);
    seccomp(0, &spec["securityContext"], page);
    page.line(0, "IP", words(&status["podIP"]));
    if items(&status["podIPs"]).next().is_none() {
        page.line(0, "IPs", "<none>");
    } else {
        page.head(0, "IPs");
        items(&status["podIPs"]).for_each(|each| page.line(1, "IP", words(&each["ip"])));
    }
    controller(pod, page);
    page.some(0, "NominatedNodeName", &status["nominatedNodeName"]);
    if !spec["resources"].is_null() {
        page.head(0, "Resources");
        resources(1, &spec["resources"], page);
    }
    if items(&spec["initContainers"]).next().is_some() {
        containers("Init Containers", &spec["initContainers"], &status["initContainerStatuses"], Some(pod), page);
    }
    containers("Containers", &spec["containers"], &status["containerStatuses"], Some(pod), page);
    if items(&spec["ephemeralContainers"]).next().is_some() {
        let (list, statuses) = (&spec["ephemeralContainers"], &status["ephemeralContainerStatuses"]);
        containers("Ephemeral Containers", list, statuses, Some(pod), page);
    }
    conditions(spec, status, page);
    volumes(false, &spec["volumes"], page);
    page.line(0, "QoS Class", strategy::qos_class(pod));
    page.pairs(0, "Node-Selectors", &spec["nodeSelector"]);
    page.list(0, "Tolerations", &tolerations(spec));
    placed(0, spec, page);
    group(0, spec, page);
}

/// The phase, or that the pod is going, and why.
fn standing(pod: &Value, now: SystemTime, page: &mut Page) {
    let (meta, status) = (&pod["metadata"], &pod["status"]);
    let has_ended = matches!(status["phase"].as_str(), Some("Succeeded" | "Failed"));
    if meta["deletionTimestamp"].is_null() || has_ended {
        page.line(0, "Status", words(&status["phase"]));
    } else {
        page.line(0, "Status", format!("Terminating (lasts {})", age(&meta["deletionTimestamp"], now)));
        page.line(0, "Termination Grace Period", format!("{}s", number(&meta["deletionGracePeriodSeconds"])));
    }
    page.some(0, "Reason", &status["reason"]);
    page.some(0, "Message", &status["message"]);
}

/// Which system calls a pod or a container may make.
pub fn seccomp(level: usize, context: &Value, page: &mut Page) {
    let profile = &context["seccompProfile"];
    if profile.is_null() {
        return;
    }
    page.line(level, "SeccompProfile", words(&profile["type"]));
    if profile["type"] == "Localhost" {
        // Of a container it stands one step to the right, of a pod it does not.
        page.line(if level == 0 { 0 } else { level + 1 }, "LocalhostProfile", words(&profile["localhostProfile"]));
    }
}

fn conditions(spec: &Value, status: &Value, page: &mut Page) {
    let row = |name: &Value, status: String| format!("{} \t{status} ", words(name));
    if items(&spec["readinessGates"]).next().is_some() {
        page.raw(0, "Readiness Gates:\n  Type\tStatus");
        for gate in items(&spec["readinessGates"]) {
            let name = &gate["conditionType"];
            let met = items(&status["conditions"]).find(|one| one["type"] == *name);
            page.raw(1, row(name, met.map_or_else(|| "<none>".to_owned(), |one| words(&one["status"]))));
        }
    }
    if items(&status["conditions"]).next().is_some() {
        page.raw(0, "Conditions:\n  Type\tStatus");
        items(&status["conditions"]).for_each(|one| page.raw(1, row(&one["type"], words(&one["status"]))));
    }
}

/// What a pod bears with, by key.
fn tolerations(spec: &Value) -> Vec<String> {
    let mut all: Vec<&Value> = items(&spec["tolerations"]).collect();
    all.sort_by_key(|one| words(&one["key"]));
    all.into_iter().map(toleration).collect()
}

fn toleration(one: &Value) -> String {
    let (key, value, effect) = (words(&one["key"]), words(&one["value"]), words(&one["effect"]));
    let mut text = key;
    if !value.is_empty() {
        text += &format!("={value}");
    }
    if !effect.is_empty() {
        text += &format!(":{effect}");
    }
    if one["operator"] == "Exists" && value.is_empty() {
        text += if text.is_empty() { "op=Exists" } else { " op=Exists" };
    }
    if let Some(seconds) = one["tolerationSeconds"].as_i64() {
        text += &format!(" for {seconds}s");
    }
    text
}

/// How pods are spread, by key; nothing when nobody asks for it.
fn placed(level: usize, spec: &Value, page: &mut Page) {
    let mut all: Vec<&Value> = items(&spec["topologySpreadConstraints"]).collect();
    all.sort_by_key(|one| words(&one["topologyKey"]));
    let told = |one: &&Value| {
        let mut text = format!("{}:{}", words(&one["topologyKey"]), words(&one["whenUnsatisfiable"]));
        text += &format!(" when max skew {} is exceeded", number(&one["maxSkew"]));
        if !one["labelSelector"].is_null() {
            text += &format!(" for selector {}", or_none(selector(&one["labelSelector"])));
        }
        text
    };
    let all: Vec<String> = all.iter().map(told).collect();
    if !all.is_empty() {
        page.list_behind(level, "Topology Spread Constraints", level * 2, &all);
    }
}

fn group(level: usize, spec: &Value, page: &mut Page) {
    let group = &spec["schedulingGroup"];
    if !group.is_null() {
        page.head(level, "SchedulingGroup");
        page.line(1, "PodGroupName", words(&group["podGroupName"]));
    }
}

/// A pod template.
pub fn template(template: &Value, page: &mut Page) {
    let (meta, spec) = (&template["metadata"], &template["spec"]);
    page.head(0, "Pod Template");
    page.pairs(1, "Labels", &meta["labels"]);
    if meta["annotations"].as_object().is_some_and(|map| !map.is_empty()) {
        page.annotations(1, "Annotations", &meta["annotations"]);
    }
    page.some(1, "Service Account", &spec["serviceAccountName"]);
    if items(&spec["initContainers"]).next().is_some() {
        containers("Init Containers", &spec["initContainers"], &Value::Null, None, page);
    }
    containers("Containers", &spec["containers"], &Value::Null, None, page);
    volumes(true, &spec["volumes"], page);
    placed(1, spec, page);
    page.some(1, "Priority Class Name", &spec["priorityClassName"]);
    page.pairs(1, "Node-Selectors", &spec["nodeSelector"]);
    page.list(1, "Tolerations", &tolerations(spec));
    group(1, spec, page);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::describe::page::check;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    #[test]
    fn a_pod_has_all_its_addresses() {
        let object = json!({"metadata": {"deletionTimestamp": "1970-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30},
            "spec": {"priority": 0, "nodeName": "n", "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
                "readinessGates": [{"conditionType": "x"}]},
            "status": {"hostIP": "10.0.0.1", "podIP": "10.0.0.2", "podIPs": [{"ip": "10.0.0.2"}, {"ip": "fd00::2"}],
                "conditions": [{"type": "Ready", "status": "True"}]}});
        check(
            |page| pod(&object, NOW, page),
            "Priority:                  0\nNode:                      n/10.0.0.1\nLabels:                    <none>\nAnnotations:               <none>\nStatus:                    Terminating (lasts 0s)\nTermination Grace Period:  30s\nSeccompProfile:            RuntimeDefault\nIP:                        10.0.0.2\nIPs:\n  IP:  10.0.0.2\n  IP:  fd00::2\nContainers: <none>\nReadiness Gates:\n  Type  Status\n  x     <none> \nConditions:\n  Type           Status\n  Ready          True \nVolumes:         <none>\nQoS Class:       BestEffort\nNode-Selectors:  <none>\nTolerations:     <none>\n",
        );
    }

    #[test]
    fn tolerations_are_told_by_key() {
        let spec = json!({"tolerations": [{"operator": "Exists", "key": "z"}, {"operator": "Exists"},
            {"key": "b", "value": "v", "effect": "NoExecute", "tolerationSeconds": 30},
            {"operator": "Exists", "effect": "NoSchedule"}]});
        let expected = ["op=Exists", ":NoSchedule op=Exists", "b=v:NoExecute for 30s", "z op=Exists"];
        assert_eq!(tolerations(&spec), expected);
    }

    #[test]
    fn a_template_is_a_pod_to_be() {
        let object = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"serviceAccountName": "bot",
            "containers": [{"name": "c", "image": "i"}],
            "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]}});
        check(
            |page| template(&object, page),
            "Pod Template:\n  Labels:           a=b\n  Service Account:  bot\n  Containers:\n   c:\n    Image:                      i\n    Port:                       <none>\n    Host Port:                  <none>\n    Environment:                <none>\n    Mounts:                     <none>\n  Volumes:                      <none>\n  Topology Spread Constraints:  zone:DoNotSchedule when max skew 1 is exceeded\n  Node-Selectors:               <none>\n  Tolerations:                  <none>\n",
        );
    }
}
