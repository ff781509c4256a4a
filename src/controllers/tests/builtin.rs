//! The built-in controllers with the real API server, as Wasm.
//!
//! Needs the guests: without `cargo xtask guests` these tests say so and do nothing.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/stack.rs"]
mod stack;

use serde_json::{Value, json};
use stack::{Stack, at, core};

fn template(labels: Value) -> Value {
    json!({"metadata": {"labels": labels}, "spec": {
        "automountServiceAccountToken": false,
        "containers": [{"name": "c", "image": "web", "ports": [{"name": "http", "containerPort": 8080}]}]}})
}

fn condition<'a>(object: &'a Value, of_type: &str) -> &'a Value {
    let all = object["status"]["conditions"].as_array();
    all.and_then(|all| all.iter().find(|one| one["type"] == of_type)).unwrap_or(&Value::Null)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_says_what_is_used() {
    let Some(stack) = Stack::with_node().await else { return };
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    stack.create(&core("configmaps"), map).await;
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {
        "replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template(json!({"app": "web"}))}});
    stack.create(&at("apps", "v1", "deployments"), deployment).await;
    stack.until(&at("apps", "v1", "replicasets"), "the set", |set| set["status"]["readyReplicas"] == 2).await;
    let hard = json!({"pods": "10", "count/configmaps": "10", "count/replicasets.apps": "3", "requests.cpu": "1", "services": "5"});
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": hard}});
    stack.create(&core("resourcequotas"), quota).await;
    let told = stack.until(&core("resourcequotas"), "its use", |quota| quota["status"]["used"]["pods"] == "2").await;
    assert_eq!(told["status"]["hard"], hard);
    assert_eq!(told["status"]["used"]["count/replicasets.apps"], "1");
    assert_eq!(told["status"]["used"]["requests.cpu"], "0");
    let maps: i64 = told["status"]["used"]["count/configmaps"].as_str().unwrap().parse().unwrap();
    stack.delete(&core("configmaps").name("a")).await;
    let fewer = json!((maps - 1).to_string());
    let less = |quota: &Value| quota["status"]["used"]["count/configmaps"] == fewer;
    stack.until(&core("resourcequotas"), "less use", less).await;
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_has_endpoints_and_slices() {
    let Some(stack) = Stack::with_node().await else { return };
    let mut pod = template(json!({"app": "web"}));
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!("web");
    stack.create(&core("pods"), pod).await;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "labels": {"a": "b"}},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}});
    stack.create(&core("services"), service).await;
    let endpoints =
        |object: &Value| object["metadata"]["name"] == "web" && !object["subsets"][0]["addresses"].is_null();
    let told = stack.until(&core("endpoints"), "the Endpoints", endpoints).await;
    assert_eq!(told["subsets"][0]["ports"], json!([{"name": "http", "port": 8080, "protocol": "TCP"}]));
    assert_eq!(told["subsets"][0]["addresses"][0]["targetRef"]["name"], "web");
    assert_eq!(
        told["metadata"]["labels"],
        json!({"a": "b", "endpoints.kubernetes.io/managed-by": "endpoint-controller"})
    );
    let slices = at("discovery.k8s.io", "v1", "endpointslices");
    let ours = |slice: &Value| {
        slice["metadata"]["labels"]["kubernetes.io/service-name"] == "web"
            && slice["endpoints"][0]["conditions"]["ready"] == true
    };
    let slice = stack.until(&slices, "the slice", ours).await;
    assert_eq!((&slice["endpoints"][0]["zone"], &slice["ports"][0]["port"]), (&json!("z"), &json!(8080)));
    assert_eq!(slice["metadata"]["ownerReferences"][0]["kind"], "Service");
    stack.delete(&core("pods").name("web")).await;
    let empty = |slice: &Value| {
        slice["metadata"]["labels"]["kubernetes.io/service-name"] == "web"
            && slice["endpoints"].as_array().is_none_or(Vec::is_empty)
    };
    stack.until(&slices, "an empty slice", empty).await;
    stack.delete(&core("services").name("web")).await;
    stack.until_gone(&core("endpoints").name("web")).await;
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_written_by_hand_are_mirrored() {
    let Some(stack) = Stack::start().await else { return };
    let service =
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db"}, "spec": {"ports": [{"port": 5432}]}});
    stack.create(&core("services"), service).await;
    let endpoints = json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "db"},
        "subsets": [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 5432}]}]});
    stack.create(&core("endpoints"), endpoints).await;
    let slices = at("discovery.k8s.io", "v1", "endpointslices");
    let of = |slice: &Value| slice["metadata"]["labels"]["kubernetes.io/service-name"] == "db";
    let slice = stack.until(&slices, "the mirror", of).await;
    let manager = &slice["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"];
    assert_eq!(
        (manager, &slice["endpoints"][0]["addresses"]),
        (&json!("endpointslicemirroring-controller.k8s.io"), &json!(["192.0.2.1"]))
    );
    let moved = json!({"subsets": [{"addresses": [{"ip": "192.0.2.2"}], "ports": [{"port": 5432}]}]});
    stack.patch(&core("endpoints").name("db"), moved).await;
    let name = slice["metadata"]["name"].as_str().unwrap().to_string();
    let follows = |slice: &Value| of(slice) && slice["endpoints"][0]["addresses"] == json!(["192.0.2.2"]);
    let slice = stack.until(&slices, "the mirror to follow", follows).await;
    assert_eq!(slice["metadata"]["name"], name, "the same slice is used again");
    stack.delete(&core("endpoints").name("db")).await;
    stack.until_gone(&slices.clone().name(name)).await;
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_says_how_many_may_go() {
    let Some(stack) = Stack::with_node().await else { return };
    let set = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web"}, "spec": {
        "replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template(json!({"app": "web"}))}});
    stack.create(&at("apps", "v1", "replicasets"), set).await;
    let budgets = at("policy", "v1", "poddisruptionbudgets");
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"},
        "spec": {"maxUnavailable": "40%", "selector": {"matchLabels": {"app": "web"}}}});
    stack.create(&budgets, budget).await;
    let told = stack.until(&budgets, "the status", |budget| budget["status"]["currentHealthy"] == 3).await;
    assert_eq!((&told["status"]["expectedPods"], &told["status"]["desiredHealthy"]), (&json!(3), &json!(1)));
    assert_eq!(told["status"]["disruptionsAllowed"], 2);
    assert_eq!(condition(&told, "DisruptionAllowed")["reason"], "SufficientPods");
    stack.end().await;
}

