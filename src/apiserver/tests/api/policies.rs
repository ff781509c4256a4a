//! Admission policies and match conditions, through the whole server.

use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, DEPLOYMENTS, Server, config_map, deployment, server, until};

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";

fn rules(group: &str, resource: &str) -> Value {
    json!({"resourceRules": [{"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
        "resources": [resource]}]})
}

async fn policy(server: &Server, mutating: bool, name: &str, spec: Value) {
    let word = if mutating { "Mutating" } else { "Validating" };
    let path = format!("{GROUP}/{}admissionpolicies", word.to_lowercase());
    let object = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": format!("{word}AdmissionPolicy"),
        "metadata": {"name": name}, "spec": spec});
    server.admin.post(&path, object).await.ok();
}

async fn bind(server: &Server, mutating: bool, policy: &str, more: Value) {
    let word = if mutating { "Mutating" } else { "Validating" };
    let path = format!("{GROUP}/{}admissionpolicybindings", word.to_lowercase());
    let mut spec = json!({"policyName": policy});
    if !mutating {
        spec["validationActions"] = json!(["Deny"]);
    }
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    let object = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": format!("{word}AdmissionPolicyBinding"),
        "metadata": {"name": format!("{policy}-binding")}, "spec": spec});
    server.admin.post(&path, object).await.ok();
}

#[tokio::test]
async fn a_validating_policy_refuses_what_does_not_hold() {
    let server = server().await;
    let spec = json!({"matchConstraints": rules("apps", "deployments"),
        "variables": [{"name": "many", "expression": "object.spec.replicas > 1"}],
        "validations": [
            {"expression": "variables.many", "messageExpression": "object.metadata.name + ' needs a second pod'"},
            {"expression": "object.spec.replicas < 5", "reason": "Forbidden"}]});
    policy(&server, false, "replicas", spec).await;
    let admin = &server.admin;
    let mut one = deployment("one");
    one["spec"]["replicas"] = json!(1);
    // Nothing binds it yet.
    admin.post(&format!("{DEPLOYMENTS}?dryRun=All"), one.clone()).await.ok();
    bind(&server, false, "replicas", json!({})).await;
    let status = admin.post(DEPLOYMENTS, one.clone()).await.fails(
        422,
        "deployments.apps \\\"one\\\" is forbidden: ValidatingAdmissionPolicy 'replicas' with binding 'replicas-binding' denied request: one needs a second pod",
    );
    assert_eq!(status["reason"], "Invalid");
    let mut many = one.clone();
    many["spec"]["replicas"] = json!(9);
    let status =
        admin.post(DEPLOYMENTS, many).await.fails(403, "denied request: failed expression: object.spec.replicas < 5");
    assert_eq!(status["reason"], "Forbidden");
    admin.post(DEPLOYMENTS, deployment("two")).await.ok();
    let figures = admin.get("/metrics").await.text;
    let series = "apiserver_validating_admission_policy_check_total{enforcement_action=\"deny\",error_type=\"no_error\",policy=\"replicas\",policy_binding=\"replicas-binding\"} 2";
    assert!(figures.contains(series), "{figures}");
    admin.post(CONFIG_MAPS, config_map("other-kinds-are-not-judged")).await.ok();
    admin.delete(&format!("{GROUP}/validatingadmissionpolicybindings/replicas-binding"), Value::Null).await.ok();
    admin.post(DEPLOYMENTS, one).await.ok();
}

