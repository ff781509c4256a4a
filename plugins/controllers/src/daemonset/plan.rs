//! What a DaemonSet does next.
//!
//! In: for each node whether a pod belongs there, and the pods. Out: nodes that get a pod, pods that go, and the numbers
//! of the status. Pure.

use std::collections::BTreeMap;

use super::placement::Place;

/// A pod that failed on a node is replaced after this time, so that one which fails at once does not spin.
pub const FAILED_AFTER: i64 = 10_000_000;

/// How pods of an older template are replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// When somebody deletes them.
    #[default]
    OnDelete,
    /// By and by: so many nodes may be without, or have two.
    Rolling { max_unavailable: i64, max_surge: i64 },
}

/// A pod of the set. Times are microseconds since 1970.
#[derive(Clone, Debug, Default)]
pub struct Pod {
    pub name: String,
    pub uid: String,
    pub node: String,
    pub phase: String,
    pub ready: bool,
    pub available: bool,
    pub ending: bool,
    pub updated: bool,
    pub created: i64,
}

impl Pod {
    fn has_ended(&self) -> bool {
        matches!(self.phase.as_str(), "Succeeded" | "Failed")
    }

    fn serves(&self) -> bool {
        self.available && !self.ending
    }
}

/// What to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Nodes that get a pod.
    pub create: Vec<String>,
    /// Name and UID.
    pub delete: Vec<(String, String)>,
    /// Pods that ended by themselves: name, node, and whether they failed. They are deleted too.
    pub ended: Vec<(String, String, bool)>,
    /// Microseconds until an ended pod is replaced.
    pub again_in: Option<i64>,
}

/// The numbers of the status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    pub desired: i64,
    pub current: i64,
    pub misscheduled: i64,
    pub ready: i64,
    pub updated: i64,
    pub available: i64,
}

type Nodes = BTreeMap<String, Place>;

fn by_node(pods: &[Pod]) -> BTreeMap<&str, Vec<&Pod>> {
    let mut all: BTreeMap<&str, Vec<&Pod>> = BTreeMap::new();
    for pod in pods {
        all.entry(&pod.node).or_default().push(pod);
    }
    all.values_mut().for_each(|list| crate::order::sort_by_key(list, |pod| (pod.created, &pod.name)));
    all
}

/// Decides.
pub fn plan(nodes: &Nodes, pods: &[Pod], strategy: Strategy, now: i64) -> Plan {
    let mut plan = Plan::default();
    let there = by_node(pods);
    let surges = matches!(strategy, Strategy::Rolling { max_surge, .. } if max_surge > 0);
    for (node, place) in nodes {
        let pods = there.get(node.as_str()).map_or(&[][..], Vec::as_slice);
        match place {
            Place::Refused => plan.delete.extend(pods.iter().filter(|pod| !pod.ending).map(|pod| named(pod))),
            Place::Wanted if pods.is_empty() => plan.create.push(node.clone()),
            _ => keep_one(pods, surges, now, &mut plan),
        }
    }
    if let Strategy::Rolling { max_unavailable, max_surge } = strategy {
        let wanted = nodes.iter().filter(|(_, place)| **place == Place::Wanted).map(|(node, _)| node.as_str());
        if surges {
            surge(wanted, &there, max_surge, &mut plan);
        } else {
            roll(wanted, &there, max_unavailable, &mut plan);
        }
    }
    plan
}

fn named(pod: &Pod) -> (String, String) {
    (pod.name.clone(), pod.uid.clone())
}

/// Of the pods of a node the oldest stays, while surging one of each template; what has ended goes.
fn keep_one(pods: &[&Pod], surges: bool, now: i64, plan: &mut Plan) {
    let mut kept = (false, false);
    for pod in pods.iter().filter(|pod| !pod.ending) {
        if pod.has_ended() {
            let left = pod.created + FAILED_AFTER - now;
            if pod.phase == "Failed" && left > 0 {
                plan.again_in = Some(plan.again_in.map_or(left, |other| other.min(left)));
                continue;
            }
            plan.ended.push((pod.name.clone(), pod.node.clone(), pod.phase == "Failed"));
            plan.delete.push(named(pod));
            continue;
        }
        let taken = if surges && pod.updated { &mut kept.1 } else { &mut kept.0 };
        if std::mem::replace(taken, true) {
            plan.delete.push(named(pod));
        }
    }
}

/// The pod of the present template and that of an older one.
fn both<'a>(pods: Option<&Vec<&'a Pod>>) -> (Option<&'a Pod>, Option<&'a Pod>) {
    let find = |updated: bool| {
        let mut all = pods.into_iter().flatten().filter(|pod| pod.updated == updated && !pod.has_ended());
        all.next().copied()
    };
    (find(true), find(false))
}

fn roll<'a>(
    nodes: impl Iterator<Item = &'a str>,
    there: &BTreeMap<&str, Vec<&Pod>>,
    max_unavailable: i64,
    plan: &mut Plan,
) {
    let (mut missing, mut candidates) = (0, Vec::new());
    for node in nodes {
        match both(there.get(node)) {
            (None, None) => missing += 1,
            (Some(new), _) => missing += i64::from(!new.serves()),
            (None, Some(old)) if old.serves() => candidates.push(old),
            (None, Some(old)) => {
                missing += 1;
                // It serves nobody: replacing it makes nothing worse.
                if !old.ending && !plan.delete.contains(&named(old)) {
                    plan.delete.push(named(old));
                }
            }
        }
    }
    let budget = usize::try_from(max_unavailable - missing).unwrap_or(0);
    plan.delete.extend(candidates.into_iter().take(budget).map(named));
}

