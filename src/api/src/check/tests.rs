//! Rows of objects and what Kubernetes says to them.

use super::*;
use crate::decode::{self, Limits};
use crate::{schema, testdata};
use serde_json::json;

fn run(api_version: &str, kind: &str, text: &str, validation: FieldValidation) -> Result<Checked, Refusal> {
    let gvk = Gvk::from_api_version(api_version, kind);
    let schema = schema::of(&gvk).expect("is built in");
    object(&gvk, schema, decode::yaml(text.as_bytes(), &Limits::REQUEST).expect("decodes"), validation)
}

#[track_caller]
fn refused(api_version: &str, kind: &str, text: &str, expected: &str) {
    assert_eq!(run(api_version, kind, text, FieldValidation::Strict), Err(Refusal(expected.to_owned())));
}

#[track_caller]
fn becomes(api_version: &str, kind: &str, text: &str, expected: Value, warnings: &[&str]) {
    let checked = run(api_version, kind, text, FieldValidation::Warn).expect("fits");
    assert_eq!(checked.object, expected);
    assert_eq!(checked.warnings, warnings);
}

#[test]
fn a_wrong_type_is_named_as_go_names_it() {
    refused(
        "apps/v1",
        "Deployment",
        "spec: {replicas: many}",
        "Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
    );
    refused(
        "v1",
        "Pod",
        "spec: {containers: [{env: [{name: a, value: 1}]}]}",
        "Pod in version \"v1\" cannot be handled as a Pod: json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string",
    );
    refused(
        "v1",
        "Pod",
        "metadata: {labels: {a: true}}",
        "Pod in version \"v1\" cannot be handled as a Pod: json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string",
    );
    refused(
        "v1",
        "Pod",
        "spec: {containers: {}}",
        "Pod in version \"v1\" cannot be handled as a Pod: json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
    );
    refused(
        "v1",
        "Pod",
        "spec: [x]",
        "Pod in version \"v1\" cannot be handled as a Pod: json: cannot unmarshal array into Go struct field Pod.spec of type v1.PodSpec",
    );
    refused(
        "v1",
        "Pod",
        "spec: {terminationGracePeriodSeconds: 1.5}",
        "Pod in version \"v1\" cannot be handled as a Pod: json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.terminationGracePeriodSeconds of type int64",
    );
    refused(
        "v1",
        "Secret",
        "data: {a: '%%'}",
        "Secret in version \"v1\" cannot be handled as a Secret: illegal base64 data at input byte 0",
    );
    refused(
        "v1",
        "Pod",
        "[]",
        "Pod in version \"v1\" cannot be handled as a Pod: json: cannot unmarshal array into Go value of type v1.Pod",
    );
}

#[test]
fn unknown_and_duplicate_fields_are_dropped_with_a_warning_or_refused() {
    let text = "apiVersion: v1\nkind: Pod\nfoo: 1\nspec: {containers: [{nme: a}, {name: b, name: c}]}";
    becomes(
        "v1",
        "Pod",
        text,
        json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{}, {"name": "c"}]}}),
        &[
            "duplicate field \"spec.containers[1].name\"",
            "unknown field \"foo\"",
            "unknown field \"spec.containers[0].nme\"",
        ],
    );
    refused(
        "v1",
        "Pod",
        text,
        "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: duplicate field \"spec.containers[1].name\", unknown field \"foo\", unknown field \"spec.containers[0].nme\"",
    );
    assert_eq!(run("v1", "Pod", text, FieldValidation::Ignore).expect("fits").warnings.len(), 0);
}

#[test]
fn scalars_take_their_canonical_form_and_nulls_go() {
    becomes(
        "v1",
        "Pod",
        "metadata: {creationTimestamp: null, labels: {a: null}}\nspec: {nodeName: null, containers: [{args: [null], resources: {limits: {cpu: 0.5, memory: 1024Mi, x: 1000m}}}]}",
        json!({"metadata": {"labels": {"a": ""}}, "spec": {"containers": [
            {"args": [""], "resources": {"limits": {"cpu": "500m", "memory": "1Gi", "x": "1"}}}]}}),
        &[],
    );
    becomes(
        "coordination.k8s.io/v1",
        "Lease",
        "metadata: {creationTimestamp: '2026-01-02T03:04:05+01:00'}\nspec: {renewTime: '2026-01-02T03:04:05Z'}",
        json!({"metadata": {"creationTimestamp": "2026-01-02T02:04:05Z"}, "spec": {"renewTime": "2026-01-02T03:04:05.000000Z"}}),
        &[],
    );
    becomes(
        "v1",
        "Service",
        "spec: {ports: [{targetPort: http}, {targetPort: 80}]}",
        json!({"spec": {"ports": [{"targetPort": "http"}, {"targetPort": 80}]}}),
        &[],
    );
}

