//! MatchNodeSelector: `nodeSelector` and required node affinity.
//!
//! Works on one column of label values for each requirement.

use std::rc::Rc;

use kedge_plugin_sdk::scheduling::{NodeTerm, Operator, Pod, Requirement, Symbol};
use kedge_plugin_sdk::{Nodes, Verdict};

const REFUSED: &str = "node(s) didn't match Pod's node affinity/selector";
const NAME_FIELD: &str = "metadata.name";

/// Refuses nodes whose labels do not match.
pub fn matches(nodes: &Nodes, pod: &Pod, verdict: &mut Verdict) {
    if pod.node_selector.is_empty() && pod.required.is_none() {
        return;
    }
    let selector: Vec<Test> =
        pod.node_selector.iter().map(|label| Test::labels(nodes, label.key, Ask::In(vec![label.value]))).collect();
    let terms: Option<Vec<Vec<Test>>> =
        pod.required.as_ref().map(|terms| terms.iter().filter_map(|term| compile(nodes, term)).collect());
    for at in 0..verdict.rows().words().len() {
        let asked = verdict.rows().word(at);
        if asked == 0 {
            continue;
        }
        let all = |tests: &[Test]| tests.iter().fold(asked, |word, test| test.word(nodes, at, word));
        let by_terms = |terms: &Vec<Vec<Test>>| terms.iter().fold(0, |word, term| word | all(term));
        let passed = all(&selector) & terms.as_ref().map_or(!0, by_terms);
        verdict.refuse_word(at, asked & !passed, REFUSED, true);
    }
}

/// `None` for a term that matches nothing: an empty one, or one that makes no sense.
fn compile(nodes: &Nodes, term: &NodeTerm) -> Option<Vec<Test>> {
    if term.labels.is_empty() && term.fields.is_empty() {
        return None;
    }
    let labels = term.labels.iter().map(|r| Some(Test::labels(nodes, r.key, ask(nodes, r)?)));
    let fields = term.fields.iter().map(|r| {
        let known = nodes.symbols.text(r.key) == NAME_FIELD && matches!(r.operator, Operator::In | Operator::NotIn);
        known.then(|| ask(nodes, r).map(|ask| Test { column: None, ask }))?
    });
    labels.chain(fields).collect()
}

enum Ask {
    In(Vec<Symbol>),
    NotIn(Vec<Symbol>),
    Exists,
    DoesNotExist,
    Above(i64),
    Below(i64),
}

fn ask(nodes: &Nodes, requirement: &Requirement) -> Option<Ask> {
    let number = || match requirement.values.as_slice() {
        [one] => nodes.symbols.text(*one).parse().ok(),
        _ => None,
    };
    Some(match requirement.operator {
        Operator::In => Ask::In(requirement.values.clone()),
        Operator::NotIn => Ask::NotIn(requirement.values.clone()),
        Operator::Exists => Ask::Exists,
        Operator::DoesNotExist => Ask::DoesNotExist,
        Operator::Gt => Ask::Above(number()?),
        Operator::Lt => Ask::Below(number()?),
    })
}

struct Test {
    /// Label values; `None`: the node's name.
    column: Option<Rc<Vec<u32>>>,
    ask: Ask,
}

impl Test {
    fn labels(nodes: &Nodes, key: Symbol, ask: Ask) -> Self {
        Self { column: Some(nodes.labels.column(key)), ask }
    }

    /// Those of 64 rows for which it holds, among those that are asked about.
    fn word(&self, nodes: &Nodes, at: usize, asked: u64) -> u64 {
        let rows = at * 64..(at * 64 + 64).min(nodes.rows());
        match (&self.column, &self.ask) {
            // The common case, without a branch for each row.
            (Some(column), Ask::In(values)) if values.len() == 1 => {
                let (wanted, end) = (values[0] + 1, rows.end.min(column.len()));
                let run = column.get(rows.start..end).unwrap_or(&[]).iter().enumerate();
                run.fold(0, |word, (bit, value)| word | u64::from(*value == wanted) << bit) & asked
            }
            _ => rows
                .enumerate()
                .fold(0, |word, (bit, row)| word | u64::from(asked >> bit & 1 != 0 && self.holds(nodes, row)) << bit),
        }
    }

    fn holds(&self, nodes: &Nodes, row: usize) -> bool {
        let value = match &self.column {
            // Columns hold the symbol plus one, and 0 for none.
            Some(column) => column.get(row).copied().unwrap_or(0).checked_sub(1),
            None => Some(nodes.names[row]),
        };
        let number = || nodes.symbols.text(value?).parse::<i64>().ok();
        match &self.ask {
            Ask::In(values) => value.is_some_and(|value| values.contains(&value)),
            Ask::NotIn(values) => value.is_none_or(|value| !values.contains(&value)),
            Ask::Exists => value.is_some(),
            Ask::DoesNotExist => value.is_none(),
            Ask::Above(least) => number().is_some_and(|number| number > *least),
            Ask::Below(most) => number().is_some_and(|number| number < *most),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::REFUSED;
    use crate::sample::{PodSketch, filter, node, nodes, pod};

    #[track_caller]
    fn check(pod: PodSketch, refused: &[&str]) {
        let nodes = nodes(&[node("a").labels("disk=ssd cores=8"), node("b").labels("disk=hdd"), node("c")]);
        let expected: Vec<String> = refused.iter().map(|name| format!("{name}: {REFUSED} (for good)")).collect();
        assert_eq!(filter("MatchNodeSelector", &nodes, &pod), expected);
    }

    #[test]
    fn node_selectors_ask_for_equal_labels() {
        check(pod(), &[]);
        check(pod().selects("disk=ssd"), &["b", "c"]);
        check(pod().selects("disk=ssd cores=8"), &["b", "c"]);
        check(pod().selects("disk=ssd cores=4"), &["a", "b", "c"]);
        check(pod().selects("nothing=x"), &["a", "b", "c"]);
    }

    #[test]
    fn terms_are_alternatives_and_their_parts_are_not() {
        check(pod().requires("disk in ssd,hdd"), &["c"]);
        check(pod().requires("disk notin ssd"), &["a"]);
        check(pod().requires("disk exists"), &["c"]);
        check(pod().requires("disk !exists"), &["a", "b"]);
        check(pod().requires("cores > 4"), &["b", "c"]);
        check(pod().requires("cores < 8"), &["a", "b", "c"]);
        check(pod().requires("cores > four"), &["a", "b", "c"]);
        check(pod().requires("disk in ssd;cores exists"), &["b", "c"]);
        check(pod().requires("disk in ssd").requires("disk in hdd"), &["c"]);
        check(pod().requires(""), &["a", "b", "c"]);
        check(pod().requires("@metadata.name in c"), &["a", "b"]);
        check(pod().requires("@metadata.uid in c"), &["a", "b", "c"]);
        check(pod().selects("disk=ssd").requires("disk in hdd"), &["a", "b", "c"]);
    }
}
