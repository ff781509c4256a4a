//! The ResourceQuota controller: says in a quota's status what its namespace uses.
//!
//! In: a ResourceQuota and whatever it counts. Out: `status.hard` and `status.used`. What comes is counted at admission;
//! here everything is counted anew when something changes or goes, and now and then, as an admitted object may fail.

mod scope;
mod usage;

use std::time::Duration;

use kedge_plugin_sdk::controller::exports::kedge::plugin::controllers::{Controller, Target, Wakes, Watch};
use kedge_plugin_sdk::controller::kedge::plugin::cluster;
use kedge_plugin_sdk::controller::kedge::plugin::objects::{FieldType, Key, Kind, Query};
use serde_json::{Map, Value, json};

use crate::quantity::Quantity;
use crate::world::{self, Outcome};
use usage::Amounts;

/// Kubernetes' own period. Only while there is a quota at all.
const AGAIN: Duration = Duration::from_secs(300);
/// What was counted is counted once more after this long, until it stays the same: what came just before the quota may
/// be heard of after it, and wakes nobody.
const SETTLE: Duration = Duration::from_secs(1);
const EVERY: u32 = 4;

fn quotas() -> Kind {
    world::kind("", "v1", "ResourceQuota")
}

/// What it watches. The status is not read from rows: a charge of admission must not wake.
pub fn declare() -> Controller {
    use FieldType::{Hash, Integer, Json, Text, Time};
    let pods = [("status.phase", Text), ("metadata.deletionTimestamp", Time), ("metadata.generation", Integer)];
    let claims = [
        ("spec.resources", Hash),
        ("spec.volumeAttributesClassName", Text),
        ("status.allocatedResources", Hash),
        ("status.currentVolumeAttributesClassName", Text),
    ];
    let siblings = [Wakes::Siblings];
    Controller {
        name: "resourcequota-controller".into(),
        watches: vec![
            world::watch(quotas(), &[("metadata.uid", Text), ("spec", Json)], &[Wakes::Itself]),
            world::watch(world::kind("", "v1", "Pod"), &pods, &siblings),
            world::watch(world::kind("", "v1", "Service"), &[("spec", Json)], &siblings),
            world::watch(world::kind("", "v1", "PersistentVolumeClaim"), &claims, &siblings),
            Watch { target: Target::Every, fields: Vec::new(), wakes: siblings.to_vec() },
        ],
        workers: 2,
    }
}

/// Counts for one quota.
pub fn reconcile(key: &Key) -> Outcome {
    let Some(mut quota) = world::get(&quotas(), &key.namespace, &key.name)? else { return Ok(None) };
    if !quota["metadata"]["deletionTimestamp"].is_null() {
        return Ok(None);
    }
    let spec = quota["spec"].clone();
    let hard = spec["hard"].as_object().cloned().unwrap_or_default();
    let scopes = scope::of(&spec);
    let mut used = Amounts::new();
    let now = world::now();
    if hard.keys().any(|name| usage::is_of_pods(name)) {
        world::each(&world::kind("", "v1", "Pod"), &key.namespace, "", |pod| {
            if scopes.iter().all(|scope| scope.has_pod(&pod)) {
                usage::add(&mut used, &usage::of_pod(&pod, now));
            }
        })?;
    }
    if hard.keys().any(|name| usage::is_of_services(name)) && scopes.is_empty() {
        world::each(&world::kind("", "v1", "Service"), &key.namespace, "", |service| {
            usage::add(&mut used, &usage::of_service(&service));
        })?;
    }
    if hard.keys().any(|name| usage::is_of_claims(name)) {
        world::each(&world::kind("", "v1", "PersistentVolumeClaim"), &key.namespace, "", |claim| {
            if scopes.iter().all(|scope| scope.has_claim(&claim)) {
                usage::add(&mut used, &usage::of_claim(&claim));
            }
        })?;
    }
    let counted = if hard.keys().any(|name| is_count(name)) { counts(&key.namespace) } else { Amounts::new() };
    let status = status(&hard, &used, &counted, scopes.is_empty(), &quota["status"]["used"]);
    if same(&status["hard"], &quota["status"]["hard"]) && same(&status["used"], &quota["status"]["used"]) {
        return Ok(Some(AGAIN));
    }
    quota["status"] = status;
    match world::one(world::update(&quotas(), &key.namespace, &key.name, "status", &quota)) {
        Ok(_) => Ok(Some(SETTLE)),
        Err(e) if e.code == 404 => Ok(None),
        // Admission charged the quota while it was counted.
        Err(e) if e.code == 409 => Ok(Some(world::RACED)),
        Err(e) => Err(world::said("write the status of", "ResourceQuota", &key.name, &e)),
    }
}

