//! Create, get, update, patch, delete.

use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, DEPLOYMENTS, PODS, config_map, deployment, pod, server};

fn named(name: &str) -> String {
    format!("{CONFIG_MAPS}/{name}")
}

#[tokio::test]
async fn an_object_is_made_read_changed_and_removed() {
    let server = server().await;
    let admin = &server.admin;
    let made = admin.post(CONFIG_MAPS, config_map("a")).await;
    assert_eq!(made.code, 201);
    let made = made.ok();
    assert_eq!(made["metadata"]["namespace"], "default");
    for key in ["uid", "creationTimestamp", "resourceVersion"] {
        assert!(made["metadata"][key].as_str().is_some_and(|v| !v.is_empty()), "{key}: {made}");
    }
    assert_eq!(admin.get(&named("a")).await.ok(), made);
    admin.post(CONFIG_MAPS, config_map("a")).await.fails(409, "configmaps \\\"a\\\" already exists");

    let mut changed = made.clone();
    changed["data"]["k"] = json!("w");
    let changed = admin.put(&named("a"), changed).await.ok();
    assert_ne!(changed["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
    admin.put(&named("a"), made.clone()).await.fails(409, "the object has been modified");
    // The same again is no write.
    let again = admin.put(&named("a"), changed.clone()).await.ok();
    assert_eq!(again, changed);

    let gone = admin.delete(&named("a"), Value::Null).await.ok();
    assert_eq!((&gone["kind"], &gone["status"]), (&json!("Status"), &json!("Success")));
    assert_eq!(gone["details"]["uid"], made["metadata"]["uid"]);
    admin.get(&named("a")).await.fails(404, "configmaps \\\"a\\\" not found");
    admin.delete(&named("a"), Value::Null).await.fails(404, "not found");
}

#[tokio::test]
async fn names_are_generated_and_dry_runs_leave_nothing() {
    let server = server().await;
    let admin = &server.admin;
    let generated = json!({"metadata": {"generateName": "gen-"}});
    let first = admin.post(CONFIG_MAPS, generated.clone()).await.ok();
    let name = first["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("gen-") && name.len() == 9, "{name}");
    assert_ne!(admin.post(CONFIG_MAPS, generated).await.ok()["metadata"]["name"], first["metadata"]["name"]);

    let dry = admin.post(&format!("{CONFIG_MAPS}?dryRun=All"), config_map("dry")).await;
    assert_eq!(dry.code, 201);
    admin.get(&named("dry")).await.fails(404, "not found");
    admin.post(&format!("{CONFIG_MAPS}?dryRun=some"), config_map("dry")).await.fails(422, "dryRun");
    admin.post(CONFIG_MAPS, config_map("a")).await.ok();
    admin.post(&format!("{CONFIG_MAPS}?dryRun=All"), config_map("a")).await.fails(409, "already exists");
    admin.delete(&format!("{}?dryRun=All", named("a")), Value::Null).await.ok();
    admin.delete(&format!("{}?dryRun=Foo", named("a")), Value::Null).await.fails(422, "dryRun: Unsupported value");
    admin.delete(&named("a"), json!({"dryRun": ["Foo"]})).await.fails(422, "dryRun");
    admin.get(&named("a")).await.ok();
}

#[tokio::test]
async fn what_does_not_name_its_object_is_refused() {
    let server = server().await;
    let admin = &server.admin;
    admin.put(CONFIG_MAPS, config_map("a")).await.fails(405, "the server does not allow this method");
    admin.patch("merge", CONFIG_MAPS, json!({"data": {}})).await.fails(405, "the server does not allow this method");
    admin.put(&named("absent"), config_map("other")).await.fails(400, "does not match the name on the URL");
    let applied = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"uid": "u-1"}});
    let status = admin
        .patch("apply", &format!("{}?fieldManager=m", named("absent")), applied)
        .await
        .fails(409, "uid mismatch: the provided object specified uid u-1, and no existing object was found");
    assert_eq!(status["reason"], "Conflict");
    admin.get(&named("absent")).await.fails(404, "not found");
}

