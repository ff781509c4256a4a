//! Drafts that are only printed, as kubectl prints what it generates.
//!
//! In: an object that was generated. Out: the same with what programs with fixed types write of empty fields, and
//! without a namespace that nobody named. Never what is sent: there, what is empty is left out.

use serde_json::{Value, json};

use crate::session::Session;

/// The draft as it is printed.
pub fn draft(session: &Session, mut object: Value) -> Value {
    if !session.namespace_given
        && let Some(metadata) = object["metadata"].as_object_mut()
    {
        metadata.remove("namespace");
    }
    typed(&mut object);
    object
}

/// Fields that are written even where they are empty: path, and what stands there.
fn fields(kind: &str) -> Vec<(&'static str, Value)> {
    let (empty, balancer) = (json!({}), json!({"loadBalancer": {}}));
    match kind {
        "Pod" => vec![("/status", empty)],
        "Deployment" => vec![("/spec/strategy", empty.clone()), ("/status", empty)],
        "Job" => vec![("/spec/template/metadata", empty.clone()), ("/status", empty)],
        "CronJob" => vec![
            ("/spec/jobTemplate/metadata", empty.clone()),
            ("/spec/jobTemplate/spec/template/metadata", empty.clone()),
            ("/status", empty),
        ],
        "Namespace" => vec![("/spec", empty.clone()), ("/status", empty)],
        "ResourceQuota" => vec![("/status", empty)],
        "Service" | "Ingress" => vec![("/status", balancer)],
        "HorizontalPodAutoscaler" => vec![("/status", json!({"currentMetrics": null, "desiredReplicas": 0}))],
        "PodDisruptionBudget" => {
            let counts = ["currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods"];
            vec![("/status", counts.into_iter().map(|count| (count.to_owned(), json!(0))).collect())]
        }
        _ => Vec::new(),
    }
}

fn typed(object: &mut Value) {
    for (path, empty) in fields(object["kind"].as_str().unwrap_or("")) {
        let (parent, field) = path.rsplit_once('/').unwrap_or(("", path));
        if let Some(parent) = object.pointer_mut(parent).and_then(Value::as_object_mut) {
            parent.entry(field).or_insert(empty);
        }
    }
    for path in ["/spec", "/spec/template/spec", "/spec/jobTemplate/spec/template/spec"] {
        let Some(Value::Array(containers)) = object.pointer_mut(&format!("{path}/containers")) else { continue };
        for container in containers.iter_mut().filter_map(Value::as_object_mut) {
            container.entry("resources").or_insert_with(|| json!({}));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_is_written_as_others_do() {
        let mut cron = json!({"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "c"}]}}}}}});
        typed(&mut cron);
        assert_eq!(
            cron["spec"]["jobTemplate"],
            json!({"metadata": {}, "spec": {"template": {"metadata": {}, "spec": {"containers": [{"name": "c", "resources": {}}]}}}})
        );
        let mut service = json!({"kind": "Service", "spec": {"ports": []}});
        typed(&mut service);
        assert_eq!(service, json!({"kind": "Service", "spec": {"ports": []}, "status": {"loadBalancer": {}}}));
        let mut odd = json!({"kind": "Job", "spec": 7});
        typed(&mut odd);
        assert_eq!(odd, json!({"kind": "Job", "spec": 7, "status": {}}));
    }

    #[tokio::test]
    async fn only_a_namespace_that_was_named_is_printed() {
        let (mut session, _) = crate::fake::session(|_| (200, json!({})));
        let object = json!({"kind": "ConfigMap", "metadata": {"name": "a", "namespace": "b"}});
        assert_eq!(draft(&session, object.clone())["metadata"], json!({"name": "a"}));
        session.namespace_given = true;
        assert_eq!(draft(&session, object.clone()), object);
    }
}
