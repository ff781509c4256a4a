//! What the server writes of what it decides: an IPAddress for each address of a Service, the rules that roles gather.

use serde_json::{Value, json};

use crate::support::{server, until};

const SERVICES: &str = "/api/v1/namespaces/default/services";
const ADDRESSES: &str = "/apis/networking.k8s.io/v1/ipaddresses";
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";

#[tokio::test]
async fn each_address_of_a_service_is_an_object() {
    let server = server().await;
    let admin = &server.admin;
    let own = admin.get(&format!("{SERVICES}/kubernetes")).await.ok()["spec"]["clusterIP"].as_str().unwrap().to_owned();
    until(async || admin.get(&format!("{ADDRESSES}/{own}")).await.code == 200).await;
    let service = json!({"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}});
    let ip = admin.post(SERVICES, service).await.ok()["spec"]["clusterIP"].as_str().unwrap().to_owned();
    let path = format!("{ADDRESSES}/{ip}");
    until(async || admin.get(&path).await.code == 200).await;
    let kept = admin.get(&path).await.ok();
    let parent = json!({"group": "", "resource": "services", "namespace": "default", "name": "web"});
    assert_eq!(kept["spec"]["parentRef"], parent);
    let labels = json!({"ipaddress.kubernetes.io/ip-family": "IPv4",
        "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"});
    assert_eq!(kept["metadata"]["labels"], labels);
    // It comes back while the Service is there, and goes with it.
    admin.delete(&path, Value::Null).await.ok();
    until(async || {
        admin.get(&path).await.body["metadata"]["uid"].as_str().is_some_and(|uid| kept["metadata"]["uid"] != uid)
    })
    .await;
    admin.post(SERVICES, json!({"metadata": {"name": "headless"}, "spec": {"clusterIP": "None"}})).await.ok();
    admin.delete(&format!("{SERVICES}/web"), Value::Null).await.ok();
    until(async || admin.get(&path).await.code == 404).await;
    let left = admin.get(ADDRESSES).await.ok();
    let names: Vec<_> = left["items"].as_array().unwrap().iter().map(|i| i["metadata"]["name"].clone()).collect();
    assert_eq!(names, [own]);
    let range = admin.get("/apis/networking.k8s.io/v1/servicecidrs/kubernetes").await.ok();
    assert_eq!(range["metadata"]["finalizers"], json!(["networking.k8s.io/service-cidr-finalizer"]));
}

#[tokio::test]
async fn what_roles_gather_is_written_into_them() {
    let server = server().await;
    let admin = &server.admin;
    let rules = async |name: &str| admin.get(&format!("{ROLES}/{name}")).await.ok()["rules"].take();
    assert!(rules("admin").await.as_array().is_some_and(|rules| rules.len() > 5), "from the start");
    let widgets = json!({"verbs": ["get", "list"], "apiGroups": ["example.com"], "resources": ["widgets"]});
    let part = json!({"metadata": {"name": "widgets", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
        "rules": [widgets]});
    admin.post(ROLES, part).await.ok();
    let has = async |name: &str| rules(name).await.as_array().unwrap().contains(&widgets);
    until(async || has("view").await && has("edit").await && has("admin").await).await;
    let kept = admin.get(&format!("{ROLES}/view")).await.ok();
    let managers = kept["metadata"]["managedFields"].as_array().unwrap();
    assert!(
        managers.iter().any(|m| m["manager"] == "clusterrole-aggregation-controller" && m["operation"] == "Apply"),
        "{managers:?}"
    );
    // Who writes into it is overruled, and what is gathered no more goes.
    admin.patch("merge", &format!("{ROLES}/view"), json!({"rules": []})).await.ok();
    until(async || has("view").await).await;
    admin.delete(&format!("{ROLES}/widgets"), Value::Null).await.ok();
    until(async || !has("view").await && !has("edit").await && !has("admin").await).await;
    let own = json!({"metadata": {"name": "own"}, "rules": [],
        "aggregationRule": {"clusterRoleSelectors": [{"matchExpressions": [{"key": "mine", "operator": "Exists"}]}]}});
    admin.post(ROLES, own).await.ok();
    admin.post(ROLES, json!({"metadata": {"name": "mine", "labels": {"mine": ""}}, "rules": [widgets]})).await.ok();
    until(async || has("own").await).await;
}

#[tokio::test]
async fn a_range_of_the_users_gives_addresses_until_it_ends() {
    const RANGES: &str = "/apis/networking.k8s.io/v1/servicecidrs";
    let server = server().await;
    let admin = &server.admin;
    let asked =
        |name: &str, ip: &str| json!({"metadata": {"name": name}, "spec": {"clusterIP": ip, "ports": [{"port": 80}]}});
    admin.post(SERVICES, asked("early", "10.99.0.5")).await.fails(422, "not in the valid range");
    let range = |name: &str, cidr: &str| json!({"metadata": {"name": name}, "spec": {"cidrs": [cidr]}});
    admin.post(RANGES, range("more", "10.99.0.0/29")).await.ok();
    let condition = async |name: &str| {
        let range = admin.get(&format!("{RANGES}/{name}")).await.body;
        range.pointer("/status/conditions/0").cloned().unwrap_or_default()
    };
    until(async || condition("more").await["status"] == "True").await;
    assert_eq!(condition("more").await["message"], "Kubernetes Service CIDR is ready");
    let kept = admin.get(&format!("{RANGES}/more")).await.ok();
    assert_eq!(kept["metadata"]["finalizers"], json!(["networking.k8s.io/service-cidr-finalizer"]));
    admin.post(SERVICES, asked("web", "10.99.0.5")).await.ok();
    until(async || admin.get(&format!("{ADDRESSES}/10.99.0.5")).await.code == 200).await;

    // It stays while the Service is there, and gives nothing meanwhile.
    admin.delete(&format!("{RANGES}/more"), Value::Null).await.ok();
    until(async || condition("more").await["reason"] == "Terminating").await;
    let ends = condition("more").await;
    assert_eq!(ends["status"], "False");
    assert_eq!(
        ends["message"],
        "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"
    );
    admin.post(SERVICES, asked("late", "10.99.0.4")).await.fails(422, "not in the valid range");
    // Another that has all of its addresses lets it go; without one, the Service's end does.
    admin.post(RANGES, range("all", "10.99.0.0/16")).await.ok();
    until(async || admin.get(&format!("{RANGES}/more")).await.code == 404).await;
    until(async || condition("all").await["status"] == "True").await;
    admin.post(SERVICES, asked("late", "10.99.0.4")).await.ok();
    admin.delete(&format!("{RANGES}/all"), Value::Null).await.ok();
    until(async || condition("all").await["reason"] == "Terminating").await;
    for name in ["web", "late"] {
        admin.delete(&format!("{SERVICES}/{name}"), Value::Null).await.ok();
    }
    until(async || admin.get(&format!("{RANGES}/all")).await.code == 404).await;
    // The server's own is held by its own Service.
    admin.delete(&format!("{RANGES}/kubernetes"), Value::Null).await.ok();
    until(async || condition("kubernetes").await["reason"] == "Terminating").await;
    admin
        .post(SERVICES, json!({"metadata": {"name": "none"}, "spec": {"ports": [{"port": 80}]}}))
        .await
        .fails(422, "full");
}

#[tokio::test]
async fn a_range_is_used_when_the_first_is_full() {
    let config = |config: &mut kedge_apiserver::Config| {
        config.service_network = ("10.43.0.0".parse().unwrap(), 30);
    };
    let server = crate::support::server_with(|c, _| config(c)).await;
    let service = |name: &str| json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}});
    let admin = &server.admin;
    admin.post(SERVICES, service("a")).await.ok();
    admin.post(SERVICES, service("b")).await.fails(422, "range 10.43.0.0/30 is full");
    let range = json!({"metadata": {"name": "more"}, "spec": {"cidrs": ["10.99.0.0/29"]}});
    admin.post("/apis/networking.k8s.io/v1/servicecidrs", range).await.ok();
    until(async || admin.post(SERVICES, service("b")).await.code == 201).await;
    let ip = admin.get(&format!("{SERVICES}/b")).await.ok()["spec"]["clusterIP"].as_str().unwrap().to_owned();
    assert!(ip.starts_with("10.99.0."), "{ip}");
}