fn surge<'a>(nodes: impl Iterator<Item = &'a str>, there: &BTreeMap<&str, Vec<&Pod>>, max_surge: i64, plan: &mut Plan) {
    let (mut surging, mut candidates) = (0, Vec::new());
    for node in nodes {
        match both(there.get(node)) {
            (_, None) => {}
            (None, Some(old)) if old.serves() => candidates.push(node.to_string()),
            (None, Some(old)) if !old.ending => plan.delete.push(named(old)),
            (None, Some(_)) => {}
            (Some(new), Some(old)) if new.serves() || !old.serves() => {
                if !old.ending {
                    plan.delete.push(named(old));
                }
            }
            (Some(_), Some(_)) => surging += 1,
        }
    }
    let budget = usize::try_from(max_surge - surging).unwrap_or(0);
    plan.create.extend(candidates.into_iter().take(budget));
}

/// Counts.
pub fn count(nodes: &Nodes, pods: &[Pod]) -> Numbers {
    let there = by_node(pods);
    let mut numbers = Numbers::default();
    for (node, place) in nodes {
        let first = there.get(node.as_str()).and_then(|pods| pods.first());
        if *place != Place::Wanted {
            numbers.misscheduled += i64::from(first.is_some());
            continue;
        }
        numbers.desired += 1;
        if let Some(pod) = first {
            numbers.current += 1;
            numbers.ready += i64::from(pod.ready);
            numbers.available += i64::from(pod.ready && pod.available);
            numbers.updated += i64::from(pod.updated);
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000_000_000;

    /// `a`: an available pod of the present template on node `a`; `<` older, `!` not available, `~` ends, `x` failed.
    fn pods(words: &str) -> Vec<Pod> {
        let pod = |(at, word): (usize, &str)| Pod {
            name: format!("p{at}"),
            uid: format!("p{at}"),
            node: word[..1].into(),
            phase: if word.contains('x') { "Failed" } else { "Running" }.into(),
            ready: !word.contains('!'),
            available: !word.contains('!'),
            ending: word.contains('~'),
            updated: !word.contains('<'),
            created: NOW - 60_000_000 + at as i64,
        };
        words.split_whitespace().enumerate().map(pod).collect()
    }

    fn nodes(words: &str) -> Nodes {
        let place = |word: &str| match word.get(1..) {
            Some("?") => Place::Kept,
            Some("-") => Place::Refused,
            _ => Place::Wanted,
        };
        words.split_whitespace().map(|word| (word[..1].to_string(), place(word))).collect()
    }

    #[track_caller]
    fn check(strategy: Strategy, on: &str, words: &str, expected: &str) {
        let plan = plan(&nodes(on), &pods(words), strategy, NOW);
        let create = plan.create.iter().map(|node| format!("+{node}"));
        let all: Vec<String> = create.chain(plan.delete.iter().map(|(name, _)| format!("-{name}"))).collect();
        assert_eq!(all.join(" "), expected, "{on} / {words}");
    }

    const ROLLING: Strategy = Strategy::Rolling { max_unavailable: 1, max_surge: 0 };
    const SURGING: Strategy = Strategy::Rolling { max_unavailable: 0, max_surge: 1 };

    #[test]
    fn each_node_has_one_pod() {
        check(ROLLING, "a b", "a", "+b");
        check(ROLLING, "a b", "a b", "");
        check(ROLLING, "a", "a a", "-p1");
        check(ROLLING, "a", "a~", "");
        check(ROLLING, "a?", "", "");
        check(ROLLING, "a?", "a", "");
        check(ROLLING, "a-", "a", "-p0");
        check(ROLLING, "a", "ax", "-p0");
    }

    #[test]
    fn a_pod_that_fails_at_once_does_not_spin() {
        let mut young = pods("ax");
        young[0].created = NOW - 1_000_000;
        let plan = plan(&nodes("a"), &young, ROLLING, NOW);
        assert_eq!((plan.delete.len(), plan.again_in), (0, Some(9_000_000)));
    }

    #[test]
    fn older_pods_are_replaced_by_and_by() {
        check(ROLLING, "a b c", "a< b< c<", "-p0");
        check(ROLLING, "a b c", "a! b< c<", "");
        check(ROLLING, "a b c", "a b< c<", "-p1");
        check(ROLLING, "a b c", "a<! b< c<", "-p0");
        check(ROLLING, "a b c", "a<~ b< c<", "");
        check(Strategy::Rolling { max_unavailable: 2, max_surge: 0 }, "a b c", "a< b< c<", "-p0 -p1");
        check(Strategy::OnDelete, "a b", "a< b<", "");
    }

    #[test]
    fn a_surge_brings_the_new_pod_first() {
        check(SURGING, "a b", "a< b<", "+a");
        check(SURGING, "a b", "a< b< a!", "");
        check(SURGING, "a b", "a< b< a", "+b -p0");
        check(SURGING, "a b", "a<! b", "-p0");
    }

    #[test]
    fn the_status_counts_nodes() {
        let numbers = count(&nodes("a b c d-"), &pods("a b<! d"));
        let expected = Numbers { desired: 3, current: 2, misscheduled: 1, ready: 1, updated: 1, available: 1 };
        assert_eq!(numbers, expected);
    }
}
