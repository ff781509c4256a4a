//! Who may do what: roles, escalation, reviews, tokens, impersonation.

use kedge_apiserver::Identity;
use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, Client, PODS, Server, config_map, pod, server, until};

fn nobody(server: &Server) -> Client {
    server.as_user(Identity::user("jane", [""; 0]))
}

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

#[tokio::test]
async fn roles_grant_and_bindings_end() {
    let server = server().await;
    let jane = nobody(&server);
    jane.get(CONFIG_MAPS).await.fails(403, "configmaps is forbidden: User \\\"jane\\\" cannot list resource \\\"configmaps\\\" in API group \\\"\\\" in the namespace \\\"default\\\"");
    let binding = json!({"metadata": {"name": "jane"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}]});
    let path = format!("{RBAC}/namespaces/default/rolebindings");
    server.admin.post(&path, binding).await.ok();
    until(async || jane.get(CONFIG_MAPS).await.code == 200).await;
    jane.get("/api/v1/namespaces/kube-system/configmaps").await.fails(403, "kube-system");
    jane.get("/api/v1/namespaces/default/secrets").await.fails(403, "secrets");
    jane.post(CONFIG_MAPS, config_map("a")).await.fails(403, "cannot create resource");
    server.admin.delete(&format!("{path}/jane"), Value::Null).await.ok();
    until(async || jane.get(CONFIG_MAPS).await.code == 403).await;
}