#[tokio::test]
async fn what_is_sent_must_fit_the_path() {
    let server = server().await;
    let admin = &server.admin;
    let rows: [(&str, Value, u16, &str); 8] = [
        (
            CONFIG_MAPS,
            json!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "a"}}),
            400,
            "cannot be handled as a ConfigMap",
        ),
        (
            CONFIG_MAPS,
            json!({"kind": "ConfigMap", "apiVersion": "v2", "metadata": {"name": "a"}}),
            400,
            "does not match the expected API version (v1)",
        ),
        (
            CONFIG_MAPS,
            json!({"metadata": {"name": "a", "namespace": "other"}}),
            400,
            "does not match the namespace sent on the request",
        ),
        (CONFIG_MAPS, json!({"metadata": {"name": "Not A Name"}}), 422, "metadata.name"),
        (CONFIG_MAPS, json!({"metadata": {}}), 422, "name or generateName is required"),
        (
            CONFIG_MAPS,
            json!({"metadata": {"name": "a", "resourceVersion": "5"}}),
            500,
            "resourceVersion should not be set",
        ),
        (CONFIG_MAPS, json!({"metadata": {"name": "a"}, "data": {"k": 1}}), 400, "cannot unmarshal number"),
        (
            "/api/v1/namespaces/nowhere/configmaps",
            json!({"metadata": {"name": "a"}}),
            404,
            "namespaces \\\"nowhere\\\" not found",
        ),
    ];
    for (path, body, code, message) in rows {
        admin.post(path, body).await.fails(code, message);
    }
    admin.post("/api/v1/configmaps", config_map("a")).await.fails(405, "");
    admin.get("/api/v1/namespaces/default/nodes").await.fails(404, "could not find the requested resource");
    admin.get("/api/v1/configmaps/a").await.fails(404, "could not find the requested resource");
    admin.post(&named("a"), config_map("a")).await.fails(405, "");
    let made = admin.post(CONFIG_MAPS, config_map("a")).await.ok();
    let mut other = made.clone();
    other["metadata"]["name"] = json!("b");
    admin.put(&named("a"), other).await.fails(400, "does not match the name on the URL");
    let mut reborn = made;
    reborn["metadata"]["uid"] = json!("another");
    admin.put(&named("a"), reborn).await.fails(409, "UID in precondition: another");
}

#[tokio::test]
async fn unknown_fields_are_dropped_warned_of_or_refused() {
    let server = server().await;
    let admin = &server.admin;
    let mut odd = config_map("a");
    odd["spec"] = json!({"x": 1});
    let reply = admin.post(&format!("{CONFIG_MAPS}?fieldValidation=Warn"), odd.clone()).await;
    assert_eq!(reply.warnings(), ["299 - \"unknown field \\\"spec\\\"\""]);
    assert!(reply.ok().get("spec").is_none());
    odd["metadata"]["name"] = json!("b");
    admin
        .post(&format!("{CONFIG_MAPS}?fieldValidation=Strict"), odd.clone())
        .await
        .fails(400, "strict decoding error: unknown field");
    let quiet = admin.post(&format!("{CONFIG_MAPS}?fieldValidation=Ignore"), odd.clone()).await;
    assert!(quiet.warnings().is_empty());
    odd["metadata"]["name"] = json!("c");
    assert_eq!(admin.post(CONFIG_MAPS, odd).await.warnings().len(), 1);
    let twice = r#"{"metadata":{"name":"d"},"data":{"k":"1","k":"2"}}"#;
    let reply = admin.send("POST", CONFIG_MAPS, &[("content-type", "application/json")], twice).await;
    assert!(reply.warnings()[0].contains("duplicate field"), "{:?}", reply.warnings());
    let patched = admin.patch("merge", &format!("{}?fieldValidation=Strict", named("d")), json!({"spec": 1})).await;
    patched.fails(422, "unknown field");
}

