//! The steps that bring a Deployment's ReplicaSets one pass closer to its template and size.
//!
//! In: the Deployment, its ReplicaSets, whether old pods still run. Out: steps in order, and the ReplicaSets as they
//! will be. Pure. One pass changes sizes at most once; what follows from it comes with the next pass.

use serde_json::{Value, json};

use super::model::{Deployment, REVISION, Set};
use super::status::{Judged, judge};
use super::{scale, template};

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A new ReplicaSet.
    Create { object: Value, replicas: i64 },
    /// Bookkeeping on a ReplicaSet.
    Patch { name: String, patch: Value },
    /// Another size.
    Scale { name: String, from: i64, to: i64, patch: Value },
    /// A ReplicaSet beyond the history's limit.
    Delete { name: String, uid: String },
    /// The Deployment's own revision.
    Revision(i64),
}

/// What to do.
#[derive(Debug)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// The ReplicaSets after the steps (a new one is not among them).
    pub sets: Vec<Set>,
    /// Which of them has the current template.
    pub new: Option<usize>,
    pub collisions: i64,
}

impl Plan {
    /// The status once the steps are done.
    pub fn judge(&self, deployment: &Deployment, created: Option<&str>, now: i64) -> Judged {
        judge(deployment, &self.sets, self.new, created, self.collisions, now)
    }
}

/// The words of a scaling event.
pub fn scaled(name: &str, from: i64, to: i64) -> String {
    let way = if to > from { "up" } else { "down" };
    format!("Scaled {way} replica set {name} from {from} to {to}")
}

/// The next pass.
pub fn plan(deployment: &Deployment, sets: &[Set], old_pods: bool, _now: i64) -> Plan {
    let new = template::matching(deployment, sets);
    let collisions = deployment.counted("collisionCount");
    let mut plan = Plan { steps: Vec::new(), sets: sets.to_vec(), new, collisions };
    if deployment.paused || scale::resized(deployment, sets) {
        plan.revision(deployment);
        let sizes = scale::proportional(deployment, sets, new);
        plan.resize(deployment, &sizes);
        if deployment.paused && plan.steps.is_empty() {
            plan.clean_up(deployment);
        }
        return plan;
    }
    if deployment.recreate {
        let sizes = scale::recreate_down(sets, new);
        plan.revision(deployment);
        if !sizes.is_empty() {
            plan.resize(deployment, &sizes);
        } else if !old_pods {
            match new {
                None => plan.create(deployment),
                Some(i) if sets[i].replicas != deployment.replicas => {
                    plan.resize(deployment, &[(i, deployment.replicas)])
                }
                Some(_) => plan.clean_up(deployment),
            }
        }
        return plan;
    }
    plan.revision(deployment);
    match new {
        None => plan.create(deployment),
        Some(i) => {
            let sizes = scale::rolling(deployment, sets, i);
            plan.resize(deployment, &sizes);
            if sizes.is_empty() {
                plan.clean_up(deployment);
            }
        }
    }
    plan
}

impl Plan {
    fn next_revision(&self) -> i64 {
        let old = (0..self.sets.len()).filter(|i| Some(*i) != self.new);
        old.map(|i| self.sets[i].revision()).max().unwrap_or(0) + 1
    }

    /// Annotations of the current ReplicaSet and the Deployment's revision.
    fn revision(&mut self, deployment: &Deployment) {
        let Some(i) = self.new else { return };
        let set = &self.sets[i];
        let revision = self.next_revision().max(set.revision());
        let wanted = template::annotations(deployment, Some(set), revision);
        let mut changed = serde_json::Map::new();
        for (key, value) in &wanted {
            if set.annotations.get(key) != Some(value) {
                changed.insert(key.clone(), json!(value));
            }
        }
        // The scale annotations tell whether the Deployment was resized: only a resize may write them.
        for (key, _) in template::scale_annotations(deployment) {
            changed.remove(&key);
        }
        let mut patch = json!({});
        if !changed.is_empty() {
            patch["metadata"]["annotations"] = Value::Object(changed);
        }
        if set.min_ready_seconds != deployment.min_ready_seconds {
            patch["spec"]["minReadySeconds"] = json!(deployment.min_ready_seconds);
        }
        if patch != json!({}) {
            self.steps.push(Step::Patch { name: set.name.clone(), patch });
        }
        if deployment.annotations.get(REVISION) != Some(&revision.to_string()) {
            self.steps.push(Step::Revision(revision));
        }
    }

