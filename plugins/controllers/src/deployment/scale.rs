//! How many pods each ReplicaSet of a Deployment should have now.
//!
//! In: a Deployment, its ReplicaSets, and which of them has the current template. Out: new sizes. Pure.
//! Guarantees for rolling updates: never more than replicas + maxSurge pods, never fewer than replicas −
//! maxUnavailable available ones by our doing.

use super::model::{DESIRED, Deployment, MOST, Set};

/// A ReplicaSet's place and its new size.
pub type Resize = (usize, i64);

/// The size with which the new ReplicaSet begins, or goes on.
pub fn new_size(deployment: &Deployment, sets: &[Set], new: Option<usize>) -> i64 {
    let current = new.map_or(0, |i| sets[i].replicas);
    if deployment.recreate {
        return deployment.replicas;
    }
    let all: i64 = sets.iter().map(|s| s.replicas).sum();
    let room = deployment.most() - all;
    if room <= 0 { current } else { current + room.min(deployment.replicas - current).max(0) }
}

/// The next sizes of a rolling update: first the new ReplicaSet grows, then, when it can't, old ones shrink.
pub fn rolling(deployment: &Deployment, sets: &[Set], new: usize) -> Vec<Resize> {
    let current = sets[new].replicas;
    let wanted =
        if current > deployment.replicas { deployment.replicas } else { new_size(deployment, sets, Some(new)) };
    if wanted != current {
        return vec![(new, wanted)];
    }
    shrink_old(deployment, sets, new)
}

/// Recreate: everything old goes before anything new comes.
pub fn recreate_down(sets: &[Set], new: Option<usize>) -> Vec<Resize> {
    (0..sets.len()).filter(|i| Some(*i) != new && sets[*i].replicas > 0).map(|i| (i, 0)).collect()
}

fn shrink_old(deployment: &Deployment, sets: &[Set], new: usize) -> Vec<Resize> {
    let mut old: Vec<usize> = (0..sets.len()).filter(|i| *i != new && sets[*i].replicas > 0).collect();
    crate::order::sort_by_key(&mut old, |i| (sets[*i].created, &sets[*i].name));
    if old.is_empty() {
        return Vec::new();
    }
    let all: i64 = sets.iter().map(|s| s.replicas).sum();
    let least = deployment.replicas - deployment.max_unavailable;
    let new_unavailable = sets[new].replicas - sets[new].available;
    let may_go = all - least - new_unavailable;
    if may_go <= 0 {
        return Vec::new();
    }
    let mut sizes: Vec<i64> = sets.iter().map(|s| s.replicas).collect();
    // Pods that never became available go first: they serve nobody.
    let mut gone = 0;
    for i in &old {
        let broken = (sets[*i].replicas - sets[*i].available).max(0).min(may_go - gone);
        sizes[*i] -= broken;
        gone += broken;
    }
    let available: i64 = sets.iter().map(|s| s.available).sum();
    let mut spare = (available - least).max(0);
    for i in &old {
        let healthy = sizes[*i].min(spare);
        sizes[*i] -= healthy;
        spare -= healthy;
    }
    old.into_iter().filter(|i| sizes[*i] != sets[*i].replicas).map(|i| (i, sizes[i])).collect()
}

/// Whether the Deployment's size was changed since the ReplicaSets were last scaled.
pub fn resized(deployment: &Deployment, sets: &[Set]) -> bool {
    sets.iter()
        .filter(|s| s.replicas > 0)
        .any(|s| s.number(DESIRED).is_some_and(|desired| desired != deployment.replicas))
}

/// The sizes after the Deployment itself was resized (or while it is paused): one active ReplicaSet takes all;
/// in the middle of a rolling update each gets its share.
pub fn proportional(deployment: &Deployment, sets: &[Set], new: Option<usize>) -> Vec<Resize> {
    let active: Vec<usize> = (0..sets.len()).filter(|i| sets[*i].replicas > 0).collect();
    let only = match active.as_slice() {
        [] => new.or_else(|| (0..sets.len()).max_by_key(|i| (sets[*i].created, sets[*i].revision()))),
        [one] => Some(*one),
        _ => None,
    };
    if let Some(one) = only {
        return resize(sets, one, deployment.replicas);
    }
    if let Some(new) = new.filter(|i| saturated(deployment, &sets[*i])) {
        return recreate_down(sets, Some(new));
    }
    if deployment.recreate || active.is_empty() {
        return Vec::new();
    }
    share(deployment, sets, active)
}

fn saturated(deployment: &Deployment, set: &Set) -> bool {
    set.replicas == deployment.replicas
        && set.number(DESIRED) == Some(deployment.replicas)
        && set.available == deployment.replicas
}

