//! Evicting a pod: a deletion that respects disruption budgets.
//!
//! In: an Eviction. Out: the pod is being deleted, or 429 while a budget says no.

use bytes::Bytes;
use http::StatusCode;
use kedge_api::kinds::Gvk;
use kedge_api::selector::LabelSelector;
use kedge_api::status::{Reason, Status};
use kedge_api::{Object, meta};
use serde_json::{Value, json};

use super::{asked, made};
use crate::chain::Call;
use crate::error;
use crate::registry::delete::DeleteOptions;
use crate::registry::{Act, body, decode_kept, delete, rules};
use crate::respond::Answer;

/// A budget that changes under our hands is looked at again this often.
const TRIES: usize = 5;

/// Pods of one budget that may be on their way out at once: as many as Kubernetes allows.
const DISRUPTED_MOST: usize = 2000;

/// `pods/NAME/eviction`.
pub async fn evict(call: &mut Call, act: &Act<'_>) -> Result<Answer, Status> {
    let mut eviction = asked(call, act, &Gvk::fixed("policy", "v1", "Eviction")).await?;
    if !meta::name(&eviction).is_empty() && meta::name(&eviction) != act.name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    crate::admission::admit(act.core, &act.attributes(crate::admission::Operation::Create), &mut eviction).await?;
    let mut options = delete::options(&call.query, eviction.get("deleteOptions"))?;
    options.dry_run |= act.dry_run;
    let pod = decode_kept(&*act.kept().await?)?;
    let pod_act = Act { sub: None, dry_run: options.dry_run, ..*act };
    let mut unguarded = None;
    if !ended(&pod) && meta::deletion_timestamp(&pod).is_none() {
        unguarded = spend(&pod_act, &pod).await?;
    }
    // A pod that is not ready costs its budget nothing, unless it has become ready meanwhile.
    let pinned = unguarded.is_some() && options.version.is_none();
    if pinned {
        options.version = Some(meta::resource_version(&pod).to_owned());
    }
    let done = async {
        if !options.dry_run {
            tell(&pod_act, &mut options).await?;
        }
        delete::delete(&pod_act, &options).await
    };
    match (done.await, unguarded) {
        (Err(status), Some(budget)) if status.code == 409 && pinned => return Err(unsettled(&budget)),
        (outcome, _) => drop(outcome?),
    }
    made(
        call,
        StatusCode::CREATED,
        &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
    )
}

/// Says in the pod's conditions why it goes.
async fn tell(act: &Act<'_>, options: &mut DeleteOptions) -> Result<(), Status> {
    for _ in 0..TRIES {
        let entry = act.kept().await?;
        let mut pod = decode_kept(&entry)?;
        if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != meta::uid(&pod)) {
            return Err(Status::uid_precondition("", "pods", act.name, uid, meta::uid(&pod)));
        }
        if let Some(version) = options.version.as_deref().filter(|v| *v != meta::resource_version(&pod)) {
            return Err(Status::version_precondition("", "pods", act.name, version, meta::resource_version(&pod)));
        }
        if !condition(&mut pod, &act.core.timestamp()) {
            return Ok(());
        }
        let index = Bytes::from(rules::index(act.kind, &pod));
        match act.core.store.update(&entry.key, entry.revision, body::encode(&pod), index).await {
            Ok(kept) => {
                if options.version.is_some() {
                    options.version = Some(kept.revision.to_string());
                }
                return Ok(());
            }
            Err(kedge_store::WriteError::Conflict(_)) => {}
            Err(fault) => return Err(error::write(fault, act.about())),
        }
    }
    Err(Status::too_many_requests("the pod changes too often, please try again later", 1))
}

/// Puts `DisruptionTarget` among the conditions; false when it stands there already.
fn condition(pod: &mut Object, now: &str) -> bool {
    let told = json!({
        "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting", "lastProbeTime": null, "lastTransitionTime": now,
    });
    let status = meta::child_mut(pod, "status");
    let conditions = status.entry("conditions").or_insert_with(|| json!([]));
    let Some(list) = conditions.as_array_mut() else {
        *conditions = json!([told]);
        return true;
    };
    let same = |held: &Value| ["type", "status", "reason", "message"].iter().all(|field| held[*field] == told[*field]);
    if list.iter().any(same) {
        return false;
    }
    list.retain(|held| held["type"] != "DisruptionTarget");
    list.push(told);
    true
}