    fn create(&mut self, deployment: &Deployment) {
        let replicas = scale::new_size(deployment, &self.sets, None);
        let revision = self.next_revision();
        let object = template::new_set(deployment, replicas, revision, self.collisions);
        self.steps.push(Step::Create { object, replicas });
        if deployment.annotations.get(REVISION) != Some(&revision.to_string()) {
            self.steps.push(Step::Revision(revision));
        }
    }

    fn resize(&mut self, deployment: &Deployment, sizes: &[scale::Resize]) {
        let annotations: serde_json::Map<String, Value> =
            template::scale_annotations(deployment).into_iter().map(|(key, value)| (key, json!(value))).collect();
        for (i, to) in sizes {
            let set = &mut self.sets[*i];
            let patch = json!({"metadata": {"annotations": annotations}, "spec": {"replicas": to}});
            self.steps.push(Step::Scale { name: set.name.clone(), from: set.replicas, to: *to, patch });
            set.replicas = *to;
        }
        // A ReplicaSet that keeps its size must learn the Deployment's new size too, or it looks resized for ever.
        for set in self.sets.iter().filter(|s| s.replicas > 0) {
            let known = set.number(super::model::DESIRED) == Some(deployment.replicas);
            let scaled = |step: &Step| matches!(step, Step::Scale { name, .. } if *name == set.name);
            if !known && set.annotations.contains_key(super::model::DESIRED) && !self.steps.iter().any(scaled) {
                let patch = json!({"metadata": {"annotations": annotations}});
                self.steps.push(Step::Patch { name: set.name.clone(), patch });
            }
        }
    }