#[tokio::test]
async fn nobody_hands_out_more_than_they_hold() {
    let server = server().await;
    let admin_of_default = json!({"metadata": {"name": "jane"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
        "subjects": [{"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}]});
    server.admin.post(&format!("{RBAC}/namespaces/default/rolebindings"), admin_of_default).await.ok();
    let jane = nobody(&server);
    until(async || jane.get(CONFIG_MAPS).await.code == 200).await;
    let roles = format!("{RBAC}/namespaces/default/roles");
    let role = |resource: &str| json!({"metadata": {"name": "r"}, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": [resource]}]});
    jane.post(&roles, role("nodes")).await.fails(403, "attempting to grant RBAC permissions not currently held");
    jane.post(&roles, role("pods")).await.ok();
    let bind = |role: &str| json!({"metadata": {"name": format!("b-{role}")}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}, "subjects": []});
    let bindings = format!("{RBAC}/namespaces/default/rolebindings");
    jane.post(&bindings, bind("cluster-admin")).await.fails(403, "not currently held");
    jane.post(&bindings, bind("view")).await.ok();
}

#[tokio::test]
async fn whoever_changes_a_role_or_binding_must_hold_what_it_grants() {
    let server = server().await;
    let admin = &server.admin;
    let rule = |verbs: &[&str], groups: &[&str], resources: &[&str]| json!({"verbs": verbs, "apiGroups": groups, "resources": resources});
    let group = "rbac.authorization.k8s.io";
    let roles = format!("{RBAC}/clusterroles");
    let bindings = format!("{RBAC}/clusterrolebindings");
    let role = |name: &str, rules: Value| json!({"metadata": {"name": name}, "rules": rules});
    let bind = |name: &str, role: &str, who: &str| {
        json!({"metadata": {"name": name}, "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "User", "name": who, "apiGroup": group}]})
    };
    let editor =
        json!([rule(&["get", "create", "update", "patch"], &[group], &["*"]), rule(&["get"], &[""], &["pods"])]);
    for made in [role("editor", editor), role("strong", json!([rule(&["get", "list"], &[""], &["secrets"])]))] {
        admin.post(&roles, made).await.ok();
    }
    admin.post(&roles, role("weak", json!([rule(&["get"], &[""], &["pods"])]))).await.ok();
    let gathering = json!({"metadata": {"name": "gathers"}, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}});
    admin.post(&roles, gathering).await.ok();
    admin.post(&bindings, bind("jane", "editor", "jane")).await.ok();
    admin.post(&bindings, bind("theirs", "strong", "joe")).await.ok();
    let jane = nobody(&server);
    until(async || jane.get(&format!("{roles}/strong")).await.code == 200).await;

    let label = json!({"metadata": {"labels": {"a": "b"}}});
    let held = "is attempting to grant RBAC permissions not currently held:\\n{APIGroups:[\\\"\\\"], Resources:[\\\"secrets\\\"], Verbs:[\\\"get\\\" \\\"list\\\"]}";
    for (path, refused) in [
        (format!("{roles}/weak"), None),
        (format!("{roles}/strong"), Some(held)),
        (format!("{bindings}/theirs"), Some(held)),
        (format!("{roles}/gathers"), Some("must have cluster-admin privileges to use the aggregationRule")),
    ] {
        let seen = jane.patch("merge", &path, label.clone()).await;
        match refused {
            Some(why) => drop(seen.fails(403, why)),
            None => drop(seen.ok()),
        }
    }
    // A rule that gathers is not taken away either, and letting go is everybody's.
    let bare = json!({"aggregationRule": null});
    jane.patch("merge", &format!("{roles}/gathers"), bare).await.fails(403, "must have cluster-admin privileges");
    let last = json!({"metadata": {"finalizers": ["a.b/c"]}});
    jane.patch("merge", &format!("{roles}/strong"), last).await.ok();
}

#[tokio::test]
async fn what_an_update_makes_must_be_allowed_to_be_created() {
    let server = server().await;
    let group = "rbac.authorization.k8s.io";
    let rules = json!([{"verbs": ["update", "patch"], "apiGroups": [""], "resources": ["limitranges", "configmaps"]}]);
    let role = json!({"metadata": {"name": "changer"}, "rules": rules});
    server.admin.post(&format!("{RBAC}/namespaces/default/roles"), role).await.ok();
    let binding = json!({"metadata": {"name": "jane"}, "roleRef": {"apiGroup": group, "kind": "Role", "name": "changer"},
        "subjects": [{"kind": "User", "name": "jane", "apiGroup": group}]});
    server.admin.post(&format!("{RBAC}/namespaces/default/rolebindings"), binding).await.ok();
    let jane = nobody(&server);
    until(async || jane.patch("merge", &format!("{CONFIG_MAPS}/none"), json!({})).await.code == 404).await;
    let refused = "User \\\"jane\\\" cannot create resource";
    jane.patch("apply", &format!("{CONFIG_MAPS}/a?fieldManager=x"), config_map("a")).await.fails(403, refused);
    let path = "/api/v1/namespaces/default/limitranges/a";
    let range = json!({"metadata": {"name": "a"}, "spec": {"limits": []}});
    jane.put(path, range.clone()).await.fails(403, refused);
    server.admin.put(path, range.clone()).await.ok();
    jane.put(path, range).await.ok();
}

#[tokio::test]
async fn whoever_may_only_read_runs_nothing() {
    let server = server().await.with_account().await;
    server.admin.post(PODS, pod("a")).await.ok();
    let rules =
        json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods/exec", "pods/attach", "pods/portforward"]}]);
    let role = json!({"metadata": {"name": "reader"}, "rules": rules});
    server.admin.post(&format!("{RBAC}/namespaces/default/roles"), role).await.ok();
    let binding = json!({"metadata": {"name": "jane"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}]});
    server.admin.post(&format!("{RBAC}/namespaces/default/rolebindings"), binding).await.ok();
    let jane = nobody(&server);
    for sub in ["exec", "attach", "portforward"] {
        let path = format!("{PODS}/a/{sub}?command=true&stdout=true");
        let why = format!("cannot create resource \\\"pods/{sub}\\\"");
        until(async || jane.get(&path).await.text.contains(&why)).await;
    }
}

#[tokio::test]
async fn everybody_sees_version_and_health_and_nobody_else_more() {
    let server = server().await;
    let anonymous = server.as_user(Identity::anonymous());
    for (path, code) in [
        ("/version", 200),
        ("/readyz", 200),
        ("/livez", 200),
        ("/healthz", 200),
        ("/api", 403),
        ("/metrics", 403),
        ("/nonsense", 403),
    ] {
        assert_eq!(anonymous.get(path).await.code, code, "{path}");
    }
    let jane = nobody(&server);
    for (path, code) in
        [("/api", 200), ("/apis/apps/v1", 200), ("/openapi/v2", 200), ("/metrics", 403), ("/nonsense", 403)]
    {
        assert_eq!(jane.get(path).await.code, code, "{path}");
    }
    server.admin.get("/nonsense").await.fails(404, "");
}

#[tokio::test]
async fn reviews_say_what_would_happen() {
    let server = server().await;
    let jane = nobody(&server);
    let group = "/apis/authorization.k8s.io/v1";
    let asks = |verb: &str| json!({"spec": {"resourceAttributes": {"verb": verb, "resource": "pods", "namespace": "default"}}});
    let own = jane.post(&format!("{group}/selfsubjectaccessreviews"), asks("get")).await;
    assert_eq!(own.code, 201);
    assert_eq!(own.ok()["status"]["allowed"], false);
    let mut other = asks("get");
    other["spec"]["user"] = json!("system:node:n1");
    other["spec"]["groups"] = json!(["system:nodes"]);
    let seen = server.admin.post(&format!("{group}/subjectaccessreviews"), other.clone()).await.ok();
    assert_eq!(
        (&seen["status"]["allowed"], &seen["status"]["reason"]),
        (&json!(false), &json!("No Object name found"))
    );
    let mut narrowed = other.clone();
    narrowed["spec"]["resourceAttributes"]["verb"] = json!("list");
    narrowed["spec"]["resourceAttributes"]["fieldSelector"] =
        json!({"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n1"]}]});
    let seen = server.admin.post(&format!("{group}/subjectaccessreviews"), narrowed.clone()).await.ok();
    assert_eq!(seen["status"]["allowed"], true);
    narrowed["spec"]["resourceAttributes"]["fieldSelector"]["rawSelector"] = json!("a=b");
    let path = format!("{group}/subjectaccessreviews");
    server.admin.post(&path, narrowed).await.fails(422, "may not specified at the same time as requirements");
    jane.post(&format!("{group}/subjectaccessreviews"), other.clone()).await.fails(403, "subjectaccessreviews");
    server
        .admin
        .post(&format!("{group}/namespaces/kube-system/localsubjectaccessreviews"), other)
        .await
        .fails(422, "resourceAttributes");
    let rules =
        jane.post(&format!("{group}/selfsubjectrulesreviews"), json!({"spec": {"namespace": "default"}})).await.ok();
    assert!(!rules["status"]["resourceRules"].as_array().unwrap().is_empty());
    let me = jane.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", json!({})).await.ok();
    assert_eq!(me["status"]["userInfo"]["username"], "jane");
}

#[tokio::test]
async fn tokens_name_accounts_until_they_are_gone() {
    let server = server().await;
    let admin = &server.admin;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    admin.post(accounts, json!({"metadata": {"name": "bot"}})).await.ok();
    let request = |seconds: u64| json!({"spec": {"expirationSeconds": seconds}});
    admin.post(&format!("{accounts}/bot/token"), request(5)).await.fails(422, "10 minutes");
    admin.post(&format!("{accounts}/none/token"), request(600)).await.fails(404, "not found");
    let made = admin.post(&format!("{accounts}/bot/token"), request(600)).await;
    assert_eq!(made.code, 201);
    let made = made.ok();
    let token = made["status"]["token"].as_str().unwrap().to_owned();
    let review = json!({"spec": {"token": token}});
    let path = "/apis/authentication.k8s.io/v1/tokenreviews";
    let seen = admin.post(path, review.clone()).await.ok();
    assert_eq!(seen["status"]["user"]["username"], "system:serviceaccount:default:bot");
    assert_eq!(seen["status"]["authenticated"], true);
    let elsewhere = json!({"spec": {"token": token, "audiences": ["vault"]}});
    assert_eq!(admin.post(path, elsewhere).await.ok()["status"]["authenticated"], false);
    admin.delete(&format!("{accounts}/bot"), Value::Null).await.ok();
    admin.post(accounts, json!({"metadata": {"name": "bot"}})).await.ok();
    let gone = admin.post(path, review).await.ok();
    assert_eq!(gone["status"]["authenticated"], false, "an account of the same name is another one");
}

#[tokio::test]
async fn impersonation_is_granted_by_rules() {
    let server = server().await;
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let headers = [("impersonate-user", "joe"), ("impersonate-group", "team"), ("content-type", "application/json")];
    let me = server.admin.send("POST", path, &headers, "{}").await.ok();
    assert_eq!(me["status"]["userInfo"]["username"], "joe");
    assert!(me["status"]["userInfo"]["groups"].as_array().unwrap().contains(&json!("team")));
    nobody(&server)
        .send("POST", path, &headers, "{}")
        .await
        .fails(403, "cannot impersonate-on:user-info:create resource");
    server.admin.send("POST", path, &headers[1..], "{}").await.fails(400, "without impersonating a user");
}
