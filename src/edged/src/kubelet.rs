//! What a kubelet serves and people and their tools read: pods, usage as a summary and as figures, its settings.
//!
//! In: the node's pods as the API keeps them, what containers and the machine use. Out: the documents, in the forms of
//! `v1`, `stats.k8s.io/v1alpha1` and `/metrics/resource`; others are in files below. Pure: asks nobody and measures
//! nothing. Rates are only in `usage.rs`, where they are asked for: they take two looks, never a timer.

pub mod cadvisor;
pub mod configz;
pub mod usage;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::SystemTime;

use kedge_api::clock;
use kedge_api::machine::Stats;
use kedge_api::meta;
use kedge_node::{ContainerUsage, MachineUsage};
use serde_json::{Value, json};

/// One reading of everything.
pub struct Reading<'a> {
    /// The node's name.
    pub node: &'a str,
    /// Its pods.
    pub pods: &'a [Value],
    /// What their containers use.
    pub containers: &'a [ContainerUsage],
    /// What the machine uses.
    pub machine: MachineUsage,
    /// When.
    pub at: SystemTime,
}

/// `/pods`.
pub fn pods(pods: Vec<Value>) -> Value {
    json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods})
}

impl Reading<'_> {
    /// The containers of each pod that has some running, with the pod.
    fn by_pod(&self) -> Vec<(&Value, Vec<&ContainerUsage>)> {
        let mut of: BTreeMap<(&str, &str), Vec<&ContainerUsage>> = BTreeMap::new();
        for usage in self.containers {
            of.entry((&usage.namespace, &usage.pod)).or_default().push(usage);
        }
        let known = |pod| of.get(&(meta::namespace(pod), meta::name(pod))).map(|containers| (pod, containers.clone()));
        self.pods.iter().filter_map(known).collect()
    }

    /// `/stats/summary`.
    pub fn summary(&self) -> Value {
        let at = clock::rfc3339(self.at);
        let cpu = |nanos: u64| json!({"time": at, "usageCoreNanoSeconds": nanos});
        let memory = |stats: &Stats| json!({"time": at, "usageBytes": stats.usage, "workingSetBytes": stats.working_set, "rssBytes": stats.rss});
        let pod = |(pod, containers): (&Value, Vec<&ContainerUsage>)| {
            let sum = total(&containers);
            let rows = containers.iter().map(|usage| {
                let mut row = json!({"name": usage.container, "cpu": cpu(usage.stats.cpu_nanos),
                    "memory": memory(&usage.stats)});
                put(&mut row, "startTime", started(pod, &usage.container));
                row
            });
            let mut row = json!({
                "podRef": {"name": meta::name(pod), "namespace": meta::namespace(pod), "uid": meta::uid(pod)},
                "containers": rows.collect::<Vec<_>>(),
                "cpu": cpu(sum.cpu_nanos), "memory": memory(&sum),
                "process_stats": {"process_count": sum.processes},
            });
            put(&mut row, "startTime", meta::text_at(pod, &["status", "startTime"]));
            row
        };
        let machine = &self.machine;
        let disk = json!({"time": at, "availableBytes": machine.storage_free, "capacityBytes": machine.storage,
            "usedBytes": machine.storage.saturating_sub(machine.storage_free)});
        let mut node = json!({
            "nodeName": self.node,
            "cpu": cpu(machine.cpu_nanos),
            "memory": {"time": at, "availableBytes": machine.memory_available,
                "usageBytes": machine.memory.saturating_sub(machine.memory_free),
                "workingSetBytes": machine.memory.saturating_sub(machine.memory_available)},
            "fs": disk, "runtime": {"imageFs": disk},
        });
        if let Some(booted) = machine.booted {
            node["startTime"] = json!(clock::rfc3339(booted));
        }
        json!({"node": node, "pods": self.by_pod().into_iter().map(pod).collect::<Vec<_>>()})
    }

    /// `/metrics/resource`: what a metrics server reads.
    pub fn figures(&self) -> String {
        let millis = self.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let mut out = String::new();
        let mut family = |name: &str, kind: &str, help: &str, rows: Vec<(String, String)>| {
            let _ = writeln!(out, "# HELP {name} [STABLE] {help}\n# TYPE {name} {kind}");
            for (labels, value) in rows {
                let _ = writeln!(out, "{name}{labels} {value} {millis}");
            }
        };
        let seconds = |nanos: u64| format!("{:.9}", nanos as f64 / 1e9);
        let containers = |value: &dyn Fn(&ContainerUsage) -> String| -> Vec<(String, String)> {
            let row = |usage: &ContainerUsage| {
                let (container, namespace, pod) = (&usage.container, &usage.namespace, &usage.pod);
                let labels = format!("{{container=\"{container}\",namespace=\"{namespace}\",pod=\"{pod}\"}}");
                (labels, value(usage))
            };
            self.containers.iter().map(row).collect()
        };
        let pods = |value: &dyn Fn(&Stats) -> String| -> Vec<(String, String)> {
            let row = |(pod, containers): (&Value, Vec<&ContainerUsage>)| {
                let labels = format!("{{namespace=\"{}\",pod=\"{}\"}}", meta::namespace(pod), meta::name(pod));
                (labels, value(&total(&containers)))
            };
            self.by_pod().into_iter().map(row).collect()
        };
        let machine = &self.machine;
        let used = machine.memory.saturating_sub(machine.memory_available).to_string();
        family(
            "node_cpu_usage_seconds_total",
            "counter",
            "Cumulative cpu time consumed by the node in core-seconds",
            vec![(String::new(), seconds(machine.cpu_nanos))],
        );
        family(
            "node_memory_working_set_bytes",
            "gauge",
            "Current working set of the node in bytes",
            vec![(String::new(), used)],
        );
        family(
            "container_cpu_usage_seconds_total",
            "counter",
            "Cumulative cpu time consumed by the container in core-seconds",
            containers(&|usage| seconds(usage.stats.cpu_nanos)),
        );
        family(
            "container_memory_working_set_bytes",
            "gauge",
            "Current working set of the container in bytes",
            containers(&|usage| usage.stats.working_set.to_string()),
        );
        family(
            "pod_cpu_usage_seconds_total",
            "counter",
            "Cumulative cpu time consumed by the pod in core-seconds",
            pods(&|sum| seconds(sum.cpu_nanos)),
        );
        family(
            "pod_memory_working_set_bytes",
            "gauge",
            "Current working set of the pod in bytes",
            pods(&|sum| sum.working_set.to_string()),
        );
        let _ = writeln!(
            out,
            "# HELP resource_scrape_error [STABLE] 1 if there was an error while getting container metrics, 0 otherwise\n\
             # TYPE resource_scrape_error gauge\nresource_scrape_error 0"
        );
        out
    }
}

