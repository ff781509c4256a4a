//! The layout of the kinds that are described most.
//!
//! In: an object. Out: lines. What is not there is left out, as kubectl does.

use std::time::SystemTime;

use kedge_api::quantity::Quantity;
use serde_json::Value;

use super::page::{Page, age, words};

/// Writes one object's page.
pub fn describe(kind: &str, object: &Value, page: &mut Page) {
    let meta = &object["metadata"];
    page.line(0, "Name", words(&meta["name"]));
    if !meta["namespace"].is_null() {
        page.line(0, "Namespace", words(&meta["namespace"]));
    }
    match kind {
        "Pod" => pod(object, page),
        "Node" => node(object, page),
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "ReplicationController" => workload(object, page),
        "ConfigMap" => config_map(object, page),
        "Secret" => secret(object, page),
        "Service" => service(object, page),
        "Namespace" => {
            both(object, page);
            page.line(0, "Status", words(&object["status"]["phase"]));
        }
        _ => any(kind, object, page),
    }
}

fn both(object: &Value, page: &mut Page) {
    page.pairs(0, "Labels", &object["metadata"]["labels"], "=");
    let mut annotations = object["metadata"]["annotations"].clone();
    if let Some(map) = annotations.as_object_mut() {
        map.remove(crate::apply::LAST_APPLIED);
    }
    page.pairs(0, "Annotations", &annotations, ": ");
}

fn pod(pod: &Value, page: &mut Page) {
    let (meta, spec, status) = (&pod["metadata"], &pod["spec"], &pod["status"]);
    page.line(0, "Priority", words(&spec["priority"]));
    page.line(0, "Service Account", words(&spec["serviceAccountName"]));
    let node = match (spec["nodeName"].as_str(), status["hostIP"].as_str()) {
        (Some(name), Some(ip)) => format!("{name}/{ip}"),
        (name, _) => name.unwrap_or("").to_owned(),
    };
    page.line(0, "Node", node);
    if !status["startTime"].is_null() {
        page.line(0, "Start Time", words(&status["startTime"]));
    }
    both(pod, page);
    match meta["deletionTimestamp"].as_str() {
        Some(time) => {
            page.line(0, "Status", format!("Terminating (lasts {})", age(time, SystemTime::now())));
            page.line(0, "Termination Grace Period", format!("{}s", words(&meta["deletionGracePeriodSeconds"])));
        }
        None => page.line(0, "Status", words(&status["phase"])),
    }
    page.some(0, "Reason", &status["reason"]);
    page.some(0, "Message", &status["message"]);
    page.line(0, "IP", words(&status["podIP"]));
    if let Some(owner) = meta["ownerReferences"].as_array().into_iter().flatten().find(|o| o["controller"] == true) {
        page.line(0, "Controlled By", format!("{}/{}", words(&owner["kind"]), words(&owner["name"])));
    }
    for (head, field, statuses) in [
        ("Init Containers", "initContainers", "initContainerStatuses"),
        ("Containers", "containers", "containerStatuses"),
    ] {
        let list = spec[field].as_array().cloned().unwrap_or_default();
        if list.is_empty() {
            continue;
        }
        page.head(0, head);
        for each in &list {
            let state = status[statuses].as_array().into_iter().flatten().find(|s| s["name"] == each["name"]);
            container(each, state, page);
        }
    }
    conditions(&status["conditions"], page);
    volumes(&spec["volumes"], page);
    page.line(0, "QoS Class", words(&status["qosClass"]));
    page.pairs(0, "Node-Selectors", &spec["nodeSelector"], "=");
    let tolerations: Vec<String> = spec["tolerations"].as_array().into_iter().flatten().map(toleration).collect();
    lines("Tolerations", &tolerations, page);
}

