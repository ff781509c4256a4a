//! Amounts by resource: what containers and pods ask for, and what they may use at most.
//!
//! In: `resources` of containers, whole pods. Out: [`Amounts`]. What is no quantity reads as absent; never decides
//! whether an amount is allowed.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::Object;
use crate::meta::{at, list_at, text};
use crate::quantity::Quantity;

/// Amounts by the name of the resource.
pub type Amounts = BTreeMap<String, Quantity>;

/// Which half of `resources`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// `requests`.
    Requests,
    /// `limits`.
    Limits,
}

impl Half {
    /// The field's name.
    pub fn name(self) -> &'static str {
        match self {
            Half::Requests => "requests",
            Half::Limits => "limits",
        }
    }
}

/// How a pod is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counting {
    /// With `spec.overhead`.
    pub overhead: bool,
    /// With what containers were really given, while that is more than their spec says (a resize under way).
    pub status: bool,
}

/// A map of amounts from JSON.
pub fn read(list: Option<&Value>) -> Amounts {
    let entries = list.and_then(Value::as_object).into_iter().flatten();
    entries.filter_map(|(name, value)| Some((name.clone(), Quantity::from_json(value).ok()?))).collect()
}

/// A map of amounts as JSON, in canonical form.
pub fn write(amounts: &Amounts) -> Value {
    Value::Object(amounts.iter().map(|(name, value)| (name.clone(), Value::from(value.to_string()))).collect())
}

/// Adds every amount of `more`.
pub fn add(to: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        match to.get_mut(name) {
            Some(there) => *there = there.add(amount),
            None => {
                to.insert(name.clone(), *amount);
            }
        }
    }
}

/// Raises every amount to at least that of `least`.
pub fn raise(to: &mut Amounts, least: &Amounts) {
    for (name, amount) in least {
        if to.get(name).is_none_or(|there| amount > there) {
            to.insert(name.clone(), *amount);
        }
    }
}

/// What a container's spec says.
pub fn of_container(container: &Value, half: Half) -> Amounts {
    read(at(container, &["resources", half.name()]))
}

/// Whether this init container runs beside the others.
pub fn is_sidecar(container: &Value) -> bool {
    text(container, "restartPolicy") == "Always"
}

/// What a pod needs in all: the sum of its containers and sidecars, or what one init container and the sidecars
/// before it need if that is more; amounts of the whole pod go before those of its containers.
pub fn of_pod(pod: &Object, half: Half, counting: Counting) -> Amounts {
    let given = |container: &Value| {
        let spec = of_container(container, half);
        if counting.status { really(pod, container, half, spec) } else { spec }
    };
    let mut sum = Amounts::new();
    for container in list_at(pod, &["spec", "containers"]) {
        add(&mut sum, &given(container));
    }
    let (mut sidecars, mut most) = (Amounts::new(), Amounts::new());
    for container in list_at(pod, &["spec", "initContainers"]) {
        if is_sidecar(container) {
            let amounts = given(container);
            add(&mut sum, &amounts);
            add(&mut sidecars, &amounts);
            raise(&mut most, &sidecars);
        } else {
            let mut alone = of_container(container, half);
            add(&mut alone, &sidecars);
            raise(&mut most, &alone);
        }
    }
    raise(&mut sum, &most);
    for (name, amount) in read(at(pod, &["spec", "resources", half.name()])) {
        if of_whole_pods(&name) {
            sum.insert(name, amount);
        }
    }
    if counting.overhead {
        let overhead = read(at(pod, &["spec", "overhead"]));
        match half {
            Half::Requests => add(&mut sum, &overhead),
            // No limit stays no limit.
            Half::Limits => {
                for (name, amount) in sum.iter_mut().filter(|(_, amount)| !amount.is_zero()) {
                    if let Some(more) = overhead.get(name) {
                        *amount = amount.add(more);
                    }
                }
            }
        }
    }
    sum
}

/// Resources that can be asked for by a whole pod.
pub fn of_whole_pods(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with("hugepages-")
}