    /// Forgets the oldest ReplicaSets that are empty, beyond the history's limit.
    fn clean_up(&mut self, deployment: &Deployment) {
        let Some(limit) = deployment.history_limit else { return };
        let mut old: Vec<&Set> = (0..self.sets.len())
            .filter(|i| Some(*i) != self.new)
            .map(|i| &self.sets[i])
            .filter(|s| s.replicas == 0 && s.status_replicas == 0 && s.generation <= s.observed_generation)
            .collect();
        crate::order::sort_by_key(&mut old, |s| (s.revision(), s.created));
        let all_old = self.sets.len() - usize::from(self.new.is_some());
        let surplus = all_old.saturating_sub(usize::try_from(limit).unwrap_or(0));
        let gone = old.iter().take(surplus).map(|s| Step::Delete { name: s.name.clone(), uid: s.uid.clone() });
        self.steps.extend(gone.collect::<Vec<_>>());
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::{DESIRED, MOST};
    use super::*;

    fn template_of(image: &str) -> Value {
        json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "a", "image": image}]}})
    }

    fn deployment(image: &str, strategy: Value) -> Deployment {
        let spec = json!({
            "replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "strategy": strategy,
            "template": template_of(image), "revisionHistoryLimit": 1,
        });
        Deployment::of("n", "web", "u", &spec, Value::Null)
    }

    fn rolling() -> Value {
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})
    }

    fn set(image: &str, revision: i64, replicas: i64, available: i64) -> Set {
        let mut set = Set {
            name: format!("web-{image}"),
            uid: image.into(),
            created: revision,
            replicas,
            status_replicas: replicas,
            available,
            ready: available,
            template: template_of(image),
            ..Set::default()
        };
        set.annotations.insert(REVISION.into(), revision.to_string());
        set.annotations.insert(DESIRED.into(), "3".into());
        set.annotations.insert(MOST.into(), "4".into());
        set
    }

    fn words(step: &Step) -> String {
        match step {
            Step::Create { replicas, .. } => format!("create {replicas}"),
            Step::Patch { name, .. } => format!("patch {name}"),
            Step::Scale { name, from, to, .. } => format!("scale {name} {from}>{to}"),
            Step::Delete { name, .. } => format!("delete {name}"),
            Step::Revision(n) => format!("revision {n}"),
        }
    }

    #[track_caller]
    fn check(d: &Deployment, sets: &[Set], old_pods: bool, expected: &[&str]) {
        let steps: Vec<String> = plan(d, sets, old_pods, 0).steps.iter().map(words).collect();
        assert_eq!(steps, expected);
    }

    #[test]
    fn a_new_deployment_makes_its_set_at_once() {
        check(&deployment("v1", rolling()), &[], false, &["create 3", "revision 1"]);
    }

    #[test]
    fn a_rolling_update_goes_step_by_step() {
        let mut d = deployment("v2", rolling());
        check(&d, &[set("v1", 1, 3, 3)], false, &["create 1", "revision 2"]);
        d.annotations.insert(REVISION.into(), "2".into());
        check(&d, &[set("v1", 1, 3, 3), set("v2", 2, 1, 0)], false, &[]);
        check(&d, &[set("v1", 1, 3, 3), set("v2", 2, 1, 1)], false, &["scale web-v1 3>2"]);
        check(&d, &[set("v1", 1, 2, 2), set("v2", 2, 1, 1)], false, &["scale web-v2 1>2"]);
        check(&d, &[set("v1", 1, 0, 0), set("v2", 2, 3, 3)], false, &[]);
    }

    #[test]
    fn a_rollback_gives_the_old_set_a_new_number() {
        let mut d = deployment("v1", rolling());
        d.annotations.insert(REVISION.into(), "2".into());
        check(
            &d,
            &[set("v1", 1, 0, 0), set("v2", 2, 3, 3)],
            false,
            &["patch web-v1", "revision 3", "scale web-v1 0>1"],
        );
    }

    #[test]
    fn recreate_waits_until_the_old_pods_are_gone() {
        let d = deployment("v2", json!({"type": "Recreate"}));
        check(&d, &[set("v1", 1, 3, 3)], true, &["scale web-v1 3>0"]);
        check(&d, &[set("v1", 1, 0, 0)], true, &[]);
        check(&d, &[set("v1", 1, 0, 0)], false, &["create 3", "revision 2"]);
    }

    #[test]
    fn a_pause_stops_the_rollout_but_not_scaling() {
        let mut d = deployment("v2", rolling());
        d.paused = true;
        check(&d, &[set("v1", 1, 3, 3)], false, &[]);
        d.replicas = 5;
        check(&d, &[set("v1", 1, 3, 3)], false, &["scale web-v1 3>5"]);
    }

    #[test]
    fn the_oldest_empty_sets_are_forgotten() {
        let mut d = deployment("v4", rolling());
        d.annotations.insert(REVISION.into(), "4".into());
        let sets = [set("v1", 1, 0, 0), set("v2", 2, 0, 0), set("v3", 3, 0, 0), set("v4", 4, 3, 3)];
        check(&d, &sets, false, &["delete web-v1", "delete web-v2"]);
    }

    #[test]
    fn scaling_does_not_repeat_itself() {
        let mut d = deployment("v1", rolling());
        d.annotations.insert(REVISION.into(), "1".into());
        d.replicas = 5;
        let before = set("v1", 1, 3, 3);
        check(&d, std::slice::from_ref(&before), false, &["scale web-v1 3>5"]);
        let mut after = before;
        after.replicas = 5;
        after.annotations.insert(DESIRED.into(), "5".into());
        check(&d, &[after], false, &[]);
    }
}
