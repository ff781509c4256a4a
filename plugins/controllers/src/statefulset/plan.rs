//! What a StatefulSet does next.
//!
//! In: the set and its pods. Out: pods to make and to delete, in an order that keeps the promise of their names: one
//! after the other upwards, one after the other downwards, unless the set says that they may go side by side. Pure.

/// A set, as far as the order of things goes.
#[derive(Clone, Debug, Default)]
pub struct Set {
    pub replicas: i64,
    /// The first ordinal.
    pub start: i64,
    /// `podManagementPolicy: Parallel`.
    pub parallel: bool,
    /// `updateStrategy: OnDelete`.
    pub on_delete: bool,
    /// `None` where the strategy has no parameters.
    pub partition: Option<i64>,
    pub max_unavailable: i64,
    /// `status.currentReplicas`.
    pub current_replicas: i64,
    pub deleting: bool,
    /// The revision that is rolled out.
    pub update: String,
}

/// A pod of the set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    pub name: String,
    pub uid: String,
    pub ordinal: i64,
    pub phase: String,
    pub ready: bool,
    /// Ready for long enough.
    pub available: bool,
    pub ending: bool,
    pub revision: String,
    /// Its labels say which pod of the set it is.
    pub named: bool,
}

/// One act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make the pod of this ordinal; of the current revision, or else of the one that is rolled out.
    Create { ordinal: i64, of_current: bool },
    /// Make the claims of a pod that waits for them.
    Claims(i64),
    /// Put the labels of a pod right.
    Name(String, i64),
    /// Delete a pod.
    Delete(String, String),
}

impl Pod {
    fn has_ended(&self) -> bool {
        matches!(self.phase.as_str(), "Succeeded" | "Failed")
    }

    fn is_unavailable(&self) -> bool {
        !self.available || self.ending
    }

    fn delete(&self) -> Step {
        Step::Delete(self.name.clone(), self.uid.clone())
    }
}

/// Decides.
pub fn plan(set: &Set, pods: &[Pod]) -> Vec<Step> {
    if set.deleting {
        return Vec::new();
    }
    let end = set.start + set.replicas;
    let within = |pod: &&Pod| (set.start..end).contains(&pod.ordinal);
    let replicas: Vec<Option<&Pod>> =
        (set.start..end).map(|ordinal| pods.iter().find(|pod| pod.ordinal == ordinal)).collect();
    let mut condemned: Vec<&Pod> = pods.iter().filter(|pod| !within(pod)).collect();
    crate::order::sort_by_key(&mut condemned, |pod| std::cmp::Reverse(pod.ordinal));
    let mut steps = Vec::new();
    for (ordinal, replica) in (set.start..).zip(&replicas) {
        let waits = step_of(set, ordinal, *replica, &mut steps);
        if waits && !set.parallel {
            return steps;
        }
    }
    // The first that is not well may go out of turn: waiting for it could last for ever.
    let first_unwell = if replicas.iter().any(|replica| replica.is_none_or(Pod::is_unavailable)) {
        None
    } else {
        condemned.iter().rev().find(|pod| pod.is_unavailable()).map(|pod| pod.ordinal)
    };
    for pod in &condemned {
        if pod.ending {
            if !set.parallel {
                return steps;
            }
            continue;
        }
        if !pod.available && !set.parallel && first_unwell != Some(pod.ordinal) {
            return steps;
        }
        steps.push(pod.delete());
        if !set.parallel {
            return steps;
        }
    }
    if !set.on_delete {
        update(set, &replicas, &mut steps);
    }
    steps
}

/// Cares for one place of the set. Says whether the ones behind it have to wait.
fn step_of(set: &Set, ordinal: i64, replica: Option<&Pod>, steps: &mut Vec<Step>) -> bool {
    let Some(pod) = replica else {
        let below = match set.partition {
            Some(partition) => ordinal < set.start + partition,
            None => ordinal < set.start + set.current_replicas,
        };
        steps.push(Step::Create { ordinal, of_current: below && !set.on_delete });
        return true;
    };
    if pod.has_ended() {
        if !pod.ending {
            steps.push(pod.delete());
        }
        return true;
    }
    if pod.phase == "Pending" {
        steps.push(Step::Claims(ordinal));
    }
    if pod.ending || !pod.available || pod.phase != "Running" {
        return true;
    }
    if !pod.named {
        steps.push(Step::Name(pod.name.clone(), ordinal));
    }
    false
}

