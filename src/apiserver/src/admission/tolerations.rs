//! DefaultTolerationSeconds: pods stay five minutes on a node that is not ready or out of reach,
//! unless they say otherwise.

use async_trait::async_trait;
use kedge_api::status::Status;
use kedge_api::{Object, meta};
use serde_json::{Value, json};

use super::{Admission, Attributes, Operation, Reader};

/// See the module.
#[derive(Debug)]
pub struct DefaultTolerationSeconds;

const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
const SECONDS: i64 = 300;

#[async_trait]
impl Admission for DefaultTolerationSeconds {
    fn name(&self) -> &'static str {
        "DefaultTolerationSeconds"
    }

    fn concerns(&self, attributes: &Attributes<'_>, _reader: Reader<'_>) -> bool {
        attributes.concerns("", "pods")
    }

    async fn mutate(
        &self,
        attributes: &Attributes<'_>,
        pod: &mut Object,
        _old: Option<&Object>,
        _reader: Reader<'_>,
    ) -> Result<(), Status> {
        let writes = matches!(attributes.operation, Operation::Create | Operation::Update);
        if writes && attributes.is("", "pods") {
            tolerate(pod);
        }
        Ok(())
    }
}

fn tolerate(pod: &mut Object) {
    let missing: Vec<Value> = TAINTS
        .into_iter()
        .filter(|taint| {
            !meta::list_at(pod, &["spec", "tolerations"]).iter().any(|t| {
                let (key, effect) = (meta::text(t, "key"), meta::text(t, "effect"));
                (key == *taint || key.is_empty()) && matches!(effect, "NoExecute" | "")
            })
        })
        .map(|taint| json!({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS}))
        .collect();
    let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) else { return };
    if missing.is_empty() {
        return;
    }
    match spec.get_mut("tolerations").and_then(Value::as_array_mut) {
        Some(list) => list.extend(missing),
        None => {
            spec.insert("tolerations".into(), Value::Array(missing));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(tolerations: Value, expected: usize) {
        let mut pod = json!({"spec": {"tolerations": tolerations}});
        tolerate(&mut pod);
        assert_eq!(meta::list_at(&pod, &["spec", "tolerations"]).len(), expected);
    }

    #[test]
    fn both_taints_are_tolerated_unless_the_pod_speaks_of_them() {
        check(json!(null), 2);
        check(json!([]), 2);
        check(json!([{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}]), 2);
        check(json!([{"operator": "Exists"}]), 1);
        check(json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]), 3);
    }
}
