//! The page of a node.
//!
//! In: a node, its lease, its pods. Out: lines. Never asks the server.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use kedge_api::quantity::Quantity;
use kedge_api::resources::{self, Amounts, Counting, Half};
use serde_json::Value;

use super::kinds::both;
use super::page::Page;
use super::values::{age, amount, flag, items, moment, or_none, words};

/// Resources that a page tells of though nobody asks for them.
const ALWAYS: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// What a node says of itself: the titles, and the fields of `nodeInfo`.
const SYSTEM: [(&str, &str); 9] = [
    ("Machine ID", "machineID"),
    ("System UUID", "systemUUID"),
    ("Boot ID", "bootID"),
    ("Kernel Version", "kernelVersion"),
    ("OS Image", "osImage"),
    ("Operating System", "operatingSystem"),
    ("Architecture", "architecture"),
    ("Container Runtime Version", "containerRuntimeVersion"),
    ("Kubelet Version", "kubeletVersion"),
];
/// Pools of devices that are named; the others are counted.
const POOLS: usize = 10;

/// All but what is told of its pods; `related` has its lease, or why there is none, and its slices of devices.
pub fn node(node: &Value, related: &Value, page: &mut Page) {
    let (spec, status) = (&node["spec"], &node["status"]);
    page.line(0, "Roles", roles(&node["metadata"]["labels"]));
    both(node, page);
    page.line(0, "CreationTimestamp", moment(&node["metadata"]["creationTimestamp"]));
    let mut taints: Vec<&Value> = items(&spec["taints"]).collect();
    taints.sort_by_key(|one| format!("{},{}", words(&one["effect"]), words(&one["key"])));
    page.list(0, "Taints", &taints.into_iter().map(taint).collect::<Vec<_>>());
    page.line(0, "Unschedulable", flag(&spec["unschedulable"]));
    lease(related, page);
    conditions(&status["conditions"], page);
    page.head(0, "Addresses");
    for address in items(&status["addresses"]) {
        page.line(1, &words(&address["type"]), words(&address["address"]));
    }
    for (name, field) in [("Capacity", "capacity"), ("Allocatable", "allocatable")] {
        if let Some(map) = status[field].as_object().filter(|map| !map.is_empty()) {
            page.head(0, name);
            map.iter().for_each(|(key, value)| page.line(1, key, amount(value)));
        }
    }
    devices(&related["slices"], page);
    page.head(0, "System Info");
    SYSTEM.iter().for_each(|(name, field)| page.line(1, name, words(&status["nodeInfo"][*field])));
    page.some(0, "PodCIDR", &spec["podCIDR"]);
    if items(&spec["podCIDRs"]).next().is_some() {
        page.joined(0, "PodCIDRs", &spec["podCIDRs"]);
    }
    page.some(0, "ProviderID", &spec["providerID"]);
}

fn taint(taint: &Value) -> String {
    let [key, value, effect] = ["key", "value", "effect"].map(|field| words(&taint[field]));
    match (value.is_empty(), effect.is_empty()) {
        (true, true) => key,
        (true, false) => format!("{key}:{effect}"),
        _ => format!("{key}={value}:{effect}"),
    }
}

fn lease(related: &Value, page: &mut Page) {
    if !related["without"].is_null() {
        return page.line(0, "Lease", format!("Failed to get lease: {}", words(&related["without"])));
    }
    let spec = &related["lease"]["spec"];
    let or_unset = |value: &Value, text: String| if value.is_null() { "<unset>".to_owned() } else { text };
    page.head(0, "Lease");
    page.line(1, "HolderIdentity", or_unset(&spec["holderIdentity"], words(&spec["holderIdentity"])));
    for (name, field) in [("AcquireTime", "acquireTime"), ("RenewTime", "renewTime")] {
        page.line(1, name, or_unset(&spec[field], moment(&spec[field])));
    }
}

fn conditions(list: &Value, page: &mut Page) {
    if items(list).next().is_none() {
        return;
    }
    page.head(0, "Conditions");
    page.table(1, &["Type", "Status", "LastHeartbeatTime", "LastTransitionTime", "Reason", "Message"], &[]);
    for one in items(list) {
        let [of, is, why, message] = ["type", "status", "reason", "message"].map(|field| words(&one[field]));
        let [seen, changed] = ["lastHeartbeatTime", "lastTransitionTime"].map(|field| moment(&one[field]));
        page.raw(1, format!("{of} \t{is} \t{seen} \t{changed} \t{why} \t{message}"));
    }
}