fn total(containers: &[&ContainerUsage]) -> Stats {
    containers.iter().fold(Stats::default(), |sum, ContainerUsage { stats, .. }| Stats {
        cpu_nanos: sum.cpu_nanos + stats.cpu_nanos,
        working_set: sum.working_set + stats.working_set,
        rss: sum.rss + stats.rss,
        usage: sum.usage + stats.usage,
        processes: sum.processes + stats.processes,
    })
}

fn status<'a>(pod: &'a Value, container: &str) -> Option<&'a Value> {
    let lists = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];
    let mut all = lists.into_iter().flat_map(|list| meta::list_at(pod, &["status", list]));
    all.find(|status| meta::text(status, "name") == container)
}

fn started<'a>(pod: &'a Value, container: &str) -> &'a str {
    status(pod, container).map_or("", |status| meta::text_at(status, &["state", "running", "startedAt"]))
}

fn put(row: &mut Value, key: &str, text: &str) {
    if !text.is_empty() {
        row[key] = json!(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    pub(super) fn reading<'a>(pods: &'a [Value], containers: &'a [ContainerUsage]) -> Reading<'a> {
        let machine = MachineUsage {
            cpu_nanos: 2_500_000_000,
            memory: 1000,
            memory_free: 200,
            memory_available: 600,
            storage: 50,
            storage_free: 20,
            booted: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(60)),
        };
        Reading { node: "n", pods, containers, machine, at: SystemTime::UNIX_EPOCH + Duration::from_secs(120) }
    }

    pub(super) fn usage(container: &str, cpu_nanos: u64) -> ContainerUsage {
        let stats = Stats { cpu_nanos, working_set: 10, rss: 5, usage: 20, processes: 2 };
        ContainerUsage { namespace: "a".into(), pod: "p".into(), container: container.into(), stats }
    }

    #[test]
    fn usage_is_told_as_kubelets_do() {
        let status = json!({"startTime": "1970-01-01T00:01:00Z", "containerStatuses": [
            {"name": "c", "state": {"running": {"startedAt": "1970-01-01T00:01:10Z"}}}]});
        let pods = [
            json!({"metadata": {"namespace": "a", "name": "p", "uid": "u"}, "status": status}),
            json!({"metadata": {"namespace": "a", "name": "waits", "uid": "v"}}),
        ];
        let containers = [usage("c", 1_000_000_000), usage("side", 500_000_000)];
        let reading = reading(&pods, &containers);
        let at = "1970-01-01T00:02:00Z";
        let memory = |times: u64| json!({"time": at, "usageBytes": 20 * times, "workingSetBytes": 10 * times, "rssBytes": 5 * times});
        let disk = json!({"time": at, "availableBytes": 20, "capacityBytes": 50, "usedBytes": 30});
        assert_eq!(
            reading.summary(),
            json!({
                "node": {"nodeName": "n", "startTime": "1970-01-01T00:01:00Z",
                    "cpu": {"time": at, "usageCoreNanoSeconds": 2_500_000_000u64},
                    "memory": {"time": at, "availableBytes": 600, "usageBytes": 800, "workingSetBytes": 400},
                    "fs": disk, "runtime": {"imageFs": disk}},
                "pods": [{
                    "podRef": {"name": "p", "namespace": "a", "uid": "u"}, "startTime": "1970-01-01T00:01:00Z",
                    "containers": [
                        {"name": "c", "startTime": "1970-01-01T00:01:10Z", "memory": memory(1),
                            "cpu": {"time": at, "usageCoreNanoSeconds": 1_000_000_000}},
                        {"name": "side", "memory": memory(1), "cpu": {"time": at, "usageCoreNanoSeconds": 500_000_000}},
                    ],
                    "cpu": {"time": at, "usageCoreNanoSeconds": 1_500_000_000}, "memory": memory(2),
                    "process_stats": {"process_count": 4},
                }],
            })
        );
        let text = reading.figures();
        for line in [
            "# TYPE container_cpu_usage_seconds_total counter",
            "node_cpu_usage_seconds_total 2.500000000 120000",
            "node_memory_working_set_bytes 400 120000",
            "container_cpu_usage_seconds_total{container=\"side\",namespace=\"a\",pod=\"p\"} 0.500000000 120000",
            "container_memory_working_set_bytes{container=\"c\",namespace=\"a\",pod=\"p\"} 10 120000",
            "pod_cpu_usage_seconds_total{namespace=\"a\",pod=\"p\"} 1.500000000 120000",
            "pod_memory_working_set_bytes{namespace=\"a\",pod=\"p\"} 20 120000",
            "resource_scrape_error 0",
        ] {
            assert!(text.lines().any(|seen| seen == line), "{line:?} is not in {text}");
        }
    }
}