fn ended(pod: &Object) -> bool {
    matches!(meta::text_at(pod, &["status", "phase"]), "Succeeded" | "Failed" | "Pending" | "")
}

fn ready(pod: &Object) -> bool {
    let conditions = meta::list_at(pod, &["status", "conditions"]);
    conditions.iter().any(|held| held["type"] == "Ready" && held["status"] == "True")
}

/// Whether a budget lets a pod go that is not ready, without being spent.
fn lets_unready_go(budget: &Object) -> bool {
    let number = |field: &str| meta::int_at(budget, &["status", field]).unwrap_or(0);
    meta::text_at(budget, &["spec", "unhealthyPodEvictionPolicy"]) == "AlwaysAllow"
        || (number("currentHealthy") >= number("desiredHealthy") && number("desiredHealthy") > 0)
}

/// The budget's status is older than its specification.
fn unsettled(name: &str) -> Status {
    refused(10, &format!("The disruption budget {name} is still being processed by the server."))
}

fn refused(seconds: u32, why: &str) -> Status {
    Status::too_many_requests("Cannot evict pod as it would violate the pod's disruption budget.", seconds).with_cause(
        "DisruptionBudget",
        why.to_owned(),
        "",
    )
}

/// Takes one disruption from the pod's budget. Gives the budget's name when it lets the pod go without being spent.
async fn spend(act: &Act<'_>, pod: &Object) -> Result<Option<String>, Status> {
    let kinds = act.core.kinds();
    let Some(kind) = kinds.resource("policy", "v1", "poddisruptionbudgets") else { return Ok(None) };
    let budgets = act.core.reader().list("policy", "poddisruptionbudgets", act.namespace).await?;
    let path = kedge_api::field::Path::root("spec");
    let selector_path = path.child("selector");
    let mine: Vec<Object> = budgets
        .into_iter()
        .filter(|budget| {
            let selector = budget.get("spec").and_then(|s| s.get("selector"));
            let labels = pod["metadata"].get("labels");
            LabelSelector::from_object(selector, &selector_path).is_ok_and(|s| match labels {
                Some(labels) => s.matches(labels),
                None => s.matches(&json!({})),
            })
        })
        .collect();
    let budget = match mine.as_slice() {
        [] => return Ok(None),
        [budget] => budget,
        _ => {
            let why =
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            return Err(Status::new(500, Reason::Unknown, why));
        }
    };
    let name = meta::name(budget).to_owned();
    if !ready(pod) && lets_unready_go(budget) {
        return Ok(Some(name));
    }
    let budget_act = Act { kind, spoken: kind, sub: None, name: &name, ..*act };
    for _ in 0..TRIES {
        let entry = budget_act.kept().await?;
        let mut budget = decode_kept(&entry)?;
        let left = allowed(&budget)?;
        if act.dry_run {
            return Ok(None);
        }
        budget["status"]["disruptionsAllowed"] = json!(left - 1);
        budget["status"]["disruptedPods"][meta::name(pod)] = json!(act.core.timestamp());
        if left == 1 {
            none_left(&mut budget, &act.core.timestamp());
        }
        let index = Bytes::from(rules::index(kind, &budget));
        match act.core.store.update(&entry.key, entry.revision, body::encode(&budget), index).await {
            Ok(_) => return Ok(None),
            Err(kedge_store::WriteError::Conflict(_)) => {}
            Err(fault) => return Err(error::write(fault, budget_act.about())),
        }
    }
    Err(Status::too_many_requests("the disruption budget changes too often, please try again later", 1))
}

fn disruption_condition(budget: &Object) -> Option<&Value> {
    meta::list_at(budget, &["status", "conditions"]).iter().find(|held| held["type"] == "DisruptionAllowed")
}

