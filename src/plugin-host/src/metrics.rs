//! What is counted of each plugin.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use kedge_plugin_api::Fault;

/// Counters of one plugin; they outlive its instances.
#[derive(Debug, Default)]
pub struct Counters {
    pub(crate) calls: AtomicU64,
    pub(crate) nanoseconds: AtomicU64,
    pub(crate) traps: AtomicU64,
    pub(crate) deadlines: AtomicU64,
    pub(crate) memory: AtomicU64,
    pub(crate) nonsense: AtomicU64,
    pub(crate) instances: AtomicU64,
    pub(crate) retired: AtomicU64,
    pub(crate) peak_memory: AtomicU64,
    pub(crate) dropped_lines: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginMetrics {
    /// The plugin.
    pub plugin: String,
    /// Calls that were made.
    pub calls: u64,
    /// Time spent in them.
    pub time: Duration,
    /// Calls that trapped.
    pub traps: u64,
    /// Calls that were stopped at their deadline.
    pub deadlines: u64,
    /// Calls that asked for too much memory.
    pub memory: u64,
    /// Answers that made no sense.
    pub nonsense: u64,
    /// Instances made.
    pub instances: u64,
    /// Instances given up because they had grown.
    pub retired: u64,
    /// The largest linear memory of any instance, in bytes.
    pub peak_memory: u64,
    /// Log lines over the bound.
    pub dropped_lines: u64,
}

impl Counters {
    pub(crate) fn call(&self, time: Duration) {
        self.calls.fetch_add(1, Relaxed);
        self.nanoseconds.fetch_add(time.as_nanos() as u64, Relaxed);
    }

    pub(crate) fn fault(&self, fault: &Fault) {
        let counter = match fault {
            Fault::Trap(_) => &self.traps,
            Fault::Deadline(_) => &self.deadlines,
            Fault::Memory(_) => &self.memory,
            Fault::Nonsense(_) => &self.nonsense,
            Fault::Refused(_) | Fault::Load(_) | Fault::Resting(..) => return,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn at(&self, plugin: &str) -> PluginMetrics {
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        PluginMetrics {
            plugin: plugin.to_string(),
            calls: get(&self.calls),
            time: Duration::from_nanos(get(&self.nanoseconds)),
            traps: get(&self.traps),
            deadlines: get(&self.deadlines),
            memory: get(&self.memory),
            nonsense: get(&self.nonsense),
            instances: get(&self.instances),
            retired: get(&self.retired),
            peak_memory: get(&self.peak_memory),
            dropped_lines: get(&self.dropped_lines),
        }
    }
}

/// The text that Prometheus reads.
pub fn render(all: &[PluginMetrics]) -> String {
    type Get = fn(&PluginMetrics) -> f64;
    let families: [(&str, &str, &str, Get); 7] = [
        ("kedge_plugin_calls_total", "counter", "Calls into a plugin.", |m| m.calls as f64),
        ("kedge_plugin_seconds_total", "counter", "Time spent in a plugin.", |m| m.time.as_secs_f64()),
        ("kedge_plugin_instances_total", "counter", "Instances made of a plugin.", |m| m.instances as f64),
        ("kedge_plugin_retired_total", "counter", "Instances given up because they had grown.", |m| m.retired as f64),
        ("kedge_plugin_peak_memory_bytes", "gauge", "The largest linear memory of an instance.", |m| {
            m.peak_memory as f64
        }),
        ("kedge_plugin_log_lines_dropped_total", "counter", "Log lines over the bound.", |m| m.dropped_lines as f64),
        ("kedge_plugin_nonsense_total", "counter", "Answers that made no sense.", |m| m.nonsense as f64),
    ];
    let mut text = String::new();
    for (name, kind, help, get) in families {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for one in all {
            let _ = writeln!(text, "{name}{{plugin=\"{}\"}} {}", one.plugin, get(one));
        }
    }
    let name = "kedge_plugin_traps_total";
    let _ = writeln!(text, "# HELP {name} Calls that a plugin did not survive.\n# TYPE {name} counter");
    for one in all {
        for (reason, count) in [("trap", one.traps), ("deadline", one.deadlines), ("memory", one.memory)] {
            let _ = writeln!(text, "{name}{{plugin=\"{}\",reason=\"{reason}\"}} {count}", one.plugin);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_each_plugin() {
        let text = render(&[PluginMetrics { plugin: "p".into(), calls: 3, traps: 1, ..PluginMetrics::default() }]);
        assert!(text.contains("kedge_plugin_calls_total{plugin=\"p\"} 3\n"), "{text}");
        assert!(text.contains("kedge_plugin_traps_total{plugin=\"p\",reason=\"trap\"} 1\n"), "{text}");
    }
}