#[tokio::test]
async fn conditions_requests_namespaces_and_authorizers_are_seen() {
    let server = server().await;
    let spec = json!({"matchConstraints": rules("", "configmaps"),
        "matchConditions": [{"name": "named", "expression": "object.metadata.name.startsWith('judged')"}],
        "validations": [
            {"expression": "request.operation == 'CREATE' && request.userInfo.username == 'admin'"},
            {"expression": "namespaceObject.metadata.name == 'default' && oldObject == null"},
            {"expression": "authorizer.group('').resource('pods').namespace('default').check('delete').allowed()"},
            {"expression": "object.data.k == 'v'", "message": "the key is wrong"}],
        "auditAnnotations": [{"key": "k", "valueExpression": "'value: ' + object.data.k"}]});
    policy(&server, false, "seen", spec).await;
    bind(&server, false, "seen", json!({})).await;
    let admin = &server.admin;
    admin.post(CONFIG_MAPS, config_map("judged")).await.ok();
    let mut wrong = config_map("judged-too");
    wrong["data"]["k"] = json!("w");
    admin.post(CONFIG_MAPS, wrong.clone()).await.fails(422, "denied request: the key is wrong");
    wrong["data"] = json!({});
    admin
        .post(CONFIG_MAPS, wrong.clone())
        .await
        .fails(422, "denied request: expression 'object.data.k == 'v'' resulted in error: no such key: data");
    wrong["metadata"]["name"] = json!("unjudged");
    admin.post(CONFIG_MAPS, wrong).await.ok();
}

#[tokio::test]
async fn parameters_are_found_by_name_and_by_labels() {
    let server = server().await;
    let admin = &server.admin;
    let spec = json!({"matchConstraints": rules("apps", "deployments"),
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "validations": [{"expression": "object.spec.replicas <= int(params.data.most)",
            "messageExpression": "'at most ' + params.data.most"}]});
    policy(&server, false, "most", spec.clone()).await;
    bind(&server, false, "most", json!({"paramRef": {"name": "limits", "parameterNotFoundAction": "Deny"}})).await;
    admin.post(DEPLOYMENTS, deployment("a")).await.fails(
        422,
        "denied request: failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction",
    );
    let mut limits = config_map("limits");
    limits["data"] = json!({"most": "1"});
    limits["metadata"]["labels"] = json!({"limits": "yes"});
    admin.post(CONFIG_MAPS, limits.clone()).await.ok();
    admin.post(DEPLOYMENTS, deployment("a")).await.fails(422, "denied request: at most 1");
    limits["data"]["most"] = json!("3");
    admin.put(&format!("{CONFIG_MAPS}/limits"), limits).await.ok();
    admin.post(DEPLOYMENTS, deployment("a")).await.ok();

    policy(&server, false, "labelled", spec).await;
    let by_labels =
        json!({"paramRef": {"selector": {"matchLabels": {"limits": "no"}}, "parameterNotFoundAction": "Allow"}});
    bind(&server, false, "labelled", by_labels).await;
    admin.post(DEPLOYMENTS, deployment("b")).await.ok();
    let mut none = config_map("none");
    none["data"] = json!({"most": "0"});
    none["metadata"]["labels"] = json!({"limits": "no"});
    admin.post(CONFIG_MAPS, none).await.ok();
    admin.post(DEPLOYMENTS, deployment("c")).await.fails(422, "'labelled-binding' denied request: at most 0");
}

#[tokio::test]
async fn a_binding_may_only_warn_and_a_fault_may_be_ignored() {
    let server = server().await;
    let admin = &server.admin;
    let spec = json!({"matchConstraints": rules("", "configmaps"), "failurePolicy": "Ignore",
        "validations": [{"expression": "object.metadata.name != 'warned'", "message": "a poor name"},
            {"expression": "object.data.missing == 'x'"}]});
    policy(&server, false, "warns", spec).await;
    bind(&server, false, "warns", json!({"validationActions": ["Warn", "Audit"]})).await;
    let reply = admin.post(CONFIG_MAPS, config_map("warned")).await;
    assert_eq!(
        reply.warnings(),
        ["299 - \"Validation failed for ValidatingAdmissionPolicy 'warns' with binding 'warns-binding': a poor name\""]
    );
    assert!(admin.post(CONFIG_MAPS, config_map("fine")).await.warnings().is_empty());
}

