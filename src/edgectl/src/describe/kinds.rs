//! The layout of the kinds that are described most.
//!
//! In: an object. Out: lines. What is not there is left out, as kubectl does.

use std::time::SystemTime;

use kedge_api::quantity::Quantity;
use serde_json::Value;

use super::containers::container;
use super::page::{Page, age, items, moment, selector, words};
use super::volumes::volumes;
use super::{access, batch, policy, traffic};

/// Kinds whose pages show no events.
pub const WITHOUT_EVENTS: [&str; 9] = [
    "ClusterRole",
    "ClusterRoleBinding",
    "LimitRange",
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "Role",
    "RoleBinding",
    "Secret",
];

/// Writes one object's page; `related` is what `describe.rs` found for its kind.
pub fn describe(kind: &str, object: &Value, related: &Value, page: &mut Page) {
    let meta = &object["metadata"];
    page.line(0, "Name", words(&meta["name"]));
    if kind == "Ingress" {
        page.pairs(0, "Labels", &meta["labels"], "=");
    }
    if !meta["namespace"].is_null() && !matches!(kind, "Role" | "RoleBinding") {
        page.line(0, "Namespace", words(&meta["namespace"]));
    }
    match kind {
        "Pod" => pod(object, page),
        "Node" => node(object, related, page),
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "ReplicationController" => workload(object, page),
        "ConfigMap" => config_map(object, page),
        "Secret" => secret(object, page),
        "Service" => service(object, related, page),
        "Ingress" => traffic::ingress(object, related, page),
        "NetworkPolicy" => traffic::network_policy(object, page),
        "Job" => batch::job(object, page),
        "CronJob" => batch::cron_job(object, page),
        "HorizontalPodAutoscaler" => batch::autoscaler(object, page),
        "ResourceQuota" => policy::quota(object, page),
        "LimitRange" => policy::limits(object, page),
        "PodDisruptionBudget" => policy::budget(object, page),
        "PriorityClass" => policy::priority(object, page),
        "Role" | "ClusterRole" => access::role(object, page),
        "RoleBinding" | "ClusterRoleBinding" => access::binding(object, page),
        "CertificateSigningRequest" => access::request(object, page),
        "Namespace" => {
            both(object, page);
            page.line(0, "Status", words(&object["status"]["phase"]));
        }
        _ => any(kind, object, page),
    }
}

/// Labels and annotations.
pub fn both(object: &Value, page: &mut Page) {
    page.pairs(0, "Labels", &object["metadata"]["labels"], "=");
    page.pairs(0, "Annotations", &annotations(object), ": ");
}

/// Annotations but for what was applied last, which nobody wants to read.
pub fn annotations(object: &Value) -> Value {
    let mut annotations = object["metadata"]["annotations"].clone();
    if let Some(map) = annotations.as_object_mut() {
        map.remove(crate::apply::LAST_APPLIED);
    }
    annotations
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
        page.line(0, "Start Time", moment(&status["startTime"]));
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
    if status["podIPs"].as_array().is_none_or(Vec::is_empty) {
        page.line(0, "IPs", "");
    } else {
        page.head(0, "IPs");
        items(&status["podIPs"]).for_each(|each| page.line(1, "IP", words(&each["ip"])));
    }
    controller(pod, page);
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
    volumes(0, &spec["volumes"], page);
    page.line(0, "QoS Class", words(&status["qosClass"]));
    page.pairs(0, "Node-Selectors", &spec["nodeSelector"], "=");
    lines(0, "Tolerations", &tolerations(spec), page);
}

/// The owner that controls an object.
pub fn controller(object: &Value, page: &mut Page) {
    if let Some(owner) = items(&object["metadata"]["ownerReferences"]).find(|o| o["controller"] == true) {
        page.line(0, "Controlled By", format!("{}/{}", words(&owner["kind"]), words(&owner["name"])));
    }
}

fn conditions(list: &Value, page: &mut Page) {
    let rows: Vec<Vec<String>> =
        items(list).map(|c| vec![words(&c["type"]), words(&c["status"]), words(&c["reason"])]).collect();
    if !rows.is_empty() {
        page.head(0, "Conditions");
        page.table(1, &["Type", "Status", "Reason"], &rows);
    }
}