/// Resources that count objects of a kind: `count/…` and the old names of some.
fn is_count(name: &str) -> bool {
    let special = usage::is_of_pods(name) || usage::is_of_services(name) || usage::is_of_claims(name);
    !special && (name.starts_with("count/") || alias(name).is_some())
}

fn alias(name: &str) -> Option<&'static str> {
    match name {
        "configmaps" => Some("count/configmaps"),
        "resourcequotas" => Some("count/resourcequotas"),
        "replicationcontrollers" => Some("count/replicationcontrollers"),
        "secrets" => Some("count/secrets"),
        _ => None,
    }
}

/// How many objects of each kind there are, those of which there are none included.
fn counts(namespace: &str) -> Amounts {
    let kinds = cluster::kinds();
    let mut numbers = vec![0i64; kinds.len()];
    for row in world::rows(EVERY, Query::Namespace(namespace.into())).iter() {
        if let Some(number) = row.kind().and_then(|kind| numbers.get_mut(kind)) {
            *number += 1;
        }
    }
    let named = kinds.into_iter().zip(numbers).filter(|(kind, _)| kind.namespaced).map(|(served, number)| {
        let group = &served.kind.group;
        let dot = if group.is_empty() { "" } else { "." };
        (format!("count/{}{dot}{group}", served.plural), Quantity::whole(number))
    });
    crate::order::map(named)
}

/// The status: the limits as they are wanted now, and the use of what they name. What nobody answers for stays as it
/// was. A quota with scopes counts nothing of kinds that have none.
fn status(hard: &Map<String, Value>, used: &Amounts, counted: &Amounts, unscoped: bool, before: &Value) -> Value {
    let mut told = Map::new();
    for name in hard.keys() {
        let answered = usage::is_of_pods(name) || usage::is_of_services(name) || usage::is_of_claims(name);
        let amount = if answered {
            Some(used.get(name).copied().unwrap_or(Quantity::whole(0)))
        } else {
            let number = counted.get(alias(name).unwrap_or(name)).copied();
            if unscoped { number } else { number.map(|_| Quantity::whole(0)) }
        };
        match amount {
            Some(amount) => told.insert(name.clone(), json!(amount.text())),
            None if before[name].is_null() => None,
            None => told.insert(name.clone(), before[name].clone()),
        };
    }
    json!({"hard": hard, "used": told})
}

/// Whether two lists of resources mean the same.
fn same(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else { return a.is_null() && b.is_null() };
    a.len() == b.len()
        && a.iter().all(|(name, amount)| b.get(name).is_some_and(|b| Quantity::of(b) == Quantity::of(amount)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(hard: Value, unscoped: bool, before: Value, expected: Value) {
        let used = Amounts::from([("pods".to_string(), Quantity::whole(2))]);
        let counted = Amounts::from([
            ("count/configmaps".to_string(), Quantity::whole(3)),
            ("count/replicasets.apps".to_string(), Quantity::whole(1)),
        ]);
        let told = status(hard.as_object().unwrap(), &used, &counted, unscoped, &before);
        assert_eq!(told, json!({"hard": hard, "used": expected}));
    }

    #[test]
    fn every_limit_that_somebody_answers_for_gets_its_use() {
        check(
            json!({"pods": "5", "cpu": "1", "configmaps": "10", "count/replicasets.apps": "4"}),
            true,
            Value::Null,
            json!({"pods": "2", "cpu": "0", "configmaps": "3", "count/replicasets.apps": "1"}),
        );
        check(json!({"count/foos.example.com": "1"}), true, Value::Null, json!({}));
        check(
            json!({"count/foos.example.com": "1"}),
            true,
            json!({"count/foos.example.com": "1"}),
            json!({"count/foos.example.com": "1"}),
        );
        check(
            json!({"pods": "5", "secrets": "1", "configmaps": "1"}),
            false,
            Value::Null,
            json!({"pods": "2", "configmaps": "0"}),
        );
    }

    #[test]
    fn amounts_are_compared_by_what_they_mean() {
        assert!(same(&json!({"cpu": "1"}), &json!({"cpu": "1000m"})));
        assert!(!same(&json!({"cpu": "1"}), &json!({})) && !same(&json!({}), &Value::Null));
    }
}