/// Deletes pods of other revisions from above, as many as may be missing at once.
fn update(set: &Set, replicas: &[Option<&Pod>], steps: &mut Vec<Step>) {
    let missing = replicas.iter().filter(|replica| replica.is_none_or(Pod::is_unavailable)).count() as i64;
    let mut budget = set.max_unavailable.max(1) - missing;
    let from = usize::try_from(set.partition.unwrap_or(0)).unwrap_or(0);
    for pod in replicas.iter().skip(from).rev().copied().flatten() {
        if budget <= 0 {
            return;
        }
        let goes_already = steps.iter().any(|step| matches!(step, Step::Delete(name, _) if *name == pod.name));
        if pod.revision != set.update && !pod.ending && !goes_already {
            steps.push(pod.delete());
            budget -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(replicas: i64) -> Set {
        Set { replicas, partition: Some(0), max_unavailable: 1, update: "new".into(), ..Set::default() }
    }

    /// `0`: runs and is available; `0!`: not available; `0~`: ends; `0?`: pending; `0x`: failed; `0<`: an old revision.
    fn pod(words: &str) -> Pod {
        let ordinal = words.trim_end_matches(|c: char| !c.is_ascii_digit());
        let has = |sign: char| words.contains(sign);
        let phase = if has('?') {
            "Pending"
        } else if has('x') {
            "Failed"
        } else {
            "Running"
        };
        Pod {
            name: format!("web-{ordinal}"),
            ordinal: ordinal.parse().unwrap(),
            phase: phase.into(),
            available: !has('!') && phase == "Running",
            ready: !has('!') && phase == "Running",
            ending: has('~'),
            revision: if has('<') { "old" } else { "new" }.into(),
            named: true,
            ..Pod::default()
        }
    }

    #[track_caller]
    fn check(set: &Set, pods: &[&str], expected: &str) {
        let pods: Vec<Pod> = pods.iter().map(|words| pod(words)).collect();
        let steps = plan(set, &pods).into_iter().map(|step| match step {
            Step::Create { ordinal, of_current } => format!("+{ordinal}{}", if of_current { "<" } else { "" }),
            Step::Claims(ordinal) => format!("claims{ordinal}"),
            Step::Name(name, _) => format!("name {name}"),
            Step::Delete(name, _) => format!("-{name}"),
        });
        assert_eq!(steps.collect::<Vec<_>>().join(" "), expected);
    }

    #[test]
    fn pods_come_one_after_the_other() {
        check(&set(3), &[], "+0");
        check(&set(3), &["0"], "+1");
        check(&set(3), &["0!"], "");
        check(&set(3), &["0?"], "claims0");
        check(&set(3), &["0", "2"], "+1");
        check(&set(3), &["0x", "1"], "-web-0");
        check(&set(2), &["0", "1"], "");
    }

    #[test]
    fn pods_go_one_after_the_other_from_above() {
        check(&set(1), &["0", "1", "2"], "-web-2");
        check(&set(1), &["0", "1", "2~"], "");
        check(&set(1), &["0!", "1", "2"], "");
        check(&set(1), &["0", "1!", "2"], "-web-2");
        check(&set(1), &["0", "1", "2!"], "-web-2");
        check(&set(1), &["0", "1!", "2!"], "");
        check(&set(0), &["0"], "-web-0");
    }

    #[test]
    fn in_parallel_nobody_waits() {
        let parallel = |replicas| Set { parallel: true, ..set(replicas) };
        check(&parallel(3), &[], "+0 +1 +2");
        check(&parallel(3), &["1!"], "+0 +2");
        check(&parallel(0), &["0", "1~", "2"], "-web-2 -web-0");
    }

    #[test]
    fn updates_go_from_above_down_to_the_partition() {
        check(&set(3), &["0<", "1<", "2<"], "-web-2");
        check(&set(3), &["0<", "1<", "2~"], "");
        check(&set(3), &["0<", "1<", "2!"], "");
        check(&set(3), &["0<", "1<", "2"], "-web-1");
        check(&Set { partition: Some(2), ..set(3) }, &["0<", "1<", "2"], "");
        check(&Set { partition: Some(2), ..set(3) }, &["1<", "2"], "+0<");
        check(&Set { max_unavailable: 2, ..set(3) }, &["0<", "1<", "2<"], "-web-2 -web-1");
        check(&Set { on_delete: true, ..set(3) }, &["0<", "1<", "2<"], "");
        check(&Set { on_delete: true, ..set(2) }, &["0<"], "+1");
    }

    #[test]
    fn ordinals_may_begin_anywhere() {
        check(&Set { start: 5, ..set(2) }, &["5"], "+6");
        check(&Set { start: 5, ..set(1) }, &["5", "0"], "-web-0");
    }
}
