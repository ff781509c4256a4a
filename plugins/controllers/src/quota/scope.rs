//! Which objects a quota with scopes counts.
//!
//! In: the scopes of a quota and an object. Out: yes or no. Pure.

use serde_json::Value;

/// One requirement of a quota's scopes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// As in `BestEffort`, `PriorityClass`.
    pub name: String,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`.
    pub operator: String,
    /// For `In` and `NotIn`.
    pub values: Vec<String>,
}

/// All requirements of a quota's `spec`: those of `scopes`, and those of `scopeSelector`.
pub fn of(spec: &Value) -> Vec<Scope> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let plain = list(&spec["scopes"]).into_iter().map(|name| Scope {
        name: text(&name),
        operator: "Exists".into(),
        values: Vec::new(),
    });
    let selected = list(&spec["scopeSelector"]["matchExpressions"]).into_iter().map(|one| Scope {
        name: text(&one["scopeName"]),
        operator: text(&one["operator"]),
        values: list(&one["values"]).iter().map(text).collect(),
    });
    plain.chain(selected).collect()
}

impl Scope {
    /// Whether a pod is within.
    pub fn has_pod(&self, pod: &Value) -> bool {
        let terminating = pod["spec"]["activeDeadlineSeconds"].as_i64().is_some_and(|seconds| seconds >= 0);
        match self.name.as_str() {
            "Terminating" => terminating,
            "NotTerminating" => !terminating,
            "BestEffort" => best_effort(pod),
            "NotBestEffort" => !best_effort(pod),
            "PriorityClass" => {
                let class = pod["spec"]["priorityClassName"].as_str().filter(|name| !name.is_empty());
                self.matches(class.as_slice())
            }
            "CrossNamespacePodAffinity" => crosses_namespaces(pod),
            _ => false,
        }
    }

    /// Whether a claim is within.
    pub fn has_claim(&self, claim: &Value) -> bool {
        let classes = [
            &claim["spec"]["volumeAttributesClassName"],
            &claim["status"]["currentVolumeAttributesClassName"],
            &claim["status"]["modifyVolumeStatus"]["targetVolumeAttributesClassName"],
        ];
        let classes: Vec<&str> =
            classes.into_iter().filter_map(Value::as_str).filter(|name| !name.is_empty()).collect();
        self.name == "VolumeAttributesClass" && self.matches(&classes)
    }

    /// Whether one of the names is as wanted.
    fn matches(&self, names: &[&str]) -> bool {
        let listed = |name: &&str| self.values.iter().any(|value| value == name);
        match self.operator.as_str() {
            "Exists" => !names.is_empty(),
            "DoesNotExist" => names.is_empty(),
            "In" => names.iter().any(listed),
            "NotIn" => names.is_empty() || names.iter().any(|name| !listed(name)),
            _ => false,
        }
    }
}

/// Nothing is asked for and nothing is limited.
fn best_effort(pod: &Value) -> bool {
    let empty = |resources: &Value| {
        ["requests", "limits"].iter().all(|which| {
            let mut amounts = resources[*which].as_object().into_iter().flatten();
            !amounts.any(|(name, amount)| {
                matches!(name.as_str(), "cpu" | "memory")
                    && crate::quantity::Quantity::of(amount).is_some_and(|amount| !amount.is_zero())
            })
        })
    };
    let containers = ["containers", "initContainers"].iter().flat_map(|list| pod["spec"][*list].as_array());
    empty(&pod["spec"]["resources"]) && containers.flatten().all(|container| empty(&container["resources"]))
}

fn crosses_namespaces(pod: &Value) -> bool {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let crosses = |term: &Value| !list(&term["namespaces"]).is_empty() || !term["namespaceSelector"].is_null();
    ["podAffinity", "podAntiAffinity"].iter().any(|which| {
        let affinity = &pod["spec"]["affinity"][*which];
        list(&affinity["requiredDuringSchedulingIgnoredDuringExecution"]).iter().any(crosses)
            || list(&affinity["preferredDuringSchedulingIgnoredDuringExecution"])
                .iter()
                .any(|weighted| crosses(&weighted["podAffinityTerm"]))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(spec: Value, pod: Value, expected: bool) {
        assert_eq!(of(&spec).iter().all(|scope| scope.has_pod(&pod)), expected, "{spec} {pod}");
    }

    #[test]
    fn pods_are_within_their_scopes() {
        let deadline = json!({"spec": {"activeDeadlineSeconds": 5}});
        check(json!({"scopes": ["Terminating"]}), deadline.clone(), true);
        check(json!({"scopes": ["NotTerminating"]}), deadline, false);
        let asking = json!({"spec": {"containers": [{"resources": {"requests": {"cpu": "1"}}}]}});
        check(json!({"scopes": ["BestEffort"]}), json!({"spec": {}}), true);
        check(json!({"scopes": ["NotBestEffort", "NotTerminating"]}), asking, true);
        let selector = |operator: &str, values: &[&str]| {
            json!({"scopeSelector": {"matchExpressions": [
                {"scopeName": "PriorityClass", "operator": operator, "values": values}]}})
        };
        let high = json!({"spec": {"priorityClassName": "high"}});
        check(selector("In", &["high"]), high.clone(), true);
        check(selector("NotIn", &["high"]), high.clone(), false);
        check(selector("Exists", &[]), high, true);
        check(selector("NotIn", &["high"]), json!({}), true);
        check(selector("In", &["high"]), json!({}), false);
        let term = json!({"namespaceSelector": {}});
        let affine = json!({"spec": {"affinity": {"podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [term]}}}});
        check(json!({"scopes": ["CrossNamespacePodAffinity"]}), affine, true);
    }

    #[test]
    fn claims_are_within_by_their_class() {
        let scope = of(&json!({"scopeSelector": {"matchExpressions": [
            {"scopeName": "VolumeAttributesClass", "operator": "In", "values": ["gold"]}]}}));
        assert!(scope[0].has_claim(&json!({"status": {"currentVolumeAttributesClassName": "gold"}})));
        assert!(!scope[0].has_claim(&json!({})));
    }
}
