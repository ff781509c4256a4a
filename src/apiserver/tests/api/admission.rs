//! The built-in admission plugins, as clients meet them.

use kedge_api::pod_security::{Level, LevelVersion, Policy};
use kedge_apiserver::Identity;
use serde_json::{Value, json};

use crate::support::{Client, PODS, Server, config_map, deployment, pod, server, server_with};

const NAMESPACES: &str = "/api/v1/namespaces";

fn asking(name: &str, requests: Value, limits: Value) -> Value {
    let mut pod = pod(name);
    pod["spec"]["containers"][0]["resources"] = json!({"requests": requests, "limits": limits});
    pod
}

async fn ready() -> Server {
    server().await.with_account().await
}

#[tokio::test]
async fn limit_ranges_fill_in_and_refuse() {
    let server = ready().await;
    let admin = &server.admin;
    let range = json!({"metadata": {"name": "l"}, "spec": {"limits": [
        {"type": "Container", "min": {"cpu": "50m"}, "max": {"cpu": "500m"}, "default": {"cpu": "200m"}, "defaultRequest": {"cpu": "100m"}},
        {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}]}});
    admin.post("/api/v1/namespaces/default/limitranges", range).await.ok();
    let made = admin.post(PODS, pod("a")).await.ok();
    assert_eq!(
        made["spec"]["containers"][0]["resources"],
        json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "200m"}})
    );
    assert_eq!(
        made["metadata"]["annotations"]["kubernetes.io/limit-ranger"],
        "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
    );
    admin
        .post(PODS, asking("b", json!({"cpu": "10m"}), json!({"cpu": "1"})))
        .await
        .fails(403, "pods \\\"b\\\" is forbidden: [minimum cpu usage per Container is 50m, but request is 10m, maximum cpu usage per Container is 500m, but limit is 1]");
    let claim = json!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}});
    admin
        .post("/api/v1/namespaces/default/persistentvolumeclaims", claim)
        .await
        .fails(403, "maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi");
    admin.delete("/api/v1/namespaces/default/limitranges/l", Value::Null).await.ok();
    let free = admin.post(PODS, pod("d")).await.ok();
    assert_eq!(free["spec"]["containers"][0].get("resources"), Some(&json!({})));
}

#[tokio::test]
async fn a_runtime_class_says_what_its_pods_cost() {
    let server = ready().await;
    let admin = &server.admin;
    let mut named = pod("a");
    named["spec"]["runtimeClassName"] = json!("heavy");
    admin
        .post(PODS, named.clone())
        .await
        .fails(403, "pods \\\"a\\\" is forbidden: pod rejected: RuntimeClass \\\"heavy\\\" not found");
    let class = json!({"metadata": {"name": "heavy"}, "handler": "h", "overhead": {"podFixed": {"cpu": "10m"}},
        "scheduling": {"nodeSelector": {"heavy": "yes"}}});
    admin.post("/apis/node.k8s.io/v1/runtimeclasses", class).await.ok();
    let made = admin.post(PODS, named.clone()).await.ok();
    assert_eq!(
        (&made["spec"]["overhead"]["cpu"], &made["spec"]["nodeSelector"]["heavy"]),
        (&json!("10m"), &json!("yes"))
    );
    let mut own = pod("b");
    own["spec"]["overhead"] = json!({"cpu": "1"});
    admin.post(PODS, own).await.fails(403, "Pod Overhead set without corresponding RuntimeClass defined Overhead");
}

async fn quota(admin: &Client, name: &str, spec: Value) {
    let quotas = "/api/v1/namespaces/default/resourcequotas";
    admin.post(quotas, json!({"metadata": {"name": name}, "spec": spec})).await.ok();
    let hard = spec["hard"].as_object().unwrap();
    let used: Value = hard.keys().map(|key| (key.clone(), json!("0"))).collect::<serde_json::Map<_, _>>().into();
    admin
        .patch("merge", &format!("{quotas}/{name}/status"), json!({"status": {"hard": hard, "used": used}}))
        .await
        .ok();
}

async fn used(admin: &Client, name: &str) -> Value {
    admin.get(&format!("/api/v1/namespaces/default/resourcequotas/{name}")).await.ok()["status"]["used"].clone()
}

