//! The StatefulSet controller: pods with names, and claims that stay theirs.
//!
//! In: a StatefulSet, its pods, its revisions. Out: pods and claims made, pods deleted in their order, the status.
//! `plan` decides the order; `storage` what belongs to whom.

mod plan;
mod storage;

use std::time::Duration;

use kedge_plugin_sdk::controller::exports::kedge::plugin::controllers::Controller;
use kedge_plugin_sdk::controller::kedge::plugin::objects::{FieldType, Key, Kind, Query};
use kedge_plugin_sdk::table::Row;
use serde_json::{Value, json};

use crate::pods::{self, Owner, PODS, pods};
use crate::revisions::{self, HashLabel, Revision};
use crate::world::{self, EventType, Outcome};
use plan::{Pod, Set, Step};
use storage::Retention;

/// A claim of an earlier pod is still going.
const CLAIM_GOES: Duration = Duration::from_secs(1);
const REVISION: &str = "controller-revision-hash";
const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";
const HASH: HashLabel = HashLabel("controller.kubernetes.io/hash");

fn sets() -> Kind {
    world::kind("apps", "v1", "StatefulSet")
}

fn claims() -> Kind {
    world::kind("", "v1", "PersistentVolumeClaim")
}

/// What it watches.
pub fn declare() -> Controller {
    use FieldType::{Json, Text, Time};
    let owned = [
        ("metadata.uid", Text),
        ("status.phase", Text),
        ("metadata.deletionTimestamp", Time),
        ("status.conditions[type=Ready].status", Text),
        ("status.conditions[type=Ready].lastTransitionTime", Time),
        ("metadata.labels", Json),
    ];
    Controller {
        name: "statefulset-controller".into(),
        watches: pods::watches(sets(), &pods::OWNER, &owned),
        workers: 2,
    }
}

/// The ordinal in a pod's name, if the pod is one of the set.
fn ordinal(set: &str, pod: &str) -> Option<i64> {
    let digits = pod.strip_prefix(set)?.strip_prefix('-')?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    digits.parse().ok().filter(|_| plain)
}

/// Makes one StatefulSet true.
pub fn reconcile(key: &Key) -> Outcome {
    let Some(mut object) = world::get(&sets(), &key.namespace, &key.name)? else { return Ok(None) };
    let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
    let owner = Owner::new(sets(), &key.namespace, &key.name, uid);
    let spec = object["spec"].clone();
    let selector = world::selector_text(&spec["selector"]);
    let deleting = !object["metadata"]["deletionTimestamp"].is_null();
    if selector.is_empty() {
        return Ok(None);
    }
    if !deleting {
        owner.claim_those(&selector, None, &|name| ordinal(&key.name, name).is_some())?;
    }
    let mut history = revisions::list(&owner, &selector, HASH)?;
    let mut collisions = object["status"]["collisionCount"].as_i64().unwrap_or(0);
    let annotations = object["metadata"]["annotations"].clone();
    let update = revisions::current(&owner, HASH, &mut history, &spec["template"], &annotations, &mut collisions)?;
    let named = object["status"]["currentRevision"].as_str().unwrap_or_default();
    let current = history.iter().find(|revision| revision.name == named).unwrap_or(&update).clone();
    let set = read_set(&object, &update);
    let min_ready = spec["minReadySeconds"].as_i64().unwrap_or(0);
    let before = read(&owner, min_ready);
    let hands = Hands { owner: &owner, spec: &spec, current: &current, update: &update };
    let mut again = hands.tend(&before.0, &set)?;
    let mut failed = None;
    for step in plan::plan(&set, &before.0) {
        match hands.take(&step) {
            Ok(None) => {}
            Ok(wait) => again = again.or(wait),
            Err(why) => {
                failed = Some(why);
                break;
            }
        }
    }
    let (after, ready_in) = read(&owner, min_ready);
    let status = status(&object, &after, &current, &update, &set, collisions);
    if status != object["status"] {
        object["status"] = status;
        match world::one(world::update(&sets(), &key.namespace, &key.name, "status", &object)) {
            Ok(_) => {}
            Err(e) if e.code == 404 => return Ok(None),
            Err(e) if e.code == 409 => return Ok(Some(world::RACED)),
            Err(e) => return Err(world::said("write the status of", "StatefulSet", &key.name, &e)),
        }
    }
    let used = |revision: &Revision| {
        [&current.name, &update.name].contains(&&revision.name) || after.iter().any(|pod| pod.revision == revision.name)
    };
    revisions::truncate(&owner, &history, &used, spec["revisionHistoryLimit"].as_i64().unwrap_or(10))?;
    match failed {
        Some(why) => Err(why),
        None => Ok(again.or(ready_in)),
    }
}

