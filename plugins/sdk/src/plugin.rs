//! What an author writes, and the part around it that answers the daemon.

use crate::nodes::Nodes;
use crate::rows::Rows;
use crate::scheduling::{Delta, Description, Groups, Pod, WireVerdict};
use crate::verdict::Verdict;

/// A component's predicates and priorities.
pub trait Plugin: Sized + 'static {
    /// The predicates that it offers.
    const PREDICATES: &'static [&'static str] = &[];
    /// The priorities that it offers.
    const PRIORITIES: &'static [&'static str] = &[];
    /// The columns that it reads, beside names and `unschedulable`.
    fn groups() -> Groups;

    /// Makes one from the configuration's `arguments`: JSON, `null` when there are none.
    fn new(arguments: &str) -> Result<Self, String>;

    /// Lets predicate number `predicate` (of `PREDICATES`) refuse rows.
    fn filter(&mut self, predicate: usize, nodes: &Nodes, pod: &Pod, verdict: &mut Verdict) {
        let _ = (predicate, nodes, pod, verdict);
    }

    /// Scores of priority number `priority` (of `PRIORITIES`): 0 to 100 for each row of `feasible`, in its order.
    fn score(&mut self, priority: usize, nodes: &Nodes, pod: &Pod, feasible: &Rows) -> Vec<u8> {
        let _ = (priority, nodes, pod);
        vec![0; feasible.count()]
    }
}

/// A plugin with its configuration and its copy of the nodes.
pub struct Configured<P> {
    plugin: Option<P>,
    predicates: Vec<usize>,
    priorities: Vec<usize>,
    nodes: Nodes,
}

impl<P> Default for Configured<P> {
    fn default() -> Self {
        Self { plugin: None, predicates: Vec::new(), priorities: Vec::new(), nodes: Nodes::default() }
    }
}

impl<P: Plugin> Configured<P> {
    /// What the component offers.
    pub fn describe() -> Description {
        let strings = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        Description { predicates: strings(P::PREDICATES), priorities: strings(P::PRIORITIES), groups: P::groups() }
    }

    /// Takes the configuration.
    pub fn configure(
        &mut self,
        predicates: Vec<String>,
        priorities: Vec<String>,
        arguments: String,
    ) -> Result<(), String> {
        self.predicates = places(P::PREDICATES, &predicates)?;
        self.priorities = places(P::PRIORITIES, &priorities)?;
        self.plugin = Some(P::new(&arguments)?);
        Ok(())
    }

    /// Brings the nodes up to date.
    pub fn update(&mut self, delta: Delta) -> u64 {
        self.nodes.update(&delta)
    }

    /// Runs the predicates.
    pub fn filter(&mut self, pod: Pod, candidates: Vec<u64>) -> WireVerdict {
        let mut verdict = Verdict::new(Rows::from_words(candidates, self.nodes.rows()));
        let plugin = self.plugin.as_mut().expect("configure is called first");
        for (place, predicate) in self.predicates.iter().enumerate() {
            verdict.begin(place);
            plugin.filter(*predicate, &self.nodes, &pod, &mut verdict);
        }
        verdict.finish()
    }

    /// Runs the priorities.
    pub fn score(&mut self, pod: Pod, feasible: Vec<u64>) -> Vec<Vec<u8>> {
        let feasible = Rows::from_words(feasible, self.nodes.rows());
        let plugin = self.plugin.as_mut().expect("configure is called first");
        self.priorities.iter().map(|priority| plugin.score(*priority, &self.nodes, &pod, &feasible)).collect()
    }
}

fn places(offered: &[&str], wanted: &[String]) -> Result<Vec<usize>, String> {
    let place = |name: &String| {
        offered.iter().position(|known| known == name).ok_or_else(|| format!("{name} is not offered by this plugin"))
    };
    wanted.iter().map(place).collect()
}