#[tokio::test]
async fn mutating_policies_apply_configurations_and_patches() {
    let server = server().await;
    let admin = &server.admin;
    let apply = "Object{metadata: Object.metadata{labels: {'team': namespaceObject.metadata.name}}, \
                 spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{containers: \
                 [Object.spec.template.spec.containers{name: 'c', imagePullPolicy: 'Never'}]}}}}";
    let spec = json!({"matchConstraints": rules("apps", "deployments"), "reinvocationPolicy": "IfNeeded",
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": apply}},
            {"patchType": "JSONPatch", "jsonPatch": {"expression":
                "[JSONPatch{op: 'test', path: '/spec/replicas', value: 2}, JSONPatch{op: 'replace', path: '/spec/replicas', \
                 value: object.spec.replicas + 1}, JSONPatch{op: 'add', path: '/metadata/labels/' + \
                 jsonpatch.escapeKey('example.com/x'), value: object.metadata.labels.team}]"}}]});
    policy(&server, true, "shapes", spec).await;
    bind(&server, true, "shapes", json!({})).await;
    let made = admin.post(DEPLOYMENTS, deployment("a")).await.ok();
    assert_eq!(made["metadata"]["labels"], json!({"team": "default", "example.com/x": "default"}));
    assert_eq!(made["spec"]["replicas"], 3);
    let containers = &made["spec"]["template"]["spec"]["containers"];
    assert_eq!((containers.as_array().unwrap().len(), &containers[0]["imagePullPolicy"]), (1, &json!("Never")));
    assert_eq!(containers[0]["image"], "nginx");
}

#[tokio::test]
async fn a_mutation_that_is_wrong_refuses_the_request() {
    let server = server().await;
    let admin = &server.admin;
    for (name, expression, message) in [
        ("unknown", "Object{data: Object.data{k: 'x'}, nothing: 1}", ".nothing: field not declared in schema"),
        (
            "misnamed",
            "Object{data: Object.wrong{k: 'x'}}",
            "type mismatch: unexpected type name \\\"Object.wrong\\\", expected \\\"Object.data\\\"",
        ),
        (
            "atomic",
            "Object{metadata: Object.metadata{ownerReferences: []}, immutable: object.data.none}",
            "resulted in error: no such key: none",
        ),
    ] {
        let spec = json!({"matchConstraints": rules("", "configmaps"), "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}]});
        policy(&server, true, name, spec).await;
        bind(&server, true, name, json!({})).await;
        let status = admin.post(CONFIG_MAPS, config_map("a")).await.fails(403, message);
        assert_eq!(status["reason"], "Invalid");
        assert!(
            status["message"]
                .as_str()
                .unwrap()
                .starts_with(&format!("policy '{name}' with binding '{name}-binding' denied request: "))
        );
        admin.delete(&format!("{GROUP}/mutatingadmissionpolicybindings/{name}-binding"), Value::Null).await.ok();
    }
    admin.post(CONFIG_MAPS, config_map("a")).await.ok();
}

#[tokio::test]
async fn policies_are_checked_when_they_are_kept() {
    let server = server().await;
    let admin = &server.admin;
    for (spec, message) in [
        (
            json!({"validations": [{"expression": "object.x >"}]}),
            "spec.validations[0].expression: Invalid value: \\\"object.x >\\\": compilation failed: ERROR: <input>:1:11: Syntax error: mismatched input '<EOF>'",
        ),
        (json!({"validations": [{"expression": "1 + 1"}]}), "must evaluate to bool but got int"),
        (json!({"validations": [{"expression": "params.x"}]}), "undeclared reference to 'params'"),
        (
            json!({"validations": [{"expression": "true", "messageExpression": "1"}]}),
            "spec.validations[0].messageExpression: Invalid value: \\\"1\\\": must evaluate to string but got int",
        ),
        (
            json!({"variables": [{"name": "in", "expression": "1"}], "validations": [{"expression": "true"}]}),
            "must be a valid CEL identifier",
        ),
        (
            json!({"matchConditions": [{"name": "a", "expression": "1"}], "validations": [{"expression": "true"}]}),
            "spec.matchConditions[0].expression",
        ),
    ] {
        let mut spec = spec;
        spec["matchConstraints"] = rules("", "configmaps");
        let object = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": "wrong"}, "spec": spec});
        admin.post(&format!("{GROUP}/validatingadmissionpolicies"), object).await.fails(422, message);
    }
}

#[tokio::test]
async fn types_are_checked_and_warnings_are_kept_in_the_status() {
    let server = server().await;
    let spec = json!({"matchConstraints": rules("apps", "deployments"),
        "validations": [{"expression": "object.spec.replicas > '1'"}, {"expression": "object.spec.replicas > 1"}]});
    policy(&server, false, "typed", spec).await;
    let path = format!("{GROUP}/validatingadmissionpolicies/typed");
    until(async || server.admin.get(&path).await.ok()["status"]["observedGeneration"] == 1).await;
    let status = server.admin.get(&path).await.ok()["status"].clone();
    let warnings = status["typeChecking"]["expressionWarnings"].as_array().unwrap().clone();
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0]["fieldRef"], "spec.validations[0].expression");
    let warning = warnings[0]["warning"].as_str().unwrap();
    assert!(warning.starts_with("apps/v1, Kind=Deployment: compilation failed: ERROR: <input>:1:22: found no matching overload for '_>_' applied to '(int, string)'"), "{warning}");
}