fn read_set(object: &Value, update: &Revision) -> Set {
    let spec = &object["spec"];
    let replicas = spec["replicas"].as_i64().unwrap_or(1);
    let strategy = &spec["updateStrategy"];
    let rolling = &strategy["rollingUpdate"];
    let max_unavailable = match &rolling["maxUnavailable"] {
        Value::String(text) => {
            let percent = text.trim_end_matches('%').parse::<i64>().unwrap_or(0);
            percent.saturating_mul(replicas) / 100
        }
        number => number.as_i64().unwrap_or(1),
    };
    Set {
        replicas,
        start: spec["ordinals"]["start"].as_i64().unwrap_or(0),
        parallel: spec["podManagementPolicy"] == "Parallel",
        on_delete: strategy["type"] == "OnDelete",
        partition: rolling.is_object().then(|| rolling["partition"].as_i64().unwrap_or(0)),
        max_unavailable: max_unavailable.max(1),
        current_replicas: object["status"]["currentReplicas"].as_i64().unwrap_or(0),
        deleting: !object["metadata"]["deletionTimestamp"].is_null(),
        update: update.name.clone(),
    }
}

/// The pods, and how long until the next of them has been ready for long enough.
fn read(owner: &Owner, min_ready: i64) -> (Vec<Pod>, Option<Duration>) {
    let now = world::now();
    let mut soonest: Option<i64> = None;
    let rows = world::rows(PODS, Query::OwnedBy(owner.uid.clone()));
    let own = rows.iter().filter(|row| row.namespace() == owner.namespace);
    let pods = own
        .filter_map(|row: Row<'_>| {
            let labels = world::json(row.text(5));
            let ordinal = ordinal(&owner.name, row.name())?;
            let ready = row.text(3) == Some("True");
            let left = row.integer(4).unwrap_or(0) + min_ready * 1_000_000 - now;
            if ready && min_ready > 0 && left > 0 {
                soonest = Some(soonest.map_or(left, |other| other.min(left)));
            }
            let phase = row.text(1).filter(|phase| !phase.is_empty()).unwrap_or("Pending");
            Some(Pod {
                name: row.name().into(),
                uid: row.text(0).unwrap_or("").into(),
                ordinal,
                phase: phase.into(),
                ready: ready && phase == "Running",
                available: ready && (min_ready == 0 || left <= 0),
                ending: row.has(2),
                revision: labels[REVISION].as_str().unwrap_or_default().into(),
                named: labels[POD_NAME] == row.name(),
            })
        })
        .collect();
    (pods, soonest.map(|micros| Duration::from_micros(micros.max(1000).unsigned_abs())))
}

fn status(object: &Value, pods: &[Pod], current: &Revision, update: &Revision, set: &Set, collisions: i64) -> Value {
    let count = |of: &dyn Fn(&Pod) -> bool| pods.iter().filter(|pod| of(pod)).count() as i64;
    let ready = count(&|pod| pod.ready);
    let mut of_current = count(&|pod| !pod.ending && pod.revision == current.name);
    let updated = count(&|pod| !pod.ending && pod.revision == update.name);
    let replicas = pods.len() as i64;
    let mut revision = &current.name;
    if !set.on_delete && [updated, ready, replicas].iter().all(|n| *n == set.replicas) {
        (of_current, revision) = (updated, &update.name);
    }
    let mut told = json!({
        "observedGeneration": object["metadata"]["generation"], "replicas": replicas,
        "availableReplicas": count(&|pod| pod.ready && pod.available),
        "currentRevision": revision, "updateRevision": update.name, "collisionCount": collisions,
    });
    for (field, number) in [("readyReplicas", ready), ("currentReplicas", of_current), ("updatedReplicas", updated)] {
        if number != 0 {
            told[field] = json!(number);
        }
    }
    let conditions = &object["status"]["conditions"];
    if !conditions.is_null() {
        told["conditions"] = conditions.clone();
    }
    told
}

