//! The page of a node.
//!
//! In: a node, its lease, its pods. Out: lines. Never asks the server.

use std::collections::BTreeSet;
use std::time::SystemTime;

use kedge_api::quantity::Quantity;
use kedge_api::resources::{self, Amounts, Counting, Half};
use serde_json::Value;

use super::kinds::{both, conditions, lines, toleration};
use super::page::{Page, age, items, moment, words};

/// Resources that a page tells of though nobody asks for them.
const ALWAYS: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// All but what is told of its pods.
pub fn node(node: &Value, lease: &Value, page: &mut Page) {
    let (spec, status) = (&node["spec"], &node["status"]);
    page.line(0, "Roles", roles(&node["metadata"]["labels"]));
    both(node, page);
    page.line(0, "CreationTimestamp", moment(&node["metadata"]["creationTimestamp"]));
    let taints: Vec<String> = items(&spec["taints"]).map(toleration).collect();
    lines(0, "Taints", &taints, page);
    page.line(0, "Unschedulable", (spec["unschedulable"] == true).to_string());
    page.head(0, "Lease");
    let or_unset = |text: String| if text.is_empty() { "<unset>".to_owned() } else { text };
    page.line(1, "HolderIdentity", or_unset(words(&lease["spec"]["holderIdentity"])));
    for (name, field) in [("AcquireTime", "acquireTime"), ("RenewTime", "renewTime")] {
        page.line(1, name, or_unset(moment(&lease["spec"][field])));
    }
    let columns = ["Type", "Status", "LastHeartbeatTime", "LastTransitionTime", "Reason", "Message"];
    conditions(&status["conditions"], &columns, page);
    page.head(0, "Addresses");
    for address in items(&status["addresses"]) {
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
    let roles: BTreeSet<String> = roles.filter(|role| !role.is_empty()).collect();
    roles.into_iter().collect::<Vec<_>>().join(",")
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
    let (mut rows, mut totals) = (Vec::new(), [Amounts::new(), Amounts::new()]);
    for pod in &live {
        let own = [Half::Requests, Half::Limits].map(|half| {
            let counting = Counting { overhead: true, status: false };
            resources::of_pod(pod, half, counting)
        });
        totals.iter_mut().zip(&own).for_each(|(total, own)| resources::add(total, own));
        let meta = &pod["metadata"];
        let mut row = vec![words(&meta["namespace"]), words(&meta["name"])];
        for name in ["cpu", "memory"] {
            row.extend(own.iter().map(|amounts| share(name, amounts, &all)));
        }
        row.push(age(meta["creationTimestamp"].as_str().unwrap_or(""), now));
        rows.push(row);
    }
    page.line(0, "Non-terminated Pods", format!("({} in total)", rows.len()));
    let head = ["Namespace", "Name", "CPU Requests", "CPU Limits", "Memory Requests", "Memory Limits", "Age"];
    page.table(1, &head, &rows);
    page.head(0, "Allocated resources");
    page.raw(1, "(Total limits may be over 100 percent, i.e., overcommitted.)");
    let more = all.keys().map(String::as_str).filter(|name| *name != "pods" && !ALWAYS.contains(name));
    let rows: Vec<Vec<String>> = ALWAYS
        .into_iter()
        .chain(more)
        .map(|name| {
            // Only of what the node itself has some of is there a share.
            let shown = |amounts: &Amounts| match ALWAYS.contains(&name) || name.starts_with("hugepages-") {
                true => share(name, amounts, &all),
                false => amount(name, amounts).to_string(),
            };
            vec![name.to_owned(), shown(&totals[0]), shown(&totals[1])]
        })
        .collect();
    page.table(1, &["Resource", "Requests", "Limits"], &rows);
}

fn amount(name: &str, amounts: &Amounts) -> Quantity {
    amounts.get(name).copied().unwrap_or(Quantity::ZERO)
}

/// `250m (12%)`.
fn share(name: &str, amounts: &Amounts, all: &Amounts) -> String {
    let (part, whole) = (amount(name, amounts), amount(name, all));
    let percent = if whole.is_zero() { 0.0 } else { part.as_f64() / whole.as_f64() * 100.0 };
    format!("{part} ({}%)", percent.floor())
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
            "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Fine", "message": "all is well",
                "lastHeartbeatTime": "2026-11-30T10:00:00Z", "lastTransitionTime": "2026-11-30T09:00:00Z"}]}});
        let lease = json!({"spec": {"holderIdentity": "n", "renewTime": "2026-11-30T10:00:00.5Z"}});
        check(
            |page| node(&object, &lease, page),
            &[
                "Roles:              control-plane,worker\n",
                "Lease:\n  HolderIdentity:  n\n  AcquireTime:     <unset>\n  RenewTime:       Mon, 30 Nov 2026 10:00:00 +0000\n",
                "  Ready  True    Mon, 30 Nov 2026 10:00:00 +0000  Mon, 30 Nov 2026 09:00:00 +0000  Fine    all is well\n",
            ],
        );
        let bare = json!({"metadata": {"name": "n"}});
        check(|page| node(&bare, &Value::Null, page), &["Roles:              <none>", "<unset>"]);
    }

    #[test]
    fn a_node_tells_what_its_pods_take() {
        let object = json!({"status": {"allocatable": {"cpu": "2", "memory": "1000Mi", "pods": "110"}}});
        let pod = json!({"metadata": {"namespace": "a", "name": "p", "creationTimestamp": "2026-11-30T10:00:00Z"},
            "spec": {"containers": [
                {"resources": {"requests": {"cpu": "250m"}, "limits": {"cpu": "3", "memory": "100Mi"}}}]}});
        let done = json!({"status": {"phase": "Succeeded"}, "metadata": {"name": "done"}});
        let now = clock::parse("2026-11-30T10:05:00Z").unwrap();
        check(
            |page| pods(&object, Some(&json!({"items": [pod, done]})), now, page),
            &[
                "Non-terminated Pods:  (1 in total)\n",
                "  a          p     250m (12%)    3 (150%)    0 (0%)           100Mi (10%)    5m\n",
                "  cpu                250m (12%)  3 (150%)\n  memory             0 (0%)      100Mi (10%)\n  ephemeral-storage  0 (0%)      0 (0%)\n",
            ],
        );
        check(|page| pods(&object, None, now, page), &["Pods:  not authorized\n"]);
    }
}