#[tokio::test]
async fn types_of_custom_resources_and_parameters_are_checked_too() {
    let server = server().await;
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.a.example"}, "spec": {"group": "a.example", "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing"}, "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object",
                    "properties": {"size": {"type": "integer"}}}}}}}]}});
    server.admin.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition).await.ok();
    until(async || server.admin.get("/apis/a.example/v1/things").await.code == 200).await;
    let spec = json!({"matchConstraints": rules("a.example", "things"),
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "validations": [
            {"expression": "object.spec.size > 1 && object.metadata.labels.a == 'b' && params.data.x == 'y'"},
            {"expression": "object.spec.size > '1'"},
            {"expression": "object.spec.nothing == 1"},
            {"expression": "params.nothing == 1"}]});
    policy(&server, false, "custom", spec).await;
    let path = format!("{GROUP}/validatingadmissionpolicies/custom");
    until(async || server.admin.get(&path).await.ok()["status"]["observedGeneration"] == 1).await;
    let status = server.admin.get(&path).await.ok()["status"].clone();
    let warnings = status["typeChecking"]["expressionWarnings"].as_array().unwrap();
    let seen: Vec<&str> = warnings.iter().map(|warning| warning["warning"].as_str().unwrap()).collect();
    let expected = ["found no matching overload for '_>_'", "undefined field 'nothing'", "undefined field 'nothing'"];
    assert_eq!(seen.len(), expected.len(), "{seen:?}");
    for (seen, expected) in seen.iter().zip(expected) {
        assert!(seen.starts_with("a.example/v1, Kind=Thing: compilation failed") && seen.contains(expected), "{seen}");
    }
}

#[tokio::test]
async fn the_example_does_what_it_says() {
    let server = server().await;
    let admin = &server.admin;
    for part in include_str!("../../../../configs/examples/policy.yaml").split("\n---\n") {
        let line = |key: &str| part.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim().to_lowercase();
        let path = match line("kind:").as_str() {
            "configmap" => CONFIG_MAPS.to_owned(),
            kind if kind.ends_with("policy") => format!("{GROUP}/{}ies", kind.trim_end_matches('y')),
            kind => format!("{GROUP}/{kind}s"),
        };
        admin.send("POST", &path, &[("content-type", "application/yaml")], part.to_owned()).await.ok();
    }
    let made = admin.post(DEPLOYMENTS, deployment("free")).await.ok();
    assert_eq!(made["metadata"]["labels"]["caretaker"], "admin");
    let label = json!({"metadata": {"labels": {"house-rules": "yes"}}});
    admin.patch("merge", "/api/v1/namespaces/default", label).await.ok();
    admin.post(DEPLOYMENTS, deployment("bound")).await.fails(422, "denied request: images must come from kedge.dev/");
    let mut many = deployment("many");
    many["spec"]["template"]["spec"]["containers"][0]["image"] = json!("kedge.dev/demo/web:1");
    admin.post(DEPLOYMENTS, many.clone()).await.ok();
    many["metadata"]["name"] = json!("too-many");
    many["spec"]["replicas"] = json!(4);
    admin.post(DEPLOYMENTS, many).await.fails(403, "denied request: at most 3 replicas");
}