#[tokio::test]
async fn patches_of_each_kind_apply() {
    let server = server().await;
    let admin = &server.admin;
    let made = admin.post(DEPLOYMENTS, deployment("d")).await.ok();
    assert_eq!(made["metadata"]["generation"], 1);
    let path = format!("{DEPLOYMENTS}/d");
    let rows: [(&str, Value, &str, Value); 4] = [
        ("merge", json!({"spec": {"replicas": 3}}), "/spec/replicas", json!(3)),
        ("json", json!([{"op": "replace", "path": "/spec/replicas", "value": 4}]), "/spec/replicas", json!(4)),
        (
            "strategic-merge",
            json!({"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "x"}]}}}}),
            "/spec/template/spec/containers/1/name",
            json!("c"),
        ),
        ("merge", json!({"metadata": {"labels": {"a": "b"}}}), "/metadata/labels/a", json!("b")),
    ];
    for (kind, patch, pointer, expected) in rows {
        let patched = admin.patch(kind, &path, patch).await.ok();
        assert_eq!(patched.pointer(pointer), Some(&expected), "{kind} {pointer}: {patched}");
    }
    let now = admin.get(&path).await.ok();
    assert_eq!(now["metadata"]["generation"], 4);
    admin
        .patch("json", &path, json!([{"op": "test", "path": "/spec/replicas", "value": 9}]))
        .await
        .fails(422, "error in our request");
    admin.patch("json", &path, json!({"op": "test"})).await.fails(400, "");
    admin.patch("merge", &path, json!({"spec": {"replicas": -1}})).await.fails(422, "spec.replicas");
    admin.patch("merge", &path, json!({"spec": {"replicas": "many"}})).await.fails(422, "cannot unmarshal string");
    admin.patch("merge", &path, json!({"metadata": {"resourceVersion": "1"}})).await.fails(409, "modified");
    admin.patch("merge", &path, json!({"metadata": {"uid": "x"}})).await.fails(409, "UID in precondition");
    admin.send("PATCH", &path, &[("content-type", "text/plain")], "{}").await.fails(415, "");
    admin.patch("merge", &format!("{DEPLOYMENTS}/none"), json!({})).await.fails(404, "not found");
}

#[tokio::test]
async fn applies_merge_by_owner() {
    let server = server().await;
    let admin = &server.admin;
    let path = format!("{CONFIG_MAPS}/s");
    let config =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "s"}, "data": {"a": "1", "b": "2"}});
    admin.patch("apply", &path, config.clone()).await.fails(422, "fieldManager");
    let first = admin.patch("apply", &format!("{path}?fieldManager=x"), config.clone()).await;
    assert_eq!(first.code, 201);
    let mut fewer = config.clone();
    fewer["data"] = json!({"a": "1"});
    let second = admin.patch("apply", &format!("{path}?fieldManager=x"), fewer).await.ok();
    assert_eq!(second["data"], json!({"a": "1"}));
    let mut other = config;
    other["data"] = json!({"a": "9"});
    let clash = admin.patch("apply", &format!("{path}?fieldManager=y"), other.clone()).await;
    let body = clash.fails(409, "conflict with \\\"x\\\"");
    assert_eq!(body["details"]["causes"][0]["field"], ".data.a");
    admin.patch("apply", &format!("{path}?fieldManager=y&force=true"), other).await.ok();
    admin.patch("merge", &format!("{path}?force=true"), json!({})).await.fails(422, "force");
}