/// What carries the steps out.
struct Hands<'a> {
    owner: &'a Owner,
    spec: &'a Value,
    current: &'a Revision,
    update: &'a Revision,
}

impl Hands<'_> {
    fn take(&self, step: &Step) -> Outcome {
        let Owner { namespace, name: set, .. } = self.owner;
        match step {
            Step::Create { ordinal, of_current } => self.create(*ordinal, *of_current),
            Step::Claims(ordinal) => self.make_claims(*ordinal),
            Step::Name(name, ordinal) => {
                let labels = json!({POD_NAME: name, POD_INDEX: ordinal.to_string()});
                let patch = json!({"metadata": {"labels": labels}});
                match world::one(world::merge(&pods(), namespace, name, "", &patch)) {
                    Ok(_) => Ok(None),
                    Err(e) if e.code == 404 => Ok(None),
                    Err(e) => Err(world::said("label", "Pod", name, &e)),
                }
            }
            Step::Delete(name, uid) => match world::one(world::delete(&pods(), namespace, name, uid, None)) {
                Ok(_) => {
                    let text = format!("delete Pod {name} in StatefulSet {set} successful");
                    self.owner.say(EventType::Normal, "SuccessfulDelete", &text);
                    Ok(None)
                }
                Err(e) if e.code == 404 || e.code == 409 => Ok(None),
                Err(e) => {
                    let text = format!("delete Pod {name} in StatefulSet {set} failed error: {}", e.message);
                    self.owner.say(EventType::Warning, "FailedDelete", &text);
                    Err(world::said("delete", "Pod", name, &e))
                }
            },
        }
    }

    fn create(&self, ordinal: i64, of_current: bool) -> Outcome {
        if let Some(wait) = self.make_claims(ordinal)? {
            return Ok(Some(wait));
        }
        let set = &self.owner.name;
        let pod = self.pod(ordinal, of_current);
        let name = format!("{set}-{ordinal}");
        match world::one(world::creation(&pods(), &self.owner.namespace, &pod)) {
            Ok(_) => {
                let text = format!("create Pod {name} in StatefulSet {set} successful");
                self.owner.say(EventType::Normal, "SuccessfulCreate", &text);
                Ok(None)
            }
            Err(e) if world::ends(&e) => Ok(None),
            Err(e) => {
                let text = format!("create Pod {name} in StatefulSet {set} failed error: {}", e.message);
                self.owner.say(EventType::Warning, "FailedCreate", &text);
                Err(world::said("create", "Pod", &name, &e))
            }
        }
    }

    fn pod(&self, ordinal: i64, of_current: bool) -> Value {
        let revision = if of_current { self.current } else { self.update };
        let name = format!("{}-{ordinal}", self.owner.name);
        let mut pod = self.owner.pod(&revisions::template(revision));
        if let Some(meta) = pod["metadata"].as_object_mut() {
            meta.remove("generateName");
        }
        pod["metadata"]["name"] = json!(name);
        pod["metadata"]["labels"][POD_NAME] = json!(name);
        pod["metadata"]["labels"][POD_INDEX] = json!(ordinal.to_string());
        pod["metadata"]["labels"][REVISION] = json!(revision.name);
        pod["spec"]["hostname"] = json!(name);
        if let Some(service) = self.spec["serviceName"].as_str().filter(|service| !service.is_empty()) {
            pod["spec"]["subdomain"] = json!(service);
        }
        storage::mount(&mut pod, self.spec, &self.owner.name, ordinal);
        pod
    }

    /// Makes the claims of a pod that are missing. One that is going is waited for.
    fn make_claims(&self, ordinal: i64) -> Outcome {
        let Owner { namespace, name: set, .. } = self.owner;
        for claim in storage::claims(self.spec, namespace, set, ordinal) {
            let name = claim["metadata"]["name"].as_str().unwrap_or_default();
            match world::get(&claims(), namespace, name)? {
                Some(there) if there["metadata"]["deletionTimestamp"].is_null() => continue,
                Some(_) => return Ok(Some(CLAIM_GOES)),
                None => {}
            }
            let of = format!("Claim {name} Pod {set}-{ordinal} in StatefulSet {set}");
            match world::one(world::creation(&claims(), namespace, &claim)) {
                Ok(_) => self.owner.say(EventType::Normal, "SuccessfulCreate", &format!("create {of} success")),
                Err(e) if e.reason == "AlreadyExists" || world::ends(&e) => {}
                Err(e) => {
                    let text = format!("create {of} failed error: {}", e.message);
                    self.owner.say(EventType::Warning, "FailedCreate", &text);
                    return Err(world::said("create", "PersistentVolumeClaim", name, &e));
                }
            }
        }
        Ok(None)
    }

    /// Gives the claims of every pod the owners that the policy wants.
    fn tend(&self, pods: &[Pod], set: &Set) -> Outcome {
        let retention = Retention::of(self.spec);
        let templates = self.spec["volumeClaimTemplates"].as_array().is_some_and(|list| !list.is_empty());
        if !templates || set.deleting {
            return Ok(None);
        }
        let Owner { namespace, name, .. } = self.owner;
        for pod in pods {
            let wanted = (set.start..set.start + set.replicas).contains(&pod.ordinal);
            let reference = json!({
                "apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid,
                "controller": true, "blockOwnerDeletion": true,
            });
            for claim in storage::claims(self.spec, namespace, name, pod.ordinal) {
                let claim_name = claim["metadata"]["name"].as_str().unwrap_or_default();
                let Some(there) = world::get(&claims(), namespace, claim_name)? else { continue };
                let Some(owners) = storage::owners(&there, retention, &self.owner.reference(), &reference, wanted)
                else {
                    continue;
                };
                let patch = json!({"metadata": {"uid": there["metadata"]["uid"], "ownerReferences": owners}});
                match world::one(world::merge(&claims(), namespace, claim_name, "", &patch)) {
                    Ok(_) => {}
                    Err(e) if e.code == 404 || e.code == 409 => {}
                    Err(e) => return Err(world::said("give owners to", "PersistentVolumeClaim", claim_name, &e)),
                }
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinals_are_read_from_names() {
        for (pod, expected) in [
            ("web-0", Some(0)),
            ("web-12", Some(12)),
            ("web-01", None),
            ("web-", None),
            ("web-a", None),
            ("other-1", None),
            ("web-1-2", None),
        ] {
            assert_eq!(ordinal("web", pod), expected, "{pod}");
        }
    }

    #[test]
    fn a_rollout_ends_when_all_are_new_and_ready() {
        let revision = |name: &str| Revision { name: name.into(), ..Revision::default() };
        let pod = |revision: &str| Pod { ready: true, available: true, revision: revision.into(), ..Pod::default() };
        let set = Set { replicas: 2, ..Set::default() };
        let object = json!({"metadata": {"generation": 3}});
        let told = |pods: &[Pod]| status(&object, pods, &revision("old"), &revision("new"), &set, 0);
        let half = told(&[pod("old"), pod("new")]);
        assert_eq!(
            (&half["currentRevision"], &half["currentReplicas"], &half["updatedReplicas"]),
            (&json!("old"), &json!(1), &json!(1))
        );
        let whole = told(&[pod("new"), pod("new")]);
        assert_eq!((&whole["currentRevision"], &whole["currentReplicas"]), (&json!("new"), &json!(2)));
        let empty = told(&[]);
        assert_eq!((&empty["replicas"], &empty["readyReplicas"]), (&json!(0), &Value::Null));
    }

    #[test]
    fn a_pod_knows_its_name_and_its_service() {
        let owner = Owner::new(sets(), "n", "web", "u");
        let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}});
        let revision = Revision { name: "web-abc".into(), data: revisions::data(&template), ..Revision::default() };
        let spec = json!({"serviceName": "svc"});
        let hands = Hands { owner: &owner, spec: &spec, current: &revision, update: &revision };
        let pod = hands.pod(3, false);
        assert_eq!(
            (&pod["metadata"]["name"], &pod["spec"]["hostname"], &pod["spec"]["subdomain"]),
            (&json!("web-3"), &json!("web-3"), &json!("svc"))
        );
        assert_eq!(
            pod["metadata"]["labels"],
            json!({"app": "web", POD_NAME: "web-3", POD_INDEX: "3", REVISION: "web-abc"})
        );
        assert!(pod["metadata"]["generateName"].is_null() && pod["spec"]["$patch"].is_null());
    }
}
