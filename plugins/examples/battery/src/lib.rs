//! A predicate for devices that run on batteries: a node says in label `example.com/battery` how many percent are
//! left, and pods go only to nodes that have enough. A pod with label `example.com/urgent` goes anywhere.

use kedge_plugin_sdk::scheduling::{Groups, Pod};
use kedge_plugin_sdk::{Nodes, Plugin, Refusal, Verdict};

struct Battery {
    least: u32,
}

impl Plugin for Battery {
    const PREDICATES: &'static [&'static str] = &["BatteryIsFullEnough"];

    /// Of the nodes we read labels, so only those are sent to us.
    fn groups() -> Groups {
        Groups::LABELS
    }

    /// `arguments` of the configuration: the least percentage. Without any, 20.
    fn new(arguments: &str) -> Result<Self, String> {
        let least = if arguments == "null" { Ok(20) } else { arguments.parse() };
        least.map(|least| Self { least }).map_err(|_| format!("{arguments} is not a percentage"))
    }

    /// Refuses nodes. Whichever of them `verdict.each` asks about, no earlier predicate refused.
    fn filter(&mut self, _predicate: usize, nodes: &Nodes, pod: &Pod, verdict: &mut Verdict) {
        let urgent = nodes.symbols.find("example.com/urgent");
        if pod.labels.iter().any(|label| Some(label.key) == urgent) {
            return;
        }
        verdict.each(|row| judge(nodes.label(row, "example.com/battery"), self.least));
    }
}

/// The decision by itself, for tests. A node without the label has no battery that could run empty.
fn judge(charge: Option<&str>, least: u32) -> Result<(), Refusal> {
    match charge.and_then(|text| text.parse::<u32>().ok()) {
        Some(charge) if charge < least => Err(Refusal::new("node(s) had too little battery")),
        _ => Ok(()),
    }
}

kedge_plugin_sdk::export_scheduling!(Battery);

#[test]
fn an_empty_battery_is_refused() {
    assert!(judge(Some("19"), 20).is_err());
    assert!(judge(Some("20"), 20).is_ok());
    assert!(judge(None, 20).is_ok());
}