#[test]
fn what_go_leaves_out_when_zero_is_left_out() {
    becomes(
        "v1",
        "Pod",
        "metadata: {labels: {}, generation: 0}\nspec: {hostNetwork: false, nodeName: '', terminationGracePeriodSeconds: 0, enableServiceLinks: false, volumes: [{name: v, emptyDir: {}}], containers: [{name: '', args: [], resources: {}}]}",
        json!({"metadata": {}, "spec": {"terminationGracePeriodSeconds": 0, "enableServiceLinks": false,
            "volumes": [{"name": "v", "emptyDir": {}}], "containers": [{"name": "", "resources": {}}]}}),
        &[],
    );
}

#[test]
fn words_without_quotes_are_what_yaml_means() {
    becomes(
        "v1",
        "Pod",
        "spec: {hostNetwork: yes, hostPID: off, volumes: [{name: '010', secret: {defaultMode: 0644}}]}",
        json!({"spec": {"hostNetwork": true, "volumes": [{"name": "010", "secret": {"defaultMode": 420}}]}}),
        &[],
    );
    for (text, value, field) in [
        ("metadata: {annotations: {a: on}}", "bool", "ObjectMeta.metadata.annotations of type string"),
        ("spec: {volumes: [{name: 010}]}", "number", "Volume.spec.volumes.name of type string"),
        ("spec: {nodeName: n}", "bool", "PodSpec.spec.nodeName of type string"),
        (
            "spec: {volumes: [{secret: {defaultMode: '0644'}}]}",
            "string",
            "SecretVolumeSource.spec.volumes.secret.defaultMode of type int32",
        ),
    ] {
        refused(
            "v1",
            "Pod",
            text,
            &format!(
                "Pod in version \"v1\" cannot be handled as a Pod: json: cannot unmarshal {value} into Go struct field {field}"
            ),
        );
    }
}

#[test]
fn every_published_object_fits_its_schema_unchanged() {
    let Some(folder) = testdata::folder("roundtrip") else { return };
    let mut faults = Vec::new();
    let mut seen = 0;
    for (name, text) in testdata::files(&folder, ".json") {
        let decoded = decode::json(text.as_bytes(), &Limits::REQUEST).expect(&name);
        let gvk = Gvk::from_api_version(
            decoded.value["apiVersion"].as_str().unwrap_or_default(),
            decoded.value["kind"].as_str().unwrap_or_default(),
        );
        let Some(schema) = schema::of(&gvk) else { continue };
        seen += 1;
        let before = decoded.value.clone();
        match object(&gvk, schema, decoded, FieldValidation::Strict) {
            Err(refusal) => faults.push(format!("{name}: {refusal}")),
            Ok(checked) if checked.object != before => {
                faults.push(format!("{name}: {}", first_difference(&before, &checked.object, String::new())))
            }
            Ok(_) => {}
        }
    }
    eprintln!("{seen} objects");
    assert!(faults.is_empty(), "{} of {seen}:\n{}", faults.len(), faults.join("\n"));
}

fn first_difference(a: &Value, b: &Value, path: String) -> String {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            for (key, value) in a {
                match b.get(key) {
                    None => return format!("{path}.{key}: lost {value}"),
                    Some(other) if other != value => return first_difference(value, other, format!("{path}.{key}")),
                    _ => {}
                }
            }
            format!("{path}: more keys")
        }
        (Value::Array(a), Value::Array(b)) => {
            let at = a.iter().zip(b).position(|(a, b)| a != b).unwrap_or(0);
            first_difference(&a[at], &b[at], format!("{path}[{at}]"))
        }
        _ => format!("{path}: {a} became {b}"),
    }
}
