//! What nodes may do by the pods that are bound to them, and who may act as somebody else.

use kedge_apiserver::Identity;
use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, PODS, config_map, pod, server, until};

const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

#[tokio::test]
async fn a_node_reads_what_its_pods_need_and_no_more() {
    let server = server().await.with_account().await;
    let admin = &server.admin;
    for name in ["mine", "other"] {
        admin.post(SECRETS, json!({"metadata": {"name": name}})).await.ok();
        admin.post(CONFIG_MAPS, config_map(name)).await.ok();
    }
    let mut bound = pod("p");
    bound["spec"]["nodeName"] = json!("n1");
    bound["spec"]["volumes"] =
        json!([{"name": "s", "secret": {"secretName": "mine"}}, {"name": "c", "configMap": {"name": "mine"}}]);
    let (one, two) = (server.as_user(Identity::node("n1")), server.as_user(Identity::node("n2")));
    let strange = "no relationship found between node 'n1' and this object";
    one.get(&format!("{SECRETS}/mine")).await.fails(403, strange);
    let made = admin.post(PODS, bound).await.ok();
    // At once: the store is asked where the graph may be behind.
    one.get(&format!("{SECRETS}/mine")).await.ok();
    one.get(&format!("{CONFIG_MAPS}/mine")).await.ok();
    one.get(&format!("{PODS}/p")).await.ok();
    one.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1").await.ok();
    one.get(&format!("{SECRETS}?fieldSelector=metadata.name%3Dmine")).await.ok();
    let token = "/api/v1/namespaces/default/serviceaccounts/default/token";
    let reference = json!({"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": made["metadata"]["uid"]});
    one.post(token, json!({"spec": {"boundObjectRef": reference}})).await.ok();

    one.get(&format!("{SECRETS}/other")).await.fails(403, strange);
    one.get(SECRETS).await.fails(403, "No Object name found");
    one.get("/api/v1/pods").await.fails(403, "can only list/watch pods with spec.nodeName field selector");
    one.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn2").await.fails(403, "spec.nodeName field selector");
    two.get(&format!("{SECRETS}/mine")).await.fails(403, "node 'n2'");
    two.get(&format!("{PODS}/p")).await.fails(403, "node 'n2'");
    two.post(token, json!({"spec": {}})).await.fails(403, "node 'n2'");
    let lease = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n2";
    one.patch("merge", lease, json!({})).await.fails(403, "same name as the requesting node");
    // The name alone makes no node, nor does the group.
    server.as_user(Identity::user("system:node:n1", [""; 0])).get(&format!("{SECRETS}/mine")).await.fails(403, "");
    server.as_user(Identity::user("n1", ["system:nodes"])).get(&format!("{SECRETS}/mine")).await.fails(403, "");

    admin.delete(&format!("{PODS}/p?gracePeriodSeconds=0"), Value::Null).await.ok();
    until(async || one.get(&format!("{SECRETS}/mine")).await.code == 403).await;
}

#[tokio::test]
async fn somebody_may_be_another_for_some_requests_only() {
    let server = server().await;
    let admin = &server.admin;
    let role = json!({"metadata": {"name": "be-joe"}, "rules": [
        {"verbs": ["impersonate:user-info"], "apiGroups": ["authentication.k8s.io"], "resources": ["users"], "resourceNames": ["joe"]},
        {"verbs": ["impersonate-on:user-info:list"], "apiGroups": [""], "resources": ["configmaps"]}]});
    admin.post(&format!("{RBAC}/clusterroles"), role).await.ok();
    for (name, role, user) in [("a", "be-joe", "jane"), ("b", "view", "joe")] {
        let binding = json!({"metadata": {"name": name}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}]});
        admin.post(&format!("{RBAC}/clusterrolebindings"), binding).await.ok();
    }
    let jane = server.as_user(Identity::user("jane", [""; 0]));
    let as_joe = [("impersonate-user", "joe")];
    until(async || jane.send("GET", CONFIG_MAPS, &as_joe, "").await.code == 200).await;
    // Joe may list pods; jane may not do that as joe.
    jane.send("GET", PODS, &as_joe, "").await.fails(403, "cannot impersonate-on:user-info:list resource \\\"pods\\\"");
    let as_group = [("impersonate-user", "joe"), ("impersonate-group", "system:masters")];
    jane.send("GET", CONFIG_MAPS, &as_group, "")
        .await
        .fails(403, "impersonating the system:masters group is not allowed");
    let as_node = [("impersonate-user", "system:node:n1")];
    jane.send("GET", CONFIG_MAPS, &as_node, "").await.fails(403, "impersonate-on:arbitrary-node:list");
}

#[tokio::test]
async fn a_node_is_told_that_its_rules_are_not_all() {
    let server = server().await;
    let node = server.as_user(Identity::node("n1"));
    let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let seen = node.post(path, json!({"spec": {"namespace": "default"}})).await.ok();
    assert_eq!(seen["status"]["incomplete"], true);
    assert_eq!(seen["status"]["evaluationError"], "node authorizer does not support user rule resolution");
}
