//! Node affinity, as rows have it.

use kedge_plugin_api::Symbols;
use kedge_plugin_api::scheduling::{NodeTerm, Operator, Requirement};

use crate::wire;

/// Required and preferred node affinity.
#[derive(Default)]
pub struct NodeAffinity {
    pub required: Option<Vec<NodeTerm>>,
    pub preferred: Vec<(i32, NodeTerm)>,
}

/// A pod's node affinity.
pub fn of(spec: &wire::PodSpec, symbols: &mut Symbols) -> NodeAffinity {
    let Some(affinity) = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref()) else {
        return NodeAffinity::default();
    };
    let required = affinity.required.as_ref();
    let required = required.map(|all| all.node_selector_terms.iter().map(|one| term(one, symbols)).collect());
    let preferred = affinity.preferred.iter().map(|one| (one.weight, term(&one.preference, symbols))).collect();
    NodeAffinity { required, preferred }
}

fn term(term: &wire::Term, symbols: &mut Symbols) -> NodeTerm {
    let mut all = |list: &[wire::Requirement]| list.iter().filter_map(|one| requirement(one, symbols)).collect();
    NodeTerm { labels: all(&term.match_expressions), fields: all(&term.match_fields) }
}

/// The API server admits known operators only.
fn requirement(requirement: &wire::Requirement, symbols: &mut Symbols) -> Option<Requirement> {
    let operator = match requirement.operator.as_str() {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" => Operator::Gt,
        "Lt" => Operator::Lt,
        _ => return None,
    };
    let values = requirement.values.iter().map(|value| symbols.intern(value)).collect();
    Some(Requirement { key: symbols.intern(&requirement.key), operator, values })
}
