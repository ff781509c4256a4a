//! Evicting a pod: a deletion that respects disruption budgets.
//!
//! In: an Eviction. Out: the pod is being deleted, or 429 while a budget says no.

use bytes::Bytes;
use http::StatusCode;
use kedge_api::kinds::Gvk;
use kedge_api::selector::LabelSelector;
use kedge_api::status::Status;
use kedge_api::{Object, meta};
use serde_json::json;

use super::{asked, made};
use crate::chain::Call;
use crate::error;
use crate::registry::{Act, body, decode_kept, delete, rules};
use crate::respond::Answer;

/// A budget that changes under our hands is looked at again this often.
const TRIES: usize = 5;

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
    if !ended(&pod) && meta::deletion_timestamp(&pod).is_none() {
        spend(&pod_act, &pod).await?;
    }
    delete::delete(&pod_act, &options).await?;
    made(
        call,
        StatusCode::CREATED,
        &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
    )
}

fn ended(pod: &Object) -> bool {
    matches!(meta::text_at(pod, &["status", "phase"]), "Succeeded" | "Failed" | "Pending" | "")
}

/// Takes one disruption from the pod's budget.
async fn spend(act: &Act<'_>, pod: &Object) -> Result<(), Status> {
    let kinds = act.core.kinds();
    let Some(kind) = kinds.resource("policy", "v1", "poddisruptionbudgets") else { return Ok(()) };
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
        [] => return Ok(()),
        [budget] => budget,
        _ => {
            return Err(Status::internal(
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            ));
        }
    };
    let name = meta::name(budget).to_owned();
    let budget_act = Act { kind, spoken: kind, sub: None, name: &name, ..*act };
    for _ in 0..TRIES {
        let entry = budget_act.kept().await?;
        let mut budget = decode_kept(&entry)?;
        let left = meta::int_at(&budget, &["status", "disruptionsAllowed"]).unwrap_or(0);
        if meta::int_at(&budget, &["status", "observedGeneration"]).unwrap_or(0) < meta::generation(&budget) {
            return Err(Status::too_many_requests(
                "Cannot evict pod as it would violate the pod's disruption budget.",
                10,
            )
            .with_cause(
                "DisruptionBudget",
                format!("The disruption budget {name} is still being processed by the server."),
                "",
            ));
        }
        if left <= 0 {
            let healthy = meta::int_at(&budget, &["status", "currentHealthy"]).unwrap_or(0);
            let desired = meta::int_at(&budget, &["status", "desiredHealthy"]).unwrap_or(0);
            return Err(Status::too_many_requests(
                "Cannot evict pod as it would violate the pod's disruption budget.",
                0,
            )
            .with_cause(
                "DisruptionBudget",
                format!("The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"),
                "",
            ));
        }
        if act.dry_run {
            return Ok(());
        }
        budget["status"]["disruptionsAllowed"] = json!(left - 1);
        budget["status"]["disruptedPods"][meta::name(pod)] = json!(act.core.timestamp());
        let index = Bytes::from(rules::index(kind, &budget));
        match act.core.store.update(&entry.key, entry.revision, body::encode(&budget), index).await {
            Ok(_) => return Ok(()),
            Err(kedge_store::WriteError::Conflict(_)) => {}
            Err(fault) => return Err(error::write(fault, budget_act.about())),
        }
    }
    Err(Status::too_many_requests("the disruption budget changes too often, please try again later", 1))
}