fn container(spec: &Value, status: Option<&Value>, page: &mut Page) {
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
    let environment: Vec<(String, String)> = spec["env"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|e| {
            (words(&e["name"]), if e["valueFrom"].is_null() { words(&e["value"]) } else { e["valueFrom"].to_string() })
        })
        .collect();
    if environment.is_empty() {
        page.line(2, "Environment", "");
    } else {
        page.head(2, "Environment");
        environment.iter().for_each(|(name, value)| page.line(3, name, value.clone()));
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
        page.line(3, "Started", words(&running["startedAt"]));
    } else if let Some(waiting) = state.get("waiting") {
        page.line(2, name, "Waiting");
        page.some(3, "Reason", &waiting["reason"]);
        page.some(3, "Message", &waiting["message"]);
    } else if let Some(ended) = state.get("terminated") {
        page.line(2, name, "Terminated");
        page.some(3, "Reason", &ended["reason"]);
        page.some(3, "Message", &ended["message"]);
        page.line(3, "Exit Code", ended["exitCode"].as_i64().unwrap_or(0).to_string());
        page.some(3, "Started", &ended["startedAt"]);
        page.some(3, "Finished", &ended["finishedAt"]);
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

fn conditions(list: &Value, page: &mut Page) {
    let list = list.as_array().cloned().unwrap_or_default();
    if list.is_empty() {
        return;
    }
    let mut rows = vec![
        vec!["Type".to_owned(), "Status".to_owned(), "Reason".to_owned()],
        vec!["----".to_owned(), "------".to_owned(), "------".to_owned()],
    ];
    rows.extend(list.iter().map(|c| vec![words(&c["type"]), words(&c["status"]), words(&c["reason"])]));
    page.head(0, "Conditions");
    crate::output::columns(&rows).lines().for_each(|line| page.raw(1, line));
}

fn volumes(list: &Value, page: &mut Page) {
    let list = list.as_array().cloned().unwrap_or_default();
    if list.is_empty() {
        return page.line(0, "Volumes", "");
    }
    page.head(0, "Volumes");
    for volume in &list {
        page.head(1, &words(&volume["name"]));
        for (key, value) in volume.as_object().into_iter().flatten().filter(|(key, _)| *key != "name") {
            page.tree(2, key, value);
        }
    }
}

fn toleration(t: &Value) -> String {
    let mut text = words(&t["key"]);
    if let Some(value) = t["value"].as_str().filter(|v| !v.is_empty()) {
        text += &format!("={value}");
    }
    if let Some(effect) = t["effect"].as_str().filter(|e| !e.is_empty()) {
        text += &format!(":{effect}");
    }
    if t["operator"] == "Exists" && t["value"].as_str().unwrap_or("").is_empty() {
        text += " op=Exists";
    }
    if let Some(seconds) = t["tolerationSeconds"].as_i64() {
        text += &format!(" for {seconds}s");
    }
    text
}

fn lines(name: &str, all: &[String], page: &mut Page) {
    match all {
        [] => page.line(0, name, ""),
        [one] => page.line(0, name, one.clone()),
        many => {
            page.head(0, name);
            many.iter().for_each(|line| page.raw(1, line.clone()));
        }
    }
}

fn node(node: &Value, page: &mut Page) {
    let (spec, status) = (&node["spec"], &node["status"]);
    both(node, page);
    page.line(0, "CreationTimestamp", words(&node["metadata"]["creationTimestamp"]));
    let taints: Vec<String> = spec["taints"].as_array().into_iter().flatten().map(toleration).collect();
    lines("Taints", &taints, page);
    page.line(0, "Unschedulable", (spec["unschedulable"] == true).to_string());
    conditions(&status["conditions"], page);
    page.head(0, "Addresses");
    for address in status["addresses"].as_array().into_iter().flatten() {
        page.line(1, &words(&address["type"]), words(&address["address"]));
    }
    for (name, field) in [("Capacity", "capacity"), ("Allocatable", "allocatable")] {
        page.head(0, name);
        status[field].as_object().into_iter().flatten().for_each(|(key, value)| page.line(1, key, words(value)));
    }
    page.tree(0, "System Info", &status["nodeInfo"]);
}

/// The pods of a node and what they ask for.
pub fn node_pods(node: &Value, pods: &Value, now: SystemTime, page: &mut Page) {
    let live: Vec<&Value> = pods["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|pod| !matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")))
        .collect();
    let row = |cells: [&str; 5]| cells.map(str::to_owned).to_vec();
    let mut rows = vec![
        row(["Namespace", "Name", "CPU Requests", "Memory Requests", "Age"]),
        row(["---------", "----", "------------", "---------------", "---"]),
    ];
    let mut totals = [Quantity::ZERO, Quantity::ZERO];
    for pod in &live {
        let mut own = [Quantity::ZERO, Quantity::ZERO];
        for c in pod["spec"]["containers"].as_array().into_iter().flatten() {
            for (i, resource) in ["cpu", "memory"].iter().enumerate() {
                if let Some(Ok(q)) = c["resources"]["requests"][*resource].as_str().map(Quantity::parse) {
                    own[i] = own[i].add(&q);
                    totals[i] = totals[i].add(&q);
                }
            }
        }
        let meta = &pod["metadata"];
        rows.push(vec![
            words(&meta["namespace"]),
            words(&meta["name"]),
            own[0].to_string(),
            own[1].to_string(),
            age(meta["creationTimestamp"].as_str().unwrap_or(""), now),
        ]);
    }
    page.head(0, &format!("Non-terminated Pods ({} in total)", live.len()));
    crate::output::columns(&rows).lines().for_each(|line| page.raw(1, line));
    page.head(0, "Allocated resources");
    for (i, resource) in ["cpu", "memory"].iter().enumerate() {
        let all = words(&node["status"]["allocatable"][*resource]);
        page.line(1, resource, format!("{} of {all}", totals[i]));
    }
}