#[tokio::test]
async fn a_range_of_ipv6_gives_services_a_second_address() {
    const RANGES: &str = "/apis/networking.k8s.io/v1/servicecidrs";
    let server = server().await;
    let admin = &server.admin;
    let service = |name: &str, policy: &str| json!({"metadata": {"name": name}, "spec": {"ipFamilyPolicy": policy, "ports": [{"port": 80}]}});
    let path = |name: &str| format!("{SERVICES}/{name}");
    admin.post(SERVICES, service("early", "RequireDualStack")).await.fails(422, "not configured for dual-stack");
    let early = admin.post(SERVICES, service("early", "PreferDualStack")).await.ok();
    assert_eq!(early["spec"]["ipFamilies"], json!(["IPv4"]));
    let range = json!({"metadata": {"name": "six"}, "spec": {"cidrs": ["fd00:6::/112"]}});
    admin.post(RANGES, range).await.ok();
    until(async || admin.post(SERVICES, service("web", "RequireDualStack")).await.code == 201).await;
    let web = admin.get(&path("web")).await.ok();
    assert_eq!(web["spec"]["ipFamilies"], json!(["IPv4", "IPv6"]));
    let [four, six] = web["spec"]["clusterIPs"].as_array().unwrap().as_slice() else { panic!("two: {web}") };
    let six = six.as_str().unwrap();
    assert!(*four == web["spec"]["clusterIP"] && six.starts_with("fd00:6::"), "{web}");
    // Each has its object.
    for (ip, family) in [(four.as_str().unwrap(), "IPv4"), (six, "IPv6")] {
        let path = format!("{ADDRESSES}/{ip}");
        until(async || admin.get(&path).await.code == 200).await;
        let kept = admin.get(&path).await.ok();
        assert_eq!(kept["metadata"]["labels"]["ipaddress.kubernetes.io/ip-family"], family);
        assert_eq!(kept["spec"]["parentRef"]["name"], "web");
    }
    // A range that came changes nobody; who asks gets the second.
    let labels = json!({"metadata": {"labels": {"a": "b"}}});
    let early = admin.patch("merge", &path("early"), labels).await.ok();
    assert_eq!(early["spec"]["ipFamilies"], json!(["IPv4"]));
    let wants = json!({"spec": {"ipFamilyPolicy": "RequireDualStack"}});
    let early = admin.patch("merge", &path("early"), wants).await.ok();
    assert_eq!(early["spec"]["clusterIPs"].as_array().unwrap().len(), 2);
    // Whoever gives the second up says so, and its object goes.
    let fewer = json!({"spec": {"clusterIPs": [four]}});
    admin
        .patch("merge", &path("web"), fewer)
        .await
        .fails(422, "must be 'SingleStack' to release the secondary cluster IP");
    let one = admin.patch("merge", &path("web"), json!({"spec": {"ipFamilyPolicy": "SingleStack"}})).await.ok();
    assert_eq!((&one["spec"]["clusterIPs"], &one["spec"]["ipFamilies"]), (&json!([four]), &json!(["IPv4"])));
    until(async || admin.get(&format!("{ADDRESSES}/{six}")).await.code == 404).await;
    // One of IPv6 alone.
    let only = json!({"metadata": {"name": "only"}, "spec": {"ipFamilies": ["IPv6"], "ports": [{"port": 80}]}});
    let only = admin.post(SERVICES, only).await.ok();
    assert!(only["spec"]["clusterIP"].as_str().unwrap().starts_with("fd00:6::"), "{only}");
    // The range stays for those who have addresses of it, who can still be changed; nobody gets another.
    admin.delete(&format!("{RANGES}/six"), Value::Null).await.ok();
    let asked = format!("{SERVICES}?dryRun=All");
    until(async || admin.post(&asked, service("late", "RequireDualStack")).await.code == 422).await;
    let labels = json!({"metadata": {"labels": {"c": "d"}}});
    admin.patch("merge", &path("early"), labels).await.ok();
    assert_eq!(admin.get(&format!("{RANGES}/six")).await.code, 200);
    for name in ["only", "early"] {
        admin.delete(&path(name), Value::Null).await.ok();
    }
    until(async || admin.get(&format!("{RANGES}/six")).await.code == 404).await;
}