#[tokio::test]
async fn finalizers_hold_what_is_deleted() {
    let server = server().await;
    let admin = &server.admin;
    let mut held = config_map("h");
    held["metadata"]["finalizers"] = json!(["example.com/wait"]);
    admin.post(CONFIG_MAPS, held).await.ok();
    let marked = admin.delete(&named("h"), Value::Null).await.ok();
    assert_eq!(marked["kind"], "ConfigMap");
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    admin
        .patch("merge", &named("h"), json!({"metadata": {"finalizers": ["example.com/wait", "example.com/more"]}}))
        .await
        .fails(422, "finalizers");
    admin.patch("merge", &named("h"), json!({"metadata": {"finalizers": null}})).await.ok();
    admin.get(&named("h")).await.fails(404, "not found");

    admin.post(CONFIG_MAPS, config_map("o")).await.ok();
    let marked = admin.delete(&named("o"), json!({"propagationPolicy": "Foreground"})).await.ok();
    assert_eq!(marked["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    admin.delete(&named("o"), json!({"propagationPolicy": "Sideways"})).await.fails(422, "propagationPolicy");
    let both = json!({"propagationPolicy": "Orphan", "orphanDependents": true});
    admin.delete(&named("o"), both).await.fails(422, "orphanDependents and deletionPropagation cannot be both set");
}

#[tokio::test]
async fn preconditions_and_grace_are_kept() {
    let server = server().await.with_account().await;
    let admin = &server.admin;
    admin.post(CONFIG_MAPS, config_map("p")).await.ok();
    admin.delete(&named("p"), json!({"preconditions": {"uid": "x"}})).await.fails(409, "Precondition failed: UID");
    admin
        .delete(&named("p"), json!({"preconditions": {"resourceVersion": "1"}}))
        .await
        .fails(409, "Precondition failed: ResourceVersion");

    let mut bound = pod("g");
    bound["spec"]["nodeName"] = json!("n1");
    admin.post(PODS, bound).await.ok();
    let path = format!("{PODS}/g");
    let marked = admin.delete(&path, Value::Null).await.ok();
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 30);
    let shorter = admin.delete(&path, json!({"gracePeriodSeconds": 5})).await.ok();
    assert_eq!(shorter["metadata"]["deletionGracePeriodSeconds"], 5);
    let gone = admin.delete(&format!("{path}?gracePeriodSeconds=0"), Value::Null).await.ok();
    assert_eq!(gone["kind"], "Pod");
    admin.get(&path).await.fails(404, "not found");
}

#[tokio::test]
async fn pods_are_completed_by_admission() {
    let server = server().await;
    let admin = &server.admin;
    let reply = admin.post(PODS, pod("early")).await;
    reply.fails(403, "error looking up service account default/default");
    let server = server.with_account().await;
    let made = server.admin.post(PODS, pod("web")).await.ok();
    let spec = &made["spec"];
    assert_eq!((&spec["serviceAccountName"], &spec["priority"]), (&json!("default"), &json!(0)));
    assert_eq!(spec["tolerations"].as_array().unwrap().len(), 2);
    assert_eq!(spec["containers"][0]["volumeMounts"][0]["mountPath"], "/var/run/secrets/kubernetes.io/serviceaccount");
    assert!(spec["volumes"][0]["name"].as_str().unwrap().starts_with("kube-api-access-"));
    assert_eq!(made["status"]["phase"], "Pending");
    let mut critical = pod("critical");
    critical["spec"]["priorityClassName"] = json!("system-node-critical");
    assert_eq!(server.admin.post(PODS, critical.clone()).await.ok()["spec"]["priority"], 2_000_001_000);
    critical["metadata"]["name"] = json!("other");
    critical["spec"]["priorityClassName"] = json!("none");
    server.admin.post(PODS, critical).await.fails(403, "no PriorityClass with name none was found");
}

#[tokio::test]
async fn namespaces_begin_and_end_in_order() {
    let server = server().await;
    let admin = &server.admin;
    let path = "/api/v1/namespaces/team";
    let made = admin.post("/api/v1/namespaces", json!({"metadata": {"name": "team"}})).await.ok();
    assert_eq!((&made["status"]["phase"], &made["spec"]["finalizers"]), (&json!("Active"), &json!(["kubernetes"])));
    let marked = admin.delete(path, Value::Null).await.ok();
    assert_eq!(marked["status"]["phase"], "Terminating");
    admin.post("/api/v1/namespaces/team/configmaps", config_map("a")).await.fails(403, "is being terminated");
    let mut done = admin.get(path).await.ok();
    done["spec"]["finalizers"] = json!([]);
    admin.put(&format!("{path}/finalize"), done).await.ok();
    admin.get(path).await.fails(404, "not found");
    admin.delete("/api/v1/namespaces/default", Value::Null).await.fails(403, "may not be deleted");
}

#[tokio::test]
async fn services_get_addresses_and_ports_and_give_them_back() {
    let server = server().await;
    let admin = &server.admin;
    let services = "/api/v1/namespaces/default/services";
    let kubernetes = admin.get(&format!("{services}/kubernetes")).await.ok();
    assert_eq!(kubernetes["spec"]["clusterIP"], "10.43.0.1");
    let service = |name: &str, spec: Value| json!({"metadata": {"name": name}, "spec": spec});
    let web = admin.post(services, service("web", json!({"type": "NodePort", "ports": [{"port": 80}]}))).await.ok();
    let port = web["spec"]["ports"][0]["nodePort"].clone();
    assert!(port.as_u64().is_some_and(|p| (30000..=32767).contains(&p)), "{web}");
    assert!(web["spec"]["clusterIP"].as_str().unwrap().starts_with("10.43."));
    let same = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]});
    admin.post(services, service("other", same.clone())).await.fails(422, "provided port is already allocated");
    let ip = json!({"clusterIP": web["spec"]["clusterIP"], "ports": [{"port": 80}]});
    admin.post(services, service("other", ip.clone())).await.fails(422, "already allocated");
    admin.delete(&format!("{services}/web"), Value::Null).await.ok();
    admin.post(services, service("other", same)).await.ok();
    admin.post(services, service("third", ip)).await.ok();
}