/// How many disruptions a budget allows: at least one, else why there is none.
fn allowed(budget: &Object) -> Result<i64, Status> {
    let name = meta::name(budget);
    let number = |field: &str| meta::int_at(budget, &["status", field]).unwrap_or(0);
    if number("observedGeneration") < meta::generation(budget) {
        return Err(unsettled(name));
    }
    let left = number("disruptionsAllowed");
    let forbidden = |why: &str| Status::forbidden("policy", "poddisruptionbudget", name, why);
    if left < 0 {
        return Err(forbidden("pdb disruptions allowed is negative"));
    }
    let disrupted = budget.pointer("/status/disruptedPods").and_then(Value::as_object).map_or(0, serde_json::Map::len);
    if disrupted > DISRUPTED_MOST {
        return Err(forbidden("DisruptedPods map too big - too many evictions not confirmed by PDB controller"));
    }
    if left > 0 {
        return Ok(left);
    }
    let (healthy, desired) = (number("currentHealthy"), number("desiredHealthy"));
    let told = disruption_condition(budget).filter(|held| held["status"] == "False");
    let told =
        told.and_then(|held| Some((held["reason"].as_str()?, held["message"].as_str().filter(|m| !m.is_empty())?)));
    let why = match told {
        Some(("SyncFailed", message)) => {
            format!(
                "The disruption budget {name} does not allow evicting pods currently because it failed sync: {message}"
            )
        }
        _ if healthy <= desired => {
            format!("The disruption budget {name} needs {desired} healthy pods and has {healthy} currently")
        }
        Some((reason, message)) => {
            format!("The disruption budget {name} does not allow evicting pods currently ({reason}): {message}")
        }
        None => format!("The disruption budget {name} does not allow evicting pods currently"),
    };
    Err(refused(0, &why))
}

/// The last disruption was taken: the condition says so before the controller does.
fn none_left(budget: &mut Object, now: &str) {
    let generation = budget["status"]["observedGeneration"].clone();
    if let Some(list) = budget["status"]["conditions"].as_array_mut() {
        list.retain(|held| held["type"] != "DisruptionAllowed");
        list.push(json!({
            "type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": "",
            "observedGeneration": generation, "lastTransitionTime": now,
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(status: Value) -> Object {
        json!({"metadata": {"name": "b", "generation": 1}, "status": status})
    }

    #[track_caller]
    fn check(status: Value, code: u16, cause: &str) {
        let refused = allowed(&budget(status)).unwrap_err();
        let text = format!("{refused:?}");
        assert!(refused.code == code && text.contains(cause), "{text}");
    }

    #[test]
    fn a_budget_says_why_not() {
        assert_eq!(allowed(&budget(json!({"observedGeneration": 1, "disruptionsAllowed": 2}))).unwrap(), 2);
        check(json!({}), 429, "still being processed");
        let none = |healthy: i64, conditions: Value| json!({"observedGeneration": 1, "currentHealthy": healthy, "desiredHealthy": 2, "conditions": conditions});
        check(none(2, json!([])), 429, "needs 2 healthy pods and has 2 currently");
        let failed =
            json!([{"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": "why"}]);
        check(none(3, failed), 429, "because it failed sync: why");
        check(none(3, json!([])), 429, "does not allow evicting pods currently");
        check(json!({"observedGeneration": 1, "disruptionsAllowed": -1}), 403, "is negative");
    }

    #[test]
    fn pods_that_are_not_ready_cost_nothing_where_the_budget_is_healthy() {
        assert!(!lets_unready_go(&budget(json!({}))));
        assert!(lets_unready_go(&budget(json!({"currentHealthy": 2, "desiredHealthy": 2}))));
        let mut always = budget(json!({"desiredHealthy": 2}));
        assert!(!lets_unready_go(&always));
        always["spec"] = json!({"unhealthyPodEvictionPolicy": "AlwaysAllow"});
        assert!(lets_unready_go(&always));
    }

    #[test]
    fn the_reason_is_told_once() {
        let mut pod = json!({});
        assert!(condition(&mut pod, "now") && !condition(&mut pod, "later"));
        assert_eq!(pod["status"]["conditions"][0]["lastTransitionTime"], "now");
    }
}
