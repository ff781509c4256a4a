//! `metrics.k8s.io/v1beta1`: what the node and its pods use, from two looks at what they have used.
//!
//! In: two looks, the Node, its pods. Out: NodeMetrics and PodMetrics as the Kubernetes metrics API has them, and when
//! to look again. Pure: measures nothing and keeps nothing.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use kedge_api::clock::{self, GoDuration};
use kedge_api::kinds::{join_api_version, measured};
use kedge_api::meta;
use kedge_api::quantity::{Format, Quantity};
use kedge_node::{ContainerUsage, MachineUsage};
use serde_json::{Value, json};

use super::{Reading, started};

/// Between two looks that tell anything; also how long an answer is good for others.
pub const SHORTEST: Duration = Duration::from_secs(1);
/// The mean of a longer time says little of now.
const LONGEST: Duration = Duration::from_secs(60);

/// What everything had used at a moment.
pub struct Look {
    /// By the clock on the wall.
    pub at: SystemTime,
    /// By the one that never jumps.
    pub moment: Instant,
    /// The containers.
    pub containers: Vec<ContainerUsage>,
    /// The machine.
    pub machine: MachineUsage,
}

/// What is looked at for an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: the last two looks do.
    Nothing,
    /// Once: the last look is where the window begins.
    Once,
    /// Twice, [`SHORTEST`] apart.
    Twice,
}

/// What is looked at when the last look is so old; `None` if there was none.
pub fn next(age: Option<Duration>) -> Next {
    match age {
        Some(age) if age < SHORTEST => Next::Nothing,
        Some(age) if age <= LONGEST => Next::Once,
        _ => Next::Twice,
    }
}

/// From one look to another.
pub struct Window<'a> {
    /// Where it begins.
    pub first: &'a Look,
    /// Where it ends.
    pub last: &'a Look,
}

impl Window<'_> {
    /// The Node's `NodeMetrics`.
    pub fn node(&self, node: &Value) -> Value {
        let (first, last) = (&self.first.machine, &self.last.machine);
        let mut object = self.object("NodeMetrics", node);
        let cores = rate(last.cpu_nanos.saturating_sub(first.cpu_nanos), self.length());
        object["usage"] = usage(cores, last.memory.saturating_sub(last.memory_available));
        object
    }

    /// A `PodMetrics` for each of the pods that has a running container.
    pub fn pods(&self, node: &str, pods: &[Value]) -> Vec<Value> {
        let key = |usage: &ContainerUsage| (usage.namespace.clone(), usage.pod.clone(), usage.container.clone());
        let before: HashMap<_, u64> = self.first.containers.iter().map(|u| (key(u), u.stats.cpu_nanos)).collect();
        let Look { at, containers, machine, .. } = self.last;
        let reading = Reading { node, pods, containers, machine: *machine, at: *at };
        let pod = |(pod, containers): (&Value, Vec<&ContainerUsage>)| {
            let of = |used: &ContainerUsage| {
                let begun = clock::parse(started(pod, &used.container));
                let cores = self.cores(before.get(&key(used)).copied(), used.stats.cpu_nanos, begun);
                json!({"name": used.container, "usage": usage(cores, used.stats.working_set)})
            };
            let mut object = self.object("PodMetrics", pod);
            object["containers"] = containers.into_iter().map(of).collect();
            object
        };
        reading.by_pod().into_iter().map(pod).collect()
    }

    fn length(&self) -> Duration {
        self.last.moment.saturating_duration_since(self.first.moment)
    }

    /// What a container uses, in billionths of a core. One that was not there before, or another of the same name, is
    /// counted from its start.
    fn cores(&self, before: Option<u64>, now: u64, begun: Option<SystemTime>) -> u64 {
        let is_new = begun.is_some_and(|begun| begun > self.first.at);
        match before.filter(|before| *before <= now && !is_new) {
            Some(before) => rate(now - before, self.length()),
            None => {
                let age = begun.and_then(|begun| self.last.at.duration_since(begun).ok());
                rate(now, age.unwrap_or_default().max(self.length()))
            }
        }
    }

    fn object(&self, kind: &str, of: &Value) -> Value {
        let at = clock::rfc3339(self.last.at);
        let millis = u64::try_from(self.length().as_millis()).unwrap_or(u64::MAX);
        let mut object = json!({
            "kind": kind,
            "apiVersion": join_api_version(measured::GROUP, measured::VERSION),
            "metadata": {"name": meta::name(of), "creationTimestamp": at},
            "timestamp": at,
            "window": GoDuration::from(Duration::from_millis(millis)).to_string(),
        });
        if !meta::namespace(of).is_empty() {
            object["metadata"]["namespace"] = json!(meta::namespace(of));
        }
        if let Some(labels) = meta::at(of, &["metadata", "labels"]) {
            object["metadata"]["labels"] = labels.clone();
        }
        object
    }
}