#[tokio::test]
async fn quotas_are_charged_for_what_is_admitted() {
    let server = ready().await;
    let admin = &server.admin;
    quota(admin, "q", json!({"hard": {"pods": "2", "requests.cpu": "1", "count/configmaps": "1"}})).await;
    quota(admin, "best", json!({"hard": {"pods": "0"}, "scopes": ["BestEffort"]})).await;
    admin.post(PODS, asking("a", json!({"cpu": "600m"}), json!({}))).await.ok();
    assert_eq!(used(admin, "q").await, json!({"pods": "1", "requests.cpu": "600m", "count/configmaps": "0"}));
    admin
        .post(PODS, asking("b", json!({"cpu": "600m"}), json!({})))
        .await
        .fails(403, "pods \\\"b\\\" is forbidden: exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=600m, limited: requests.cpu=1");
    admin.post(PODS, pod("c")).await.fails(403, "failed quota: q: must specify requests.cpu for: c");
    let maps = "/api/v1/namespaces/default/configmaps";
    admin.post(&format!("{maps}?dryRun=All"), config_map("x")).await.ok();
    assert_eq!(used(admin, "q").await["count/configmaps"], "0");
    admin.post(maps, config_map("x")).await.ok();
    admin.post(maps, config_map("y")).await.fails(403, "exceeded quota: q, requested: count/configmaps=1");
    admin.post("/api/v1/namespaces/kube-public/configmaps", config_map("y")).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_do_not_overrun_a_quota() {
    let server = ready().await;
    let admin = &server.admin;
    quota(admin, "q", json!({"hard": {"count/configmaps": "5"}})).await;
    let tries = (0..20).map(|number| {
        let admin = admin.clone();
        async move { admin.post("/api/v1/namespaces/default/configmaps", config_map(&format!("m{number}"))).await.code }
    });
    let codes = futures::future::join_all(tries).await;
    assert_eq!(codes.iter().filter(|code| **code == 201).count(), 5, "{codes:?}");
    assert_eq!(used(admin, "q").await["count/configmaps"], "5");
}

#[tokio::test]
async fn a_quota_follows_a_service_s_type() {
    let server = ready().await;
    let admin = &server.admin;
    quota(admin, "q", json!({"hard": {"services": "1", "services.nodeports": "0"}})).await;
    let services = "/api/v1/namespaces/default/services";
    let made = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
    admin.post(services, made.clone()).await.ok();
    admin.patch("merge", &format!("{services}/s"), json!({"spec": {"type": "NodePort"}})).await.fails(
        403,
        "exceeded quota: q, requested: services.nodeports=1, used: services.nodeports=0, limited: services.nodeports=0",
    );
    assert_eq!(used(admin, "q").await["services"], "1");
}

#[tokio::test]
async fn pods_keep_to_their_namespace_s_level() {
    let server = ready().await;
    let admin = &server.admin;
    let label = |level: &str| json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": level}}});
    let default = format!("{NAMESPACES}/default");
    let mut hostile = pod("hostile");
    hostile["spec"]["hostNetwork"] = json!(true);
    hostile["spec"]["containers"][0]["securityContext"] = json!({"privileged": true});
    admin.post(PODS, hostile.clone()).await.ok();
    admin
        .patch("merge", &default, label("none"))
        .await
        .fails(422, "metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \\\"none\\\": must be one of privileged, baseline, restricted");
    let stricter = admin.patch("merge", &default, label("baseline")).await;
    assert_eq!(
        stricter.warnings(),
        [
            "299 - \"existing pods in namespace \\\"default\\\" violate the new PodSecurity enforce level \\\"baseline:latest\\\"\"",
            "299 - \"hostile: host namespaces, privileged\"",
        ]
    );
    hostile["metadata"]["name"] = json!("again");
    admin
        .post(PODS, hostile)
        .await
        .fails(403, "pods \\\"again\\\" is forbidden: violates PodSecurity \\\"baseline:latest\\\": host namespaces (hostNetwork=true), privileged (container \\\"c\\\" must not set securityContext.privileged=true)");
    admin.post(PODS, pod("plain")).await.ok();
    admin.patch("merge", &default, label("restricted")).await.ok();
    let made = admin.post(crate::support::DEPLOYMENTS, deployment("d")).await;
    assert_eq!(made.code, 201);
    assert!(made.warnings()[0].contains("would violate PodSecurity \\\"restricted:latest\\\": allowPrivilegeEscalation != false (container \\\"c\\\" must set"), "{:?}", made.warnings());
    // What is there already is not judged again for a label.
    admin.patch("merge", &format!("{PODS}/plain"), json!({"metadata": {"labels": {"a": "b"}}})).await.ok();
    admin
        .patch(
            "strategic-merge",
            &format!("{PODS}/plain"),
            json!({"spec": {"containers": [{"name": "c", "image": "other"}]}}),
        )
        .await
        .fails(403, "violates PodSecurity");
}

#[tokio::test]
async fn the_configuration_has_defaults_and_exemptions() {
    let baseline = LevelVersion { level: Level::Baseline, ..LevelVersion::default() };
    let server = server_with(|config, _| {
        let settings = &mut config.admission.pod_security;
        settings.defaults = Policy { enforce: baseline, ..Policy::default() };
        settings.exempt_users = vec!["ops".to_owned()];
        config.admission.disabled = vec!["DefaultTolerationSeconds".to_owned()];
    })
    .await
    .with_account()
    .await;
    let mut hostile = pod("a");
    hostile["spec"]["hostPID"] = json!(true);
    server
        .admin
        .post(PODS, hostile.clone())
        .await
        .fails(403, "violates PodSecurity \\\"baseline:latest\\\": host namespaces (hostPID=true)");
    let made = server.as_user(Identity::user("ops", ["system:masters"])).post(PODS, hostile).await.ok();
    assert_eq!(made["spec"].get("tolerations"), None);
}

#[tokio::test]
async fn a_node_touches_only_what_is_its_own() {
    let server = ready().await;
    let admin = &server.admin;
    let node = |name: &str| json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}});
    let n1 = server.as_user(Identity::node("n1"));
    n1.post("/api/v1/nodes", node("n1")).await.ok();
    n1.post("/api/v1/nodes", node("n2")).await.fails(403, "node \\\"n1\\\" is not allowed to modify node \\\"n2\\\"");
    admin.post("/api/v1/nodes", node("n2")).await.ok();
    let labels = json!({"metadata": {"labels": {"x.node-restriction.kubernetes.io/a": "1"}}});
    n1.patch("merge", "/api/v1/nodes/n1", labels)
        .await
        .fails(403, "is not allowed to modify labels: x.node-restriction.kubernetes.io/a");
    n1.patch("merge", "/api/v1/nodes/n2/status", json!({"status": {}}))
        .await
        .fails(403, "is not allowed to modify node");
    for (name, at) in [("here", "n1"), ("there", "n2")] {
        admin.post(PODS, pod(name)).await.ok();
        admin.post(&format!("{PODS}/{name}/binding"), json!({"target": {"name": at}})).await.ok();
    }
    let running = json!({"status": {"phase": "Running"}});
    n1.patch("merge", &format!("{PODS}/here/status"), running.clone()).await.ok();
    n1.patch("merge", &format!("{PODS}/there/status"), running)
        .await
        .fails(403, "can only update pod status for pods with spec.nodeName set to itself");
    n1.delete(&format!("{PODS}/there"), json!({"gracePeriodSeconds": 0}))
        .await
        .fails(403, "node \\\"n1\\\" can only delete pods with spec.nodeName set to itself");
    let uid = |pod: Value| pod["metadata"]["uid"].clone();
    let token = |pod: &str, uid: Value| json!({"spec": {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid}}});
    let tokens = "/api/v1/namespaces/default/serviceaccounts/default/token";
    let (here, there) = (admin.get(&format!("{PODS}/here")).await.ok(), admin.get(&format!("{PODS}/there")).await.ok());
    n1.post(tokens, token("here", uid(here))).await.ok();
    n1.post(tokens, token("there", uid(there))).await.fails(403, "token bound to a pod scheduled on a different node");
    n1.post(tokens, json!({"spec": {}})).await.fails(403, "node requested token not bound to a pod");
    n1.delete(&format!("{PODS}/here"), json!({"gracePeriodSeconds": 0})).await.ok();
}

