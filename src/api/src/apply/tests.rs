//! Stories of managers and what becomes of an object.

use super::*;
use crate::schema;
use serde_json::json;

static DEPLOYMENT: Gvk = Gvk::fixed("apps", "v1", "Deployment");
static POD: Gvk = Gvk::fixed("", "v1", "Pod");

fn writer<'a>(gvk: &'a Gvk, manager: &'a str) -> Writer<'a> {
    Writer { manager, gvk, subresource: "", now: "2026-01-01T00:00:00Z", reset: Reset::Status }
}

fn run(gvk: &Gvk, manager: &str, live: Option<&Value>, config: Value, force: bool) -> Result<Value, ApplyError> {
    let own = schema::of(gvk).expect("is built in");
    apply(own, &writer(gvk, manager), live, &config, force).map(|applied| applied.object)
}

fn fields_of(object: &Value, manager: &str) -> Value {
    let list = object["metadata"]["managedFields"].as_array().expect("a list");
    list.iter().find(|entry| entry["manager"] == manager).map_or(Value::Null, |entry| entry["fieldsV1"].clone())
}

fn deployment(spec: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "namespace": "d"}, "spec": spec})
}

fn containers(list: Value) -> Value {
    json!({"template": {"spec": {"containers": list}}})
}

#[test]
fn an_applied_object_is_made_and_owned_by_its_leaves() {
    let config = deployment(json!({"replicas": 2, "selector": {"matchLabels": {"a": "b"}}, "template": {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "i", "args": ["x"], "ports": [{"containerPort": 80}], "resources": {}}]}}}));
    let made = run(&DEPLOYMENT, "me", None, config, false).expect("applies");
    assert_eq!(
        fields_of(&made, "me"),
        json!({"f:spec": {"f:replicas": {}, "f:selector": {}, "f:template": {
            "f:metadata": {"f:labels": {"f:a": {}}},
            "f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:name": {}, "f:image": {}, "f:args": {}, "f:resources": {},
                "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}}}}}}})
    );
    let entry = &made["metadata"]["managedFields"][0];
    assert_eq!(
        (&entry["operation"], &entry["apiVersion"], &entry["time"]),
        (&json!("Apply"), &json!("apps/v1"), &json!("2026-01-01T00:00:00Z"))
    );
}

#[test]
fn what_is_no_longer_applied_goes_unless_somebody_else_owns_it() {
    let made = run(&DEPLOYMENT, "me", None, deployment(json!({"replicas": 2, "paused": true, "template": {"spec": {"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "i"}]}}})), false).expect("applies");
    let shared = run(&DEPLOYMENT, "you", Some(&made), deployment(json!({"replicas": 2})), false)
        .expect("no conflict: the value is the same");
    let after =
        run(&DEPLOYMENT, "me", Some(&shared), deployment(containers(json!([{"name": "c", "image": "i"}]))), false)
            .expect("applies");
    assert_eq!(
        after["spec"],
        json!({"replicas": 2, "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}})
    );
    let last =
        run(&DEPLOYMENT, "you", Some(&after), deployment(json!({"minReadySeconds": 1})), false).expect("applies");
    assert_eq!(last["spec"]["replicas"], Value::Null);
}

#[test]
fn a_conflict_names_manager_and_field_and_force_takes_over() {
    let made = run(&DEPLOYMENT, "me", None, deployment(json!({"replicas": 2})), false).expect("applies");
    let error = run(&DEPLOYMENT, "you", Some(&made), deployment(json!({"replicas": 3})), false).expect_err("conflicts");
    assert_eq!(error.to_string(), "Apply failed with 1 conflict: conflict with \"me\": .spec.replicas");
    let forced = run(&DEPLOYMENT, "you", Some(&made), deployment(json!({"replicas": 3})), true).expect("applies");
    assert_eq!(forced["spec"]["replicas"], 3);
    assert_eq!(fields_of(&forced, "me"), Value::Null);
    assert_eq!(fields_of(&forced, "you"), json!({"f:spec": {"f:replicas": {}}}));

    let mut updated = made.clone();
    updated["spec"]["replicas"] = json!(5);
    updated["spec"]["paused"] = json!(true);
    let own = schema::of(&DEPLOYMENT).expect("is built in");
    update(own, &writer(&DEPLOYMENT, "kubectl"), Some(&made), &mut updated);
    let error = run(&DEPLOYMENT, "you", Some(&updated), deployment(json!({"replicas": 3, "paused": false})), false)
        .expect_err("conflicts");
    assert_eq!(
        error.to_string(),
        "Apply failed with 2 conflicts: conflicts with \"kubectl\" using apps/v1 at 2026-01-01T00:00:00Z:\n- .spec.paused\n- .spec.replicas"
    );
}

#[test]
fn creation_is_accounted_as_kubernetes_does() {
    let own = schema::of(&POD).expect("is built in");
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {"run": "a"}},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": {}}], "securityContext": {}}});
    update(own, &writer(&POD, "kubectl-run"), None, &mut pod);
    assert_eq!(
        fields_of(&pod, "kubectl-run"),
        json!({"f:metadata": {"f:labels": {".": {}, "f:run": {}}}, "f:spec": {"f:securityContext": {}, "f:containers": {
            "k:{\"name\":\"c\"}": {".": {}, "f:name": {}, "f:image": {}, "f:resources": {}}}}})
    );
    assert_eq!(pod["metadata"]["managedFields"][0]["operation"], "Update");
}

#[test]
fn an_update_takes_what_it_changes_and_a_removal_is_nobodys() {
    let own = schema::of(&DEPLOYMENT).expect("is built in");
    let made =
        run(&DEPLOYMENT, "me", None, deployment(json!({"replicas": 2, "paused": true})), false).expect("applies");
    let mut updated = made.clone();
    updated["spec"] = json!({"replicas": 3});
    update(own, &writer(&DEPLOYMENT, "other"), Some(&made), &mut updated);
    assert_eq!(fields_of(&updated, "me"), Value::Null);
    assert_eq!(fields_of(&updated, "other"), json!({"f:spec": {"f:replicas": {}}}));
    let mut same = updated.clone();
    let later = Writer { now: "2027-01-01T00:00:00Z", ..writer(&DEPLOYMENT, "third") };
    update(own, &later, Some(&updated), &mut same);
    assert_eq!(same, updated, "what changes nothing is not accounted");
    let mut anew = updated.clone();
    anew["metadata"]["managedFields"] = json!([{}]);
    update(own, &later, Some(&updated), &mut anew);
    assert_eq!(anew["metadata"].get("managedFields"), None);
    let mut unaccounted = deployment(json!({"replicas": 9}));
    update(own, &later, Some(&deployment(json!({"replicas": 1}))), &mut unaccounted);
    assert_eq!(unaccounted["metadata"].get("managedFields"), None);
}

#[test]
fn status_is_owned_through_its_own_door() {
    let own = schema::of(&DEPLOYMENT).expect("is built in");
    let mut made = deployment(json!({"replicas": 2}));
    made["status"] = json!({"replicas": 1});
    update(own, &writer(&DEPLOYMENT, "me"), None, &mut made);
    assert_eq!(fields_of(&made, "me"), json!({"f:spec": {"f:replicas": {}}}));
    let mut status = made.clone();
    status["status"] = json!({"replicas": 2, "conditions": [{"type": "Available", "status": "True"}]});
    status["spec"] = json!({"replicas": 7});
    let door = Writer { subresource: "status", reset: Reset::AllButStatus, ..writer(&DEPLOYMENT, "controller") };
    update(own, &door, Some(&made), &mut status);
    assert_eq!(
        fields_of(&status, "controller"),
        json!({"f:status": {"f:replicas": {}, "f:conditions": {".": {}, "k:{\"type\":\"Available\"}": {".": {}, "f:type": {}, "f:status": {}}}}})
    );
}

#[test]
fn applying_the_same_again_changes_nothing() {
    let config = deployment(containers(json!([{"name": "c", "image": "i", "env": [{"name": "x", "value": "1"}]}])));
    let own = schema::of(&DEPLOYMENT).expect("is built in");
    let made = run(&DEPLOYMENT, "me", None, config.clone(), false).expect("applies");
    let later = Writer { now: "2027-01-01T00:00:00Z", ..writer(&DEPLOYMENT, "me") };
    let again = apply(own, &later, Some(&made), &config, false).expect("applies");
    assert_eq!(again, Applied { object: made, is_changed: false });
}

#[test]
fn a_zero_that_go_leaves_out_is_owned_and_not_there() {
    let own = schema::of(&DEPLOYMENT).expect("is built in");
    let config = deployment(json!({"replicas": 0, "paused": false}));
    let made = run(&DEPLOYMENT, "me", None, config.clone(), false).expect("applies");
    assert_eq!(made["spec"], json!({"replicas": 0}));
    assert_eq!(fields_of(&made, "me"), json!({"f:spec": {"f:replicas": {}, "f:paused": {}}}));
    let again = apply(own, &writer(&DEPLOYMENT, "me"), Some(&made), &config, false).expect("applies");
    assert!(!again.is_changed);
    let mut paused = made.clone();
    paused["spec"]["paused"] = json!(true);
    update(own, &writer(&DEPLOYMENT, "you"), Some(&made), &mut paused);
    assert!(run(&DEPLOYMENT, "me", Some(&paused), deployment(json!({"paused": false})), false).is_err());
}

#[test]
fn what_somebody_else_has_twice_stays() {
    let live = deployment(containers(
        json!([{"name": "c", "env": [{"name": "x", "value": "1"}, {"name": "x", "value": "2"}]}]),
    ));
    let config = deployment(containers(json!([{"name": "c", "env": [{"name": "y", "value": "3"}]}])));
    let after = run(&DEPLOYMENT, "me", Some(&live), config, true).expect("applies");
    let env = &after["spec"]["template"]["spec"]["containers"][0]["env"];
    assert_eq!(*env, json!([{"name": "x", "value": "1"}, {"name": "x", "value": "2"}, {"name": "y", "value": "3"}]));
}

#[test]
fn lists_keep_the_order_that_both_sides_ask_for() {
    let live = run(
        &DEPLOYMENT,
        "me",
        None,
        deployment(containers(json!([{"name": "a"}, {"name": "b"}, {"name": "c"}]))),
        false,
    )
    .expect("applies");
    let names = |object: &Value| -> Vec<String> {
        let list = object["spec"]["template"]["spec"]["containers"].as_array().expect("a list");
        list.iter().map(|item| item["name"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let after = run(
        &DEPLOYMENT,
        "you",
        Some(&live),
        deployment(containers(json!([{"name": "x"}, {"name": "c"}, {"name": "a"}]))),
        true,
    )
    .expect("applies");
    assert_eq!(names(&after), ["b", "x", "c", "a"]);
    let after =
        run(&DEPLOYMENT, "you", Some(&live), deployment(containers(json!([{"name": "a"}, {"name": "x"}]))), true)
            .expect("applies");
    assert_eq!(names(&after), ["a", "b", "c", "x"]);
}

#[test]
fn what_does_not_fit_is_refused_in_kubernetes_words() {
    let says = |config: Value| run(&DEPLOYMENT, "me", None, config, false).expect_err("is refused").to_string();
    assert_eq!(
        says(deployment(json!({"foo": 1}))),
        "failed to create typed patch object (d/a; apps/v1, Kind=Deployment): .spec.foo: field not declared in schema"
    );
    assert_eq!(
        says(deployment(containers(json!([{"image": "x"}])))),
        "failed to create typed patch object (d/a; apps/v1, Kind=Deployment): .spec.template.spec.containers: element 0: associative list with keys has an element that omits key field \"name\" (and doesn't have default value)"
    );
    assert_eq!(
        says(deployment(containers(json!([{"name": "x"}, {"name": "x"}])))),
        "failed to create typed patch object (d/a; apps/v1, Kind=Deployment): .spec.template.spec.containers: duplicate entries for key [name=\"x\"]"
    );
    let mut owned = deployment(json!({}));
    owned["metadata"]["managedFields"] = json!([]);
    assert_eq!(says(owned), "metadata.managedFields must be nil");
}

#[test]
fn an_object_made_without_apply_is_remembered_as_made_before() {
    let live = deployment(json!({"replicas": 1, "paused": true}));
    let error = run(&DEPLOYMENT, "me", Some(&live), deployment(json!({"replicas": 2})), false).expect_err("conflicts");
    assert_eq!(
        error.to_string(),
        "Apply failed with 1 conflict: conflict with \"before-first-apply\" using apps/v1 at 2026-01-01T00:00:00Z: .spec.replicas"
    );
    let forced = run(&DEPLOYMENT, "me", Some(&live), deployment(json!({"replicas": 2})), true).expect("applies");
    assert_eq!(fields_of(&forced, "before-first-apply"), json!({"f:spec": {"f:paused": {}}}));
}

#[test]
fn too_many_updaters_become_one_ancient_one() {
    let own = schema::of(&DEPLOYMENT).expect("is built in");
    let mut object = deployment(json!({"replicas": 1}));
    update(own, &writer(&DEPLOYMENT, "first"), None, &mut object);
    for number in 0..12 {
        let old = object.clone();
        let name = format!("m{number}");
        let now = format!("2026-02-01T00:00:{number:02}Z");
        object["metadata"]["labels"][&name] = json!("x");
        update(own, &Writer { manager: &name, now: &now, ..writer(&DEPLOYMENT, "") }, Some(&old), &mut object);
    }
    let list = object["metadata"]["managedFields"].as_array().expect("a list");
    assert_eq!(list.len(), 10);
    assert!(fields_of(&object, "ancient-changes")["f:spec"]["f:replicas"].is_object());
}

/// Others may write the keys of a list's item in any form; what is said under each of them counts.
#[test]
fn two_texts_of_one_step_are_one() {
    let own = schema::of(&DEPLOYMENT).expect("is built in");
    let fields =
        json!({"f:a": {"k:{\"name\":\"x\"}": {"f:image": {}}, "k:{ \"name\": \"x\" }": {".": {}, "f:name": {}}}});
    let mut live = deployment(json!({"replicas": 1}));
    live["metadata"]["managedFields"] =
        json!([{"manager": "m", "operation": "Apply", "apiVersion": "apps/v1", "fieldsV1": fields}]);
    let mut new = live.clone();
    update(own, &writer(&DEPLOYMENT, "me"), Some(&live), &mut new);
    assert_eq!(fields_of(&new, "m"), json!({"f:a": {"k:{\"name\":\"x\"}": {".": {}, "f:image": {}, "f:name": {}}}}));
}

#[test]
fn a_user_agent_is_a_manager() {
    assert_eq!(manager_of_user_agent("kubectl/v1.32.0 (linux/amd64)"), "kubectl");
    assert_eq!(manager_of_user_agent(""), "");
    assert_eq!(manager_of_user_agent(&"ü".repeat(200)).len(), 128);
}

/// Whether two sets have the same steps, down to where the first ends: what is one value today had parts when the sets
/// were published. Marks of members beside others below them do not count, since what Go always writes has none here.
fn is_as_deep(set: &Value, published: &Value) -> bool {
    let steps = |set: &Value| -> Vec<(String, Value)> {
        let all = set.as_object().into_iter().flatten();
        all.filter(|(step, _)| *step != ".").map(|(step, below)| (step.clone(), below.clone())).collect()
    };
    let (ours, theirs) = (steps(set), steps(published));
    ours.is_empty()
        || ours.len() == theirs.len()
            && ours.iter().zip(&theirs).all(|((a, ours), (b, theirs))| a == b && is_as_deep(ours, theirs))
}

#[test]
fn published_objects_have_the_published_fields() {
    let Some(folder) = crate::testdata::folder("merge-diff") else { return };
    let read = |name: &str| std::fs::read(folder.join(name)).expect("a file");
    for name in ["pod", "node", "endpoints", "prometheus-crd"] {
        let object =
            crate::decode::yaml(&read(&format!("{name}.yaml")), &crate::decode::Limits::MANIFEST).unwrap().value;
        let published: Value = serde_json::from_slice(&read(&format!("{name}set.json"))).expect("JSON");
        assert_eq!(set::Set::parse(&published).to_json(), published, "{name}: read and written");
        let (group, version) = match object["apiVersion"].as_str().expect("a version").split_once('/') {
            Some((group, version)) => (group.to_owned(), version.to_owned()),
            None => (String::new(), object["apiVersion"].as_str().expect("a version").to_owned()),
        };
        let gvk = Gvk::new(&group, &version, object["kind"].as_str().expect("a kind"));
        let schema = crate::schema::of(&gvk).unwrap_or_else(|| panic!("{gvk} has no schema"));
        let (all, gone) = typed::compare(schema, None, &object, |_| false).split();
        assert!(gone.is_empty());
        assert!(!all.is_empty() && is_as_deep(&all.to_json(), &published), "{name}: {} {published}", all.to_json());
    }
}
