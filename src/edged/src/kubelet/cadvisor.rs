//! `/metrics/cadvisor`: what containers, pods and the machine use, under cAdvisor's names.
//!
//! In: one reading of everything, and what the machine is. Out: Prometheus text. A container has a row of its own, its
//! pod one without a container's name, the machine one with the id `/`, as scrapers know it. Pure.

use std::fmt::Write as _;
use std::time::SystemTime;

use kedge_api::machine::Stats;
use kedge_api::{clock, meta};
use kedge_network::{Count, Traffic};
use kedge_node::machine::MachineFacts;
use serde_json::Value;

use super::{Reading, started, total};

/// One row of each family.
struct Row {
    labels: String,
    stats: Stats,
    started: Option<SystemTime>,
    /// It is the machine's, of which less is known.
    is_machine: bool,
}

type Family = (&'static str, &'static str, &'static str, fn(&Row) -> Option<String>);

const FAMILIES: [Family; 7] = [
    ("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed in seconds.", |row| {
        Some(seconds(row.stats.cpu_nanos))
    }),
    ("container_memory_working_set_bytes", "gauge", "Current working set in bytes.", |row| {
        Some(row.stats.working_set.to_string())
    }),
    ("container_memory_rss", "gauge", "Size of RSS in bytes.", |row| {
        (!row.is_machine).then(|| row.stats.rss.to_string())
    }),
    (
        "container_memory_usage_bytes",
        "gauge",
        "Current memory usage in bytes, including all memory regardless of when it was accessed",
        |row| Some(row.stats.usage.to_string()),
    ),
    ("container_memory_cache", "gauge", "Number of bytes of page cache memory.", |row| {
        (!row.is_machine).then(|| row.stats.usage.saturating_sub(row.stats.rss).to_string())
    }),
    ("container_threads", "gauge", "Number of threads running inside the container", |row| {
        Some(row.stats.processes.to_string())
    }),
    ("container_start_time_seconds", "gauge", "Start time of the container since unix epoch in seconds.", |row| {
        let since = row.started?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(since.as_secs().to_string())
    }),
];

fn seconds(nanos: u64) -> String {
    format!("{:.9}", nanos as f64 / 1e9)
}

/// A label's value as the format wants it.
fn quoted(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n")
}

fn labels(container: &str, id: &str, image: &str, name: &str, pod: Option<&Value>) -> String {
    let (namespace, pod) = pod.map_or(("", ""), |pod| (meta::namespace(pod), meta::name(pod)));
    let pairs = [
        ("container", container),
        ("id", id),
        ("image", image),
        ("name", name),
        ("namespace", namespace),
        ("pod", pod),
    ];
    pairs.map(|(key, value)| format!("{key}=\"{}\"", quoted(value))).join(",")
}

/// The whole document; `traffic` knows what went through the link of a pod.
pub fn text(reading: &Reading<'_>, facts: &MachineFacts, traffic: impl Fn(&str) -> Option<Traffic>) -> String {
    let machine = &reading.machine;
    let used = machine.memory.saturating_sub(machine.memory_free);
    let mut rows = vec![Row {
        labels: labels("", "/", "", "", None),
        stats: Stats {
            cpu_nanos: machine.cpu_nanos,
            working_set: machine.memory.saturating_sub(machine.memory_available),
            usage: used,
            ..Stats::default()
        },
        started: machine.booted,
        is_machine: true,
    }];
    let mut links = Vec::new();
    for (pod, containers) in reading.by_pod() {
        let whole = format!("/pod{}", meta::uid(pod));
        links.extend(traffic(meta::uid(pod)).map(|traffic| (labels("", &whole, "", "", Some(pod)), traffic)));
        rows.push(Row {
            labels: labels("", &whole, "", "", Some(pod)),
            stats: total(&containers),
            started: clock::parse(meta::text_at(pod, &["status", "startTime"])),
            is_machine: false,
        });
        for usage in containers {
            let status = super::status(pod, &usage.container);
            let text = |key: &str| status.map_or("", |status| meta::text(status, key));
            let name = text("containerID").split_once("://").map_or("", |(_, id)| id);
            rows.push(Row {
                labels: labels(&usage.container, &format!("{whole}/{name}"), text("image"), name, Some(pod)),
                stats: usage.stats,
                started: clock::parse(started(pod, &usage.container)),
                is_machine: false,
            });
        }
    }
    let millis = reading.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    let mut out = String::new();
    for (family, kind, help, value) in FAMILIES {
        let _ = writeln!(out, "# HELP {family} {help}\n# TYPE {family} {kind}");
        let more = if family.contains("cpu") { ",cpu=\"total\"" } else { "" };
        for row in &rows {
            if let Some(value) = value(row) {
                let _ = writeln!(out, "{family}{{{}{more}}} {value} {millis}", row.labels);
            }
        }
    }
    for (direction, of) in [
        ("receive", (|traffic: &Traffic| traffic.received) as fn(&Traffic) -> Count),
        ("transmit", |traffic: &Traffic| traffic.sent),
    ] {
        for (what, value) in [
            ("bytes", (|count: &Count| count.bytes) as fn(&Count) -> u64),
            ("packets", |count| count.packets),
            ("errors", |count| count.errors),
            ("packets_dropped", |count| count.dropped),
        ] {
            let family = format!("container_network_{direction}_{what}_total");
            let help = format!("Cumulative count of {} ({direction})", what.replace('_', " "));
            let _ = writeln!(out, "# HELP {family} {help}\n# TYPE {family} counter");
            for (labels, traffic) in &links {
                let value = value(&of(traffic));
                let _ = writeln!(out, "{family}{{{labels},interface=\"eth0\"}} {value} {millis}");
            }
        }
    }
    let identity = format!(
        "boot_id=\"{}\",machine_id=\"{}\",system_uuid=\"{}\"",
        quoted(&facts.boot_id),
        quoted(&facts.machine_id),
        quoted(&facts.system_uuid)
    );
    for (family, help, value) in [
        ("machine_cpu_cores", "Number of logical CPU cores.", facts.cpu_millis / 1000),
        ("machine_memory_bytes", "Amount of memory installed on the machine.", facts.memory_bytes),
    ] {
        let _ = writeln!(out, "# HELP {family} {help}\n# TYPE {family} gauge\n{family}{{{identity}}} {value}");
    }
    for (family, of) in [("container_scrape_error", "container"), ("machine_scrape_error", "machine")] {
        let help = format!("1 if there was an error while getting {of} metrics, 0 otherwise");
        let _ = writeln!(out, "# HELP {family} {help}\n# TYPE {family} gauge\n{family} 0");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::{reading, usage};
    use super::*;
    use serde_json::json;

    #[test]
    fn usage_is_told_as_cadvisor_does() {
        let status = json!({"startTime": "1970-01-01T00:01:00Z", "containerStatuses": [{"name": "c",
            "image": "a\"b", "containerID": "kedge://x1", "state": {"running": {"startedAt": "1970-01-01T00:01:10Z"}}}]});
        let pods = [json!({"metadata": {"namespace": "a", "name": "p", "uid": "u"}, "status": status})];
        let containers = [usage("c", 1_000_000_000)];
        let facts = MachineFacts { cpu_millis: 2000, memory_bytes: 5, boot_id: "b".into(), ..MachineFacts::default() };
        let sent = Count { bytes: 7, ..Count::default() };
        let traffic = |uid: &str| (uid == "u").then(|| Traffic { sent, ..Traffic::default() });
        let text = text(&reading(&pods, &containers), &facts, traffic);
        let own = r#"container="c",id="/podu/x1",image="a\"b",name="x1",namespace="a",pod="p""#;
        let pod = r#"container="",id="/podu",image="",name="",namespace="a",pod="p""#;
        let root = r#"container="",id="/",image="",name="",namespace="",pod="""#;
        for line in [
            "# TYPE container_cpu_usage_seconds_total counter".to_owned(),
            format!("container_cpu_usage_seconds_total{{{own},cpu=\"total\"}} 1.000000000 120000"),
            format!("container_memory_working_set_bytes{{{own}}} 10 120000"),
            format!("container_memory_working_set_bytes{{{pod}}} 10 120000"),
            format!("container_memory_rss{{{own}}} 5 120000"),
            format!("container_start_time_seconds{{{own}}} 70 120000"),
            format!("container_memory_usage_bytes{{{root}}} 800 120000"),
            format!("container_network_transmit_bytes_total{{{pod},interface=\"eth0\"}} 7 120000"),
            format!("container_network_receive_packets_dropped_total{{{pod},interface=\"eth0\"}} 0 120000"),
            r#"machine_cpu_cores{boot_id="b",machine_id="",system_uuid=""} 2"#.to_owned(),
            "container_scrape_error 0".to_owned(),
        ] {
            assert!(text.lines().any(|seen| seen == line), "{line:?} is not in {text}");
        }
        assert!(!text.contains("container_memory_rss{container=\"\",id=\"/\""), "what is not known is left out");
    }
}