fn workload(object: &Value, page: &mut Page) {
    let (spec, status) = (&object["spec"], &object["status"]);
    page.line(0, "CreationTimestamp", words(&object["metadata"]["creationTimestamp"]));
    both(object, page);
    let selector = spec["selector"].get("matchLabels").unwrap_or(&spec["selector"]);
    let pairs: Vec<String> =
        selector.as_object().into_iter().flatten().map(|(k, v)| format!("{k}={}", words(v))).collect();
    page.line(0, "Selector", pairs.join(","));
    if let Some(owner) = object["metadata"]["ownerReferences"].as_array().and_then(|all| all.first()) {
        page.line(0, "Controlled By", format!("{}/{}", words(&owner["kind"]), words(&owner["name"])));
    }
    let n = |field: &str| status[field].as_i64().unwrap_or(0);
    page.line(
        0,
        "Replicas",
        format!(
            "{} desired | {} updated | {} total | {} available | {} unavailable",
            spec["replicas"].as_i64().unwrap_or(1),
            n("updatedReplicas"),
            n("replicas"),
            n("availableReplicas"),
            n("unavailableReplicas")
        ),
    );
    page.some(0, "StrategyType", &spec["strategy"]["type"]);
    page.line(0, "MinReadySeconds", n_of(&spec["minReadySeconds"]));
    let rolling = &spec["strategy"]["rollingUpdate"];
    if !rolling.is_null() {
        let (unavailable, surge) = (words(&rolling["maxUnavailable"]), words(&rolling["maxSurge"]));
        page.line(0, "RollingUpdateStrategy", format!("{unavailable} max unavailable, {surge} max surge"));
    }
    template(&spec["template"], page);
    conditions(&status["conditions"], page);
}

fn n_of(value: &Value) -> String {
    value.as_i64().unwrap_or(0).to_string()
}

