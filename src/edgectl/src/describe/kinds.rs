//! The layout of the kinds that are described most.
//!
//! In: an object. Out: lines. What is not there is left out, as kubectl does.

use std::time::SystemTime;

use serde_json::Value;

use super::containers::container;
use super::page::{Page, age, heading, items, moment, words};
use super::volumes::volumes;
use super::{access, batch, node, policy, traffic, workloads};
use crate::resource::Resource;

/// Kinds that have a page of their own, by their API group. A kind of that name in another group is another kind.
const LAYOUTS: [(&str, &[&str]); 9] = [
    (
        "",
        &[
            "Pod",
            "Node",
            "ReplicationController",
            "ConfigMap",
            "Secret",
            "Service",
            "ResourceQuota",
            "LimitRange",
            "Namespace",
        ],
    ),
    ("apps", &["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"]),
    ("networking.k8s.io", &["Ingress", "NetworkPolicy"]),
    ("batch", &["Job", "CronJob"]),
    ("autoscaling", &["HorizontalPodAutoscaler"]),
    ("policy", &["PodDisruptionBudget"]),
    ("scheduling.k8s.io", &["PriorityClass"]),
    ("rbac.authorization.k8s.io", &["Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"]),
    ("certificates.k8s.io", &["CertificateSigningRequest"]),
];

/// The kind whose page an object has; empty for kinds that are shown field by field.
pub fn layout(resource: &Resource) -> &'static str {
    let of_group = LAYOUTS.iter().find(|(group, _)| *group == resource.group).map_or(&[][..], |(_, kinds)| *kinds);
    of_group.iter().find(|kind| **kind == resource.kind).copied().unwrap_or("")
}

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

