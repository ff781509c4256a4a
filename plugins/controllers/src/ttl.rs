//! The TTL controller: finished Jobs go after their time.
//!
//! In: Jobs with `ttlSecondsAfterFinished`. Out: deletions, dependents first. Pure but for them.

use std::time::Duration;

use kedge_plugin_sdk::controller::exports::kedge::plugin::controllers::{Controller, Wakes};
use kedge_plugin_sdk::controller::kedge::plugin::objects::{FieldType, Key};

use crate::world::{self, Outcome, Propagation};

/// What it watches.
pub fn declare() -> Controller {
    use FieldType::{Integer, Text, Time};
    let own = [
        ("metadata.uid", Text),
        ("metadata.deletionTimestamp", Time),
        ("spec.ttlSecondsAfterFinished", Integer),
        ("status.conditions[type=Complete].status", Text),
        ("status.conditions[type=Complete].lastTransitionTime", Time),
        ("status.conditions[type=Failed].status", Text),
        ("status.conditions[type=Failed].lastTransitionTime", Time),
    ];
    Controller {
        name: "ttl-after-finished-controller".into(),
        watches: vec![world::watch(world::kind("batch", "v1", "Job"), &own, &[Wakes::Itself])],
        workers: 1,
    }
}

/// Deletes one Job, if its time has come.
pub fn reconcile(key: &Key) -> Outcome {
    let found = world::row_of(0, key);
    let Some(row) = found.first().filter(|row| !row.has(1)) else { return Ok(None) };
    let ended = [(3, 4), (5, 6)]
        .into_iter()
        .find_map(|(status, time)| row.integer(time).filter(|_| row.text(status) == Some("True")));
    let Some(left) = left(row.integer(2), ended, world::now()) else { return Ok(None) };
    if !left.is_zero() {
        return Ok(Some(left));
    }
    let (jobs, uid) = (world::kind("batch", "v1", "Job"), row.text(0).unwrap_or(""));
    match world::one(world::delete(&jobs, &key.namespace, &key.name, uid, Some(Propagation::Foreground))) {
        Ok(_) => Ok(None),
        Err(e) if e.code == 404 || e.code == 409 => Ok(None),
        Err(e) => Err(world::said("delete", "Job", &key.name, &e)),
    }
}

/// How long a Job still stays; `None` when it stays, or has not ended.
fn left(ttl: Option<i64>, ended: Option<i64>, now: i64) -> Option<Duration> {
    let due = ended? + ttl?.saturating_mul(1_000_000);
    Some(Duration::from_micros((due - now).max(0).unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finished_job_goes_after_its_time() {
        assert_eq!(left(Some(10), Some(5_000_000), 6_000_000), Some(Duration::from_secs(9)));
        assert_eq!(left(Some(0), Some(5_000_000), 6_000_000), Some(Duration::ZERO));
        assert_eq!(left(None, Some(5_000_000), 6_000_000), None);
        assert_eq!(left(Some(10), None, 6_000_000), None);
    }
}
