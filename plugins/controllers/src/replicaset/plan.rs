//! How many pods to make and which to remove.
//!
//! In: a wanted number and the pods that are there. Out: a number to create, or the names to delete. Pure.

/// Writes of one pass; the rest follows with the next.
pub const BURST: i64 = 500;

/// A pod, as far as its rank for removal goes. Times are microseconds since 1970.
#[derive(Clone, Debug, Default)]
pub struct Pod {
    pub name: String,
    pub uid: String,
    pub node: String,
    pub phase: String,
    pub deleting: bool,
    pub ready: bool,
    /// When `Ready` last changed; 0 when unknown.
    pub ready_since: i64,
    pub restarts: i64,
    pub created: i64,
    /// Annotation `controller.kubernetes.io/pod-deletion-cost`.
    pub cost: i64,
}

impl Pod {
    /// It counts as one of the replicas.
    pub fn active(&self) -> bool {
        !self.deleting && self.phase != "Succeeded" && self.phase != "Failed"
    }

    /// It was asked to end and has not ended.
    pub fn terminating(&self) -> bool {
        self.deleting && self.phase != "Succeeded" && self.phase != "Failed"
    }

    /// Ready for at least so many seconds.
    pub fn available(&self, min_ready_seconds: i64, now: i64) -> bool {
        self.ready
            && (min_ready_seconds == 0
                || (self.ready_since > 0 && self.ready_since + min_ready_seconds * 1_000_000 <= now))
    }
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Settled.
    Nothing,
    /// So many pods are missing.
    Create(i64),
    /// These are too many: name and UID.
    Delete(Vec<(String, String)>),
}

/// Decides. `pods` are those that the set controls.
pub fn plan(replicas: i64, pods: &[Pod]) -> Work {
    let mut active: Vec<&Pod> = pods.iter().filter(|p| p.active()).collect();
    let surplus = active.len() as i64 - replicas;
    if surplus == 0 {
        return Work::Nothing;
    }
    if surplus < 0 {
        return Work::Create((-surplus).min(BURST));
    }
    let mut crowds: std::collections::HashMap<String, usize> = std::collections::HashMap::new();
    for pod in active.iter().filter(|pod| !pod.node.is_empty()) {
        *crowds.entry(pod.node.clone()).or_default() += 1;
    }
    crate::order::sort(&mut active, |a, b| rank(a, &crowds).cmp(&rank(b, &crowds)).then_with(|| a.name.cmp(&b.name)));
    let doomed = active.into_iter().take(surplus.min(BURST) as usize);
    Work::Delete(doomed.map(|p| (p.name.clone(), p.uid.clone())).collect())
}

/// The smallest goes first: unassigned, pending, not ready, cheap, crowded, young in readiness, often restarted, young.
fn rank(pod: &Pod, crowds: &std::collections::HashMap<String, usize>) -> impl Ord + use<> {
    let phase = match pod.phase.as_str() {
        "Pending" | "" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    let crowd = std::cmp::Reverse(crowds.get(&pod.node).copied().unwrap_or(0));
    let ready_since = std::cmp::Reverse(age_class(pod.ready_since));
    let restarts = std::cmp::Reverse(pod.restarts);
    (!pod.node.is_empty(), phase, pod.ready, pod.cost, (crowd, ready_since, restarts, std::cmp::Reverse(pod.created)))
}

/// Without a time a pod counts as the youngest.
fn age_class(since: i64) -> i64 {
    if since == 0 { i64::MAX } else { since }
}

/// How many creations to try, doubling after each batch that went well: a broken template costs one failure.
pub fn batches(mut count: i64) -> Vec<i64> {
    let (mut batches, mut size) = (Vec::new(), 1);
    while count > 0 {
        let batch = count.min(size);
        batches.push(batch);
        count -= batch;
        size *= 2;
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str) -> Pod {
        Pod {
            name: name.into(),
            uid: name.into(),
            node: "n1".into(),
            phase: "Running".into(),
            ready: true,
            ready_since: 100,
            created: 100,
            ..Pod::default()
        }
    }

    #[track_caller]
    fn check(replicas: i64, pods: &[Pod], expected: &[&str]) {
        let names = match plan(replicas, pods) {
            Work::Delete(doomed) => doomed.into_iter().map(|(name, _)| name).collect(),
            Work::Create(n) => vec![format!("+{n}")],
            Work::Nothing => Vec::new(),
        };
        assert_eq!(names, expected);
    }

    #[test]
    fn missing_pods_are_made_within_the_burst() {
        check(3, &[pod("a")], &["+2"]);
        check(2000, &[], &["+500"]);
        check(1, &[pod("a")], &[]);
    }

    #[test]
    fn ended_and_ending_pods_do_not_count() {
        let mut ended = pod("a");
        ended.phase = "Failed".into();
        let mut ending = pod("b");
        ending.deleting = true;
        check(1, &[ended, ending], &["+1"]);
    }

    #[test]
    fn the_least_useful_pod_goes_first() {
        let with = |name: &str, change: fn(&mut Pod)| {
            let mut pod = pod(name);
            change(&mut pod);
            pod
        };
        let keep = pod("keep");
        for worse in [
            with("unassigned", |p| p.node.clear()),
            with("pending", |p| p.phase = "Pending".into()),
            with("unready", |p| p.ready = false),
            with("cheap", |p| p.cost = -1),
            with("later", |p| p.ready_since = 200),
            with("restarted", |p| p.restarts = 3),
            with("young", |p| p.created = 200),
        ] {
            let name = worse.name.clone();
            check(1, &[keep.clone(), worse], &[&name]);
        }
    }

    #[test]
    fn a_crowded_node_gives_first() {
        let mut alone = pod("a-alone");
        alone.node = "n2".into();
        alone.created = 300;
        check(2, &[alone, pod("b"), pod("c")], &["b"]);
    }

    #[test]
    fn creation_starts_slowly() {
        assert_eq!(batches(10), [1, 2, 4, 3]);
        assert_eq!(batches(0), [0; 0]);
    }

    #[test]
    fn readiness_must_last() {
        let pod = pod("a");
        assert!(pod.available(0, 0) && !pod.available(1, 100) && pod.available(1, 1_000_100));
    }
}