fn tolerations(spec: &Value) -> Vec<String> {
    items(&spec["tolerations"]).map(toleration).collect()
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

fn lines(level: usize, name: &str, all: &[String], page: &mut Page) {
    match all {
        [] => page.line(level, name, ""),
        [one] => page.line(level, name, one.clone()),
        many => {
            page.head(level, name);
            many.iter().for_each(|line| page.raw(level + 1, line.clone()));
        }
    }
}

fn node(node: &Value, lease: &Value, page: &mut Page) {
    let (spec, status) = (&node["spec"], &node["status"]);
    page.line(0, "Roles", roles(&node["metadata"]["labels"]));
    both(node, page);
    page.line(0, "CreationTimestamp", moment(&node["metadata"]["creationTimestamp"]));
    let taints: Vec<String> = spec["taints"].as_array().into_iter().flatten().map(toleration).collect();
    lines(0, "Taints", &taints, page);
    page.line(0, "Unschedulable", (spec["unschedulable"] == true).to_string());
    page.head(0, "Lease");
    let or_unset = |text: String| if text.is_empty() { "<unset>".to_owned() } else { text };
    page.line(1, "HolderIdentity", or_unset(words(&lease["spec"]["holderIdentity"])));
    for (name, field) in [("AcquireTime", "acquireTime"), ("RenewTime", "renewTime")] {
        page.line(1, name, or_unset(moment(&lease["spec"][field])));
    }
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

/// The roles that a node's labels say.
fn roles(labels: &Value) -> String {
    let roles = labels.as_object().into_iter().flatten().filter_map(|(key, value)| {
        match (key.strip_prefix("node-role.kubernetes.io/"), key.as_str()) {
            (Some(role), _) if !role.is_empty() => Some(role.to_owned()),
            (None, "kubernetes.io/role") => Some(words(value)),
            _ => None,
        }
    });
    let roles: std::collections::BTreeSet<String> = roles.filter(|role| !role.is_empty()).collect();
    roles.into_iter().collect::<Vec<_>>().join(",")
}

/// The pods of a node and what they ask for.
pub fn node_pods(node: &Value, pods: &Value, now: SystemTime, page: &mut Page) {
    let live: Vec<&Value> = pods["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|pod| !matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")))
        .collect();
    let mut rows = Vec::new();
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
    page.table(1, &["Namespace", "Name", "CPU Requests", "Memory Requests", "Age"], &rows);
    page.head(0, "Allocated resources");
    for (i, resource) in ["cpu", "memory"].iter().enumerate() {
        let all = words(&node["status"]["allocatable"][*resource]);
        page.line(1, resource, format!("{} of {all}", totals[i]));
    }
}

fn workload(object: &Value, page: &mut Page) {
    let (spec, status) = (&object["spec"], &object["status"]);
    page.line(0, "CreationTimestamp", moment(&object["metadata"]["creationTimestamp"]));
    both(object, page);
    // A replication controller's selector is the labels alone.
    let plain = spec["selector"].as_object().is_some_and(|map| map.values().all(Value::is_string));
    let wanted = if plain { serde_json::json!({"matchLabels": spec["selector"]}) } else { spec["selector"].clone() };
    page.line(0, "Selector", selector(&wanted));
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

/// A pod template.
pub fn template(template: &Value, page: &mut Page) {
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
    let spec = &template["spec"];
    volumes(1, &spec["volumes"], page);
    page.pairs(1, "Node-Selectors", &spec["nodeSelector"], "=");
    lines(1, "Tolerations", &tolerations(spec), page);
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

fn service(object: &Value, related: &Value, page: &mut Page) {
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
        page.line(0, "Endpoints", traffic::endpoints(&related["slices"], &object["metadata"]["name"], &port["name"]));
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(kind: &str, object: &Value, related: &Value, expected: &[&str]) {
        let mut page = Page::default();
        describe(kind, object, related, &mut page);
        let text = page.text();
        expected.iter().for_each(|words| assert!(text.contains(words), "no {words:?} in {text}"));
    }

    #[test]
    fn a_pod_has_all_its_addresses() {
        let pod = json!({"metadata": {"name": "a", "namespace": "b"}, "status": {"podIP": "10.0.0.2",
            "podIPs": [{"ip": "10.0.0.2"}, {"ip": "fd00::2"}]}});
        check("Pod", &pod, &Value::Null, &["IPs:\n  IP:  10.0.0.2\n  IP:  fd00::2\n"]);
        check("Pod", &json!({"metadata": {"name": "a"}}), &Value::Null, &["IPs:              <none>\n"]);
    }

    #[test]
    fn a_node_has_roles_and_a_lease() {
        let node = json!({"metadata": {"name": "n", "labels": {
            "node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": "", "a": "b"}}});
        let lease = json!({"spec": {"holderIdentity": "n", "renewTime": "2026-11-30T10:00:00.5Z"}});
        check("Node", &node, &lease, &["Roles:              control-plane,worker\n"]);
        let told = "Lease:\n  HolderIdentity:  n\n  AcquireTime:     <unset>\n  RenewTime:       Mon, 30 Nov 2026 10:00:00 +0000\n";
        check("Node", &node, &lease, &[told]);
        check("Node", &json!({"metadata": {"name": "n"}}), &Value::Null, &["Roles:              <none>", "<unset>"]);
    }
}
