//! What a user does, and what must come of it.

use kedge_client::{PatchKind, PatchOptions, ResourcePath};
use serde_json::{Value, json};

use crate::stack::{NODE, Stack, deployment};

fn names(pods: &[Value]) -> Vec<String> {
    let mut names: Vec<String> =
        pods.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_becomes_pods_that_survive_the_agent_and_the_power() {
    let mut stack = Stack::start(&["web:1"]).await;
    stack.create("apps", "deployments", deployment("web", 2, "web:1")).await;
    let pods = stack.until_running(2).await;
    assert!(pods.iter().all(|pod| pod["spec"]["nodeName"] == NODE), "the scheduler bound them: {pods:#?}");
    let before = names(&pods);

    // The agent comes back to containers that ran on.
    stack.stop_node().await;
    let calls = stack.runtime.calls().len();
    stack.start_node().await;
    stack.until("coordination.k8s.io", "leases", "read", |_| true).await;
    let pods = stack.until_running(2).await;
    assert_eq!(names(&pods), before);
    let again: Vec<String> =
        stack.runtime.calls()[calls..].iter().filter(|call| call.starts_with("start ")).cloned().collect();
    assert!(again.is_empty(), "nothing was started again: {again:?}");

    // After a power cut they are started again, and are the same pods.
    stack.stop_node().await;
    stack.runtime.power_cut();
    stack.start_node().await;
    let restarted = |pods: &[Value]| {
        pods.len() == 2
            && pods.iter().all(|pod| {
                pod["status"]["phase"] == "Running"
                    && pod["status"]["containerStatuses"][0]["restartCount"].as_u64() >= Some(1)
            })
    };
    let pods = stack.until("", "pods", "restarted", restarted).await;
    assert_eq!(names(&pods), before);
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_pulled_or_placed_says_so_and_harms_nobody() {
    let stack = Stack::start(&["web:1"]).await;
    stack.create("apps", "deployments", deployment("lost", 1, "nowhere:1")).await;
    let mut greedy = deployment("greedy", 1, "web:1");
    greedy["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "64"}});
    stack.create("apps", "deployments", greedy).await;
    stack.create("apps", "deployments", deployment("web", 1, "web:1")).await;

    let reason = |pod: &Value| pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"].clone();
    let as_expected = |pods: &[Value]| {
        let of =
            |app: &str| pods.iter().find(|pod| pod["metadata"]["labels"]["app"] == app).cloned().unwrap_or_default();
        let unschedulable = of("greedy")["status"]["conditions"].as_array().is_some_and(|conditions| {
            conditions
                .iter()
                .any(|c| c["type"] == "PodScheduled" && c["status"] == "False" && c["reason"] == "Unschedulable")
        });
        ["ErrImagePull", "ImagePullBackOff"].contains(&reason(&of("lost")).as_str().unwrap_or_default())
            && unschedulable
            && of("web")["status"]["phase"] == "Running"
    };
    stack.until("", "pods", "as each should be", as_expected).await;
    let told = |events: &[Value]| {
        let has = |reason: &str, text: &str| {
            events.iter().any(|event| {
                event["reason"] == reason && event["message"].as_str().is_some_and(|message| message.contains(text))
            })
        };
        has("FailedScheduling", "0/1 nodes are available: 1 Insufficient cpu") && has("Failed", "nowhere:1")
    };
    stack.until("", "events", "told", told).await;
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_template_replaces_pods_and_deletion_leaves_nothing() {
    let stack = Stack::start(&["web:1", "web:2"]).await;
    stack.create("apps", "deployments", deployment("web", 2, "web:1")).await;
    let before = names(&stack.until_running(2).await);
    let path = ResourcePath::new("apps", "v1", "deployments").namespace("default").name("web");
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "web:2"}]}}}});
    stack.admin.patch(&path, PatchKind::Strategic, &patch, &PatchOptions::default()).await.unwrap();
    let renewed = |pods: &[Value]| {
        pods.len() == 2
            && pods
                .iter()
                .all(|pod| pod["spec"]["containers"][0]["image"] == "web:2" && pod["status"]["phase"] == "Running")
    };
    let after = names(&stack.until("", "pods", "all of the new template", renewed).await);
    assert!(before.iter().all(|name| !after.contains(name)));

    stack.admin.delete(&path, &Default::default()).await.unwrap();
    stack.until("", "pods", "gone", |pods| pods.is_empty()).await;
    stack.until("apps", "replicasets", "gone", |sets| sets.is_empty()).await;
    // Pods without grace leave the API at once; their containers end a moment later.
    stack.until_no_container().await;
    assert!(stack.get("apps", "deployments", "web").await.is_none());
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_refused_while_everything_goes_on() {
    let stack = Stack::start(&["web:1"]).await;
    stack.create("apps", "deployments", deployment("web", 1, "web:1")).await;
    let pods = ResourcePath::core("pods").namespace("default");
    for (what, object, code) in [
        (
            "no DNS label",
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "No_Label"},
            "spec": {"containers": [{"name": "a", "image": "web:1"}]}}),
            422,
        ),
        ("no containers", json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {}}), 422),
        ("a number for a name", json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": 7}}), 400),
    ] {
        let refusal = stack.admin.create(&pods, &object, &Default::default()).await.unwrap_err();
        assert_eq!(refusal.code(), Some(code), "{what}: {refusal}");
    }
    let mut negative = deployment("web2", 1, "web:1");
    negative["spec"]["replicas"] = json!(-1);
    let path = ResourcePath::new("apps", "v1", "deployments").namespace("default");
    let refusal = stack.admin.create(&path, &negative, &Default::default()).await.unwrap_err();
    assert!(refusal.to_string().contains("spec.replicas"), "{refusal}");
    // Half a handshake holds nothing up.
    let _half_open: Vec<_> = (0..50).map(|_| std::net::TcpStream::connect(stack.address).unwrap()).collect();
    stack.until_running(1).await;
    assert_eq!(stack.list("apps", "deployments").await.len(), 1, "what was refused is not there");
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_happens_at_once_is_missed() {
    let stack = Stack::start(&[]).await;
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"},
        "spec": {"hard": {"resourcequotas": "5", "configmaps": "5"}}});
    let makers = (0..4).map(|maker| {
        let (admin, quota) = (stack.admin.clone(), quota.clone());
        tokio::spawn(async move {
            for number in 0..25 {
                let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
                    "metadata": {"name": format!("n-{maker}-{number}")}});
                admin.create(&ResourcePath::core("namespaces"), &namespace, &Default::default()).await.unwrap();
                let quotas = ResourcePath::core("resourcequotas").namespace(format!("n-{maker}-{number}"));
                admin.create(&quotas, &quota, &Default::default()).await.unwrap();
            }
        })
    });
    for maker in makers.collect::<Vec<_>>() {
        maker.await.unwrap();
    }
    // A namespace has its root's certificate, and the quota itself.
    let is_counted = |quota: &Value| {
        let used = &quota["status"]["used"];
        used["resourcequotas"] == "1" && used["configmaps"] == "1"
    };
    stack.until_everywhere("resourcequotas", 100, is_counted).await;
    stack.end().await;
}