#[tokio::test]
async fn claims_and_ingresses_get_the_default_class() {
    let server = ready().await;
    let admin = &server.admin;
    let class = json!({"metadata": {"name": "fast", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "x.example/p"});
    admin.post("/apis/storage.k8s.io/v1/storageclasses", class).await.ok();
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    let claim = json!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let made = admin.post(claims, claim).await.ok();
    assert_eq!(made["spec"]["storageClassName"], "fast");
    assert_eq!(made["metadata"]["finalizers"], json!(["kubernetes.io/pvc-protection"]));
    let attributes = json!({"metadata": {"name": "a"}, "driverName": "x.example", "parameters": {"a": "b"}});
    let made = admin.post("/apis/storage.k8s.io/v1/volumeattributesclasses", attributes).await.ok();
    assert_eq!(made["metadata"]["finalizers"], json!(["kubernetes.io/vac-protection"]));
    let grow = json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}});
    admin.patch("merge", &format!("{claims}/c/status"), json!({"status": {"phase": "Bound"}})).await.ok();
    admin
        .patch("merge", &format!("{claims}/c"), grow)
        .await
        .fails(403, "the storageclass that provisions the pvc must support resize");
    let class = json!({"metadata": {"name": "front", "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}},
        "spec": {"controller": "x.example/i"}});
    admin.post("/apis/networking.k8s.io/v1/ingressclasses", class).await.ok();
    let ingress = json!({"metadata": {"name": "i"}, "spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}});
    let made = admin.post("/apis/networking.k8s.io/v1/namespaces/default/ingresses", ingress).await.ok();
    assert_eq!(made["spec"]["ingressClassName"], "front");
}

#[tokio::test]
async fn there_is_one_default_priority() {
    let server = ready().await;
    let admin = &server.admin;
    let class = |name: &str| json!({"metadata": {"name": name}, "value": 5, "globalDefault": true});
    let classes = "/apis/scheduling.k8s.io/v1/priorityclasses";
    admin.post(classes, class("a")).await.ok();
    admin
        .post(classes, class("b"))
        .await
        .fails(403, "PriorityClass a is already marked as default. Only one default can exist");
    let mut own = pod("p");
    own["spec"]["priority"] = json!(7);
    admin.post(PODS, own).await.fails(
        403,
        "the integer value of priority (7) must not be provided in pod spec; priority admission controller computed 5 from the given PriorityClass name",
    );
    assert_eq!(admin.post(PODS, pod("q")).await.ok()["spec"]["priority"], 5);
}

#[tokio::test]
async fn refusals_name_what_the_name_is_made_of() {
    let server = ready().await;
    let mut named = pod("");
    named["metadata"] = json!({"generateName": "web-"});
    named["spec"]["serviceAccountName"] = json!("nobody");
    server.admin.post(PODS, named).await.fails(
        403,
        "pods \\\"web-\\\" is forbidden: error looking up service account default/nobody: serviceaccount \\\"nobody\\\" not found",
    );
}

#[tokio::test]
async fn a_pod_preset_is_put_into_the_pods_it_selects() {
    let server = ready().await;
    let admin = &server.admin;
    let preset = json!({"apiVersion": "settings.k8s.io/v1alpha1", "kind": "PodPreset", "metadata": {"name": "db"},
        "spec": {"selector": {"matchLabels": {"app": "a"}}, "env": [{"name": "DB", "value": "here"}]}});
    admin.post("/apis/settings.k8s.io/v1alpha1/namespaces/default/podpresets", preset).await.ok();
    let made = admin.post(PODS, pod("a")).await.ok();
    assert_eq!(made["spec"]["containers"][0]["env"], json!([{"name": "DB", "value": "here"}]));
    assert!(made["metadata"]["annotations"]["podpreset.admission.kubernetes.io/podpreset-db"].is_string());
    let other = admin.post(PODS, pod("b")).await.ok();
    assert_eq!(other["spec"]["containers"][0].get("env"), None);
    let mut against = pod("c");
    against["metadata"]["labels"]["app"] = json!("a");
    against["spec"]["containers"][0]["env"] = json!([{"name": "DB", "value": "there"}]);
    let made = admin.post(PODS, against).await;
    assert!(made.warnings()[0].contains("merging env of db has a conflict on DB"), "{:?}", made.warnings());
    assert_eq!(made.ok()["spec"]["containers"][0]["env"][0]["value"], "there");
}