/// Writes one object's page in a [`layout`]; `related` is what `describe.rs` found for its kind.
pub fn describe(layout: &str, object: &Value, related: &Value, page: &mut Page) {
    let meta = &object["metadata"];
    page.line(0, "Name", words(&meta["name"]));
    if layout == "Ingress" {
        page.pairs(0, "Labels", &meta["labels"], "=");
    }
    if !meta["namespace"].is_null() && !matches!(layout, "Role" | "RoleBinding") {
        page.line(0, "Namespace", words(&meta["namespace"]));
    }
    match layout {
        "Pod" => pod(object, page),
        "Node" => node::node(object, related, page),
        "Deployment" => workloads::deployment(object, related, page),
        "ReplicaSet" | "ReplicationController" => workloads::replica_set(object, related, page),
        "StatefulSet" => workloads::stateful_set(object, related, page),
        "DaemonSet" => workloads::daemon_set(object, related, page),
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
        _ => any(object, page),
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
    conditions(&status["conditions"], &["Type", "Status"], page);
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

/// Conditions, of which the columns name the fields; what is called a time is shown as one.
pub fn conditions(list: &Value, columns: &[&str], page: &mut Page) {
    let cell = |condition: &Value, column: &str| {
        let mut field = column.to_owned();
        field.get_mut(..1).map(str::make_ascii_lowercase);
        if column.ends_with("Time") { moment(&condition[field]) } else { words(&condition[field]) }
    };
    let rows: Vec<Vec<String>> = items(list).map(|c| columns.iter().map(|column| cell(c, column)).collect()).collect();
    if !rows.is_empty() {
        page.head(0, "Conditions");
        page.table(1, columns, &rows);
    }
}

fn tolerations(spec: &Value) -> Vec<String> {
    items(&spec["tolerations"]).map(toleration).collect()
}

/// A toleration or a taint.
pub fn toleration(t: &Value) -> String {
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

/// Values one below the other, or behind the name if there is one.
pub fn lines(level: usize, name: &str, all: &[String], page: &mut Page) {
    match all {
        [] => page.line(level, name, ""),
        [one] => page.line(level, name, one.clone()),
        many => {
            page.head(level, name);
            many.iter().for_each(|line| page.raw(level + 1, line.clone()));
        }
    }
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
        page.raw(0, format!("{key}: {} bytes", size(value)));
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
        // A description must not show a secret.
        page.raw(0, format!("{key}:  {} bytes", size(value)));
    }
}

/// How many bytes a text in base64 stands for.
fn size(value: &Value) -> usize {
    let text = words(value);
    let padding = text.bytes().rev().take_while(|b| *b == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding)
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
    let ingress = items(&object["status"]["loadBalancer"]["ingress"]).map(balancer).collect::<Vec<_>>().join(", ");
    for (name, shown) in [
        ("External IPs", all("externalIPs")),
        ("Desired LoadBalancer IP", words(&spec["loadBalancerIP"])),
        ("External Name", words(&spec["externalName"])),
        ("LoadBalancer Ingress", ingress),
    ] {
        if !shown.is_empty() {
            page.line(0, name, shown);
        }
    }
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
    for (name, field) in [
        ("External Traffic Policy", "externalTrafficPolicy"),
        ("Internal Traffic Policy", "internalTrafficPolicy"),
        ("Traffic Distribution", "trafficDistribution"),
        ("HealthCheck NodePort", "healthCheckNodePort"),
    ] {
        page.some(0, name, &spec[field]);
    }
    if items(&spec["loadBalancerSourceRanges"]).next().is_some() {
        page.line(0, "LoadBalancer Source Ranges", all("loadBalancerSourceRanges"));
    }
}

/// Where a load balancer is: `10.0.0.1 (VIP)`.
fn balancer(ingress: &Value) -> String {
    let place = ingress["ip"].as_str().filter(|ip| !ip.is_empty()).or(ingress["hostname"].as_str()).unwrap_or("");
    match ingress["ipMode"].as_str() {
        Some(mode) => format!("{place} ({mode})"),
        None => place.to_owned(),
    }
}

fn any(object: &Value, page: &mut Page) {
    both(object, page);
    page.line(0, "API Version", words(&object["apiVersion"]));
    page.line(0, "Kind", words(&object["kind"]));
    let mut meta = object["metadata"].clone();
    if let Some(map) = meta.as_object_mut() {
        for field in ["name", "namespace", "labels", "annotations", "managedFields"] {
            map.remove(field);
        }
    }
    page.tree(0, "Metadata", &meta);
    for (key, value) in object.as_object().into_iter().flatten() {
        if !matches!(key.as_str(), "apiVersion" | "kind" | "metadata") {
            page.tree(0, &heading(key), value);
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
    fn any_field_has_a_heading() {
        let object = json!({"apiVersion": "a/v1", "kind": "Kettle", "": "x", "é": "y", "hotWater": "z"});
        check("", &object, &Value::Null, &["\n:             x", "É:            y", "Hot Water:    z"]);
    }

    #[test]
    fn a_service_says_where_it_is_reached() {
        let service = json!({"metadata": {"name": "a"}, "spec": {"externalIPs": ["10.0.0.1", "10.0.0.2"],
            "externalName": "b.lan", "internalTrafficPolicy": "Local"},
            "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.3", "ipMode": "VIP"}, {"hostname": "c.lan"}]}}});
        let lines = [
            "External IPs:             10.0.0.1,10.0.0.2\n",
            "External Name:            b.lan\n",
            "LoadBalancer Ingress:     10.0.0.3 (VIP), c.lan\n",
            "Internal Traffic Policy:  Local\n",
        ];
        check("Service", &service, &Value::Null, &lines);
    }

    #[test]
    fn data_has_the_size_of_its_bytes() {
        let map = json!({"metadata": {"name": "a"}, "binaryData": {"x": "eA==", "xyz": "eHl6"}});
        check("ConfigMap", &map, &Value::Null, &["x: 1 bytes\nxyz: 3 bytes\n"]);
    }

    #[test]
    fn a_kind_of_another_group_has_no_page_of_its_own() {
        for (group, kind, expected) in [
            ("", "Service", "Service"),
            ("serving.example.com", "Service", ""),
            ("apps", "Pod", ""),
            ("a", "Kettle", ""),
        ] {
            let resource = Resource { group: group.to_owned(), kind: kind.to_owned(), ..Resource::default() };
            assert_eq!(layout(&resource), expected, "{group} {kind}");
        }
    }
}