#[tokio::test]
async fn kinds_that_allow_it_are_made_by_put() {
    let server = server().await;
    let admin = &server.admin;
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {"holderIdentity": "me"}});
    let path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l";
    assert_eq!(admin.put(path, lease.clone()).await.code, 201);
    admin.put(path, lease).await.fails(422, "must be specified for an update");
    admin.put(&named("none"), config_map("none")).await.fails(404, "not found");
}

#[tokio::test]
async fn versions_of_a_kind_share_their_objects() {
    let server = server().await;
    let admin = &server.admin;
    let hpa = json!({"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
        "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 70, "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}}});
    admin.post("/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers", hpa).await.ok();
    let v2 = admin.get("/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers/h").await.ok();
    assert_eq!(v2["apiVersion"], "autoscaling/v2");
    assert_eq!(v2["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 70);
    let v1 = admin.get("/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers/h").await.ok();
    assert_eq!(v1["spec"]["targetCPUUtilizationPercentage"], 70);
    let list = admin.get("/apis/autoscaling/v1/horizontalpodautoscalers").await.ok();
    assert_eq!(list["items"][0]["apiVersion"], "autoscaling/v1");
}

#[tokio::test]
async fn yaml_goes_both_ways() {
    let server = server().await;
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: 'y'\ndata:\n  k: v\n";
    let headers = [("content-type", "application/yaml"), ("accept", "application/yaml")];
    let reply = server.admin.send("POST", CONFIG_MAPS, &headers, yaml).await;
    assert_eq!((reply.code, reply.headers["content-type"].to_str().unwrap()), (201, "application/yaml"));
    // Readers of YAML 1.1 would take it for true.
    assert!(reply.text.contains("  name: \"y\"\n"), "{}", reply.text);
    let broken = server.admin.send("POST", CONFIG_MAPS, &headers[..1], "a: [b\n").await;
    broken.fails(400, "yaml");
    // And so does this server, as Kubernetes does.
    let truth = server.admin.send("POST", CONFIG_MAPS, &headers[..1], yaml.replace("'y'", "y")).await;
    truth.fails(400, "cannot unmarshal bool into Go struct field ObjectMeta.metadata.name of type string");
    let path = format!("{CONFIG_MAPS}/y?fieldManager=me&force=true");
    let applied = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"y\"}\nimmutable: yes\ndata: {on: 'off'}\n";
    let headers = [("content-type", "application/apply-patch+yaml")];
    let kept = server.admin.send("PATCH", &path, &headers, applied).await.ok();
    assert_eq!((&kept["immutable"], &kept["data"]["true"]), (&json!(true), &json!("off")));
    let text = applied.replace("'off'", "off");
    server
        .admin
        .send("PATCH", &path, &headers, text)
        .await
        .fails(500, ".data.true: expected string, got &value.valueUnstructured{Value:false}");
}

#[tokio::test]
async fn who_wrote_what_is_noted_of_everything() {
    let server = server().await;
    let admin = &server.admin;
    let leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    let lease = json!({"metadata": {"name": "a"}, "spec": {"holderIdentity": "x"}});
    let made = admin.post(&format!("{leases}?fieldManager=one"), lease).await.ok();
    let managed = |object: &Value| {
        let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
        entries.iter().map(|e| format!("{} {} {}", e["manager"], e["apiVersion"], e["fieldsV1"])).collect::<Vec<_>>()
    };
    assert_eq!(managed(&made), [r#""one" "coordination.k8s.io/v1" {"f:spec":{"f:holderIdentity":{}}}"#]);
    let renewed = json!({"spec": {"leaseDurationSeconds": 40}});
    let renewed = admin.patch("merge", &format!("{leases}/a?fieldManager=two"), renewed).await.ok();
    assert_eq!(managed(&renewed)[1], r#""two" "coordination.k8s.io/v1" {"f:spec":{"f:leaseDurationSeconds":{}}}"#);

    let events = "/apis/events.k8s.io/v1/namespaces/default/events?fieldManager=one";
    let event = json!({"metadata": {"name": "e"}, "regarding": {"namespace": "default"}, "reason": "r", "action": "a",
        "note": "n", "type": "Normal", "eventTime": "2026-01-02T03:04:05.000000Z",
        "reportingController": "c", "reportingInstance": "i"});
    let made = admin.post(events, event).await.ok();
    let entry = &managed(&made)[0];
    assert!(entry.starts_with("\"one\" \"events.k8s.io/v1\"") && entry.contains("\"f:note\":{}"), "{entry}");
    let kept = admin.get("/api/v1/namespaces/default/events/e").await.ok();
    assert_eq!(managed(&kept), managed(&made));
}

#[tokio::test]
async fn what_becomes_of_dependents_is_each_versions_own_custom() {
    let server = server().await;
    let admin = &server.admin;
    let jobs = "/apis/batch/v1/namespaces/default/jobs";
    let job = |name: &str| {
        let template = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}});
        json!({"metadata": {"name": name}, "spec": {"template": template}})
    };
    for name in ["a", "b", "c"] {
        admin.post(jobs, job(name)).await.ok();
    }
    let told = "299 - \"child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to \
                remove them or set propagationPolicy=Orphan to suppress this warning\"";
    let seen = admin.delete(&format!("{jobs}/a"), Value::Null).await;
    assert_eq!(seen.warnings(), [told]);
    assert_eq!(seen.ok()["metadata"]["finalizers"], json!(["orphan"]));
    let seen = admin.delete(&format!("{jobs}/b?propagationPolicy=Background"), Value::Null).await;
    assert_eq!(seen.warnings(), [""; 0]);
    assert_eq!(seen.ok()["status"], "Success");
    let seen = admin.delete(&format!("{jobs}?fieldSelector=metadata.name=c"), Value::Null).await;
    assert_eq!(seen.warnings(), [told]);
    assert_eq!(seen.ok()["items"][0]["metadata"]["finalizers"], json!(["orphan"]));
}

#[tokio::test]
async fn preconditions_of_a_deletion_of_many_are_each_ones() {
    let server = server().await;
    let admin = &server.admin;
    let uid = admin.post(CONFIG_MAPS, config_map("a")).await.ok()["metadata"]["uid"].clone();
    let labelled = json!({"metadata": {"name": "b", "labels": {"b": "b"}}});
    admin.post(CONFIG_MAPS, labelled).await.ok();
    let options = json!({"preconditions": {"uid": uid}});
    admin.delete(&format!("{CONFIG_MAPS}?labelSelector=b"), options.clone()).await.fails(409, "Precondition failed");
    admin.get(&named("b")).await.ok();
    admin.delete(&format!("{CONFIG_MAPS}?fieldSelector=metadata.name=a"), options).await.ok();
    admin.get(&named("a")).await.fails(404, "");
}

#[tokio::test]
async fn an_event_of_the_other_group_is_owned_by_the_names_it_has_there() {
    let server = server().await;
    let admin = &server.admin;
    let events = "/apis/events.k8s.io/v1/namespaces/default/events";
    let event = json!({"metadata": {"name": "e"}, "regarding": {"kind": "Pod", "name": "p", "namespace": "default"},
        "reason": "R", "type": "Normal", "note": "a", "action": "A", "reportingController": "example.com/c",
        "reportingInstance": "i", "eventTime": "2026-01-01T00:00:00.000000Z"});
    admin.post(&format!("{events}?fieldManager=maker"), event).await.ok();
    let series = json!({"series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:00.000000Z"}});
    let changed = admin.patch("merge", &format!("{events}/e?fieldManager=me"), series).await.ok();
    assert_eq!((&changed["note"], &changed["series"]["count"]), (&json!("a"), &json!(2)));
    let kept = admin.get("/api/v1/namespaces/default/events/e").await.ok();
    assert_eq!((&kept["message"], kept.get("note"), &kept["apiVersion"]), (&json!("a"), None, &json!("v1")));
    let of = |manager: &str| {
        let entries = kept["metadata"]["managedFields"].as_array().unwrap();
        let entry = entries.iter().find(|entry| entry["manager"] == manager).unwrap();
        assert_eq!(entry["apiVersion"], "events.k8s.io/v1");
        entry["fieldsV1"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(of("me"), ["f:series"]);
    assert!(of("maker").contains(&"f:note".to_owned()) && of("maker").contains(&"f:regarding".to_owned()));
}