/// How many devices are in which pool.
fn devices(slices: &Value, page: &mut Page) {
    let mut pools: BTreeMap<String, (String, usize, usize)> = BTreeMap::new();
    for spec in items(slices).map(|slice| &slice["spec"]) {
        let (driver, pool) = (words(&spec["driver"]), words(&spec["pool"]["name"]));
        let entry = pools.entry(format!("{driver}/{pool}")).or_insert((format!("{driver}\t{pool}"), 0, 0));
        entry.1 += 1;
        entry.2 += items(&spec["devices"]).count();
    }
    if pools.is_empty() {
        return;
    }
    page.head(0, "Node-Local ResourceSlices");
    page.table(1, &["Driver", "Pool", "Slices", "Devices"], &[]);
    for (named, slices, devices) in pools.values().take(POOLS) {
        page.raw(1, format!("{named}\t{slices}\t{devices}"));
    }
    if pools.len() > POOLS {
        page.raw(1, format!("...and {} more pools", pools.len() - POOLS));
    }
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
    let roles: BTreeSet<String> = roles.filter(|role| !role.is_empty()).collect();
    or_none(roles.into_iter().collect::<Vec<_>>().join(","))
}

/// The pods of a node and what they ask for; `None` for who may not see them.
pub fn pods(node: &Value, pods: Option<&Value>, now: SystemTime, page: &mut Page) {
    let Some(pods) = pods else { return page.line(0, "Pods", "not authorized") };
    let live: Vec<&Value> = items(&pods["items"])
        .filter(|pod| !matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")))
        .collect();
    let status = &node["status"];
    let all =
        resources::read(Some(&status[if status["allocatable"].is_object() { "allocatable" } else { "capacity" }]));
    page.line(0, "Non-terminated Pods", format!("({} in total)", live.len()));
    // The name has a column of nothing behind it, as in kubectl.
    let head = ["Namespace", "Name", "", "CPU Requests", "CPU Limits", "Memory Requests", "Memory Limits", "Age"];
    page.table(1, &head, &[]);
    let mut totals = [Amounts::new(), Amounts::new()];
    for pod in &live {
        let of = |status: bool| {
            let counting = Counting { overhead: true, status };
            [Half::Requests, Half::Limits].map(|half| resources::of_pod(pod, half, counting))
        };
        totals.iter_mut().zip(of(false)).for_each(|(total, own)| resources::add(total, &own));
        let (meta, own) = (&pod["metadata"], of(true));
        let mut row = vec![words(&meta["namespace"]), words(&meta["name"]), String::new()];
        for name in ["cpu", "memory"] {
            row.extend(own.iter().map(|amounts| share(name, amounts, &all)));
        }
        row.push(age(&meta["creationTimestamp"], now));
        page.rows(1, &[row]);
    }
    page.head(0, "Allocated resources");
    page.raw(1, "(Total limits may be over 100 percent, i.e., overcommitted.)");
    page.table(1, &["Resource", "Requests", "Limits"], &[]);
    let more = || all.keys().map(String::as_str).filter(|name| *name != "pods" && !ALWAYS.contains(name));
    let (huge, others): (Vec<&str>, Vec<&str>) = more().partition(|name| name.starts_with("hugepages-"));
    for name in ALWAYS.into_iter().chain(huge) {
        let [asked, most] = totals.each_ref().map(|amounts| share(name, amounts, &all));
        page.raw(1, format!("{name}\t{asked}\t{most}"));
    }
    // Only of what the node itself has some of is there a share.
    for name in others {
        let [asked, most] = totals.each_ref().map(|amounts| part(name, amounts));
        page.raw(1, format!("{name}\t{asked}\t{most}"));
    }
}

fn part(name: &str, amounts: &Amounts) -> Quantity {
    amounts.get(name).copied().unwrap_or(Quantity::ZERO)
}

/// `250m (12%)`.
fn share(name: &str, amounts: &Amounts, all: &Amounts) -> String {
    let count = |quantity: Quantity| if name == "cpu" { quantity.milli_value() } else { quantity.value() };
    let (own, whole) = (part(name, amounts), count(part(name, all)));
    let percent = if whole == 0 { 0.0 } else { count(own) as f64 / whole as f64 * 100.0 };
    format!("{own} ({}%)", percent.trunc())
}

#[cfg(test)]
mod tests {
    use kedge_api::clock;
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(write: impl FnOnce(&mut Page), expected: &[&str]) {
        let mut page = Page::default();
        write(&mut page);
        let text = page.text();
        expected.iter().for_each(|words| assert!(text.contains(words), "no {words:?} in {text}"));
    }

    #[test]
    fn a_node_has_roles_a_lease_and_conditions() {
        let object = json!({"metadata": {"name": "n", "labels": {
            "node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": "", "a": "b"}},
            "spec": {"taints": [{"key": "z", "effect": "NoSchedule"}, {"key": "a", "value": "b", "effect": "NoExecute"}]},
            "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Fine", "message": "all is well",
                "lastHeartbeatTime": "2026-11-30T10:00:00Z", "lastTransitionTime": "2026-11-30T09:00:00Z"}]}});
        let lease = json!({"lease": {"spec": {"holderIdentity": "n", "renewTime": "2026-11-30T10:00:00.5Z"}}});
        check(
            |page| node(&object, &lease, page),
            &[
                "Roles:              control-plane,worker\n",
                "Taints:             a=b:NoExecute\n                    z:NoSchedule\n",
                "Lease:\n  HolderIdentity:  n\n  AcquireTime:     <unset>\n  RenewTime:       Mon, 30 Nov 2026 10:00:00 +0000\n",
                "  Type    Status  LastHeartbeatTime                 LastTransitionTime                Reason  Message\n",
                "  Ready   True    Mon, 30 Nov 2026 10:00:00 +0000   Mon, 30 Nov 2026 09:00:00 +0000   Fine    all is well\n",
                "System Info:\n  Machine ID:                 \n",
            ],
        );
        let bare = json!({"metadata": {"name": "n"}});
        check(
            |page| node(&bare, &json!({"without": "no"}), page),
            &["<none>", "Lease:              Failed to get lease: no\n"],
        );
    }

    #[test]
    fn a_node_tells_what_its_pods_take() {
        let object = json!({"status": {"allocatable": {"cpu": "2", "memory": "1000Mi", "pods": "110", "a/b": "1"}}});
        let pod = json!({"metadata": {"namespace": "a", "name": "p", "creationTimestamp": "2026-11-30T10:00:00Z"},
            "spec": {"containers": [
                {"resources": {"requests": {"cpu": "250m"}, "limits": {"cpu": "3", "memory": "100Mi"}}}]}});
        let done = json!({"status": {"phase": "Succeeded"}, "metadata": {"name": "done"}});
        let now = clock::parse("2026-11-30T10:05:00Z").unwrap();
        check(
            |page| pods(&object, Some(&json!({"items": [pod, done]})), now, page),
            &[
                "Non-terminated Pods:  (1 in total)\n",
                "  Namespace           Name    CPU Requests  CPU Limits  Memory Requests  Memory Limits  Age\n",
                "  a                   p       250m (12%)    3 (150%)    0 (0%)           100Mi (10%)    5m\n",
                "  cpu                250m (12%)  3 (150%)\n  memory             0 (0%)      100Mi (10%)\n  ephemeral-storage  0 (0%)      0 (0%)\n  a/b                0           0\n",
            ],
        );
        check(|page| pods(&object, None, now, page), &["Pods:  not authorized\n"]);
    }

    #[test]
    fn pools_of_devices_are_counted() {
        let slice = |pool: String| json!({"spec": {"driver": "d", "pool": {"name": pool}, "devices": [{}, {}]}});
        let mut slices: Vec<Value> = (10..=20).map(|i| slice(i.to_string())).collect();
        slices.push(slice("10".to_owned()));
        check(
            |page| devices(&json!(slices), page),
            &[
                "Node-Local ResourceSlices:\n  Driver  Pool  Slices  Devices\n",
                "  d       10    2       4\n",
                "...and 1 more pools\n",
            ],
        );
    }
}
