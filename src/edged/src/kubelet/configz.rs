//! `/configz`: the settings that the node agent really runs with, under the kubelet's names.
//!
//! In: the agent's settings. Out: the document. What the agent does not have is left out rather than made up. Pure.

use kedge_api::clock::GoDuration;
use kedge_node::NodeConfig;
use serde_json::{Value, json};

/// What else is told, which the agent itself does not know.
pub struct Around<'a> {
    /// The cgroup below which pods live.
    pub cgroup: &'a str,
    /// Whether `/logs` is served.
    pub logs: bool,
}

/// The document.
pub fn document(config: &NodeConfig, around: &Around<'_>) -> Value {
    let mut out = json!({
        "enableServer": false,
        "enableSystemLogHandler": around.logs,
        "enableSystemLogQuery": false,
        "nodeStatusReportFrequency": GoDuration::from(config.status_report).to_string(),
        "nodeLeaseDurationSeconds": config.lease_duration.as_secs(),
        "maxPods": config.max_pods,
        "clusterDomain": config.cluster_domain,
        "cgroupRoot": format!("/{}", around.cgroup.trim_matches('/')),
        "cgroupDriver": "cgroupfs",
        "failSwapOn": false,
        "makeIPTablesUtilChains": false,
        "evictionPressureTransitionPeriod": "5m0s",
        "containerLogMaxSize": bytes(config.log_max_bytes),
        "containerLogMaxFiles": config.log_max_files,
        "imageGCHighThresholdPercent": config.image_gc.high,
        "imageGCLowThresholdPercent": config.image_gc.low,
        "imageMinimumGCAge": GoDuration::from(config.image_gc.least_age).to_string(),
        "podLogsDir": config.state_dir.join("pods"),
        "seccompDefault": false,
    });
    if let Some(limit) = config.pod_pids_limit {
        out["podPidsLimit"] = json!(limit);
    }
    if !config.cluster_dns.is_empty() {
        out["clusterDNS"] = json!(config.cluster_dns);
    }
    let reserved = config.reserved;
    if reserved.cpu_millis > 0 || reserved.memory_bytes > 0 {
        let cpu = format!("{}m", reserved.cpu_millis);
        out["systemReserved"] = json!({"cpu": cpu, "memory": bytes(reserved.memory_bytes)});
    }
    if !config.labels.is_empty() {
        out["nodeLabels"] = json!(config.labels);
    }
    json!({"kubeletconfig": out})
}

/// A quantity in the largest unit that fits.
fn bytes(count: u64) -> String {
    let units = [(30, "Gi"), (20, "Mi"), (10, "Ki")];
    let fits = units.iter().find(|(bits, _)| count > 0 && count.is_multiple_of(1 << bits));
    fits.map_or_else(|| count.to_string(), |(bits, unit)| format!("{}{unit}", count >> bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_told_as_they_are() {
        let mut config = NodeConfig::new("n", "/var/lib/x");
        config.log_max_bytes = 10 << 20;
        config.reserved.memory_bytes = 1000;
        let told = document(&config, &Around { cgroup: "kedge/a", logs: true });
        let told = &told["kubeletconfig"];
        for (key, value) in [
            ("maxPods", json!(110)),
            ("containerLogMaxSize", json!("10Mi")),
            ("nodeStatusReportFrequency", json!("5m0s")),
            ("imageGCHighThresholdPercent", json!(85)),
            ("imageGCLowThresholdPercent", json!(80)),
            ("imageMinimumGCAge", json!("2m0s")),
            ("cgroupRoot", json!("/kedge/a")),
            ("enableSystemLogHandler", json!(true)),
            ("systemReserved", json!({"cpu": "0m", "memory": "1000"})),
        ] {
            assert_eq!(told[key], value, "{key}");
        }
        assert!(told.get("clusterDNS").is_none());
    }
}