fn job(name: &str, labels: Value, spec: Value) -> Value {
    let mut job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec});
    job["spec"]["template"] = template(labels);
    job["spec"]["template"]["spec"]["restartPolicy"] = json!("Never");
    job
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_runs_to_its_end_and_goes() {
    let Some(stack) = Stack::with_node().await else { return };
    let jobs = at("batch", "v1", "jobs");
    stack.create(&jobs, job("three", json!({}), json!({"completions": 3, "parallelism": 2}))).await;
    let done = stack.until(&jobs, "completion", |job| condition(job, "Complete")["status"] == "True").await;
    assert_eq!((&done["status"]["succeeded"], &done["status"]["active"]), (&json!(3), &Value::Null));
    assert_eq!(done["status"]["uncountedTerminatedPods"], json!({}));
    assert_eq!(condition(&done, "Complete")["message"], "Reached expected number of succeeded pods");
    let list = stack.client.list(&core("pods"), &kedge_client::ListOptions::default()).await.unwrap();
    let pods = list["items"].as_array().unwrap();
    assert_eq!(pods.len(), 3);
    assert!(pods.iter().all(|pod| pod["metadata"]["finalizers"].is_null()), "their ends are counted: {pods:#?}");

    stack.create(&jobs, job("gone", json!({}), json!({"ttlSecondsAfterFinished": 0}))).await;
    stack.until_gone(&jobs.clone().name("gone")).await;
    let bad = job("bad", json!({"test": "fails"}), json!({"backoffLimit": 0}));
    stack.create(&jobs, bad).await;
    let failed = stack.until(&jobs, "failure", |job| condition(job, "Failed")["status"] == "True").await;
    assert_eq!(
        (&failed["status"]["failed"], &condition(&failed, "Failed")["reason"]),
        (&json!(1), &json!("BackoffLimitExceeded"))
    );
    // A Job that is deleted lets its pods go.
    stack.delete(&jobs.clone().name("bad")).await;
    stack.until_gone(&jobs.clone().name("bad")).await;
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_indexed_job_counts_its_indexes() {
    let Some(stack) = Stack::with_node().await else { return };
    let jobs = at("batch", "v1", "jobs");
    let spec = json!({"completions": 3, "parallelism": 3, "completionMode": "Indexed"});
    stack.create(&jobs, job("indexed", json!({}), spec)).await;
    let done = stack.until(&jobs, "completion", |job| condition(job, "Complete")["status"] == "True").await;
    assert_eq!((&done["status"]["completedIndexes"], &done["status"]["succeeded"]), (&json!("0-2"), &json!(3)));
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cron_job_starts_jobs_in_time() {
    let Some(stack) = Stack::with_node().await else { return };
    let crons = at("batch", "v1", "cronjobs");
    let spec = job("", json!({}), json!({}))["spec"].clone();
    let cron = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "tick"},
        "spec": {"schedule": "@every 1s", "jobTemplate": {"spec": spec}}});
    stack.create(&crons, cron).await;
    let owned = |job: &Value| {
        job["metadata"]["ownerReferences"][0]["name"] == "tick" && condition(job, "Complete")["status"] == "True"
    };
    let made = stack.until(&at("batch", "v1", "jobs"), "a job", owned).await;
    let minutes: i64 = made["metadata"]["name"].as_str().unwrap().strip_prefix("tick-").unwrap().parse().unwrap();
    assert!(minutes > 29_000_000, "named after the minute");
    let noted =
        |cron: &Value| !cron["status"]["lastScheduleTime"].is_null() && !cron["status"]["lastSuccessfulTime"].is_null();
    stack.until(&crons, "the status", noted).await;
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stateful_set_has_names_claims_and_an_order() {
    let Some(stack) = Stack::with_node().await else { return };
    let sets = at("apps", "v1", "statefulsets");
    let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}});
    let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": {
        "replicas": 2, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}},
        "template": template(json!({"app": "db"})), "volumeClaimTemplates": [claim]}});
    stack.create(&sets, set).await;
    let ready = |set: &Value| set["status"]["readyReplicas"] == 2 && set["status"]["currentReplicas"] == 2;
    let told = stack.until(&sets, "two ready pods", ready).await;
    let first = told["status"]["updateRevision"].as_str().unwrap().to_string();
    let pod = stack.client.get(&core("pods").name("db-1")).await.unwrap();
    assert_eq!((&pod["spec"]["hostname"], &pod["spec"]["subdomain"]), (&json!("db-1"), &json!("db")));
    assert_eq!(pod["metadata"]["labels"]["controller-revision-hash"], first);
    assert_eq!(pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"], "data-db-1");
    stack.client.get(&core("persistentvolumeclaims").name("data-db-0")).await.unwrap();
    let change = json!({"spec": {"template": {"metadata": {"annotations": {"new": "yes"}}}}});
    stack.patch(&sets.clone().name("db"), change).await;
    let rolled = |set: &Value| {
        set["status"]["updateRevision"] != *first
            && set["status"]["currentRevision"] == set["status"]["updateRevision"]
            && set["status"]["readyReplicas"] == 2
    };
    stack.until(&sets, "the rollout", rolled).await;
    assert_eq!(stack.client.get(&core("pods").name("db-0")).await.unwrap()["metadata"]["annotations"]["new"], "yes");
    stack.patch(&sets.clone().name("db"), json!({"spec": {"replicas": 1}})).await;
    stack.until_gone(&core("pods").name("db-1")).await;
    stack.client.get(&core("persistentvolumeclaims").name("data-db-1")).await.unwrap();
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_set_has_a_pod_on_each_node() {
    let Some(stack) = Stack::with_node().await else { return };
    let sets = at("apps", "v1", "daemonsets");
    let set = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent"}, "spec": {
        "selector": {"matchLabels": {"app": "agent"}}, "template": template(json!({"app": "agent"}))}});
    stack.create(&sets, set).await;
    let told = stack.until(&sets, "one ready pod", |set| set["status"]["numberAvailable"] == 1).await;
    assert_eq!(
        (&told["status"]["desiredNumberScheduled"], &told["status"]["updatedNumberScheduled"]),
        (&json!(1), &json!(1))
    );
    let change = json!({"spec": {"template": {"metadata": {"annotations": {"new": "yes"}}}}});
    stack.patch(&sets.clone().name("agent"), change).await;
    let new =
        |pod: &Value| pod["metadata"]["annotations"]["new"] == "yes" && condition(pod, "Ready")["status"] == "True";
    let pod = stack.until(&core("pods"), "the new pod", new).await;
    let term = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        [0];
    assert_eq!(term["matchFields"][0]["values"], json!(["edge"]));
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attribute_class_stays_while_a_claim_names_it() {
    let Some(stack) = Stack::with_node().await else { return };
    let classes = kedge_client::ResourcePath::new("storage.k8s.io", "v1", "volumeattributesclasses");
    let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttributesClass", "metadata": {"name": "fast"},
        "driverName": "x.example", "parameters": {"iops": "1"}});
    stack.create(&classes, class).await;
    let claims = core("persistentvolumeclaims");
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "volumeAttributesClassName": "fast",
        "resources": {"requests": {"storage": "1Gi"}}}});
    stack.create(&claims, claim).await;
    let protected = |claim: &Value| claim["metadata"]["finalizers"] == json!(["kubernetes.io/pvc-protection"]);
    stack.until(&claims, "its protection", protected).await;
    stack.delete(&classes.clone().name("fast")).await;
    let going = |class: &Value| !class["metadata"]["deletionTimestamp"].is_null();
    stack.until(&classes, "the deletion", going).await;
    stack.delete(&claims.name("data")).await;
    stack.until_gone(&classes.name("fast")).await;
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_stays_while_a_pod_uses_it() {
    let Some(stack) = Stack::with_node().await else { return };
    let claims = core("persistentvolumeclaims");
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    stack.create(&claims, claim).await;
    let protected = |claim: &Value| claim["metadata"]["finalizers"] == json!(["kubernetes.io/pvc-protection"]);
    stack.until(&claims, "its protection", protected).await;
    let mut pod = template(json!({}));
    (pod["apiVersion"], pod["kind"], pod["metadata"]["name"]) = (json!("v1"), json!("Pod"), json!("user"));
    pod["spec"]["volumes"] = json!([{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]);
    stack.create(&core("pods"), pod).await;
    stack.until(&core("pods"), "the pod", |pod| condition(pod, "Ready")["status"] == "True").await;
    stack.delete(&claims.clone().name("data")).await;
    let going = |claim: &Value| !claim["metadata"]["deletionTimestamp"].is_null();
    stack.until(&claims, "the deletion", going).await;
    stack.delete(&core("pods").name("user")).await;
    stack.until_gone(&claims.name("data")).await;
    stack.end().await;
}
