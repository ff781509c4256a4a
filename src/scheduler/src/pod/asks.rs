//! What a pod asks for in all.
//!
//! In: the requests of its containers. Out: one amount for each resource. As in Kubernetes: the sum of the containers,
//! or the largest init container if that is more; init containers that keep running (sidecars) count with both; then
//! the overhead. Requests of the whole pod (`spec.resources`) take the place of the sum.

use std::collections::BTreeMap;

use kedge_api::quantity::Quantity;
use kedge_plugin_api::NodeTable;
use kedge_plugin_api::nodes::{PODS, Usage};
use serde_json::Value;

use crate::wire::{Container, Pod};

/// Counted in scoring for a container that asks for no CPU: 100 thousandths.
const SMALL_CPU: i64 = 100;
/// Counted in scoring for a container that asks for no memory: 200 MiB.
const SMALL_MEMORY: i64 = 200 << 20;

/// What a pod asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asks {
    /// By resource; CPU in thousandths.
    amounts: BTreeMap<String, i64>,
    /// Milli-CPUs for scoring.
    pub scoring_cpu: i64,
    /// Bytes for scoring.
    pub scoring_memory: i64,
}

impl Asks {
    /// What this pod asks for.
    pub fn of(pod: &Pod) -> Self {
        let spec = &pod.spec;
        let mut amounts = total(&spec.containers, &spec.init_containers, requests);
        let mut scoring = total(&spec.containers, &spec.init_containers, scoring_requests);
        if let Some(whole) = &spec.resources {
            for (name, amount) in parse(&whole.requests) {
                scoring.insert(name.clone(), amount);
                amounts.insert(name, amount);
            }
        }
        let overhead = parse(&spec.overhead);
        add(&mut amounts, &overhead);
        add(&mut scoring, &overhead);
        let scored = |name: &str| scoring.get(name).copied().unwrap_or(0);
        Self { scoring_cpu: scored("cpu"), scoring_memory: scored("memory"), amounts }
    }

    /// As columns and amounts, the pod itself included.
    pub fn requests(&self, table: &mut NodeTable) -> Vec<(u32, i64)> {
        let mut all = vec![(PODS as u32, 1)];
        let asked = self.amounts.iter().filter(|(_, amount)| **amount > 0);
        all.extend(asked.map(|(name, amount)| (table.column(name) as u32, *amount)));
        all
    }

    /// Adds this pod to what is used of a node (`sign` 1) or takes it away (-1).
    pub fn count(&self, requests: &[(u32, i64)], usage: &mut Usage, sign: i64) {
        for (column, amount) in requests {
            let column = *column as usize;
            if usage.requested.len() <= column {
                usage.requested.resize(column + 1, 0);
            }
            usage.requested[column] += sign * amount;
        }
        usage.scoring_cpu += sign * self.scoring_cpu;
        usage.scoring_memory += sign * self.scoring_memory;
    }
}

type Amounts = BTreeMap<String, i64>;

fn total(containers: &[Container], init: &[Container], of: fn(&Container) -> Amounts) -> Amounts {
    let mut sum = Amounts::new();
    containers.iter().for_each(|container| add(&mut sum, &of(container)));
    // Init containers run one after the other, beside the sidecars that were started before them.
    let (mut sidecars, mut peak) = (Amounts::new(), Amounts::new());
    for container in init {
        let mut now = of(container);
        if container.restart_policy == "Always" {
            add(&mut sidecars, &now);
            add(&mut sum, &now);
            now = sidecars.clone();
        } else {
            add(&mut now, &sidecars);
        }
        raise(&mut peak, &now);
    }
    raise(&mut sum, &peak);
    sum
}

fn requests(container: &Container) -> Amounts {
    parse(&container.resources.requests)
}

fn scoring_requests(container: &Container) -> Amounts {
    let mut all = requests(container);
    all.entry("cpu".into()).or_insert(SMALL_CPU);
    all.entry("memory".into()).or_insert(SMALL_MEMORY);
    all
}

/// Amounts by resource: CPU in thousandths, everything else in whole units, rounded up.
pub fn parse(quantities: &BTreeMap<String, Value>) -> Amounts {
    let amount = |name: &str, text: &Value| {
        let quantity = Quantity::from_json(text).ok()?;
        Some(if name == "cpu" { quantity.milli_value() } else { quantity.value() })
    };
    quantities.iter().filter_map(|(name, text)| Some((name.clone(), amount(name, text)?))).collect()
}

fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let sum = sum.entry(name.clone()).or_insert(0);
        *sum = sum.saturating_add(*amount);
    }
}

fn raise(sum: &mut Amounts, floor: &Amounts) {
    for (name, amount) in floor {
        let sum = sum.entry(name.clone()).or_insert(0);
        *sum = (*sum).max(*amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(spec: Value, expected: &[(&str, i64)]) {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap();
        let expected: Amounts = expected.iter().map(|(name, amount)| (name.to_string(), *amount)).collect();
        assert_eq!(Asks::of(&pod).amounts, expected);
    }

    fn asks(cpu: &str) -> Value {
        json!({"resources": {"requests": {"cpu": cpu}}})
    }

    fn sidecar(cpu: &str) -> Value {
        json!({"restartPolicy": "Always", "resources": {"requests": {"cpu": cpu}}})
    }

    #[test]
    fn requests_add_up_as_in_kubernetes() {
        check(json!({"containers": [{}]}), &[]);
        check(json!({"containers": [asks("100m"), asks("1")]}), &[("cpu", 1100)]);
        check(json!({"containers": [asks("1")], "initContainers": [asks("3"), asks("2")]}), &[("cpu", 3000)]);
        check(json!({"containers": [asks("1")], "initContainers": [sidecar("1"), asks("3")]}), &[("cpu", 4000)]);
        check(json!({"containers": [asks("5")], "initContainers": [sidecar("1"), asks("3")]}), &[("cpu", 6000)]);
        check(json!({"containers": [asks("1")], "overhead": {"cpu": "250m"}}), &[("cpu", 1250)]);
        check(json!({"containers": [asks("1")], "resources": {"requests": {"cpu": "2"}}}), &[("cpu", 2000)]);
        let memory = json!({"containers": [{"resources": {"requests": {"memory": "1Mi", "example.com/led": 2}}}]});
        check(memory, &[("example.com/led", 2), ("memory", 1 << 20)]);
    }

    #[test]
    fn containers_that_ask_for_nothing_count_in_scoring() {
        let pod: Pod = serde_json::from_value(json!({"spec": {"containers": [{}, asks("1")]}})).unwrap();
        let asks = Asks::of(&pod);
        assert_eq!((asks.scoring_cpu, asks.scoring_memory), (1100, 2 * SMALL_MEMORY));
    }
}