/// Whether the pod says amounts for the whole of itself.
pub fn has_pod_level(pod: &Object) -> bool {
    [Half::Requests, Half::Limits].iter().any(|half| {
        let list = at(pod, &["spec", "resources", half.name()]).and_then(Value::as_object);
        list.is_some_and(|list: &Map<String, Value>| list.keys().any(|name| of_whole_pods(name)))
    })
}

/// The more of what is asked for and what the container has, as its status says.
fn really(pod: &Object, container: &Value, half: Half, spec: Amounts) -> Amounts {
    let statuses = ["containerStatuses", "initContainerStatuses"];
    let mut all = statuses.iter().flat_map(|list| list_at(pod, &["status", list]));
    let Some(status) = all.find(|status| text(status, "name") == text(container, "name")) else { return spec };
    if at(status, &["resources"]).is_none() {
        return spec;
    }
    let infeasible = list_at(pod, &["status", "conditions"])
        .iter()
        .any(|c| text(c, "type") == "PodResizePending" && text(c, "reason") == "Infeasible");
    let mut amounts = if infeasible { Amounts::new() } else { spec };
    raise(&mut amounts, &read(at(status, &["resources", half.name()])));
    if half == Half::Requests {
        raise(&mut amounts, &read(at(status, &["allocatedResources"])));
    }
    amounts
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SPEC: Counting = Counting { overhead: false, status: false };
    const ALL: Counting = Counting { overhead: true, status: true };

    #[track_caller]
    fn check(pod: Value, half: Half, counting: Counting, expected: Value) {
        assert_eq!(write(&of_pod(&pod, half, counting)), expected);
    }

    fn asks(name: &str, cpu: &str) -> Value {
        json!({"name": name, "resources": {"requests": {"cpu": cpu}}})
    }

    #[test]
    fn init_containers_run_alone_and_sidecars_beside() {
        let sidecar = |name: &str, cpu: &str| {
            let mut container = asks(name, cpu);
            container["restartPolicy"] = json!("Always");
            container
        };
        check(
            json!({"spec": {"containers": [asks("a", "1"), asks("b", "500m")], "initContainers": [asks("i", "1")]}}),
            Half::Requests,
            SPEC,
            json!({"cpu": "1500m"}),
        );
        check(
            json!({"spec": {"containers": [asks("a", "1")], "initContainers": [sidecar("s", "2"), asks("i", "3")]}}),
            Half::Requests,
            SPEC,
            json!({"cpu": "5"}),
        );
        check(json!({"spec": {"containers": [{"name": "a"}]}}), Half::Requests, SPEC, json!({}));
    }

    #[test]
    fn the_whole_pod_goes_before_its_containers() {
        let pod = json!({"spec": {"containers": [asks("a", "1")],
            "resources": {"requests": {"cpu": "3", "memory": "1Gi", "example.com/x": "1"}}}});
        assert!(has_pod_level(&pod));
        check(pod, Half::Requests, SPEC, json!({"cpu": "3", "memory": "1Gi"}));
    }

    #[test]
    fn overhead_counts_on_top() {
        let pod = json!({"spec": {"overhead": {"cpu": "10m", "memory": "1Mi"},
            "containers": [{"name": "a", "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}}]}});
        check(pod.clone(), Half::Requests, ALL, json!({"cpu": "1010m", "memory": "1Mi"}));
        check(pod, Half::Limits, ALL, json!({"cpu": "2010m"}));
    }

    #[test]
    fn what_a_container_has_counts_until_it_is_resized() {
        let pod = |conditions: Value| {
            json!({"spec": {"containers": [asks("a", "1")]}, "status": {"conditions": conditions,
                "containerStatuses": [{"name": "a", "resources": {"requests": {"cpu": "2"}}}]}})
        };
        check(pod(json!([])), Half::Requests, ALL, json!({"cpu": "2"}));
        check(pod(json!([])), Half::Requests, SPEC, json!({"cpu": "1"}));
        let mut more = pod(json!([{"type": "PodResizePending", "reason": "Infeasible"}]));
        more["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("5");
        check(more, Half::Requests, ALL, json!({"cpu": "2"}));
    }
}
