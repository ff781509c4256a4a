//! The pods of a Job.
//!
//! In: a Job's template, which pod is wanted. Out: the pod. Pure.

use serde_json::{Value, json};

use super::model::{Job, TRACKING};
use super::plan::NewPod;
use crate::pods::Owner;

const INDEX: &str = "batch.kubernetes.io/job-completion-index";
const INDEX_FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
const INDEX_IGNORED_FAILURES: &str = "batch.kubernetes.io/job-index-ignored-failure-count";
const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";
/// The API appends five characters to a generated name of at most 63.
const GENERATED_MOST: usize = 58;

/// One pod.
pub fn pod(owner: &Owner, job: &Job, wanted: &NewPod) -> Value {
    let mut pod = owner.pod(&job.spec["template"]);
    let mut finalizers = pod["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    if !finalizers.iter().any(|held| held == TRACKING) {
        finalizers.push(json!(TRACKING));
    }
    pod["metadata"]["finalizers"] = Value::Array(finalizers);
    let Some(index) = wanted.index else { return pod };
    let suffix = format!("-{index}-");
    let kept = job.name.len().min(GENERATED_MOST - suffix.len());
    pod["metadata"]["generateName"] = json!(format!("{}{suffix}", job.name.get(..kept).unwrap_or_default()));
    pod["metadata"]["annotations"][INDEX] = json!(index.to_string());
    pod["metadata"]["labels"][INDEX] = json!(index.to_string());
    pod["spec"]["hostname"] = json!(format!("{}-{index}", job.name));
    if let Some((failures, ignored)) = wanted.failures {
        pod["metadata"]["annotations"][INDEX_FAILURES] = json!(failures.to_string());
        if ignored > 0 {
            pod["metadata"]["annotations"][INDEX_IGNORED_FAILURES] = json!(ignored.to_string());
        }
    }
    for list in ["initContainers", "containers"] {
        for container in pod["spec"][list].as_array_mut().into_iter().flatten() {
            tell_index(container);
        }
    }
    pod
}

/// Gives a container its index as a variable, unless it has one of that name.
fn tell_index(container: &mut Value) {
    let mut variables = container["env"].as_array().cloned().unwrap_or_default();
    if variables.iter().any(|variable| variable["name"] == INDEX_VARIABLE) {
        return;
    }
    let field = json!({"fieldPath": format!("metadata.labels['{INDEX}']")});
    variables.push(json!({"name": INDEX_VARIABLE, "valueFrom": {"fieldRef": field}}));
    container["env"] = Value::Array(variables);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_indexed_pod_knows_its_index() {
        let name = "j".repeat(63);
        let owner = Owner::new(crate::world::kind("batch", "v1", "Job"), "n", &name, "u");
        let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c"}]}});
        let job = Job { name, spec: json!({"template": template}), ..Job::default() };
        let made = pod(&owner, &job, &NewPod { index: Some(12), failures: Some((1, 0)) });
        assert_eq!(made["metadata"]["generateName"].as_str().unwrap().len(), 58);
        assert_eq!(made["metadata"]["labels"], json!({"a": "b", INDEX: "12"}));
        assert_eq!(made["metadata"]["annotations"], json!({INDEX: "12", INDEX_FAILURES: "1"}));
        assert_eq!(made["spec"]["containers"][0]["env"][0]["name"], INDEX_VARIABLE);
        assert_eq!(made["metadata"]["finalizers"], json!([TRACKING]));
        let plain = pod(&owner, &job, &NewPod::default());
        assert!(plain["spec"]["hostname"].is_null() && plain["spec"]["containers"][0]["env"].is_null());
    }
}