/// Billionths of a core: nanoseconds of CPU a second.
fn rate(nanos: u64, time: Duration) -> u64 {
    let time = time.as_nanos().max(1);
    u64::try_from(u128::from(nanos) * 1_000_000_000 / time).unwrap_or(u64::MAX)
}

fn usage(cores: u64, bytes: u64) -> Value {
    let whole = |amount: u64| i64::try_from(amount).unwrap_or(i64::MAX);
    json!({
        "cpu": Quantity::nano(whole(cores), Format::DecimalSi).to_string(),
        "memory": Quantity::whole(whole(bytes), Format::BinarySi).to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{reading, usage as used};
    use super::*;

    fn look(seconds: u64, begin: Instant, cpu_nanos: u64, containers: Vec<ContainerUsage>) -> Look {
        let mut machine = reading(&[], &[]).machine;
        machine.cpu_nanos = cpu_nanos;
        let after = Duration::from_secs(seconds);
        Look { at: SystemTime::UNIX_EPOCH + after, moment: begin + after, containers, machine }
    }

    #[test]
    fn looks_are_shared_and_never_too_old() {
        for (age, expected) in [(None, Next::Twice), (Some(0), Next::Nothing), (Some(999), Next::Nothing)] {
            assert_eq!(next(age.map(Duration::from_millis)), expected, "{age:?}");
        }
        for (age, expected) in [(1, Next::Once), (60, Next::Once), (61, Next::Twice)] {
            assert_eq!(next(Some(Duration::from_secs(age))), expected, "{age}");
        }
    }

    #[test]
    fn what_is_used_is_the_mean_of_the_window() {
        let begin = Instant::now();
        let first = look(100, begin, 1_000_000_000, vec![used("c", 500_000_000), used("again", 900_000_000)]);
        let more = vec![used("c", 1_500_000_000), used("again", 100_000_000), used("late", 200_000_000)];
        let last = look(104, begin, 3_000_000_000, more);
        let window = Window { first: &first, last: &last };
        let node = json!({"metadata": {"name": "n", "labels": {"a": "b"}}});
        let at = "1970-01-01T00:01:44Z";
        assert_eq!(
            window.node(&node),
            json!({"kind": "NodeMetrics", "apiVersion": "metrics.k8s.io/v1beta1", "timestamp": at, "window": "4s",
                "metadata": {"name": "n", "creationTimestamp": at, "labels": {"a": "b"}},
                "usage": {"cpu": "500m", "memory": "400"}})
        );
        let running = |name: &str, at: &str| json!({"name": name, "state": {"running": {"startedAt": at}}});
        let status = json!({"containerStatuses": [
            running("c", "1970-01-01T00:00:10Z"), running("again", "1970-01-01T00:01:42Z"), running("late", "1970-01-01T00:01:43Z")]});
        let pods = [
            json!({"metadata": {"namespace": "a", "name": "p"}, "status": status}),
            json!({"metadata": {"namespace": "a", "name": "waits"}}),
        ];
        let found = window.pods("n", &pods);
        assert_eq!(found.len(), 1, "one that does not run uses nothing");
        assert_eq!(found[0]["metadata"], json!({"namespace": "a", "name": "p", "creationTimestamp": at}));
        let cpu = |name: &str| {
            let all = found[0]["containers"].as_array().unwrap();
            all.iter().find(|one| one["name"] == name).unwrap()["usage"]["cpu"].clone()
        };
        assert_eq!((cpu("c"), cpu("again"), cpu("late")), (json!("250m"), json!("25m"), json!("50m")));
    }
}