/// Larger ReplicaSets first when growing, so that they take the remainder; newer ones first among equals.
fn share(deployment: &Deployment, sets: &[Set], mut active: Vec<usize>) -> Vec<Resize> {
    let all: i64 = active.iter().map(|i| sets[*i].replicas).sum();
    let allowed = if deployment.replicas > 0 { deployment.most() } else { 0 };
    let to_add = allowed - all;
    if to_add == 0 {
        return Vec::new();
    }
    crate::order::sort_by_key(&mut active, |i| {
        let newness = if to_add > 0 { -sets[*i].created } else { sets[*i].created };
        (-sets[*i].replicas, newness)
    });
    let mut sizes: Vec<Resize> = Vec::new();
    let mut added = 0;
    for i in active {
        let part = fraction(deployment, &sets[i], all);
        let left = to_add - added;
        let part = if to_add > 0 { part.clamp(0, left) } else { part.clamp(left, 0) };
        added += part;
        sizes.push((i, sets[i].replicas + part));
    }
    if let Some(first) = sizes.first_mut() {
        first.1 = (first.1 + to_add - added).max(0);
    }
    sizes.into_iter().filter(|(i, size)| *size != sets[*i].replicas).collect()
}

/// How many pods a ReplicaSet gains, by its share when the Deployment was last scaled.
fn fraction(deployment: &Deployment, set: &Set, all: i64) -> i64 {
    if deployment.replicas == 0 {
        return -set.replicas;
    }
    let before = set.number(MOST).filter(|most| *most > 0).unwrap_or_else(|| all.max(1));
    let wanted = (set.replicas * deployment.most()) as f64 / before as f64;
    wanted.round() as i64 - set.replicas
}

fn resize(sets: &[Set], one: usize, size: i64) -> Vec<Resize> {
    if sets[one].replicas == size { Vec::new() } else { vec![(one, size)] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(replicas: i64, max_surge: i64, max_unavailable: i64) -> Deployment {
        Deployment { replicas, max_surge, max_unavailable, ..Deployment::default() }
    }

    fn sets(rows: &[(i64, i64)]) -> Vec<Set> {
        let row = |(i, (replicas, available)): (usize, &(i64, i64))| Set {
            name: i.to_string(),
            created: i as i64,
            replicas: *replicas,
            available: *available,
            ..Set::default()
        };
        rows.iter().enumerate().map(row).collect()
    }

    /// The last row is the new ReplicaSet.
    #[track_caller]
    fn check(d: Deployment, rows: &[(i64, i64)], expected: &[Resize]) {
        assert_eq!(rolling(&d, &sets(rows), rows.len() - 1), expected);
    }

    #[test]
    fn the_new_set_grows_into_the_surge_first() {
        check(deployment(10, 3, 2), &[(10, 10), (0, 0)], &[(1, 3)]);
        check(deployment(10, 3, 2), &[(10, 10), (3, 0)], &[(0, 8)]);
        check(deployment(10, 3, 2), &[(8, 8), (3, 0)], &[(1, 5)]);
        check(deployment(10, 0, 2), &[(10, 10), (0, 0)], &[(0, 8)]);
    }

    #[test]
    fn availability_is_never_given_up() {
        check(deployment(10, 1, 0), &[(10, 10), (1, 0)], &[]);
        check(deployment(10, 1, 0), &[(10, 10), (1, 1)], &[(0, 9)]);
        check(deployment(3, 1, 0), &[(0, 0), (3, 3)], &[]);
    }

    #[test]
    fn broken_old_pods_go_first() {
        check(deployment(10, 2, 2), &[(8, 0), (4, 0)], &[]);
        check(deployment(10, 2, 2), &[(4, 1), (6, 6), (2, 0)], &[(0, 2)]);
    }

    #[test]
    fn a_new_set_that_is_too_large_shrinks() {
        check(deployment(3, 1, 0), &[(0, 0), (5, 5)], &[(1, 3)]);
    }

    #[test]
    fn an_only_set_takes_the_whole_size() {
        assert_eq!(proportional(&deployment(7, 1, 0), &sets(&[(0, 0), (3, 3)]), Some(1)), [(1, 7)]);
        assert_eq!(proportional(&deployment(7, 1, 0), &sets(&[(0, 0), (0, 0)]), Some(0)), [(0, 7)]);
        assert_eq!(proportional(&deployment(0, 0, 1), &sets(&[(2, 2)]), Some(0)), [(0, 0)]);
    }

    #[test]
    fn in_the_middle_of_a_rollout_each_gets_its_share() {
        let mut both = sets(&[(8, 8), (5, 5)]);
        both.iter_mut().for_each(|s| {
            s.annotations.insert(DESIRED.into(), "10".into());
            s.annotations.insert(MOST.into(), "13".into());
        });
        let d = deployment(15, 4, 3);
        assert!(resized(&d, &both));
        let sizes = proportional(&d, &both, Some(1));
        assert_eq!(sizes.iter().map(|(_, size)| size).sum::<i64>(), 19);
        assert_eq!(sizes, [(0, 12), (1, 7)]);
    }
}