fn template(template: &Value, page: &mut Page) {
    page.head(0, "Pod Template");
    page.pairs(1, "Labels", &template["metadata"]["labels"], "=");
    if !template["metadata"]["annotations"].is_null() {
        page.pairs(1, "Annotations", &template["metadata"]["annotations"], ": ");
    }
    for (head, field) in [("Init Containers", "initContainers"), ("Containers", "containers")] {
        let list = template["spec"][field].as_array().cloned().unwrap_or_default();
        if !list.is_empty() {
            page.head(1, head);
            list.iter().for_each(|each| container(each, None, page));
        }
    }
    volumes(&template["spec"]["volumes"], page);
}

/// A pod template on its own, for the history of a rollout.
pub fn pod_template(value: &Value) -> String {
    let mut page = Page::default();
    template(value, &mut page);
    page.text()
}

fn config_map(object: &Value, page: &mut Page) {
    both(object, page);
    page.raw(0, "");
    page.raw(0, "Data");
    page.raw(0, "====");
    for (key, value) in object["data"].as_object().into_iter().flatten() {
        page.raw(0, format!("{key}:"));
        page.raw(0, "----");
        page.raw(0, words(value));
        page.raw(0, "");
    }
    page.raw(0, "");
    page.raw(0, "BinaryData");
    page.raw(0, "====");
    for (key, value) in object["binaryData"].as_object().into_iter().flatten() {
        page.raw(0, format!("{key}: {} bytes", words(value).len() / 4 * 3));
    }
    page.raw(0, "");
}

fn secret(object: &Value, page: &mut Page) {
    both(object, page);
    page.raw(0, "");
    page.line(0, "Type", words(&object["type"]));
    page.raw(0, "");
    page.raw(0, "Data");
    page.raw(0, "====");
    for (key, value) in object["data"].as_object().into_iter().flatten() {
        // Only the size: a description must not show a secret.
        let text = words(value);
        let padding = text.bytes().rev().take_while(|b| *b == b'=').count();
        page.raw(0, format!("{key}:  {} bytes", (text.len() / 4 * 3).saturating_sub(padding)));
    }
}

fn service(object: &Value, page: &mut Page) {
    let spec = &object["spec"];
    both(object, page);
    page.pairs(0, "Selector", &spec["selector"], "=");
    page.line(0, "Type", words(&spec["type"]));
    let all = |field: &str| spec[field].as_array().into_iter().flatten().map(words).collect::<Vec<_>>().join(",");
    page.line(0, "IP Family Policy", words(&spec["ipFamilyPolicy"]));
    page.line(0, "IP Families", all("ipFamilies"));
    page.line(0, "IP", words(&spec["clusterIP"]));
    page.line(0, "IPs", all("clusterIPs"));
    for port in spec["ports"].as_array().into_iter().flatten() {
        let name = port["name"].as_str().unwrap_or("<unset>");
        let protocol = words(&port["protocol"]);
        page.line(0, "Port", format!("{name}  {}/{protocol}", words(&port["port"])));
        page.line(0, "TargetPort", format!("{}/{protocol}", words(&port["targetPort"])));
        if !port["nodePort"].is_null() {
            page.line(0, "NodePort", format!("{name}  {}/{protocol}", words(&port["nodePort"])));
        }
    }
    page.line(0, "Session Affinity", words(&spec["sessionAffinity"]));
}

fn any(kind: &str, object: &Value, page: &mut Page) {
    both(object, page);
    page.line(0, "API Version", words(&object["apiVersion"]));
    page.line(0, "Kind", kind);
    let mut meta = object["metadata"].clone();
    if let Some(map) = meta.as_object_mut() {
        for field in ["name", "namespace", "labels", "annotations", "managedFields"] {
            map.remove(field);
        }
    }
    page.tree(0, "Metadata", &meta);
    for (key, value) in object.as_object().into_iter().flatten() {
        if !matches!(key.as_str(), "apiVersion" | "kind" | "metadata") {
            let mut head = key.clone();
            head[..1].make_ascii_uppercase();
            page.tree(0, &head, value);
        }
    }
}
